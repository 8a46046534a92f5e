"""How far released records lie from their originals."""

from __future__ import annotations

from typing import Any

import numpy as np

from sordine.errors import SordineError

BLOCK = 1 << 22  # numbers that are compared at a time


def l2_distance(before: np.ndarray, after: np.ndarray) -> float:
    """Return the mean over records of |x' - x| (MaSS, equation 4, without its weight): (n, ...), (n, ...)."""
    before, after = np.asarray(before), np.asarray(after)
    if before.shape != after.shape or not before.size:
        raise SordineError(f"metrics: records to compare must have one shape, not {before.shape} and {after.shape}")
    moved = (after.astype(np.float64) - before.astype(np.float64)).reshape(len(before), -1)
    return float(np.mean(np.linalg.norm(moved, axis=1)))


def distortion(before: Any, after: Any, scale: np.ndarray) -> dict[str, float]:
    """Return how far released records lie from their originals.

    Parameters
    ----------
    before, after
        Records (n, *shape), originals and released; arrays or mapped arrays of float32.
    scale
        (width,) standard deviation of each number of the originals.

    Returns
    -------
    dict
        `l2` and `mean_absolute` in the unit of the records; `relative_rms` in standard deviations of each number.
        Empty where the two shapes differ.
    """
    if before.shape != after.shape:
        return {}
    width = int(np.prod(before.shape[1:]))
    varies = scale > 0
    l2, absolute, relative = np.zeros(3)
    step = max(1, BLOCK // width)  # in blocks: several copies of all wide records may not fit in memory
    for start in range(0, len(before), step):
        original = np.asarray(before[start : start + step], np.float32).reshape(-1, width)
        released = np.asarray(after[start : start + step]).reshape(-1, width)
        moved = (released - original).astype(np.float64)
        l2 += l2_distance(original, released) * len(original)
        absolute += np.abs(moved).sum()
        relative += np.square(moved[:, varies] / scale[varies]).sum()
    size = len(before) * width
    return {
        "l2": float(l2 / len(before)),
        "mean_absolute": float(absolute / size),
        "relative_rms": float(np.sqrt(relative / (len(before) * varies.sum()))) if varies.any() else 0.0,
    }
