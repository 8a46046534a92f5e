"""Mixed tables: one-hot classes and standardised numbers, in two passes over the records."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from sordine.data.table_io import named_columns
from sordine.errors import SordineError, nearest
from sordine.features.base import Blocks, TableExtractor, TableMap

NEVER = ("id", "split", "group")
MISSING = "(missing)"
HEAVY = 2.0  # skewness from which a number is replaced by its signed logarithm


@dataclass(frozen=True)
class Columns(TableExtractor):
    """Columns of a table as one vector: 0 or 1 for each class of a string, boolean or dictionary column, and numbers.

    Missing values of a column are a separate class. A number is standardised over all records; a missing one is 0, with
    an indicator. A number with a skewness beyond 2 or -2 is standardised after sign(v) log(1 + |v|), and its name in
    x is log:NAME. Left out, with a note: classes beyond the `max_classes` most frequent, columns that never change,
    lists, dates. Adult with labels=income,sex,race gives 6 numbers and 95 classes (3 of them for missing values): 101.

    Parameters
    ----------
    labels
        Comma-separated names of columns that are attributes only and do not enter x.
    max_classes
        Most classes of one column, at least 1.
    """

    labels: str = ""
    max_classes: Annotated[int, Field(ge=1)] = 100

    version: ClassVar[int] = 1

    def fit_table(self, blocks: Blocks, features: tuple[str, ...], where: str) -> TableMap:
        """Return the map of one table, after a pass that counts classes and computes moments."""
        encoders: list[Number | Classes] = []
        notes: list[str] = []
        passing: tuple[str, ...] | None = None
        row = 0
        for block in blocks():
            if passing is None:
                passing = self._names(block.schema, features, where)
                encoders, notes = _encoders(block.schema, passing)
            for encoder in encoders:
                encoder.count(block.column(encoder.name), row, where)
            row += len(block)
        used = []
        for encoder in encoders:
            notes += encoder.settle(self.max_classes)
            if encoder.names:
                used.append(encoder)
        if not used:
            raise SordineError(f"{where}: no column is left for x; for list columns, use the extractor windows")

        def encode(block: pa.RecordBatch, row: int) -> np.ndarray:
            parts = [encoder.encode(block.column(encoder.name)) for encoder in used]
            return np.concatenate(parts, axis=1).astype(np.float32)

        names = tuple(name for encoder in used for name in encoder.names)
        floats = tuple(e.name for e in used if isinstance(e, Number) and e.decimal)
        details = {"numbers": {e.name: e.scale() for e in used if isinstance(e, Number)}}
        return TableMap(names, encode, consumed=floats, notes=tuple(notes), details=details)

    def _names(self, schema: pa.Schema, features: tuple[str, ...], where: str) -> tuple[str, ...]:
        labels = tuple(name.strip() for name in self.labels.split(",") if name.strip())
        features = named_columns(features, [name for name in schema.names if name not in (*NEVER, *labels)])
        for what, names in (("label", labels), ("feature", features)):
            for name in names:
                if name not in schema.names:
                    raise SordineError(f"{where}: unknown column {name!r} for a {what}; {nearest(name, schema.names)}")
                if name in NEVER:
                    raise SordineError(f"{where}: column {name!r} has a fixed meaning and cannot be a {what}")
                if what == "feature" and name in labels:
                    raise SordineError(f"{where}: column {name!r} is both a label and a feature")
        wanted = dict.fromkeys(features) or dict.fromkeys(schema.names)
        return tuple(name for name in wanted if name not in (*NEVER, *labels))


def _encoders(schema: pa.Schema, names: tuple[str, ...]) -> tuple[list[Number | Classes], list[str]]:
    encoders: list[Number | Classes] = []
    notes = []
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
            encoders.append(Classes(name))
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
            encoders.append(Classes(name))
        elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            encoders.append(Number(name, decimal=not pa.types.is_integer(kind)))
        else:
            notes.append(f"column {name!r} is left out of x: {kind} is neither a number nor a class")
    return encoders, notes


@dataclass
class Classes:
    """One column of classes: counted in the first pass, one-hot in the second."""

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    classes: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()

    def count(self, column: pa.Array, row: int, where: str) -> None:
        """Count one block's classes."""
        plain = as_text(column)
        self.missing += plain.null_count
        for pair in pc.value_counts(plain.drop_null()).to_pylist():
            self.counts[pair["values"]] += pair["counts"]

    def settle(self, most: int) -> list[str]:
        """Choose the classes, in alphabetical order, missing last; return notes on what is left out."""
        common = sorted(self.counts, key=lambda c: (-self.counts[c], c))
        self.classes = sorted(common[:most])
        if len(self.classes) + bool(self.missing) < 2:
            return [f"column {self.name!r} is left out of x: it never changes"]
        self.names = tuple(f"{self.name}={c}" for c in [*self.classes, *([MISSING] if self.missing else [])])
        if not common[most:]:
            return []
        records = sum(self.counts[c] for c in common[most:])
        rare = f"{len(common) - most} rare classes ({records} records) are left out of x"
        return [f"column {self.name!r}: {rare}, beyond the {most} most frequent"]

    def encode(self, column: pa.Array) -> np.ndarray:
        """Return (n, classes) of 0 and 1."""
        plain = as_text(column)
        code = pc.fill_null(pc.index_in(plain, pa.array(self.classes, pa.string())), -1).to_numpy(zero_copy_only=False)
        hot = np.zeros((len(column), len(self.names)))
        known = np.flatnonzero(code >= 0)
        hot[known, code[known]] = 1
        if self.missing:
            hot[:, -1] = plain.is_null().to_numpy(zero_copy_only=False)
        return hot


