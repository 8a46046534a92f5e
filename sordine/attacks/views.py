"""Views: the same records in other coordinates. A leak that is hidden in one can be plain in another."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from sordine.attacks.base import moments
from sordine.attacks.principal_axes import longest_axes
from sordine.keys import numpy_rng

PAIRS = 400  # of records, whose distances are measured


def standardised(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return records (n, d) whose numbers have mean 0 and variance 1 among some rows, float32."""
    mean, scale = moments(x, rows)
    return np.asarray((x - mean) / scale, np.float32)


def positions(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return how many of some rows each number exceeds, equal ones by half: (n, d) float32."""
    ordered = np.sort(x[rows], 0)
    below = np.empty(x.shape, np.float32)
    for j in range(x.shape[1]):
        sides = [np.searchsorted(ordered[:, j], x[:, j], side) for side in ("left", "right")]
        below[:, j] = (sides[0] + sides[1]) / 2
    return below


def ranked(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return normal scores (n, d) of each number's rank among some rows: extreme values lose their weight."""
    return standardised(ndtri((positions(x, rows) + 0.5) / (len(rows) + 1)).astype(np.float32), rows)


def whitened(z: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return standardised records on their longest principal axes, each with variance 1: (n, k) float32."""
    on = z @ longest_axes(z[rows] - z[rows].mean(0))
    return standardised(on, rows) if on.shape[1] else z[:, :1]


def reduced(z: np.ndarray, labels: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers whose class means differ most among labelled rows: (n, count or fewer).

    Parameters
    ----------
    z
        (n, d) standardised records.
    labels
        (n,) class codes.
    rows
        Labelled rows from which the numbers are chosen.
    count
        How many numbers.
    """
    member = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[rows]]
    size = member.sum(0)
    sums = member.T @ z[rows]
    between = (sums**2 / np.maximum(size, 1)[:, None]).sum(0)
    return z[:, np.sort(np.argsort(-between, kind="stable")[:count])]


def median_distance(z: np.ndarray, seed: int, purpose: str) -> float:
    """Return the median distance of two records (n, d), from `PAIRS` random pairs; 1 where all are equal."""
    rng = numpy_rng(seed, purpose)
    first, second = (z[rng.integers(0, len(z), PAIRS)] for _ in range(2))
    distance = np.sqrt(np.square(first - second, dtype=np.float64).sum(1))
    distance = distance[distance > 0]
    return float(np.median(distance)) if len(distance) else 1.0
