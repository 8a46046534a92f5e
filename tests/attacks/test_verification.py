"""Verification of people of whom the attacker has no record: found where it can be, chance where it cannot."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from sordine.attacks import verification
from sordine.attacks.results import VerificationFinding
from sordine.attacks.verification import verify


def voices(units: int = 30, each: int = 12, spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    unit = np.repeat(np.arange(units), each)
    x = rng.standard_normal((units, 8))[unit] * spread + 0.5 * rng.standard_normal((units * each, 8))
    return x.astype(np.float32), unit


def by_space(found: list[VerificationFinding]) -> dict[str, VerificationFinding]:
    return {f.space: f for f in found}


def test_people_never_seen_are_verified_before_and_not_after_noise() -> None:
    x, unit = voices()
    fitted = unit < 15
    after = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    found = by_space(verify(x, after, unit, fitted, "speaker"))
    assert set(found) == {"standardised", "discriminant", "plda", "ignorant"}
    for f in found.values():
        assert f.before < 0.12
        assert f.before_interval[0] <= f.before <= f.before_interval[1] < 0.25
        assert f.after > 0.42
        assert f.after_interval[1] > 0.47
        assert f.units == 15
        assert f.new_to_fit
        assert f.mated == 15 * 12 * 11 // 2
        assert f.non_mated == verification.PAIRS < (180 * 179 - 180 * 11) // 2
        was, now = f.before_measures, f.after_measures
        assert was is not None
        assert now is not None
        assert f.control is not None
        assert was.linkability > 0.6
        assert was.min_cllr < 0.5
        assert was.cllr is not None
        assert was.min_cllr <= was.cllr < 0.8
        assert now.linkability < f.control[1] + 0.05
        assert now.min_cllr > 0.97
        assert now.cllr is not None
        if f.space != "ignorant":  # calibrated on originals, it is misled by releases
            assert 0.97 < now.cllr < 1.2
        assert f.chance is not None
        assert f.chance > 0.05
    same = by_space(verify(x, x, unit, fitted, "speaker"))
    assert all(f.before == f.after for f in same.values())
    assert all(f.chance == 1 / 20 for f in same.values())
    assert same["ignorant"].after == same["discriminant"].after


def test_the_semi_informed_attacker_undoes_what_the_ignorant_one_cannot() -> None:
    # The release turns the space and drowns one half of it in noise: only released records say which half.
    rng = np.random.default_rng(0)
    x, unit = voices(60, 10, 1.0)
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    after = x @ turn
    after[:, :4] += 4 * rng.standard_normal((len(x), 4))
    after = (after @ np.linalg.qr(rng.standard_normal((8, 8)))[0]).astype(np.float32)
    found = by_space(verify(x, after, unit, unit < 30, "speaker"))
    assert found["discriminant"].after < found["ignorant"].after - 0.1
    assert found["discriminant"].after < found["standardised"].after
    assert found["plda"].after < 0.2


@pytest.mark.slow
def test_nothing_is_recognised_by_chance_alone() -> None:
    clear = beyond = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        unit = np.repeat(np.arange(40), 6)
        x = rng.standard_normal((240, 8)).astype(np.float32)
        found = verify(x, x, unit, unit < 25, "speaker")
        clear += any(f.after_interval[1] < 0.45 and f.chance == 1 / 20 for f in found)
        for f in found:
            assert f.risk is not None
            assert f.risk_interval is not None
            assert f.risk_interval[0] <= f.risk < 0.1
            assert f.after_corrected[1] >= f.after_interval[1]
            beyond += f.risk_interval[0] > 0
    assert clear == 0
    assert beyond <= 0.05 * 20 * 4


def test_the_interval_of_a_control_is_that_of_one_more_permutation() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        values = rng.normal(0.2, 0.02, 20)
        control = verification.control_share(values[:19])
        assert control.value == pytest.approx(values[:19].mean())
        inside += control.low <= values[19] <= control.high
    assert 0.92 <= inside / 400 <= 0.98


def test_the_likelihood_ratio_is_that_of_the_two_covariance_model() -> None:
    between = np.array([2.0, 0.5], np.float32)
    z = np.array([[0.3, -1.0], [1.2, 0.4]], np.float32)
    together = np.block([[np.diag(between + 1), np.diag(between)], [np.diag(between), np.diag(between + 1)]])
    apart = np.diag(np.tile(between + 1, 2))
    pair = z.ravel()
    exact = multivariate_normal.logpdf(pair, cov=together) - multivariate_normal.logpdf(pair, cov=apart)
    assert verification._likelihood_ratios(z, between)[0, 1] == pytest.approx(exact, abs=1e-5)


def test_people_of_the_fit_are_new_to_the_attacker_only() -> None:
    x, unit = voices(24, 12)
    fitted = np.arange(len(x)) % 2 == 0
    found = verify(x, x, unit, fitted, "speaker")
    assert found
    assert all(f.units == 12 and not f.new_to_fit for f in found)
    own, rows, new = verification._sides(unit, fitted)
    assert not new
    assert not np.isin(unit[own], unit[rows]).any()
    assert not fitted[rows].any()
    assert fitted[own].all()


def test_too_few_people_are_not_verified() -> None:
    x, unit = voices(6, 4)
    assert verify(x, x, unit, unit < 5, "speaker") == []
    assert verify(x, x, np.where(unit < 3, unit, -1), unit < 3, "speaker") == []
    found = verify(x, x, unit, unit < 2, "speaker")
    assert [f.space for f in found] == ["standardised"]


def test_a_unit_drawn_twice_is_two_units() -> None:
    """Resamples weigh pairs as tables in which units are drawn with replacement would hold them."""
    codes = np.repeat(np.arange(4), 5)
    trials = verification._trials(codes)
    same, weight = trials.same, trials.weight
    # Four units of five records: ten pairs within each, however often it was drawn.
    assert (weight[:, same].sum(1) == 4 * 10).all()
    assert weight[:, same].max() >= 3
    assert set(np.unique(weight[:, ~same])) <= {0, 1, 2, 3, 4}
    # Times drawn t give (16 - sum of squares) / 2 pairs of units, each of 25 pairs of records.
    drawn = weight[:, same]
    assert ((weight[:, ~same].sum(1) / 25) * 2 == 16 - (drawn**2).sum(1) / 10).all()
