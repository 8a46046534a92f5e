"""Utility that needs no attribute: how much of the geometry of the records is left in the release.

Records are compared in standard deviations of each number. All figures are 1 for a release that is equal to the
originals up to scale, and near `chance` for a release that is independent of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from sordine.metrics.risk import Share, normal

NEIGHBOURS = 10
FEWEST = 2 * NEIGHBOURS  # records
HALVES = 20  # halves of the records from which the interval of CKA is computed
FOLDS = 5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of ridge regression, as multiples of the mean variance of its input
EXPLAINED = 256  # axes of the originals that are predicted one by one; the others count as not explained


@dataclass(frozen=True)
class UtilityFinding:
    """One figure of the utility.

    Parameters
    ----------
    measure
        "neighbours": the share of the k nearest neighbours of a record that are still among its k nearest. "recall":
        the share of records whose nearest neighbour is still among their k nearest. "cka": linear CKA, corrected for
        the number of records. "explained": the share of the variance of x that ridge regression predicts from x' on
        held-out records.
    k
        Number of neighbours; 0 where the measure has none.
    value, low, high
        The figure and its 95 % interval.
    chance
        Its value where released records do not depend on the originals.
    records
        Number of records.
    """

    measure: str
    k: int
    value: float
    low: float
    high: float
    chance: float
    records: int


def utility(before: np.ndarray, after: np.ndarray) -> tuple[UtilityFinding, ...]:
    """Return all figures for originals (n, d) and their released records (n, e); empty below 20 records."""
    n = len(before)
    if n < FEWEST:
        return ()
    x, y = standardised(before), standardised(after)
    near, kept_near = distances(x), distances(y)
    found = []
    nearest = weights(near, 1)
    for k in dict.fromkeys((NEIGHBOURS, max(1, round(n / 100)))):
        of_x, of_y = weights(near, k), weights(kept_near, k)
        for measure, each in (
            ("neighbours", (of_x * of_y).sum(1) / k),
            ("recall", (nearest * of_y).sum(1)),
        ):
            found.append(_finding(measure, k, _mean(each), k / (n - 1), n))
    found.append(_finding("cka", 0, linear_cka(x, y), 0.0, n))
    found.append(_finding("explained", 0, explained_variance(x, y), 0.0, n))
    return tuple(found)


def _finding(measure: str, k: int, share: Share, chance: float, records: int) -> UtilityFinding:
    return UtilityFinding(measure, k, share.value, max(share.low, -1.0), min(share.high, 1.0), chance, records)


def _mean(each: np.ndarray) -> Share:
    found = normal(float(each.mean()), float(each.std() / np.sqrt(len(each))))
    return Share(found.value, max(found.low, 0.0), found.high)


def standardised(x: np.ndarray) -> np.ndarray:
    """Return records (n, d) in standard deviations of each number; a number that does not vary is 0."""
    x = np.asarray(x, np.float64)
    scale = np.where(x.max(0) > x.min(0), x.std(0), np.inf)
    return np.asarray((x - x.mean(0)) / np.where(scale > 0, scale, np.inf))


def distances(x: np.ndarray) -> np.ndarray:
    """Return squared distances of all pairs of records (n, n): infinite on the diagonal, exactly 0 for equal ones."""
    distinct, place = np.unique(x, axis=0, return_inverse=True)
    lengths = (distinct**2).sum(1)
    found = np.maximum(lengths[:, None] + lengths - 2 * distinct @ distinct.T, 0)
    np.fill_diagonal(found, 0)
    whole = found[np.ix_(place.ravel(), place.ravel())]
    np.fill_diagonal(whole, np.inf)
    return np.asarray(whole)


def weights(distance: np.ndarray, k: int) -> np.ndarray:
    """Return how much each record (column) is one of the k nearest of another (row), 0 to 1: (n, n).

    Records that are equally far share the last places, so that each row has the sum k.
    """
    last = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    closer, equal = distance < last, distance == last
    return np.asarray(closer + equal * (k - closer.sum(1, keepdims=True)) / equal.sum(1, keepdims=True))


def linear_cka(x: np.ndarray, y: np.ndarray) -> Share:
    """Return linear centred kernel alignment (Kornblith et al., 2019) of records (n, d) and (n, e), n at least 8.

    It is made of the unbiased estimates of Song et al. (2012): on few records of many numbers, the usual estimate is
    high for independent ones. The interval is that of a jackknife that leaves half of the records out.
    """
    left, right = ((z - z.mean(0)) @ (z - z.mean(0)).T for z in (x, y))
    for part in (left, right):
        np.fill_diagonal(part, 0)
    value = _alignment(left, right)
    rng = np.random.default_rng(0)
    halves = []
    for _ in range(HALVES):
        rows = np.sort(rng.permutation(len(x))[: len(x) // 2])
        halves.append(_alignment(left[np.ix_(rows, rows)], right[np.ix_(rows, rows)]))
    return normal(value, float(np.sqrt(np.mean((np.array(halves) - value) ** 2))))


def _alignment(left: np.ndarray, right: np.ndarray) -> float:
    own = _dependence(left, left) * _dependence(right, right)
    return _dependence(left, right) / float(np.sqrt(own)) if own > 0 else 0.0


def _dependence(left: np.ndarray, right: np.ndarray) -> float:
    # The unbiased estimate of HSIC, up to a factor, from matrices of inner products with diagonal 0.
    n, sums = len(left), (left.sum(0), right.sum(0))
    cross = float((left * right).sum())
    return cross + float(sums[0].sum() * sums[1].sum()) / ((n - 1) * (n - 2)) - 2 / (n - 2) * float(sums[0] @ sums[1])


def explained_variance(x: np.ndarray, y: np.ndarray) -> Share:
    """Return the share of the variance of x (n, d) that ridge regression predicts from y (n, e), by cross-validation.

    One penalty serves all folds: the one with the smallest error on their held-out records.
    """
    fold = np.random.default_rng(0).permutation(len(x)) % FOLDS
    errors, total = np.zeros((len(PENALTIES), len(x))), np.zeros(len(x))
    x = x - x.mean(0)
    axes = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :EXPLAINED]
    for part in range(FOLDS):
        train, test = fold != part, fold == part
        predicted, goal, rest = _ridge((x, axes), y, train, test)
        total[test] = (goal**2).sum(1) + rest
        for i, some in enumerate(predicted):
            errors[i, test] = ((goal - some) ** 2).sum(1) + rest
    best = errors[errors.sum(1).argmin()]
    return ratio(best, total)


def ratio(errors: np.ndarray, total: np.ndarray, confidence: float = 0.95) -> Share:
    """Return 1 - (sum of errors) / (sum of variances), of records (n,), with the interval of a ratio of means."""
    if total.sum() <= 0:
        return Share(0.0, 0.0, 1.0)
    left = float(errors.sum() / total.sum())
    error = float(np.sqrt(((errors - left * total) ** 2).sum()) / total.sum())
    return normal(1 - left, error, confidence)


def _ridge(
    x: tuple[np.ndarray, np.ndarray], y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    # x: originals (n, d) and their axes (d, k) -> predictions for each penalty, what was to be predicted, and the
    # squared length of what no axis holds.
    centre, mean = x[0][train].mean(0), y[train].mean(0)
    moved = x[0][test] - centre
    goal = moved @ x[1]
    rest = np.maximum((moved**2).sum(1) - (goal**2).sum(1), 0)
    given, new = y[train] - mean, y[test] - mean
    gram, cross = given.T @ given, given.T @ ((x[0][train] - centre) @ x[1])
    unit = max(float(np.trace(gram)) / len(gram), 1e-12)
    made = [cho_solve(cho_factor(gram + p * unit * np.eye(len(gram))), cross) for p in PENALTIES]
    return [new @ weights for weights in made], goal, rest
