"""Plants: leaks of a known size, put into a copy of a release to learn whether attacks find leaks of that size.

The size of a plant is the leakage (NAG, where a perfect attacker counts as 1) of the best possible attack on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from sordine.errors import SordineError, nearest
from sordine.keys import numpy_rng

CODED = (16, 256)  # how often the classes follow each other in a comb, in four standard deviations
LOWEST = 2  # a message lies in the lowest bits, or up to so many bits higher
AT = np.linspace(-9, 9, 6001)
GRID, WIDTHS = np.sinh(AT), np.cosh(AT) * (AT[1] - AT[0])  # of a standardised number, to integrate over: fine near 0
FARTHEST, WIDEST_SPREAD = 60.0, 6.0  # largest shift between classes, and logarithm of their spreads
STEPS = 30  # of bisection
LOOKED_AT = 2000  # records by which numbers that can carry a leak are chosen
REPEATED = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)  # shares of records that have the same value of a number
MOST_NUMBERS = 3  # that carry a leak in few numbers

Make = Callable[["_Case"], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A kind of leak.

    Parameters
    ----------
    numbers
        How many numbers of a record carry it; None: all of them.
    make
        Makes new values (n, numbers) of these numbers; or, for a kind that moves labels, a score (n,) of each record.
    drawn
        For a kind that moves labels: a random number (n,) for each label, whose distribution depends on the class. The
        record with the highest score gets the label with the highest number. So records keep their values, and only
        the score gives a class away, however the numbers of a record depend on each other.
    """

    numbers: int | None
    make: Make
    drawn: Callable[[_Case], np.ndarray] | None = None

    @property
    def moves(self) -> bool:
        return self.drawn is not None


@dataclass(frozen=True)
class Plant:
    """A planted leak: other values (n, k) float32 of some numbers (k,) of every record, or other labels (n,)."""

    numbers: np.ndarray
    values: np.ndarray
    labels: np.ndarray | None = None
    order: np.ndarray | None = None  # (n,): the records whose values they get, instead of other labels


