"""Attacks on continuous attributes: what each kind finds."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.attacks.base import Split
from sordine.attacks.regression import Regressor, predictions, regressors
from sordine.metrics.regression import r_squared

SPLIT = Split(np.arange(450), np.arange(450, 600), np.arange(600, 900))


def scores(x: np.ndarray, target: np.ndarray) -> dict[str, float]:
    target = target.reshape(len(target), -1)
    found = predictions(x.astype(np.float32), target, SPLIT)
    assert [p.validation for p in found] == sorted((p.validation for p in found), reverse=True)
    return {p.attack.kind: float(r_squared(target[SPLIT.test], p.predicted)[0]) for p in found}


def test_a_linear_relation_is_found_by_ridge_at_its_known_share() -> None:
    rng = np.random.default_rng(0)
    age = rng.standard_normal(900)
    x = rng.standard_normal((900, 20))
    x[:, 3] = age + rng.standard_normal(900)  # R^2 of the best predictor: 1 / (1 + 1)
    assert scores(x, age)["ridge"] == pytest.approx(0.5, abs=0.08)


def test_a_square_is_found_by_kernel_and_trees_and_not_by_ridge() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((900, 30))
    found = scores(x, x[:, 5] ** 2)
    assert found["ridge"] < 0.05
    assert found["kernel"] > 0.7
    assert found["trees"] > 0.7


def test_nothing_is_not_found() -> None:
    rng = np.random.default_rng(0)
    found = scores(rng.standard_normal((900, 40)), rng.uniform(18, 90, 900))
    assert found.keys() == {"ridge", "kernel", "trees"}
    assert max(found.values()) < 0.03


def test_embeddings_have_no_trees_and_missing_values_take_no_part() -> None:
    rng = np.random.default_rng(0)
    voice = rng.standard_normal((900, 3))
    x = voice @ rng.standard_normal((3, 10)) + 0.1 * rng.standard_normal((900, 10))
    hidden = voice.copy()
    hidden[:200] = np.nan
    found = predictions(x.astype(np.float32), hidden, SPLIT)
    assert {p.attack.kind for p in found} == {"ridge", "kernel"}
    assert r_squared(voice[SPLIT.test], found[0].predicted)[0] > 0.95


def test_predictions_stay_in_the_range_of_the_attackers_own_labels() -> None:
    rng = np.random.default_rng(0)
    age = rng.uniform(18, 90, 900)
    x = np.stack([age, rng.standard_normal(900)], 1)
    x[SPLIT.test, 0] *= 100
    for p in predictions(x.astype(np.float32), age[:, None], SPLIT):
        assert p.predicted.min() >= 18
        assert p.predicted.max() <= 90


def test_wide_records_get_narrow_kernels_too() -> None:
    assert regressors(500, 1) == (
        Regressor("ridge"),
        Regressor("kernel", 0),
        Regressor("kernel", 48),
        Regressor("kernel", 8),
        Regressor("trees", 48),
    )
    assert regressors(5, 2) == (Regressor("ridge"), Regressor("kernel", 0))
