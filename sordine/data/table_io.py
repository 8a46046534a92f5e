"""Read tables in blocks, so that no table needs to fit in memory, and write them as Parquet."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sordine.data.files import atomic, refuse_existing
from sordine.data.mapped_array import MappedArray
from sordine.data.reading.columns import RESERVED, is_binary, is_list, is_media_struct, is_vector, plain
from sordine.data.reading.files import open_file, table_address
from sordine.data.reading.frames import arrow_of
from sordine.data.reading.options import ReadOptions, current
from sordine.data.reading.source import READ_ERRORS, Source, of_arrow, reason, state
from sordine.data.rounding import loses_digits
from sordine.data.table import (
    MAX_CLASSES,
    Table,
    are_pictures,
    blocks_of,
    check_finite,
    check_ids,
    row_ids,
    rows_digest,
)
from sordine.errors import SordineError, nearest

MAX_WHOLE = 10  # as many values as quantile classes: with fewer, whole numbers stored as decimals are classes
LONGEST_TEXT = 200  # characters of a released value that is no label, of which checks look for classes
EXTRACT = "sordine.extract"  # metadata of a file that an extractor made: which one, with which options
ROWS = "sordine.rows"  # metadata of a file whose ids are row numbers of a table: the digest `Table.rows_of`
BLOCK_ROWS = 8192
BLOCK_BYTES = 1 << 26  # size of a block of x as float32; limits the rows of wide records
LABELS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_boolean, pa.types.is_integer)
# Blocks are joined until a row group has so many rows or bytes: many tiny groups make every reader slow.
GROUP_ROWS, GROUP_BYTES = 2048, 1 << 24


def memory_limit() -> int:
    """Return how many bytes of x may be in memory (`SORDINE_MEMORY`, default 1 GiB); a larger x is mapped."""
    given = os.environ.get("SORDINE_MEMORY", str(1 << 30))
    if not given.isdecimal():
        raise SordineError(f"SORDINE_MEMORY is {given!r}; set it to a number of bytes")
    return int(given)


def rows_at_once(shape: Sequence[int]) -> int:
    """Return how many records of this shape make a block: at most BLOCK_ROWS and BLOCK_BYTES, at least one."""
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // (4 * int(np.prod(shape, dtype=np.int64)))))


def plain_type(kind: pa.DataType) -> pa.DataType:
    """Return a type without its dictionary, which would carry values of records that are not written."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def feature_type(shape: Sequence[int], dtype: Any = np.float32) -> pa.DataType:
    """Return the Arrow type of the column x of records of this shape.

    A fixed-size list of float32 for records with one axis; else the fixed-shape tensor type, of uint8 for pictures
    (`are_pictures`) and of float32 otherwise.
    """
    shape = tuple(int(s) for s in shape)
    if len(shape) == 1:
        return pa.list_(pa.float32(), shape[0])
    return pa.fixed_shape_tensor(pa.uint8() if are_pictures(shape, dtype) else pa.float32(), shape)


def feature_array(x: np.ndarray) -> pa.Array:
    """Return records (n, *shape) as an Arrow array of `feature_type`, without a copy where type and layout allow."""
    dtype = np.uint8 if are_pictures(x.shape[1:], x.dtype) else np.float32
    flat = pa.array(np.ascontiguousarray(x, dtype=dtype).reshape(-1))
    storage = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(x.shape[1:])))
    if x.ndim == 2:
        return storage
    return pa.ExtensionArray.from_storage(feature_type(x.shape[1:], dtype), storage)


