"""Views of records that the screening searches: too many columns to keep, but their sums are quick to compute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations

import numpy as np

from sordine.attacks.views import positions, standardised

PAIRED, TRIPLED = 1024, 40  # most numbers of a record that products of two and of three are made of
BLOCK = 64  # numbers of a record whose waves are summed together
BINS = 2048  # of a number's range, for its periods
# Steps of a period count: the range is padded with empty bins up to so many times its length, unless there are many.
FINER, WIDE = 4, 128
PERIODS = (8, 512)  # fewest and most periods in a number's range
BITS = 4  # lowest bits of a number
DIGITS = 6  # most decimal places
SAMPLE = 64  # records that rule out decimal places of a column


@dataclass(frozen=True)
class Columns:
    """Columns of records (n, d), of which some were replaced."""

    base: np.ndarray
    new: Mapping[int, np.ndarray] = field(default_factory=dict)

    def take(self, chosen: np.ndarray) -> np.ndarray:
        """Return some columns: (n, len(chosen)), a copy."""
        out = self.base[:, chosen]
        for at, column in enumerate(chosen.tolist()) if self.new else ():
            if column in self.new:
                out[:, at] = self.new[column]
        return np.asarray(out)

    def replaced(self, positions: np.ndarray, values: np.ndarray) -> Columns:
        """Return the columns with other values (n, k) at some positions (k,)."""
        return Columns(self.base, {**self.new, **dict(zip(positions.tolist(), values.T, strict=True))})


@dataclass(frozen=True)
class Changed:
    """A view in which some numbers of the records have other values.

    Parameters
    ----------
    view
        The view with these values.
    positions
        The columns that changed.
    sums
        (n, labels) weights of all records -> sums of these columns, (labels, columns).
    """

    view: View
    positions: np.ndarray
    sums: Callable[[np.ndarray], np.ndarray]


class View(ABC):
    """Columns of records: their sums, weighted by columns of labels, and chosen ones of all records.

    Attributes
    ----------
    many
        Whether classes are grouped where there are many of them, because the view has very many columns.
    """

    many: bool = False

    @abstractmethod
    def sums(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the sums of all columns over some rows (k,), weighted by (k, labels) >= 0: (labels, columns)."""

    @abstractmethod
    def column(self, chosen: np.ndarray) -> np.ndarray:
        """Return chosen columns of all records, the best first: (n, len(chosen) or more)."""

    @abstractmethod
    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> Changed:
        """Return the view with other values (n, k) of some numbers (k,) of the records."""


def views_of(x: np.ndarray, own: np.ndarray, on_axes: bool) -> tuple[View, ...]:
    """Return every view of records (n, d), scaled by the attacker's own ones."""

    def scaled(values: np.ndarray) -> np.ndarray:
        return standardised(values, own)

    z = scaled(x)
    paired, tripled = (most_varying(x[own], most) for most in (PAIRED, TRIPLED))

    def signs(values: np.ndarray) -> np.ndarray:
        return np.where(values > np.median(values[own], 0), np.float32(1), np.float32(-1))

    signed = signs(x)
    plain = [
        Plain(Columns(z), scaled, x.shape[1]),
        Plain(Columns(_ranks(z, own)), lambda values: _ranks(scaled(values), own), x.shape[1]),
        Plain(Columns(scaled(z * z)), lambda values: scaled(scaled(values) ** 2), x.shape[1]),
    ]
    if not on_axes:
        low = scaled(_low_digits(x))
        plain.append(Plain(Columns(low), lambda values: scaled(_low_digits(values)), x.shape[1]))
    return (
        *plain,
        Waves.of(x, own),
        Pairs(Columns(z[:, paired]), paired, scaled),
        Pairs(Columns(signed[:, paired]), paired, signs),
        Triples(Columns(signed[:, tripled]), tripled, signs),
    )


def most_varying(x: np.ndarray, most: int) -> np.ndarray:
    """Return the numbers of a record that vary most, in their order: at most `most`."""
    return np.sort(np.argsort(-x.var(0), kind="stable")[:most])


