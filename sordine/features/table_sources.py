"""Raw tables to tables of vectors: the extractors `windows` and `columns`, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sordine.data.media.folder import read_csv
from sordine.errors import SordineError
from sordine.features.base import Layout
from sordine.features.rows import Encoded, batch_of

BLOCK = 2048  # records at a time: fixed, so that the output is the same however many workers there are


@dataclass(frozen=True)
class Source:
    """A raw table: its columns, its length, and its records in blocks, as often as asked."""

    path: Path
    schema: pa.Schema
    rows: int
    blocks: Callable[[], Iterator[pa.RecordBatch]]


def table_in(folder: Path) -> Path:
    """The one table file of a folder. Raises SordineError where there is none, or several."""
    tables = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".parquet", ".csv") and p.is_file())
    if len(tables) != 1:
        found = f"{len(tables)} table files" if tables else "no table file"
        raise SordineError(f"folder {folder} has no metadata.csv and {found}: neither a media folder nor a table")
    return tables[0]


def open_source(path: Path) -> Source:
    """A table file; Parquet is read a block at a time. Raises SordineError where it cannot be read or is empty."""
    if path.suffix.lower() == ".csv":
        return of_table(read_csv(path), path)
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SordineError(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None

    def blocks() -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=BLOCK)
        except (pa.ArrowException, OSError) as error:
            raise SordineError(f"{path} cannot be read to its end: {str(error).splitlines()[0]}") from None

    return _checked(Source(path, schema, rows, blocks))


def of_table(table: pa.Table, path: Path) -> Source:
    """A table that is in memory already; `path` is what it came from."""
    return _checked(Source(path, table.schema, table.num_rows, lambda: iter(table.to_batches(BLOCK))))


def _checked(source: Source) -> Source:
    for name in source.schema.names:
        if source.schema.names.count(name) > 1:
            raise SordineError(f"{source.path}: column {name!r} stands twice")
    if not source.rows:
        raise SordineError(f"{source.path}: the table has no records")
    return source


def encoder_of(layout: Layout, schema: pa.Schema) -> Callable[[pa.RecordBatch, int], Encoded]:
    """A block of the source to a block of the output: a pure function."""
    assert layout.encode is not None
    to_vectors = layout.encode

    def encode(block: pa.RecordBatch, row: int) -> Encoded:
        if "id" in block.schema.names:
            ids = block.column("id").cast(pa.string())
        else:
            ids = pa.array([f"row-{row + i:07d}" for i in range(len(block))], pa.string())
        return Encoded(batch_of(block, ids, to_vectors(block, row), schema), len(block))

    return encode
