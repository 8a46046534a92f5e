"""R^2, rank correlation, their bootstrap, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from sordine.metrics.regression import (
    bootstrap_weights,
    chance_r_squared,
    correlation,
    interval,
    r_squared,
    rank_correlation,
)


def test_worked_examples() -> None:
    truth, predicted = np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 2])
    # Variance 1.25, mean squared error 1.
    assert r_squared(truth, predicted)[0] == pytest.approx(1 - 1 / 1.25)
    assert r_squared(truth, np.full(4, 2.5))[0] == pytest.approx(0)
    assert r_squared(truth, truth)[0] == pytest.approx(1)
    # With weights 1, 1, 0, 0: mean 1.5, variance 0.25, no error.
    assert r_squared(truth, np.array([1.0, 2, 9, 9]), np.array([[1.0, 1, 0, 0]]))[0] == pytest.approx(1)
    assert rank_correlation(truth, np.array([10.0, 20, 30, 1000]))[0] == pytest.approx(1)
    assert rank_correlation(truth, -truth)[0] == pytest.approx(-1)
    assert correlation(truth, np.ones(4))[0] == 0


def test_they_agree_with_other_implementations() -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((200, 2)) + 1e4
    predicted = truth + rng.standard_normal((200, 2))
    assert r_squared(truth, predicted)[0] == pytest.approx(r2_score(truth, predicted), abs=1e-6)
    weight = rng.integers(0, 3, 200).astype(float)
    assert r_squared(truth[:, 0], predicted[:, 0], weight[None])[0] == pytest.approx(
        r2_score(truth[:, 0], predicted[:, 0], sample_weight=weight), abs=1e-6
    )
    assert rank_correlation(truth[:, 0], predicted[:, 0])[0] == pytest.approx(
        spearmanr(truth[:, 0], predicted[:, 0]).statistic
    )


def test_the_bootstrap_covers_and_draws_whole_groups() -> None:
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.standard_normal(300)
        predicted = 0.5 * truth + 0.5 * rng.standard_normal(300)  # R^2 = 1 - (0.25 + 0.25) = 0.5
        value = r_squared(truth, predicted)[0]
        low, high = interval(r_squared(truth, predicted, bootstrap_weights(300)), value)
        covered += low <= 0.5 <= high
    assert covered >= 34
    group = np.repeat(np.arange(5), 4)
    drawn = bootstrap_weights(20, group)
    assert (drawn.reshape(-1, 5, 4) == drawn.reshape(-1, 5, 4)[:, :, :1]).all()
    assert (drawn.sum(1) == 20).all()
    alone = bootstrap_weights(4, np.array([0, 0, -1, -1]))
    assert (alone[:, 0] == alone[:, 1]).all()
    assert (alone[:, 2] != alone[:, 3]).any()


def test_chance_falls_with_the_number_of_independent_records() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.standard_normal(400), rng.standard_normal(400)
    smallest, p = chance_r_squared(truth, predicted)
    assert smallest == pytest.approx(1.645**2 / 400, rel=0.15)
    assert p > 0.01
    assert chance_r_squared(truth, truth + predicted)[1] < 0.002
    # One value a person: 20 persons of 20 records are 20 independent values.
    person = np.repeat(np.arange(20), 20)
    theirs, told = truth[:20][person], predicted[:20][person]
    assert chance_r_squared(theirs, told, person)[0] > 5 * smallest


@pytest.mark.slow
def test_p_values_of_nothing_are_even() -> None:
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p.append(chance_r_squared(rng.standard_normal((80, 2)), rng.standard_normal((80, 2)))[1])
    assert 0.3 < np.mean(p) < 0.7
    assert np.mean(np.array(p) < 0.05) < 0.15
