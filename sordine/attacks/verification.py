"""Verification: do two released records belong to one unit, of units that the fit never used?"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from sordine.attacks.base import moments
from sordine.attacks.principal_axes import WIDEST, longest_axes
from sordine.attacks.results import VerificationFinding
from sordine.keys import numpy_rng

PAIRS = 20_000  # most pairs of one unit, and of two units
EVERY_PAIR = 3000  # records up to which all pairs are formed before some are drawn
RESAMPLES = 200
SHRUNK = 0.1  # share of the identity in the within-unit covariance


def verify(
    before: np.ndarray, after: np.ndarray, unit: np.ndarray, fitted: np.ndarray, name: str
) -> list[VerificationFinding]:
    """Return equal error rates of recognising pairs of unseen records of one unit, before and after.

    The score of a pair is the cosine of its records: standardised by the records of the fit, and in the space of a
    linear discriminant. The discriminant is fitted to the fit's records of the same kind (originals or releases),
    where at least three units have two records.

    Parameters
    ----------
    before, after
        Originals and releases of the same records, (n, *shape) each.
    unit
        (n,) codes, -1 unknown. The units of `fitted` records are others than those of unseen ones.
    fitted
        (n,) bool: the records of the fit.
    name
        Name of the unit.

    Returns
    -------
    list of VerificationFinding
        Empty where fewer than two unseen units have two records.
    """
    rows = np.flatnonzero(~fitted & (unit >= 0))
    codes = np.unique(unit[rows], return_inverse=True)[1]
    if (np.bincount(codes, minlength=1) >= 2).sum() < 2 or not fitted.any():
        return []
    left, right = _pairs(codes)
    same = codes[left] == codes[right]
    if not same.any() or same.all():
        return []
    weight = _resampled_weights(codes, left, right, same)
    rates: dict[str, list[tuple[float, tuple[float, float]]]] = {}
    for x in (before, after):
        for space, at in _spaces(x, unit, fitted).items():
            u = at[rows] / np.maximum(np.linalg.norm(at[rows], axis=1, keepdims=True), 1e-12)
            score = np.einsum("pd,pd->p", u[left], u[right])
            rates.setdefault(space, []).append(equal_error(score, same, weight))
    return [
        VerificationFinding(
            unit=name,
            space=space,  # type: ignore[arg-type]
            before=was[0],
            after=now[0],
            before_interval=was[1],
            after_interval=now[1],
            units=int(codes.max()) + 1,
            pairs=int(max(same.sum(), (~same).sum())),
        )
        for space, (was, now) in ((s, r) for s, r in rates.items() if len(r) == 2)
    ]


def _spaces(x: np.ndarray, unit: np.ndarray, fitted: np.ndarray) -> dict[str, np.ndarray]:
    # The records in each space: (n, d).
    flat = np.asarray(x, np.float32).reshape(len(x), -1)
    mean, scale = moments(flat, np.flatnonzero(fitted))
    z = (flat - mean) / scale
    if z.shape[1] > WIDEST:
        z = z @ longest_axes(z[fitted])
    axes = _discriminant(z, unit, fitted)
    return {"standardised": z} if axes is None else {"standardised": z, "discriminant": z @ axes}


def _resampled_weights(codes: np.ndarray, left: np.ndarray, right: np.ndarray, same: np.ndarray) -> np.ndarray:
    # The weight of each pair in each bootstrap sample of units: (RESAMPLES, pairs).
    rng = numpy_rng(0, "verification units")
    units = int(codes.max()) + 1
    drawn = rng.integers(units, size=(RESAMPLES, units))
    times = np.stack([np.bincount(d, minlength=units) for d in drawn])
    # A unit drawn twice stands for two units: pairs within it count twice, not four times.
    return np.where(same, times[:, codes[left]], times[:, codes[left]] * times[:, codes[right]])


def _pairs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Positions of random pairs: at most PAIRS of one unit, and PAIRS of two units.
    rng = numpy_rng(0, "verification pairs")
    n = len(codes)
    first, second = np.triu_indices(n, 1) if n <= EVERY_PAIR else np.sort(rng.integers(n, size=(2, 4_000_000)), 0)
    first, second = first[first != second], second[first != second]
    same = codes[first] == codes[second]
    picked = np.concatenate([rng.permutation(np.flatnonzero(kind))[:PAIRS] for kind in (same, ~same)])
    return first[picked], second[picked]


def _discriminant(z: np.ndarray, unit: np.ndarray, fitted: np.ndarray) -> np.ndarray | None:
    # Axes (d, m) along which the units of the fit differ, relative to the spread within them.
    rows = np.flatnonzero(fitted & (unit >= 0))
    present, code, count = np.unique(unit[rows], return_inverse=True, return_counts=True)
    if (count >= 2).sum() < 3:
        return None
    records = z[rows].astype(np.float64)
    means = np.zeros((len(present), z.shape[1]))
    np.add.at(means, code, records)
    means /= count[:, None]
    within = np.atleast_2d(np.cov((records - means[code]).T))
    identity = np.eye(len(within))
    within = (1 - SHRUNK) * within + SHRUNK * np.trace(within) / len(within) * identity + 1e-9 * identity
    length, axes = np.linalg.eigh(within)
    white = axes / np.sqrt(np.maximum(length, 1e-12))
    spread = (means - means.mean(0)) @ white
    _, size, along = np.linalg.svd(spread, full_matrices=False)
    keep = size > 1e-9 * max(float(size.max(initial=0)), 1e-12)
    return np.asarray(white @ along[keep].T, np.float32) if keep.any() else None


def equal_error(score: np.ndarray, same: np.ndarray, weight: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Return the equal error rate, at most 0.5, and its 95 % interval over bootstrap samples of units.

    At this rate as many pairs of one unit are refused as pairs of two units are accepted. score, same: (pairs,);
    weight: (resamples, pairs).
    """
    # Equal scores fall at one threshold: their mean rank.
    order = np.argsort(rankdata(score), kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    rate = _rates(same[order], np.ones((1, len(score))), last)[0]
    resampled = _rates(same[order], weight[:, order], last)
    low, high = np.quantile(resampled, (0.025, 0.975))
    return float(rate), (float(min(low, rate)), float(max(high, rate)))


def _rates(same: np.ndarray, weight: np.ndarray, last: np.ndarray) -> np.ndarray:
    # same: (p,) in the order of scores; weight: (r, p); last: the last pair of each run of equal scores -> (r,)
    rates = np.full(len(weight), 0.5)
    for i, w in enumerate(weight):
        ones, twos = w * same, w * ~same
        if ones.sum() <= 0 or twos.sum() <= 0:
            continue
        refused = np.concatenate([[0], np.cumsum(ones)[last]]) / ones.sum()
        accepted = 1 - np.concatenate([[0], np.cumsum(twos)[last]]) / twos.sum()
        at = int(np.argmax(refused >= accepted))
        # Both rates are interpolated linearly between the two thresholds around the crossing.
        gap0, gap1 = accepted[at - 1] - refused[at - 1], refused[at] - accepted[at]
        part = gap0 / max(gap0 + gap1, 1e-12)
        rates[i] = refused[at - 1] + part * (refused[at] - refused[at - 1])
    return np.minimum(rates, 0.5)
