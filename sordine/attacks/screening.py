"""Attack that searches single numbers, pairs and triples of them for what differs between classes.

Learners that look at all numbers at once miss a leak that sits in few of them: the parity of a last digit, a comb of
intervals, the product of two signs. Here each number, and each product of two, is scored alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import softmax

from sordine.attacks.base import (
    Attack,
    Fold,
    Prepared,
    Split,
    Target,
    choose_candidate,
    class_shares,
    folds_of,
    majority_predictions,
    pick_class,
)
from sordine.attacks.principal_axes import WIDEST
from sordine.attacks.screened_views import View, most_varying, views_of
from sordine.keys import numpy_rng
from sordine.run import Run

COUNTS = (1, 2, 4, 16)  # best columns of a view that a classifier takes
RANKED = 96  # best columns that are remembered, so that replaced numbers need no new search
CONTRASTS = 4  # groups of classes against which products and waves are scored, where there are more classes
RIDGE = 1e-3  # added to the covariance of standardised columns


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
    budgets = ("standard", "paranoid")
    released_only = ("standard", "paranoid")
    finds_plants = "in few numbers"
    run_time = 7

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        views = views_of(x[:, _screened_numbers(x, split)], split.own, on_axes)
        return [Screened.of(views, target, split, seed).predict() for target in targets]

    def prepare(self, x: np.ndarray, split: Split, target: Target, run: Run, *, on_axes: bool = False) -> Prepared:
        return _Prepared(self, x, split, target, run, on_axes)


@dataclass(frozen=True)
class _Prepared(Prepared):
    @cached_property
    def screened_numbers(self) -> np.ndarray:
        return _screened_numbers(self.x, self.split)

    @cached_property
    def views(self) -> tuple[View, ...]:
        return views_of(self.x[:, self.screened_numbers], self.split.own, self.on_axes)

    @cached_property
    def screened(self) -> Screened:
        return Screened.of(self.views, self.target, self.split, self.run.seed)

    def relabelled(self, labels: np.ndarray) -> np.ndarray:
        target = Target(labels, self.target.classes)
        return Screened.of(self.views, target, self.split, self.run.seed).predict()

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
        # Numbers that are not screened stay so, even if they vary more now.
        screened = np.isin(numbers, self.screened_numbers)
        at = np.searchsorted(self.screened_numbers, numbers[screened])
        return self.screened.replaced(at, values[:, screened]).predict()


def _screened_numbers(x: np.ndarray, split: Split) -> np.ndarray:
    """Return the positions of the numbers of a record that are screened."""
    return np.arange(x.shape[1]) if x.shape[1] <= WIDEST else most_varying(x[split.own], WIDEST)


@dataclass(frozen=True)
class _Ranking:
    # The best columns of a view without one part of the records, the best first, and their scores.
    at: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, positions: np.ndarray | None = None, count: int = RANKED) -> _Ranking:
        best = _largest(scores, count)
        return cls(best if positions is None else positions[best], scores[best])

    def with_changed(self, positions: np.ndarray, scores: np.ndarray) -> _Ranking | None:
        """Return the ranking after some columns changed their scores; None where too few others are remembered."""
        others = ~np.isin(self.at, positions)
        if others.sum() < COUNTS[-1] and len(self.at) == RANKED:
            return None
        joined = np.concatenate([self.at[others], positions])
        return _Ranking.of(np.concatenate([self.scores[others], scores]), joined, COUNTS[-1])

    def has_same_best(self, other: _Ranking, changed: np.ndarray) -> bool:
        """Return whether the best columns are those of another ranking, and none of them changed."""
        best = self.at[: COUNTS[-1]]
        return np.array_equal(best, other.at[: COUNTS[-1]]) and not np.isin(best, changed).any()


@dataclass(frozen=True)
class _Learnt:
    # Sums of a view's columns over each part of the attacker's records, (parts, labels, columns), and of the labels,
    # (parts, labels), whose last one counts records. Every fold adds up parts.
    columns: np.ndarray
    labels: np.ndarray
    parts: tuple[int, ...]

    def scores(self, without: int | None) -> np.ndarray:
        """Return how far the class means of each column are apart, without one part."""
        parts = [i for i, k in enumerate(self.parts) if k != without]
        sums, labels = self.columns[parts].sum(0), self.labels[parts].sum(0)
        share = labels[:-1] / labels[-1]
        variance = share * (1 - share)
        away = sums[:-1] - share[:, None].astype(np.float32) * sums[-1]
        square = away.real**2 + away.imag**2 if np.iscomplexobj(away) else away**2
        # A column of labels that does not vary here says nothing.
        weight = np.where(variance > 0, 1 / np.maximum(variance, 1e-12) / labels[-1] ** 2, 0)
        square *= weight[:, None].astype(np.float32)
        # Either many classes differ a little, or one does.
        return np.asarray(np.maximum(square.mean(0), square.max(0) / 2))


@dataclass(frozen=True)
class Screened:
    """What the screening has learnt about one attribute, and how it changes when few numbers of the records do.

    A leak that is planted in a few numbers changes few columns. `replaced` scores only those again. So many plants
    cost little more than one attack.
    """

    views: tuple[View, ...]
    target: Target
    split: Split
    seed: int
    weights: tuple[np.ndarray, ...]  # of each view: labels (n, labels) of the attacker's records, 0 of others
    learnt: tuple[_Learnt, ...]
    rankings: tuple[dict[int | None, _Ranking], ...]  # of each view, by the part that is left out
    known: dict[int, list[list[np.ndarray]]] = field(default_factory=dict)  # candidates of views that did not change

    @classmethod
    def of(cls, views: Sequence[View], target: Target, split: Split, seed: int) -> Screened:
        """Search all columns of all views."""
        labelled = target.labels[split.own] >= 0
        own, part = split.own[labelled], split.part[labelled]
        weights, learnt, rankings = [], [], []
        if folds_of(target, split):
            left_out = [*(fold.part for fold in folds_of(target, split)), None]
            for view in views:
                labels = _label_columns(view, target, seed)
                weights.append(labels)
                learnt.append(_learn(view, labels, own, part))
                rankings.append({k: _Ranking.of(learnt[-1].scores(k)) for k in left_out})
        return cls(tuple(views), target, split, seed, tuple(weights), tuple(learnt), tuple(rankings))

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> Screened:
        """Return what is learnt where some numbers of the records have other values.

        Parameters
        ----------
        numbers
            (k,) positions in a record.
        values
            (n, k) new values of all records.
        """
        labelled = self.target.labels[self.split.own] >= 0
        own, part = self.split.own[labelled], self.split.part[labelled]
        views, rankings, known = [], [], {}
        for at, view in enumerate(self.views):
            labels, learnt, ranking = self.weights[at], self.learnt[at], self.rankings[at]
            changed = view.replaced(numbers, values)
            views.append(changed.view)
            if not len(changed.positions):
                rankings.append(ranking)
                known[at] = self.candidates[at]
                continue
            few = _Learnt(_sums_by_part(changed.sums, labels, own, part, learnt.parts), learnt.labels, learnt.parts)
            new = {k: one.with_changed(changed.positions, few.scores(k)) for k, one in ranking.items()}
            if any(one is None for one in new.values()):
                whole = learnt.columns.copy()
                whole[:, :, changed.positions] = few.columns
                every = _Learnt(whole, learnt.labels, learnt.parts)
                new = {k: _Ranking.of(every.scores(k)) for k in ranking}
            rankings.append({k: one for k, one in new.items() if one is not None})
            if all(one.has_same_best(ranking[k], changed.positions) for k, one in rankings[-1].items()):
                known[at] = self.candidates[at]
        same = self.target, self.split, self.seed, self.weights, self.learnt
        return Screened(tuple(views), *same, tuple(rankings), known)

    def predict(self) -> np.ndarray:
        """Return the predicted classes of the test records."""
        target, split = self.target, self.split
        folds = folds_of(target, split)
        if not folds:
            return majority_predictions(target, split.own, split.test)
        own = target.labelled(split.own)
        joined = [np.concatenate(parts) for made in self.candidates for parts in zip(*made, strict=True)]
        shares = class_shares(target, own)
        at, least = choose_candidate(joined, shares, target, np.concatenate([fold.held for fold in folds]))
        view, count = at // len(COUNTS), COUNTS[at % len(COUNTS)]
        columns = self._columns(view, None)[:, :count]
        (found,) = _discriminants(columns, target, own, split.test, (count,))
        return pick_class(found, shares, least)

    @cached_property
    def candidates(self) -> list[list[list[np.ndarray]]]:
        """P(class | best columns) of each view, each fold's own records, and each number of columns."""
        folds = folds_of(self.target, self.split)
        return [
            self.known[view] if view in self.known else [self._candidates(view, fold) for fold in folds]
            for view in range(len(self.views))
        ]

    def _candidates(self, view: int, fold: Fold) -> list[np.ndarray]:
        columns = self._columns(view, fold.part)
        return _discriminants(columns, self.target, fold.train, fold.held, COUNTS)

    def _columns(self, view: int, without: int | None) -> np.ndarray:
        return self.views[view].column(self.rankings[view][without].at[: COUNTS[-1]])


