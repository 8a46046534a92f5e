"""Groups of k records of one unit (a person, for instance): the accuracy of an attack that pools them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from sordine.keys import numpy_rng
from sordine.metrics.nag import nag, wilson

GROUPS = 200  # groups of k records drawn of each unit
RESAMPLES = 200  # bootstrap samples
REGROUPED = 20  # groups drawn of each unit in a bootstrap sample
MOST = 1 << 24  # numbers gathered at a time


@dataclass(frozen=True)
class Units:
    """The unit of each record.

    Parameters
    ----------
    name
        Name of the attribute, or "group".
    codes
        (n,) int64, -1 where unknown.
    names
        Name of each unit.
    classes
        (units,) the target's class of each unit. A unit with records of several classes counts once for each class.
    """

    name: str
    codes: np.ndarray
    names: tuple[str, ...]
    classes: np.ndarray

    @classmethod
    def of(cls, name: str, unit: np.ndarray, names: Sequence[str], target: np.ndarray, classes: Sequence[str]) -> Units:
        """Make units from two columns.

        Parameters
        ----------
        name
            Name of the unit column.
        unit, target
            (n,) codes of the unit and of the target's class, -1 unknown.
        names, classes
            Names of those codes.
        """
        known = (unit >= 0) & (target >= 0)
        pairs, code = np.unique(np.stack([unit[known], target[known]], 1), axis=0, return_inverse=True)
        codes = np.full(len(unit), -1, np.int64)
        codes[known] = code.ravel()
        often = np.bincount(pairs[:, 0], minlength=1)
        unit_names = tuple(f"{names[u]} ({classes[c]})" if often[u] > 1 else str(names[u]) for u, c in pairs)
        return cls(name, codes, unit_names, pairs[:, 1].astype(np.int64))


@dataclass(frozen=True)
class Scores:
    """Scores of single records for each hypothesis; those of k records are summed.

    Parameters
    ----------
    values
        (m, D, hypotheses) in nats, without the prior. D: the number of keys under which each record was released.
    prior
        (hypotheses,) log probabilities.
    stands_for
        (hypotheses,) the target's class of each hypothesis.
    """

    values: np.ndarray
    prior: np.ndarray
    stands_for: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """Scores of the test records at positions `rows` (m,), for each k (0: all records of a unit)."""

    rows: np.ndarray
    scores: Mapping[int, Scores]


@dataclass(frozen=True)
class Pooled:
    """Accuracy on groups of k records.

    Parameters
    ----------
    by_unit
        (units,) accuracy on each unit.
    resampled
        (RESAMPLES, units) the same in each bootstrap sample.
    present
        (units,) codes of the units with k records.
    apart
        Number of groups that share no record.
    groups
        Number of groups drawn.
    """

    by_unit: np.ndarray
    resampled: np.ndarray
    present: np.ndarray
    apart: int
    groups: int


def pooled(found: Evidence, units: Units, k: int) -> Pooled | None:
    """Return the accuracy on many groups of k records of each unit.

    Groups are drawn without replacement within a group. Groups and bootstrap samples are the same for every attack on
    the same records.

    Parameters
    ----------
    found
        Scores of the test records.
    units
        The unit of each record.
    k
        Records in a group; 0 for all test records of a unit.

    Returns
    -------
    Pooled or None
        None where units with so many records belong to fewer than two classes.
    """
    if k not in found.scores:
        return None
    codes = units.codes[found.rows]
    # Keys have a generator of their own: attacks with one and with many keys must be tested on the same groups.
    rng, keyed = numpy_rng(k, "groups of one unit"), numpy_rng(k, "keys of a group")
    scores = found.scores[k]
    counts = np.bincount(codes[codes >= 0], minlength=len(units.names))
    present = np.flatnonzero(counts >= max(k, 1))
    if len(np.unique(units.classes[present])) < 2:
        return None
    by_unit, resampled, apart, groups = [], [], 0, 0
    for unit in present:
        values = scores.values[codes == unit]
        accuracy, again, count = _pool_unit(values, scores, int(units.classes[unit]), k, rng, keyed)
        by_unit.append(accuracy)
        resampled.append(again)
        groups += count
        apart += len(values) // (k or len(values))
    return Pooled(np.array(by_unit), np.stack(resampled, 1), present, apart, groups)


def _pool_unit(
    values: np.ndarray, scores: Scores, truth: int, k: int, rng: np.random.Generator, keyed: np.random.Generator
) -> tuple[float, np.ndarray, int]:
    # Accuracy on groups of a unit's records (n, D, hypotheses), on those of each bootstrap sample, number of groups.
    n, keys = values.shape[:2]
    size = k or n

    def correct(at: np.ndarray) -> np.ndarray:
        return np.asarray(scores.stands_for[(sums(values, at, keyed) + scores.prior).argmax(1)] == truth)

    drawn = rng.integers(n, size=(RESAMPLES, n))
    if size == 1:
        single = (scores.stands_for[(values + scores.prior).argmax(2)] == truth).mean(1)
        return single.mean(), single[drawn].mean(1), n
    whole = size == n and keys == 1  # there is one such group only
    count, again = (1, 1) if whole else (GROUPS, REGROUPED)
    accuracy = correct(draw(rng, n, size, count)).mean()
    at = draw(rng, n, size, RESAMPLES * again).reshape(RESAMPLES, again * size)
    at = np.take_along_axis(drawn, at, 1).reshape(-1, size)
    return accuracy, correct(at).reshape(RESAMPLES, again).mean(1), count


def draw(rng: np.random.Generator, n: int, k: int, count: int) -> np.ndarray:
    """Return `count` groups of k positions among n, without replacement within a group: (count, min(k, n))."""
    if k >= n:
        return np.tile(np.arange(n), (count, 1))
    step = max(1, MOST // n)
    parts = [rng.random((min(step, count - s), n), np.float32).argpartition(k, 1)[:, :k] for s in range(0, count, step)]
    return np.concatenate(parts)


def sums(values: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the summed scores of groups of records, each record under one of its D keys at random.

    Parameters
    ----------
    values
        (m, D, hypotheses).
    at
        (groups, k) positions of records.
    rng
        Draws the keys.

    Returns
    -------
    numpy.ndarray
        (groups, hypotheses).
    """
    keys = values.shape[1]
    step = max(1, MOST // max(1, at.shape[1] * values.shape[2]))
    parts = []
    for start in range(0, len(at), step):
        some = at[start : start + step]
        parts.append(values[some, rng.integers(keys, size=some.shape) if keys > 1 else 0].sum(1))
    return np.concatenate(parts)


def independent_records(hit: np.ndarray, owner: np.ndarray) -> float:
    """Return how many records count as independent, where those of one person are right or wrong together.

    Parameters
    ----------
    hit
        (n,) how often each record is predicted correctly, 0 to 1.
    owner
        (n,) the person of each record.
    """
    off = hit - hit.mean()
    alone = float((off**2).sum())
    _, code = np.unique(owner, return_inverse=True)
    persons = int(code.max()) + 1 if len(code) else 0
    if persons < 2 or alone == 0:
        return float(persons)
    together = float((np.bincount(code.ravel(), off) ** 2).sum()) * persons / (persons - 1)
    return min(max(len(hit) * alone / max(together, alone), 1.0), float(len(hit)))


@dataclass(frozen=True)
class Share:
    """Accuracies before and after, baseline and NAG with their intervals; and accuracy after by class and by unit."""

    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    after_interval: tuple[float, float]
    by_class: dict[int, float]
    by_unit: dict[int, float]


def compare(before: Pooled, after: Pooled, units: Units) -> Share:
    """Return the figures of an attack on groups, on originals and on released records.

    Every unit counts alike, so the baseline is the largest share of units of one class.

    The intervals hold those of a bootstrap of units within their class, and of records within units. Groups of one unit
    share records and what is peculiar to the unit, so they are not independent. Units are drawn within their class, so
    that the baseline is constant. Where the target is the unit itself, each class has one unit and only records vary:
    the interval is about these units.

    The bootstrap is too narrow where an attacker predicts one class for nearly all units. So each interval also covers
    Wilson's interval, on as many groups as are independent (`_independent`). The upper end of NAG is at least that of
    an attacker at the baseline: a lower accuracy excludes no more.
    """
    owner = units.classes[after.present]
    baseline = float(np.bincount(owner).max() / len(owner))
    weight = _resampled_weights(owner)
    was, now = float(before.by_unit.mean()), float(after.by_unit.mean())
    was_again, now_again = ((weight * p.resampled).sum(1) for p in (before, after))
    # A bootstrap sample has some records twice, so its accuracy is lower; its spread counts, its level does not.
    was_again, now_again = (np.clip(a - a.mean() + s, 0, 1) for a, s in ((was_again, was), (now_again, now)))
    independent = (_independent(after, owner), _independent(before, owner))
    interval = _ends(now, now_again, independent[0])
    share = low = high = None
    if _ends(was, was_again, independent[1])[0] > baseline:
        share = nag(now, was, baseline)
        ratios = (now_again - baseline) / np.maximum(was_again - baseline, 1e-3)
        low, high = (float(q) for q in np.quantile(ratios, (0.025, 0.975)))
        at_baseline = wilson(baseline * independent[0], independent[0])[1]
        ends = [nag(end, was, baseline) for end in (interval[0], max(interval[1], at_baseline))]
        low, high = min(low, ends[0]), max(high, ends[1])
    by_class = {int(c): float(after.by_unit[owner == c].mean()) for c in np.unique(owner)}
    by_unit = {int(u): float(r) for u, r in zip(after.present, after.by_unit, strict=True)}
    return Share(was, now, baseline, share, low, high, interval, by_class, by_unit)


def _resampled_weights(owner: np.ndarray) -> np.ndarray:
    # The weight of each unit in each bootstrap sample, drawn within its class: (RESAMPLES, units), rows sum to 1.
    rng = numpy_rng(0, "units resampled")
    weight = np.zeros((RESAMPLES, len(owner)))
    for c in np.unique(owner):
        members = np.flatnonzero(owner == c)
        picked = members[rng.integers(len(members), size=(RESAMPLES, len(members)))]
        np.add.at(weight, (np.arange(RESAMPLES)[:, None], picked), 1)
    return weight / len(owner)


def _independent(pooled: Pooled, owner: np.ndarray) -> float:
    """Return how many groups count as independent.

    Where each unit is a class of its own, these are the groups that share no record. Where units share classes, they
    are at least the units, and at most these groups: the variance of accuracies among units decides. It is that of the
    units with two more, one that is always correct and one that never is, so that a few units alike prove little. It
    is widened as Student's quantile is.
    """
    n = len(owner)
    if len(np.unique(owner)) == n:
        return float(max(pooled.apart, 1))
    each = np.append(pooled.by_unit, (0.0, 1.0))
    alone = each.mean() * (1 - each.mean())
    widening = float(stdtrit(n - 1, 0.975) / ndtri(0.975)) ** 2
    count = alone / (each.var(ddof=1) / len(each)) / widening
    return float(max(min(count, pooled.apart), n))


def _ends(share: float, resampled: np.ndarray, independent: float) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(resampled, (0.025, 0.975)))
    least, most = wilson(share * independent, independent)
    return min(low, least), max(high, most)
