"""Measures of the papers' tables against arithmetic and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from benchmarks import paper_measures as pm
from sordine.errors import SordineError


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def refused(match: str) -> pytest.RaisesExc[SordineError]:
    return pytest.raises(SordineError, match=rf"\A[^\n]*{match}[^\n]*\Z")  # one line


def test_cmap_is_the_mean_average_precision(rng: np.random.Generator) -> None:
    # ranked 1 0 1: precision 1 at the first positive record, 2/3 at the second
    assert pm.cmap(np.array([[1], [0], [1], [-1]]), np.array([[3], [2], [1], [9]])) == pytest.approx(5 / 6)
    truth = rng.integers(0, 2, (200, 3))
    scores = np.round(rng.random((200, 3)) + 0.3 * truth, 1)  # rounded: ties
    each = [sk.average_precision_score(truth[:, i], scores[:, i]) for i in range(3)]
    assert pm.cmap(truth, scores) == pytest.approx(np.mean(each))
    empty = np.column_stack([truth, np.zeros(200, int)])
    assert pm.cmap(empty, np.column_stack([scores, scores[:, 0]])) == pytest.approx(np.mean(each))
    with refused("positive"):
        pm.cmap(np.zeros((3, 1)), np.zeros((3, 1)))


def test_mean_square_by_hand() -> None:
    x, moved = np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 1.0]])
    assert pm.mean_square(x, moved) == pytest.approx((9 + 16 + 0 + 1) / 4)
    with refused("shape"):
        pm.mean_square(x, moved[:1])


def test_relative_suppression_is_what_table_16_prints() -> None:
    # MaSS table 16: VISPR falls from 81.8 to 36.3, printed as 55.6 %; PA-HMDB from 79.7 to 63.2, printed as 20.7 %.
    assert pm.relative_suppression(81.8, 36.3) == pytest.approx(0.556, abs=5e-4)
    assert pm.relative_suppression(79.7, 63.2) == pytest.approx(0.207, abs=5e-4)
    with refused("above 0"):
        pm.relative_suppression(0.0, 0.0)


def test_variances_within_and_between_by_hand() -> None:
    # class 0: (0, 0), (2, 0), (4, 0) around (2, 0); class 1: (6, 4) alone; the mean of the four is (3, 1)
    features = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 4.0], [99.0, 99.0]])
    labels = np.array([5, 5, 5, 2, -1])
    within, between = pm.within_between(features, labels)
    assert within == pytest.approx((4 + 0 + 4 + 0) / 4)
    assert between == pytest.approx((3 * (1 + 1) + 1 * (9 + 9)) / 4)
    total = ((features[:4] - [3, 1]) ** 2).sum(1).mean()
    assert within + between == pytest.approx(total)
    assert pm.lda_score(features, labels) == pytest.approx(6 / 2)  # S_b / S_w, not the other way round
    assert pm.lda_score(features.reshape(5, 1, 2, 1), labels) == pytest.approx(6 / 2)
    assert pm.lda_score(features[[0, 3]], labels[[0, 3]]) == math.inf
    assert math.isnan(pm.lda_score(features[:1], labels[:1]))
    assert pm.within_between(features[:3], labels[:3])[1] == 0
    with refused("label"):
        pm.within_between(features, np.full(5, -1))
    with refused("length"):
        pm.within_between(features, labels[:3])


def test_mean_matthews_by_hand() -> None:
    truth, right, half = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # TP 2, TN 1, FP 1, FN 0: (2 * 1 - 0) / sqrt(3 * 2 * 2 * 1)
    assert pm.mean_matthews([truth, truth], [right, half]) == pytest.approx((1 + 2 / math.sqrt(12)) / 2)
    assert pm.mean_matthews([truth], [1 - truth]) == pytest.approx(-1)
    assert pm.mean_matthews([np.array([0, 1, -1])], [np.array([0, 1, 0])]) == pytest.approx(1)
    for truths, predictions in (([], []), ([truth], [right, half])):
        with refused("each attribute"):
            pm.mean_matthews(truths, predictions)


def test_replacements_own_measures() -> None:
    truth, predicted = np.array([0, 1, 1, -1]), np.array([0, 1, 0, 1])
    assert pm.privacy_loss(truth, predicted) == pytest.approx(2 / 3)
    assert pm.success(np.array([1, 1, 0, 0]), np.array([1, 0, 0, -1])) == pytest.approx(2 / 3)
    x, x_new = np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])
    assert pm.utility_score_plane(x, x_new) == pytest.approx(1 - 5 / (2 * 2))
    assert pm.utility_score_plane(x, x_new, 10.0) == pytest.approx(1 - 5 / (10 * 2))
    assert pm.utility_score_plane(x, 2 * x_new) == pytest.approx(-1.5)
    assert pm.utility_score_plane(x, x) == 1
    with refused("epsilon_max"):
        pm.utility_score_plane(x, x_new, 0.0)
    with refused("one shape"):
        pm.utility_score_plane(x, x_new[:1])
    with refused("length"):
        pm.success(predicted, truth[:2])


def test_attribute_correlation_is_pearsons(rng: np.random.Generator) -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # means 1/2 and 3/4: covariance sum 1/2; sums of squares 1 and 3/4
    assert pm.attribute_correlation(a, b) == pytest.approx(0.5 / math.sqrt(0.75))
    assert pm.attribute_correlation(a, 1 - a) == pytest.approx(-1)
    assert pm.attribute_correlation(a, np.ones(4, int)) == 0
    assert pm.attribute_correlation(np.array([0, 0, 1, 1, -1, 1]), np.array([0, 1, 1, 1, 0, -1])) == pytest.approx(
        0.5 / math.sqrt(0.75)
    )
    one, two = rng.integers(0, 2, (2, 500))
    assert pm.attribute_correlation(one, two) == pytest.approx(np.corrcoef(one, two)[0, 1])
    with refused("one length"):
        pm.attribute_correlation(a, b[:3])
    with refused("no record"):
        pm.attribute_correlation(np.array([-1, 0]), np.array([0, -1]))
