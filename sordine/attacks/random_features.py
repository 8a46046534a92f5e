"""An attacker that sees records through random Fourier features: a kernel machine whose cost grows with the records, not with
their square (Rahimi and Recht, 2007)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.linalg import LinAlgError, solve
from sklearn.kernel_approximation import RBFSampler

from sordine.attacks.base import Secret, Trial, right, standardise, usual
from sordine.keys import numpy_rng

WIDTHS = (512, 2048)
# The kernel's standard deviation, times the median distance of two training records.
SPREADS = (0.125, 0.25, 0.5, 1.0, 2.0)
# Times the mean square of a feature: added to the diagonal.
PENALTIES = (3.0, 0.3, 0.03, 0.003)
_SAMPLE = 400  # records whose distances are looked at


def random_features(
    x: np.ndarray,
    trial: Trial,
    secrets: Sequence[Secret],
    seed: int = 0,
    device: str = "cpu",
    *,
    alike: bool = False,
) -> list[np.ndarray]:
    """Ridge regression to the classes on random Fourier features of standardised records (alike: they are of one scale already).

    The width of the kernel and the penalty are chosen on the validation rows with few features, the number of features
    and the penalty with that kernel; the validation rows then join the training rows.
    """
    own = np.concatenate([trial.train, trial.validation])
    mean, scale = standardise(x, own)
    z = x if alike else (x - mean) / scale
    middle = _median_distance(z[trial.train], seed)
    narrow = [_seen(z, middle * spread, WIDTHS[0], seed) for spread in SPREADS]
    wide: dict[int, np.ndarray] = {}  # by the kernel: secrets often choose the same one
    predictions = []
    for secret in secrets:
        train, every = (rows[secret.labels[rows] >= 0] for rows in (trial.train, own))
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        scores = [_best(seen, secret, train, trial.validation) for seen in narrow]
        at = max(range(len(SPREADS)), key=lambda i: scores[i][0])
        if at not in wide:
            wide[at] = _seen(z, middle * SPREADS[at], WIDTHS[1], seed)
        score, penalty = _best(wide[at], secret, train, trial.validation)
        seen = wide[at]
        if scores[at][0] > score:
            seen, penalty = narrow[at], scores[at][1]
        predictions.append(_ridge(seen, secret, every, trial.tried, (penalty,))[0])
    return predictions


def _median_distance(z: np.ndarray, seed: int) -> float:
    rng = numpy_rng(seed, "random features")
    one, other = (z[rng.integers(0, len(z), _SAMPLE)] for _ in range(2))
    apart = np.sqrt(np.square(one - other, dtype=np.float64).sum(1))
    apart = apart[apart > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def _seen(z: np.ndarray, spread: float, width: int, seed: int) -> np.ndarray:
    sampler = RBFSampler(gamma=0.5 / spread**2, n_components=width, random_state=seed)
    sampler.fit(z[:1])
    return np.asarray(sampler.transform(z), np.float32)


def _best(seen: np.ndarray, secret: Secret, train: np.ndarray, validation: np.ndarray) -> tuple[float, float]:
    # How much of the validation rows is read with the best penalty, and which that is.
    predicted = _ridge(seen, secret, train, validation, PENALTIES)
    scores = [right(secret, validation, p) for p in predicted]
    best = int(np.argmax(scores))
    return scores[best], PENALTIES[best]


def _ridge(
    seen: np.ndarray, secret: Secret, rows: np.ndarray, tried: np.ndarray, penalties: Sequence[float]
) -> list[np.ndarray]:
    """The class whose indicator is predicted largest, for each penalty: (len(tried),) codes."""
    own = seen[rows]
    middle = own.mean(0, dtype=np.float64).astype(np.float32)
    own = own - middle
    target = np.eye(secret.classes)[secret.labels[rows]]
    share = target.mean(0)
    target -= share
    # Of records and features, the fewer make the matrix: both give the same weights.
    few = len(own) < own.shape[1]
    square = (own @ own.T if few else own.T @ own).astype(np.float64)
    toward = target if few else own.T.astype(np.float64) @ target
    mean = float(np.trace(square)) / own.shape[1] or 1.0
    new = (seen[tried] - middle).astype(np.float64)
    new = new @ own.T if few else new
    predicted = []
    for penalty in penalties:
        penalised = square + penalty * mean * np.eye(len(square))
        try:
            weights = solve(penalised, toward, assume_a="pos")
        except LinAlgError:  # features so alike that rounding made the matrix indefinite
            weights = np.linalg.lstsq(penalised, toward, rcond=None)[0]
        predicted.append((new @ weights + share).argmax(1))
    return predicted
