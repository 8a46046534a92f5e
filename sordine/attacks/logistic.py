"""Attackers by scikit-learn: logistic regression, nearest neighbours, forests of randomised trees and boosted trees.

A modifier that moves the records it was fitted on further than it need leaves each where its own class is *least* likely: who takes
the likeliest class reads less than the guess, and who takes the least likely one reads it. Logistic regression and trees choose
between the two on their validation rows, as they choose everything else.

Each runs on one thread: an audit makes several attacks at a time, and threads inside them would only wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.linear_model import LogisticRegression

from sordine.attacks.base import Secret, Trial, frequencies, standardise, surest, taken, usual

# Times half the squared weights of standardised features, against the mean loss.
PENALTIES = (3.0, 0.3, 0.03, 0.003, 0.0003)


class Probabilities(Protocol):
    """What scikit-learn's classifiers that know probabilities have in common."""

    classes_: np.ndarray

    def predict_proba(self, x: Any) -> Any: ...


def logistic(
    x: np.ndarray, trial: Trial, secrets: Sequence[Secret], seed: int = 0, device: str = "cpu"
) -> list[np.ndarray]:
    """Multinomial logistic regression on standardised features; the penalty, and whether the likeliest or the least likely class
    is taken, are chosen on the validation rows, which then join the training rows."""
    own = np.concatenate([trial.train, trial.validation])
    mean, scale = standardise(x, own)
    z = (x - mean) / scale
    predictions = []
    for secret in secrets:
        train, every = (rows[secret.labels[rows] >= 0] for rows in (trial.train, own))
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        models = [_regression(penalty, z[train], secret.labels[train]) for penalty in PENALTIES]
        tried = [_likely(m, z[trial.validation], secret.classes) for m in models]
        best, least = surest(tried, frequencies(secret, train), secret, trial.validation)
        model = _regression(PENALTIES[best], z[every], secret.labels[every])
        likely = _likely(model, z[trial.tried], secret.classes)
        predictions.append(taken(likely, frequencies(secret, every), least))
    return predictions


def _likely(model: Probabilities, z: np.ndarray, classes: int) -> np.ndarray:
    """P(class | x), 0 where a class was not seen: (n, d) -> (n, classes)."""
    likely = np.zeros((len(z), classes))
    if len(z):
        likely[:, model.classes_] = model.predict_proba(z)
    return likely


def _regression(penalty: float, z: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=1 / (penalty * len(z)), max_iter=200).fit(z, labels)