def _label_columns(view: View, target: Target, seed: int) -> np.ndarray:
    """Return columns of labels against which a view is scored, by class, with 1 in the last: (classes, labels)."""
    labels = np.eye(target.classes, dtype=np.float32)
    if view.many and target.classes > CONTRASTS:
        # Halves of the classes, drawn at random.
        codes = np.arange(target.classes)[:, None].repeat(CONTRASTS, 1) % 2
        labels = numpy_rng(seed, "screening").permuted(codes, axis=0).astype(np.float32)
    elif target.classes == 2:
        labels = labels[:, :1]
    by_class = np.concatenate([labels, np.ones((target.classes, 1), np.float32)], 1)
    by_record = by_class[np.maximum(target.labels, 0)]
    by_record[target.labels < 0] = 0
    return np.asarray(by_record)


def _learn(view: View, labels: np.ndarray, own: np.ndarray, part: np.ndarray) -> _Learnt:
    parts = tuple(np.unique(part).tolist())
    columns = [view.sums(own[part == k], labels[own[part == k]]) for k in parts]
    counts = [labels[own[part == k]].sum(0, dtype=np.float64) for k in parts]
    return _Learnt(np.stack(columns), np.stack(counts), parts)


def _sums_by_part(
    sums: object, labels: np.ndarray, own: np.ndarray, part: np.ndarray, parts: Sequence[int]
) -> np.ndarray:
    """Return sums of columns over each part: (parts, labels, columns)."""
    apart = np.zeros((len(labels), len(parts), labels.shape[1]), np.float32)
    for i, k in enumerate(parts):
        apart[own[part == k], i] = labels[own[part == k]]
    found = sums(apart.reshape(len(labels), -1))  # type: ignore[operator]
    return np.asarray(found.reshape(len(parts), labels.shape[1], -1))