@dataclass
class Number:
    """One column of numbers: moments, also of its signed logarithm, in the first pass; standardised in the second."""

    name: str
    decimal: bool
    n: int = 0
    missing: int = 0
    raw: np.ndarray = field(default_factory=lambda: np.zeros(3))
    log: np.ndarray = field(default_factory=lambda: np.zeros(3))
    heavy: bool = False
    names: tuple[str, ...] = ()

    def count(self, column: pa.Array, row: int, where: str) -> None:
        """Add one block's moments. Raises SordineError, with the row, for infinity."""
        values = as_numbers(column)
        endless = np.flatnonzero(np.isinf(values))
        if len(endless):
            raise SordineError(
                f"{where}: row {row + endless[0]}: column {self.name!r} contains infinity; replace it or leave it empty"
            )
        known = values[~np.isnan(values)]
        self.missing += len(values) - len(known)
        if len(known):
            self.raw = merge(self.n, self.raw, known)
            self.log = merge(self.n, self.log, signed_log(known))
            self.n += len(known)

    def settle(self, most: int) -> list[str]:
        """Choose the scale; return notes on what is left out or replaced by its logarithm."""
        moments = self.raw[1] > 1e-18 * (1 + self.raw[0] ** 2) * max(self.n, 1)
        skew = np.sqrt(self.n) * self.raw[2] / self.raw[1] ** 1.5 if moments else 0.0
        self.heavy = bool(abs(skew) > HEAVY)
        gap = (f"{self.name}={MISSING}",) if self.missing and self.n else ()
        if not moments:
            self.names = gap
            return [f"column {self.name!r} is left out of x: {'it never changes' if self.n else 'it is empty'}"]
        self.names = (f"log:{self.name}" if self.heavy else self.name, *gap)
        if not self.heavy:
            return []
        return [f"column {self.name!r} enters x as its signed logarithm: its skewness is {skew:.1f}"]

    def scale(self) -> dict[str, float | bool]:
        """Return mean and standard deviation of the number or its logarithm, and whether it is the logarithm."""
        mean, squares, _ = self.log if self.heavy else self.raw
        return {"log": self.heavy, "mean": float(mean), "std": float(np.sqrt(squares / max(self.n, 1)))}

    def encode(self, column: pa.Array) -> np.ndarray:
        """Return (n, 1 or 2): the standardised number, and an indicator of missing values where there are any."""
        values = as_numbers(column)
        gap = np.isnan(values)
        parts = []
        if len(self.names) - bool(self.missing):
            scale = self.scale()
            number = signed_log(values) if self.heavy else values
            parts.append(np.where(gap, 0.0, (number - scale["mean"]) / scale["std"]))
        if self.missing:
            parts.append(gap.astype(float))
        return np.stack(parts, axis=1)


def as_text(column: pa.Array) -> pa.Array:
    """Return a column of classes as strings; an empty string is missing."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    plain = column.cast(pa.string())
    return pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)


def as_numbers(column: pa.Array) -> np.ndarray:
    """Return a column of numbers as (n,) float64, NaN where missing."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def signed_log(values: np.ndarray) -> np.ndarray:
    """Return sign(v) log(1 + |v|)."""
    return np.sign(values) * np.log1p(np.abs(values))


def merge(n: int, moments: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return mean, sum of squared and sum of cubed deviations of n earlier values and new ones.

    Pairwise update of Chan et al., 1983 (the cube: Pebay, 2008, eq. 2.1), which loses no digits, unlike sums of powers.
    """
    m, mean = len(values), values.mean()
    squares, cubes = np.square(values - mean).sum(), ((values - mean) ** 3).sum()
    if not n:
        return np.array([mean, squares, cubes])
    apart, total = mean - moments[0], n + m
    return np.array(
        [
            moments[0] + apart * m / total,
            moments[1] + squares + apart**2 * n * m / total,
            moments[2]
            + cubes
            + apart**3 * n * m * (n - m) / total**2
            + 3 * apart * (n * squares - m * moments[1]) / total,
        ]
    )
