"""Open a table file of any known format."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet as pq

from sordine.data.files import content_address, sha256
from sordine.data.reading.csv_files import open_csv
from sordine.data.reading.options import ReadOptions
from sordine.data.reading.source import READ_ERRORS, Source, of_arrow, reason
from sordine.errors import SordineError

TEXT = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
ARROW = (".feather", ".arrow", ".ipc")
JSON = (".jsonl", ".ndjson")
ARRAYS = (".npy", ".npz")
PACKED = (".gz", ".bz2", ".zst")
FORMATS = "Parquet, CSV (.csv, .tsv, .txt, also .gz), JSON lines (.jsonl, .ndjson), Feather or Arrow, and .npy or .npz"
_OTHERS = {
    ".xlsx": "an Excel workbook",
    ".xls": "an Excel workbook",
    ".ods": "a spreadsheet",
    ".pkl": "a Python pickle",
    ".pickle": "a Python pickle",
    ".h5": "an HDF5 file",
    ".hdf5": "an HDF5 file",
    ".mat": "a MATLAB file",
    ".dta": "a Stata file",
    ".sav": "an SPSS file",
    ".rds": "an R file",
    ".db": "a database",
    ".sqlite": "a database",
    ".json": "a JSON document",
    ".orc": "an ORC file",
    ".avro": "an Avro file",
    ".pt": "a file of PyTorch",
}
_JSON_BLOCK = 1 << 26  # a line must fit in a block


def format_of(path: Path) -> str:
    """Return the suffix that decides the format of a file, without that of the compression: ".csv", or ""."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_table_file(path: Path) -> bool:
    """Return whether the name of a file is that of a table."""
    return path.is_file() and format_of(path) in (*TEXT, *PARQUET, *ARROW, *JSON, *ARRAYS)


def parts_in(folder: Path) -> tuple[Path, ...]:
    """Return the Parquet files of a folder that holds one table in parts, in the order of their names; else none.

    Beside them, the folder may contain hidden files and those that start with `_`, as Spark writes them.
    """
    if not folder.is_dir():
        return ()
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not _is_hidden(p.relative_to(folder)))
    parts = tuple(p for p in files if format_of(p) in PARQUET and p.suffix.lower() in PARQUET)
    if len(parts) != len(files) or any(p.name == "metadata.parquet" for p in parts):
        return ()
    return parts


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def table_address(path: Path) -> str:
    """Return BLAKE2b-160 of the bytes of a table, in hexadecimal: of a file, or of all parts in a folder."""
    if not path.is_dir():
        return content_address(path)
    lines = [f"{part.relative_to(path)}\0{content_address(part)}\n" for part in parts_in(path)]
    return hashlib.blake2b("".join(lines).encode(), digest_size=20).hexdigest()


