"""Attacks that infer a continuous attribute: ridge, kernel ridge and boosted trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from sklearn.ensemble import HistGradientBoostingRegressor

from sordine.attacks.base import Split, moments
from sordine.keys import numpy_rng
from sordine.metrics.regression import r_squared

PENALTIES = tuple(10.0**k for k in range(-5, 3))  # of ridge, relative to the mean variance of a feature
FEATURES = 256  # random features of a kernel exp(-|a - b|^2 / (2 d)) on d standardised numbers
SIZES = (48, 8)  # numbers that narrower kernels use
CHOSEN = 48  # numbers that the trees use
TREES = 60
FAR = 10.0  # standard deviations

Predictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Regressor:
    """One attack: a kind, and which numbers of a record it uses.

    Parameters
    ----------
    kind
        "ridge", "kernel" (ridge regression on random Fourier features) or "trees" (boosted).
    size
        How many numbers it uses, the most telling ones first; 0: all.
    """

    kind: str
    size: int = 0


@dataclass(frozen=True)
class Prediction:
    """The predictions of one attack.

    Parameters
    ----------
    attack
        The attack.
    validation
        R^2 on the attacker's validation records.
    predicted
        (m, k) predictions of the test records.
    """

    attack: Regressor
    validation: float
    predicted: np.ndarray


def regressors(width: int, targets: int) -> tuple[Regressor, ...]:
    """Return the attacks on records of `width` numbers, for an attribute of so many numbers."""
    sizes = dict.fromkeys((0, *(size for size in SIZES if size < width)))
    kernels = tuple(Regressor("kernel", size) for size in sizes)
    return (Regressor("ridge"), *kernels, *((Regressor("trees", CHOSEN),) if targets == 1 else ()))


def predictions(
    x: np.ndarray,
    target: np.ndarray,
    split: Split,
    attacks: Sequence[Regressor] | None = None,
    *,
    best_only: bool = False,
) -> list[Prediction]:
    """Return the predictions of the attacks, the best one on the validation records first.

    Parameters
    ----------
    x
        (n, d) float32 records.
    target
        (n, k), NaN where unlabelled; such records take no part in training and validation.
    split
        The attacker's own records, and the test records.
    attacks
        Which attacks; None: all, of which the best of each kind is kept.
    best_only
        Whether only the best one predicts.
    """
    known = np.isfinite(target).all(1)
    train, validation = (rows[known[rows]] for rows in (split.train, split.validation))
    data = _Own.of(x, target, train, validation)
    test = data.standardised(x[split.test])
    best: dict[str, tuple[float, Regressor, Predictor]] = {}
    for attack in attacks if attacks is not None else regressors(x.shape[1], target.shape[1]):
        score, make = _trees(data, attack.size) if attack.kind == "trees" else _ridge(data, attack)
        if attack.kind not in best or score > best[attack.kind][0]:
            best[attack.kind] = (score, attack, make)
    ordered = sorted(best.values(), key=lambda b: -b[0])[: 1 if best_only else None]
    return [Prediction(attack, score, data.clipped(make(test))) for score, attack, make in ordered]


@dataclass(frozen=True)
class _Own:
    """The attacker's own records, standardised by the training ones.

    Parameters
    ----------
    x, y
        Training and validation records in this order: (m, d) float32, (m, k).
    train
        How many of them are training records.
    mean, scale, centre, spread
        Of the features, and of the target.
    low, high
        Range of the target.
    order
        Features in descending order of how much they tell of the target.
    """

    x: np.ndarray
    y: np.ndarray
    train: int
    mean: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    spread: np.ndarray
    low: np.ndarray
    high: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, target: np.ndarray, train: np.ndarray, validation: np.ndarray) -> _Own:
        mean, scale = moments(x, train)
        rows = np.concatenate([train, validation])
        y = target[rows].astype(np.float64)
        centre, spread = y[: len(train)].mean(0), np.maximum(y[: len(train)].std(0), 1e-12)
        z = np.asarray((x[rows] - mean) / scale, np.float32)
        own = (y - centre) / spread
        order = np.argsort(-_telling(z[: len(train)], own[: len(train)]), kind="stable")
        return cls(z, own, len(train), mean, scale, centre, spread, y.min(0), y.max(0), order)

    def standardised(self, x: np.ndarray) -> np.ndarray:
        return np.asarray((x - self.mean) / self.scale, np.float32)

    def clipped(self, predicted: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip(predicted * self.spread + self.centre, self.low, self.high))

    def score(self, predicted: np.ndarray) -> float:
        """R^2 on the validation records."""
        return float(r_squared(self.y[self.train :], predicted)[0])


def _telling(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How much each feature, its square and its size tell of the target: the largest squared correlation (d,)."""
    found = np.zeros(z.shape[1])
    near = np.clip(z, -FAR, FAR)
    for shape in (z, near, near**2, np.abs(near)):
        centred = shape - shape.mean(0)
        size = np.sqrt((centred**2).mean(0))
        r = (centred.T @ (y - y.mean(0))) / len(y) / np.maximum(size, 1e-6)[:, None]
        found = np.maximum(found, (r**2).max(1))
    return found


