"""The forecast: formulas by hand, an estimate without bias, and an attack that reaches what is forecast."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from sordine.metrics.forecast import Divergence, divergence, leakage, recognised, records_needed

CLASSES, FUNCTIONS = 6, 20


def of(features: list[np.ndarray], labels: list[np.ndarray], units: list[np.ndarray] | None = None) -> Divergence:
    found = divergence(features, labels, units)
    assert found is not None
    return found


def outputs(
    rng: np.random.Generator, records: int, strength: float, classes: int = CLASSES
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Functions of outputs (n, J), classes (n,), and the classes' true means."""
    means = strength * rng.standard_normal((classes, FUNCTIONS))
    means -= means.mean(0)
    labels = np.repeat(np.arange(classes), records)
    return means[labels] + rng.standard_normal((len(labels), FUNCTIONS)), labels, means


@pytest.mark.parametrize("separation", [0.0, 0.3, 1.0, 4.0])
def test_two_classes_are_recognised_as_often_as_a_normal_difference_is_above_zero(separation: float) -> None:
    expected = 2 * norm.cdf(separation / np.sqrt(2)) - 1
    assert recognised(separation, 2) == pytest.approx(expected, abs=1e-6)


def test_a_large_separation_recognises_every_class() -> None:
    assert recognised(100.0, 50) == pytest.approx(1.0, abs=1e-6)


def test_the_divergence_has_no_bias_and_its_error_is_its_spread() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        f, y, means = outputs(rng, 60, 0.05)
        one = of([f], [y])
        found.append((one.value - (means**2).sum(1).mean(), one.error))
    off, errors = np.array(found).T
    assert abs(off.mean()) < 3 * off.std() / np.sqrt(len(off))
    assert errors.mean() == pytest.approx(off.std(), rel=0.35)


def test_copies_of_a_record_are_one_unit() -> None:
    rng = np.random.default_rng(1)
    f, y, _ = outputs(rng, 40, 0.0)
    copies, labels, units = np.repeat(f, 5, 0), np.repeat(y, 5), np.repeat(np.arange(len(f)), 5)
    single, naive, grouped = of([f], [y]), of([copies], [labels]), of([copies], [labels], [units])
    assert grouped.value == pytest.approx(single.value)
    assert grouped.records == single.records == 40
    assert naive.value > grouped.value + 0.2  # what a record has in common with its copies is not its class


def test_sets_that_share_no_outputs_are_averaged() -> None:
    rng = np.random.default_rng(2)
    f, y, _ = outputs(rng, 50, 0.2)
    one, both = of([f], [y]), of([f, f], [y, y])
    assert both.value == pytest.approx(one.value)
    assert both.records == 2 * one.records


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, -1, -1], []])
def test_without_two_records_of_two_classes_there_is_no_divergence(labels: list[int]) -> None:
    y = np.array(labels, np.int64)
    assert divergence([np.zeros((len(y), 3))], [y]) is None


def test_an_attacker_that_knows_the_means_infers_what_is_forecast() -> None:
    rng = np.random.default_rng(3)
    f, y, means = outputs(rng, 20_000, 0.06)
    for k in (1, 10, 50):
        sums = f.reshape(-1, k, FUNCTIONS).sum(1)
        truth = y[::k]
        score = sums @ means.T - k * (means**2).sum(1) / 2
        right = float((score.argmax(1) == truth).mean())
        expected = leakage(float((means**2).sum(1).mean()), k, CLASSES, FUNCTIONS)
        assert (right - 1 / CLASSES) / (1 - 1 / CLASSES) == pytest.approx(expected, rel=0.15)


def test_an_attacker_that_learns_the_means_from_few_records_infers_less() -> None:
    shares = [leakage(0.07, 10, CLASSES, FUNCTIONS, known) for known in (10, 100, 1000, None)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1] / 2


def test_so_many_records_as_are_needed_keep_the_limit() -> None:
    needed = records_needed(14.0, 6, 50, 0.1)
    assert leakage(14.0 / needed, 50, 6, 14.0, needed / 2) == pytest.approx(0.1, abs=1e-3)
    assert records_needed(14.0, 6, 1, 0.1) < needed
    assert records_needed(0.0, 6, 50, 0.1) == 1
