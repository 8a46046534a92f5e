"""Means, spreads and covariances of a table, read in blocks: float64 sums, so that size costs no accuracy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sordine.data.table import Table

BLOCK_ROWS, BLOCK_BYTES = 16384, 1 << 28


def blocks(table: Table) -> Iterator[tuple[slice, np.ndarray]]:
    """(rows, x (b, width) float64) over the whole table."""
    most = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (8 * table.width)))
    for start in range(0, len(table), most):
        rows = slice(start, min(start + most, len(table)))
        x = np.asarray(table.x[rows], dtype=np.float64)
        yield rows, x.reshape(len(x), -1)


def moments(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Each column's mean and standard deviation: two (width,) float64 arrays. Two passes, so that a large mean does not
    drown a small spread."""
    mean = np.zeros(table.width)
    for _, x in blocks(table):
        mean += x.sum(0)
    mean /= len(table)
    square = np.zeros(table.width)
    for _, x in blocks(table):
        square += ((x - mean) ** 2).sum(0)
    return mean, np.sqrt(square / len(table))
