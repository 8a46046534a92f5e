"""Attack that searches single numbers, pairs and triples of them for what differs between classes.

Learners that look at all numbers at once miss a leak that sits in few of them: the parity of a last digit, a comb of
intervals, the product of two signs. Here each number, and each product of two, is scored alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sordine.attacks.base import (
    Attack,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.keys import numpy_rng
from sordine.run import Run

COUNTS = (1, 2, 4, 16)  # best columns of a view that a classifier takes
CONTRASTS = 8  # columns of labels against which products are scored
PAIRED, TRIPLED = 1024, 40  # most numbers of a record that products of two and of three are made of
BINS = 4096  # of a number's range, for its periods
FINER = 4  # steps of a period count: the range is padded with empty bins up to so many times its length
PERIODS = (8, 1024)  # fewest and most periods in a number's range
BITS = 3  # lowest bits of a number
DIGITS = 6  # most decimal places
RIDGE = 1e-3  # added to the covariance of standardised columns


@dataclass(frozen=True)
class _Labels:
    # Rows of training records; their indicators, centred, one column a class; and few contrasts of the classes.
    rows: np.ndarray
    indicators: np.ndarray
    contrasts: np.ndarray


@dataclass(frozen=True)
class _View:
    # Columns that are scored against the labels, and made again for all records once they are chosen.
    score: Callable[[_Labels], np.ndarray]  # -> one score a column
    column: Callable[[np.ndarray], np.ndarray]  # numbers of columns (k,) -> (n, k or more), the best first


@dataclass(frozen=True)
class Screening(Attack):
    """A linear discriminant on the best 1, 2, 4 or 16 columns of one view.

    The views are: the numbers, their ranks, their squares, their last bits and digits, waves of every period in their
    range, products of two numbers, of two signs, and of three signs. A column's score is the spread of its class means
    in the training records. The view, the number of columns, and whether the likeliest or the least likely class is
    predicted, are chosen on the validation records, which then join the training records.
    """

    input_form = "numbers"
    budgets = ("standard", "paranoid")
    run_time = 7

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        views = list(_views(x, split.own, on_axes))
        return [_predict(views, target, split, seed) for target in targets]


def _predict(views: Sequence[_View], target: Target, split: Split, seed: int) -> np.ndarray:
    own = target.labelled(split.own)
    inner = [(target.labelled(train), target.labelled(held)) for train, held in split.inner]
    inner = [(train, held) for train, held in inner if target.has_two_classes(train) and len(held)]
    if not inner:
        return majority_predictions(target, split.own, split.test)
    choices = [(view, count) for view in views for count in COUNTS]
    folds = [_candidates(views, target, train, held, seed) for train, held in inner]
    candidates = [np.concatenate(parts) for parts in zip(*folds, strict=True)]
    shares = class_shares(target, own)
    at, least = choose_candidate(candidates, shares, target, np.concatenate([held for _, held in inner]))
    view, count = choices[at]
    columns = view.column(_best(view.score(_labels(target, own, seed)), count))
    return pick_class(_discriminant(columns, target, own, split.test), shares, least)


def _candidates(
    views: Sequence[_View], target: Target, train: np.ndarray, held: np.ndarray, seed: int
) -> list[np.ndarray]:
    # P(class) of the validation records, for each view and each number of columns.
    labels = _labels(target, train, seed)
    candidates = []
    for view in views:
        columns = view.column(_best(view.score(labels), COUNTS[-1]))
        candidates += [_discriminant(columns[:, :count], target, train, held) for count in COUNTS]
    return candidates


def _labels(target: Target, rows: np.ndarray, seed: int) -> _Labels:
    indicators = np.eye(target.classes, dtype=np.float32)[target.labels[rows]]
    indicators -= indicators.mean(0)
    spread = np.sqrt((indicators**2).mean(0))
    indicators = indicators[:, spread > 0] / spread[spread > 0]
    contrasts = indicators if target.classes > 2 else indicators[:, :1]
    if contrasts.shape[1] > CONTRASTS:
        signs = numpy_rng(seed, "screening").choice([-1.0, 1.0], (contrasts.shape[1], CONTRASTS))
        contrasts = contrasts @ signs.astype(np.float32)
        contrasts /= np.sqrt((contrasts**2).mean(0)) + 1e-12
    return _Labels(rows, indicators, contrasts)


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    return np.argsort(-scores, kind="stable")[:count]


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
    score -= score.max(1, keepdims=True)
    likely = np.exp(score)
    return np.asarray(likely / likely.sum(1, keepdims=True))


# ------------------------------------------------------------------------------------------------------------ the views


def _views(x: np.ndarray, own: np.ndarray, on_axes: bool) -> Iterator[_View]:
    mean, scale = moments(x, own)
    z = (x - mean) / scale
    yield _plain(z)
    yield _plain(_ranks(z, own))
    yield _plain(_standardised(z * z, own))
    if not on_axes:
        yield _plain(_standardised(_low_digits(x), own))
    yield _waves(x, own)
    widest = np.sort(np.argsort(-x[own].var(0), kind="stable")[:PAIRED])
    yield _pairs(z[:, widest], 1.0)
    signs = np.where(x > np.median(x[own], 0), np.float32(1), np.float32(-1))
    yield _pairs(signs[:, widest], 0.0)
    yield _triples(signs[:, widest[:TRIPLED]] if len(widest) <= TRIPLED else signs[:, np.sort(widest)[:TRIPLED]])


def _standardised(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    mean, scale = moments(columns, rows)
    return np.asarray((columns - mean) / scale, np.float32)


def _spread(sums: np.ndarray, records: int) -> np.ndarray:
    # Inner products of standardised columns with labels (m, labels) -> one score a column. Either many classes differ
    # a little, or one does.
    square = (sums / records) ** 2
    return np.asarray(np.maximum(square.mean(-1), square.max(-1) / 2))


def _plain(columns: np.ndarray) -> _View:
    return _View(
        lambda labels: _spread(columns[labels.rows].T @ labels.indicators, len(labels.rows)),
        lambda chosen: columns[:, chosen],
    )


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
        scaled = x[:, left].astype(np.float64) * 10.0**places
        whole = np.rint(scaled)
        slack = 1e-6 * np.maximum(np.abs(scaled), 1)
        fits = (np.abs(scaled - whole) <= slack).all(0) & (np.abs(whole).max(0, initial=0) < 2**24)
        odd[:, left[fits]] = np.mod(whole[:, fits], 2)
        left = left[~fits]
        if not len(left):
            break
    return odd


def _waves(x: np.ndarray, own: np.ndarray) -> _View:
    """Return waves of each number: columns are numbers of (number of the record, period)."""
    low, high = x[own].min(0), x[own].max(0)
    place = (x - low) / np.where(high > low, high - low, 1)  # 0 to 1 in the attacker's records
    fewest, most = (FINER * periods for periods in PERIODS)
    width = most - fewest

    def score(labels: _Labels) -> np.ndarray:
        bins = np.minimum((place[labels.rows] * BINS).astype(np.int64), BINS - 1)
        scores = np.empty((x.shape[1], width), np.float32)
        for j in range(x.shape[1]):
            held = np.zeros((labels.contrasts.shape[1], BINS), np.float32)
            for c, weight in enumerate(labels.contrasts.T):
                held[c] = np.bincount(bins[:, j], weight, BINS)
            found = np.abs(np.fft.rfft(held, FINER * BINS, axis=1)[:, fewest:most])
            scores[j] = _spread(found.T * np.sqrt(2), len(labels.rows))
        return scores.ravel()

    def column(chosen: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi * place[:, chosen // width].astype(np.float64) * (chosen % width + fewest) / FINER
        return np.stack([np.cos(angle), np.sin(angle)], 2).reshape(len(x), -1).astype(np.float32)

    return _View(score, column)


def _pairs(z: np.ndarray, diagonal: float) -> _View:
    first, second = np.triu_indices(z.shape[1], 1)

    def score(labels: _Labels) -> np.ndarray:
        own = z[labels.rows]
        sums = [(own * weight[:, None]).T @ own for weight in labels.contrasts.T]
        return _spread(np.stack([s[first, second] for s in sums], 1), len(own))

    return _View(score, lambda chosen: z[:, first[chosen]] * z[:, second[chosen]])


def _triples(signs: np.ndarray) -> _View:
    of = np.array(list(combinations(range(signs.shape[1]), 3)), np.int64).reshape(-1, 3)
    first, second = np.triu_indices(signs.shape[1], 1)
    pair = {p: i for i, p in enumerate(zip(first.tolist(), second.tolist(), strict=True))}
    which = np.array([pair[a, b] for a, b, _ in of.tolist()], np.int64)

    def score(labels: _Labels) -> np.ndarray:
        own = signs[labels.rows]
        pairs = own[:, first] * own[:, second]
        sums = [(pairs * weight[:, None]).T @ own for weight in labels.contrasts.T]
        return _spread(np.stack([s[which, of[:, 2]] for s in sums], 1), len(own))

    return _View(score, lambda chosen: signs[:, of[chosen, 0]] * signs[:, of[chosen, 1]] * signs[:, of[chosen, 2]])