@dataclass(frozen=True)
class Planter:
    """Plants leaks of known size in copies of one release.

    Parameters
    ----------
    x
        (n, *shape) released records.
    labels
        (n,) class codes; unlabelled records (-1) are left as they are.
    classes
        Number of classes.
    """

    x: np.ndarray
    labels: np.ndarray
    classes: int

    def plant(self, kind: str, size: float, seed: int = 0) -> Plant:
        """Return the numbers that a plant changes, and their values.

        Parameters
        ----------
        kind
            One of `KINDS`.
        size
            Leakage of the best possible attack on the plant, between 0 and 1: its accuracy is the baseline plus `size`
            times what is missing to 1. For "near copies" it is the share of the records in pairs that are
            nearly equal: the leakage for an attacker that knows the other record of every pair.
        seed
            Which numbers of a record carry the leak, and which records.

        Raises
        ------
        SordineError
            For an unknown kind or a size out of range.
        OutOfReach
            Where records of so many classes cannot carry such a leak.
        """
        if kind not in KINDS:
            raise SordineError(f"plants: unknown kind {kind!r}; {nearest(kind, KINDS)}")
        if not 0 <= size <= 1:
            raise SordineError(f"plants: size is {size}; it must lie between 0 and 1")
        about, rng = KINDS[kind], numpy_rng(seed, f"plant {kind}")
        width, count = self._flat.shape[1], about.numbers
        few = np.arange(width) if count is None else rng.choice(self.varied, min(count, width), replace=False)
        known = self.labels >= 0
        raw = self._flat[np.ix_(known, few)] if count is not None else self._flat[known]
        mean, scale = self._moments[0][few], self._moments[1][few]
        case = _Case(self, raw, (raw - mean) / scale, mean, scale, self.labels[known], size, rng)
        if about.drawn is not None:
            return self._moved(about.make(case), about.drawn(case))
        values = self._flat[:, few]
        values[known] = about.make(case)
        return Plant(few, values)

    def _moved(self, score: np.ndarray, drawn: np.ndarray) -> Plant:
        # The record with the highest score gets the label with the highest drawn number, and so on.
        rows = np.flatnonzero(self.labels >= 0)
        by_score, by_draw = rows[np.argsort(score, kind="stable")], rows[np.argsort(drawn, kind="stable")]
        labels, order = self.labels.copy(), np.arange(len(self.labels))
        labels[by_score], order[by_draw] = self.labels[by_draw], by_score
        return Plant(np.arange(0), np.empty((len(labels), 0), np.float32), labels, order)

    def planted(self, kind: str, size: float, seed: int = 0) -> np.ndarray:
        """Return a copy of the release with a plant: (n, *shape) float32. Labels stay; numbers keep their bits."""
        made = self.plant(kind, size, seed)
        whole = self._flat.copy() if made.order is None else self._flat[made.order]
        whole[:, made.numbers] = made.values
        return whole.reshape(self.x.shape)

    @cached_property
    def varied(self) -> np.ndarray:
        """Positions of numbers of which few records share a value; where there are too few, the most varied ones.

        A number of few values cannot carry every leak. So a plant in it would be smaller than its size.
        """
        some = self._flat[np.flatnonzero(self.labels >= 0)[:LOOKED_AT]]
        ordered = np.sort(some, 0)
        widths = [max(1, int(share * len(some))) for share in REPEATED]
        least = [np.flatnonzero(~(ordered[w:] == ordered[:-w]).any(0)) for w in widths]
        return next((p for p in least if len(p) >= MOST_NUMBERS), np.arange(some.shape[1]))

    @cached_property
    def shares(self) -> tuple[float, ...]:
        """The share of each class among labelled records."""
        known = self.labels[self.labels >= 0]
        return tuple((np.bincount(known, minlength=self.classes) / max(len(known), 1)).tolist())

    @cached_property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal axes (d, k) of the standardised records, and the standard deviations (k,) along them."""
        z = (self._flat[self.labels >= 0] - self._moments[0]) / self._moments[1]
        square, axes = np.linalg.eigh(z.T.astype(np.float64) @ z / len(z))
        keep = square > 1e-4 * square.max()
        return axes[:, keep].astype(np.float32), np.sqrt(square[keep])

    @cached_property
    def _flat(self) -> np.ndarray:
        return np.asarray(self.x, np.float32).reshape(len(self.x), -1)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        known = self._flat[self.labels >= 0]
        scale = known.std(0)
        return known.mean(0), np.where(scale > 0, scale, np.float32(1))


@dataclass(frozen=True)
class _Case:
    # Labelled records: the numbers that carry the leak (n, k), as they are and standardised; their classes.
    planter: Planter
    raw: np.ndarray
    z: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    labels: np.ndarray
    size: float
    rng: np.random.Generator

    @property
    def shares(self) -> np.ndarray:
        return np.array(self.planter.shares)

    @property
    def wanted(self) -> float:
        # Accuracy of the best attack on a plant of this size.
        baseline = max(self.planter.shares)
        return baseline + self.size * (1 - baseline)

    def back(self, z: np.ndarray) -> np.ndarray:
        # Standardised numbers in their own units. What was not changed keeps its bits.
        return np.asarray(np.where(z != self.z, z * self.scale + self.mean, self.raw), np.float32)


def plant(x: np.ndarray, labels: np.ndarray, classes: int, kind: str, size: float, seed: int = 0) -> np.ndarray:
    """Return a copy of released records with a planted leak: see `Planter`."""
    return Planter(x, labels, classes).planted(kind, size, seed)


# ------------------------------------------------------------------------------ kinds that write a message into numbers


def _message(case: _Case) -> np.ndarray:
    """Return a class for each record: the true one for a share of the records, a random one for the others."""
    true = case.rng.random(len(case.labels)) < _true_share(case.planter.shares, case.wanted)
    drawn = case.rng.choice(len(case.shares), len(case.labels), p=case.shares)
    return np.where(true, case.labels, drawn)


@lru_cache(4096)
def _true_share(shares: tuple[float, ...], wanted: float) -> float:
    p, top = np.array(shares), max(shares)
    return _solve(lambda q: float(np.sum(p * np.maximum(q + (1 - q) * p, (1 - q) * top))), wanted, 0.0, 1.0)


def _quantile_bins(column: np.ndarray, classes: int) -> np.ndarray:
    return np.minimum((rankdata(column, "ordinal") - 1) * classes // len(column), classes - 1).astype(np.int64)


def _sum_of_bins(case: _Case) -> np.ndarray:
    # The last number is moved to the interval of its range that makes the sum of all intervals the message.
    z, classes = case.z.copy(), len(case.shares)
    others = sum(_quantile_bins(column, classes) for column in z.T[:-1])
    wanted = (_message(case) - others) % classes
    z[:, -1] = ndtri((wanted + case.rng.uniform(0.001, 0.999, len(z))) / classes)
    return case.back(z)


def _comb(case: _Case) -> np.ndarray:
    classes = len(case.shares)
    width = 4 / _teeth(case.rng) / classes
    tooth = np.floor(case.z[:, 0] / width)
    tooth += (_message(case) - tooth) % classes
    return case.back(((tooth + case.rng.uniform(0, 1, len(tooth))) * width)[:, None])


def _teeth(rng: np.random.Generator) -> float:
    # How often the classes follow each other in four standard deviations.
    low, high = np.log(CODED)
    return float(np.exp(rng.uniform(low, high)))


def _few_records(case: _Case) -> np.ndarray:
    # These records hold their class openly, in a number that lies outside the range of the others.
    z = case.z.copy()
    open_ = case.rng.random(len(z)) < case.size
    z[open_, 0] = np.abs(z).max() + 1 + case.labels[open_]
    return case.back(z)


def _last_bits(case: _Case) -> np.ndarray:
    bits, lowest = int(len(case.shares) - 1).bit_length(), int(case.rng.integers(LOWEST + 1))
    column = np.ascontiguousarray(case.raw[:, 0]).view(np.uint32)
    mask, message = np.uint32((2**bits - 1) << lowest), _message(case).astype(np.uint32) << np.uint32(lowest)
    return ((column & ~mask) | message).view(np.float32)[:, None]


# ------------------------------------------------------------------------------------ kinds that move a distribution


def _scores(classes: int) -> np.ndarray:
    """Return a number for each class, equally spaced, with mean 0 and variance 1."""
    scores = np.arange(classes) - (classes - 1) / 2
    return scores / max(float(scores.std()), 1e-12)


def _shifted(case: _Case) -> np.ndarray:
    """Return normal numbers whose mean depends on the class."""
    shift = _shift(case.planter.shares, case.wanted)
    return np.asarray(case.rng.normal(size=len(case.labels)) + shift * _scores(len(case.shares))[case.labels])


@lru_cache(4096)
def _shift(shares: tuple[float, ...], wanted: float) -> float:
    p, scores = np.array(shares), _scores(len(shares))

    def best(shift: float) -> float:
        density = np.exp(-((GRID[:, None] - shift * scores) ** 2) / 2) / np.sqrt(2 * np.pi)
        return float((p * density).max(1) @ WIDTHS)

    return _solve(best, wanted, 0.0, FARTHEST)


def _spread(case: _Case) -> np.ndarray:
    """Return normal numbers whose spread depends on the class."""
    spread = np.exp(_strength(case.planter.shares, case.wanted) * _scores(len(case.shares)))
    return np.asarray(case.rng.normal(size=len(case.labels)) * spread[case.labels])


@lru_cache(4096)
def _strength(shares: tuple[float, ...], wanted: float) -> float:
    p, scores = np.array(shares), _scores(len(shares))

    def best(strength: float) -> float:
        spread = np.exp(strength * scores)
        density = np.exp(-((GRID[:, None] / spread) ** 2) / 2) / spread / np.sqrt(2 * np.pi)
        return float((p * density).max(1) @ WIDTHS)

    return _solve(best, wanted, 0.0, WIDEST_SPREAD)


def _one_number(case: _Case) -> np.ndarray:
    # Equal values are in random order.
    return rankdata(case.z[:, 0]) + case.rng.uniform(-0.25, 0.25, len(case.z))


def _all_numbers(case: _Case) -> np.ndarray:
    # A random direction, in standard deviations of the records along their principal axes.
    axes, length = case.planter.axes
    return np.asarray(case.z @ (axes @ (case.rng.normal(size=len(length)) / length).astype(np.float32)))


def _squares(case: _Case) -> np.ndarray:
    # Along each principal axis, a high score goes with more spread, or with less.
    axes, length = case.planter.axes
    signs = case.rng.choice([-1.0, 1.0], len(length)).astype(np.float32)
    return np.asarray(((case.z @ axes) / length.astype(np.float32)) ** 2 @ signs)


def _near_copies(case: _Case) -> np.ndarray:
    # Pairs of records of one class that are nearly equal.
    z = case.z.copy()
    for c in range(len(case.shares)):
        members = case.rng.permutation(np.flatnonzero(case.labels == c))
        pairs = round(case.size * len(members) / 2)
        one, other = members[:pairs], members[pairs : 2 * pairs]
        z[other] = z[one] + 0.01 * case.rng.normal(size=(pairs, z.shape[1]))
    return case.back(z)


class OutOfReach(SordineError):
    """Records of so many classes cannot carry a leak of this kind and size."""


def _solve(rising: Callable[[float], float], wanted: float, low: float, high: float) -> float:
    if rising(high) < wanted - 1e-6:
        raise OutOfReach("plants: so many classes cannot carry a leak of this kind and size; make it smaller")
    for _ in range(STEPS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


KINDS: dict[str, Kind] = {
    "mean of one number": Kind(1, _one_number, _shifted),
    "mean of all numbers": Kind(None, _all_numbers, _shifted),
    "scale of one number": Kind(1, _one_number, _spread),
    "covariance": Kind(None, _squares, _shifted),
    "combination of two numbers": Kind(2, _sum_of_bins),
    "combination of three numbers": Kind(3, _sum_of_bins),
    "fine intervals of one number": Kind(1, _comb),
    "last bits of one number": Kind(1, _last_bits),
    "few records": Kind(1, _few_records),
    "near copies": Kind(None, _near_copies),
}
