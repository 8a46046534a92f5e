"""The interval of NAG against arithmetic and simulated audits whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.nag import (
    balanced_nag,
    corrected_baseline,
    correlations,
    gain,
    nag,
    nag_interval,
    nag_is_defined,
    nag_lower_end,
    resolvable,
    wilson,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_wilson_on_known_values() -> None:
    # 8 of 10 at 95 %: (0.4902, 0.9433), e.g. statsmodels' proportion_confint(8, 10, method="wilson")
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    z2 = 1.959963985**2
    assert wilson(0, 20) == pytest.approx((0, z2 / (20 + z2)))
    assert wilson(20, 20) == pytest.approx((20 / (20 + z2), 1))
    assert wilson(0, 0) == (0, 1)
    assert wilson(8, 10, 0.5)[0] > wilson(8, 10)[0]


def test_nag_and_what_it_needs() -> None:
    assert nag(0.6, 0.9, 0.5) == pytest.approx(0.25)
    assert gain(0.6, 0.5) == pytest.approx(nag(0.6, 1.0, 0.5))
    assert gain(0.4, 0.5) == gain(1.0, 1.0) == 0
    assert nag(0.4, 0.9, 0.5) == pytest.approx(-0.25)  # stored unclipped
    assert math.isnan(nag(0.6, 0.5, 0.5))
    assert balanced_nag(0.5, 0.9, 10) == pytest.approx(0.4 / 0.8)
    # standard error of .6 - .5 on 100 records: sqrt((.24 + .25) / 100) = .07: .1 is under two of them
    assert not nag_is_defined(0.6, 0.5, 100)
    assert nag_is_defined(0.6, 0.5, 400)
    assert nag_interval(0.55, 0.6, 0.5, 100) is None
    assert nag_interval(0.5, 0.4, 0.5, 1000) is None
    assert resolvable(0.6, 0.5, 100) is None


def test_the_interval_holds_the_estimate_and_narrows_with_records() -> None:
    for after in (0.0, 0.05, 0.4, 0.95, 1.0):
        widths = []
        for n in (60, 600, 6000):
            interval = nag_interval(after, 0.95, 0.1, n)
            assert interval is not None
            assert interval[0] < nag(after, 0.95, 0.1) < interval[1]
            widths.append(interval[1] - interval[0])
        assert widths[0] > widths[1] > widths[2]
    loose, tight = (nag_interval(0.4, 0.95, 0.1, 600, confidence=c) for c in (0.99, 0.8))
    assert loose is not None
    assert tight is not None
    assert loose[0] < tight[0] < tight[1] < loose[1]


def test_the_lower_end_alone_exists_in_more_cases() -> None:
    whole = nag_interval(0.4, 0.95, 0.1, 600, confidence=0.999, classes=10)
    assert whole is not None
    assert nag_lower_end(0.4, 0.95, 0.1, 600, confidence=0.999, classes=10) == whole[0]
    assert nag_lower_end(0.5, 0.4, 0.5, 1000, confidence=0.95) is None
    # Originals hardly reveal the attribute, so a high confidence leaves no upper end; the release reveals it entirely.
    assert nag_interval(0.95, 0.6, 0.5, 240, confidence=0.999) is None
    least = nag_lower_end(0.95, 0.6, 0.5, 240, confidence=0.999)
    assert least is not None
    assert 0.5 < least < 4.5
    nothing = nag_lower_end(0.5, 0.6, 0.5, 240, confidence=0.999)
    assert nothing is not None
    assert nothing <= 0


def test_an_interval_against_one_worked_by_hand() -> None:
    # before = 1 and baseline = 0 on many records leave (almost) Wilson's own interval of `after`.
    interval = nag_interval(0.3, 1.0, 0.0, 1e6)
    assert interval == pytest.approx(wilson(3e5, 1e6), abs=2e-6)
    # The upper edge solves T(theta)^2 = sum of squared distances to the Wilson limits on its side.
    a, b, g, n = 0.6, 0.9, 0.55, 400
    found = nag_interval(a, b, g, n)
    assert found is not None
    theta = found[1]
    assert 0 < theta < 1
    up, down, low = wilson(a * n, n)[1] - a, b - wilson(b * n, n)[0], g - wilson(g * n, n)[0]
    t = (a - g) - theta * (b - g)
    assert t < 0
    assert t * t == pytest.approx(up**2 + (theta * down) ** 2 + ((1 - theta) * low) ** 2, rel=1e-6)


def test_resolvable_is_the_upper_limit_of_an_attacker_at_the_baseline() -> None:
    bounds = [resolvable(0.95, 1 / 24, n) for n in (150, 600, 6000)]
    assert all(b is not None and b > 0 for b in bounds)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[2] == pytest.approx(1.96 * math.sqrt(2 * (1 / 24) * (23 / 24) / 6000) / (0.95 - 1 / 24), rel=0.1)


def test_the_luckiest_of_even_classes_is_not_used_as_the_baseline(rng: np.random.Generator) -> None:
    for k, n in ((24, 600), (6, 300)):
        shares = rng.multinomial(n, np.ones(k) / k, 400).max(1) / n
        assert shares.mean() > 1.15 / k  # the trap
        corrected = [corrected_baseline(s, n) for s in shares]
        assert np.mean(corrected) == pytest.approx(1 / k, rel=0.06)
        assert corrected_baseline(shares[0], n, k) >= 1 / k
    assert corrected_baseline(0.7, 200) == pytest.approx(0.7)  # no class can rival it


def test_correlations_of_three_events() -> None:
    truth = np.array([0, 0, 0, 1, 1, -1])
    after, before = np.array([0, 0, 0, 0, 0, 0]), np.array([1, 1, 1, 1, 1, 0])
    assert correlations(truth, after, before) == pytest.approx((-1, 1, -1))
    assert correlations(truth, truth, before) == pytest.approx((0, 0, -1))  # always right: no correlation


Attacker = Callable[[np.random.Generator, np.ndarray, np.ndarray], np.ndarray]
EVEN = tuple([1 / 24] * 24)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shares", "n", "before_accuracy", "after", "true", "with_correlation"),
    [
        ("at chance, 24 even classes", EVEN, 600, 0.95, lambda r, y, b: r.integers(0, 24, len(y)), 0.0, False),
        ("at chance, small", EVEN, 150, 0.95, lambda r, y, b: r.integers(0, 24, len(y)), 0.0, False),
        ("at chance, small, two classes", (0.5, 0.5), 150, 0.9, lambda r, y, b: r.integers(0, 2, len(y)), 0.0, False),
        ("in the middle", (0.6, 0.2, 0.2), 1000, 0.9, lambda r, y, b: _keep(r, y, b, 0.8), (0.72 - 0.6) / 0.3, False),
        ("in the middle, small", EVEN, 150, 0.9, lambda r, y, b: _keep(r, y, b, 0.5), (0.45 * 24 - 1) / 20.6, False),
        ("correct on the rarer class", (0.6, 0.4), 400, 0.95, lambda r, y, b: _rare(r, y), (0.7 - 0.6) / 0.35, True),
    ],
)
def test_the_interval_covers_the_truth(
    name: str,
    shares: tuple[float, ...],
    n: int,
    before_accuracy: float,
    after: Attacker,
    true: float,
    with_correlation: bool,
) -> None:
    """Whole audits are simulated: labels, predictions of two attackers and the majority share, on the same records."""
    rng = np.random.default_rng(2024)
    repeats, k, covered = 1000, len(shares), 0
    for _ in range(repeats):
        y = rng.choice(k, n, p=shares)
        b = np.where(rng.random(n) < before_accuracy, y, (y + 1) % k)
        a = after(rng, y, b)
        interval = nag_interval(
            accuracy(y, a),
            accuracy(y, b),
            majority(y),
            n,
            classes=k,
            correlation=correlations(y, a, b) if with_correlation else (0.0, 0.0, 0.0),
        )
        assert interval is not None
        covered += interval[0] <= true <= interval[1]
    assert covered / repeats >= 0.93, name


def _keep(rng: np.random.Generator, y: np.ndarray, before: np.ndarray, share: float) -> np.ndarray:
    wrong = (y + 1) % (y.max() + 1)
    return np.where((before == y) & (rng.random(len(y)) < share), y, wrong)


def _rare(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    return np.where((y == 1) | (rng.random(len(y)) < 0.5), y, 1)
