"""Attack by multinomial logistic regression."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression

from sordine.attacks.base import (
    Attack,
    LogProbabilities,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.run import Run

# Factors of half the squared weights of standardised features, relative to the mean loss; the largest first.
PENALTIES = (3.0, 0.3, 0.03, 0.003, 0.0003)
STEPS, STEPS_TO_CHOOSE = 100, 30  # of the descent: of the last model, and of each from which it is chosen
CALIBRATED_PENALTIES = (0.3, 0.03)
LOWEST = -20.0  # of a log probability


class Probabilities(Protocol):
    """What scikit-learn's classifiers with probabilities have in common."""

    classes_: np.ndarray

    def predict_proba(self, x: Any) -> Any: ...


@dataclass(frozen=True)
class Logistic(Attack):
    """Multinomial logistic regression on standardised features.

    The penalty, and whether the likeliest or the least likely class is predicted, are chosen on the validation records,
    which then join the training records. It runs on one thread: an audit runs several attacks at a time.
    """

    gives_probabilities = True
    budgets = ("quick", "standard", "paranoid")
    run_time = 8

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        mean, scale = moments(x, split.own)
        z = (x - mean) / scale
        predictions = []
        for target in targets:
            train, own = target.labelled(split.train), target.labelled(split.own)
            if not target.has_two_classes(train):
                predictions.append(majority_predictions(target, split.own, split.test))
                continue
            candidates = list(_path(z[train], target.labels[train], z[split.validation], target.classes))
            best, least = choose_candidate(candidates, class_shares(target, train), target, split.validation)
            model = LogisticRegression(C=1 / (PENALTIES[best] * len(own)), max_iter=STEPS)
            model.fit(z[own], target.labels[own])
            probabilities = class_probabilities(model, z[split.test], target.classes)
            predictions.append(pick_class(probabilities, class_shares(target, own), least))
        return predictions

    def probability_candidates(self) -> Sequence[float]:
        return CALIBRATED_PENALTIES

    def fit_probabilities(
        self, x: np.ndarray, target: Target, split: Split, run: Run, candidate: float
    ) -> LogProbabilities:
        train = split.train
        mean, scale = moments(x, train)
        model = LogisticRegression(C=1 / (candidate * len(train)), max_iter=200, tol=1e-3)
        model.fit((x[train] - mean) / scale, target.labels[train])
        return lambda some: log_probabilities(model, (some - mean) / scale, target.classes)


def class_probabilities(model: Probabilities, z: np.ndarray, classes: int) -> np.ndarray:
    """Return P(class | x), 0 for a class without training records: (n, d) -> (n, classes)."""
    probabilities = np.zeros((len(z), classes))
    if len(z):
        probabilities[:, model.classes_] = model.predict_proba(z)
    return probabilities


def log_probabilities(model: Probabilities, z: np.ndarray, classes: int) -> np.ndarray:
    """Return log P(class | x), at least `LOWEST`: (n, d) -> (n, classes)."""
    out = np.full((len(z), classes), LOWEST)
    out[:, model.classes_] = np.maximum(np.log(np.maximum(model.predict_proba(z), 1e-300)), LOWEST)
    return out


def _path(z: np.ndarray, labels: np.ndarray, new: np.ndarray, classes: int) -> Iterator[np.ndarray]:
    """Yield P(class | x) of new records for each penalty, the largest first; each descent starts at the last one's end.

    z: (n, d), labels: (n,), new: (m, d); yields (m, classes).
    """
    model = LogisticRegression(max_iter=STEPS_TO_CHOOSE, warm_start=True)
    for penalty in PENALTIES:
        model.C = 1 / (penalty * len(z))
        yield class_probabilities(model.fit(z, labels), new, classes)
