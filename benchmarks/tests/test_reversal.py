"""The real-or-fake attack on generators that do or do not pass records through."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.replacement.reversal import read_back, reverse
from sordine.attacks.base import Split
from sordine.errors import SordineError
from sordine.metrics.nag import wilson


def test_read_back_by_hand() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    # Real: the class read. Fake: the most likely other one.
    assert read_back(scores, np.array([-1.0, 1.0, 1.0])).tolist() == [0, 2, 2]
    assert read_back(scores, np.array([-1.0, 1.0, 1.0]), threshold=2.0).tolist() == [0, 0, 1]
    two = np.array([[0.2, 0.8], [0.2, 0.8]])
    assert read_back(two, np.array([-1.0, 1.0])).tolist() == [1, 0]


def scene(n: int = 1600) -> tuple[np.ndarray, np.ndarray, np.ndarray, Split]:
    """x shows the secret in its first number; s' is a coin. The second number is a watermark of what was edited."""
    rng = np.random.default_rng(0)
    secret, drawn = rng.integers(0, 2, n), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[:, 0] += 6 * secret - 3
    order = rng.permutation(n)
    return x, secret, drawn, Split(order[: n // 2], order[n // 2 : 3 * n // 4], order[3 * n // 4 :])


def fixed(x: np.ndarray) -> np.ndarray:
    return np.stack([-x[:, 0], x[:, 0]], 1)


def test_a_generator_that_passes_through_where_it_can_is_reversed() -> None:
    x, secret, drawn, trial = scene()
    released = x.copy()
    edited = drawn != secret
    released[edited, 0] *= -1
    released[edited, 1] += 8  # an edit leaves a trace
    assert abs(np.mean(fixed(released).argmax(1) == secret) - 0.5) < 0.05  # the fixed classifier alone: a coin
    found = reverse(x, released, secret, trial, fixed)
    assert found.accuracy > 0.95
    assert (found.low, found.high) == wilson(found.accuracy * 400, 400)
    assert 0.98 < found.low <= found.accuracy <= found.high
    assert found.records == 400
    assert abs(found.real - 0.5) < 0.08
    assert 0.7 < found.told < 0.82  # half of the releases are originals


def test_one_that_edits_every_record_alike_is_not() -> None:
    x, secret, drawn, trial = scene()
    released = x.copy()
    released[:, 0] = np.abs(x[:, 0]) * (2 * drawn - 1)
    released[:, 1] += 8
    found = reverse(x, released, secret, trial, fixed)
    assert found.told > 0.98  # it is plain that all are releases, and no help
    assert abs(found.accuracy - 0.5) < 0.1


@pytest.mark.slow
def test_pictures_are_told_apart_by_a_residual_network() -> None:
    rng = np.random.default_rng(1)
    n = 320
    secret, drawn = rng.integers(0, 2, n), rng.integers(0, 2, n)
    x = rng.integers(0, 80, (n, 1, 8, 8)).astype(np.uint8)
    x[secret == 1, :, :, 4:] += 120
    released = rng.integers(0, 80, (n, 1, 8, 8)).astype(np.uint8)
    released[drawn == 1, :, :, 4:] += 120
    same = drawn == secret
    released[same] = x[same]
    released[~same, :, :2, :2] = 255  # a mark in the corner

    def halves(pictures: np.ndarray) -> np.ndarray:
        left, right = (pictures[..., part].mean((1, 2, 3)) for part in (slice(0, 4), slice(4, 8)))
        return np.stack([left - right + 60, right - left - 60], 1)

    order = rng.permutation(n)
    found = reverse(x, released, secret, Split(order[:180], order[180:240], order[240:]), halves)
    assert found.accuracy > 0.9


def test_unlabelled_records_are_left_out_and_bad_input_gives_one_line() -> None:
    x, secret, _, trial = scene(200)
    labels = np.where(np.arange(200) % 5 == 0, -1, secret)
    found = reverse(x, x + 1, labels, trial, fixed)
    assert found.records == int((labels[trial.test] >= 0).sum())
    for arguments, message in [
        ((x, x[:, :2], labels), r"\(200, 2\)"),
        ((x, x, labels[:-1]), "199 labels"),
        ((x, x, np.full(200, -1)), "no test record has a label"),
    ]:
        with pytest.raises(SordineError, match=message) as error:
            reverse(*arguments, trial, fixed)
        assert "\n" not in str(error.value)