def _largest(scores: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the largest scores, the largest first; equal ones in their order."""
    if len(scores) > count:
        bar = np.partition(scores, len(scores) - count)[len(scores) - count]
        at = np.flatnonzero(scores >= bar)
    else:
        at = np.arange(len(scores))
    return np.asarray(at[np.argsort(-scores[at], kind="stable")][:count])


def _discriminants(
    columns: np.ndarray, target: Target, rows: np.ndarray, test: np.ndarray, counts: Sequence[int]
) -> list[np.ndarray]:
    """Return P(class | first columns) of the test records by linear discriminants: (len(test), classes) for each count.

    The covariance of the first columns is a part of that of all of them.
    """
    learn, labels = columns[rows].astype(np.float64), target.labels[rows]
    mean = learn.mean(0)
    scale = learn.std(0)
    scale[~(scale > 0)] = 1
    z = (learn - mean) / scale
    size = np.bincount(labels, minlength=target.classes).astype(np.float64)
    centre = np.zeros((target.classes, z.shape[1]))
    np.add.at(centre, labels, z)
    centre /= np.maximum(size, 1)[:, None]
    within = z - centre[labels]
    covariance = within.T @ within / len(rows) + RIDGE * np.eye(z.shape[1])
    new = (columns[test].astype(np.float64) - mean) / scale
    with np.errstate(divide="ignore"):
        prior = np.log(size / len(rows))
    found = []
    for count in counts:
        weights = np.linalg.solve(covariance[:count, :count], centre[:, :count].T)  # (count, classes)
        offset = prior - 0.5 * np.einsum("ck,kc->c", centre[:, :count], weights)
        found.append(np.asarray(softmax(new[:, :count] @ weights + offset, axis=1)))
    return found
