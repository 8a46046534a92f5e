"""Kernel machines infer what no single direction shows: products of numbers, rings, and ranks under heavy tails."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.attacks import kernel
from sordine.attacks.base import Split, Target, sampled_rows
from sordine.attacks.kernel import KernelRidge
from sordine.attacks.views import ranked, reduced, standardised, whitened

N, WIDTH = 900, 6
SPLIT = Split(np.arange(0, 450), np.arange(450, 600), np.arange(600, N))


def predicted(x: np.ndarray, labels: np.ndarray, classes: int = 2) -> float:
    (found,) = KernelRidge().fit_predict(x.astype(np.float32), SPLIT, [Target(labels, classes)])
    return float((found == labels[SPLIT.test]).mean())


@pytest.mark.parametrize("count", [2, 3])
def test_a_product_of_numbers_is_inferred(count: int) -> None:
    x = np.random.default_rng(count).standard_normal((N, WIDTH))
    assert predicted(x, (x[:, :count].prod(1) > 0).astype(np.int64)) > (0.8 if count == 2 else 0.6)


def test_a_ring_is_inferred() -> None:
    x = np.random.default_rng(0).standard_normal((N, WIDTH))
    assert predicted(x, (np.linalg.norm(x[:, :2], axis=1) > 1.2).astype(np.int64)) > 0.85


def test_noise_is_at_chance() -> None:
    rng = np.random.default_rng(1)
    assert abs(predicted(rng.standard_normal((N, WIDTH)), rng.integers(0, 2, N)) - 0.5) < 0.12


def test_the_least_likely_class_is_predicted_where_validation_asks_for_it() -> None:
    # In training, a class lies where the other one lies in validation and test.
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, N)
    x = rng.standard_normal((N, WIDTH)) + 3 * labels[:, None]
    x[SPLIT.train] = rng.standard_normal((450, WIDTH)) + 3 * (1 - labels[SPLIT.train, None])
    machines, target = list(kernel._machines(x.astype(np.float32), SPLIT.own, False, 0)), Target(labels, 2)
    scores = kernel._scores(machines, [target], SPLIT.train, SPLIT.validation, kernel.PENALTIES)[0]
    assert all((s.argmin(1) == labels[SPLIT.validation]).mean() > 0.9 for s in scores)


def test_targets_do_not_depend_on_each_other() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((N, WIDTH)).astype(np.float32)
    some = np.where(rng.random(N) < 0.2, -1, (x[:, 0] > 0).astype(np.int64))
    targets = [Target((x[:, 1] > 0).astype(np.int64), 2), Target(some, 2), Target((3 * (x[:, 2] > 0)).astype(int), 4)]
    together = KernelRidge().fit_predict(x, SPLIT, targets)
    for target, found in zip(targets, together, strict=True):
        (alone,) = KernelRidge().fit_predict(x, SPLIT, [target])
        assert (alone == found).mean() > 0.99


def test_it_learns_from_a_sample_of_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "MOST", 200)
    assert len(sampled_rows(np.arange(450), 200, 0, "kernel")) == 200
    x = np.random.default_rng(4).standard_normal((N, WIDTH))
    assert predicted(x, (x[:, 0] > 0).astype(np.int64)) > 0.8


def test_the_views() -> None:
    rng = np.random.default_rng(5)
    rows = np.arange(500)
    x = np.exp(3 * rng.standard_normal((N, 4))).astype(np.float32)
    assert np.allclose(standardised(x, rows)[rows].std(0), 1, atol=1e-3)
    scores = ranked(x, rows)
    assert np.allclose(scores[rows].std(0), 1, atol=1e-3)
    assert np.array_equal(scores[rows].argsort(0), x[rows].argsort(0))
    assert np.abs(scores).max() < 5  # heavy tails are gone
    white = whitened(standardised(x @ rng.standard_normal((4, 4)).astype(np.float32), rows), rows)
    assert np.allclose(np.corrcoef(white[rows].T), np.eye(white.shape[1]), atol=0.01)
    labels = rng.integers(0, 3, N)
    z = rng.standard_normal((N, 8)).astype(np.float32)
    z[:, [2, 5]] += labels[:, None]
    assert np.array_equal(reduced(z, labels, rows, 2), z[:, [2, 5]])
