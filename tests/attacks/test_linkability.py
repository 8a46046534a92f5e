"""Matching released records with originals: found where it can be, chance where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.attacks.linkability import link


def records(n: int = 300, width: int = 10, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) + 5).astype(np.float32)


def test_copies_are_found_and_noise_is_not() -> None:
    x = records()
    who = np.arange(300) % 3
    same = {f.attacker: f for f in link(x, x.copy(), "unseen", None, ("speaker", who))}
    assert set(same) == {"standardised", "whitened", "standardised apart", "whitened apart", "learnt"}
    for f in same.values():
        assert f.top1 > 0.97
        assert f.mean_rank < 1.1
        assert f.unit_top1 == pytest.approx(f.top1, abs=0.03)
        assert f.chance == 1 / f.candidates
    gone = link(x, records(seed=9), "fitted", None, ("speaker", who))
    for f in gone:
        assert f.top1 <= 5 * f.chance
        assert f.mean_rank == pytest.approx((f.candidates + 1) / 2, rel=0.15)
        assert f.unit_top1 == pytest.approx(1 / 3, abs=0.1)
    assert [f.unit for f in link(x, x, "unseen")] == [None] * 5


def test_copies_in_other_units_are_found_where_each_side_is_put_on_its_own_scale() -> None:
    x = records()
    found = {f.attacker: f.top1 for f in link(x, (np.linspace(1, 9, 10) * x + 3).astype(np.float32), "unseen")}
    assert found["standardised apart"] == found["whitened apart"] == 1
    assert max(found["standardised"], found["whitened"]) < 0.2


def test_a_turn_of_the_space_hides_records_from_distance_and_not_from_a_learnt_map() -> None:
    x = records(400)
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((10, 10)))[0]
    found = {f.attacker: f for f in link(x, ((x - 5) @ turn * 3).astype(np.float32)[:, :9], "unseen")}
    assert set(found) == {"learnt"}, "another width cannot be compared number by number"
    assert found["learnt"].candidates == 200
    assert found["learnt"].top1 > 0.5
    turned = {f.attacker: f.top1 for f in link(x, ((x - 5) @ turn * 3).astype(np.float32), "unseen")}
    assert turned["learnt"] > 0.9
    assert turned["standardised"] < 0.2


def test_the_channel_ranks_candidates_and_equal_ones_share() -> None:
    n = 60
    x = records(n)
    even = np.full((n, 4), 0.25, np.float32)
    flat = link(x, records(n, seed=4), "unseen", (even, np.zeros(n, np.int64)))[-1]
    assert flat.attacker == "channel"
    assert flat.top1 == pytest.approx(1 / n)
    assert flat.mean_rank == (n + 1) / 2
    own = np.eye(n, dtype=np.float32)
    sure = link(x, records(n, seed=4), "unseen", (own, np.arange(n)))[-1]
    assert (sure.top1, sure.mean_rank) == (1.0, 1.0)
    pairs = np.repeat(np.eye(n // 2, dtype=np.float32), 2, 0)
    half = link(x, records(n, seed=4), "unseen", (pairs, np.arange(n) // 2))[-1]
    assert half.top1 == pytest.approx(0.5)
    assert half.mean_rank == 1.5
