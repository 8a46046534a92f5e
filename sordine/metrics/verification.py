"""Measures of verification: how well scores tell mated pairs (of one unit) from non-mated pairs (of two units).

Scores are larger where a pair looks more like one unit. A measure never depends on how many pairs of each kind there
are: mated and non-mated pairs weigh alike.

References
----------
- Gomez-Barrero et al., "General framework to evaluate unlinkability in biometric template protection systems", IEEE
  TIFS 2018 (online 2017): the linkability D_sys.
- Bruemmer and du Preez, "Application-independent evaluation of speaker detection", Computer Speech and Language 2006:
  Cllr, and its minimum by pool-adjacent-violators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from sklearn import config_context
from sklearn.isotonic import isotonic_regression

BINS = 400  # bins of scores, at most, from which the measures of bootstrap samples are computed
PAIRS_A_BIN = 10  # mated pairs in a bin of the linkability, on average, at least
MOST_BINS = 100  # bins of the linkability, at most
FEWEST_BINS = 5
_SURE = 50.0  # log-likelihood ratios are clipped here, in nats

Interval = tuple[float, float]


@dataclass(frozen=True)
class Binned:
    """Weights of mated and non-mated pairs in bins of ascending scores, for one or several samples.

    Parameters
    ----------
    mated, other
        (samples, bins), each row with a sum of one, or of zero where a sample has no such pair.
    """

    mated: np.ndarray
    other: np.ndarray

    def merged(self, bins: int) -> Binned:
        """Return the same with at most so many bins, of about equal weight in the first sample."""
        share = (self.mated[0] + self.other[0]).cumsum() / 2
        start = np.unique(np.searchsorted(share, np.arange(bins) / bins + 1e-12))
        start = start[start < self.mated.shape[1]]
        return Binned(*(np.add.reduceat(w, start, axis=1) for w in (self.mated, self.other)))


def binned(score: np.ndarray, same: np.ndarray, weight: np.ndarray | None = None, bins: int = BINS) -> Binned:
    """Return pairs in bins of scores. Equal scores are always in one bin.

    Parameters
    ----------
    score, same
        (p,) scores, and whether the pair is mated.
    weight
        (samples, p) weight of each pair in each sample. None: one sample, in which every pair has weight one.
    bins
        Most bins; their edges are quantiles of all pairs, mated and non-mated alike. 0: one bin for each score.
    """
    order = np.argsort(score, kind="stable")
    ordered, kind = score[order], same[order]
    first = np.append(0, np.flatnonzero(np.diff(ordered)) + 1)  # of each run of equal scores
    if bins and len(first) > bins:
        share = np.cumsum(np.where(kind, 0.5 / max(kind.sum(), 1), 0.5 / max((~kind).sum(), 1)))
        wanted = np.searchsorted(share, np.arange(bins) / bins + 1e-12)
        first = np.unique(first[np.searchsorted(first, np.minimum(wanted, first[-1]), side="right") - 1])
    bin_of = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(score))))
    parts = []
    for k in (kind, ~kind):
        at = np.searchsorted(bin_of[k], np.arange(len(first)))  # where each bin begins among pairs of this kind
        chosen = np.ones((1, k.sum())) if weight is None else np.take(weight, order[k], axis=1)
        ends = np.zeros((len(chosen), k.sum() + 1))
        np.cumsum(chosen, axis=1, out=ends[:, 1:])
        sums = np.diff(ends[:, np.append(at, k.sum())], axis=1)
        parts.append(sums / np.maximum(sums.sum(1, keepdims=True), 1e-300))
    return Binned(*parts)


def equal_error_rates(b: Binned) -> np.ndarray:
    """Return the equal error rate of each sample, at most 0.5: (samples,).

    At this rate as many mated pairs are refused as non-mated ones are accepted. Between two thresholds both rates are
    interpolated linearly.
    """
    zero = np.zeros((len(b.mated), 1))
    refused = np.hstack([zero, b.mated.cumsum(1)])
    accepted = 1 - np.hstack([zero, b.other.cumsum(1)])
    at = np.maximum((refused >= accepted - 1e-12).argmax(1), 1)
    row = np.arange(len(at))
    gap0 = accepted[row, at - 1] - refused[row, at - 1]
    gap1 = refused[row, at] - accepted[row, at]
    rate = refused[row, at - 1] + gap0 / np.maximum(gap0 + gap1, 1e-12) * b.mated[row, at - 1]
    empty = (b.mated.sum(1) <= 0) | (b.other.sum(1) <= 0)
    return np.where(empty, 0.5, np.minimum(rate, 0.5))


def equal_error(score: np.ndarray, same: np.ndarray, weight: np.ndarray) -> tuple[float, Interval]:
    """Return the equal error rate, at most 0.5, and its 95 % interval over bootstrap samples.

    Parameters
    ----------
    score, same
        (p,) scores, and whether the pair is mated.
    weight
        (samples, p) weight of each pair in each bootstrap sample.
    """
    rate = float(equal_error_rates(binned(score, same, bins=0))[0])
    return rate, _interval(equal_error_rates(binned(score, same, weight)), rate)


def linkabilities(b: Binned, omega: float = 1.0) -> np.ndarray:
    """Return the global linkability D_sys of each sample: (samples,), 0 (unlinkable) to 1.

    With the likelihood ratio LR(s) = p(s | mated) / p(s | non-mated) and the ratio omega of the priors, a score s has
    the local linkability 2 omega LR / (1 + omega LR) - 1 where omega LR > 1, else 0. D_sys is its mean over mated
    pairs. Densities are the weights of the bins.
    """
    mated = omega * b.mated
    local = (mated - b.other) / np.maximum(mated + b.other, 1e-300)
    return np.asarray((b.mated * np.maximum(local, 0)).sum(1))


def linkability_bins(mated: int, other: int) -> int:
    """Return the number of bins of the linkability for so many pairs: one in ten of the rarer kind, 5 to 100."""
    return int(np.clip(min(mated, other) // PAIRS_A_BIN, FEWEST_BINS, MOST_BINS))


def linkability(score: np.ndarray, same: np.ndarray, omega: float = 1.0) -> float:
    """Return the global linkability D_sys: see `linkabilities`."""
    bins = linkability_bins(int(same.sum()), int((~same).sum()))
    return float(linkabilities(binned(score, same).merged(bins), omega)[0])


def cllr(llr: np.ndarray, same: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Return Cllr of each sample, in bits: (samples,).

    0: the log-likelihood ratios are always right and sure. 1: they say nothing. Above 1: they mislead.

    Parameters
    ----------
    llr, same
        (p,) log-likelihood ratios in nats, and whether the pair is mated.
    weight
        (samples, p). None: one sample, in which every pair has weight one.
    """
    weights = np.ones((1, len(llr))) if weight is None else np.asarray(weight, np.float64)
    cost = np.logaddexp(0, np.where(same, -llr, llr)) / np.log(2)
    sides = (weights @ (cost * kind) / np.maximum(weights @ kind.astype(float), 1e-300) for kind in (same, ~same))
    return np.asarray(sum(sides)) / 2