def _features(data: _Own, attack: Regressor) -> Predictor:
    """What ridge regression uses of a record: its numbers, or random Fourier features of a Gaussian kernel."""
    if attack.kind == "ridge":
        return lambda z: z
    columns = data.order[: attack.size or None]
    rng = numpy_rng(0, f"kernel regression {len(columns)}")
    along = rng.standard_normal((len(columns), FEATURES)) / np.sqrt(len(columns))
    phase = rng.uniform(0, 2 * np.pi, FEATURES)
    along, phase = along.astype(np.float32), phase.astype(np.float32)
    # One far number would hide all others from the kernel.
    return lambda z: np.sqrt(2 / FEATURES, dtype=np.float32) * np.cos(np.clip(z[:, columns], -FAR, FAR) @ along + phase)


def _ridge(data: _Own, attack: Regressor) -> tuple[float, Predictor]:
    """R^2 on validation records, and the predictor; the penalty is chosen on them."""
    features = _features(data, attack)
    f = np.asarray(features(data.x), np.float64)
    n = data.train
    centre = f[:n].mean(0)
    f = f - centre
    gram, moment = f[:n].T @ f[:n], f[:n].T @ data.y[:n]
    unit = max(float(np.trace(gram)) / max(len(gram), 1), 1e-12)
    length, axes = np.linalg.eigh(gram)
    along, ahead = axes.T @ moment, f[n:] @ axes
    scores = [data.score(ahead @ (along / (np.maximum(length, 0) + p * unit)[:, None])) for p in PENALTIES]
    best = int(np.argmax(scores))
    # Once more, from training and validation records together.
    gram, moment = gram + f[n:].T @ f[n:], moment + f[n:].T @ data.y[n:]
    grown = len(f) / max(n, 1)
    penalty = PENALTIES[best] * unit * grown
    weights = cho_solve(cho_factor(gram + penalty * np.eye(len(gram))), moment)
    return scores[best], lambda z: (np.asarray(features(z), np.float64) - centre) @ weights


def _trees(data: _Own, size: int) -> tuple[float, Predictor]:
    """R^2 on validation records, and the predictor, of boosted trees."""
    columns, n = data.order[:size], data.train

    def made() -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(
            max_iter=TREES, max_leaf_nodes=15, max_bins=64, min_samples_leaf=10, early_stopping=False, random_state=0
        )

    z, y = data.x[:, columns], data.y[:, 0]
    score = data.score(made().fit(z[:n], y[:n]).predict(z[n:])[:, None])
    return score, lambda more: made().fit(z, y).predict(more[:, columns])[:, None]
