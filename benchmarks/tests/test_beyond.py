"""Attackers beyond the audit: planted leaks have the stated size, and the attackers find what is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.beyond.attackers import log_likelihoods, remainder, whitened
from benchmarks.beyond.page import page
from benchmarks.beyond.planted import LEAKS, PERIODS, screened, tables
from benchmarks.harness import PAGES, Store

Predict = Callable[[np.ndarray], np.ndarray]

# What the best possible attacker predicts, up to the order of the two classes.
BEST: dict[str, Predict] = {
    "parity2": lambda x: x[:, :2].prod(1) > 0,
    "parity3": lambda x: x[:, :3].prod(1) > 0,
    "pattern": lambda x: np.floor(x[:, 0].astype(np.float64) * 2 * PERIODS) % 2 == 1,
    "bit": lambda x: np.ascontiguousarray(x[:, 0]).view(np.uint32) % 2 == 1,
    "mean20": lambda x: x[:, 0] > 0,
    "mean10": lambda x: x[:, 0] > 0,
    "mean5": lambda x: x[:, 0] > 0,
    "means": lambda x: x.sum(1) > 0,
    "variance": lambda x: np.abs(x[:, 0]) > 1.24,
    "some": lambda x: x[:, 0] > 0,
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_planted_leak_has_the_stated_size(name: str) -> None:
    original, released = tables(LEAKS[name])
    assert released.attributes == ()
    accuracy = (BEST[name](released.flat()) == original.y["secret"]).mean()
    assert 2 * accuracy - 1 == pytest.approx(LEAKS[name].leakage, abs=0.06)
    assert released.x[:, 20:].std() == pytest.approx(1, abs=0.02)


def test_the_simple_attacker_finds_one_feature_and_not_noise() -> None:
    for name, least in (("parity2", 0.15), ("bit", 0.15), ("pattern", 0.1)):
        original, released = tables(LEAKS[name])
        assert 2 * screened(released.flat(), original.y["secret"]) - 1 > least
    noise = np.random.default_rng(1).standard_normal((2000, 40)).astype(np.float32)
    assert abs(2 * screened(noise, original.y["secret"]) - 1) < 0.08


def test_the_remainder_shows_what_the_known_records_used_too_little() -> None:
    secret, outputs = np.repeat([0, 1], 200), np.tile(np.arange(4), 100)
    known = (outputs < 2) == (secret == 0)  # of class 0 the outputs 0 and 1, of class 1 the others
    share = np.full(4, 0.25)
    left = remainder(np.eye(4)[outputs], known, secret, share)
    assert left.tolist() == [[0, 0, 50, 50], [50, 50, 0, 0]]
    scores = log_likelihoods(left, known, secret, share)
    assert scores.shape == (4, 2)
    assert (scores[outputs[~known]].argmax(1) == secret[~known]).all()
    unknown_to_all = np.zeros(400, bool)
    nothing = log_likelihoods(
        remainder(np.eye(4)[outputs], unknown_to_all, secret, share), unknown_to_all, secret, share
    )
    assert np.ptp(nothing, axis=1).max() < 1e-9


def test_whitened_records_have_unit_covariance() -> None:
    x = np.random.default_rng(0).standard_normal((300, 6)) @ np.diag([9, 5, 3, 2, 1, 0.5])
    z, to = whitened(x, 4)
    assert (z.T @ z / 300) == pytest.approx(np.eye(4), abs=1e-9)
    assert z == pytest.approx((x - x.mean(0)) @ to)


def test_the_page_is_that_of_the_stored_figures() -> None:
    written = page(Store("beyond"))
    assert all(leak.sentence in written for leak in LEAKS.values())
    assert "nan [" not in written
    assert written == (PAGES / "beyond.md").read_text(encoding="utf-8")
