"""Verification: do two released records belong to one unit, of units of which the attacker has no record?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from sordine.attacks.base import moments
from sordine.attacks.principal_axes import WIDEST, longest_axes
from sordine.attacks.results import VerificationFinding
from sordine.keys import numpy_rng
from sordine.metrics.risk import Share, risk
from sordine.metrics.verification import (
    VerificationMeasures,
    affine_calibration,
    binned,
    equal_error_rates,
    linkabilities,
    linkability_bins,
    measures,
    min_cllr,
)

PAIRS = 10_000  # most pairs of one unit, and of two units
EVERY_PAIR = 3000  # records up to which all pairs are formed before some are drawn
TESTED = 3000  # tested records, at most
CALIBRATION = 1500  # records of each half of the attacker's units by which scores are calibrated, at most
RESAMPLES = 200
PERMUTATIONS = 19
SHRUNK = 0.1  # share of the identity in the within-unit covariance
FEWEST_OWN = 3  # units with two records from which a discriminant is learned

Scores = np.ndarray  # (m, m): a score of every pair of m records


@dataclass(frozen=True)
class _Space:
    """Where the records of an attacker lie, and how it compares two of them.

    Parameters
    ----------
    at
        Records -> (m, k).
    between
        (k,) variance between units, in units of the variance within, for a likelihood ratio. None: cosine.
    calibration
        Slope and offset that make log-likelihood ratios of scores. None: the attacker has no pairs to learn them from.
    """

    at: Callable[[np.ndarray], np.ndarray]
    between: np.ndarray | None = None
    calibration: tuple[float, float] | None = None

    def scores(self, x: np.ndarray) -> Scores:
        """Return the score of every pair of records: (m, m) float32."""
        z = self.at(x)
        if self.between is not None:
            return _likelihood_ratios(z, self.between)
        u = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
        return np.asarray(u @ u.T)


@dataclass(frozen=True)
class _Trials:
    """Pairs of tested records.

    Parameters
    ----------
    left, right, same
        (p,) positions among the tested records, and whether both belong to one unit.
    weight
        (RESAMPLES, p) weight in each bootstrap sample of units.
    permutations
        (PERMUTATIONS, m) orders of the tested records.
    """

    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    weight: np.ndarray
    permutations: np.ndarray

    def of(self, scores: Scores, order: np.ndarray | None = None) -> np.ndarray:
        """Return the score of each pair: (p,). order: which record stands at each position."""
        if order is None:
            return np.asarray(scores[self.left, self.right], np.float64)
        return np.asarray(scores[order[self.left], order[self.right]], np.float64)

    def controls(self, scores: Scores) -> np.ndarray:
        """Return equal error rate, linkability and minimum of Cllr under each permutation: (PERMUTATIONS, 3)."""
        bins = linkability_bins(int(self.same.sum()), int((~self.same).sum()))
        found = []
        for order in self.permutations:
            b = binned(self.of(scores, order), self.same)
            found.append((equal_error_rates(b)[0], linkabilities(b.merged(bins))[0], min_cllr(b)[0]))
        return np.array(found)


def verify(
    before: np.ndarray, after: np.ndarray, unit: np.ndarray, fitted: np.ndarray, name: str
) -> list[VerificationFinding]:
    """Return how well pairs of unseen records of one unit are recognised, before and after.

    Cosines are of records standardised by the attacker's own, and in the space of a linear discriminant. The
    discriminant is learned from the attacker's own records of the same kind (originals or releases), where at least
    three units have two records; beside it stand a two-covariance model and, on releases, a discriminant learned from
    originals.

    Parameters
    ----------
    before, after
        Originals and releases of the same records, (n, *shape) each.
    unit
        (n,) codes, -1 unknown.
    fitted
        (n,) bool: the records of the fit. The attacker's own records are among them. Where the units of unseen records
        occur there too, the attacker has records of half of the units and is tested on the other half.
    name
        Name of the unit.

    Returns
    -------
    list of VerificationFinding
        Empty where fewer than two tested units have two records.
    """
    own, rows, new = _sides(unit, fitted)
    codes = np.unique(unit[rows], return_inverse=True)[1]
    if (np.bincount(codes, minlength=1) >= 2).sum() < 2 or not own.any():
        return []
    trials = _trials(codes)
    if not trials.same.any() or trials.same.all():
        return []
    originals, releases = (_learned(np.asarray(x, np.float32).reshape(len(x), -1), unit, own) for x in (before, after))
    names = [name for name in originals if name in releases]
    attackers = [(name, originals[name], releases[name]) for name in names]
    if "discriminant" in names and before.shape[1:] == after.shape[1:]:
        attackers.append(("ignorant", originals["discriminant"], originals["discriminant"]))
    records, count = (before[rows], after[rows]), len(attackers)
    results = [(s, *_attack(records, (was, now), trials, count)) for s, was, now in attackers]
    lowest = np.min([controls[:, 0] for *_, controls in results], axis=0)
    shared = {"unit": name, "new_to_fit": new, "units": int(codes.max()) + 1}
    return [_finding(*result, lowest, trials, shared) for result in results]


def _sides(unit: np.ndarray, fitted: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
    """The attacker's own records (n,) bool, rows of tested records, and whether the fit had none of their units."""
    known = unit >= 0
    unseen = np.unique(unit[~fitted & known])
    new = not np.isin(unit[fitted], unseen).any()
    own, tested = fitted, ~fitted & known
    if not new:
        half = numpy_rng(0, "verification halves").permutation(unseen)[: (len(unseen) + 1) // 2]
        own, tested = fitted & known & ~np.isin(unit, half), tested & np.isin(unit, half)
    rows = np.flatnonzero(tested)
    if len(rows) > TESTED:
        rows = np.sort(numpy_rng(0, "verification records").choice(rows, TESTED, replace=False))
    return own, rows, new


def _trials(codes: np.ndarray) -> _Trials:
    left, right = _pairs(codes)
    same = codes[left] == codes[right]
    rng = numpy_rng(0, "verification permutations")
    permutations = np.stack([rng.permutation(len(codes)) for _ in range(PERMUTATIONS)])
    return _Trials(left, right, same, _resampled_weights(codes, left, right, same), permutations)


def _attack(
    records: tuple[np.ndarray, np.ndarray], spaces: tuple[_Space, _Space], trials: _Trials, attackers: int
) -> tuple[VerificationMeasures, VerificationMeasures, np.ndarray]:
    """Measures on originals and on releases, and the controls on releases."""
    found, scores = [], np.empty((0, 0))
    for x, space in zip(records, spaces, strict=True):
        scores = space.scores(np.asarray(x, np.float32).reshape(len(x), -1))
        found.append(measures(trials.of(scores), trials.same, trials.weight, space.calibration, attackers))
    return found[0], found[1], trials.controls(scores)


def _learned(x: np.ndarray, unit: np.ndarray, own: np.ndarray) -> dict[str, _Space]:
    """The attackers that learn from the records x (n, d) of `own`, by name, each with its calibration.

    A discriminant fits the records that it was learned from too well. So each half of the attacker's units is scored in
    a space that was learned from the other half.
    """
    units = np.unique(unit[own & (unit >= 0)])
    half = np.isin(unit, numpy_rng(0, "verification calibration").permutation(units)[: len(units) // 2])
    scores: dict[str, list[np.ndarray]] = {}
    kinds: dict[str, list[np.ndarray]] = {}
    for part in (half, ~half):
        rows = np.flatnonzero(own & part & (unit >= 0))[:CALIBRATION]
        if not len(rows):
            continue
        codes = np.unique(unit[rows], return_inverse=True)[1]
        left, right = _pairs(codes)
        for name, space in _spaces(x, unit, own & ~part).items():
            scores.setdefault(name, []).append(np.asarray(space.scores(x[rows])[left, right], np.float64))
            kinds.setdefault(name, []).append(codes[left] == codes[right])
    found = _spaces(x, unit, own)
    for name, space in found.items():
        same = np.concatenate(kinds[name]) if name in kinds else np.empty(0, bool)
        if same.any() and not same.all():
            found[name] = replace(space, calibration=affine_calibration(np.concatenate(scores[name]), same))
    return found


def _finding(
    name: str,
    was: VerificationMeasures,
    now: VerificationMeasures,
    controls: np.ndarray,
    lowest: np.ndarray,
    trials: _Trials,
    shared: dict[str, object],
) -> VerificationFinding:
    mated = int(trials.same.sum())
    non_mated = len(trials.same) - mated
    control = controls.mean(0).tolist()
    beyond = risk(Share(now.linkability, *now.linkability_interval), control_share(controls[:, 1]))
    return VerificationFinding(
        space=name,  # type: ignore[arg-type]
        before=was.equal_error,
        after=now.equal_error,
        before_interval=was.equal_error_interval,
        after_interval=now.equal_error_interval,
        pairs=max(mated, non_mated),
        mated=mated,
        non_mated=non_mated,
        before_measures=was,
        after_measures=now,
        control=(control[0], control[1], control[2]),
        risk=None if beyond is None else float(max(beyond.value, 0)),
        risk_interval=None if beyond is None else (float(max(beyond.low, 0)), float(max(beyond.high, 0))),
        chance=float((1 + (lowest <= now.equal_error).sum()) / (1 + len(lowest))),
        **shared,  # type: ignore[arg-type]
    )


def control_share(values: np.ndarray) -> Share:
    """Return the mean of a figure over permutations, with the 95 % interval of the figure of one more permutation.

    The control of these very records is one such figure, so the interval is that of a figure and not of the mean.
    """
    n, mean = len(values), float(values.mean())
    half = float(stdtrit(n - 1, 0.975) * values.std(ddof=1) * np.sqrt(1 + 1 / n))
    return Share(mean, max(mean - half, 0.0), min(mean + half, 1.0))


def _spaces(x: np.ndarray, unit: np.ndarray, own: np.ndarray) -> dict[str, _Space]:
    """The attackers that learn from some of the records x (n, d), those of `own`, by name."""
    if not own.any():
        return {}
    mean, scale = moments(x, np.flatnonzero(own))
    axes = longest_axes((x[own] - mean) / scale) if x.shape[1] > WIDEST else None

    def standardised(part: np.ndarray) -> np.ndarray:
        z = (part - mean) / scale
        return np.asarray(z if axes is None else z @ axes, np.float32)

    rows = np.flatnonzero(own & (unit >= 0))
    found = _discriminant(standardised(x[rows]), unit[rows])
    spaces = {"standardised": _Space(standardised)}
    if found is not None:
        along, between, centre = found
        spaces["discriminant"] = _Space(lambda part: standardised(part) @ along)
        spaces["plda"] = _Space(lambda part: (standardised(part) - centre) @ along, between)
    return spaces


def _resampled_weights(codes: np.ndarray, left: np.ndarray, right: np.ndarray, same: np.ndarray) -> np.ndarray:
    # The weight of each pair in each bootstrap sample of units: (RESAMPLES, pairs).
    rng = numpy_rng(0, "verification units")
    units = int(codes.max()) + 1
    drawn = rng.integers(units, size=(RESAMPLES, units))
    times = np.stack([np.bincount(d, minlength=units) for d in drawn])
    # A unit drawn twice stands for two units: pairs within it count twice, not four times.
    first, second = (np.take(times.astype(np.int16), codes[side], axis=1) for side in (left, right))
    return np.where(same, first, first * second)


def _pairs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Positions of random pairs: at most PAIRS of one unit, and PAIRS of two units.
    rng = numpy_rng(0, "verification pairs")
    n = len(codes)
    first, second = np.triu_indices(n, 1) if n <= EVERY_PAIR else np.sort(rng.integers(n, size=(2, 4_000_000)), 0)
    first, second = first[first != second], second[first != second]
    same = codes[first] == codes[second]
    picked = np.concatenate([rng.permutation(np.flatnonzero(kind))[:PAIRS] for kind in (same, ~same)])
    return first[picked], second[picked]


def _discriminant(records: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Axes (d, k) along which units differ, the variance between units along them (k,), and the mean of units (d,).

    The variance within units is one along each axis. None where fewer than three units have two records.
    """
    present, code, count = np.unique(unit, return_inverse=True, return_counts=True)
    if (count >= 2).sum() < FEWEST_OWN:
        return None
    records = records.astype(np.float64)
    means = np.zeros((len(present), records.shape[1]))
    np.add.at(means, code, records)
    means /= count[:, None]
    within = np.atleast_2d(np.cov((records - means[code]).T))
    identity = np.eye(len(within))
    within = (1 - SHRUNK) * within + SHRUNK * np.trace(within) / len(within) * identity + 1e-9 * identity
    length, axes = np.linalg.eigh(within)
    white = axes / np.sqrt(np.maximum(length, 1e-12))
    centre = means.mean(0)
    spread = (means - centre) @ white
    _, size, along = np.linalg.svd(spread, full_matrices=False)
    keep = size > 1e-9 * max(float(size.max(initial=0)), 1e-12)
    if not keep.any():
        return None
    # Means of few records vary by chance as well.
    between = np.maximum(size[keep] ** 2 / max(len(present) - 1, 1) - np.mean(1 / count), 1e-6)
    return np.asarray(white @ along[keep].T, np.float32), between.astype(np.float32), centre.astype(np.float32)


def _likelihood_ratios(z: np.ndarray, between: np.ndarray) -> Scores:
    """Log-likelihood ratio of every pair under the two-covariance model: (m, m).

    Within a unit each number has variance 1; means of units have variance v. Sum and difference of a pair, over
    sqrt(2), are independent: their variances are 1 + 2v and 1 within a unit, and 1 + v both for two units.
    """
    v = between.astype(np.float64)
    by_sum = 1 / (1 + v) - 1 / (1 + 2 * v)
    by_difference = 1 / (1 + v) - 1
    own = (z**2) @ (by_sum + by_difference)
    cross = (z * (by_sum - by_difference)) @ z.T
    constant = np.log((1 + 2 * v) / (1 + v) ** 2).sum()
    return np.asarray(0.25 * (own[:, None] + own[None, :]) + 0.5 * cross - 0.5 * constant)
