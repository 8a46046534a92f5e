"""An attacker that is a support vector machine with a Gaussian kernel: it weighs every record it learns from, and so adds up what is too
faint in any one direction, or in a few thousand random features, to be seen there."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.svm import SVC

from sordine.attacks.base import Secret, Trial, right, standardise, usual
from sordine.keys import numpy_rng

# (C, the kernel's width: times 1 / the sum of the variances of the numbers it sees)
CHOICES = ((1.0, 1.0), (4.0, 1.0), (16.0, 0.3))
MOST = 5000  # records learnt from: its time grows with their square


def svm(
    x: np.ndarray,
    trial: Trial,
    secrets: Sequence[Secret],
    seed: int = 0,
    device: str = "cpu",
    *,
    alike: bool = False,
) -> list[np.ndarray]:
    """Support vector machines on standardised records (alike: they are of one scale already), at most 5,000 of them, drawn by the seed. The
    penalty and the width of the kernel are chosen on the validation rows, which then join the training rows."""
    own = np.concatenate([trial.train, trial.validation])
    mean, scale = standardise(x, own)
    z = x if alike else (x - mean) / scale
    middle = float(z[trial.train].var(0, dtype=np.float64).sum()) or 1.0
    predictions = []
    for secret in secrets:
        train, every = (_some(rows[secret.labels[rows] >= 0], seed) for rows in (trial.train, own))
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        tried = [_machine(c, width / middle, z[train], secret.labels[train]) for c, width in CHOICES]
        scores = [right(secret, trial.validation, m.predict(z[trial.validation])) for m in tried]
        c, width = CHOICES[int(np.argmax(scores))]
        predictions.append(_machine(c, width / middle, z[every], secret.labels[every]).predict(z[trial.tried]))
    return predictions


def _some(rows: np.ndarray, seed: int) -> np.ndarray:
    return rows if len(rows) <= MOST else np.sort(numpy_rng(seed, "svm").choice(rows, MOST, replace=False))


def _machine(penalty: float, gamma: float, z: np.ndarray, labels: np.ndarray) -> SVC:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of descents that numbers of very different size cut short
        return SVC(C=penalty, gamma=gamma, cache_size=500, max_iter=200_000).fit(z, labels)
