"""Real or fake: the attack of the replacement paper's section 6 on releases in which a value was replaced.

A generator may pass a record through where s' = s and edit it where s' differs. An attacker that detects edited
records can then infer s with a classifier trained on originals: where the record looks *real*, s is the predicted
class; where it looks *fake*, s is another class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sordine.attacks import mlp
from sordine.attacks import resnet as pictures
from sordine.attacks.base import Split
from sordine.errors import SordineError
from sordine.metrics.accuracy import accuracy
from sordine.metrics.nag import wilson
from sordine.run import Run

Scores = Callable[[np.ndarray], np.ndarray]  # records (m, *shape) -> (m, k)


@dataclass(frozen=True)
class Reversal:
    """Result of the attack on the test records.

    accuracy: share of labelled records with a correct prediction of s; low, high: its 95 % Wilson interval. told:
    accuracy of the detector itself between test originals and their releases (.5 is chance). real: share of the
    releases predicted to be real. records: number of labelled test records.
    """

    accuracy: float
    low: float
    high: float
    told: float
    real: float
    records: int
    predicted: np.ndarray


def detector(
    original: np.ndarray, released: np.ndarray, train: np.ndarray, validation: np.ndarray, *, seed: int, device: str
) -> Scores:
    """Train a detector of originals and releases: a residual network for pictures, else a perceptron.

    original, released: (n, *shape) of the same records; train, validation: positions. Returns a function of records
    (m, *shape) with logits (m, 2), of real and fake.
    """
    n = len(original)
    rows, held = (np.concatenate([r, r + n]) for r in (train, validation))
    labels = np.repeat([0, 1], n)
    if pictures.is_picture(original.shape[1:]):
        both = np.concatenate([original, released])
        return pictures.train_resnet(both, labels, 2, rows, held, run=Run(device, seed)).logits
    both = np.concatenate([original.reshape(n, -1), released.reshape(n, -1)]).astype(np.float32)
    (learnt,) = mlp.train_together(both, [mlp.Task(labels, 2, rows, held, seed)], run=Run(device))

    def scores(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return learnt.logits(np.asarray(x, np.float32).reshape(len(x), -1)).cpu().numpy()

    return scores


def read_back(scores: np.ndarray, margin: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Return s from a fixed classifier's scores and the detector's margin: (m, classes), (m,) -> (m,) codes.

    Where margin (fake over real) is at most `threshold`, the predicted class; else the most likely other one.
    """
    read = scores.argmax(1)
    others = scores.copy()
    others[np.arange(len(scores)), read] = -np.inf
    return np.where(margin > threshold, others.argmax(1), read)


def reverse(
    original: np.ndarray,
    released: np.ndarray,
    labels: np.ndarray,
    trial: Split,
    fixed: Scores,
    *,
    seed: int = 0,
    device: str = "cpu",
) -> Reversal:
    """Run the attack. original, released: (n, *shape) of the same records; labels (n,), -1 unlabelled.

    trial: the attacker's own records, with x, x'' and s, and the test records, with x'' alone. fixed: the classifier
    of s trained on originals, -> (m, classes). The threshold between real and fake is the most accurate one on the
    attacker's validation records (0, the detector's own, is a candidate), so there the attack is at least as strong as
    the paper's. Raises SordineError where shapes differ or no test record has a label.
    """
    original, released, labels = np.asarray(original), np.asarray(released), np.asarray(labels)
    if original.shape != released.shape or len(labels) != len(original):
        raise SordineError(
            f"reversal: originals {original.shape}, releases {released.shape} and {len(labels)} labels differ in size; "
            "give the same records"
        )
    known = trial.test[labels[trial.test] >= 0]
    if not len(known):
        raise SordineError("reversal: no test record has a label; give at least one label")
    detect = detector(original, released, trial.train, trial.validation, seed=seed, device=device)

    def margin(x: np.ndarray) -> np.ndarray:
        logits = detect(x)
        return logits[:, 1] - logits[:, 0]

    own = trial.validation[labels[trial.validation] >= 0]
    threshold = _line(fixed(released[own]), margin(released[own]), labels[own]) if len(own) else 0.0
    fake = margin(released[known])
    predicted = read_back(fixed(released[known]), fake, threshold)
    share = accuracy(labels[known], predicted)
    low, high = wilson(share * len(known), len(known))
    told = (np.mean(fake > 0) + np.mean(margin(original[known]) <= 0)) / 2
    return Reversal(share, low, high, float(told), float(np.mean(fake <= threshold)), len(known), predicted)


def _line(scores: np.ndarray, margin: np.ndarray, labels: np.ndarray) -> float:
    # The threshold with the most correct predictions for these records; of several, the nearest to 0.
    candidates = np.unique(np.concatenate([[0.0], np.quantile(margin, np.linspace(0, 1, 51)), [margin.min() - 1]]))
    right = [accuracy(labels, read_back(scores, margin, float(t))) for t in candidates]
    best = np.flatnonzero(np.array(right) == max(right))
    return float(candidates[best[np.abs(candidates[best]).argmin()]])
