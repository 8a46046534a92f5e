"""Attack by the k nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sordine.attacks.base import (
    Attack,
    Prepared,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_class,
    moments,
    pick_class,
)
from sordine.run import Run

NEIGHBOURS = (1, 3, 7, 15, 31, 63, 127, 255)


@dataclass(frozen=True)
class Neighbours(Attack):
    """A majority vote of the k nearest training records, in standardised features.

    k, and whether the likeliest or the least likely class is predicted, are chosen on the validation records, which
    then join the training records. One search serves every target and k.
    Nothing is random. Records on principal axes have one scale already and are not standardised.
    """

    budgets = ("quick", "standard", "paranoid")
    finds_plants = "in all numbers"
    run_time = 2

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        z = _scaled(x, split, on_axes)
        near = _nearest(z, split.train, split.validation)
        chosen = [_choice(target, near, split) for target in targets]
        near = _nearest(z, split.own, split.test, max(k for k, _ in chosen))
        return [_predicted(target, near, split, choice) for target, choice in zip(targets, chosen, strict=True)]

    def prepare(self, x: np.ndarray, split: Split, target: Target, run: Run, *, on_axes: bool = False) -> Prepared:
        return _Prepared(self, x, split, target, run, on_axes)


@dataclass(frozen=True)
class _Prepared(Prepared):
    # Neighbours stay the same whatever the labels.
    @cached_property
    def near(self) -> tuple[np.ndarray, np.ndarray]:
        z, split = _scaled(self.x, self.split, self.on_axes), self.split
        return _nearest(z, split.train, split.validation), _nearest(z, split.own, split.test)

    def relabelled(self, labels: np.ndarray) -> np.ndarray:
        target, (of_validation, of_test) = Target(labels, self.target.classes), self.near
        return _predicted(target, of_test, self.split, _choice(target, of_validation, self.split))


def _scaled(x: np.ndarray, split: Split, on_axes: bool) -> np.ndarray:
    mean, scale = moments(x, split.train)
    return x if on_axes else np.asarray((x - mean) / scale)


def _nearest(z: np.ndarray, among: np.ndarray, of: np.ndarray, most: int = NEIGHBOURS[-1]) -> np.ndarray:
    search = NearestNeighbors(n_neighbors=min(most, len(among)), algorithm="brute")
    return among[search.fit(z[among]).kneighbors(z[of], return_distance=False)]


def _choice(target: Target, near: np.ndarray, split: Split) -> tuple[int, bool]:
    """Return k, and whether the least likely class is predicted, from the neighbours of the validation records."""
    votes = _votes(target, near, split.train)
    at, least = choose_candidate(list(votes.values()), class_shares(target, split.train), target, split.validation)
    return list(votes)[at], least


def _predicted(target: Target, near: np.ndarray, split: Split, choice: tuple[int, bool]) -> np.ndarray:
    """Return the predicted classes of the test records from their neighbours."""
    k, least = choice
    counted = _votes(target, near, split.own, (k,))[min(k, near.shape[1])]
    return pick_class(counted, class_shares(target, split.own), least)


def _votes(
    target: Target, near: np.ndarray, among: np.ndarray, counts: Sequence[int] = NEIGHBOURS
) -> dict[int, np.ndarray]:
    # k -> the votes of the k nearest for each class, (m, classes); the nearest one's class breaks ties. Unlabelled
    # records do not vote.
    labels = target.labels[near]
    rows = np.arange(len(near))
    tally = np.full((len(near), target.classes), 0.0)
    tally[:, majority_class(target, among)] = 1e-9
    counted, done = {}, 0
    for k in sorted({min(k, near.shape[1]) for k in counts}):
        for j in range(done, k):
            voting = labels[:, j] >= 0
            tally[rows[voting], labels[voting, j]] += 1 + 1e-4 / (j + 1)
        counted[k], done = tally.copy(), k
    return counted
