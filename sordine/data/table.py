"""Table: records, their labels, and the side of the split that each record is on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from sordine.data.continuous import QuantileClasses, check_values, quantile_classes, require_variation
from sordine.data.reading.frames import plain_value
from sordine.data.reading.source import reason, warn
from sordine.data.rounding import loses_digits
from sordine.data.splits import keyed_ranks, stratified_parts, whole_groups
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.policy import Policy

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from sordine.data.reading.options import ReadOptions

MAX_CLASSES = 100
LARGEST = 1e15  # squares of larger numbers, summed over a table, leave the range of float32
BLOCK_BYTES = 1 << 26  # of records that are processed at a time
TEST_SHARE = 4  # one record in four is a test record


class Rows:
    """Some rows of a mapped array: indexing loads only the rows that are indexed.

    Parameters
    ----------
    base
        The whole array, for example mapped from a file.
    index
        Positions of the rows in it.
    """

    def __init__(self, base: np.ndarray, index: np.ndarray) -> None:
        self.base, self.index = base, index
        self.shape: tuple[int, ...] = (len(index), *base.shape[1:])
        self.dtype = base.dtype
        self.ndim = base.ndim

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self.base[self.index[rows]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.base[self.index], dtype=dtype)


def are_pictures(shape: Sequence[int], dtype: Any) -> bool:
    """Return whether records of this shape and dtype are pictures: (1 or 3 channels, height, width) uint8."""
    return np.dtype(dtype) == np.uint8 and len(shape) == 3 and shape[0] in (1, 3)


@dataclass(frozen=True)
class Table:
    """A data set of n records.

    The constructor takes class codes. `Table.of`, `from_pandas` and `read` take labels as values, of which -1 is a
    class like any other, and encode them.

    Attributes
    ----------
    x
        (n, *shape) float32, or uint8 pictures: an array, a mapped array or `Rows`.
    y
        Attribute name -> (n,) int64 class codes, -1 where unlabelled.
    ids
        (n,) unique strings.
    classes
        Attribute name -> class names by code.
    split
        (n,) bool, True for training records; None where not yet decided.
    group
        (n,) int64; records of one group stay on one side of the split.
    source
        Where the table came from, for messages.
    features
        Names of the columns that x was made from.
    notes
        Which columns were left out, and why, in sentences.
    extra
        Columns of an audited release that were left out: (n,) numbers or strings.
    rows_of
        Where the ids are row numbers, a digest of the table that they count (`rows_digest`); "" where ids were given.
    targets
        Continuous attributes: name -> (n,) float32, or (n, k) of an embedding, NaN where unlabelled. `y` and `classes`
        hold their quantile classes under the same name (`with_continuous`).
    quantiles
        The quantile classes of each continuous attribute; those of the whole table, also in a part of it.
    rounded
        Whether x had 64 bits and lost digits that 32 bits do not hold.
    types
        Arrow types of the attributes as they were read, for `to_arrow`; text where there is none.
    """

    x: Any
    y: dict[str, np.ndarray]
    ids: np.ndarray
    classes: dict[str, tuple[str, ...]]
    split: np.ndarray | None = None
    group: np.ndarray | None = None
    source: str = "memory"
    features: tuple[str, ...] = ("x",)
    notes: tuple[str, ...] = field(default=())
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    rows_of: str = ""
    targets: dict[str, np.ndarray] = field(default_factory=dict)
    quantiles: dict[str, QuantileClasses] = field(default_factory=dict)
    rounded: bool = False
    types: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record."""
        return tuple(self.x.shape[1:])

    @property
    def width(self) -> int:
        """Number of values in one record."""
        return int(np.prod(self.shape))

    @property
    def pictures(self) -> bool:
        """Whether the records are uint8 pictures (c, h, w); see `are_pictures`."""
        return are_pictures(self.shape, self.x.dtype)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes, in the order of the table."""
        return tuple(self.y)

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        attributes: Mapping[str, Sequence[Any] | np.ndarray],
        *,
        ids: Sequence[str] | np.ndarray | None = None,
        split: Sequence[str] | np.ndarray | None = None,
        group: Sequence[Any] | np.ndarray | None = None,
        source: str = "memory",
        check: bool = True,
    ) -> Table:
        """Return a table of arrays.

        Parameters
        ----------
        x
            (n, *shape).
        attributes
            Name -> n labels of any plain type, as values and not as codes: None, NaN, pandas' NA and "" mean
            unlabelled; every other value is a class, -1 too.
        ids
            Unique strings; by default row numbers.
        split, group
            "train" or "test" for each record, and n labels.
        source
            Origin, for messages.
        check
            False accepts NaN and repeated ids; the audit loads broken releases this way.

        Raises
        ------
        SordineError
            Where a record or a column is wrong; the message names the first one.
        """
        given, x = x, _records(x, source)
        n = len(x)
        _check_columns(n, {"id": ids, "split": split, "group": group}, attributes, source)
        names = np.array(row_ids(n) if ids is None else [str(plain_value(i)) for i in ids], dtype=object)
        if check:
            if ids is not None and any(map(is_missing, ids)):
                raise SordineError(f"{source}: column 'id' has a missing value; every record needs an id")
            check_ids(names, source)
            check_finite(x, names, source)
        y, classes = {}, {}
        for name, column in attributes.items():
            y[name], classes[name] = encode(column, f"{source}: column {name!r}")
            warn_of_alike(classes[name], f"{source}: column {name!r}")
        return cls(
            x=x,
            y=y,
            ids=names,
            classes=classes,
            split=None if split is None else read_split(split, source),
            group=None if group is None else encode(group, f"{source}: column 'group'")[0],
            source=source,
            rows_of=rows_digest(blocks_of(x)) if ids is None else "",
            rounded=not isinstance(given, Rows) and loses_digits(np.asarray(given)),
        )

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        features: Sequence[str] | None = None,
        *,
        continuous: Sequence[str] = (),
        source: str = "data frame",
        options: ReadOptions | None = None,
    ) -> Table:
        """Return a table made of a data frame, its rows in order.

        `id`, `split` and `group` are used where present. Other columns of at most 100 classes are attributes, as in
        files.

        Parameters
        ----------
        frame
            One row a record: a data frame of pandas or Polars, a pyarrow table, a DuckDB relation, a data set of
            Hugging Face, or any other object with `__arrow_c_stream__`.
        features
            Columns that make x. By default the one column of vectors, else every column of decimal numbers that are not
            all whole. The log names them.
        continuous
            Numeric columns that are continuous attributes; they are no features.
        source
            Where the frame came from, for messages.
        options
            New names of columns, and how labels are compared.

        Raises
        ------
        SordineError
            Where it is no data frame, a named column is missing or not numeric, or a record is wrong.
        """
        from sordine.data.table_io import read_frame

        return read_frame(frame, features, continuous=continuous, source=source, options=options)

    @classmethod
    def from_pandas(
        cls,
        frame: pd.DataFrame,
        features: Sequence[str] | None = None,
        *,
        continuous: Sequence[str] = (),
        source: str = "data frame",
    ) -> Table:
        """Return a table made of a pandas DataFrame; see `from_frame`, which takes other data frames too."""
        return cls.from_frame(frame, features, continuous=continuous, source=source)

    def to_arrow(self) -> pa.Table:
        """Return id, split, group, the attributes and x as a pyarrow table.

        Attributes have the types that they were read with. Polars, DuckDB and other libraries also take the `Table`
        itself, through `__arrow_c_stream__`.
        """
        from sordine.data.table_io import arrow_table

        return arrow_table(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the columns of `to_arrow` as a pandas DataFrame."""
        return self.to_arrow().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    @classmethod
    def read(
        cls,
        path: str | Path,
        features: Sequence[str] = (),
        *,
        named: Sequence[str] = (),
        like: Table | None = None,
        check: bool = True,
        log: Callable[[str], None] | None = None,
        options: ReadOptions | None = None,
    ) -> Table:
        """Return the table in a file of any known format; see `sordine.data.table_io.read_table`."""
        from sordine.data.table_io import read_table

        return read_table(path, features, named=named, like=like, check=check, log=log, options=options)

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Write id, split, attributes and x as one Parquet file; see `sordine.data.table_io.write_table`."""
        from sordine.data.table_io import write_table

        write_table(self, path, force=force)

    def take(self, rows: np.ndarray) -> Table:
        """Return the table of some rows (positions or a mask); a mapped x is not copied."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        base = self.x
        if isinstance(base, Rows):
            x: Any = Rows(base.base, base.index[rows])
        elif isinstance(base, np.memmap):
            x = Rows(base, rows)
        else:
            x = base[rows]
        return replace(
            self,
            x=x,
            y={name: codes[rows] for name, codes in self.y.items()},
            extra={name: values[rows] for name, values in self.extra.items()},
            targets={name: values[rows] for name, values in self.targets.items()},
            ids=self.ids[rows],
            split=None if self.split is None else self.split[rows],
            group=None if self.group is None else self.group[rows],
        )

    def part(self, side: Literal["train", "test"]) -> Table:
        """Return one side of the split.

        Raises
        ------
        SordineError
            Where the split is not decided or the side is empty.
        """
        return self.take(self._side(side))

    def _side(self, side: Literal["train", "test"]) -> np.ndarray:
        if self.split is None:
            raise SordineError(f"{self.source}: the table has no split; call with_split first")
        rows = self.split if side == "train" else ~self.split
        if not rows.any():
            raise SordineError(f"{self.source}: the split has no {side} record; change column 'split' or 'group'")
        return rows

    def require_labels(self, names: Sequence[str], side: Literal["train", "test"], *, together: bool = False) -> None:
        """Check that attributes are labelled on one side of the split.

        Parameters
        ----------
        names
            Attributes.
        side
            Of the split.
        together
            Whether some record must have a label of every one of them.

        Raises
        ------
        SordineError
            Where no record has the labels; the message names the attribute and the side.
        """
        rows = self._side(side)
        known = [self.y[name][rows] >= 0 for name in names]
        remedy = "label some records, or choose another split (columns 'split' and 'group')"
        for name, has in zip(names, known, strict=True):
            if not has.any():
                raise SordineError(f"{self.source}: no {side} record has a label of {name!r}; {remedy}")
        if together and names and not np.logical_and.reduce(known).any():
            every = " and ".join(map(repr, names))
            raise SordineError(f"{self.source}: no {side} record has a label of {every} at once; {remedy}")

    def batch(self, rows: np.ndarray | slice) -> torch.Tensor:
        """Return some records as a float32 tensor (b, *shape), unscaled."""
        return torch.from_numpy(np.array(self.x[rows], dtype=np.float32))

    def flat(self) -> np.ndarray:
        """Return all records as (n, width) float32; a mapped x is loaded into memory."""
        return np.asarray(self.x, dtype=np.float32).reshape(len(self), -1)

    def with_x(self, x: Any) -> Table:
        """Return the same records with another x."""
        return replace(self, x=x)

    def with_continuous(self, targets: Mapping[str, np.ndarray], *, check: bool = True) -> Table:
        """Return this table with continuous attributes, and their quantile classes as attributes of the same names.

        Parameters
        ----------
        targets
            Name -> (n,) numbers, or (n, k) vectors; NaN means unlabelled.
        check
            False accepts infinity, which counts as unlabelled; `require` reports it.

        Raises
        ------
        SordineError
            Where the number of values is not that of the records, or a value is infinite.
        """
        found, made = dict(self.targets), dict(self.quantiles)
        for name, values in targets.items():
            where = f"{self.source}: column {name!r}"
            if len(values) != len(self):
                raise SordineError(f"{where} has {len(values)} values for {len(self)} records")
            found[name] = check_values(values, where) if check else np.asarray(values, np.float32)
            made[name] = quantile_classes(found[name])
        return replace(self, targets=found)._binned(made)

    def with_classes_of(self, other: Table) -> Table:
        """Return this table with continuous attributes in the quantile classes of another table."""
        shapes = {name: values.shape[1:] for name, values in other.targets.items()}
        same = [name for name, values in self.targets.items() if shapes.get(name) == values.shape[1:]]
        return self._binned({**self.quantiles, **{name: other.quantiles[name] for name in same}})

    def _binned(self, quantiles: dict[str, QuantileClasses]) -> Table:
        y = {**self.y, **{name: quantiles[name].codes(values) for name, values in self.targets.items()}}
        classes = {**self.classes, **{name: quantiles[name].names for name in self.targets}}
        return replace(self, y=y, classes=classes, quantiles=quantiles)

    def with_split(self, policy: Policy, key: Key) -> Table:
        """Return this table with its split decided.

        A split that the table has stays. Otherwise whole groups are test records, where there are groups; otherwise one
        record in four is, stratified over the suppressed and preserved attributes. The order of rows does not matter.

        Parameters
        ----------
        policy
            Its suppressed and preserved attributes are the strata.
        key
            Key of the draw.

        Raises
        ------
        SordineError
            Where a side would be empty.
        """
        if self.split is not None:
            split = self.split
        elif self.group is not None:
            split = ~whole_groups(key, "split", self.ids, self.group, len(self) / TEST_SHARE)
        else:
            strata = [self.y[name] for name in (*policy.suppress, *policy.preserve) if name in self.y]
            split = stratified_parts(keyed_ranks(key, "split", self.ids), strata, TEST_SHARE) != TEST_SHARE - 1
        for side, rows in (("train", split), ("test", ~split)):
            if not rows.any():
                raise SordineError(f"{self.source}: {len(self)} records give no {side} record; add records")
        return replace(self, split=split)

    def require(self, policy: Policy) -> Policy:
        """Return the policy resolved on this table, after checking each suppressed or preserved attribute.

        Raises
        ------
        SordineError
            For an unknown attribute, one without labels, one with a single class, or one with a class of one record
            (that record cannot be on both sides of a split).
        """
        for name in (*policy.suppress, *policy.preserve):
            why = [note for note in self.notes if note.startswith(f"column {name!r} is left out")]
            if name not in self.y and why:
                raise SordineError(f"{self.source}: {name!r} cannot be an attribute: {why[0]}")
        resolved = policy.resolve(self.attributes)
        for name in (*resolved.suppress, *resolved.preserve):
            self.require_variation(name)
            self._require_classes(name)
        return resolved

    def require_variation(self, name: str) -> None:
        """Raise SordineError where an attribute is continuous, and infinite, without labels or of one value only."""
        if name in self.targets:
            require_variation(self.targets[name], f"{self.source}: attribute {name!r}")

    def _require_classes(self, name: str) -> None:
        """Raise SordineError where an attribute has fewer than two classes, or a class of one record."""
        where = f"{self.source}: attribute {name!r}"
        counts = np.bincount(self.y[name][self.y[name] >= 0], minlength=len(self.classes[name]))
        if not counts.any():
            raise SordineError(f"{where} has no labels; label some records, or remove it from the policy")
        if (counts > 0).sum() < 2:
            only = self.classes[name][int(counts.argmax())]
            raise SordineError(
                f"{where} has one class only ({only!r}); at least two are needed, so remove it from the policy"
            )
        single = np.flatnonzero(counts == 1)
        if len(single):
            more = f" (and {len(single) - 1} more)" if len(single) > 1 else ""
            raise SordineError(
                f"{where}: class {self.classes[name][int(single[0])]!r}{more} has one record; at least two are needed: "
                "merge the class, drop the record or leave its label empty"
            )


