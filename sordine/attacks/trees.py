"""Attacks by trees: extremely randomised forests and gradient-boosted trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sordine.attacks.base import (
    LARGEST,
    Attack,
    LogProbabilities,
    Split,
    Target,
    accuracy_on,
    choose_candidate,
    class_shares,
    majority_predictions,
    pick_class,
)
from sordine.attacks.logistic import class_probabilities, log_probabilities
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget

LEAVES = (1, 8)  # smallest numbers of records in a leaf
TREES, TREES_TO_CHOOSE = 48, 12
CALIBRATED_LEAF, CALIBRATED_TREES = 8, 60
DISTINCT = 0.8  # share of distinct records up to which trees are grown on those alone
# Leaves of a boosted tree and its learning rate: few large steps of small trees, or many small steps of larger ones.
BOOSTED = ((4, 0.2), (15, 0.08))
FEWER_BOOSTED = ((8, 0.3),)
# Upper limits: rounds of boosting, and its trees, of which each round grows one a class.
ROUNDS, MOST_TREES, FEWER_TREES = 60, 240, 36
BINS = 63  # into which the values of a number are sorted
LOOKED_AT = 64  # numbers of a record, drawn for every split, among which the split is chosen

# (tree count, smallest leaf, training rows) -> a function of records (m, d) that gives P(class): (m, classes)
Grow = Callable[[int, int, np.ndarray], Callable[[np.ndarray], np.ndarray]]


@dataclass(frozen=True)
class Trees(Attack):
    """Extremely randomised trees.

    The smallest leaf, and whether the likeliest or the least likely class is predicted, are chosen on the validation
    records with few trees; then many trees are grown from training and validation records together.
    """

    input_form = "numbers"
    gives_probabilities = True
    budgets = ("standard", "paranoid")
    run_time = 12

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed

        def grow_for(target: Target) -> Grow:
            def grow(count: int, leaf: int, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
                forest = ExtraTreesClassifier(count, min_samples_leaf=leaf, random_state=seed)
                forest.fit(x[rows], target.labels[rows])
                return lambda some: class_probabilities(forest, some, target.classes)

            return grow

        return [_predict_by_forest(x, split, target, grow_for(target)) for target in targets]

    def fit_predict_releases(
        self,
        releases: Sequence[np.ndarray],
        split: Split,
        targets: Sequence[Target],
        run: Run | None = None,
        *,
        on_axes: bool = False,
    ) -> list[list[np.ndarray]]:
        """Return what `fit_predict` returns; where many records are copies, trees are grown on the distinct ones."""
        predictions = []
        for x in releases:
            copies = not on_axes and 4 * x.size <= LARGEST and len(distinct_records(x)[0]) <= DISTINCT * len(x)
            if copies:
                predictions.append(trees_on_distinct(x, split, targets, (run or Run()).seed))
            else:
                predictions.append(self.fit_predict(x, split, targets, run, on_axes=on_axes))
        return predictions

    def fit_probabilities(
        self, x: np.ndarray, target: Target, split: Split, run: Run, candidate: float
    ) -> LogProbabilities:
        forest = ExtraTreesClassifier(CALIBRATED_TREES, min_samples_leaf=CALIBRATED_LEAF, random_state=run.seed)
        forest.fit(x[split.train], target.labels[split.train])
        return lambda some: log_probabilities(forest, some, target.classes)


def _predict_by_forest(x: np.ndarray, split: Split, target: Target, grow: Grow) -> np.ndarray:
    train, own = target.labelled(split.train), target.labelled(split.own)
    if not target.has_two_classes(train):
        return majority_predictions(target, split.own, split.test)
    candidates = [grow(TREES_TO_CHOOSE, leaf, train)(x[split.validation]) for leaf in LEAVES]
    best, least = choose_candidate(candidates, class_shares(target, train), target, split.validation)
    probabilities = grow(TREES, LEAVES[best], own)(x[split.test])
    return pick_class(probabilities, class_shares(target, own), least)


def distinct_records(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct records of (n, d), and which of them each record is: (m, d), (n,)."""
    rows = np.ascontiguousarray(x)
    as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(as_bytes, return_index=True, return_inverse=True)
    return rows[first], which


