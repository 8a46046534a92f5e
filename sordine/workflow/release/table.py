"""Release a transformed table: pseudonyms for ids, a keyed order of rows, a manifest; the link table stays behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from sordine.data.files import atomic_together
from sordine.data.table import check_finite
from sordine.data.table_io import TableFile, feature_array, feature_type, plain_type, rows_at_once, write_blocks
from sordine.evaluation.report import Report
from sordine.keys import Key
from sordine.run import Run, accepts_run_keywords
from sordine.workflow.release.checks import Working, check_working
from sordine.workflow.release.manifest import (
    Released,
    announce,
    check_output,
    seal,
    type_in_words,
    write_links,
    write_manifest,
)
from sordine.workflow.release.withholding import Source

TABLE = "table.parquet"


@accepts_run_keywords
def release(
    transformed: str | Path | Source,
    output: str | Path,
    *,
    key: Key,
    report: Report | None = None,
    run: Run | None = None,
    force: bool = False,
    force_leaky: bool = False,
) -> Released:
    """Write the directory that may leave, and the link table (pseudonym, id) beside it.

    Records are loaded once, in blocks; only ids and kept columns are held in memory.

    Parameters
    ----------
    transformed
        What `transform_file` wrote; a `Source` leaves records out.
    output
        Directory to write.
    key
        Secret key of pseudonyms and order; it may differ from that of the transformation.
    report, run
        Report of the audit, for the manifest; log.
    force, force_leaky
        Replace an earlier release; release although the report found that the records leak or are broken.

    Raises
    ------
    SordineError
        Where the output exists without `force`, the table contains a suppressed column, it was not written by
        `transform_file`, or the report is about other records. Unless `force_leaky`, also where the report found that
        the records leak or are broken, records contain NaN, or columns were added. Nothing is written.
    """
    source, output, run = Source.of(transformed), Path(output), run or Run()
    links = check_output(output, force)
    found = check_working(source, key, report=report, force_leaky=force_leaky, log=run.log)
    file, kept, ids = found.file, list(found.kept), found.ids
    pseudonyms, order = key.pseudonyms(ids), found.order(key)

    schema = _schema(found)
    with atomic_together(output, links, force=force) as (folder, link_table):
        folder.mkdir()
        write_links(link_table, found, pseudonym=pseudonyms, id=ids.tolist())
        with tempfile.TemporaryFile(dir=output.absolute().parent) as spilled:  # without a name: gone with the process
            spill(file, spilled, ids, check=not force_leaky)
            blocks = _in_order(spilled, file, found.columns.select(kept), schema, pseudonyms, order)
            write_blocks(folder / TABLE, schema, blocks)
        written = {
            "files": {TABLE: seal(folder / TABLE)},
            "rows": found.rows,
            "columns": {f.name: type_in_words(f.type, file.shape) for f in schema},
        }
        manifest = write_manifest(folder, written, found, report)
    announce(links, report, run.log)
    return Released(output, links, found.rows, tuple(schema.names), found.dropped, manifest)


def _schema(found: Working) -> pa.Schema:
    """The columns of the released table: id, the kept ones, and x under its own name."""
    file = found.file
    kept = (pa.field(n, plain_type(found.columns.schema.field(n).type)) for n in found.kept)
    name_of_x = file.features[0] if len(file.features) == 1 else "x"
    return pa.schema([pa.field("id", pa.string()), *kept, pa.field(name_of_x, feature_type(file.shape, file.dtype))])


def spill(file: TableFile, spilled: IO[bytes], ids: np.ndarray, check: bool) -> None:
    """Write the records as one plain array, in the order of the table, so that any row is found by its position."""
    first = 0
    for block in file.blocks(file.features):
        x = file.x(block, first)
        if check:
            check_finite(x, ids[first : first + len(x)], str(file.path))
        spilled.write(np.ascontiguousarray(x, dtype=file.dtype).data)
        first += len(x)
    spilled.flush()


def rows_in_order(spilled: IO[bytes], file: TableFile, order: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the spilled records in another order, in blocks: positions in the table (b,), and records (b, *shape)."""
    width = file.dtype.itemsize * int(np.prod(file.shape))
    handle, size = spilled.fileno(), rows_at_once(file.shape)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        x = np.empty((len(rows), *file.shape), file.dtype)
        flat = x.reshape(len(rows), -1)
        for i in np.argsort(rows):  # in the order of the file
            flat[i] = np.frombuffer(os.pread(handle, width, int(rows[i]) * width), file.dtype)
        yield rows, x


def _in_order(
    spilled: IO[bytes], file: TableFile, beside: pa.Table, schema: pa.Schema, pseudonyms: list[str], order: np.ndarray
) -> Iterator[pa.RecordBatch]:
    for rows, x in rows_in_order(spilled, file, order):
        names = pa.array([pseudonyms[r] for r in rows], pa.string())
        columns = [beside[n].take(pa.array(rows)).combine_chunks() for n in beside.schema.names]
        yield pa.record_batch([names, *columns, feature_array(x)], schema=schema)