def _check_columns(n: int, beside: Mapping[str, Any], attributes: Any, source: str) -> None:
    """Raise SordineError where a column is none, or has another number of values than there are records."""
    if not isinstance(attributes, Mapping):
        raise SordineError(f"{source}: attributes is {type(attributes).__name__}; give a mapping of name -> labels")
    for name, column in [*beside.items(), *attributes.items()]:
        if column is None and name in beside:
            continue
        if not (hasattr(column, "__len__") and hasattr(column, "__iter__")):
            raise SordineError(f"{source}: {name!r} is {type(column).__name__}; give {n} values, one for each record")
        if len(column) != n:
            raise SordineError(f"{source}: column {name!r} has {len(column)} values for {n} records")


def row_ids(n: int, first: int = 0) -> list[str]:
    """Return row numbers as ids."""
    return [f"row-{i:07d}" for i in range(first, first + n)]


def is_missing(value: Any) -> bool:
    """Return whether a label is missing: None, NaN, NaT, pandas' NA or an empty string.

    Every other value is a class, also -1.
    """
    if value is None or type(value).__name__ == "NAType":
        return True
    return bool(value != value) or value == ""


def blocks_of(x: Any) -> Iterator[np.ndarray]:
    """Yield records (n, *shape) in blocks of at most `BLOCK_BYTES` as float32, in their own type."""
    most = max(1, BLOCK_BYTES // (4 * max(1, int(np.prod(x.shape[1:], dtype=np.int64)))))
    return (np.asarray(x[start : start + most]) for start in range(0, len(x), most))


def rows_digest(blocks: Iterable[np.ndarray], features: Sequence[str] = ("x",)) -> str:
    """Return a digest of records and their order, in hexadecimal.

    Parameters
    ----------
    blocks
        Records in blocks (b, *shape); the sizes of the blocks make no difference.
    features
        Names of the columns. Where each feature has its own column, their order makes no difference.
    """
    digest = hashlib.blake2b(digest_size=20)
    order = np.argsort(np.array(features))
    for block in blocks:
        named = len(features) > 1 and block.shape[1:2] == (len(features),)
        digest.update(np.ascontiguousarray(block[:, order] if named else block).data)
    return digest.hexdigest()


def _records(x: Any, source: str) -> np.ndarray:
    """Return records as an array of float32, or of uint8 where they are bytes. `Rows` stay as they are."""
    if not isinstance(x, Rows):
        try:
            x = x if isinstance(x, np.ndarray) else np.asarray(x)
            x = x if x.dtype == np.uint8 else np.asarray(x, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise _no_numbers(source, error) from None
    if x.shape[:1] == (0,):
        raise SordineError(f"{source}: the table has no records; at least one is needed")
    if x.ndim < 2 or 0 in x.shape:
        raise SordineError(f"{source}: x has shape {x.shape}; it must be (n, width) or larger, without a 0")
    return x


def _no_numbers(source: str, error: Exception) -> SordineError:
    return SordineError(f"{source}: the records must be numbers, in rows of one length ({reason(error)})")


def encode(column: Sequence[Any] | np.ndarray, where: str = "labels") -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class codes of labels given as values, and the names of the classes.

    Parameters
    ----------
    column
        n labels. One that `is_missing` is unlabelled; every other value, also -1, is a class.
    where
        Start of the error message.

    Returns
    -------
    codes, classes
        (n,) int64, -1 where unlabelled; class names in sorted order of the values.

    Raises
    ------
    SordineError
        Where a label is a list or another value that cannot be a class.
    """
    values = column.tolist() if isinstance(column, np.ndarray) else list(column)
    values = [v if v is None or isinstance(v, str | int | float | np.generic) else plain_value(v) for v in values]
    try:
        present = {v for v in set(values) if not is_missing(v)}
    except TypeError:
        raise SordineError(f"{where} has lists or other values that are no classes; use text or numbers") from None
    try:
        order = sorted(present)
    except TypeError:
        order = sorted(present, key=str)
    code = {v: i for i, v in enumerate(order)}
    return np.array([code.get(v, -1) for v in values], dtype=np.int64), tuple(map(str, order))


def warn_of_alike(classes: Sequence[str], where: str) -> None:
    """Log a warning where classes differ only in case, in blanks, or in the type of their values."""
    alike: dict[str, list[str]] = {}
    for name in classes:
        alike.setdefault(" ".join(name.split()).casefold(), []).append(name)
    found = [names for names in alike.values() if len(names) > 1]
    if found:
        quoted = ", ".join(map(repr, found[0][:4]))
        more = f" (and {len(found) - 1} more such groups)" if len(found) > 1 else ""
        warn(f"{where} has classes that look alike: {quoted}{more}; --normalise-labels joins them")


def read_split(column: Sequence[Any] | np.ndarray, source: str) -> np.ndarray:
    """Return a column of "train" and "test" as (n,) bool, True for "train".

    Raises
    ------
    SordineError
        For any other value, or where a side is empty.
    """
    values = [str(v) for v in column]
    unknown = set(values) - {"train", "test"}
    if unknown:
        raise SordineError(f"{source}: column 'split' contains {min(unknown)!r}; use 'train' and 'test' only")
    split = np.array([v == "train" for v in values])
    for side, rows in (("train", split), ("test", ~split)):
        if not rows.any():
            raise SordineError(f"{source}: column 'split' has no {side!r} record; at least one is needed")
    return split


def check_ids(ids: np.ndarray, source: str) -> None:
    """Raise SordineError, naming the first one, where an id occurs twice."""
    if len(set(ids)) == len(ids):
        return
    earlier: set[str] = set()
    for i, name in enumerate(ids):
        if name in earlier:
            raise SordineError(
                f"{source}: id {name!r} occurs twice (again in row {i}); ids must be unique, so rename a column "
                "that holds none"
            )
        earlier.add(name)


def check_finite(x: Any, ids: Sequence[str] | np.ndarray, source: str, block: int = 65536) -> None:
    """Raise SordineError, naming the first one, where a record has NaN, infinity or a number beyond 1e15."""
    if x.dtype == np.uint8:
        return
    for start in range(0, len(x), block):
        part = np.asarray(x[start : start + block]).reshape(min(block, len(x) - start), -1)
        bad = ~(np.abs(part) < LARGEST).all(1)  # also true of NaN
        if bad.any():
            row = start + int(bad.argmax())
            raise SordineError(
                f"{source}: record {ids[row]!r} (row {row}) contains NaN, infinity or a number beyond {LARGEST:g}; "
                "replace the value or remove the record"
            )
