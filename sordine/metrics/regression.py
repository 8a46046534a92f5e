"""Measures of predictions of a continuous attribute: R^2, rank correlation, and their intervals.

Truth and predictions are (n,) or (n, k); with several numbers, measures are means over them. A bootstrap draws records,
or whole groups of records.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from sordine.keys import numpy_rng

RESAMPLES = 400
PERMUTATIONS = 1000

Interval = tuple[float, float]


def r_squared(truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return R^2, 1 - squared error / variance, of each sample: (samples,), at most 1.

    0 is what the mean of the tested records gives; predictions may be worse.

    Parameters
    ----------
    truth, predicted
        (n,) or (n, k).
    weight
        (samples, n) weight of each record. None: one sample, in which every record has weight one.
    """
    y, p = _columns(truth), _columns(predicted)
    w = np.ones((1, len(y))) if weight is None else weight
    # Centred first: the variance of a large number is otherwise lost in rounding.
    y, p = y - y.mean(0), p - y.mean(0)
    total = np.maximum(w.sum(1, keepdims=True), 1e-300)
    spread = w @ y**2 / total - (w @ y / total) ** 2
    error = w @ (y - p) ** 2 / total
    return np.asarray((1 - error / np.maximum(spread, 1e-300)).mean(1))


def rank_correlation(truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return Spearman's rank correlation of each sample: (samples,). Ranks are those among all records."""
    a, b = (np.apply_along_axis(rankdata, 0, _columns(v)) / len(v) for v in (truth, predicted))
    return correlation(a, b, weight)


def correlation(truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return Pearson's correlation of each sample: (samples,); 0 where one side does not vary."""
    y, p = _columns(truth), _columns(predicted)
    w = np.ones((1, len(y))) if weight is None else weight
    y, p = y - y.mean(0), p - p.mean(0)
    total = np.maximum(w.sum(1, keepdims=True), 1e-300)
    my, mp = w @ y / total, w @ p / total
    both = w @ (y * p) / total - my * mp
    size = np.sqrt(np.maximum(w @ y**2 / total - my**2, 0) * np.maximum(w @ p**2 / total - mp**2, 0))
    return np.asarray(np.where(size > 1e-12, both / np.maximum(size, 1e-12), 0.0).mean(1))


def bootstrap_weights(n: int, group: np.ndarray | None = None, samples: int = RESAMPLES) -> np.ndarray:
    """Return how often each record is drawn in each bootstrap sample: (samples, n) float32.

    Parameters
    ----------
    n
        Number of records.
    group
        (n,) codes; groups are drawn whole. -1: a group of its own. None: records are drawn.
    samples
        Number of samples.
    """
    rng = numpy_rng(0, "bootstrap of a regression")
    codes = np.arange(n) if group is None else units_of(group)
    units = int(codes.max(initial=-1)) + 1
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=samples).astype(np.float32)
    return np.asarray(drawn[:, codes])


def units_of(group: np.ndarray) -> np.ndarray:
    """Return unit codes 0, 1, ... of groups (n,): each record of group -1 is a unit of its own."""
    alone = group < 0
    codes = np.where(alone, np.int64(group.max(initial=-1)) + 1 + np.arange(len(group)), group)
    return np.unique(codes, return_inverse=True)[1]


def interval(samples: np.ndarray, value: float, confidence: float = 0.95) -> Interval:
    """Return the percentile interval of bootstrap samples; it contains the value."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, (tail, 1 - tail))
    return float(min(low, value)), float(max(high, value))


def chance_r_squared(
    truth: np.ndarray, predicted: np.ndarray, group: np.ndarray | None = None, level: float = 0.05
) -> tuple[float, float]:
    """Return the smallest R^2 that is significant on these records, and the p-value of the predictions.

    The statistic is the squared correlation, with its sign. It is the R^2 of predictions at their best scale. Truth is
    permuted, whole groups where truth is the same in all records of a group.

    Parameters
    ----------
    truth, predicted
        (n,) or (n, k).
    group
        (n,) codes or None.
    level
        Of the test.

    Returns
    -------
    smallest, p
        R^2 >= 0, and a probability.
    """
    y, p = _columns(truth), _columns(predicted)
    z = [(v - v.mean(0)) / np.maximum(v.std(0), 1e-12) for v in (y, p)]
    rng = numpy_rng(0, "permuted truth")
    units = None if group is None else units_of(group)
    first = None if units is None else np.unique(units, return_index=True)[1]
    whole = units is not None and first is not None and len(first) < len(y) and np.array_equal(y, y[first][units])
    found = np.empty(PERMUTATIONS)
    for i in range(PERMUTATIONS):
        if whole:
            assert first is not None
            shuffled = z[0][rng.permutation(first)][units]
            shuffled = (shuffled - shuffled.mean(0)) / np.maximum(shuffled.std(0), 1e-12)
        else:
            shuffled = z[0][rng.permutation(len(y))]
        found[i] = _signed_square(shuffled, z[1])
    own = _signed_square(z[0], z[1])
    return max(float(np.quantile(found, 1 - level)), 0.0), float((1 + (found >= own).sum()) / (1 + PERMUTATIONS))


def _signed_square(y: np.ndarray, p: np.ndarray) -> float:
    r = np.einsum("nk,nk->k", y, p) / len(y)
    return float((np.sign(r) * r**2).mean())


def _columns(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(len(values), -1)
