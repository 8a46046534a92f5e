"""Matching with a control: released records to originals, and two releases of the same records to each other.

The control asks for another record than the right one, chosen by chance: how often would this match be taken?
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from sordine.attacks.risk import Attempt, Knows, Space, comparisons, squared_distances
from sordine.keys import numpy_rng
from sordine.metrics.risk import Share, share

Scores = Mapping[tuple[str, Knows], np.ndarray]  # attack and what it knows -> (n, n), higher is likelier
On = Literal["fitted", "unseen"]


def to_originals(
    x: np.ndarray,
    after: np.ndarray,
    spaces: tuple[Space, Space],
    outputs: tuple[np.ndarray, np.ndarray] | None,
    own: np.ndarray | None,
) -> Scores:
    """Return how likely each released record (row) was made of each original (column).

    Parameters
    ----------
    x, after
        (n, d) originals and (n, e) their released records, in the same order.
    spaces
        Of originals and of released records: their scales.
    outputs
        P(output | x) (n, M) and the output that each release is (n,), where the modifier's output is discrete.
    own
        (keys, n, e) releases of the originals under the attacker's own keys, where it has the modifier.
    """
    found: dict[tuple[str, Knows], np.ndarray] = {}
    if x.shape == after.shape:
        for way in comparisons(*spaces):
            found[f"nearest original, {way.name}", "originals"] = -squared_distances(
                way.released(after), way.original(x)
            )
    if outputs is not None:
        p, index = outputs
        found["original with the highest probability of this output", "modifier"] = p[:, index].T
    elif own is not None:
        made = own.mean(0)
        for name, to in _spaces(Space(made)).items():
            found[f"original whose mean release is nearest, {name} numbers", "modifier"] = -squared_distances(
                to(after), to(made)
            )
    return found


def two_releases(
    first: np.ndarray,
    second: np.ndarray,
    population: np.ndarray | None = None,
    outputs: tuple[np.ndarray, np.ndarray] | None = None,
) -> Scores:
    """Return how likely each record of a release (row) is the same person's record as each of another one (column).

    Parameters
    ----------
    first, second
        (n, e) two releases of the same records under different keys.
    population
        P(output | x) (m, M) of other records, for an attacker that has a modifier with discrete output.
    outputs
        The output that each record is in both releases, (n,) each.
    """
    found: dict[tuple[str, Knows], np.ndarray] = {}
    for name, to in _spaces(Space(np.concatenate([first, second]))).items():
        found[f"nearest record of the other release, {name} numbers", "release"] = -squared_distances(
            to(first), to(second)
        )
    if population is not None and outputs is not None:
        # P(both outputs of one record) / (P(one) P(other)), over other records.
        joint = population[:, outputs[0]].T @ population[:, outputs[1]] / len(population)
        share_of = population.mean(0) + 1e-12
        found["most frequent pair of outputs", "modifier"] = joint / np.outer(
            share_of[outputs[0]], share_of[outputs[1]]
        )
    return found


def _spaces(space: Space) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    return {"standardised": space.standardised, "whitened": space.whitened}


def attempts(scores: Scores, on: On) -> list[Attempt]:
    """Return an attempt for each matrix of scores: the share of rows whose own column is the likeliest."""
    return [_attempt(name, knows, on, score) for (name, knows), score in scores.items()]


def _attempt(name: str, knows: Knows, on: On, score: np.ndarray) -> Attempt:
    n = len(score)
    best = score >= score.max(1, keepdims=True)
    share_of = 1 / best.sum(1)
    turn = numpy_rng(0, "matching").permutation(n)
    other = np.empty(n, np.int64)
    other[turn] = np.roll(turn, 1)  # a permutation in which no record is its own
    right = float((best[np.arange(n), np.arange(n)] * share_of).sum())
    wrong = float((best[np.arange(n), other] * share_of).sum())

    def at(confidence: float) -> tuple[Share, Share]:
        return share(right, n, confidence), share(wrong, n, confidence)

    return Attempt(name, knows, on, "share", at, n, n)
