"""Attack that searches single numbers, pairs and triples of them for what differs between classes.

Learners that look at all numbers at once miss a leak that sits in few of them: the parity of a last digit, a comb of
intervals, the product of two signs. Here each number, and each product of two, is scored alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import numpy as np
from scipy.special import softmax

from sordine.attacks.base import (
    Attack,
    Split,
    Target,
    choose_candidate,
    class_shares,
    folds_of,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.attacks.principal_axes import WIDEST
from sordine.keys import numpy_rng
from sordine.run import Run

COUNTS = (1, 2, 4, 16)  # best columns of a view that a classifier takes
CONTRASTS = 8  # groups of classes against which products and waves are scored, where there are more classes
PAIRED, TRIPLED = 1024, 40  # most numbers of a record that products of two and of three are made of
BINS = 2048  # of a number's range, for its periods
# Steps of a period count: the range is padded with empty bins up to so many times its length, unless there are many.
FINER, WIDE = 4, 128
PERIODS = (8, 512)  # fewest and most periods in a number's range
BITS = 3  # lowest bits of a number
DIGITS = 6  # most decimal places
SAMPLE = 64  # records that rule out decimal places of a column
RIDGE = 1e-3  # added to the covariance of standardised columns


@dataclass(frozen=True)
class _View:
    # Columns of records, too many to keep: their sums, weighted by columns of labels (k, labels) over records (k,), and
    # chosen ones of all records.
    sums: Callable[[np.ndarray, np.ndarray], np.ndarray]  # -> (labels, columns)
    column: Callable[[np.ndarray], np.ndarray]  # numbers of columns (k,) -> (n, k or more), the best first
    many: bool = False  # whether classes are grouped where there are many


@dataclass(frozen=True)
class _Learnt:
    # Sums of a view over each part of the attacker's records, and the same of the labels: every fold adds up parts.
    columns: dict[int, np.ndarray]
    labels: dict[int, np.ndarray]

    def best(self, without: int | None) -> np.ndarray:
        """Return the columns that differ most between classes, without one part: the best first."""
        parts = [k for k in self.columns if k != without]
        sums, labels = (reduce(np.add, [some[k] for k in parts]) for some in (self.columns, self.labels))
        share = labels[:-1] / labels[-1]
        variance = share * (1 - share)
        away = sums[:-1] - share[:, None].astype(np.float32) * sums[-1]
        square = away.real**2 + away.imag**2
        # A column of labels that does not vary here says nothing.
        square *= np.where(variance > 0, 1 / np.maximum(variance, 1e-12) / labels[-1] ** 2, 0)[:, None].astype(
            np.float32
        )
        # Either many classes differ a little, or one does.
        return _largest(np.maximum(square.mean(0), square.max(0) / 2), COUNTS[-1])


@dataclass(frozen=True)
class Screening(Attack):
    """A linear discriminant on the best 1, 2, 4 or 16 columns of one view.

    The views are: the numbers, their ranks, their squares, their last bits and digits, waves of every period in their
    range, products of two numbers, of two signs, and of three signs. A column's score is the spread of its class means
    in the training records. The view, the number of columns, and whether the likeliest or the least likely class is
    predicted, are chosen by cross-validation within the attacker's own records. Of records of more than `WIDEST`
    numbers, those that vary most are screened.
    """

    input_form = "numbers"
    budgets = ("paranoid",)
    measures_power = True
    run_time = 7

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        if x.shape[1] > WIDEST:
            x = x[:, _most_varying(x[split.own], WIDEST)]
        views = list(_views(x, split.own, on_axes))
        return [_predict(views, target, split, seed) for target in targets]


def _predict(views: Sequence[_View], target: Target, split: Split, seed: int) -> np.ndarray:
    folds = folds_of(target, split)
    if not folds:
        return majority_predictions(target, split.own, split.test)
    labelled = target.labels[split.own] >= 0
    own, part = split.own[labelled], split.part[labelled]
    learnt = [_learn(view, target, own, part, seed) for view in views]
    candidates: list[list[np.ndarray]] = []
    for fold in folds:
        columns = [view.column(sums.best(fold.part)) for view, sums in zip(views, learnt, strict=True)]
        candidates.append([_discriminant(c[:, :n], target, fold.train, fold.held) for c in columns for n in COUNTS])
    joined = [np.concatenate(parts) for parts in zip(*candidates, strict=True)]
    shares = class_shares(target, own)
    at, least = choose_candidate(joined, shares, target, np.concatenate([fold.held for fold in folds]))
    view, count = at // len(COUNTS), COUNTS[at % len(COUNTS)]
    best = views[view].column(learnt[view].best(None))[:, :count]
    return pick_class(_discriminant(best, target, own, split.test), shares, least)


def _learn(view: _View, target: Target, own: np.ndarray, part: np.ndarray, seed: int) -> _Learnt:
    labels = np.eye(target.classes, dtype=np.float32)
    if view.many and target.classes > CONTRASTS:
        # Halves of the classes, drawn at random.
        labels = (
            numpy_rng(seed, "screening")
            .permuted(np.arange(target.classes)[:, None].repeat(CONTRASTS, 1) % 2, axis=0)
            .astype(np.float32)
        )
    elif target.classes == 2:
        labels = labels[:, :1]
    labels = np.concatenate([labels, np.ones((target.classes, 1), np.float32)], 1)  # the last one counts records
    columns, counts = {}, {}
    for k in np.unique(part).tolist():
        rows = own[part == k]
        weights = labels[target.labels[rows]]
        columns[k], counts[k] = view.sums(rows, weights), weights.sum(0, dtype=np.float64)
    return _Learnt(columns, counts)


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the largest scores, the largest first; equal ones in their order."""
    if len(scores) > count:
        bar = np.partition(scores, len(scores) - count)[len(scores) - count]
        at = np.flatnonzero(scores >= bar)
    else:
        at = np.arange(len(scores))
    return np.asarray(at[np.argsort(-scores[at], kind="stable")][:count])


