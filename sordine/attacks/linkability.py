"""Linkage: which original became this released record, and are two released records of one unit?"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.stats import rankdata

from sordine.attacks.base import moments
from sordine.attacks.principal_axes import WIDEST, principal_axes
from sordine.attacks.results import LinkageFinding, VerificationFinding
from sordine.keys import numpy_rng
from sordine.metrics.nag import wilson

AXES = 128  # of the whitened space and of what the learnt map aims at
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the learnt map, times the mean squared length of what it reads
PAIRS = 20_000  # of one unit, and of two, that are verified
RESAMPLES = 200
BLOCK = 1 << 24  # distances held at a time


def link(
    before: np.ndarray,
    after: np.ndarray,
    on: Literal["fitted", "unseen"],
    channel: tuple[np.ndarray, np.ndarray] | None = None,
    unit: tuple[str, np.ndarray] | None = None,
) -> list[LinkageFinding]:
    """Match released records with originals: before (n, *shape), after (n, *other shape), row by row the same records.

    channel: P(j | x) of the originals (n, M) and which output each release is (n,). unit: its name, and whose each
    record is (n,), -1 unknown. The nearest original is looked for where both have the same shape; the map is
    learnt from half of the pairs and tried on the other half, among its originals.
    """
    x, y = (np.asarray(part, np.float32).reshape(len(part), -1) for part in (before, after))
    found = []
    every = np.arange(len(x))
    if x.shape == y.shape:
        mean, scale = moments(x, every)
        z, w = (x - mean) / scale, (y - mean) / scale
        found.append(_told("standardised", on, _near(w, z), every, unit))
        axes = _along(z)
        spread = np.maximum((z @ axes).std(0), 1e-6)
        found.append(_told("whitened", on, _near(w @ axes / spread, z @ axes / spread), every, unit))
    if len(x) >= 40:
        found.append(_learnt(x, y, on, unit))
    if channel is not None:
        p, index = channel
        found.append(_told("channel", on, np.asarray(p[:, index].T, np.float64), every, unit))
    return found


def _along(z: np.ndarray) -> np.ndarray:
    # The longest principal axes of centred records: (d, at most AXES).
    if z.shape[1] > WIDEST:
        return principal_axes(z, AXES).along
    length, axes = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
    keep = np.argsort(-length)[:AXES]
    return np.asarray(axes[:, keep[length[keep] > 1e-6 * max(float(length.max()), 1e-12)]], np.float32)


def _near(released: np.ndarray, originals: np.ndarray) -> np.ndarray:
    # Minus the squared distance of each released record to each original, but for what is the same along a row.
    return np.asarray(2 * released @ originals.T - (originals.astype(np.float64) ** 2).sum(1), np.float64)


def _learnt(
    x: np.ndarray, y: np.ndarray, on: Literal["fitted", "unseen"], unit: tuple[str, np.ndarray] | None
) -> LinkageFinding:
    """Ridge regression from released records to originals on their principal axes; the penalty is chosen on a quarter of the half
    that is learnt from. An axis counts by how truly it is foretold there: its error's variance divides its distance."""
    order = numpy_rng(0, "linkage halves").permutation(len(x))
    own, tried = np.sort(order[: len(x) // 2]), np.sort(order[len(x) // 2 :])
    train, validation = own[np.arange(len(own)) % 4 != 0], own[np.arange(len(own)) % 4 == 0]
    mean, scale = moments(x, own)
    z = (x - mean) / scale
    goal = z @ _along(z[own])
    seen_mean, seen_scale = moments(y, own)
    seen = (y - seen_mean) / seen_scale
    if seen.shape[1] > WIDEST:
        seen = seen @ _along(seen[own])
    best: tuple[float, float, np.ndarray] | None = None
    for penalty in PENALTIES:
        left = goal[validation] - _ridge(seen[train], goal[train], penalty, seen[validation])
        error = left.var(0) + 1e-6
        gained = float(np.log(goal[validation].var(0) + 1e-6).sum() - np.log(error).sum())
        if best is None or gained > best[0]:
            best = gained, penalty, error
    assert best is not None
    weight = 1 / np.sqrt(best[2])
    foretold = _ridge(seen[own], goal[own], best[1], seen[tried])
    return _told("learnt", on, _near(foretold * weight, goal[tried] * weight), tried, unit)


def _ridge(from_: np.ndarray, to: np.ndarray, penalty: float, tried: np.ndarray) -> np.ndarray:
    centre = to.mean(0)
    gram = (from_ @ from_.T).astype(np.float64)
    weights = np.linalg.solve(gram + penalty * np.trace(gram) / len(gram) * np.eye(len(gram)), to - centre)
    return np.asarray((tried @ from_.T) @ weights + centre)


def _told(
    attacker: str,
    on: Literal["fitted", "unseen"],
    score: np.ndarray,
    rows: np.ndarray,
    unit: tuple[str, np.ndarray] | None,
) -> LinkageFinding:
    # score: (n, n), the higher the likelier; the released record of a row and the original of a column. rows: positions in `unit`.
    n = len(score)
    own = np.diag(score)[:, None]
    higher, equal = (score > own).sum(1), (score == own).sum(1)
    rank = higher + (equal + 1) / 2
    top1 = float(np.where(higher == 0, 1 / equal, 0).mean())
    low, high = wilson(top1 * n, n)
    told: dict[str, object] = {}
    if unit is not None:
        name, codes = unit[0], unit[1][rows]
        known = codes >= 0
        if known.any():
            # Originals of nobody known are no answer to whose a record is.
            told_of = score[np.ix_(known, known)]
            best = told_of == told_of.max(1, keepdims=True)
            right = (best & (codes[known][:, None] == codes[known][None])).sum(1) / best.sum(1)
            told = {
                "unit": name,
                "unit_top1": float(right.mean()),
                "unit_guess": float(np.bincount(codes[known]).max() / known.sum()),
                "unit_records": int(known.sum()),
            }
    return LinkageFinding(attacker, on, top1, low, high, 1 / n, float(rank.mean()), n, **told)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ verification


def verify(
    before: np.ndarray, after: np.ndarray, unit: np.ndarray, fitted: np.ndarray, name: str
) -> list[VerificationFinding]:
    """Equal error rates of telling pairs of unseen records of one unit from pairs of two, before and after.

    before, after: (n, *shape). unit: (n,) codes, -1 unknown. fitted: (n,) bool, whose units are others than the unseen ones'.
    The cosine is taken of records standardised by the fitted ones, and in a linear discriminant's space learnt from
    the fitted units' own records of the same kind, where there are at least three of two records. Empty where fewer than
    two unseen units have two records.
    """
    rows = np.flatnonzero(~fitted & (unit >= 0))
    codes = np.unique(unit[rows], return_inverse=True)[1]
    if (np.bincount(codes, minlength=1) >= 2).sum() < 2 or not fitted.any():
        return []
    left, right = _pairs(codes)
    same = codes[left] == codes[right]
    if not same.any() or same.all():
        return []
    rng = numpy_rng(0, "verification units")
    drawn = rng.integers(codes.max() + 1, size=(RESAMPLES, int(codes.max()) + 1))
    times = np.stack([np.bincount(d, minlength=drawn.shape[1]) for d in drawn])
    # A unit drawn twice stands for two units: their own pairs come twice, not four times.
    weight = np.where(same, times[:, codes[left]], times[:, codes[left]] * times[:, codes[right]])
    rates: dict[str, list[tuple[float, tuple[float, float]]]] = {}
    for x in (before, after):
        flat = np.asarray(x, np.float32).reshape(len(x), -1)
        mean, scale = moments(flat, np.flatnonzero(fitted))
        z = (flat - mean) / scale
        if z.shape[1] > WIDEST:
            z = z @ _along(z[fitted])
        spaces = {"standardised": z}
        told = _discriminant(z, unit, fitted)
        if told is not None:
            spaces["discriminant"] = z @ told
        for space, at in spaces.items():
            u = at[rows] / np.maximum(np.linalg.norm(at[rows], axis=1, keepdims=True), 1e-12)
            score = np.einsum("pd,pd->p", u[left], u[right])
            rates.setdefault(space, []).append(_equal_error(score, same, weight))
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


def _pairs(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Positions of pairs: at most PAIRS of one unit and PAIRS of two, at random.
    rng = numpy_rng(0, "verification pairs")
    n = len(codes)
    one, other = np.triu_indices(n, 1) if n <= 3000 else np.sort(rng.integers(n, size=(2, 4_000_000)), 0)
    one, other = one[one != other], other[one != other]
    same = codes[one] == codes[other]
    picked = [rng.permutation(np.flatnonzero(kind))[:PAIRS] for kind in (same, ~same)]
    some = np.concatenate(picked)
    return one[some], other[some]


def _discriminant(z: np.ndarray, unit: np.ndarray, fitted: np.ndarray) -> np.ndarray | None:
    # Axes (d, m) along which the fitted units differ, measured by the spread within them.
    rows = np.flatnonzero(fitted & (unit >= 0))
    present, code, count = np.unique(unit[rows], return_inverse=True, return_counts=True)
    if (count >= 2).sum() < 3:
        return None
    seen = z[rows].astype(np.float64)
    means = np.zeros((len(present), z.shape[1]))
    np.add.at(means, code, seen)
    means /= count[:, None]
    within = np.cov((seen - means[code]).T)
    within = np.atleast_2d(within)
    within = 0.9 * within + 0.1 * np.trace(within) / len(within) * np.eye(len(within)) + 1e-9 * np.eye(len(within))
    length, axes = np.linalg.eigh(within)
    white = axes / np.sqrt(np.maximum(length, 1e-12))
    spread = (means - means.mean(0)) @ white
    _, size, along = np.linalg.svd(spread, full_matrices=False)
    keep = size > 1e-9 * max(float(size.max(initial=0)), 1e-12)
    return np.asarray(white @ along[keep].T, np.float32) if keep.any() else None


def _equal_error(score: np.ndarray, same: np.ndarray, weight: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The rate at which as many pairs of one unit are refused as pairs of two are accepted, never above .5; and its 95 %
    interval over resampled units, whose pairs weigh `weight` (resamples, pairs)."""
    # Equal scores fall at one threshold: their mean rank, half of them on either side.
    order = np.argsort(rankdata(score), kind="stable")
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    one = _rate(same[order], np.ones((1, len(score))), last)[0]
    many = _rate(same[order], weight[:, order], last)
    low, high = np.quantile(many, (0.025, 0.975))
    return float(one), (float(min(low, one)), float(max(high, one)))


def _rate(same: np.ndarray, weight: np.ndarray, last: np.ndarray) -> np.ndarray:
    # same: (p,) in the order of scores; weight: (r, p); last: the last pair of each run of equal scores -> (r,)
    rates = np.full(len(weight), 0.5)
    for i, w in enumerate(weight):
        ones, twos = w * same, w * ~same
        if ones.sum() <= 0 or twos.sum() <= 0:
            continue
        refused = np.concatenate([[0], np.cumsum(ones)[last]]) / ones.sum()
        accepted = 1 - np.concatenate([[0], np.cumsum(twos)[last]]) / twos.sum()
        at = int(np.argmax(refused >= accepted))
        # Between the two thresholds around the crossing both rates go straight.
        gap0, gap1 = accepted[at - 1] - refused[at - 1], refused[at] - accepted[at]
        part = gap0 / max(gap0 + gap1, 1e-12)
        rates[i] = refused[at - 1] + part * (refused[at] - refused[at - 1])
    return np.minimum(rates, 0.5)
