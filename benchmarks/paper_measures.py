"""Measures that only the papers' tables use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score

from sordine.errors import SordineError
from sordine.metrics.accuracy import accuracy, labelled, matthews
from sordine.metrics.distortion import l2_distance


def cmap(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return cMAP, the mean over attributes of average precision (MaSS): truth (n, A) 0, 1 or -1; scores (n, A).

    One column per yes/no attribute; an attribute of several classes has one column per class. A column without a
    positive record has no average precision and is left out.
    """
    truth, scores = np.asarray(truth), np.asarray(scores)
    if truth.ndim != 2 or truth.shape != scores.shape:
        raise SordineError(f"cMAP needs two tables of one shape, not {truth.shape} and {scores.shape}")
    usable = [i for i in range(truth.shape[1]) if (truth[:, i] == 1).any()]
    if not usable:
        raise SordineError("cMAP needs at least one column with a positive record")
    columns = (labelled(truth[:, i], scores[:, i]) for i in usable)
    return float(np.mean([average_precision_score(t == 1, s) for t, s in columns]))


def relative_suppression(before: float, after: float) -> float:
    """Return (before - after) / before, the share of a score that suppression removes (MaSS, 4.3 and table 16)."""
    if not before > 0:
        raise SordineError(f"a score of {before} cannot be suppressed; it must be above 0")
    return (before - after) / before


def mean_square(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean of (x' - x)^2 over records and elements, which the L2 column of MaSS table 12 looks like."""
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or not before.size:
        raise SordineError(f"records to compare must have one shape, not {before.shape} and {after.shape}")
    return float(np.mean((after.astype(np.float64) - before.astype(np.float64)) ** 2))


def within_between(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return (S_w, S_b), the variances within and between classes of Inversion's table 3: (n, ...), (n,).

    S_w is the mean over records of the squared distance to the mean of their class. S_b is the mean over records of the
    squared distance from the mean of their class to the mean of all; so S_w + S_b is the total variance.
    """
    labels, features = labelled(labels, features)
    v = features.reshape(len(features), -1).astype(np.float64)
    _, code, count = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.zeros((len(count), v.shape[1]))
    np.add.at(means, code, v)
    means /= count[:, None]
    within = np.mean(((v - means[code]) ** 2).sum(1))
    between = count @ ((means - v.mean(0)) ** 2).sum(1) / len(v)
    return float(within), float(between)


def lda_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Return S_b / S_w of `within_between`: low where the identities overlap.

    Infinite where S_w is 0, NaN where both are 0. The FC column of Inversion's table 3 prints the inverse: its 2.58 and
    1.49 are S_w / S_b; as defined they are .39 and .67.
    """
    within, between = within_between(features, labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(between) / within)


def mean_matthews(truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> float:
    """Return the mean over attributes of `matthews` (the mean MCC of Inversion): one (n,) entry an attribute."""
    if not len(truths) or len(truths) != len(predictions):
        raise SordineError(
            f"metrics: mean MCC needs both columns of each attribute, not {len(truths)} and {len(predictions)}"
        )
    return float(np.mean([matthews(t, p) for t, p in zip(truths, predictions, strict=True)]))


def privacy_loss(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the accuracy of an attacker retrained on released records (Replacement, section 4); lower is better."""
    return accuracy(truth, prediction)


def utility_score_plane(x: np.ndarray, x_new: np.ndarray, epsilon_max: float = 2.0) -> float:
    """Return 1 - mean |x - h(x)| / epsilon_max (Replacement, equation 6), unclipped: (n, d), (n, d)."""
    if not epsilon_max > 0:
        raise SordineError(f"epsilon_max is {epsilon_max}; it must be above 0")
    return 1 - l2_distance(x, x_new) / epsilon_max


def success(prediction: np.ndarray, s_new: np.ndarray) -> float:
    """Return the share of x'' for which the fixed classifier predicts s' (Replacement, table 1): (n,), (n,)."""
    return accuracy(s_new, prediction)


def attribute_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Return Pearson's correlation of the classes of two attributes (Replacement, tables 3 and 4): (n,), (n,).

    Classes count as numbers, so it is meaningful for two classes only. 0 where either is constant. Records of which
    either is -1 are left out.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 1:
        raise SordineError(f"two columns of one length are needed, not {a.shape} and {b.shape}")
    known = (a >= 0) & (b >= 0)
    if not known.any():
        raise SordineError("no record has both attributes")
    a, b = (v[known] - v[known].mean() for v in (a, b))
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else 0.0
