"""Risk, its interval, and the area under the curve: hand-worked values, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sordine.metrics.risk import Share, auc, normal, risk, share, share_by_group


def test_risk_is_what_the_attack_adds_to_the_control() -> None:
    assert risk(share(60, 100), share(20, 100)).value == pytest.approx(0.5)  # (.6 - .2) / .8
    assert risk(share(20, 100), share(20, 100)).value == pytest.approx(0)
    assert risk(share(100, 100), share(20, 100)).value == pytest.approx(1)
    assert risk(share(10, 100), share(20, 100)).value == pytest.approx(-0.125)
    assert risk(share(10, 100), share(100, 100)) is None


def test_a_sure_control_leaves_the_interval_of_the_attack() -> None:
    """With a control of exactly 0, risk is the attack's share; with one of exactly .5, twice what is above .5."""
    attack = share(30, 100)
    assert risk(attack, Share(0.0, 0.0, 0.0)) == pytest.approx(attack)
    doubled = risk(Share(0.75, 0.7, 0.8), Share(0.5, 0.5, 0.5))
    assert doubled == pytest.approx((0.5, 0.4, 0.6))


def test_the_interval_of_a_risk_covers_it_in_95_of_100() -> None:
    rng = np.random.default_rng(0)
    for a, c, n in ((0.3, 0.1, 400), (0.05, 0.05, 300), (0.9, 0.02, 200)):
        truth = (a - c) / (1 - c)
        found = [risk(share(rng.binomial(n, a), n), share(rng.binomial(n, c), n)) for _ in range(2000)]
        covered = np.mean([f.low <= truth <= f.high for f in found])
        assert 0.935 <= covered <= 0.985, (a, c, covered)


def test_an_interval_is_open_where_the_control_may_always_succeed() -> None:
    assert risk(share(5, 10), Share(0.9, 0.8, 1.0)).low == -np.inf


def test_the_area_counts_pairs_and_ties_half() -> None:
    assert auc(np.array([3.0, 1.0]), np.array([2.0, 0.0])).value == pytest.approx(3 / 4)
    assert auc(np.array([1.0, 1.0]), np.array([1.0])).value == pytest.approx(1 / 2)
    best = auc(np.arange(50.0) + 100, np.arange(50.0))
    assert best.value == best.high == 1
    assert 0.9 < best.low < 1
    assert auc(np.array([]), np.array([1.0])) == (0.5, 0.0, 1.0)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_the_interval_of_an_area_covers_it(shift: float) -> None:
    rng = np.random.default_rng(1)
    truth = norm.cdf(shift / np.sqrt(2))
    found = [auc(rng.standard_normal(80) + shift, rng.standard_normal(60)) for _ in range(1000)]
    assert 0.93 <= np.mean([f.low <= truth <= f.high for f in found]) <= 0.98


def test_records_of_one_person_count_as_one_observation() -> None:
    """Ten equal records each of 20 persons say as much as one record each."""
    rng = np.random.default_rng(2)
    one, other = rng.standard_normal(20), rng.standard_normal(20)
    persons = np.repeat(np.arange(20), 10)
    single = auc(one, other)
    copies = auc(np.repeat(one, 10), np.repeat(other, 10), groups=(persons, persons + 20))
    assert copies.value == pytest.approx(single.value)
    assert copies.high - copies.low == pytest.approx(single.high - single.low, rel=0.1)
    naive = auc(np.repeat(one, 10), np.repeat(other, 10))
    assert naive.high - naive.low < 0.5 * (single.high - single.low)


def test_a_share_of_groups_is_worth_as_many_trials_as_groups_where_their_trials_agree() -> None:
    hits = np.arange(40) % 4 == 0
    assert share_by_group(hits, None) == share(10, 40)
    tenfold = share_by_group(np.repeat(hits, 10), np.repeat(np.arange(40), 10))
    assert tenfold.value == 0.25
    assert tenfold.high - tenfold.low == pytest.approx(share(10, 40).high - share(10, 40).low, rel=0.1)
    assert share_by_group(np.zeros(400, bool), np.repeat(np.arange(40), 10)) == share(0, 40)


def test_a_normal_interval_ends_at_1() -> None:
    assert normal(0.9, 0.01) == pytest.approx((0.9, 0.8804, 0.9196), abs=1e-4)
    assert normal(0.99, 0.1).high == 1
