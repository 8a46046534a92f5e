"""Principal axes of wide records, in bounded memory: a picture's thousands of numbers become at most 512."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

WIDEST = 2048  # numbers a record; wider ones are told by their axes
AXES = 512
LEARNT = 2000  # records that the axes are learnt from, evenly spaced
_BLOCK = 1 << 26  # bytes worked on at a time


@dataclass(frozen=True)
class Axes:
    """mean, scale: (d,) float32 of all records, the scale of a constant column 1. along: (d, k) float32, orthonormal."""

    mean: np.ndarray
    scale: np.ndarray
    along: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Records (n, *shape) -> where each lies on the axes, the longest first: (n, k) float32."""
        out = np.empty((len(x), self.along.shape[1]), np.float32)
        for rows, part in _blocks(x):
            out[rows] = ((part - self.mean) / self.scale) @ self.along
        return out


def principal_axes(x: np.ndarray, count: int = AXES) -> Axes:
    """The principal axes of records (n, *shape), standardised column by column; fewer than `count` where there are no more.

    They are those of `LEARNT` records, by the eigenvectors of the matrix of their inner products: records, not columns,
    are what there is little of.
    """
    mean, scale = moments(x)
    scale = np.where(scale > 0, scale, np.float32(1))  # `moments` gives exactly 0 where nothing varies
    some = np.unique(np.linspace(0, len(x) - 1, min(len(x), LEARNT)).round().astype(np.int64))
    z = (np.asarray(x[some], np.float32).reshape(len(some), -1) - mean) / scale
    z -= z.mean(0)
    length, weights = np.linalg.eigh((z @ z.T).astype(np.float64))
    longest = np.argsort(-length, kind="stable")[:count]
    longest = longest[length[longest] > 1e-6 * max(float(length.max()), 1e-12)]
    along = z.T @ (weights[:, longest] / np.sqrt(length[longest])).astype(np.float32)
    return Axes(mean, scale, along)


def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (d,) float32 of each number of records (n, *shape), in two passes over them: a large mean does not
    drown a small spread."""
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
