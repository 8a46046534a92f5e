"""Groups of k records of one unit: what is read of them, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sordine.keys import numpy_rng
from sordine.metrics.nag import nag, wilson

GROUPS = 200  # groups of k records drawn of each unit
RESAMPLES = 200  # of the bootstrap
REGROUPED = 20  # groups drawn of each unit in a resample
MOST = 1 << 24  # numbers gathered at a time


@dataclass(frozen=True)
class Units:
    """Who each record is of. name: of the attribute, or "group". codes: (n,) int64, -1 where it cannot be told.
    names: by code. classes: (units,) class code of the secret; a unit whose records differ in it counts once a class."""

    name: str
    codes: np.ndarray
    names: tuple[str, ...]
    classes: np.ndarray

    @classmethod
    def of(
        cls,
        name: str,
        unit: np.ndarray,
        names: Sequence[str],
        secret: np.ndarray,
        classes: Sequence[str],
    ) -> Units:
        """unit, secret: (n,) codes, -1 unknown. names, classes: what they are called."""
        known = (unit >= 0) & (secret >= 0)
        pairs, code = np.unique(np.stack([unit[known], secret[known]], 1), axis=0, return_inverse=True)
        codes = np.full(len(unit), -1, np.int64)
        codes[known] = code.ravel()
        often = np.bincount(pairs[:, 0], minlength=1)
        called = tuple(f"{names[u]} ({classes[s]})" if often[u] > 1 else str(names[u]) for u, s in pairs)
        return cls(name, codes, called, pairs[:, 1].astype(np.int64))


@dataclass(frozen=True)
class Scores:
    """What each record tells: values (m, D, hypotheses) in nats, without the prior, D being under how many keys it was
    released; prior (hypotheses,) log shares; stands_for (hypotheses,): the class of the secret that each stands for."""

    values: np.ndarray
    prior: np.ndarray
    stands_for: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """rows: (m,) positions of the records tried. scores: by k (0: all records of a unit)."""

    rows: np.ndarray
    scores: Mapping[int, Scores]


@dataclass(frozen=True)
class Pooled:
    """What groups of k records read. by_unit: (units,) share read right; resampled: (RESAMPLES, units) the same in each
    resample; present: (units,) codes of the units that have k records; apart: groups that share no record; groups: drawn."""

    by_unit: np.ndarray
    resampled: np.ndarray
    present: np.ndarray
    apart: int
    groups: int


def pooled(found: Evidence, units: Units, k: int) -> Pooled | None:
    """Read many groups of k records of each unit (k = 0: all of its tried records), drawn without replacement within a group; None
    where fewer than two classes have units of so many records. Groups, and the resamples of the bootstrap, are
    the same for every attacker on the same rows."""
    if k not in found.scores:
        return None
    codes = units.codes[found.rows]
    # Keys have a generator of their own: attackers with one and with many must be tried on the same groups.
    rng, keyed = numpy_rng(k, "groups of one unit"), numpy_rng(k, "keys of a group")
    scores = found.scores[k]
    counts = np.bincount(codes[codes >= 0], minlength=len(units.names))
    present = np.flatnonzero(counts >= max(k, 1))
    if len(np.unique(units.classes[present])) < 2:
        return None
    by_unit, resampled, apart, groups, keys = [], [], 0, 0, scores.values.shape[1]
    for u in present:
        values = scores.values[codes == u]
        n = len(values)
        size = k or n
        truth = units.classes[u]

        def right(at: np.ndarray, values: np.ndarray = values, truth: int = truth) -> np.ndarray:
            return np.asarray(scores.stands_for[(sums(values, at, keyed) + scores.prior).argmax(1)] == truth)

        drawn = rng.integers(n, size=(RESAMPLES, n))
        if size == 1:
            single = (scores.stands_for[(values + scores.prior).argmax(2)] == truth).mean(1)
            by_unit.append(single.mean())
            resampled.append(single[drawn].mean(1))
            groups += n
        else:
            every = 1 if size == n and keys == 1 else GROUPS
            again = 1 if size == n and keys == 1 else REGROUPED
            by_unit.append(right(draw(rng, n, size, every)).mean())
            at = draw(rng, n, size, RESAMPLES * again).reshape(RESAMPLES, again * size)
            at = np.take_along_axis(drawn, at, 1).reshape(-1, size)
            resampled.append(right(at).reshape(RESAMPLES, again).mean(1))
            groups += every
        apart += n // size
    return Pooled(np.array(by_unit), np.stack(resampled, 1), present, apart, groups)


def draw(rng: np.random.Generator, n: int, k: int, count: int) -> np.ndarray:
    """`count` groups of k positions among n, without replacement within a group: (count, k), or (count, n) where n is less."""
    if k >= n:
        return np.tile(np.arange(n), (count, 1))
    step = max(1, MOST // n)
    parts = [rng.random((min(step, count - s), n), np.float32).argpartition(k, 1)[:, :k] for s in range(0, count, step)]
    return np.concatenate(parts)


def sums(values: np.ndarray, at: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scores of records (m, D, hypotheses), summed over groups (g, k) of them -> (g, hypotheses): each record of a group as
    released under one of D keys at random."""
    keys = values.shape[1]
    step = max(1, MOST // max(1, at.shape[1] * values.shape[2]))
    parts = []
    for start in range(0, len(at), step):
        some = at[start : start + step]
        parts.append(values[some, rng.integers(keys, size=some.shape) if keys > 1 else 0].sum(1))
    return np.concatenate(parts)


@dataclass(frozen=True)
class Share:
    """before, after, guess, nag with their intervals, and per class and unit what is read after."""

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
    """Every unit counts alike, so the guess is the largest share of units of one class.

    Intervals: a bootstrap of units within their class and of records within units, its spread around what was read. Groups of one unit share records
    and whatever is peculiar to the unit, so they are no independent trials; units are drawn within their class so that
    the guess stays. Where the secret is the unit itself each class has one, so that only records vary: the interval is
    about these people. Where all groups are read right, or all wrong, nothing varies, and Wilson's limit over as many
    groups as share no record takes the place of that end.
    """
    owner = units.classes[after.present]
    guess = float(np.bincount(owner).max() / len(owner))
    rng = numpy_rng(0, "units resampled")
    weight = np.zeros((RESAMPLES, len(owner)))
    for c in np.unique(owner):
        members = np.flatnonzero(owner == c)
        picked = members[rng.integers(len(members), size=(RESAMPLES, len(members)))]
        np.add.at(weight, (np.arange(RESAMPLES)[:, None], picked), 1)
    weight /= len(owner)
    was, now = float(before.by_unit.mean()), float(after.by_unit.mean())
    was_again, now_again = ((weight * p.resampled).sum(1) for p in (before, after))
    # A resample holds some records twice, so that its groups tell a little less: its spread counts, its level does not.
    was_again, now_again = (np.clip(a - a.mean() + s, 0, 1) for a, s in ((was_again, was), (now_again, now)))
    interval = _ends(now, now_again, after.apart)
    least = _ends(was, was_again, before.apart)[0]
    share = low = high = None
    if least > guess:
        share = nag(now, was, guess)
        ratios = (now_again - guess) / np.maximum(was_again - guess, 1e-3)
        low, high = (float(q) for q in np.quantile(ratios, (0.025, 0.975)))
        low = min(low, nag(interval[0], was, guess)) if now_again.std() < 1e-9 else low
        high = max(high, nag(interval[1], was, guess)) if now_again.std() < 1e-9 else high
        low, high = min(low, share), max(high, share)
    by_class = {int(c): float(after.by_unit[owner == c].mean()) for c in np.unique(owner)}
    by_unit = {int(u): float(r) for u, r in zip(after.present, after.by_unit, strict=True)}
    return Share(was, now, guess, share, low, high, interval, by_class, by_unit)


def _ends(share: float, again: np.ndarray, apart: int) -> tuple[float, float]:
    low, high = (float(q) for q in np.quantile(again, (0.025, 0.975)))
    if again.std() < 1e-9:
        low, high = wilson(share * apart, apart)
    return min(low, share), max(high, share)
