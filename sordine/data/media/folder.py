"""Media folders of the Hugging Face layout: files and `metadata.csv` (or .jsonl, .parquet) with column `file_name`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from sordine.data.media.kinds import FILE_NAME
from sordine.errors import SordineError, nearest

METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")

# 007 and +1 are names, not numbers, and so is anything of more than 18 digits.
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
_FLOAT = r"^(-?(0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|-?\.[0-9]+|[nN][aA][nN]|-?inf)$"


def metadata_file(folder: str | Path) -> Path | None:
    """Return the metadata file of a folder, or None. Raises SordineError where it has several."""
    found = [Path(folder) / name for name in METADATA if (Path(folder) / name).is_file()]
    if len(found) > 1:
        raise SordineError(f"{folder} has both {found[0].name} and {found[1].name}; keep one")
    return found[0] if found else None


def read_csv(path: str | Path) -> pa.Table:
    """Return a CSV file as a table: each column int64, float64 or string; an empty field is missing.

    All values of a column decide its type: names of digits with leading zeros stay names, and nothing becomes a date.

    Raises
    ------
    SordineError
        Where the file is not CSV in UTF-8, or two columns have one name.
    """
    try:
        with pa.csv.open_csv(path) as head:
            names = head.schema.names
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        )
        # A quoted field may contain a line break.
        parse = pa.csv.ParseOptions(newlines_in_values=True)
        table = pa.csv.read_csv(path, convert_options=convert, parse_options=parse)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise SordineError(f"{path} cannot be read as CSV: {_line(error)}") from None
    for name in names:
        if names.count(name) > 1:
            raise SordineError(f"{path} has column {name!r} twice; rename or remove one")
    return pa.table({name: _typed(table[name]) for name in names})


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _typed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return column
    for pattern, kind in ((_INTEGER, pa.int64()), (_FLOAT, pa.float64())):
        if pc.all(pc.match_substring_regex(column, pattern)).as_py():
            return column.cast(kind)
    return column


def read_metadata(folder: str | Path) -> pa.Table:
    """Return the metadata of a media folder, in the order of the file; `file_name` is relative to the folder.

    Raises
    ------
    SordineError
        Where the folder or its metadata is missing or unreadable, where `file_name` is missing, empty, repeated or
        outside the folder, and where a file does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SordineError(
            f"media folder {folder} does not exist" if not folder.exists() else f"{folder} is not a folder"
        )
    path = metadata_file(folder)
    if path is None:
        raise SordineError(f"media folder {folder} has no metadata.csv (nor metadata.jsonl, metadata.parquet)")
    table = _read(path)
    if FILE_NAME not in table.column_names:
        raise SordineError(f"{path} has no column {FILE_NAME!r}; {nearest(FILE_NAME, table.column_names)}")
    if not table.num_rows:
        raise SordineError(f"{path} has no rows; at least one is needed")
    try:
        names = table[FILE_NAME].cast(pa.string()).to_pylist()
    except (pa.ArrowException, UnicodeError):
        raise SordineError(f"{path}: column {FILE_NAME!r} is {table[FILE_NAME].type}; it must be text") from None
    _check_names(path, names)
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        more = f" ({len(missing)} of {len(names)} files are missing)" if len(missing) > 1 else ""
        raise SordineError(f"{path} names {missing[0]}, which does not exist{more}")
    return table.set_column(table.column_names.index(FILE_NAME), FILE_NAME, pa.array(names, pa.string()))


def _read(path: Path) -> pa.Table:
    if path.suffix == ".csv":
        return read_csv(path)
    try:
        return pa.json.read_json(path) if path.suffix == ".jsonl" else pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SordineError(f"{path} cannot be read: {_line(error)}") from None


def _check_names(path: Path, names: list[str | None]) -> None:
    """Raise SordineError where a name is empty, repeated, or outside the folder."""
    rows: dict[PurePosixPath, int] = {}
    for row, name in enumerate(names, 1):
        if not name:
            raise SordineError(f"{path} row {row}: {FILE_NAME} is empty")
        pure = PurePosixPath(name)
        # By the name alone: the cache of a hub consists of links to other folders, which are the owner's.
        if pure.is_absolute() or ".." in pure.parts or PureWindowsPath(name).drive or "\0" in name:
            raise SordineError(f"{path} row {row}: {FILE_NAME} {name!r} is outside the folder")
        if pure in rows:
            raise SordineError(f"{path} names {name} twice, in rows {rows[pure]} and {row}")
        rows[pure] = row
