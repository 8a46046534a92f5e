"""Moments of records in blocks against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.data import statistics
from sordine.data.statistics import blocks, moments
from sordine.data.table import Rows


@pytest.mark.parametrize("rows", [7, 16384])
def test_moments_are_those_of_numpy(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "BLOCK_ROWS", rows)
    x = np.random.default_rng(0).normal(1e4, 0.01, (50, 2, 3)).astype(np.float32)
    x[:, 1, 2] = 0.1  # constant
    mean, deviation = moments(x)
    flat = x.reshape(50, -1).astype(np.float64)
    np.testing.assert_allclose(mean, flat.mean(0), rtol=1e-12)
    np.testing.assert_allclose(deviation[:5], flat.std(0)[:5], rtol=1e-9)
    assert deviation[5] == 0
    part = Rows(x, np.arange(10, 20))
    np.testing.assert_allclose(moments(part)[0], flat[10:20].mean(0), rtol=1e-12)
    assert next(b.shape for _, b in blocks(x)) == (min(rows, 50), 6)
