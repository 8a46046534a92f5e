"""Plants: leaks of a known size, put into a copy of a release to learn whether attacks find leaks of that size.

The size of a plant is the leakage (NAG, where a perfect attacker counts as 1) of the best possible attack on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from sordine.errors import SordineError, nearest
from sordine.keys import numpy_rng

CODED = 64  # intervals of a comb in four standard deviations
GRID = np.linspace(-9, 9, 4001)  # of a standardised number, to integrate over
DRAWS = 4000  # records on which the best attack on covariances is computed
STEPS = 40  # of bisection


@dataclass(frozen=True)
class _Case:
    # Records (n, d), standardised column by column; their classes; shares of the classes; random numbers.
    z: np.ndarray
    labels: np.ndarray
    shares: np.ndarray
    size: float
    rng: np.random.Generator

    @property
    def wanted(self) -> float:
        # Accuracy of the best attack on a plant of this size.
        baseline = float(self.shares.max())
        return baseline + self.size * (1 - baseline)

    def columns(self, count: int) -> np.ndarray:
        return self.rng.choice(self.z.shape[1], min(count, self.z.shape[1]), replace=False)


def plant(x: np.ndarray, labels: np.ndarray, classes: int, kind: str, size: float, seed: int = 0) -> np.ndarray:
    """Return a copy of released records in which a leak of known size was planted.

    Parameters
    ----------
    x
        (n, *shape) released records.
    labels
        (n,) class codes; unlabelled records (-1) are left as they are.
    classes
        Number of classes.
    kind
        One of `KINDS`.
    size
        Leakage of the best possible attack on the plant, between 0 and 1: its accuracy is the baseline plus `size`
        times what is missing to 1. It is exact for normally distributed numbers. For "near copies" it is the share of
        the records that become copies, and the leakage depends on how many of the others an attacker knows.
    seed
        Which numbers of a record carry the leak, and which records.

    Returns
    -------
    numpy.ndarray
        (n, *shape) float32.

    Raises
    ------
    SordineError
        For an unknown kind or a size out of range.
    """
    if kind not in KINDS:
        raise SordineError(f"plants: unknown kind {kind!r}; {nearest(kind, KINDS)}")
    if not 0 <= size <= 1:
        raise SordineError(f"plants: size is {size}; it must lie between 0 and 1")
    known = labels >= 0
    flat = np.asarray(x, np.float32).reshape(len(x), -1)[known]
    mean, scale = flat.mean(0), flat.std(0)
    scale = np.where(scale > 0, scale, np.float32(1))
    shares = np.bincount(labels[known], minlength=classes) / max(known.sum(), 1)
    case = _Case((flat - mean) / scale, labels[known], shares, size, numpy_rng(seed, f"plant {kind}"))
    planted = np.array(x, np.float32)
    made = KINDS[kind](case)
    changed = made != case.z
    # Numbers that the plant leaves alone keep their bits.
    planted[known] = np.where(changed, made * scale + mean, flat).reshape(-1, *x.shape[1:])
    if kind == "last bit of one number":
        planted[known] = _with_last_bits(planted[known], case)
    return planted


# ------------------------------------------------------------------------------ kinds that write a message into numbers


def _message(case: _Case) -> np.ndarray:
    """Return a class for each record: the true one for a share of the records, a random one for the others."""
    p, top = case.shares, case.shares.max()

    def best(q: float) -> float:
        return float(np.sum(p * np.maximum(q + (1 - q) * p, (1 - q) * top)))

    q = _solve(best, case.wanted, 0.0, 1.0)
    drawn = case.rng.choice(len(p), len(case.labels), p=p)
    return np.where(case.rng.random(len(case.labels)) < q, case.labels, drawn)


def _quantile_bins(column: np.ndarray, classes: int) -> np.ndarray:
    return np.minimum((rankdata(column, "ordinal") - 1) * classes // len(column), classes - 1).astype(np.int64)


def _sum_of_bins(case: _Case, count: int) -> np.ndarray:
    # The last number is moved to the interval of its range that makes the sum of all intervals the message.
    z, classes = case.z.copy(), len(case.shares)
    columns = case.columns(count)
    others = sum(_quantile_bins(z[:, j], classes) for j in columns[:-1])
    wanted = (_message(case) - others) % classes
    z[:, columns[-1]] = ndtri((wanted + case.rng.uniform(0.001, 0.999, len(z))) / classes)
    return z


def _comb(case: _Case) -> np.ndarray:
    z, classes = case.z.copy(), len(case.shares)
    j = case.columns(1)[0]
    width = 4 / CODED / classes
    tooth = np.floor(z[:, j] / width)
    tooth += (_message(case) - tooth) % classes
    z[:, j] = (tooth + case.rng.uniform(0, 1, len(z))) * width
    return z


def _few_records(case: _Case) -> np.ndarray:
    # These records hold their class openly, in a number that lies outside the range of the others.
    z = case.z.copy()
    j = case.columns(1)[0]
    open_ = case.rng.random(len(z)) < case.size
    z[open_, j] = np.abs(z[:, j]).max() + 1 + case.labels[open_]
    return z


def _with_last_bits(x: np.ndarray, case: _Case) -> np.ndarray:
    """Write the message into the lowest bits of one number of each record."""
    shape = x.shape
    x = np.ascontiguousarray(x.reshape(len(x), -1))
    bits = int(len(case.shares) - 1).bit_length()
    j = case.columns(1)[0]
    column = np.ascontiguousarray(x[:, j]).view(np.uint32)
    column = (column >> np.uint32(bits) << np.uint32(bits)) | _message(case).astype(np.uint32)
    x[:, j] = column.view(np.float32)
    return x.reshape(shape)


# ------------------------------------------------------------------------------------ kinds that move a distribution


def _scores(classes: int) -> np.ndarray:
    """Return a number for each class, equally spaced, with mean 0 and variance 1."""
    scores = np.arange(classes) - (classes - 1) / 2
    return scores / max(float(scores.std()), 1e-12)


def _mean_of_one(case: _Case) -> np.ndarray:
    z, scores = case.z.copy(), _scores(len(case.shares))
    j = case.columns(1)[0]
    z[:, j] = _normal(z[:, j]) + _shift(case, scores) * scores[case.labels]
    return z


def _mean_of_all(case: _Case) -> np.ndarray:
    # A shift by one unit along a direction, measured in standard deviations of the records along it.
    scores = _scores(len(case.shares))
    axes, length = _axes(case.z)
    along = case.rng.normal(size=axes.shape[1])
    direction = axes @ (length * along / np.linalg.norm(along))
    return np.asarray(case.z + _shift(case, scores) * scores[case.labels][:, None] * direction)


def _shift(case: _Case, scores: np.ndarray) -> float:
    def best(shift: float) -> float:
        density = np.exp(-((GRID[:, None] - shift * scores) ** 2) / 2) / np.sqrt(2 * np.pi)
        return float((case.shares * density).max(1).sum() * (GRID[1] - GRID[0]))

    return _solve(best, case.wanted, 0.0, 8.0)


def _scale_of_one(case: _Case) -> np.ndarray:
    z, scores = case.z.copy(), _scores(len(case.shares))
    j = case.columns(1)[0]

    def best(strength: float) -> float:
        spread = np.exp(strength * scores)
        density = np.exp(-((GRID[:, None] / spread) ** 2) / 2) / spread / np.sqrt(2 * np.pi)
        return float((case.shares * density).max(1).sum() * (GRID[1] - GRID[0]))

    strength = _solve(best, case.wanted, 0.0, 1.5)
    z[:, j] = _normal(z[:, j]) * np.exp(strength * scores)[case.labels]
    return z


def _covariance(case: _Case) -> np.ndarray:
    # Along each principal axis, half of the classes spread more and half less.
    axes, _ = _axes(case.z)
    signs = case.rng.choice([-1.0, 1.0], (len(case.shares), axes.shape[1]))
    labels = case.rng.choice(len(case.shares), DRAWS, p=case.shares)
    noise = case.rng.normal(size=(DRAWS, axes.shape[1]))
    with np.errstate(divide="ignore"):
        prior = np.log(case.shares)

    def best(strength: float) -> float:
        spread = np.exp(strength * signs)
        drawn = (noise * spread[labels]) ** 2
        score = prior - np.log(spread).sum(1) - drawn @ (1 / spread**2).T / 2
        return float((score.argmax(1) == labels).mean())

    strength = _solve(best, case.wanted, 0.0, 1.0)
    on = case.z @ axes
    moved = on * np.exp(strength * signs)[case.labels]
    return np.asarray(case.z + (moved - on) @ axes.T)


def _near_copies(case: _Case) -> np.ndarray:
    # A share of the records become near copies of another record of their class.
    z = case.z.copy()
    chosen = np.flatnonzero(case.rng.random(len(z)) < case.size)
    for c in np.unique(case.labels[chosen]):
        members = np.flatnonzero(case.labels == c)
        copies = chosen[case.labels[chosen] == c]
        z[copies] = case.z[case.rng.choice(members, len(copies))]
    z[chosen] += 0.01 * case.rng.normal(size=(len(chosen), z.shape[1]))
    return z


def _normal(column: np.ndarray) -> np.ndarray:
    return np.asarray(ndtri((rankdata(column, "ordinal") - 0.5) / len(column)))


def _axes(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return principal axes (d, k) of records and the standard deviations (k,) along them."""
    square, axes = np.linalg.eigh(z.T.astype(np.float64) @ z / len(z))
    keep = square > 1e-4 * square.max()
    return axes[:, keep], np.sqrt(square[keep])


def _solve(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    for _ in range(STEPS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


KINDS: dict[str, Callable[[_Case], np.ndarray]] = {
    "mean of one number": _mean_of_one,
    "mean of all numbers": _mean_of_all,
    "scale of one number": _scale_of_one,
    "covariance": _covariance,
    "combination of two numbers": lambda case: _sum_of_bins(case, 2),
    "combination of three numbers": lambda case: _sum_of_bins(case, 3),
    "fine intervals of one number": _comb,
    "last bit of one number": lambda case: case.z,
    "few records": _few_records,
    "near copies": _near_copies,
}
