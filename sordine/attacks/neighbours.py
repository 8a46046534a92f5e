"""Attack by the k nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sordine.attacks.base import (
    Attack,
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
        mean, scale = moments(x, split.train)
        z = x if on_axes else (x - mean) / scale
        near = _nearest(z, split.train, split.validation)
        chosen = []
        for target in targets:
            votes = _votes(target, near, split.train)
            at, least = choose_candidate(
                list(votes.values()), class_shares(target, split.train), target, split.validation
            )
            chosen.append((list(votes)[at], least))
        own = split.own
        near = _nearest(z, own, split.test, max(k for k, _ in chosen))
        predictions = []
        for target, (k, least) in zip(targets, chosen, strict=True):
            counted = _votes(target, near, own, (k,))[min(k, near.shape[1])]
            predictions.append(pick_class(counted, class_shares(target, own), least))
        return predictions


def _nearest(z: np.ndarray, among: np.ndarray, of: np.ndarray, most: int = NEIGHBOURS[-1]) -> np.ndarray:
    search = NearestNeighbors(n_neighbors=min(most, len(among)), algorithm="brute")
    return among[search.fit(z[among]).kneighbors(z[of], return_distance=False)]


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
