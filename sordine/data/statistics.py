"""Means and standard deviations of records, in blocks: sums in float64, so that many records cost no accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sordine.data.table import Table

BLOCK_ROWS, BLOCK_BYTES = 16384, 1 << 28
PREPARED_ROWS = 4096


def blocks(x: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, block) over all records, each block (b, width) float64.

    Parameters
    ----------
    x
        Records (n, *shape): an array, a mapped array or `Rows`.
    """
    width = int(np.prod(x.shape[1:], dtype=np.int64))
    most = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (8 * max(1, width))))
    for start in range(0, len(x), most):
        rows = slice(start, min(start + most, len(x)))
        block = np.asarray(x[rows], dtype=np.float64)
        yield rows, block.reshape(len(block), -1)


def moments(x: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each number of the records.

    Two passes, so that a large mean does not hide a small deviation; the deviation of a constant number is exactly 0.

    Parameters
    ----------
    x
        Records (n, *shape): an array, a mapped array or `Rows`.

    Returns
    -------
    mean, deviation
        (width,) float64 each.
    """
    width = int(np.prod(x.shape[1:], dtype=np.int64))
    mean = np.zeros(width)
    for _, block in blocks(x):
        mean += block.sum(0)
    mean /= len(x)
    square = np.zeros(width)
    for _, block in blocks(x):
        square += ((block - mean) ** 2).sum(0)
    return mean, np.sqrt(square / len(x))


def identity(x: Tensor) -> Tensor:
    """Return the records as they are: the default of functions that prepare records."""
    return x


def prepared_moments(
    table: Table, prepare: Callable[[Tensor], Tensor] = identity, device: str = "cpu"
) -> tuple[Tensor, Tensor, bool]:
    """Return the mean and the standard deviation of every number, and whether every record has norm 1.

    Parameters
    ----------
    table
        The records.
    prepare
        What is done to a block of records before: (b, *shape) to (b, *shape).
    device
        Where `prepare` computes.

    Returns
    -------
    mean, deviation
        (width,) float32 each, on the CPU. A deviation below a millionth of the largest one is 0.
    unit
        Whether the norm of every record is 1, within a thousandth.
    """

    def prepared(start: int) -> Tensor:
        return prepare(table.batch(slice(start, start + PREPARED_ROWS)).to(device)).flatten(1).cpu().double()

    total = torch.zeros(table.width, dtype=torch.float64)
    squares, unit = total.clone(), True
    origin = prepared(0).mean(0)  # near the mean, against cancellation
    for start in range(0, len(table), PREPARED_ROWS):
        x = prepared(start)
        unit = unit and bool((torch.linalg.vector_norm(x, dim=1) - 1).abs().max() < 1e-3)
        total += (x - origin).sum(0)
        squares += (x - origin).square().sum(0)
    mean = total / len(table)
    deviation = (squares / len(table) - mean.square()).clamp_min(0).sqrt()
    deviation[deviation < 1e-6 * deviation.max()] = 0
    return (mean + origin).float(), deviation.float(), unit
