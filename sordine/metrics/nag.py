"""The normalised accuracy gain (NAG) and its interval.

Shares lie in [0, 1]. `n` counts distinct records, not records times seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from sordine.errors import SordineError
from sordine.metrics.accuracy import labelled

FAR = 1e4  # a NAG beyond which no end of an interval is looked for


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise SordineError(f"metrics: confidence is {confidence}; it must lie between 0 and 1")
    return float(ndtri((1 + confidence) / 2))


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share.

    Parameters
    ----------
    successes
        How often the event occurred. May be fractional: the mean over seeds times the distinct records.
    n
        Number of distinct records.
    confidence
        Between 0 and 1.

    Returns
    -------
    low, high
        In [0, 1]; (0, 1) where there is no record.
    """
    z = _z(confidence)
    if n <= 0:
        return 0.0, 1.0
    share = min(max(successes / n, 0.0), 1.0)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n the limit is exact; rounding would leave the share outside its own interval.
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)


def nag(after: float, before: float, baseline: float) -> float:
    """Return the normalised accuracy gain, unclipped: (after - baseline) / (before - baseline).

    NaN where `before` equals the baseline.
    """
    return (after - baseline) / (before - baseline) if before != baseline else math.nan


def gain(after: float, baseline: float) -> float:
    """Return the share of what is missing to certainty: NAG where the accuracy on originals counts as 1; 0 or more.

    It stands for NAG where attacks infer too little from the originals.
    """
    return max(after - baseline, 0.0) / (1 - baseline) if baseline < 1 else 0.0


def balanced_nag(after: float, before: float, classes: int) -> float:
    """Return the NAG of balanced accuracies, whose baseline is 1 / classes."""
    return nag(after, before, 1 / classes)


def nag_is_defined(before: float, baseline: float, n: float, independent: float | None = None) -> bool:
    """Return whether `before` exceeds the baseline by two standard errors on n distinct records; NAG needs that.

    `before` may be worth fewer independent records; None: n.
    """
    if n <= 0 or before <= baseline:
        return False
    if independent is not None:
        variance = before * (1 - before) / independent + baseline * (1 - baseline) / n
        return before - baseline >= 2 * math.sqrt(variance)
    return before - baseline >= 2 * math.sqrt((before * (1 - before) + baseline * (1 - baseline)) / n)


def correlations(truth: np.ndarray, after: np.ndarray, before: np.ndarray) -> tuple[float, float, float]:
    """Return the correlations over records of three events, for `nag_interval`.

    The events are: correct on released records, correct on originals, of the majority class.

    Parameters
    ----------
    truth, after, before
        (n,) labels, and predictions from released and from original records.

    Returns
    -------
    tuple of float
        Of (after, before), (after, baseline) and (before, baseline); 0 where an event is constant.
    """
    truth, after, before = labelled(truth, after, before)
    values, counts = np.unique(truth, return_counts=True)
    events = np.stack([after == truth, before == truth, truth == values[counts.argmax()]]).astype(np.float64)
    events -= events.mean(1, keepdims=True)
    cov = events @ events.T
    spread = np.sqrt(np.maximum(np.outer(np.diag(cov), np.diag(cov)), 0))
    r = np.divide(cov, spread, out=np.zeros_like(cov), where=spread > 0)
    return float(r[0, 1]), float(r[0, 2]), float(r[1, 2])


def nag_interval(
    after: float,
    before: float,
    baseline: float,
    n: float,
    *,
    confidence: float = 0.95,
    correlation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    classes: int | None = None,
    independent: tuple[float, float] | None = None,
) -> tuple[float, float] | None:
    """Return the interval of NAG, unclipped, from three shares measured on the same n distinct records.

    NAG is the theta at which T(theta) = after - theta * before - (1 - theta) * baseline is 0. The interval holds every
    theta whose own interval of T holds 0 (Fieller's argument). The interval of T joins the three Wilson intervals by
    the method of variance estimates recovery (MOVER; Zou and Donner, 2008). It adds up, as the root of squares, the
    distances of the shares from the Wilson limits that lie towards T = 0, weighted by 1, theta and 1 - theta. So the
    error of the baseline counts once although it enters twice, and the interval is right for small n and shares near 0
    and 1.

    The majority class is chosen on the same records. Of many equally frequent classes, its measured share is too
    high, and an attacker at chance would look better suppressed than chance. The interval therefore covers the
    measured baseline and `corrected_baseline`. With two equally frequent classes the baseline errs upwards only: the
    interval keeps its confidence, and nearly all of its misses lie above it.

    Parameters
    ----------
    after, before
        Accuracy on released records and on originals.
    baseline
        Share of the most frequent class among the tested records.
    n
        Number of distinct tested records.
    confidence
        Between 0 and 1.
    correlation
        From `correlations`. The default, no correlation, gives an interval that is wider than needed where both
        attackers err on the same records, and too narrow for an attacker that is correct on rare classes only.
    classes
        Number of classes of the attribute; the corrected baseline is then at least 1 / classes.
    independent
        Independent records that `after` and `before` are worth (`effective_records`); None: n. The baseline is that of
        the tested records themselves, and predictions that carry no information are expected not to exceed it. So its
        error stays that of n records.

    Returns
    -------
    tuple of float or None
        (low, high); None where `nag_is_defined` is false, or so nearly false that no finite interval exists.
    """
    if not nag_is_defined(before, baseline, n, None if independent is None else independent[1]):
        return None
    baselines = (baseline, corrected_baseline(baseline, n, classes))
    numbers = (*(independent or (n, n)), n)
    intervals = [_interval((after, before, b), numbers, confidence, correlation) for b in baselines]
    found = [i for i in intervals if i is not None]
    if len(found) < len(intervals):
        return None
    return min(low for low, _ in found), max(high for _, high in found)


