"""Accuracy of predictions, and how far two arrays of records lie apart.

Labels are int64 with -1 for unlabelled; unlabelled records are left out of every figure. Shares lie in [0, 1].
"""

from __future__ import annotations

import warnings

import numpy as np

from sordine.errors import SordineError


def labelled(truth: np.ndarray, *others: np.ndarray) -> list[np.ndarray]:
    """Return the columns without the records that have no label.

    Parameters
    ----------
    truth
        (n,) labels, -1 where unlabelled.
    others
        Further columns of length n.

    Returns
    -------
    list of numpy.ndarray
        `truth` and the others, at the labelled records only.

    Raises
    ------
    SordineError
        Where lengths differ or no record has a label.
    """
    truth = np.asarray(truth)
    columns = [truth, *(np.asarray(o) for o in others)]
    if any(len(c) != len(truth) for c in columns):
        raise SordineError(f"metrics: columns differ in length: {[len(c) for c in columns]}; give one value a record")
    known = truth >= 0
    if not known.any():
        raise SordineError("metrics: no record has a label; at least one is needed")
    return [c[known] for c in columns]


def accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the share of records that are predicted correctly: (n,), (n,)."""
    truth, prediction = labelled(truth, prediction)
    return float(np.mean(truth == prediction))


def balanced_accuracy(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean, over the classes in `truth`, of the share of that class predicted correctly: (n,), (n,)."""
    from sklearn.metrics import balanced_accuracy_score

    truth, prediction = labelled(truth, prediction)
    with warnings.catch_warnings():
        # Scikit-learn warns of a predicted class that no record has, and of a single class; both are valid here.
        warnings.simplefilter("ignore", UserWarning)
        return float(balanced_accuracy_score(truth, prediction))


def majority(truth: np.ndarray) -> float:
    """Return the baseline: the share of the most frequent class among these records. (n,)."""
    (truth,) = labelled(truth)
    return float(np.unique(truth, return_counts=True)[1].max() / len(truth))


def matthews(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return Matthews' correlation coefficient (MCC) in [-1, 1], for any number of classes; 0 where it is undefined."""
    from sklearn.metrics import matthews_corrcoef

    truth, prediction = labelled(truth, prediction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a single class, where the coefficient is 0
        return float(matthews_corrcoef(truth, prediction))


def prediction_entropy(probabilities: np.ndarray) -> float:
    """Return the mean entropy of predictions, in nats: (n, classes) -> [0, log classes]."""
    p = np.asarray(probabilities, dtype=np.float64)
    return float(np.mean(-np.sum(p * np.log(np.where(p > 0, p, 1.0)), axis=-1)))
