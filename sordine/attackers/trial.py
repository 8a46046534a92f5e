"""What an attacker is given: rows to learn from, rows to choose by, rows to be tried on, and secrets to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trial:
    """Positions in a table: `train` and `validation` are the attacker's own data, `tried` is read once."""

    train: np.ndarray
    validation: np.ndarray
    tried: np.ndarray


@dataclass(frozen=True)
class Secret:
    """labels: (n,) class codes of all rows, -1 unlabelled. classes: how many there are."""

    labels: np.ndarray
    classes: int


# (x (n, d) float32, or pictures (n, c, h, w), trial, secrets, seed, device) -> for each secret, predicted codes of the tried
# rows (m,)
Family = Callable[[np.ndarray, Trial, Sequence[Secret], int, str], list[np.ndarray]]


def standardise(x: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale (d,) float32 of some rows; a constant column has scale 1, so that it stays at 0."""
    mean = x[rows].mean(0, dtype=np.float64)
    scale = x[rows].std(0, dtype=np.float64)
    return mean.astype(np.float32), np.where(scale > 1e-12, scale, 1.0).astype(np.float32)


def usual(secret: Secret, rows: np.ndarray) -> int:
    """The most frequent class among some rows; 0 where none is labelled."""
    labels = secret.labels[rows]
    return int(np.bincount(labels[labels >= 0], minlength=1).argmax())


def right(secret: Secret, rows: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the labelled rows predicted right; 0 where none is labelled."""
    labels = secret.labels[rows]
    known = labels >= 0
    return float((predicted[known] == labels[known]).mean()) if known.any() else 0.0
