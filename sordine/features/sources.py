"""The two kinds of source: raw tables and media folders, block by block; and the files beside an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
from torch import Tensor

from sordine.data.files import atomic
from sordine.data.media.cache import Decoded, Decoder, decode
from sordine.data.media.folder import read_csv
from sordine.data.media.kinds import Media
from sordine.errors import SordineError
from sordine.run import Run, silent

BLOCK = 2048  # records of a table at a time: fixed, so that the output does not depend on the number of workers
CLIPS = 64  # clips at a time


# --------------------------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class RawTable:
    """A raw table.

    Parameters
    ----------
    path
        What it was read from.
    schema
        Its columns.
    rows
        How many records it has.
    blocks
        Starts a new pass over its records.
    """

    path: Path
    schema: pa.Schema
    rows: int
    blocks: Callable[[], Iterator[pa.RecordBatch]]


def table_in(folder: Path) -> Path:
    """Return the only table file of a folder.

    Raises
    ------
    SordineError
        Where there is none, or more than one.
    """
    tables = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".parquet", ".csv") and p.is_file())
    if len(tables) != 1:
        found = f"{len(tables)} table files" if tables else "no table file"
        raise SordineError(
            f"folder {folder} has no metadata.csv and {found}; give a media folder, or name one table file"
        )
    return tables[0]


def open_table(path: Path) -> RawTable:
    """Return a table file as a source. Of a Parquet file, one block is in memory at a time.

    Raises
    ------
    SordineError
        Where the file is not a table, or is empty.
    """
    if path.suffix.lower() == ".csv":
        return of_table(read_csv(path), path)
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise SordineError(f"{path} is not a Parquet or CSV table: {str(error).splitlines()[0]}") from None

    def blocks() -> Iterator[pa.RecordBatch]:
        try:
            with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as file:
                yield from file.iter_batches(batch_size=BLOCK)
        except (pa.ArrowException, OSError) as error:
            raise SordineError(f"{path} is damaged or cut short: {str(error).splitlines()[0]}") from None

    return _checked(RawTable(path, schema, rows, blocks))


def of_table(table: pa.Table, path: Path) -> RawTable:
    """Return a table in memory as a source; `path` is what it came from."""
    return _checked(RawTable(path, table.schema, table.num_rows, lambda: iter(table.to_batches(BLOCK))))


def _checked(source: RawTable) -> RawTable:
    for name in source.schema.names:
        if source.schema.names.count(name) > 1:
            raise SordineError(f"{source.path}: two columns are named {name!r}; rename one")
    if not source.rows:
        raise SordineError(f"{source.path}: the table has no records")
    return source


# --------------------------------------------------------------------------------------------- media folders


def with_ids(media: Media) -> pa.Table:
    """Return the records of a folder, with their ids as the first column."""
    table = media.records.drop_columns([c for c in ("id",) if c in media.records.column_names])
    return table.add_column(0, "id", pa.array(media.ids, pa.string())).combine_chunks()


def records_of(media: Media, size: int) -> Iterator[pa.RecordBatch]:
    """Return the records of a folder, with their ids, in blocks of `size`."""
    return iter(with_ids(media).to_batches(size))


def decoded(decoder: Decoder, media: Media, run: Run, workers: int, *, skip_bad: bool) -> Decoded:
    """Return the decoded files of a folder, from the cache where they are there."""
    return decode(media, decoder, skip_bad=skip_bad, run=replace(run, workers=workers, log=silent))


# --------------------------------------------------------------------------------------------- fitted weights


def fitted_beside(output: Path, name: str) -> Path:
    """Return where the weights are that an extractor fits: TABLE.NAME.safetensors beside TABLE.parquet."""
    return output.with_name(f"{output.stem}.{name}.safetensors")


def save_fitted(path: Path, weights: Mapping[str, Tensor], *, force: bool) -> None:
    """Write fitted weights, atomically."""
    with atomic(path, force=force) as temporary:
        safetensors.torch.save_file({k: v.detach().cpu().contiguous() for k, v in weights.items()}, temporary)
