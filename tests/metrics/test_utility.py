"""Utility without attributes: hand-worked neighbours, 1 for copies, chance for independent records."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.metrics.utility import (
    distances,
    explained_variance,
    linear_cka,
    ratio,
    standardised,
    utility,
    weights,
)


def records(n: int = 200, d: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 3


def figures(before: np.ndarray, after: np.ndarray) -> dict[tuple[str, int], object]:
    return {(f.measure, f.k): f for f in utility(before, after)}


def test_neighbours_by_hand() -> None:
    """On the line 0, 1, 3, 7: 0 and 1 are each other's nearest, 3's is 1, 7's is 3."""
    near = distances(np.array([[0.0], [1.0], [3.0], [7.0]]))
    assert near[0].tolist() == [np.inf, 1, 9, 49]
    one = weights(near, 1)
    assert one.argmax(1).tolist() == [1, 0, 1, 2]
    assert (one.sum(1) == 1).all()
    two = weights(near, 2)
    assert two[1].tolist() == [1, 0, 1, 0]
    assert two[3].tolist() == [0, 1, 1, 0]


def test_records_that_are_equally_far_share_a_place() -> None:
    near = distances(np.array([[0.0], [1.0], [-1.0], [5.0]]))
    assert weights(near, 1)[0].tolist() == [0, 0.5, 0.5, 0]
    equal = weights(distances(np.zeros((5, 3))), 2)
    assert np.allclose(equal, 0.5 * (1 - np.eye(5)))


def test_equal_records_are_at_distance_0_whatever_the_rounding() -> None:
    x = np.tile(records(40, 30), (3, 1)) * 1e3
    near = distances(x)
    assert (near[np.arange(40), np.arange(40) + 80] == 0).all()


def test_copies_have_all_figures_1() -> None:
    x = records()
    for f in figures(x, 5 * x - 2).values():
        assert f.value == pytest.approx(1, abs=2e-3), f
        assert f.records == 200


def test_independent_records_have_the_figures_of_chance() -> None:
    found = figures(records(600, 8), records(600, 8, seed=9))
    assert found["neighbours", 10].chance == pytest.approx(10 / 599)
    assert set(found) == {
        ("neighbours", 10),
        ("recall", 10),
        ("neighbours", 6),
        ("recall", 6),
        ("cka", 0),
        ("explained", 0),
    }
    for f in found.values():
        assert f.low - 0.01 <= f.chance <= f.high + 0.01, f
        assert f.value == pytest.approx(f.chance, abs=0.03), f


def test_a_constant_release_keeps_nothing() -> None:
    for f in figures(records(), np.zeros((200, 2))).values():
        assert f.value == pytest.approx(f.chance, abs=0.02), f


def test_cka_does_not_change_with_a_rotation_and_is_0_in_the_mean_for_few_wide_records() -> None:
    x = standardised(records())
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    assert linear_cka(x, x @ turn * 7).value == pytest.approx(1)
    rng = np.random.default_rng(2)
    wide = [linear_cka(rng.standard_normal((60, 200)), rng.standard_normal((60, 200))).value for _ in range(30)]
    assert abs(np.mean(wide)) < 0.02  # the usual estimate is about .77 here


def test_cka_by_hand() -> None:
    """Two of four independent directions are kept: CKA is the root of 2 / 4."""
    x = np.random.default_rng(3).standard_normal((3000, 4))
    found = linear_cka(x, x[:, :2])
    assert found.value == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert found.low < np.sqrt(0.5) < found.high


def test_explained_variance_by_hand() -> None:
    """One of four independent numbers is released: a quarter is explained. With as much noise: an eighth."""
    rng = np.random.default_rng(4)
    x = standardised(rng.standard_normal((1500, 4)))
    assert explained_variance(x, x[:, :1]).value == pytest.approx(1 / 4, abs=0.02)
    assert explained_variance(x, x[:, :1] + rng.standard_normal((1500, 1))).value == pytest.approx(1 / 8, abs=0.02)
    assert ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == pytest.approx((0.5, 0.5, 0.5))


def test_too_few_records_have_no_figures() -> None:
    assert utility(records(19), records(19)) == ()
