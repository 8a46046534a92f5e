"""The rows of an extracted table: their schema and ids, and blocks of records that several workers encode in order."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sordine.data.table_io import EXTRACT, feature_array, feature_type
from sordine.errors import SordineError
from sordine.run import Run


@dataclass(frozen=True)
class Encoded:
    """A block of the output.

    Attributes
    ----------
    batch
        Its rows.
    done
        How many records of the source it covers.
    bad
        (file, reason) of records that were left out.
    """

    batch: pa.RecordBatch
    done: int
    bad: tuple[tuple[str, str], ...] = ()


def schema_of(
    name: str,
    tool: Any,
    columns: pa.Schema,
    shape: Sequence[int],
    where: str,
    *,
    without: Iterable[str],
    note: Mapping[str, Any],
    dtype: Any = np.float32,
) -> pa.Schema:
    """Return the schema of the output: id, the source's columns, x; the metadata describes how x was made.

    Parameters
    ----------
    name, tool
        The extractor.
    columns
        Of the source.
    shape, dtype
        Of one record of x.
    where
        Start of error messages.
    without
        Columns of the source that are not in the output.
    note
        Plain data for the metadata.
    """
    without = set(without)
    copied = [f for f in columns if f.name not in without]
    for clash in ("x", "id"):
        if clash in [f.name for f in copied]:
            raise SordineError(f"{where}: a column is named {clash!r}, as one of the output; rename it")
    options = {f.name: getattr(tool, f.name) for f in fields(tool) if f.name != "weights"}
    options = {k: str(v) if isinstance(v, Path) else v for k, v in options.items()}
    made = {"extractor": name, "version": tool.version, "options": options, "width": math.prod(shape), **note}
    copied = [pa.field(f.name, _plain(f.type)) for f in copied]
    return pa.schema(
        [("id", pa.string()), *copied, ("x", feature_type(shape, dtype))], {EXTRACT: json.dumps(made).encode()}
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column in the output: dictionaries decoded, one type of string."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) else kind


def batch_of(block: pa.RecordBatch, ids: pa.Array, x: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """Return the output's rows for a block of the source, its ids, and x: vectors (b, width) float32, or pictures."""
    columns = []
    for column in schema.names[1:-1]:
        values = block.column(column)
        columns.append(values if values.type == schema.field(column).type else values.cast(schema.field(column).type))
    return pa.record_batch([ids, *columns, feature_array(x)], schema=schema)


def checked(
    encoded: Iterable[Encoded],
    skipped: list[tuple[str, str]],
    where: str,
    rows: int,
    *,
    skip_bad: bool,
    run: Run,
) -> Iterator[pa.RecordBatch]:
    """Return the blocks to write, and add bad records to `skipped`.

    Raises
    ------
    SordineError
        For missing or repeated ids, for bad records unless `skip_bad`, and where all records are bad.
    """
    done, ids = 0, set[str]()
    for part in encoded:
        skipped.extend(part.bad)
        # After a bad file, the rest is decoded only to count the bad ones.
        if len(part.batch) and (skip_bad or not skipped):
            _check_ids(part.batch, ids, done, where)
            yield part.batch
        done += part.done
        run.step("extract", done, rows)
    if skipped and (not skip_bad or len(skipped) == done):
        what = "bad file" if len(skipped) == 1 else "bad files"
        advice = "" if skip_bad else "; --skip-bad leaves bad files out"
        raise SordineError(f"{skipped[0][1]} ({len(skipped)} {what} of {done}){advice}")


def _check_ids(batch: pa.RecordBatch, ids: set[str], row: int, where: str) -> None:
    for at, name in enumerate(batch.column(0).to_pylist()):
        if name is None:
            raise SordineError(f"{where}: row {row + at}: column 'id' is empty")
        if name in ids:
            raise SordineError(f"{where}: row {row + at}: id {name!r} is repeated; ids must be unique")
        ids.add(name)


def in_order(
    encode: Callable[[pa.RecordBatch, int], Encoded], blocks: Iterable[pa.RecordBatch], workers: int
) -> Iterator[Encoded]:
    """Return encode(block, first row) of each block, in order, computed by `workers` threads.

    At most twice as many blocks are in memory. Threads are enough: decoding, transforms and NumPy's loops release the
    interpreter's lock.
    """
    pending: deque[Future[Encoded]] = deque()
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
