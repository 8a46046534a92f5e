"""Risk: how much better an attack does than the same attack without access, with intervals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import rankdata

from sordine.metrics.nag import wilson


class Share(NamedTuple):
    """A share or another figure of at most 1, with its interval.

    Parameters
    ----------
    value
        The figure.
    low, high
        Ends of its interval.
    """

    value: float
    low: float
    high: float


def share(successes: float, n: float, confidence: float = 0.95) -> Share:
    """Return a share of n trials with Wilson's interval."""
    low, high = wilson(successes, n, confidence)
    return Share(float(successes / n) if n else 0.0, float(low), float(high))


def share_by_group(hits: np.ndarray, groups: np.ndarray | None, confidence: float = 0.95) -> Share:
    """Return the share of hits (n,) bool, with Wilson's interval for as many trials as its variance is worth.

    Parameters
    ----------
    hits
        Outcomes of the trials.
    groups
        (n,) codes. Trials of one group count as one observation in the variance. None: each trial is one.
    confidence
        Of the interval.
    """
    n = len(hits)
    if groups is None or not n:
        return share(float(hits.sum()), n, confidence)
    value = float(hits.mean())
    variance, spread = _variance(hits.astype(np.float64), groups), value * (1 - value)
    # Without a hit, or without a miss, the variance says nothing: each group is one trial.
    effective = min(spread / variance, n) if variance > 0 and spread > 0 else len(np.unique(groups))
    return Share(value, *wilson(value * effective, effective, confidence))


def risk(attack: Share, control: Share) -> Share | None:
    """Return (attack - control) / (1 - control) with its interval, of two figures measured on different trials.

    The risk is 1 minus a ratio: the failures of the attack over those of the control. Its interval joins theirs by the
    method of variance estimates recovery for ratios (Donner and Zou, 2012). It is as wide as the two given ones say,
    so their confidence is that of the result.

    Returns
    -------
    Share or None
        None where the control always succeeds. 0: no better than the control; 1: always successful. Not clipped. The
        lower end is minus infinity where the control may always succeed.
    """
    fails, low, high = 1 - attack.value, 1 - attack.high, 1 - attack.low
    others, others_low, others_high = 1 - control.value, 1 - control.high, 1 - control.low
    if others <= 0:
        return None
    both = fails * others
    # The ratio R at the edge solves (fails - R others)^2 = (its error)^2 + (R times the error of the others)^2.
    a, c = others_high * (2 * others - others_high), low * (2 * fails - low)
    root = both + math.sqrt(max(both * both - a * c, 0.0))
    least = c / root if root > 0 else 0.0
    a, c = others_low * (2 * others - others_low), high * (2 * fails - high)
    most = (both + math.sqrt(max(both * both - a * c, 0.0))) / a if a > 0 else math.inf
    return Share(1 - fails / others, 1 - most, 1 - least)


def auc(
    of: np.ndarray,
    others: np.ndarray,
    confidence: float = 0.95,
    groups: tuple[np.ndarray, np.ndarray] | None = None,
) -> Share:
    """Return the probability that a score of one kind exceeds one of the other kind, equal ones counted half.

    It is the area under the ROC curve, with the interval of a share that has the variance of DeLong et al. (1988).

    Parameters
    ----------
    of, others
        (m,) and (n,) scores.
    confidence
        Of the interval.
    groups
        (m,) and (n,) codes. Scores of one group count as one observation in the variance. None: each score is one.
    """
    m, n = len(of), len(others)
    if not m or not n:
        return Share(0.5, 0.0, 1.0)
    ranks = rankdata(np.concatenate([of, others]))
    above = (ranks[:m] - rankdata(of)) / n  # of each score: the share of the others below it
    below = 1 - (ranks[m:] - rankdata(others)) / m
    value = float(above.mean())
    codes = (None, None) if groups is None else groups
    variance = sum(_variance(part, code) for part, code in zip((above, below), codes, strict=True))
    spread = value * (1 - value)
    effective = min(spread / variance, m + n) if variance > 0 and spread > 0 else min(m, n)
    return Share(value, *wilson(value * effective, effective, confidence))


def _variance(parts: np.ndarray, groups: np.ndarray | None) -> float:
    """Return the variance of the mean of some numbers (n,), of which those of one group are one observation.

    Of few groups, it is as much larger as Student's t is wider than a normal distribution.
    """
    moved, few = parts - parts.mean(), 1.0
    if groups is not None:
        moved = np.bincount(np.unique(groups, return_inverse=True)[1].ravel(), moved)
        few = float(stdtrit(max(len(moved) - 1, 1), 0.975) / ndtri(0.975)) ** 2
    if len(moved) < 2:
        return 0.25
    return float((moved**2).sum() / len(parts) ** 2 * len(moved) / (len(moved) - 1)) * few


def normal(value: float, error: float, confidence: float = 0.95) -> Share:
    """Return a figure with the interval of a normal distribution with this standard error, at most 1."""
    half = float(ndtri((1 + confidence) / 2)) * error
    return Share(value, value - half, min(value + half, 1.0))
