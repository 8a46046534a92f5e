"""Measures of verification, against values worked out by hand and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from sordine.metrics.verification import (
    Binned,
    affine_calibration,
    binned,
    cllr,
    equal_error,
    equal_error_rates,
    linkabilities,
    linkability,
    measures,
    min_cllr,
)


def normal_scores(gap: float, n: int = 40_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = np.arange(n) % 2 == 0
    return rng.standard_normal(n) + gap * same, same


def test_separated_scores() -> None:
    same = np.arange(400) < 200
    score = np.where(same, 5.0, -5.0) + np.linspace(0, 1, 400)
    m = measures(score, same, np.ones((3, 400)), affine_calibration(score, same))
    assert m.equal_error == pytest.approx(0, abs=1e-9)
    assert m.linkability == pytest.approx(1)
    assert m.min_cllr == pytest.approx(0, abs=1e-9)
    assert m.cllr == pytest.approx(0, abs=0.02)
    assert cllr(np.where(same, 40.0, -40.0), same)[0] == pytest.approx(0, abs=1e-9)


def test_identical_distributions() -> None:
    score, same = normal_scores(0.0)
    m = measures(score, same, np.ones((3, len(score))), affine_calibration(score, same))
    assert m.equal_error > 0.49
    assert m.linkability < 0.03
    assert m.min_cllr > 0.995
    assert m.cllr == pytest.approx(1, abs=0.002)
    constant = measures(np.zeros(100), np.arange(100) % 2 == 0, np.ones((2, 100)), (1.0, 0.0))
    assert (constant.equal_error, constant.linkability, constant.min_cllr, constant.cllr) == (0.5, 0, 1, 1)


def test_a_worked_example() -> None:
    # Scores 1, 2, 3, 4. Mated pairs: one at 2, one at 3, two at 4. Non-mated: two at 1, one at 2, one at 3.
    score = np.array([2.0, 3, 4, 4, 1, 1, 2, 3])
    same = np.array([True] * 4 + [False] * 4)
    b = binned(score, same)
    assert b.mated.tolist() == [[0, 0.25, 0.25, 0.5]]
    assert b.other.tolist() == [[0.5, 0.25, 0.25, 0]]
    # After the second threshold 1/4 of mated pairs are refused and 1/4 of the others accepted.
    assert equal_error_rates(b)[0] == pytest.approx(0.25)
    # LR is 0, 1, 1, infinite: half of the mated pairs have a local linkability of 1, the others of 0.
    assert linkabilities(b)[0] == pytest.approx(0.5)
    # With omega = 3, omega LR is 3 at 2 and 3: 2 * 3 / 4 - 1 = 1/2 for half of the mated pairs.
    assert linkabilities(b, 3.0)[0] == pytest.approx(0.5 * 0.5 + 0.5 * 1)
    # Calibrated probabilities are 0, 1/2, 1/2, 1: half of each kind costs 1 bit, the rest none.
    assert min_cllr(b)[0] == pytest.approx(0.5)
    # LLR = log 3 for all: mated pairs cost log2(4/3), others log2(4).
    assert cllr(np.full(8, np.log(3)), same)[0] == pytest.approx((np.log2(4 / 3) + 2) / 2)


def test_two_bins_by_hand() -> None:
    b = Binned(np.array([[0.25, 0.75]]), np.array([[0.75, 0.25]]))
    assert linkabilities(b)[0] == pytest.approx(0.75 * 0.5)
    # p = 1/4 and 3/4 of a mated pair: each kind costs the entropy of 1/4.
    assert min_cllr(b)[0] == pytest.approx(-(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)))
    turned = Binned(b.mated[:, ::-1], b.other[:, ::-1])
    assert min_cllr(turned)[0] == pytest.approx(1), "the calibration is monotone"
    assert linkabilities(turned)[0] == pytest.approx(0.375), "the linkability does not need a monotone ratio"
    assert equal_error_rates(turned)[0] == 0.5


def test_normal_scores_have_known_measures() -> None:
    score, same = normal_scores(2.0)
    m = measures(score, same, np.ones((3, len(score))), affine_calibration(score, same))
    assert m.equal_error == pytest.approx(ndtr(-1.0), abs=0.006)

    def ratio(s: float) -> float:
        return float(np.exp(2 * s - 2))

    exact = quad(lambda s: norm.pdf(s, 2) * max(0.0, (ratio(s) - 1) / (ratio(s) + 1)), -6, 9)[0]
    assert m.linkability == pytest.approx(exact, abs=0.01)
    bits = quad(lambda s: norm.pdf(s, 2) * np.log2(1 + 1 / ratio(s)), -6, 9)[0]
    assert m.min_cllr == pytest.approx(bits, abs=0.01)
    assert m.cllr == pytest.approx(bits, abs=0.01)
    assert m.cllr is not None
    assert m.cllr >= m.min_cllr
    assert affine_calibration(score, same) == pytest.approx((2.0, -2.0), abs=0.06)


def test_intervals_of_samples_contain_the_measures_and_grow_with_fewer_units() -> None:
    rng = np.random.default_rng(0)
    score, same = normal_scores(1.0, 4000)
    weight = rng.multinomial(4000, np.full(4000, 1 / 4000), size=200)
    few = rng.multinomial(100, np.full(4000, 1 / 4000), size=200)
    narrow, wide = (measures(score, same, w, (1.0, -0.5)) for w in (weight, few))
    for m in (narrow, wide):
        assert m.equal_error_interval[0] <= m.equal_error <= m.equal_error_interval[1]
        assert m.min_cllr_interval[0] <= m.min_cllr <= m.min_cllr_interval[1]
        assert m.linkability_interval[0] <= m.linkability <= m.linkability_interval[1]
    corrected = measures(score, same, weight, attackers=4).equal_error_corrected
    assert narrow.equal_error_corrected == narrow.equal_error_interval
    assert corrected is not None
    assert corrected[0] < narrow.equal_error_interval[0] < narrow.equal_error_interval[1] < corrected[1]
    spans = [m.equal_error_interval[1] - m.equal_error_interval[0] for m in (narrow, wide)]
    assert 0.02 < spans[0] < 0.05
    assert spans[1] > 3 * spans[0]


def test_binned_samples_give_nearly_the_exact_rate() -> None:
    score, same = normal_scores(1.5, 6000)
    _, interval = equal_error(score, same, np.ones((2, 6000)))
    assert interval[1] - interval[0] < 0.004
    assert binned(score, same).mated.shape[1] <= 400


def test_a_score_that_is_always_wrong_calibrates_to_nothing() -> None:
    score, same = normal_scores(2.0, 2000)
    assert affine_calibration(-score, same) == (0.0, 0.0)
    assert linkability(-score, same) > 0.4