def trees_on_distinct(x: np.ndarray, split: Split, targets: Sequence[Target], seed: int = 0) -> list[np.ndarray]:
    """Return what `Trees` predicts where many records are copies of each other, as substitutes are.

    Trees are grown on the distinct records, each with the shares of its classes, weighted by its number of copies. Up
    to a constant, Gini impurity of records is the weighted variance of such shares, so the same splits are best; and a
    node of copies alone is not searched for a split that cannot exist.
    """

    def grow_for(target: Target) -> Grow:
        def grow(count: int, leaf: int, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
            return _ClassShares.of(x[rows], target.labels[rows]).forest(count, leaf, seed, target.classes)

        return grow

    return [_predict_by_forest(x, split, target, grow_for(target)) for target in targets]


@dataclass(frozen=True)
class _ClassShares:
    # Distinct records (m, d), the class shares of the copies of each (m, classes), and the number of copies (m,).
    x: np.ndarray
    shares: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, labels: np.ndarray) -> _ClassShares:
        records, which = distinct_records(x)
        classes = int(labels.max()) + 1
        counts = np.bincount(which * classes + labels, minlength=len(records) * classes).reshape(-1, classes)
        weight = counts.sum(1).astype(np.float64)
        return cls(records, counts / weight[:, None], weight)

    def forest(self, count: int, leaf: int, seed: int, classes: int) -> Callable[[np.ndarray], np.ndarray]:
        # A leaf must hold so many records, not so many distinct ones.
        least = min(leaf / self.weight.sum(), 0.5) if leaf > 1 else 0.0  # scikit-learn accepts at most 0.5
        forest = ExtraTreesRegressor(count, max_features="sqrt", min_weight_fraction_leaf=least, random_state=seed)
        forest.fit(self.x, self.shares, sample_weight=self.weight)

        def probabilities(some: np.ndarray) -> np.ndarray:
            out = np.zeros((len(some), classes))
            if len(some):
                out[:, : self.shares.shape[1]] = forest.predict(some).reshape(len(some), -1)
            return out

        return probabilities


@dataclass(frozen=True)
class Boosting(Attack):
    """Gradient-boosted trees.

    Their size and the number of rounds are chosen on the validation records, which then join the training records.

    Parameters
    ----------
    shapes
        Leaves and learning rates among which validation chooses.
    trees
        Upper limit of trees.
    """

    shapes: tuple[tuple[int, float], ...] = BOOSTED
    trees: int = MOST_TREES

    shares_work = False
    budgets = ("standard", "paranoid")
    released_only = ("standard",)
    run_time = 20

    @classmethod
    def from_budget(cls, budget: Budget) -> Boosting:
        return cls(FEWER_BOOSTED, FEWER_TREES) if budget.name == "standard" else cls()

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        return [self._predict(x, split, target, seed) for target in targets]

    def _predict(self, x: np.ndarray, split: Split, target: Target, seed: int) -> np.ndarray:
        train, own, held_out = (target.labelled(rows) for rows in (split.train, split.own, split.validation))
        if not target.has_two_classes(train):
            return majority_predictions(target, split.own, split.test)
        classes = len(np.unique(target.labels[own]))
        rounds = min(ROUNDS, max(1, self.trees // (1 if classes == 2 else classes)))
        # Its threads are those of OpenMP, which obeys only a limit set in the calling thread.
        with threadpool_limits(1, user_api="openmp"):
            candidates = []
            for leaves, rate in self.shapes:
                model = _boosted(rounds, leaves, rate, seed, x.shape[1]).fit(x[train], target.labels[train])
                stages = list(model.staged_predict_proba(x[held_out])) if len(held_out) else [np.zeros((0, 1))]
                scores = [accuracy_on(target, held_out, model.classes_[p.argmax(1)]) for p in stages]
                best = int(np.argmax(scores))
                held = np.zeros((len(held_out), target.classes))
                held[:, model.classes_] = stages[best]
                candidates.append((scores[best], leaves, rate, 1 + best, held))
            _, leaves, rate, enough, held = max(candidates, key=lambda candidate: candidate[0])
            _, least = choose_candidate([held], class_shares(target, train), target, held_out)
            model = _boosted(enough, leaves, rate, seed, x.shape[1]).fit(x[own], target.labels[own])
            probabilities = class_probabilities(model, x[split.test], target.classes)
            return pick_class(probabilities, class_shares(target, own), least)


def _boosted(rounds: int, leaves: int, rate: float, seed: int, width: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=rounds,
        max_leaf_nodes=leaves,
        learning_rate=rate,
        min_samples_leaf=5,
        max_features=min(1.0, LOOKED_AT / width),
        max_bins=BINS,
        early_stopping=False,
        random_state=seed,
    )
