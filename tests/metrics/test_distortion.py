"""Distances between records by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.errors import SordineError
from sordine.metrics import distortion as module
from sordine.metrics.distortion import distortion, l2_distance


def test_l2_distance_by_hand() -> None:
    x, moved = np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 1.0]])
    assert l2_distance(x, moved) == pytest.approx((5 + 1) / 2)
    assert l2_distance(np.array([[250]], np.uint8), np.array([[3]], np.uint8)) == 247
    with pytest.raises(SordineError, match="shape"):
        l2_distance(x, moved[:1])


@pytest.mark.parametrize("block", [1 << 22, 1])
def test_distortion_by_hand(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", block)
    x = np.zeros((2, 3, 1), np.float32)
    moved = np.array([[3, 4, 0], [0, 1, 2]], np.float32).reshape(2, 3, 1)
    found = distortion(x, moved, np.array([1.0, 2.0, 0.0]))
    assert found["l2"] == pytest.approx((5 + 5**0.5) / 2)
    assert found["mean_absolute"] == pytest.approx(10 / 6)
    # the third number is constant: (9 + 0 + 16 / 4 + 1 / 4) over two records and two numbers
    assert found["relative_rms"] == pytest.approx((13.25 / 4) ** 0.5)
    assert distortion(x, moved, np.zeros(3))["relative_rms"] == 0
    assert distortion(x, moved[:, :2], np.ones(3)) == {}