def min_cllr(b: Binned) -> np.ndarray:
    """Return the minimum of Cllr over all monotone calibrations, of each sample: (samples,), 0 to 1 bit.

    The calibration is isotonic regression (pool adjacent violators) with equal priors.
    """
    result = np.ones(len(b.mated))
    for i, (mated, other) in enumerate(zip(b.mated, b.other, strict=True)):
        total = mated + other
        filled = total > 0
        if mated.sum() <= 0 or other.sum() <= 0:
            continue
        with config_context(skip_parameter_validation=True):
            p = isotonic_regression(mated[filled] / total[filled], sample_weight=total[filled])
        p = np.clip(p, 0, 1)
        nats = -xlogy(mated[filled], p) - xlogy(other[filled], 1 - p)
        result[i] = min(float(nats.sum()) / np.log(2) / 2, 1.0)
    return result


def affine_calibration(score: np.ndarray, same: np.ndarray) -> tuple[float, float]:
    """Return slope and offset by which scores become log-likelihood ratios: slope >= 0, score * slope + offset.

    Logistic regression with equal priors, by Newton's method, with a weak penalty on the slope so that it stays finite
    where the kinds do not overlap.
    """
    centre, scale = float(score.mean()), float(score.std()) or 1.0
    z = np.stack([(score - centre) / scale, np.ones(len(score))], 1)
    weight = np.where(same, 0.5 / max(same.sum(), 1), 0.5 / max((~same).sum(), 1))
    penalty = np.diag([1e-4, 1e-9])
    at = np.zeros(2)
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(z @ at, -_SURE, _SURE)))
        slope = z.T @ (weight * (p - same)) + penalty @ at
        curve = (z * (weight * p * (1 - p))[:, None]).T @ z + penalty
        step = np.linalg.solve(curve, slope)
        at = at - step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-8:
            break
    if at[0] <= 0:
        return 0.0, 0.0
    return float(at[0] / scale), float(at[1] - at[0] * centre / scale)


