"""Attack by ridge regression on random Fourier features.

A kernel machine whose cost grows with the number of records, not with its square (Rahimi and Recht, "Random features
for large-scale kernel machines", 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, solve
from sklearn.kernel_approximation import RBFSampler

from sordine.attacks.base import (
    Attack,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.attacks.views import median_distance
from sordine.run import Run

WIDTHS = (512, 2048)
# Standard deviations of the kernel, as multiples of the median distance of two training records.
SPREADS = (0.125, 0.25, 0.5, 1.0, 2.0)
# Added to the diagonal, as multiples of the mean square of a feature.
PENALTIES = (3.0, 0.3, 0.03, 0.003)


@dataclass(frozen=True)
class RandomFeatures(Attack):
    """Ridge regression to the classes on random Fourier features of standardised records.

    The kernel's width and the penalty are chosen on the validation records with few features; then the number of
    features and the penalty with that kernel. The validation records then join the training records.
    """

    budgets = ("paranoid",)
    run_time = 9

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        mean, scale = moments(x, split.own)
        z = x if on_axes else (x - mean) / scale
        median = median_distance(z[split.train], seed, "random features")
        narrow = [_features(z, median * spread, WIDTHS[0], seed) for spread in SPREADS]
        wide: dict[int, np.ndarray] = {}  # by kernel: targets often choose the same one
        predictions = []
        for target in targets:
            train, own = target.labelled(split.train), target.labelled(split.own)
            if not target.has_two_classes(train):
                predictions.append(majority_predictions(target, split.own, split.test))
                continue
            shares, held = class_shares(target, train), split.validation
            candidates = [c for features in narrow for c in _ridge(features, target, train, held, PENALTIES)]
            at = choose_candidate(candidates, shares, target, held)[0] // len(PENALTIES)
            if at not in wide:
                wide[at] = _features(z, median * SPREADS[at], WIDTHS[1], seed)
            # Of equal candidates the first counts, so the wide ones come first.
            few = candidates[at * len(PENALTIES) :][: len(PENALTIES)]
            best, least = choose_candidate(
                [*_ridge(wide[at], target, train, held, PENALTIES), *few], shares, target, held
            )
            features, penalty = (wide, narrow)[best // len(PENALTIES)][at], PENALTIES[best % len(PENALTIES)]
            found = _ridge(features, target, own, split.test, (penalty,))[0]
            predictions.append(pick_class(found, class_shares(target, own), least))
        return predictions


def _features(z: np.ndarray, spread: float, width: int, seed: int) -> np.ndarray:
    sampler = RBFSampler(gamma=0.5 / spread**2, n_components=width, random_state=seed)
    sampler.fit(z[:1])
    return np.asarray(sampler.transform(z), np.float32)


def _ridge(
    features: np.ndarray, target: Target, rows: np.ndarray, test: np.ndarray, penalties: Sequence[float]
) -> list[np.ndarray]:
    """Return, for each penalty, the predicted indicators of the classes: (len(test), classes)."""
    own = features[rows]
    mean = own.mean(0, dtype=np.float64).astype(np.float32)
    own = own - mean
    indicators = np.eye(target.classes)[target.labels[rows]]
    share = indicators.mean(0)
    indicators -= share
    # The fewer of records and features make the matrix: both give the same weights.
    few = len(own) < own.shape[1]
    square = (own @ own.T if few else own.T @ own).astype(np.float64)
    toward = indicators if few else own.T.astype(np.float64) @ indicators
    level = float(np.trace(square)) / own.shape[1] or 1.0
    new = (features[test] - mean).astype(np.float64)
    new = new @ own.T if few else new
    predicted = []
    for penalty in penalties:
        penalised = square + penalty * level * np.eye(len(square))
        try:
            weights = solve(penalised, toward, assume_a="pos")
        except LinAlgError:  # features so similar that rounding makes the matrix indefinite
            weights = np.linalg.lstsq(penalised, toward, rcond=None)[0]
        predicted.append(new @ weights + share)
    return predicted
