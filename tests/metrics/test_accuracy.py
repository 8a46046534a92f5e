"""Accuracy measures against arithmetic and the figures of the former implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sordine.errors import SordineError
from sordine.metrics.accuracy import accuracy, balanced_accuracy, majority, matthews, prediction_entropy


def test_classification_by_hand() -> None:
    # confusion matrix, rows are the truth: class 0: 2 1 0; class 1: 0 1 1; class 2: 1 0 4
    truth = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    prediction = np.array([0, 0, 1, 1, 2, 0, 2, 2, 2, 2])
    assert accuracy(truth, prediction) == 0.7
    assert balanced_accuracy(truth, prediction) == pytest.approx((2 / 3 + 1 / 2 + 4 / 5) / 3, abs=1e-15)
    # (c s - sum t p) / sqrt((s^2 - sum p^2)(s^2 - sum t^2)): c = 7, s = 10, t = 3 2 5, p = 3 2 5
    assert matthews(truth, prediction) == pytest.approx((70 - 38) / 62, abs=1e-15)


def test_the_values_of_the_former_implementation_stay() -> None:
    rng = np.random.default_rng(11)
    truth = rng.choice(5, 300, p=np.arange(1, 6) / 15)
    prediction = np.where(rng.random(300) < 0.6, truth, rng.integers(0, 5, 300))
    assert balanced_accuracy(truth, prediction) == pytest.approx(0.6676556132040002, abs=1e-15)
    assert matthews(truth, prediction) == pytest.approx(0.5669747165153289, abs=1e-15)


def test_where_a_measure_is_undefined_or_a_class_is_only_predicted() -> None:
    assert matthews(np.array([0, 1]), np.array([1, 1])) == 0
    assert matthews(np.array([1, 1]), np.array([1, 1])) == 0
    assert balanced_accuracy(np.array([0, 0, 1]), np.array([0, 2, 1])) == pytest.approx(0.75)


def test_unlabelled_records_drop_out() -> None:
    truth, prediction = np.array([0, 1, -1, 0]), np.array([0, 0, 0, 0])
    assert accuracy(truth, prediction) == pytest.approx(2 / 3)
    assert balanced_accuracy(truth, prediction) == pytest.approx(0.5)
    assert majority(truth) == pytest.approx(2 / 3)
    with pytest.raises(SordineError, match="no record has a label"):
        majority(np.array([-1]))
    with pytest.raises(SordineError, match="length"):
        accuracy(truth, prediction[:2])


def test_prediction_entropy_by_hand() -> None:
    p = np.array([[0.5, 0.5], [1.0, 0.0]])
    assert prediction_entropy(p) == pytest.approx(math.log(2) / 2)
