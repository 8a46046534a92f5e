"""Data frames of other libraries as Arrow tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from sordine.data.reading.files import column_of
from sordine.data.reading.source import READ_ERRORS, reason, warn
from sordine.errors import SordineError

KINDS = "a data frame of pandas or Polars, a pyarrow table, a DuckDB relation or a data set of Hugging Face"


def arrow_of(frame: Any, source: str = "data frame") -> pa.Table:
    """Return a data frame as an Arrow table, its rows in order, without an index.

    Parameters
    ----------
    frame
        A data frame of pandas or Polars, a table or a reader of pyarrow, a DuckDB relation, a data set of Hugging Face,
        a mapping of name -> values, or any other object with `__arrow_c_stream__`.
    source
        Where it came from, for messages.

    Raises
    ------
    SordineError
        Where it is none of these, or a column cannot be an Arrow column.
    """
    try:
        return _arrow_of(frame, source)
    except READ_ERRORS as error:
        raise SordineError(f"{source}: the frame cannot be read as columns: {reason(error)}") from None


def _arrow_of(frame: Any, source: str) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if isinstance(frame, pa.RecordBatchReader):
        return frame.read_all()
    if _is_pandas(frame):
        return _of_pandas(frame, source)
    if hasattr(frame, "with_format") and hasattr(frame, "features"):
        return _of_datasets(frame, source)
    if not hasattr(frame, "__arrow_c_stream__") and hasattr(frame, "collect"):  # a lazy frame
        frame = frame.collect()
    if hasattr(frame, "__arrow_c_stream__"):
        return pa.table(frame)
    if isinstance(frame, Mapping):
        if frame and all(hasattr(part, "features") for part in frame.values()):
            names = ", ".join(map(repr, frame))
            raise SordineError(f"{source}: these are several data sets ({names}); give one of them")
        return pa.table({str(n): _column(v, str(n), source) for n, v in frame.items()})
    raise SordineError(f"{source} is {type(frame).__name__}; give {KINDS}")


def _is_pandas(frame: Any) -> bool:
    return (
        type(frame).__name__ == "DataFrame"
        and hasattr(frame, "columns")
        and hasattr(frame, "dtypes")
        and (hasattr(frame, "iloc"))
    )


def _of_pandas(frame: Any, source: str) -> pa.Table:
    names = [str(name) for name in frame.columns]
    repeated = [n for n in names if names.count(n) > 1]
    if repeated:
        raise SordineError(f"{source}: column {repeated[0]!r} occurs twice; rename or remove one")
    return pa.table({n: _column(frame.iloc[:, i], n, source) for i, n in enumerate(names)})


def _of_datasets(frame: Any, source: str) -> pa.Table:
    if not hasattr(frame, "__len__"):
        raise SordineError(f"{source}: the data set is a stream of unknown length; load it without streaming")
    table = frame.with_format("arrow")[:]
    # The metadata names the classes; `[:]` may lose it.
    metadata = frame.features.arrow_schema.metadata or {}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **metadata})


def _column(values: Any, name: str, source: str) -> pa.Array:
    """Return one column. Values of several types become text, and a warning names the column."""
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return column_of(values, name, source)
    try:
        made = pa.array(values, from_pandas=True)
        return made.combine_chunks() if isinstance(made, pa.ChunkedArray) else made
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError, ValueError):
        listed = [plain_value(v) for v in values]
    try:
        return pa.array(listed, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        pass
    if any(isinstance(v, list | dict | tuple) for v in listed):
        raise SordineError(f"{source}: column {name!r} mixes lists with other values; give every row the same kind")
    warn(f"{source}: column {name!r} has values of several types; they are compared as text, so that 1 and '1' are one")
    return pa.array([None if is_null(v) else str(v) for v in listed], pa.string())


def is_null(value: Any) -> bool:
    """Return whether a plain value is missing."""
    nan = isinstance(value, float) and value != value
    return nan or value is None or type(value).__name__ in ("NAType", "NaTType")


def plain_value(value: Any) -> Any:
    """Return a value without the array, tensor or NumPy scalar around it: a number, text or a list."""
    if type(value).__module__.partition(".")[0] in ("torch", "numpy", "jax", "tensorflow") and hasattr(value, "tolist"):
        value = value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