def nag_lower_end(
    after: float,
    before: float,
    baseline: float,
    n: float,
    *,
    confidence: float,
    correlation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    classes: int | None = None,
    independent: tuple[float, float] | None = None,
) -> float | None:
    """Return the lower end of `nag_interval` alone, which a high confidence leaves finite more often than both ends.

    Parameters are those of `nag_interval`. None where `nag_is_defined` is false; -`FAR` where the interval has no end.
    """
    if not nag_is_defined(before, baseline, n, None if independent is None else independent[1]):
        return None
    numbers = (*(independent or (n, n)), n)
    found = []
    for base in (baseline, corrected_baseline(baseline, n, classes)):
        shares = (after, before, base)
        outside = _outside_of(shares, numbers, confidence, correlation)
        found.append(_edge(outside, nag(*shares), -1.0))
    return min(-FAR if low is None else low for low in found)


def corrected_baseline(baseline: float, n: float, classes: int | None = None) -> float:
    """Return the lowest true majority share whose expected measured share on n records is `baseline`.

    At most m = 1 / g classes can each have the share g. Where m do, the largest of their measured shares exceeds g by
    the expected maximum of m normal draws (Blom's approximation) that sum to zero. No other class can reach a share
    above one half.

    Parameters
    ----------
    baseline
        Measured share of the most frequent class.
    n
        Number of distinct records.
    classes
        Number of classes of the attribute; the result is then at least 1 / classes.

    Returns
    -------
    float
        At most `baseline`.
    """
    floor = min(1 / classes if classes else 1 / max(n, 1), baseline)
    g = np.linspace(floor, baseline, 512)
    m = np.floor(1 / np.maximum(g, 1e-12) + 1e-9)
    highest = ndtri((m - 0.375) / (m + 0.25)) * np.sqrt(m / np.maximum(m - 1, 1))
    expected = g + np.where(m > 1, highest, 0.0) * np.sqrt(g * (1 - g) / n)
    return float(g[np.argmax(expected >= baseline)])  # the last entry always is: expected is never below g


def _interval(
    shares: tuple[float, float, float],
    numbers: tuple[float, float, float],
    confidence: float,
    correlation: tuple[float, float, float],
) -> tuple[float, float] | None:
    outside = _outside_of(shares, numbers, confidence, correlation)
    low, high = _edge(outside, nag(*shares), -1.0), _edge(outside, nag(*shares), 1.0)
    return None if low is None or high is None else (low, high)


def _outside_of(
    shares: tuple[float, float, float],
    numbers: tuple[float, float, float],
    confidence: float,
    correlation: tuple[float, float, float],
) -> Callable[[float], float]:
    """Return a function of theta that is negative inside the interval and positive outside of it."""
    limits = [wilson(share * n, n, confidence) for share, n in zip(shares, numbers, strict=True)]
    after, before, baseline = shares

    def outside(theta: float) -> float:
        weights = (1.0, -theta, theta - 1.0)
        total = weights[0] * after + weights[1] * before + weights[2] * baseline
        # Where T is above 0, each term moves towards its smaller limit; where T is below 0, towards its larger one.
        spreads = []
        for weight, share, (low, high) in zip(weights, shares, limits, strict=True):
            falls = (weight > 0) == (total > 0)
            spreads.append(weight * (share - low if falls else high - share))
        a, b, g = spreads
        r_ab, r_ag, r_bg = correlation
        square = a * a + b * b + g * g + 2 * (r_ab * a * b + r_ag * a * g + r_bg * b * g)
        return total * total - square

    return outside


def _edge(outside: Callable[[float], float], inside: float, direction: float) -> float | None:
    """Return where the interval ends on one side: doubling steps, then bisection. None where it has no end there."""
    step, near = 1 / 64, inside
    while outside(far := inside + direction * step) <= 0:
        near, step = far, 2 * step
        if step > FAR:
            return None
    for _ in range(50):
        middle = (near + far) / 2
        if outside(middle) <= 0:
            near = middle
        else:
            far = middle
    return (near + far) / 2


def resolvable(
    before: float,
    baseline: float,
    n: float,
    confidence: float = 0.95,
    independent: tuple[float, float] | None = None,
) -> float | None:
    """Return the smallest leakage that n distinct records can show.

    It is the upper limit of the interval of NAG for an attacker whose accuracy equals the baseline.

    Parameters
    ----------
    before
        Accuracy on originals.
    baseline
        Share of the most frequent class among the tested records.
    n
        Number of distinct tested records.
    confidence
        Between 0 and 1.
    independent
        As in `nag_interval`.

    Returns
    -------
    float or None
        An upper bound on NAG; None where `nag_is_defined` is false.
    """
    if not nag_is_defined(before, baseline, n, None if independent is None else independent[1]):
        return None
    numbers = (*(independent or (n, n)), n)
    interval = _interval((baseline, before, baseline), numbers, confidence, (0.0, 0.0, 0.0))
    return None if interval is None else interval[1]
