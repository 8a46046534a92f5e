"""Attack by Gaussian discriminants: each class has a mean and a covariance of its own, shrunk (Friedman, 1989)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import softmax

from sordine.attacks.base import (
    Attack,
    Prepared,
    Split,
    Target,
    choose_candidate,
    class_shares,
    folds_of,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.attacks.principal_axes import longest_axes
from sordine.run import Run

AXES = (12, 40, 128)  # longest principal axes that a discriminant uses
SHARED = (0.0, 0.5, 0.9, 1.0)  # weight of the covariance that all classes share: 1 is a linear discriminant
ROUND = (0.02, 0.3)  # weight of a round covariance
MOST_CLASSES = 64  # above it, all classes share a covariance


@dataclass(frozen=True)
class Discriminant(Attack):
    """A Gaussian for each class on principal axes, scaled to unit variance.

    The covariance of a class is shrunk towards the one that all classes share, and towards a round one. Both weights,
    the number of axes, and whether the likeliest or the least likely class is predicted, are chosen by cross-validation
    within the attacker's own records. Covariances find a leak that moves no mean.
    """

    budgets = ("standard", "paranoid")
    released_only = ("standard",)
    finds_plants = "in all numbers"
    run_time = 4

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        z = _on_axes(x, split.own, on_axes)
        return [_predict(z, target, split) for target in targets]

    def prepare(self, x: np.ndarray, split: Split, target: Target, run: Run, *, on_axes: bool = False) -> Prepared:
        return _Prepared(self, x, split, target, run, on_axes)


@dataclass(frozen=True)
class _Prepared(Prepared):
    @cached_property
    def z(self) -> np.ndarray:
        return _on_axes(self.x, self.split.own, self.on_axes)

    def relabelled(self, labels: np.ndarray) -> np.ndarray:
        return _predict(self.z, Target(labels, self.target.classes), self.split)


def _on_axes(x: np.ndarray, own: np.ndarray, on_axes: bool) -> np.ndarray:
    """Return records on their longest principal axes, scaled to unit variance: (n, k); k is 0 where nothing varies."""
    mean, scale = moments(x, own)
    z = (x - mean) if on_axes else (x - mean) / scale
    z = z @ longest_axes(z[own])
    return np.asarray(z / moments(z, own)[1] if z.shape[1] else z)


def _predict(z: np.ndarray, target: Target, split: Split) -> np.ndarray:
    own, folds = target.labelled(split.own), folds_of(target, split)
    if not folds or not z.shape[1]:
        return majority_predictions(target, split.own, split.test)
    choices = _choices(z.shape[1], target.classes)
    made = [list(_probabilities(z, target, fold.train, fold.held, choices)) for fold in folds]
    candidates = [np.concatenate(parts) for parts in zip(*made, strict=True)]
    shares = class_shares(target, own)
    at, least = choose_candidate(candidates, shares, target, np.concatenate([fold.held for fold in folds]))
    return pick_class(next(_probabilities(z, target, own, split.test, [choices[at]])), shares, least)


def _choices(width: int, classes: int) -> list[tuple[int, float, float]]:
    axes = sorted({min(count, width) for count in AXES})
    shared = SHARED if classes <= MOST_CLASSES else (1.0,)
    return [(count, one, other) for count in axes for one in shared for other in ROUND]


def _probabilities(
    z: np.ndarray, target: Target, rows: np.ndarray, test: np.ndarray, choices: Sequence[tuple[int, float, float]]
) -> Iterator[np.ndarray]:
    """Yield P(class | record) of the test records for each choice: (len(test), classes)."""
    labels = target.labels[rows]
    shares = class_shares(target, rows)
    present = np.flatnonzero(shares)
    means = np.stack([z[rows[labels == c]].mean(0) for c in present]).astype(np.float64)
    spreads = [np.cov(z[rows[labels == c]].T.astype(np.float64), bias=True).reshape(z.shape[1], -1) for c in present]
    within = np.einsum("c,cij->ij", shares[present], np.stack(spreads))
    for count, shared, round_ in choices:
        scores = np.full((len(test), target.classes), -np.inf)
        for i, c in enumerate(present):
            covariance = (1 - shared) * spreads[i][:count, :count] + shared * within[:count, :count]
            covariance = (1 - round_) * covariance + round_ * np.eye(count)
            if i == 0 or shared < 1:
                lower = cholesky(covariance, lower=True)
                # Rows of the inverse give numbers of unit variance.
                whiten = solve_triangular(lower, np.eye(count), lower=True).T.astype(np.float32)
                volume = np.log(np.diag(lower)).sum()
            away = (z[test, :count] - means[i, :count].astype(np.float32)) @ whiten
            scores[:, c] = np.log(shares[c]) - volume - np.einsum("ij,ij->i", away, away) / 2
        yield softmax(scores, axis=1)
