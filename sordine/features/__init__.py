"""Extractors: from a media folder or a raw table to a table of vectors. One file an extractor."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sordine.errors import SordineError, nearest
from sordine.features.columns import Columns
from sordine.features.layout import ClipExtractor, Extractor, Layout
from sordine.features.logmel import LogMel
from sordine.features.windows import Windows
from sordine.files import refuse_existing
from sordine.media.audio import SUFFIXES, read_clip
from sordine.media.folder import FILE_NAME, metadata_file, read_csv, read_metadata
from sordine.tablefile import feature_array, feature_type, write_blocks

EXTRACTORS: dict[str, type[Any]] = {"logmel": LogMel, "windows": Windows, "columns": Columns}

# Records a block. Fixed, so that the output is the same however many workers there are.
TABLE_BLOCK, CLIP_BLOCK = 2048, 64
NAMES_UP_TO = 5000
NOTE = b"sordine.extract"


@dataclass(frozen=True)
class Extracted:
    """What `extract` did: rows written, bad files left out (name, reason), numbers a record, seconds, notes."""

    rows: int
    skipped: tuple[tuple[str, str], ...]
    width: int
    seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """A media folder or a table file: its columns, its length, and its records in blocks, as often as asked."""

    path: Path
    reads: str
    schema: pa.Schema
    rows: int
    blocks: Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class _Encoded:
    batch: pa.RecordBatch
    done: int
    bad: tuple[tuple[str, str], ...] = ()


def make_extractor(name: str, options: Mapping[str, str] | None = None) -> Extractor:
    """The extractor of this name; options are its fields, given as text. Raises SordineError naming the nearest known."""
    from pydantic import TypeAdapter, ValidationError

    if name not in EXTRACTORS:
        raise SordineError(f"no extractor is called {name!r}; {nearest(name, EXTRACTORS)}")
    made = EXTRACTORS[name]
    known = [f.name for f in fields(made)]
    for option in options or {}:
        if option not in known:
            raise SordineError(f"{name} has no option {option!r}; {nearest(option, known)}")
    try:
        extractor: Extractor = TypeAdapter(made).validate_python(dict(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where, given = ".".join(map(str, first["loc"])), first.get("input")
        raise SordineError(f"{name}: option {where}={given!r}: {first['msg'].lower()}") from None
    return extractor


def extract(
    source: str | Path,
    extractor: str,
    output: str | Path,
    *,
    features: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    workers: int = 2,
    force: bool = False,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> Extracted:
    """Turn a media folder or a raw table into a table file of vectors: id, the source's other columns, x.

    source: a media folder, a Parquet or CSV file, or a folder with one such file. features: the columns to read, for
    extractors of tables. skip_bad: leave out clips that cannot be read instead of refusing the folder. workers: threads;
    the output does not depend on it. log: one line at a time. progress: (records done, records in all).
    A pure map over blocks of records, written as they come: memory does not grow with the source (but a CSV file and a
    folder's metadata are read whole).
    Raises SordineError for wrong input, naming the file and the row or column; nothing is then written.
    """
    start = time.monotonic()
    tool = make_extractor(extractor, options)
    if workers < 1:
        raise SordineError(f"workers={workers}: at least one is needed")
    refuse_existing(Path(output), force)
    opened = _open(Path(source))
    _check_pairing(extractor, tool, opened)
    where = str(opened.path)
    layout = tool.plan(opened.blocks, tuple(features), where)
    for note in layout.notes:
        log(note)
    schema = _schema(extractor, tool, opened.schema, layout, where)
    if tool.reads == "audio":
        encode = _clip_encoder(tool, opened, schema)  # type: ignore[arg-type]
    else:
        encode = _table_encoder(layout, schema)

    skipped: list[tuple[str, str]] = []

    def batches() -> Iterator[pa.RecordBatch]:
        done, seen = 0, set[str]()
        for encoded in _in_order(encode, opened.blocks(), workers):
            skipped.extend(encoded.bad)
            # Once a clip is bad the rest is read only to count the bad ones.
            if len(encoded.batch) and (skip_bad or not skipped):
                _check_ids(encoded.batch, seen, done, where)
                yield encoded.batch
            done += encoded.done
            if progress:
                progress(done, opened.rows)
        if skipped and (not skip_bad or len(skipped) == done):
            what = "bad clip" if len(skipped) == 1 else "bad clips"
            advice = "" if skip_bad else "; --skip-bad leaves bad clips out"
            raise SordineError(f"{skipped[0][1]} ({len(skipped)} {what} of {done}){advice}")

    rows = write_blocks(output, schema, batches(), force=force)
    if skipped:
        log(f"left out {len(skipped)} bad clips of {opened.rows}: {', '.join(name for name, _ in skipped)}")
    return Extracted(rows, tuple(skipped), layout.width, time.monotonic() - start, layout.notes)


def _open(path: Path) -> _Source:
    if not path.exists():
        raise SordineError(f"{path} does not exist")
    if path.is_dir():
        if metadata_file(path) is not None:
            return _media(path)
        tables = sorted(p for p in path.iterdir() if p.suffix.lower() in (".parquet", ".csv") and p.is_file())
        if len(tables) != 1:
            found = f"{len(tables)} table files" if tables else "no table file"
            raise SordineError(f"folder {path} has no metadata.csv and {found}: neither a media folder nor a table")
        path = tables[0]
    return _table(path)


def _media(folder: Path) -> _Source:
    table = read_metadata(folder).combine_chunks()
    return _Source(folder, "audio", table.schema, len(table), lambda: iter(table.to_batches(CLIP_BLOCK)))


def _table(path: Path) -> _Source:
    """A table file; Parquet is read a block at a time."""
    if path.suffix.lower() == ".csv":
        table = read_csv(path)
        schema, rows = table.schema, table.num_rows

        def blocks() -> Iterator[pa.RecordBatch]:
            return iter(table.to_batches(TABLE_BLOCK))
    else:
        try:
            with pq.ParquetFile(path) as file:
                schema, rows = file.schema_arrow, file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise SordineError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None

        def blocks() -> Iterator[pa.RecordBatch]:
            try:
                with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
                    yield from file.iter_batches(batch_size=TABLE_BLOCK)
            except (pa.ArrowException, OSError) as error:
                raise SordineError(f"{path} cannot be read to its end: {str(error).splitlines()[0]}") from None

    for name in schema.names:
        if schema.names.count(name) > 1:
            raise SordineError(f"{path}: column {name!r} stands twice")
    if not rows:
        raise SordineError(f"{path}: the table has no records")
    return _Source(path, "table", schema, rows, blocks)


def _check_pairing(name: str, tool: Extractor, source: _Source) -> None:
    suited = ", ".join(sorted(n for n, made in EXTRACTORS.items() if made.reads == source.reads))
    if tool.reads != source.reads:
        is_a = "a media folder" if source.reads == "audio" else "a table"
        wants = "clips of a media folder" if tool.reads == "audio" else "the columns of a table"
        raise SordineError(f"{name} reads {wants}, and {source.path} is {is_a}; for that: {suited}")
    if source.reads == "audio":
        names = next(source.blocks())[FILE_NAME].to_pylist()
        if not any(Path(n).suffix.lower() in SUFFIXES for n in names):
            raise SordineError(f"{name} reads sound files, and {source.path} holds others ({names[0]})")


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type a column has in the output: dictionaries decoded, one kind of string."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) else kind


def _schema(name: str, tool: Extractor, columns: pa.Schema, layout: Layout, where: str) -> pa.Schema:
    """id, the columns kept, x; with a note on how x was made."""
    own_id = "id" if tool.reads == "table" else FILE_NAME
    kept = [f for f in columns if f.name not in (own_id, *layout.consumed)]
    for clash in ("x", "id"):
        if clash in [f.name for f in kept]:
            raise SordineError(f"{where}: column {clash!r} would stand twice in the output; rename it")
    note: dict[str, Any] = {
        "extractor": name,
        "version": tool.version,
        "options": {f.name: getattr(tool, f.name) for f in fields(tool)},  # type: ignore[arg-type]
        "width": layout.width,
        **layout.details,
    }
    if layout.width < NAMES_UP_TO:
        note["names"] = list(layout.names)
    kept = [pa.field(f.name, _plain(f.type)) for f in kept]
    return pa.schema(
        [("id", pa.string()), *kept, ("x", feature_type((layout.width,)))], {NOTE: json.dumps(note).encode()}
    )


def _batch(block: pa.RecordBatch, ids: pa.Array, x: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    kept = []
    for column in schema.names[1:-1]:
        values = block.column(column)
        kept.append(values if values.type == schema.field(column).type else values.cast(schema.field(column).type))
    return pa.record_batch([ids, *kept, feature_array(x)], schema=schema)


def _table_encoder(layout: Layout, schema: pa.Schema) -> Callable[[pa.RecordBatch, int], _Encoded]:
    assert layout.encode is not None
    to_vectors = layout.encode

    def encode(block: pa.RecordBatch, row: int) -> _Encoded:
        if "id" in block.schema.names:
            ids = block.column("id").cast(pa.string())
        else:
            ids = pa.array([f"row-{row + i:07d}" for i in range(len(block))], pa.string())
        return _Encoded(_batch(block, ids, to_vectors(block, row), schema), len(block))

    return encode


def _clip_encoder(tool: ClipExtractor, source: _Source, schema: pa.Schema) -> Callable[[pa.RecordBatch, int], _Encoded]:
    width = schema.field("x").type.list_size

    def encode(block: pa.RecordBatch, row: int) -> _Encoded:
        good, vectors, bad = [], [], []
        for i, name in enumerate(block.column(FILE_NAME).to_pylist()):
            try:
                vectors.append(tool.clip(*read_clip(source.path / name)))
                good.append(i)
            except SordineError as error:
                bad.append((name, str(error)))
        rest = block.take(pa.array(good, pa.int64()))
        x = np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
        return _Encoded(_batch(rest, rest.column(FILE_NAME), x, schema), len(block), tuple(bad))

    return encode


def _check_ids(batch: pa.RecordBatch, seen: set[str], row: int, where: str) -> None:
    for at, name in enumerate(batch.column(0).to_pylist()):
        if name is None:
            raise SordineError(f"{where}: row {row + at}: column 'id' is empty")
        if name in seen:
            raise SordineError(f"{where}: row {row + at}: id {name!r} stands twice; ids must be unique")
        seen.add(name)


def _in_order(
    encode: Callable[[pa.RecordBatch, int], _Encoded], blocks: Iterable[pa.RecordBatch], workers: int
) -> Iterator[_Encoded]:
    """encode(block, first row) of each block, in order, by `workers` threads and never more than twice as many blocks
    at once. Threads are enough: decoding, transforms and NumPy's loops let go of the interpreter."""
    pending: deque[Future[_Encoded]] = deque()
    row = 0
    with ThreadPoolExecutor(workers) as pool:
        try:
            for block in blocks:
                pending.append(pool.submit(encode, block, row))
                row += len(block)
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
