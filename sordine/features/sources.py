"""The two kinds of source: raw tables and media folders, block by block; and the files beside an output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import safetensors.torch
from torch import Tensor

from sordine.data.files import atomic
from sordine.data.media.cache import Decoded, Decoder, decode
from sordine.data.media.kinds import Media
from sordine.data.reading.columns import plain
from sordine.data.reading.files import is_table_file, open_file, parts_in
from sordine.data.reading.options import current
from sordine.data.reading.source import READ_ERRORS, reason, state
from sordine.data.table_io import memory_limit
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
    """Return the only table file of a folder, or the folder itself where it holds one table in Parquet parts.

    Raises
    ------
    SordineError
        Where there is none, or more than one.
    """
    if len(parts_in(folder)) > 1:
        return folder
    tables = sorted(p for p in folder.iterdir() if is_table_file(p))
    if len(tables) != 1:
        found = f"{len(tables)} table files" if tables else "no table file"
        raise SordineError(
            f"folder {folder} has no metadata.csv and {found}; give a media folder, or name one table file"
        )
    return tables[0]


def open_table(path: Path) -> RawTable:
    """Return a table as a source, with columns of plain types. Of a Parquet file, one block is in memory at a time.

    Raises
    ------
    SordineError
        Where the file is not a table, or is empty.
    """
    options = current()
    opened = open_file(path, options, memory_limit())
    state(opened.about)
    found = plain(opened, options)

    def blocks() -> Iterator[pa.RecordBatch]:
        try:
            yield from found.batches(None, BLOCK)
        except READ_ERRORS as error:
            raise SordineError(f"{path} is damaged or cut short: {reason(error)}") from None

    return _checked(RawTable(path, found.schema, found.rows, blocks))


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
