"""Attack by a support vector machine with a Gaussian kernel.

It weighs every training record, and so combines what is too faint to find in any one direction, or in a few thousand
random features.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC

from sordine.attacks.base import (
    Attack,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_predictions,
    moments,
    pick_class,
    sampled_rows,
)
from sordine.run import Run

# (C, width of the kernel, as a multiple of 1 / the sum of the variances of the input numbers)
CHOICES = ((1.0, 1.0), (4.0, 1.0), (16.0, 0.3))
MOST = 5000  # training records: run time grows with their square


@dataclass(frozen=True)
class SVM(Attack):
    """Support vector machines on standardised records, trained on a random sample of at most 5,000.

    Penalty and kernel width are chosen on the validation records, which then join the training records.
    """

    shares_work = False
    budgets = ("paranoid",)
    run_time = 10

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        seed = (run or Run()).seed
        mean, scale = moments(x, split.own)
        z = x if on_axes else (x - mean) / scale
        variance = float(z[split.train].var(0, dtype=np.float64).sum()) or 1.0
        predictions = []
        for target in targets:
            train, own = (sampled_rows(target.labelled(rows), MOST, seed, "svm") for rows in (split.train, split.own))
            if not target.has_two_classes(train):
                predictions.append(majority_predictions(target, split.own, split.test))
                continue
            models = [_machine(c, width / variance, z[train], target.labels[train]) for c, width in CHOICES]
            candidates = [_scores(m, z[split.validation], target.classes) for m in models]
            # Ranks are no probabilities: they are not divided by the shares of the classes.
            even = (class_shares(target, train) > 0).astype(np.float64)
            best, least = choose_candidate(candidates, even, target, split.validation)
            c, width = CHOICES[best]
            machine = _machine(c, width / variance, z[own], target.labels[own])
            even = (class_shares(target, own) > 0).astype(np.float64)
            predictions.append(pick_class(_scores(machine, z[split.test], target.classes), even, least))
        return predictions


def _scores(machine: SVC, z: np.ndarray, classes: int) -> np.ndarray:
    """Return ranks of the classes, the predicted one highest, 0 for classes that the machine does not know.

    Parameters
    ----------
    machine
        The machine.
    z
        (n, d) records.
    classes
        Number of classes.

    Returns
    -------
    numpy.ndarray
        (n, classes).
    """
    found = np.zeros((len(z), classes))
    if not len(z):
        return found
    known = np.asarray(machine.classes_, np.int64)
    margin = np.asarray(machine.decision_function(z), np.float64)
    if margin.ndim == 1:
        margin = np.stack([-margin, margin], 1)
    # Of several classes, the machine's own prediction may differ from the largest margin.
    rank = margin.argsort(1).argsort(1) + 1.0
    rank[np.arange(len(z)), np.searchsorted(known, machine.predict(z))] = len(known) + 1.0
    found[:, known] = rank
    return found


def _machine(penalty: float, gamma: float, z: np.ndarray, labels: np.ndarray) -> SVC:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numbers of very different size make the solver stop early
        return SVC(C=penalty, gamma=gamma, cache_size=500, max_iter=200_000).fit(z, labels)