def table_sha256(path: Path) -> str:
    """Return SHA-256 of a table file, or of the names and hashes of all parts in a folder, in hexadecimal."""
    if not path.is_dir():
        return sha256(path)
    lines = [f"{part.relative_to(path)}\0{sha256(part)}\n" for part in parts_in(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def open_file(path: Path, options: ReadOptions, memory: int) -> Source:
    """Return a table file, or a folder of Parquet parts, as a source.

    Parameters
    ----------
    path
        The file or folder.
    options
        How it is read where the file does not say it.
    memory
        Bytes up to which a text table is held in memory.

    Raises
    ------
    SordineError
        In one line that repeats no value of the file: where it is missing, damaged or of an unknown format.
    """
    if not path.exists():
        raise SordineError(f"{path} does not exist; check the path")
    if path.is_dir():
        parts = parts_in(path)
        if not parts:
            raise SordineError(f"{path} is a folder; make a table from it with sordine extract")
        return _open_parts(path, parts)
    suffix = format_of(path)
    if suffix in _OTHERS:
        raise SordineError(f"{path} is {_OTHERS[suffix]}; save it as one of: {FORMATS}")
    opened = _opener(path, suffix)
    try:
        if suffix in TEXT:
            return open_csv(path, options, memory)
        return opened(path)
    except READ_ERRORS as error:
        raise SordineError(f"{path} cannot be read as {_name(opened)}: {reason(error)}") from None


def _opener(path: Path, suffix: str) -> Callable[[Path], Source]:
    by_suffix = {**dict.fromkeys(ARROW, _open_arrow), **dict.fromkeys(JSON, _open_json), ".npz": _open_npz}
    if suffix in by_suffix:
        return by_suffix[suffix]
    if suffix == ".npy":
        return _open_npy
    if suffix not in (*PARQUET, *TEXT):  # another suffix: by the first bytes
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(8)
            if head.startswith(b"ARROW1"):
                return _open_arrow
            if head.startswith(b"\x93NUMPY"):
                return _open_npy
    return _open_parquet


def _name(opened: Any) -> str:
    names = {_open_arrow: "Feather or Arrow", _open_json: "JSON lines", _open_npy: ".npy", _open_npz: ".npz"}
    return names.get(opened, "a table (Parquet or CSV)")


# --------------------------------------------------------------------------------------------- Parquet


def _open_parquet(path: Path) -> Source:
    # Unbuffered, page by page: a row group of any size needs the memory of one page.
    file = pq.ParquetFile(path, memory_map=True, pre_buffer=False)

    def batches(columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        return iter(file.iter_batches(batch_size=rows, columns=None if columns is None else list(columns)))

    return Source(str(path), file.schema_arrow, file.metadata.num_rows, batches)


def _open_parts(folder: Path, parts: Sequence[Path]) -> Source:
    """Return several Parquet files with the same columns as one source; `key=value` in a path is a column."""
    opened = []
    for part in parts:
        try:
            opened.append(_open_parquet(part))
        except READ_ERRORS as error:
            raise SordineError(f"{part} cannot be read as a table (Parquet): {reason(error)}") from None
    first = opened[0].schema
    for part, source in zip(parts, opened, strict=True):
        if not source.schema.equals(first):
            other = [f.name for f in (*first, *source.schema) if f not in first or f not in source.schema]
            raise SordineError(
                f"{folder}: column {(other or ['?'])[0]!r} of {part.name} differs from {parts[0].name}; all parts need "
                "the same columns in the same order"
            )
    keys = [_keys(part.relative_to(folder)) for part in parts]
    if any(k.keys() != keys[0].keys() for k in keys):
        raise SordineError(f"{folder}: the folders of its parts name different columns; use the same key=value names")
    added = [name for name in keys[0] if name not in first.names]
    schema = pa.schema([*first, *((name, pa.string()) for name in added)], first.metadata)

    def batches(columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        wanted = schema.names if columns is None else list(columns)
        stored = [n for n in wanted if n not in added]
        result = pa.schema([schema.field(n) for n in wanted])
        for source, key in zip(opened, keys, strict=True):
            for batch in source.batches(stored or first.names[:1], rows):
                made = [
                    pa.array([key[n]] * len(batch), pa.string())
                    if n in added
                    else batch.column(batch.schema.get_field_index(n))
                    for n in wanted
                ]
                yield pa.record_batch(made, schema=result) if made else batch.select([])

    rows = sum(source.rows for source in opened)
    return Source(str(folder), schema, rows, batches, f"{folder.name}: {len(parts)} Parquet files, read as one table")


def _keys(path: Path) -> dict[str, str]:
    return dict(part.split("=", 1) for part in path.parts[:-1] if re.fullmatch(r"[^=]+=.*", part))


# --------------------------------------------------------------------------------------------- Arrow, JSON


def _open_arrow(path: Path) -> Source:
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"FEA1":
        return of_arrow(pyarrow.feather.read_table(path), str(path))
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()  # mapped: only what is used is loaded
    except pa.ArrowInvalid:  # the data-set library of Hugging Face writes streams
        table = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    table.validate(full=True)  # Arrow trusts the offsets in a file; a wrong one would end the process
    return of_arrow(table, str(path))


def _open_json(path: Path) -> Source:
    stream = pa.input_stream(str(path), compression="detect")
    options = pyarrow.json.ReadOptions(block_size=min(_JSON_BLOCK, max(os.path.getsize(path) * 8, 1 << 20)))
    return of_arrow(pyarrow.json.read_json(stream, read_options=options), str(path))


# --------------------------------------------------------------------------------------------- NumPy


def _open_npy(path: Path) -> Source:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except pickle.UnpicklingError as error:
        raise ValueError("it contains Python objects") from error
    if array.dtype.names:
        return of_arrow(pa.table({n: column_of(array[n], n, str(path)) for n in array.dtype.names}), str(path))
    if array.ndim < 2 or array.dtype.kind not in "fiub":
        raise SordineError(
            f"{path}: the array has shape {array.shape} of {array.dtype}; it must be (n, width) numbers, or "
            "use .npz for records with labels"
        )
    sample = column_of(array[:1], "x", str(path))

    def batches(columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(array), rows):
            block = pa.record_batch([column_of(array[start : start + rows], "x", str(path))], names=["x"])
            yield block if columns is None else block.select(list(columns))

    return Source(str(path), pa.schema([("x", sample.type)]), len(array), batches)


def _open_npz(path: Path) -> Source:
    with np.load(path, allow_pickle=False) as arrays:
        names = list(arrays.files)
        columns = {}
        for name in names:
            try:
                columns[name] = arrays[name]
            except ValueError:
                raise SordineError(f"{path}: array {name!r} contains Python objects; store text or numbers") from None
    columns = {name: array for name, array in columns.items() if array.ndim}
    if not columns:
        raise SordineError(f"{path}: no arrays; store x with (n, width) numbers, and labels by name")
    sizes = {name: len(array) for name, array in columns.items()}
    longest = max(sizes, key=lambda name: (columns[name].ndim > 1, sizes[name]))
    for name, size in sizes.items():
        if size != sizes[longest]:
            raise SordineError(
                f"{path}: array {name!r} has {size} values and {longest!r} has {sizes[longest]}; all arrays need one "
                "value for each record"
            )
    columns = {"id" if n == "ids" and "id" not in columns else n: a for n, a in columns.items()}
    return of_arrow(pa.table({n: column_of(a, n, str(path)) for n, a in columns.items()}), str(path))


def column_of(array: np.ndarray, name: str, where: str) -> pa.Array:
    """Return an array (n, ...) as a column: a list for each record, a tensor, or a plain value.

    Raises
    ------
    SordineError
        For arrays of objects or of another type that no column has.
    """
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    try:
        if array.ndim == 1:
            return pa.array(array.tolist() if array.dtype.kind == "U" else array)
        kind = pa.from_numpy_dtype(array.dtype)
        if pa.types.is_boolean(kind):
            array, kind = array.astype(np.uint8), pa.uint8()
        size = int(np.prod(array.shape[1:]))
        flat = pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1), kind), size)
        if array.ndim == 2:
            return flat
        return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(kind, array.shape[1:]), flat)
    except (pa.ArrowException, ValueError, UnicodeError) as error:
        raise SordineError(f"{where}: array {name!r} of {array.dtype} cannot be a column: {reason(error)}") from None