@dataclass(frozen=True)
class Plain(View):
    """One or several columns for each number.

    Parameters
    ----------
    columns
        (n, blocks * width): a block holds one column for each number.
    make
        Makes the columns (n, blocks * k) of numbers (n, k).
    width
        How many numbers a record has.
    """

    columns: Columns
    make: Callable[[np.ndarray], np.ndarray]
    width: int

    def sums(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.asarray(weights.T @ self.columns.base[rows])

    def column(self, chosen: np.ndarray) -> np.ndarray:
        return self.columns.take(chosen)

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> Changed:
        made = self.make(values)
        blocks = self.columns.base.shape[1] // self.width
        positions = np.concatenate([numbers + block * self.width for block in range(blocks)])
        view = replace(self, columns=self.columns.replaced(positions, made))
        return Changed(view, positions, lambda weights: weights.T @ made)


def _ranks(z: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return each number's position among those of the attacker's records: (n, d), standardised."""
    return standardised(positions(z, own), own)


def _low_digits(x: np.ndarray) -> np.ndarray:
    """Return the lowest bits of each number, and whether its last decimal digit is odd."""
    x = np.ascontiguousarray(x, np.float32)
    bits = x.view(np.uint32)
    low = [((bits >> k) & 1).astype(np.float32) for k in range(BITS)]
    return np.concatenate([*low, _odd_digits(x)], 1)


def _odd_digits(x: np.ndarray) -> np.ndarray:
    # 1 where the last decimal digit of a number is odd. The number of decimal places is that of the column; a column
    # of more than `DIGITS` places stays 0.
    odd = np.zeros(x.shape, np.float32)
    left = np.arange(x.shape[1])
    for places in range(DIGITS + 1):
        for some in (x[:SAMPLE], x):  # few records rule out most columns
            scaled = some[:, left].astype(np.float64) * 10.0**places
            whole = np.rint(scaled)
            slack = 1e-6 * np.maximum(np.abs(scaled), 1)
            fits = (np.abs(scaled - whole) <= slack).all(0) & (np.abs(whole).max(0, initial=0) < 2**24)
            if some is not x:
                others, left = left[~fits], left[fits]
        odd[:, left[fits]] = np.mod(whole[:, fits], 2)
        left = np.sort(np.concatenate([others, left[~fits]]))
        if not len(left):
            break
    return odd


@dataclass(frozen=True)
class Waves(View):
    """Waves of each number: columns are numbers of (number of the record, period).

    Parameters
    ----------
    place
        (n, d): where a number lies in its range among the attacker's records, 0 to 1.
    own
        The attacker's records.
    finer
        Steps of a period count.
    """

    place: Columns
    own: np.ndarray
    finer: int
    many = True

    @classmethod
    def of(cls, x: np.ndarray, own: np.ndarray) -> Waves:
        """Return the waves of records (n, d)."""
        return cls(Columns(_place(x, own)), own, FINER if x.shape[1] <= WIDE else 1)

    @property
    def periods(self) -> tuple[int, int]:
        """Fewest and most periods, in steps."""
        return self.finer * PERIODS[0], self.finer * PERIODS[1]

    def sums(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return self._sums(self.place.base[rows], weights)

    def column(self, chosen: np.ndarray) -> np.ndarray:
        fewest, most = self.periods
        place = self.place.take(chosen // (most - fewest)).astype(np.float64)
        angle = 2 * np.pi * place * (chosen % (most - fewest) + fewest) / self.finer
        return np.stack([np.cos(angle), np.sin(angle)], 2).reshape(len(place), -1).astype(np.float32)

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> Changed:
        place = _place(values, self.own)
        fewest, most = self.periods
        positions = (numbers[:, None] * (most - fewest) + np.arange(most - fewest)).ravel()
        view = replace(self, place=self.place.replaced(numbers, place))
        return Changed(view, positions, lambda weights: self._sums(place, weights))

    def _sums(self, place: np.ndarray, weights: np.ndarray) -> np.ndarray:
        fewest, most = self.periods
        bins = np.clip((place * BINS).astype(np.int64), 0, BINS - 1)
        found = np.empty((weights.shape[1], place.shape[1], most - fewest), np.complex64)
        for start in range(0, place.shape[1], BLOCK):
            some = bins[:, start : start + BLOCK]
            count = some.shape[1]
            held_at = (some + BINS * np.arange(count)).ravel()
            for label, weight in enumerate(weights.T):
                held = np.bincount(held_at, np.repeat(weight, count), count * BINS).astype(np.float32)
                waves = np.fft.rfft(held.reshape(count, BINS), self.finer * BINS, axis=1)
                found[label, start : start + count] = waves[:, fewest:most] * np.float32(np.sqrt(2))
        return found.reshape(weights.shape[1], -1)


def _place(x: np.ndarray, own: np.ndarray) -> np.ndarray:
    low, high = x[own].min(0), x[own].max(0)
    return np.asarray((x - low) / np.where(high > low, high - low, 1))


Make = Callable[[np.ndarray], np.ndarray]  # numbers (n, k) -> factors (n, k)


@dataclass(frozen=True)
class Pairs(View):
    """Products of two factors. A factor belongs to one number.

    Parameters
    ----------
    factors
        (n, k).
    numbers
        (k,) the number of each factor.
    make
        Makes factors.
    """

    factors: Columns
    numbers: np.ndarray
    make: Make
    many = True

    def sums(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        own, (first, second) = self.factors.base[rows], _pairs(len(self.numbers))
        found = np.empty((weights.shape[1], len(first)), np.float32)
        for label, weight in enumerate(weights.T):
            has = weight > 0
            some = own[has] * np.sqrt(weight[has])[:, None]
            found[label] = (some.T @ some)[first, second]  # NumPy computes one half of a matrix times its transpose
        return found

    def column(self, chosen: np.ndarray) -> np.ndarray:
        first, second = _pairs(len(self.numbers))
        return self.factors.take(first[chosen]) * self.factors.take(second[chosen])

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> Changed:
        at, made = _made(self, numbers, values)
        factors = self.factors.replaced(at, made)
        count = len(self.numbers)
        others = [np.delete(np.arange(count), i) for i in at.tolist()]
        each_with = [_pair_number(np.full(count - 1, i), o, count) for i, o in zip(at.tolist(), others, strict=True)]
        # Two replaced factors make a pair that is found twice.
        positions, first = np.unique(np.concatenate([at[:0], *each_with]), return_index=True)

        def sums(weights: np.ndarray) -> np.ndarray:
            found = []
            for i, column in zip(at.tolist(), made.T, strict=True):
                weighted = weights * column[:, None]
                each = weighted.T @ self.factors.base
                each[:, at] = weighted.T @ made
                found.append(np.delete(each, i, axis=1))
            return np.concatenate(found, 1)[:, first]

        return Changed(replace(self, factors=factors), positions, sums)


@dataclass(frozen=True)
class Triples(View):
    """Products of three factors, few enough to keep."""

    factors: Columns
    numbers: np.ndarray
    make: Make
    many = True

    def sums(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        own, of = self.factors.base[rows], _triples(len(self.numbers))
        first, second = _pairs(len(self.numbers))
        pair = _pair_number(of[:, 0], of[:, 1], len(self.numbers))
        products = own[:, first] * own[:, second]
        return np.stack([((products * weight[:, None]).T @ own)[pair, of[:, 2]] for weight in weights.T])

    def column(self, chosen: np.ndarray) -> np.ndarray:
        first, second, third = _triples(len(self.numbers))[chosen].T
        return self.factors.take(first) * self.factors.take(second) * self.factors.take(third)

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> Changed:
        at, made = _made(self, numbers, values)
        view = replace(self, factors=self.factors.replaced(at, made))
        positions = np.flatnonzero(np.isin(_triples(len(self.numbers)), at).any(1))
        return Changed(view, positions, lambda weights: weights.T @ view.column(positions))


def _made(view: Pairs | Triples, numbers: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of those numbers that have a factor, and the factors (n, k)."""
    has = np.isin(numbers, view.numbers)
    return np.searchsorted(view.numbers, numbers[has]), view.make(values[:, has])


@cache
def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    return np.triu_indices(count, 1)


def _pair_number(one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Return the position of pairs among those of `_pairs`."""
    low, high = np.minimum(one, other), np.maximum(one, other)
    return np.asarray(low * count - low * (low + 1) // 2 + high - low - 1)


@cache
def _triples(count: int) -> np.ndarray:
    return np.array(list(combinations(range(count), 3)), np.int64).reshape(-1, 3)
