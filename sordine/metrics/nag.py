"""Pure functions (truth, prediction) -> float, and the normalised accuracy gain with its interval.

Labels are int64 with -1 for unlabelled: those records drop out of every figure. Shares lie in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtri

from sordine.errors import SordineError
from sordine.metrics.accuracy import _labelled

# --------------------------------------------------------------------------------------------- intervals and NAG


def _z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise SordineError(f"metrics: confidence lies between 0 and 1, not at {confidence}")
    return float(ndtri((1 + confidence) / 2))


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, (low, high). n: distinct records; (0, 1) where there are none.

    successes may be fractional: the mean over seeds times the distinct records.
    """
    z = _z(confidence)
    if n <= 0:
        return 0.0, 1.0
    share = min(max(successes / n, 0.0), 1.0)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n the limit is exact; rounding would leave the share outside its own interval.
    return max(min(centre - half, share), 0.0), min(max(centre + half, share), 1.0)


def nag(after: float, before: float, guess: float) -> float:
    """Normalised accuracy gain, unclipped: (after - guess) / (before - guess). NaN where before equals guess."""
    return (after - guess) / (before - guess) if before != guess else math.nan


def balanced_nag(after: float, before: float, classes: int) -> float:
    """NAG of balanced accuracies, where guessing gets 1 / classes."""
    return nag(after, before, 1 / classes)


def readable(before: float, guess: float, n: float) -> bool:
    """Whether `before` stands at least two standard errors above the guess on n distinct records: else NAG is undefined."""
    if n <= 0 or before <= guess:
        return False
    return before - guess >= 2 * math.sqrt((before * (1 - before) + guess * (1 - guess)) / n)


def correlations(truth: np.ndarray, after: np.ndarray, before: np.ndarray) -> tuple[float, float, float]:
    """How three events go together over records: (after, before), (after, guess), (before, guess), for `nag_interval`.

    The events are: predicted right after, predicted right before, of the majority class. 0 where an event is constant.
    """
    truth, after, before = _labelled(truth, after, before)
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
    guess: float,
    n: float,
    *,
    confidence: float = 0.95,
    correlation: tuple[float, float, float] = (0.0, 0.0, 0.0),
    classes: int | None = None,
) -> tuple[float, float] | None:
    """Interval of NAG, unclipped, from three shares measured on the same n DISTINCT records (not records times seeds).

    NAG is the theta at which T(theta) = after - theta * before - (1 - theta) * guess is 0. The interval holds every
    theta whose own interval of T holds 0 (Fieller's argument); that of T joins the three Wilson intervals by the method
    of variance estimates recovery (MOVER; Zou and Donner, 2008): the distances of the shares from those Wilson limits
    that lie towards T = 0, weighted by 1, theta and 1 - theta, added as root of squares. So the guess's error counts
    once where it enters twice, and small n or shares near 0 and 1 stay honest.

    The majority class is picked on the same records, so that of many even classes it is a lucky one and its share too
    high: an attacker at chance would look better suppressed than chance. The interval therefore spans both the guess as
    measured and the lowest guess that would be expected to look like it, `unlucky_guess`. (Of two even classes the guess
    errs upwards only: the interval keeps its confidence, and nearly all of its misses fall above it.)

    correlation: from `correlations`, of (after, before), (after, guess), (before, guess). The default, none, is wider
    than needed where the two attackers err on the same records, and too narrow for one that is right on rare classes only.
    classes: how many the attribute has; the true guess is then never put below 1 / classes.
    None where `before` is not `readable`, or so nearly not that no finite interval exists.
    """
    if not readable(before, guess, n):
        return None
    guesses = (guess, unlucky_guess(guess, n, classes))
    intervals = [_interval(after, before, g, n, confidence, correlation) for g in guesses]
    found = [i for i in intervals if i is not None]
    if len(found) < len(intervals):
        return None
    return min(low for low, _ in found), max(high for _, high in found)


def unlucky_guess(guess: float, n: float, classes: int | None = None) -> float:
    """The lowest true majority share g whose measured one is, on average, `guess` on n records; never above `guess`.

    At most m = 1 / g classes can share g; where all do, the largest of m shares lies above g by the expected maximum of
    m normal draws (Blom's approximation) that sum to zero. No class can rival a share above one half.
    """
    floor = min(1 / classes if classes else 1 / max(n, 1), guess)
    g = np.linspace(floor, guess, 512)
    m = np.floor(1 / np.maximum(g, 1e-12) + 1e-9)
    highest = ndtri((m - 0.375) / (m + 0.25)) * np.sqrt(m / np.maximum(m - 1, 1))
    expected = g + np.where(m > 1, highest, 0.0) * np.sqrt(g * (1 - g) / n)
    return float(g[np.argmax(expected >= guess)])  # the last entry always is: expected is never below g


def _interval(
    after: float, before: float, guess: float, n: float, confidence: float, correlation: tuple[float, float, float]
) -> tuple[float, float] | None:
    shares = (after, before, guess)
    limits = [wilson(share * n, n, confidence) for share in shares]
    outside = _outside(shares, limits, correlation)
    low, high = _edge(outside, nag(*shares), -1.0), _edge(outside, nag(*shares), 1.0)
    return None if low is None or high is None else (low, high)


def _outside(
    shares: tuple[float, float, float],
    limits: list[tuple[float, float]],
    correlation: tuple[float, float, float],
) -> Callable[[float], float]:
    # -> a function of theta, negative inside the interval and positive outside of it.
    after, before, guess = shares

    def outside(theta: float) -> float:
        weights = (1.0, -theta, theta - 1.0)
        total = weights[0] * after + weights[1] * before + weights[2] * guess
        # T above 0 asks how far T could fall: every term towards its smaller end; T below 0 the other way round.
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
    # Walk out in doubling steps, then halve. None where the set has no edge on this side.
    step, near = 1 / 64, inside
    while outside(far := inside + direction * step) <= 0:
        near, step = far, 2 * step
        if step > 1e4:
            return None
    for _ in range(50):
        middle = (near + far) / 2
        if outside(middle) <= 0:
            near = middle
        else:
            far = middle
    return (near + far) / 2


def resolvable(before: float, guess: float, n: float, confidence: float = 0.95) -> float | None:
    """The smallest upper bound on NAG that n distinct records can certify, even from an attacker exactly at the guess.

    None where `before` is not `readable` on so many records.
    """
    if not readable(before, guess, n):
        return None
    interval = _interval(guess, before, guess, n, confidence, (0.0, 0.0, 0.0))
    return None if interval is None else interval[1]
