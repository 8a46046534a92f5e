"""Pure functions (truth, prediction) -> float, and the normalised accuracy gain with its interval.

Labels are int64 with -1 for unlabelled: those records drop out of every figure. Shares lie in [0, 1].
"""

from __future__ import annotations

import math

import numpy as np

from sordine.errors import SordineError

# --------------------------------------------------------------------------------------------- classification


def _labelled(truth: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    truth = np.asarray(truth)
    columns = [truth, *(np.asarray(o) for o in others)]
    if any(len(c) != len(truth) for c in columns):
        raise SordineError(f"metrics: columns differ in length: {[len(c) for c in columns]}")
    known = truth >= 0
    if not known.any():
        raise SordineError("metrics: no labelled record to measure on")
    return [c[known] for c in columns]


def accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Share of records predicted right: (n,), (n,)."""
    truth, prediction = _labelled(truth, prediction)
    return float(np.mean(truth == prediction))


def balanced_accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Mean over the classes in `truth` of the share of that class predicted right: (n,), (n,)."""
    truth, prediction = _labelled(truth, prediction)
    _, code, count = np.unique(truth, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(code, weights=truth == prediction) / count))


def majority(truth: np.ndarray) -> float:
    """The guess: the share of the most frequent class among these records. (n,)."""
    (truth,) = _labelled(truth)
    return float(np.unique(truth, return_counts=True)[1].max() / len(truth))


def matthews(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Matthews' correlation coefficient (MCC), for any number of classes: (n,), (n,) -> [-1, 1]; 0 where undefined."""
    truth, prediction = _labelled(truth, prediction)
    classes, codes = np.unique(np.concatenate([truth, prediction]), return_inverse=True)
    k, n = len(classes), len(truth)
    table = np.bincount(codes[:n] * k + codes[n:], minlength=k * k).reshape(k, k).astype(np.float64)
    true, predicted = table.sum(1), table.sum(0)
    spread = (n * n - true @ true) * (n * n - predicted @ predicted)
    return float((np.trace(table) * n - true @ predicted) / math.sqrt(spread)) if spread > 0 else 0.0


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Sum over thresholds of (recall gained) * precision. truth: (n,) 0, 1 or -1; score: (n,), higher is more likely 1.

    Equal scores fall at one threshold. Raises SordineError where no record is 1.
    """
    truth, score = _labelled(truth, score)
    positive = truth == 1
    if not positive.any():
        raise SordineError("metrics: average precision needs at least one positive record")
    order = np.argsort(-score, kind="stable")
    score, hits = score[order], np.cumsum(positive[order])
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # the last record of each run of equal scores
    gained = np.diff(hits[last], prepend=0) / hits[-1]
    return float(gained @ (hits[last] / (last + 1)))


def cmap(truth: np.ndarray, scores: np.ndarray) -> float:
    """cMAP: the macro average over attributes of average precision. truth: (n, A) 0, 1 or -1; scores: (n, A).

    One column per yes/no attribute; an attribute of several classes stands as one column per class. A column without
    a positive record has no average precision and is left out. Raises SordineError where no column is left.
    """
    truth, scores = np.asarray(truth), np.asarray(scores)
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise SordineError(f"metrics: cMAP needs two tables of one shape, not {truth.shape} and {scores.shape}")
    usable = [i for i in range(truth.shape[1]) if (truth[:, i] == 1).any()]
    if not usable:
        raise SordineError("metrics: cMAP needs at least one column with a positive record")
    return float(np.mean([average_precision(truth[:, i], scores[:, i]) for i in usable]))


def prediction_entropy(probabilities: np.ndarray) -> float:
    """Mean entropy of predictions, in nats: (n, classes) -> [0, log classes]."""
    p = np.asarray(probabilities, dtype=np.float64)
    return float(np.mean(-np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)))


def relative_suppression(before: float, after: float) -> float:
    """Share of a score that suppression took away, (before - after) / before: MaSS section 4.3 (its note on SPAct) and table 16. before > 0."""
    if not before > 0:
        raise SordineError(f"metrics: a score of {before} leaves nothing to suppress")
    return (before - after) / before


# --------------------------------------------------------------------------------------------- distortion


def _differences(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or not before.size:
        raise SordineError(f"metrics: records of one shape are compared, not {before.shape} and {after.shape}")
    return (after.astype(np.float64) - before.astype(np.float64)).reshape(len(before), -1)


def l2_distance(before: np.ndarray, after: np.ndarray) -> float:
    """Mean over records of |x' - x| (MaSS eq. 4 without its weight): (n, ...), (n, ...)."""
    return float(np.mean(np.linalg.norm(_differences(before, after), axis=1)))


def mean_square(before: np.ndarray, after: np.ndarray) -> float:
    """Mean over records and elements of (x' - x)^2: (n, ...), (n, ...). What MaSS table 12's L2 column looks like."""
    return float(np.mean(_differences(before, after) ** 2))