class TableFile:
    """An open table: its columns, and its rows in blocks. x is loaded block by block only.

    Parameters
    ----------
    path
        The file, or a folder of Parquet parts; or an opened `Source`.
    features
        Names of the columns that make x; a name with * stands for all columns of numbers or vectors that match. By
        default the one list column.
    lenient
        Of several list columns, take x. The audit uses this: a release may have more columns than it should.
    options
        How the file is read; None takes those of the innermost `reading` block.
    attributes
        Columns that are attributes, so that no pattern stands for them.

    Attributes
    ----------
    features, shape, dtype
        Names of the columns of x, the shape of one record, and its type: uint8 for pictures, else float32.
    rows
        Number of records.
    other
        Names of the other columns.
    rounded
        Whether a block of x that `x` returned had 64 bits and lost digits that 32 bits do not hold.

    Raises
    ------
    SordineError
        Where the file is missing or unreadable, or its features cannot be determined.
    """

    def __init__(
        self,
        path: str | Path | Source,
        features: Sequence[str] = (),
        *,
        lenient: bool = False,
        options: ReadOptions | None = None,
        attributes: Sequence[str] = (),
    ) -> None:
        if not isinstance(path, str | os.PathLike | Source):
            raise SordineError(f"path is {type(path).__name__}; give the path of a table")
        self.options = options or current()
        self.in_memory = isinstance(path, Source)
        self.path = Path(path.name if isinstance(path, Source) else path)
        opened = path if isinstance(path, Source) else open_file(self.path, self.options, memory_limit())
        self._source = plain(opened, self.options, features)
        self.schema, self.rows = self._source.schema, self._source.rows
        state(opened.about)
        if self.rows == 0:
            raise SordineError(f"{path}: the table has no records; at least one is needed")
        found = self._matched(features, attributes)
        self.features, self.shape = self._find_features(found, lenient)
        if 0 in self.shape:
            raise SordineError(f"{path}: the records of column {self.features[0]!r} have no numbers; choose another")
        pictures = [_is_pictures(self.schema.field(n).type) for n in self.features] == [True]
        self.dtype = np.dtype(np.uint8 if pictures else np.float32)
        self.other = [name for name in self.schema.names if name not in self.features]
        self.rounded = False

    def _matched(self, features: Sequence[str], attributes: Sequence[str]) -> tuple[str, ...]:
        """Return the named columns. A pattern stands for numbers and vectors, not for reserved names and attributes."""
        kinds = {f.name: f.type for f in self.schema}
        fit = [
            n for n, kind in kinds.items() if (is_number(kind) or is_vector(kind)) and n not in (*RESERVED, *attributes)
        ]
        found = named_columns(features, fit)
        patterns = [f for f in features if "*" in f and f not in self.schema.names]
        over = [n for n in self.schema.names if n not in found and any(fnmatch.fnmatchcase(n, f) for f in patterns)]
        if over and set(found).isdisjoint(patterns):
            quoted = ", ".join(map(repr, over[:5])) + (", ..." if len(over) > 5 else "")
            state(f"{self.path.name}: {', '.join(patterns)} leaves out {quoted}: text, reserved names and attributes")
        decimals = [n for n in found if n in kinds and pa.types.is_floating(kinds[n])]
        whole = [n for n in found if n in kinds and n not in features and is_number(kinds[n]) and n not in decimals]
        if decimals and whole:
            quoted = ", ".join(map(repr, whole[:5])) + (", ..." if len(whole) > 5 else "")
            state(f"{self.path.name}: {', '.join(patterns)} includes {quoted}, of whole numbers; if a label, name it")
        return found

    def _find_features(self, named: tuple[str, ...], lenient: bool) -> tuple[tuple[str, ...], tuple[int, ...]]:
        """Return the names of the feature columns and the shape of one record."""
        chosen = self._named_features(named) if named else self._only_vector(lenient)
        kinds = {is_vector(self.schema.field(n).type) for n in chosen}
        if kinds == {True}:
            shapes = [self._record_shape(n) for n in chosen]
            if len(set(shapes)) > 1:
                raise SordineError(
                    f"{self.path}: columns {chosen[0]!r} and {chosen[1]!r} have lists of different lengths; channels "
                    "need one length"
                )
            return chosen, shapes[0] if len(chosen) == 1 else (len(chosen), *shapes[0])
        if kinds == {False}:
            for name in chosen:
                kind = self.schema.field(name).type
                if not is_number(kind):
                    raise SordineError(f"{self.path}: column {name!r} is {kind}; a feature must be numeric")
            return chosen, (len(chosen),)
        raise SordineError(f"{self.path}: --features names list columns and single numbers; name one kind only")

    def _named_features(self, named: tuple[str, ...]) -> tuple[str, ...]:
        for name in named:
            if named.count(name) > 1:
                raise SordineError(f"{self.path}: column {name!r} is named twice as a feature; name it once")
            if name not in self.schema.names:
                raise SordineError(f"{self.path}: no column {name!r}; {nearest(name, self.schema.names)}")
        return named

    def _only_vector(self, lenient: bool) -> tuple[str, ...]:
        """Return the name of the one list column."""
        vectors = [n for n in self.schema.names if is_vector(self.schema.field(n).type)]
        if lenient and "x" in vectors:
            return ("x",)
        media = [f.name for f in self.schema if is_media_struct(f.type)]
        if not vectors and media:
            raise SordineError(
                f"{self.path}: column {media[0]!r} contains files, as the Hugging Face Hub stores sound and pictures; "
                "write them to a folder with metadata.csv first (the guide: Media folders)"
            )
        packed = [f.name for f in self.schema if is_binary(f.type)]
        if not vectors and packed:
            raise SordineError(
                f"{self.path}: no feature column, and column {packed[0]!r} contains bytes; store vectors as lists of "
                "numbers"
            )
        if not vectors:
            raise SordineError(
                f"{self.path}: no feature column; name the columns with --features (such as 'f*'), "
                "or make one with sordine extract --extractor columns"
            )
        if len(vectors) > 1:
            names = ", ".join(vectors[:6]) + (", ..." if len(vectors) > 6 else "")
            raise SordineError(
                f"{self.path}: several list columns ({names}); name one, or the channels, with --features"
            )
        return (vectors[0],)

    def _record_shape(self, name: str) -> tuple[int, ...]:
        kind = self.schema.field(name).type
        if isinstance(kind, pa.FixedShapeTensorType):
            return tuple(kind.shape)
        if pa.types.is_fixed_size_list(kind):
            return (kind.list_size,)
        first = next(self.blocks([name], 1)).column(0)
        if first.null_count or len(first[0]) == 0:
            raise SordineError(f"{self.path}: column {name!r} is empty in row 0; every record needs its features")
        return (len(first[0]),)

    def blocks(self, columns: Sequence[str] | None = None, rows: int | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows in order.

        Parameters
        ----------
        columns
            Names of the columns; by default all.
        rows
            Rows of a block at most; by default BLOCK_ROWS, fewer for wide features (`rows_at_once`).
        """
        if rows is None:
            wide = columns is None or not set(columns).isdisjoint(self.features)
            rows = rows_at_once(self.shape) if wide else BLOCK_ROWS
        try:
            yield from self._source.batches(columns, rows)
        except READ_ERRORS as error:
            raise SordineError(f"{self.path} cannot be read to the end: {reason(error)}") from None

    def x(self, block: pa.RecordBatch, first_row: int = 0) -> np.ndarray:
        """Return the features of a block as (b, *shape) of `dtype`.

        Parameters
        ----------
        block
            Rows from `blocks`.
        first_row
            Row number of its first row, for messages.

        Raises
        ------
        SordineError
            For a missing list, a list of another length, or a picture with a missing value.
        """
        parts = [self._part(block, name, first_row) for name in self.features]
        if len(parts) == 1:
            return parts[0].reshape(len(block), *self.shape)
        if len(self.shape) == 1:
            return np.concatenate(parts, axis=1)
        return np.stack(parts, axis=1).reshape(len(block), *self.shape)

    def _part(self, block: pa.RecordBatch, name: str, first_row: int) -> np.ndarray:
        """Return one feature column of a block as (b, width)."""
        column = block.column(block.schema.get_field_index(name))
        if isinstance(column, pa.ExtensionArray):
            column = column.storage
        if column.null_count:
            row = first_row + _first(column.is_null())
            raise SordineError(f"{self.path}: column {name!r} is empty in row {row}; every record needs its features")
        if is_vector(column.type):
            length = self.shape[-1] if len(self.features) > 1 else int(np.prod(self.shape))
            if not pa.types.is_fixed_size_list(column.type):
                other = pc.not_equal(pc.list_value_length(column), length)
                if pc.any(other).as_py():
                    row = first_row + _first(other)
                    raise SordineError(
                        f"{self.path}: column {name!r} has a list of another length in row {row}; {length} values "
                        "expected"
                    )
            column = column.flatten()
            if self.dtype == np.uint8 and column.null_count:  # a missing float becomes NaN, which is found later
                row = first_row + _first(column.is_null()) // length
                raise SordineError(f"{self.path}: column {name!r} has a missing value in row {row}")
        kind = pa.uint8() if self.dtype == np.uint8 else pa.float32()
        array: np.ndarray = column.cast(kind, safe=False).to_numpy(zero_copy_only=False)
        if not column.type.equals(kind) and not self.rounded:
            self.rounded = loses_digits(column.to_numpy(zero_copy_only=False))
        return array.reshape(len(block), -1)

    def others(self) -> pa.Table:
        """Return the columns that are not features."""
        schema = pa.schema([self.schema.field(n) for n in self.other])
        return pa.Table.from_batches(list(self.blocks(self.other)), schema)

    def rows_of(self, x: Any = None) -> str:
        """Return `Table.rows_of` of this file: "" where its ids were given. x: its records, if already loaded."""
        if "id" in self.other:
            if self.in_memory:
                return _note_in(self.schema.metadata, ROWS).get("of", "")
            return str(read_note(self.path, ROWS).get("of", ""))
        return rows_digest(self._records() if x is None else blocks_of(x), self.features)

    def _records(self) -> Iterator[np.ndarray]:
        first = 0
        for block in self.blocks(self.features):
            yield self.x(block, first)
            first += len(block)


def _first(mask: pa.Array) -> int:
    """Return the position of the first true value."""
    return int(np.flatnonzero(mask.to_numpy(zero_copy_only=False))[0])


def is_number(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds single numbers or truth values."""
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _is_pictures(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.FixedShapeTensorType) and are_pictures(kind.shape, kind.value_type.to_pandas_dtype())


def named_columns(named: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Return columns that are named one by one or by patterns such as `f*`; a pattern without a match stays as it is.

    Parameters
    ----------
    named
        Names and patterns.
    names
        The columns that a pattern may match.
    """
    return tuple(n for f in named for n in (fnmatch.filter(names, f) if "*" in f else [f]) or [f])


def read_table(
    path: str | Path,
    features: Sequence[str] = (),
    *,
    named: Sequence[str] = (),
    like: Table | None = None,
    check: bool = True,
    log: Callable[[str], None] | None = None,
    options: ReadOptions | None = None,
) -> Table:
    """Return the table in a file of any known format.

    x is in memory, or mapped from a content-addressed cache where it is larger than `memory_limit`. Pictures
    stay uint8; everything else becomes float32. `id`, `split` and `group` are used where present. Every other string,
    boolean or integer column of at most 100 classes is an attribute, as is one of at most ten whole numbers stored as
    decimals. Another named column of decimal numbers, or of lists of them, is a continuous one. What is left out is in
    the notes of the table.

    Parameters
    ----------
    path, features
        The file, and the names of the columns that make x; see `TableFile`.
    named
        Attributes that may have more than 100 classes, or be continuous.
    like
        A table whose order of feature columns is used, where it has the same ones.
    check
        False accepts NaN, repeated ids and wrong splits; the audit reports them instead.
    log
        Takes a line where the order changes.
    options
        How the file is read; None takes those of the innermost `reading` block.

    Raises
    ------
    SordineError
        Where a row or a column is wrong; the message names the file and the row or column.
    """
    file = TableFile(path, features, lenient=not check, options=options, attributes=named)
    source = file.path.name
    if like is not None and file.features != like.features and set(file.features) == set(like.features):
        file.features = like.features
        if log is not None:
            log(reordered(source, like.source))
    table = _table_of(file, named, check=check)
    return replace(table, notes=(*table.notes, *read_note(path, EXTRACT).get("say", ())))


def read_frame(
    frame: Any,
    features: Sequence[str] | None = None,
    *,
    continuous: Sequence[str] = (),
    source: str = "data frame",
    options: ReadOptions | None = None,
) -> Table:
    """Return the table in a data frame; see `Table.from_frame`."""
    columns = arrow_of(frame, source)
    options, continuous = options or current(), [str(name) for name in continuous]
    features = None if features is None else [str(name) for name in features]
    if features is None:
        features = _feature_columns(plain(of_arrow(columns, source), options), continuous, source)
    for name in continuous:
        if name not in columns.schema.names:
            raise SordineError(f"{source}: no column {name!r}; {nearest(name, columns.schema.names)}")
        if is_number(columns.schema.field(name).type):
            at = columns.schema.get_field_index(name)
            columns = columns.set_column(at, name, columns[name].cast(pa.float64(), safe=False))
    file = TableFile(of_arrow(columns, source), features, options=options, attributes=continuous)
    return _table_of(file, continuous, continuous=continuous)


def _feature_columns(opened: Source, continuous: Sequence[str], source: str) -> tuple[str, ...]:
    """Return the one list column of a frame, else its columns of decimal numbers; the log says which."""
    fields = [f for f in opened.schema if f.name not in (*continuous, *RESERVED)]
    vectors = [f.name for f in fields if is_vector(f.type)]
    if len(vectors) == 1:
        return (vectors[0],)
    decimals = [f.name for f in fields if pa.types.is_floating(f.type)]
    whole = []
    for name in decimals:
        column = pa.chunked_array(
            [b.column(0) for b in opened.batches([name], BLOCK_ROWS)], opened.schema.field(name).type
        )
        if _are_whole(column) and pc.count_distinct(column).as_py() <= MAX_CLASSES:
            whole.append(name)
    found = tuple(n for n in decimals if n not in whole)
    if not found:
        raise SordineError(f"{source}: no column of floats; name the feature columns with features=")
    quoted = ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    state(f"{source}: the features are the columns {quoted}")
    if whole:
        state(f"{source}: no features, because all values are whole numbers: {', '.join(whole)}; set features=")
    return found


def _table_of(file: TableFile, named: Sequence[str], *, check: bool = True, continuous: Sequence[str] = ()) -> Table:
    """Return the records and labels of an opened table."""
    source = file.path.name
    others = file.others()
    ids = read_ids(others, file.rows, source=source, check=check)
    if check:
        check_ids(ids, source)
    attributes, targets, notes, extra = _read_attributes(others, named, keep_all=not check, continuous=continuous)
    split = others["split"].to_pylist() if "split" in file.other else None
    if not check and set(map(str, split or ())) != {"train", "test"}:
        split = None
    for name in ("split", "group"):
        if name in file.other and (file.in_memory or _is_foreign(file.path)):
            state(f"{source}: column {name!r} decides the split; --read rename={name}:NAME makes it an attribute")
    table = Table.of(
        np.empty((file.rows, 1), np.float32),
        attributes,
        ids=ids,
        split=split,
        group=others["group"].to_pylist() if "group" in file.other else None,
        source=source,
        check=False,
    )
    table, x = table.with_continuous(targets, check=check), _read_x(file, ids, check)
    table = replace(table, x=x, features=file.features, notes=tuple(notes), extra=extra, rounded=file.rounded)
    types = {n: plain_type(others.schema.field(n).type) for n in attributes}
    return replace(table, rows_of=file.rows_of(x), types=types)


def read_ids(
    columns: pa.Table | pa.RecordBatch, rows: int, first_row: int = 0, *, source: str = "table", check: bool = True
) -> np.ndarray:
    """Return the column `id` as strings, or row numbers where there is none.

    Parameters
    ----------
    columns
        Some rows of a file.
    rows
        How many there are.
    first_row
        Row number of the first one.
    source
        Name of the file, for messages.
    check
        False gives a missing id as "".

    Returns
    -------
    numpy.ndarray
        (rows,) object.
    """
    if "id" not in columns.schema.names:
        return np.array(row_ids(rows, first_row), dtype=object)
    column = columns.column(columns.schema.get_field_index("id"))
    if column.null_count and check:
        raise SordineError(f"{source}: column 'id' is empty in {column.null_count} rows; every record needs an id")
    try:
        return np.array([i or "" for i in column.cast(pa.string()).to_pylist()], dtype=object)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise SordineError(f"{source}: column 'id' is {column.type}; ids must be text or whole numbers") from None


def _read_x(file: TableFile, ids: np.ndarray, check: bool) -> np.ndarray:
    shape = (file.rows, *file.shape)
    if file.in_memory or file.dtype.itemsize * int(np.prod(shape, dtype=np.int64)) <= memory_limit():
        x = np.empty(shape, file.dtype)
        _fill(x, file, ids, check)
        return x
    # Everything that x depends on: another table, selection or order of features has another address.
    source: dict[str, Any] = {
        "table": table_address(file.path),
        "kind": file.path.suffix.lower(),
        "features": list(file.features),
    }
    if file.options.given():
        source["options"] = file.options.given()
    cached = MappedArray.of(source, shape, file.dtype)
    found = cached.read()
    if found is None:
        return cached.make(lambda x: _fill(x, file, ids, check))
    file.x(next(file.blocks(file.features)))  # whether these numbers are rounded, which the copy does not say
    if check:
        check_finite(found, ids, str(file.path.name))
    return found


def _fill(x: np.ndarray, file: TableFile, ids: np.ndarray, check: bool) -> None:
    start = 0
    for block in file.blocks(file.features):
        part = file.x(block, start)
        if check:
            check_finite(part, ids[start : start + len(part)], str(file.path.name))
        x[start : start + len(part)] = part
        start += len(part)


def _is_foreign(path: Path) -> bool:
    """Return whether a table is a file that another program wrote."""
    return path.exists() and not any(read_note(path, note) for note in ("sordine.transform", EXTRACT, ROWS))


def _are_whole(column: pa.ChunkedArray | pa.Array) -> bool:
    """Return whether all values of a column of decimal numbers are whole; missing ones and NaN are left out."""
    known = column.filter(pc.is_finite(column.fill_null(np.nan)))
    return len(known) == len(column.filter(pc.invert(pc.is_null(column, nan_is_null=True)))) > 0 and bool(
        pc.all(pc.equal(known, pc.floor(known))).as_py()
    )


def _are_classes(column: pa.Array) -> bool:
    """Return whether decimal numbers are classes: at most ten whole numbers, as of a column of integers with gaps."""
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    if not pa.types.is_floating(column.type) or not _are_whole(column):
        return False
    distinct = pc.unique(column.filter(pc.invert(pc.is_null(column, nan_is_null=True))))
    return len(distinct) <= MAX_WHOLE and bool(pc.all(pc.less(pc.abs(distinct), 1e15)).as_py())


def _as_whole(column: pa.Array) -> pa.Array:
    """Return decimal numbers that are classes as integers; NaN is missing."""
    column = column.cast(pa.float64())
    nan = pa.scalar(None, column.type)
    return pc.if_else(pc.is_null(column, nan_is_null=True), nan, column).cast(pa.int64())


def _read_targets(columns: pa.Table, named: Sequence[str], continuous: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the continuous attributes by name: (n,) or (n, k) float64, NaN where a value is missing."""
    found = {}
    for name in columns.schema.names:
        column = columns[name].combine_chunks()
        if name not in named or name in RESERVED:
            continue
        if pa.types.is_floating(column.type):
            if name not in continuous and _are_classes(column):
                continue
            found[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        elif is_list(column.type) and pa.types.is_floating(column.type.value_type):
            found[name] = _vectors(column, name)
    return found


def _vectors(column: pa.Array, name: str) -> np.ndarray:
    """Return a column of lists as (n, k) float64; a missing list is a row of NaN."""
    rows = column.to_pylist()
    lengths = {len(row) for row in rows if row is not None}
    if len(lengths) > 1:
        raise SordineError(f"column {name!r} has lists of different lengths; a continuous attribute needs one length")
    size = max(lengths, default=1)
    return np.array([[np.nan] * size if row is None else [np.nan if v is None else v for v in row] for row in rows])


def _numbers_or_texts(column: pa.Array) -> np.ndarray:
    """Return dates as numbers, and the beginning of other values as text."""
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        since = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
        return np.asarray(since.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    values = np.empty(len(column), object)
    values[:] = [str(v.as_py())[:LONGEST_TEXT] for v in column]  # one by one: a value may be a whole picture
    return values


def _read_attributes(
    columns: pa.Table, named: Sequence[str], keep_all: bool, continuous: Sequence[str] = ()
) -> tuple[dict[str, list[Any]], dict[str, np.ndarray], list[str], dict[str, np.ndarray]]:
    """Return attributes and continuous ones by name, notes on what is left out and, for a release, what is left out."""
    attributes, notes, extra = dict[str, list[Any]](), list[str](), dict[str, np.ndarray]()
    targets = _read_targets(columns, named, continuous)
    columns = columns.drop_columns(list(targets))
    for name in columns.schema.names:
        if name in RESERVED:
            continue
        column = columns[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if _are_classes(column):
            column = _as_whole(column)
        kind = column.type
        if pa.types.is_floating(kind):
            notes.append(
                f"column {name!r} is left out: its values are decimal numbers, not classes; name it in the policy to "
                "use it as a continuous attribute"
            )
            if keep_all:
                extra[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        elif not any(is_a(kind) for is_a in LABELS):
            notes.append(f"column {name!r} is left out: labels cannot be of type {kind}")
            if keep_all and (pa.types.is_struct(kind) or not pa.types.is_nested(kind)):
                extra[name] = _numbers_or_texts(column)
        elif name not in named and (count := pc.count_distinct(column).as_py()) > MAX_CLASSES:
            notes.append(
                f"column {name!r} is left out: it has {count} different values, more than {MAX_CLASSES} classes; name "
                "it in the policy to use it"
            )
            if keep_all:
                number = pa.types.is_integer(kind)
                values = column.cast(pa.float64(), safe=False) if number else column
                extra[name] = values.to_numpy(zero_copy_only=False) if number else np.array(values.to_pylist(), object)
        else:
            attributes[name] = column.to_pylist()
    return attributes, targets, notes, extra


def write_blocks(path: str | Path, schema: pa.Schema, blocks: Iterable[pa.RecordBatch], *, force: bool = False) -> int:
    """Write blocks as one Parquet file, atomically, and return the number of rows.

    Vectors are stored plain, because they do not compress; pictures by their differences; other columns by dictionary.
    Small blocks share a row group.

    Parameters
    ----------
    path
        Where to write.
    schema
        Of the blocks.
    blocks
        The rows.
    force
        Whether an existing file is replaced.

    Raises
    ------
    SordineError
        Where the file exists without `force`, or cannot be written.
    """
    refuse_existing(Path(path), force)
    plain = [f.name for f in schema if is_vector(f.type)]
    # Parquet has no type under 32 bits: stored plain, a pixel would take four bytes. The option needs the leaf's name.
    pixels = [f"{n}.list.element" for n in plain if _is_pictures(schema.field(n).type)]
    rows = 0
    with (
        atomic(path, force=force) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression={f.name: "NONE" if f.name in plain else "ZSTD" for f in schema} | dict.fromkeys(pixels, "ZSTD"),
            column_encoding=dict.fromkeys(pixels, "DELTA_BINARY_PACKED") or None,
            use_dictionary=[f.name for f in schema if f.name not in plain and f.name != "id"],
            write_statistics=[f.name for f in schema if f.name not in plain],
        ) as writer,
    ):
        for group in _gathered(blocks):
            writer.write_table(group, row_group_size=max(len(group), 1))
            rows += len(group)
    return rows


def _gathered(blocks: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Yield consecutive blocks joined into row groups."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for block in blocks:
        waiting.append(block)
        rows, size = rows + len(block), size + block.nbytes
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pa.Table.from_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.Table.from_batches(waiting)


def write_table(table: Table, path: str | Path, *, force: bool = False) -> None:
    """Write a table as one Parquet file: id, split, group, the attributes, and x; see `Table.write`.

    Attributes are strings, continuous ones float32 or lists of float32.
    """
    columns = _columns_beside_x(table, {})
    x_type = feature_type(table.shape, table.x.dtype)
    schema = pa.schema([*((n, c.type) for n, c in columns.items()), ("x", x_type)], rows_note(table.rows_of) or None)

    def blocks() -> Iterator[pa.RecordBatch]:
        size = rows_at_once(table.shape)
        for start in range(0, len(table), size):
            stop = min(start + size, len(table))
            parts = [c.slice(start, stop - start) for c in columns.values()]
            yield pa.record_batch([*parts, feature_array(np.asarray(table.x[start:stop]))], schema=schema)

    write_blocks(path, schema, blocks(), force=force)


def arrow_table(table: Table) -> pa.Table:
    """Return a table as Arrow columns: id, split, group, the attributes in their own types, and x."""
    columns = _columns_beside_x(table, table.types)
    made = pa.table({**columns, "x": feature_array(np.asarray(table.x))})
    return made.replace_schema_metadata(rows_note(table.rows_of) or None)


def _columns_beside_x(table: Table, types: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
    """Return id, split, group and the attributes; `types` of the attributes that are not written as text."""
    columns: dict[str, pa.Array] = {"id": pa.array(table.ids.tolist(), pa.string())}
    if table.split is not None:
        columns["split"] = pa.array(np.where(table.split, "train", "test").tolist(), pa.string())
    if table.group is not None:
        columns["group"] = pa.array(table.group, mask=table.group == -1)  # -1: no group
    for name, codes in table.y.items():
        if name in table.targets:
            columns[name] = _target_array(table.targets[name])
            continue
        names = pa.array(table.classes[name], pa.string())
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            names = names.cast(types.get(name, pa.string()))
        columns[name] = names.take(pa.array(codes, mask=codes < 0))
    return columns


def _target_array(values: np.ndarray) -> pa.Array:
    """Return a continuous attribute as an Arrow array: missing where it is unlabelled."""
    if values.ndim == 1:
        return pa.array(values, pa.float32(), mask=np.isnan(values))
    return pa.array([None if np.isnan(v).any() else v.tolist() for v in values], pa.list_(pa.float32()))


def rows_note(rows_of: str) -> dict[str, str]:
    """Return the metadata of a file whose ids are row numbers of the table with that digest; empty for other ids."""
    return {ROWS: json.dumps({"of": rows_of})} if rows_of else {}


def reordered(source: str, other: str) -> str:
    """Return the log line of reordered feature columns."""
    return f"{source}: the feature columns are in another order than in {other}; they were matched by name"


def read_note(path: str | Path, name: str) -> dict[str, Any]:
    """Return the JSON that Sordine stored in the metadata of a Parquet file under `name`; empty where there is none."""
    try:
        return _note_in(pq.read_schema(path).metadata, name)
    except (pa.ArrowInvalid, OSError, ValueError):
        return {}


def _note_in(metadata: dict[bytes, bytes] | None, name: str) -> dict[str, Any]:
    return dict(json.loads((metadata or {}).get(name.encode(), b"{}")))
