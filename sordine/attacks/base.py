"""What an attacker is given: rows to learn from, rows to choose by, rows to be tried on, and secrets to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SURE = 1.64  # standard errors
SPANS = (2.0**-20, 2.0**40)  # of a number that attackers take as it is


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
    """Mean and scale (d,) float32 of some rows; a column that does not vary has scale 1, so that it stays at 0."""
    part = x[rows]
    mean = part.mean(0, dtype=np.float64).astype(np.float32)
    scale = part.std(0, dtype=np.float64).astype(np.float32)
    varies = part.max(0) > part.min(0)
    return mean, np.where(varies & (scale > 0), scale, np.float32(1))


def at_scale(x: np.ndarray) -> np.ndarray:
    """Records (n, *shape) in which each number that spans very little or very much spans 1 to 2, by a power of two, so that nothing
    is lost: a secret written in 1e-13 is read like any other. The same array where there is no such number."""
    if not len(x) or not np.issubdtype(x.dtype, np.floating):
        return x
    span = x.max(0).astype(np.float64) - x.min(0)
    odd = np.isfinite(span) & (span > 0) & ((span < SPANS[0]) | (span > SPANS[1]))
    if not odd.any():
        return x
    power = np.where(odd, 1 - np.frexp(np.where(odd, span, 1.0))[1], 0)
    return np.asarray(np.ldexp(x, power.astype(np.int32)))


def usual(secret: Secret, rows: np.ndarray) -> int:
    """The most frequent class among some rows; 0 where none is labelled."""
    labels = secret.labels[rows]
    return int(np.bincount(labels[labels >= 0], minlength=1).argmax())


def right(secret: Secret, rows: np.ndarray, predicted: np.ndarray) -> float:
    """Share of the labelled rows predicted right; 0 where none is labelled."""
    labels = secret.labels[rows]
    known = labels >= 0
    return float((predicted[known] == labels[known]).mean()) if known.any() else 0.0


def taken(likely: np.ndarray, frequent: np.ndarray, least: bool) -> np.ndarray:
    """The likeliest class of each record, or the one that is least likely for how frequent it is: (n, classes), (classes,) -> (n,). A
    class that was never seen is neither."""
    if not least:
        return np.asarray(likely.argmax(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(frequent > 0, likely / frequent, np.inf).argmin(1))


def surest(
    tried: Sequence[np.ndarray], frequent: np.ndarray, secret: Secret, validation: np.ndarray
) -> tuple[int, bool]:
    """Which of several attackers reads the validation rows best, each by the likeliest class, the first of equals; and whether the least
    likely one is taken instead: only where that reads more, and more than the most frequent class by what luck hardly brings (one-sided
    95 %), as among many classes at chance one in two would. tried: (n, classes) of the validation rows each."""
    scores = {
        (i, least): right(secret, validation, taken(likely, frequent, least))
        for least in (False, True)
        for i, likely in enumerate(tried)
    }
    plain, other = (max((k for k in scores if k[1] is least), key=lambda k: scores[k]) for least in (False, True))
    labels = secret.labels[validation]
    labels = labels[labels >= 0]
    if not len(labels):
        return plain
    guess = float(np.bincount(labels).max() / len(labels))
    bar = max(scores[plain], guess + SURE * float(np.sqrt(guess * (1 - guess) / len(labels))))
    return other if scores[other] > bar else plain


def frequencies(secret: Secret, rows: np.ndarray) -> np.ndarray:
    """The share of each class among the labelled rows: (classes,)."""
    labels = secret.labels[rows]
    count = np.bincount(labels[labels >= 0], minlength=secret.classes)
    return np.asarray(count / max(count.sum(), 1))