@dataclass(frozen=True)
class VerificationMeasures:
    """How well scores tell mated from non-mated pairs; intervals over resampled units.

    Parameters
    ----------
    equal_error, equal_error_interval
        Equal error rate, 0 to 0.5; 0.5 is chance.
    linkability, linkability_interval
        Global linkability D_sys with equal priors, 0 to 1. On few pairs it is above 0 by chance.
    min_cllr, min_cllr_interval
        Cllr in bits after the best monotone calibration, 0 to 1; 1 is chance. On few pairs it is below 1 by chance.
    cllr, cllr_interval
        Cllr in bits as the attacker calibrated the scores on its own pairs; above 1 where that misleads. None where the
        attacker has no pairs to calibrate on.
    equal_error_corrected
        Interval of the equal error rate, corrected for the number of attackers. None in reports of earlier versions.
    """

    equal_error: float
    equal_error_interval: Interval
    linkability: float
    linkability_interval: Interval
    min_cllr: float
    min_cllr_interval: Interval
    cllr: float | None = None
    cllr_interval: Interval | None = None
    equal_error_corrected: Interval | None = None


def measures(
    score: np.ndarray,
    same: np.ndarray,
    weight: np.ndarray,
    calibration: tuple[float, float] | None = None,
    attackers: int = 1,
) -> VerificationMeasures:
    """Return all measures of scores, with 95 % intervals over bootstrap samples.

    Parameters
    ----------
    score, same, weight
        As in `equal_error`.
    calibration
        Slope and offset that make log-likelihood ratios of scores (`affine_calibration`). None: no Cllr.
    attackers
        Number of attackers, of which the best counts.
    """
    exact, one, samples = binned(score, same, bins=0), binned(score, same), binned(score, same, weight)
    bins = linkability_bins(int(same.sum()), int((~same).sum()))
    every = Binned(np.vstack([one.mated, samples.mated]), np.vstack([one.other, samples.other]))
    linked = linkabilities(every.merged(bins))
    rate, least = float(equal_error_rates(exact)[0]), float(min_cllr(exact)[0])
    rates = equal_error_rates(samples)
    bits = bits_interval = None
    if calibration is not None:
        llr = np.clip(score * calibration[0] + calibration[1], -_SURE, _SURE)
        bits = float(cllr(llr, same)[0])
        bits_interval = _interval(cllr(llr, same, weight), bits)
    return VerificationMeasures(
        equal_error=rate,
        equal_error_interval=_interval(rates, rate),
        linkability=float(linked[0]),
        linkability_interval=_interval(linked[1:], float(linked[0])),
        min_cllr=least,
        min_cllr_interval=_interval(min_cllr(samples), least),
        cllr=bits,
        cllr_interval=bits_interval,
        equal_error_corrected=_interval(rates, rate, 0.05 / attackers),
    )


def _interval(samples: np.ndarray, value: float, level: float = 0.05) -> Interval:
    low, high = np.quantile(samples, (level / 2, 1 - level / 2))
    return float(min(low, value)), float(max(high, value))
