"""Linkability: which original became this released record?"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from sordine.attacks.base import moments
from sordine.attacks.principal_axes import WIDEST, longest_axes
from sordine.attacks.results import LinkageFinding
from sordine.keys import numpy_rng
from sordine.metrics.nag import wilson

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the fitted map, as multiples of the mean squared length of its input
FEWEST_TO_LEARN = 40  # pairs, below which no map is fitted
VALIDATION = 4  # one in so many pairs to learn from chooses the penalty

On = Literal["fitted", "unseen"]
Unit = tuple[str, np.ndarray]  # name of the unit, and the unit of each record (n,), -1 unknown


def link(
    before: np.ndarray,
    after: np.ndarray,
    on: On,
    distribution: tuple[np.ndarray, np.ndarray] | None = None,
    unit: Unit | None = None,
) -> list[LinkageFinding]:
    """Match released records with originals.

    Parameters
    ----------
    before, after
        Originals (n, *shape) and releases (n, *other shape) of the same records, row by row.
    on
        The side of the split from which the records come.
    distribution
        For an attacker that knows a discrete modifier: P(j | x) of the originals (n, M), and the output j that each
        release is (n,).
    unit
        Name and (n,) codes of the unit (a person, for instance) to which each record belongs, -1 unknown.

    Returns
    -------
    list of LinkageFinding
        One for each attacker that applies. "standardised" and "whitened" take the nearest original, where both have one
        shape. "learnt" maps releases to originals: it is fitted to half of the pairs and tested on the other half.
        "standardised apart" and "whitened apart" do so too, after each side was put on its own scale. "channel" takes
        the original with the highest probability of this output.
    """
    x, y = (np.asarray(part, np.float32).reshape(len(part), -1) for part in (before, after))
    found = []
    every = np.arange(len(x))
    if x.shape == y.shape:
        mean, scale = moments(x, every)
        z, w = (x - mean) / scale, (y - mean) / scale
        found.append(_finding("standardised", on, _nearness(w, z), every, unit))
        axes = longest_axes(z)
        spread = np.maximum((z @ axes).std(0), 1e-6)
        found.append(_finding("whitened", on, _nearness(w @ axes / spread, z @ axes / spread), every, unit))
        mean, scale = moments(y, every)
        w = (y - mean) / scale
        found.append(_finding("standardised apart", on, _nearness(w, z), every, unit))
        there = longest_axes(w)
        back = there / np.maximum((w @ there).std(0), 1e-6)
        # The axes of both sides differ, also in sign: their common frame is that of the numbers.
        nearness = _nearness((w @ back) @ (there.T @ axes), z @ axes / spread)
        found.append(_finding("whitened apart", on, nearness, every, unit))
    if len(x) >= FEWEST_TO_LEARN:
        found.append(_by_learnt_map(x, y, on, unit))
    if distribution is not None:
        p, index = distribution
        found.append(_finding("channel", on, np.asarray(p[:, index].T, np.float64), every, unit))
    return found


def _nearness(released: np.ndarray, originals: np.ndarray) -> np.ndarray:
    # The negative squared distance of each release to each original, up to a constant in each row: (n, n).
    return np.asarray(2 * released @ originals.T - (originals.astype(np.float64) ** 2).sum(1), np.float64)


def _by_learnt_map(x: np.ndarray, y: np.ndarray, on: On, unit: Unit | None) -> LinkageFinding:
    """Match by ridge regression from releases y (n, e) to originals x (n, d) on their principal axes.

    The penalty is chosen on a quarter of the pairs to learn from. An axis counts by how well it is predicted there: its
    distance is divided by the variance of its error.
    """
    order = numpy_rng(0, "linkage halves").permutation(len(x))
    own, test = np.sort(order[: len(x) // 2]), np.sort(order[len(x) // 2 :])
    held_out = np.arange(len(own)) % VALIDATION == 0
    train, validation = own[~held_out], own[held_out]
    mean, scale = moments(x, own)
    z = (x - mean) / scale
    goal = z @ longest_axes(z[own])
    mean, scale = moments(y, own)
    given = (y - mean) / scale
    if given.shape[1] > WIDEST:
        given = given @ longest_axes(given[own])
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in PENALTIES:
        residual = goal[validation] - _ridge(given[train], goal[train], penalty, given[validation])
        error = residual.var(0) + 1e-6
        gain = float(np.log(goal[validation].var(0) + 1e-6).sum() - np.log(error).sum())
        if best is None or gain > best[0]:
            best = gain, penalty, error
    assert best is not None
    weight = 1 / np.sqrt(best[2])
    predicted = _ridge(given[own], goal[own], best[1], given[test])
    return _finding("learnt", on, _nearness(predicted * weight, goal[test] * weight), test, unit)


def _ridge(given: np.ndarray, goal: np.ndarray, penalty: float, new: np.ndarray) -> np.ndarray:
    mean = goal.mean(0)
    gram = (given @ given.T).astype(np.float64)
    weights = np.linalg.solve(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), goal - mean)
    return np.asarray((new @ given.T) @ weights + mean)


def _finding(attacker: str, on: On, score: np.ndarray, rows: np.ndarray, unit: Unit | None) -> LinkageFinding:
    # score: (n, n), higher is likelier; a row is a release, a column an original. rows: positions in the unit's codes.
    n = len(score)
    own = np.diag(score)[:, None]
    higher, equal = (score > own).sum(1), (score == own).sum(1)
    rank = higher + (equal + 1) / 2
    top1 = float(np.where(higher == 0, 1 / equal, 0).mean())
    low, high = wilson(top1 * n, n)
    of_units = {} if unit is None else _unit_fields(unit[0], unit[1][rows], score)
    return LinkageFinding(attacker, on, top1, low, high, 1 / n, float(rank.mean()), n, **of_units)


def _unit_fields(name: str, codes: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    # The share of releases whose best match is of the right unit. Originals of an unknown unit are no candidates.
    known = codes >= 0
    if not known.any():
        return {}
    among = score[np.ix_(known, known)]
    best = among == among.max(1, keepdims=True)
    correct = (best & (codes[known][:, None] == codes[known][None])).sum(1) / best.sum(1)
    return {
        "unit": name,
        "unit_top1": float(correct.mean()),
        "unit_guess": float(np.bincount(codes[known]).max() / known.sum()),
        "unit_records": int(known.sum()),
    }
