"""Singling out: statements made of released records that are true of exactly one original (Opinion 05/2014).

The control makes the same statements of the released records of other persons' or other originals, and tests them on
the same originals. What the control isolates is isolated by chance, or by what is true of all such records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import rankdata

from sordine.attacks.risk import Attempt, Comparison, Space, comparisons, squared_distances
from sordine.keys import numpy_rng
from sordine.metrics.risk import share

COLUMNS = 4  # numbers in a statement on several numbers
MOST_COLUMNS = 8  # in a statement on extreme values
TRIES = 8  # choices of numbers until a statement is true of one released record only
FEWEST = 20  # originals, below which nothing is measured
OWN_SCALE = "each side on its own scale"
SLACK = 1e-4  # standard deviations: rounding, where each side is standardised on its own


@dataclass(frozen=True)
class Isolated:
    """How many statements there are, and how many are true of exactly one original."""

    right: int
    made: int


Statement = Callable[[np.ndarray, np.ndarray], Isolated]  # of originals and released records


def attempts(
    originals: np.ndarray, released: np.ndarray, others: np.ndarray, spaces: tuple[Space, Space]
) -> list[Attempt]:
    """Return the attacks and their controls.

    Parameters
    ----------
    originals
        (n, d) the originals that are to be singled out.
    released
        (n, d) their released records.
    others
        (n, d) released records of other originals, as many.
    spaces
        Of originals and of all released records: their scales. Statements are made on the scale of the originals, and
        again with each side on its own scale.
    """
    alike, whitened, apart, whitened_apart = comparisons(*spaces)
    ways: list[tuple[str, Statement, Comparison | None]] = [
        ("one number: the largest or the smallest value", extremes, alike),
        ("one number: a value that occurs once", rare_values, None),
        ("several numbers: all at least as extreme as the record's", corners, alike),
        (f"{COLUMNS} numbers: a small interval of each", intervals, alike),
        ("all numbers: the neighbourhood of a released record", neighbourhoods, alike),
        ("all numbers: the neighbourhood of a released record, whitened", neighbourhoods, whitened),
        ("all numbers: nearer to a released record than to any other one", cells, alike),
    ]
    # A copy on another scale is the original up to rounding.
    rounded: dict[Statement, Statement] = {
        extremes: partial(extremes, slack=SLACK),
        corners: partial(corners, slack=SLACK),
    }
    ways += [
        (f"{name}, {OWN_SCALE}", rounded.get(statement, statement), apart if way is alike else whitened_apart)
        for name, statement, way in ways
        if way is not None
    ]
    found = []
    for name, statement, way in ways:
        x, own, other = _numbers(way, originals, released, others)
        both = statement(x, own), statement(x, other)
        if both[0].made and both[1].made:
            found.append(_attempt(name, *both))
    return found


def _numbers(way: Comparison | None, originals: np.ndarray, *released: np.ndarray) -> tuple[np.ndarray, ...]:
    if way is None:
        return originals, *released
    return way.original(originals), *(way.released(part) for part in released)


def _attempt(name: str, own: Isolated, other: Isolated) -> Attempt:
    return Attempt(
        name,
        "release",
        "fitted",
        "share",
        lambda confidence: (share(own.right, own.made, confidence), share(other.right, other.made, confidence)),
        own.made,
        other.made,
    )


def extremes(originals: np.ndarray, released: np.ndarray, slack: float = 0.0) -> Isolated:
    """Try "this number is at least (at most) the largest (smallest) released value", once for each released record.

    An original may miss the value by `slack`, for rounding.
    """
    right = made = 0
    used: set[int] = set()
    for sign in (1, -1):
        rows = (sign * released).argmax(0)
        for column, row in enumerate(rows):
            values = sign * released[:, column]
            if int(row) in used or values[row] == np.median(values):
                continue
            used.add(int(row))
            made += 1
            right += int((sign * originals[:, column] >= values[row] - slack).sum() == 1)
    return Isolated(right, made)


def rare_values(originals: np.ndarray, released: np.ndarray) -> Isolated:
    """Try "this number has exactly this value" for released values that occur once, once for each released record.

    The number is the one in which most released values repeat, among those in which the record's value does not.
    """
    n = len(released)
    order = np.sort(released, axis=0)
    distinct = 1 + (np.diff(order, axis=0) != 0).sum(0)
    right = made = 0
    columns = np.argsort(distinct, kind="stable")
    columns = columns[distinct[columns] > 1]
    left = np.ones(n, bool)
    for column in columns:
        _, first, counts = np.unique(released[:, column], return_index=True, return_counts=True)
        once = first[(counts == 1) & left[first]]
        if len(once):
            known, times = np.unique(originals[:, column], return_counts=True)
            place = np.minimum(np.searchsorted(known, released[once, column]), len(known) - 1)
            right += int(((known[place] == released[once, column]) & (times[place] == 1)).sum())
            made += len(once)
            left[once] = False
        if not left.any() or distinct[column] == n:
            break
    return Isolated(right, made)


def corners(originals: np.ndarray, released: np.ndarray, slack: float = 0.0) -> Isolated:
    """Try "these numbers are all at least as far from the median as a released record's", on the same side.

    The numbers are those in which the record is most extreme among released ones, as few as isolate it among them. An
    original may miss a value by `slack`, for rounding.
    """
    side = np.sign(released - np.median(released, axis=0))
    beyond = rankdata(np.abs(released - np.median(released, axis=0)), method="max", axis=0)
    right = made = 0
    for row in range(len(released)):
        columns = np.argsort(-beyond[row], kind="stable")[:MOST_COLUMNS]
        columns = columns[side[row, columns] != 0]
        signs, bounds = side[row, columns], released[row, columns]
        alike = np.logical_and.accumulate(signs * released[:, columns] >= signs * bounds, axis=1).sum(0)
        if not len(alike) or alike[-1] > 1:
            continue
        few = slice(0, int(np.argmax(alike == 1)) + 1)
        made += 1
        right += int((signs[few] * originals[:, columns[few]] >= signs[few] * bounds[few] - slack).all(1).sum() == 1)
    return Isolated(right, made)


def intervals(originals: np.ndarray, released: np.ndarray) -> Isolated:
    """Try "these numbers are each this close to a released record's", half as close as the next released record is."""
    rng = numpy_rng(0, "singling out")
    right = made = 0
    width = released.shape[1]
    varies = np.flatnonzero(released.max(0) > released.min(0))
    if not len(varies):
        return Isolated(0, 0)
    for row in range(len(released)):
        for _ in range(TRIES):
            columns = rng.choice(varies, min(COLUMNS, len(varies), width), replace=False)
            near = np.abs(released[:, columns] - released[row, columns]).max(1)
            others = np.partition(near, 1)[1]  # the smallest is the record itself
            if others > 0:
                inside = np.abs(originals[:, columns] - released[row, columns]).max(1) <= others / 2
                made += 1
                right += int(inside.sum() == 1)
                break
    return Isolated(right, made)


def neighbourhoods(originals: np.ndarray, released: np.ndarray) -> Isolated:
    """Try "the record is this close to a released record", half as close as the next other released record is."""
    distinct = np.unique(released, axis=0)
    if len(distinct) < 2:
        return Isolated(0, 0)
    among = squared_distances(distinct, distinct)
    np.fill_diagonal(among, np.inf)
    radius = among.min(1) / 4
    # Rounding: what is computed as the distance of equal records is not exactly 0.
    slack = 1e-5 * (distinct**2).sum(1)
    inside = (squared_distances(distinct, originals) <= (radius + slack)[:, None]).sum(1)
    return Isolated(int((inside == 1).sum()), len(distinct))


def cells(originals: np.ndarray, released: np.ndarray) -> Isolated:
    """Try "the record is nearer to this released record than to any other one"."""
    distinct = np.unique(released, axis=0)
    if len(distinct) < 2:
        return Isolated(0, 0)
    nearest = squared_distances(originals, distinct).argmin(1)
    return Isolated(int((np.bincount(nearest, minlength=len(distinct)) == 1).sum()), len(distinct))