def _discriminant(columns: np.ndarray, target: Target, rows: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return P(class | columns) of the test records by a linear discriminant: (len(test), classes)."""
    mean, scale = moments(columns, rows)
    z = (columns - mean) / scale
    member = np.eye(target.classes)[target.labels[rows]]
    shares = member.mean(0)
    centre = (member.T @ z[rows]) / np.maximum(member.sum(0), 1)[:, None]
    within = z[rows] - centre[target.labels[rows]]
    covariance = within.T @ within / len(rows) + RIDGE * np.eye(z.shape[1])
    weights = np.linalg.solve(covariance, centre.T)  # (k, classes)
    with np.errstate(divide="ignore"):
        score = z[test] @ weights - 0.5 * np.einsum("ck,kc->c", centre, weights) + np.log(shares)
    return np.asarray(softmax(score, axis=1))


# ------------------------------------------------------------------------------------------------------------ the views


def _views(x: np.ndarray, own: np.ndarray, on_axes: bool) -> Iterator[_View]:
    z = _standardised(x, own)
    yield _plain(z)
    yield _plain(_ranks(z, own))
    yield _plain(_standardised(z * z, own))
    if not on_axes:
        yield _plain(_standardised(_low_digits(x), own))
    yield _waves(x, own)
    paired, tripled = (_most_varying(x[own], most) for most in (PAIRED, TRIPLED))
    yield _pairs(z[:, paired])
    signs = np.where(x > np.median(x[own], 0), np.float32(1), np.float32(-1))
    yield _pairs(signs[:, paired])
    yield _triples(signs[:, tripled])


def _most_varying(x: np.ndarray, most: int) -> np.ndarray:
    """Return the numbers of a record that vary most, in their order: at most `most`."""
    return np.sort(np.argsort(-x.var(0), kind="stable")[:most])


def _standardised(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    mean, scale = moments(columns, rows)
    return np.asarray((columns - mean) / scale, np.float32)


def _plain(columns: np.ndarray) -> _View:
    return _View(lambda rows, weights: weights.T @ columns[rows], lambda chosen: columns[:, chosen])


def _ranks(z: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return each number's position among those of the attacker's records: (n, d), standardised."""
    ordered = np.sort(z[own], 0)
    ranks = np.empty_like(z)
    for j in range(z.shape[1]):
        below, above = (np.searchsorted(ordered[:, j], z[:, j], side) for side in ("left", "right"))
        ranks[:, j] = below + above
    return _standardised(ranks, own)


def _low_digits(x: np.ndarray) -> np.ndarray:
    """Return the lowest bits of each number, and whether its last decimal digit is odd."""
    x = np.ascontiguousarray(x, np.float32)
    bits = x.view(np.uint32)
    low = [((bits >> k) & 1).astype(np.float32) for k in range(BITS)]
    return np.concatenate([*low, _odd_digits(x)], 1)


def _odd_digits(x: np.ndarray) -> np.ndarray:
    # 1 where the last decimal digit of a number is odd. The number of decimal places is that of the column; a column
    # of more than `DIGITS` places stays 0.
    odd = np.zeros(x.shape, np.float32)
    left = np.arange(x.shape[1])
    for places in range(DIGITS + 1):
        for some in (x[:SAMPLE], x):  # few records rule out most columns
            scaled = some[:, left].astype(np.float64) * 10.0**places
            whole = np.rint(scaled)
            slack = 1e-6 * np.maximum(np.abs(scaled), 1)
            fits = (np.abs(scaled - whole) <= slack).all(0) & (np.abs(whole).max(0, initial=0) < 2**24)
            if some is not x:
                others, left = left[~fits], left[fits]
        odd[:, left[fits]] = np.mod(whole[:, fits], 2)
        left = np.sort(np.concatenate([others, left[~fits]]))
        if not len(left):
            break
    return odd


def _waves(x: np.ndarray, own: np.ndarray) -> _View:
    """Return waves of each number: columns are numbers of (number of the record, period)."""
    low, high = x[own].min(0), x[own].max(0)
    place = (x - low) / np.where(high > low, high - low, 1)  # 0 to 1 in the attacker's records
    finer = FINER if x.shape[1] <= WIDE else 1
    fewest, most = (finer * periods for periods in PERIODS)
    width = most - fewest

    def sums(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        bins = np.clip((place[rows] * BINS).astype(np.int64), 0, BINS - 1)
        found = np.empty((weights.shape[1], x.shape[1], width), np.complex64)
        for j in range(x.shape[1]):
            held = np.stack([np.bincount(bins[:, j], weight, BINS) for weight in weights.T]).astype(np.float32)
            found[:, j] = np.fft.rfft(held, finer * BINS, axis=1)[:, fewest:most] * np.float32(np.sqrt(2))
        return found.reshape(weights.shape[1], -1)

    def column(chosen: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi * place[:, chosen // width].astype(np.float64) * (chosen % width + fewest) / finer
        return np.stack([np.cos(angle), np.sin(angle)], 2).reshape(len(x), -1).astype(np.float32)

    return _View(sums, column, many=True)


def _pairs(z: np.ndarray) -> _View:
    first, second = np.triu_indices(z.shape[1], 1)

    def sums(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        own = z[rows]
        return np.stack([((own * weight[:, None]).T @ own)[first, second] for weight in weights.T])

    return _View(sums, lambda chosen: z[:, first[chosen]] * z[:, second[chosen]], many=True)


def _triples(signs: np.ndarray) -> _View:
    width = signs.shape[1]
    of = np.array(list(combinations(range(width), 3)), np.int64).reshape(-1, 3)
    first, second = np.triu_indices(width, 1)
    number = np.zeros((width, width), np.int64)
    number[first, second] = np.arange(len(first))
    pair = number[of[:, 0], of[:, 1]]

    def sums(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        own = signs[rows]
        pairs = own[:, first] * own[:, second]
        return np.stack([((pairs * weight[:, None]).T @ own)[pair, of[:, 2]] for weight in weights.T])

    return _View(sums, lambda chosen: signs[:, of[chosen]].prod(2), many=True)
