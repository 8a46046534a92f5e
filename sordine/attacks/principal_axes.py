"""Principal axes of wide records, in bounded memory: the thousands of numbers of a picture become at most 512."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

WIDEST = 2048  # numbers of a record; wider records are represented by their principal axes
AXES = 512
LONGEST = 128  # axes of `longest_axes`
LEARNT = 2000  # evenly spaced records from which the axes are computed
_BLOCK = 1 << 26  # bytes at a time


@dataclass(frozen=True)
class Axes:
    """Principal axes.

    Parameters
    ----------
    mean, scale
        (d,) float32 of all records; the scale of a constant column is 1.
    along
        (d, k) float32, orthonormal.
    """

    mean: np.ndarray
    scale: np.ndarray
    along: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Project records (n, *shape) on the axes, the longest first: (n, k) float32."""
        out = np.empty((len(x), self.along.shape[1]), np.float32)
        for rows, part in _blocks(x):
            out[rows] = ((part - self.mean) / self.scale) @ self.along
        return out


def principal_axes(x: np.ndarray, count: int = AXES) -> Axes:
    """Return the principal axes of records (n, *shape), standardised column by column; at most `count`.

    They are computed from `LEARNT` records, as eigenvectors of the matrix of their inner products: there are fewer
    records than columns.
    """
    mean, scale = moments(x)
    scale = np.where(scale > 0, scale, np.float32(1))  # `moments` gives exactly 0 for a constant column
    some = np.unique(np.linspace(0, len(x) - 1, min(len(x), LEARNT)).round().astype(np.int64))
    z = (np.asarray(x[some], np.float32).reshape(len(some), -1) - mean) / scale
    z -= z.mean(0)
    length, weights = np.linalg.eigh((z @ z.T).astype(np.float64))
    longest = np.argsort(-length, kind="stable")[:count]
    longest = longest[length[longest] > 1e-6 * max(float(length.max()), 1e-12)]
    along = z.T @ (weights[:, longest] / np.sqrt(length[longest])).astype(np.float32)
    return Axes(mean, scale, along)


def longest_axes(z: np.ndarray) -> np.ndarray:
    """Return the longest principal axes of centred records (n, d), at most `LONGEST`: (d, k)."""
    if z.shape[1] > WIDEST:
        return principal_axes(z, LONGEST).along
    length, axes = np.linalg.eigh((z.T @ z).astype(np.float64) / len(z))
    keep = np.argsort(-length)[:LONGEST]
    return np.asarray(axes[:, keep[length[keep] > 1e-6 * max(float(length.max()), 1e-12)]], np.float32)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (d,) float32 of each number of records (n, *shape).

    Two passes over the records, so that a large mean does not hide a small spread.
    """
    width = int(np.prod(x.shape[1:]))
    mean, square = np.zeros(width), np.zeros(width)
    for _, part in _blocks(x):
        mean += part.sum(0, dtype=np.float64)
    mean = (mean / len(x)).astype(np.float32)
    for _, part in _blocks(x):
        square += np.square(part - mean).sum(0, dtype=np.float64)
    return mean, np.sqrt(square / len(x)).astype(np.float32)


def _blocks(x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    step = max(1, _BLOCK // (4 * int(np.prod(x.shape[1:]))))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, np.asarray(x[rows], np.float32).reshape(rows.stop - start, -1)
