"""How much an attacker with the modifier will infer from k records of one person, forecast from held-out records.

The outputs of a class differ from those of all records by a divergence D. It is estimated from records that the
modifier was not fitted on, without the upward bias of their finite number. D then gives what several records of one
person reveal together: their evidence adds up, so k records have the divergence k D.

A map that makes the outputs of the fitted records alike fits their chance too. On new records of a class with n fitted
records, that leaves a divergence of about J / n, where J is the number of functions of a record that an output reveals.
So n records of every class, or n persons where classes are shared by persons, determine what can be promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

GRID = np.linspace(-9.0, 24.0, 1321)
WIDTH = float(GRID[1] - GRID[0])
LEAST_WITHIN = 1e-3  # share of the variance within classes, at least
LEAST_FUNCTIONS = 1e-12  # of outputs that are all alike, so that nothing is divided by 0
HIGH = 1.645  # standard errors of a one-sided upper end of 95 %
FARTHEST = 15.0  # separation at which every class is recognised


@dataclass(frozen=True)
class Divergence:
    """By how much the outputs of each class differ from those of all records, averaged over classes.

    Parameters
    ----------
    value
        Estimate without bias, so that it is below 0 by chance where there is nothing.
    error
        Its standard error.
    functions
        J, the number of independent functions of a record that an output reveals.
    classes
        Number of classes.
    records
        Records of the smallest class that were used.
    """

    value: float
    error: float
    functions: float
    classes: int
    records: int

    @cached_property
    def high(self) -> float:
        """Upper end of a one-sided interval of 95 %."""
        return max(self.value, 0.0) + HIGH * self.error

    def leakage(self, k: int, known: float | None = None) -> float:
        """Return the leakage (NAG, 0 to 1) from k records of one person.

        Parameters
        ----------
        k
            Released records that are known to be of one person.
        known
            Records of each class of which the attacker knows the class. None: it knows the outputs of every class
            exactly.
        """
        return leakage(self.value, k, self.classes, self.functions, known)


def divergence(
    features: Sequence[np.ndarray], labels: Sequence[np.ndarray], units: Sequence[np.ndarray] | None = None
) -> Divergence | None:
    """Return the divergence of classes, from several sets of records that do not share outputs.

    Parameters
    ----------
    features
        (n, J) functions of the outputs of the records of each set, or their expectations, scaled so that the outputs
        have mean 0 and unit covariance in each set.
    labels
        (n,) their classes; -1 where a class is missing.
    units
        (n,) codes of persons or groups, whose records are not independent. None: every record is a unit.

    Returns
    -------
    Divergence or None
        None where no set has two classes with two units each.
    """
    each = [np.arange(len(y)) for y in labels] if units is None else units
    sets = zip(features, labels, each, strict=True)
    found = [d for f, y, u in sets if (d := _of_set(f, y, u)) is not None]
    if not found:
        return None
    weights = np.array([d.records * d.classes for d in found], float)
    weights /= weights.sum()
    return Divergence(
        value=float(sum(w * d.value for w, d in zip(weights, found, strict=True))),
        error=sqrt(sum((w * d.error) ** 2 for w, d in zip(weights, found, strict=True))),
        functions=float(sum(w * d.functions for w, d in zip(weights, found, strict=True))),
        classes=max(d.classes for d in found),
        records=sum(d.records for d in found),
    )


def _of_set(features: np.ndarray, labels: np.ndarray, units: np.ndarray) -> Divergence | None:
    known = labels >= 0
    f, y = np.asarray(features, np.float64)[known], labels[known]
    unit = np.unique(units[known], return_inverse=True)[1]
    pairs = np.array([_pairs(unit[y == c]) for c in range(int(y.max(initial=0)) + 1)])
    present = np.flatnonzero(pairs > 0)
    if len(present) < 2:
        return None
    f = f - f.mean(0)  # only for the numbers' size: the estimate does not depend on it
    square, classes = np.linalg.norm(f.T @ f / len(f)) ** 2, len(present)
    count = np.bincount(y)[present]
    totals = np.stack([f[y == c].sum(0) for c in present])
    inner = (totals / count[:, None]) @ (totals / count[:, None]).T
    for at, c in enumerate(present):
        # Pairs of different units: each unit's own square would count its noise.
        own = _sums(f[y == c], unit[y == c])
        inner[at, at] = (totals[at] @ totals[at] - (own * own).sum()) / pairs[c]
    value = float(np.trace(inner) / classes - inner.sum() / classes**2)
    functions = max(float((f * f).sum() / len(f)), LEAST_FUNCTIONS)
    independent = count**2 / (count**2 - pairs[present])
    each = square * (2 / pairs[present] + 4 * max(value, 0.0) / functions / independent)
    return Divergence(value, sqrt(float(each.sum())) / classes, functions, classes, int(independent.min()))


def _pairs(units: np.ndarray) -> float:
    """Return the number of ordered pairs of records of different units."""
    count = np.bincount(units).astype(float) if len(units) else np.zeros(1)
    return float(count.sum() ** 2 - (count**2).sum())


def _sums(features: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the sum of the features of each unit: (n, J), (n,) -> (units, J)."""
    sums = np.zeros((int(units.max()) + 1, features.shape[1]))
    np.add.at(sums, units, features)
    return sums


def leakage(value: float, k: int, classes: int, functions: float, known: float | None = None) -> float:
    """Return the leakage (NAG, 0 to 1) from k records of one person, given a divergence; see `Divergence.leakage`.

    The evidence for the true class is normal with mean a and unit variance, that for each other class has mean 0:
    a^2 = k D, times D / (D + J / known) where the attacker has to learn the outputs of the classes.
    """
    # Of unit covariance over all records: within a class, what differs between classes is left out of the covariance.
    value = max(value, 0.0) / max(1 - value / (classes - 1), LEAST_WITHIN)
    share = 1.0 if known is None or value == 0 else value / (value + functions / max(known, 1e-12))
    return recognised(sqrt(k * value * share), classes)


def recognised(separation: float, classes: int) -> float:
    """Return the accuracy above the baseline, as a share of the rest, with which evidence names one of some classes.

    Parameters
    ----------
    separation
        By how many standard deviations the evidence for the true class exceeds that for each other class.
    classes
        At least 2, all of one size.
    """
    density = np.exp(-((GRID - min(separation, FARTHEST)) ** 2) / 2) / sqrt(2 * np.pi)
    right = float((density * ndtr(GRID) ** (classes - 1)).sum() * WIDTH)
    return min(1.0, max(0.0, (right - 1 / classes) / (1 - 1 / classes)))


def records_needed(functions: float, classes: int, k: int, limit: float, known: float = 0.5) -> int:
    """Return how many fitted records of each class a cross-fitted map needs to keep a leakage under a limit.

    Parameters
    ----------
    functions
        J, the number of independent functions of a record that an output reveals.
    classes
        Number of classes, of one size.
    k
        Released records that the attacker knows to be of one person.
    limit
        Of the leakage (NAG), above 0 and below 1.
    known
        Share of the fitted records of which the attacker knows the class.
    """

    def over(log_records: float) -> float:
        n = float(np.exp(log_records))
        return leakage(functions / n, k, classes, functions, known * n) - limit

    least, most = 0.0, 40.0
    return 1 if over(least) <= 0 else int(np.ceil(np.exp(brentq(over, least, most))))
