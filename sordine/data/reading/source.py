"""What every reader returns: columns, number of rows, and the rows in blocks."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from sordine.run import LOGGER

BLOCK_ROWS = 8192
# Everything that the readers of Arrow and NumPy raise on a file that is damaged or of another format.
READ_ERRORS = (pa.ArrowException, OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, SyntaxError)

_stated: set[str] = set()


@dataclass(frozen=True)
class Source:
    """An opened table.

    Parameters
    ----------
    name
        Its path or another name, for messages.
    schema
        Its columns.
    rows
        Number of rows.
    batches
        Returns the rows in order, given column names (None: all) and the largest number of rows of a block.
    about
        A line on how it was read, for the log; "" where nothing had to be detected.
    """

    name: str
    schema: pa.Schema
    rows: int
    batches: Callable[[Sequence[str] | None, int], Iterator[pa.RecordBatch]]
    about: str = ""


def of_arrow(table: pa.Table, name: str, about: str = "") -> Source:
    """Return a table in memory as a source."""

    def batches(columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        chosen = table if columns is None else table.select(list(columns))
        if columns is not None and not len(columns):  # without columns, a block would lose its number of rows
            sizes = (min(rows, table.num_rows - start) for start in range(0, table.num_rows, rows))
            return (pa.RecordBatch.from_struct_array(pa.array([{}] * size, pa.struct([]))) for size in sizes)
        return iter(chosen.to_batches(max_chunksize=rows))

    return Source(name, table.schema, table.num_rows, batches, about)


def state(line: str) -> None:
    """Log a line about a file once."""
    if line and line not in _stated:
        _stated.add(line)
        LOGGER.info(line)


def warn(line: str) -> None:
    """Log a warning about a file once."""
    if line not in _stated:
        _stated.add(line)
        LOGGER.warning(line)


def reason(error: BaseException) -> str:
    """Return the first line of an error without the values of the file that it repeats."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    first = re.sub(r"(got \d+):.*", r"\1", first)
    return re.sub(r"(invalid value|invalid literal|could not convert).*", r"\1", first).rstrip(" :")
