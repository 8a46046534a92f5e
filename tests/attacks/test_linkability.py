"""Matching released records with originals, and verifying people: found where it can be, chance where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.attacks import verification
from sordine.attacks.linkability import link
from sordine.attacks.verification import verify


def records(n: int = 300, width: int = 10, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, width)) @ rng.standard_normal((width, width)) + 5).astype(np.float32)


def test_copies_are_found_and_noise_is_not() -> None:
    x = records()
    who = np.arange(300) % 3
    same = {f.attacker: f for f in link(x, x.copy(), "unseen", None, ("speaker", who))}
    assert set(same) == {"standardised", "whitened", "learnt"}
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
    assert [f.unit for f in link(x, x, "unseen")] == [None] * 3


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


def voices(units: int = 30, each: int = 12, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), each)
    x = rng.standard_normal((units, 8))[unit] * spread + 0.5 * rng.standard_normal((units * each, 8))
    return x.astype(np.float32), unit


def test_people_never_seen_are_verified_before_and_not_after_noise() -> None:
    x, unit = voices()
    fitted = unit < 15
    after = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    found = {f.space: f for f in verify(x, after, unit, fitted, "speaker")}
    assert set(found) == {"standardised", "discriminant"}
    for f in found.values():
        assert f.before < 0.12
        assert f.before_interval[0] <= f.before <= f.before_interval[1] < 0.25
        assert f.after > 0.42
        assert f.after_interval[1] > 0.47
        assert f.units == 15
    same = verify(x, x, unit, fitted, "speaker")
    assert all(f.before == f.after for f in same)


def test_the_equal_error_rate_is_that_of_two_normal_scores() -> None:
    from scipy.special import ndtr

    from sordine.attacks.verification import equal_error

    rng = np.random.default_rng(0)
    same = np.arange(40_000) % 2 == 0
    score = rng.standard_normal(40_000) + 2.0 * same
    rate, (low, high) = equal_error(score, same, np.ones((20, 40_000)))
    assert rate == pytest.approx(float(ndtr(-1.0)), abs=0.006)
    assert low <= rate <= high
    assert equal_error(np.zeros(100), same[:100], np.ones((5, 100)))[0] == pytest.approx(0.5)
    assert equal_error(-score, same, np.ones((5, 40_000)))[0] == 0.5, (
        "a score that errs always is turned round, not praised"
    )


def test_too_few_people_are_not_verified() -> None:
    x, unit = voices(6, 4)
    assert verify(x, x, unit, unit < 5, "speaker") == []
    assert verify(x, x, np.where(unit < 3, unit, -1), unit < 3, "speaker") == []
    assert [f.space for f in verify(x, x, unit, unit < 2, "speaker")] == ["standardised"]


def test_a_unit_drawn_twice_is_two_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resamples weigh pairs as tables in which units are drawn with replacement would hold them."""
    x, unit = voices(8, 5)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    real = verification.equal_error

    def spied(score: np.ndarray, same: np.ndarray, weight: np.ndarray) -> tuple[float, tuple[float, float]]:
        seen.append((same, weight))
        return real(score, same, weight)

    monkeypatch.setattr(verification, "equal_error", spied)
    verify(x, x, unit, unit < 4, "speaker")
    same, weight = seen[0]
    # Four units of five records: ten pairs within each, however often it was drawn.
    assert (weight[:, same].sum(1) == 4 * 10).all()
    assert weight[:, same].max() >= 3
    assert set(np.unique(weight[:, ~same])) <= {0, 1, 2, 3, 4}
    # Times drawn t give (16 - sum of squares) / 2 pairs of units, each of 25 pairs of records.
    drawn = weight[:, same]
    assert ((weight[:, ~same].sum(1) / 25) * 2 == 16 - (drawn**2).sum(1) / 10).all()
