"""Helpers of the layouts: list folders, and load the files with the labels line by line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from sordine.data.hostile import JSON_BYTES, parse_json, read_limited
from sordine.data.media.kinds import FILE_NAME, FRAME
from sordine.errors import SordineError, nearest

Missing = Literal["error", "skip"]
Validation = Literal["train", "test", "drop"]

TRAIN, TEST, VALIDATION = "train", "test", "validation"


def names_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder, without hidden ones; empty where there is no such folder.

    The folder is listed once; no file is opened or checked by itself.
    """
    try:
        with os.scandir(folder) as entries:
            return {e.name for e in entries if e.is_file() and not e.name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise SordineError(f"{folder} cannot be read: {error.strerror or error}") from None


def folders_in(folder: Path) -> list[str]:
    """Return the sorted names of the folders in a folder, without hidden ones; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SordineError(f"{folder} cannot be read: {error.strerror or error}") from None


def walk(root: Path) -> list[str]:
    """Return every file below a folder, sorted, relative to it with "/" between the parts, without hidden ones."""
    found: list[str] = []
    pending = [""]
    while pending:
        inside = pending.pop()
        # Links to folders are not followed: a folder that is linked into itself would never end.
        found += [inside + name for name in names_in(root / inside)]
        pending += [f"{inside}{name}/" for name in folders_in(root / inside) if not (root / inside / name).is_symlink()]
    return sorted(found)


def first_folder(root: Path, names: Iterable[str], what: str) -> Path:
    """Return the first of the folders that exists. Raises SordineError, naming them all, where none does."""
    names = list(names)
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise SordineError(f"{root} has no {what}; add one of {', '.join(n + '/' for n in names)}")


def first_file(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first of the files that exists, or None."""
    return next((root / name for name in names if (root / name).is_file()), None)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line) for the lines of a UTF-8 file that are not blank.

    Raises SordineError where the file is missing or is no text.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except FileNotFoundError:
        raise SordineError(f"{path} does not exist") from None
    except UnicodeDecodeError:
        raise SordineError(f"{path} is not text in UTF-8") from None
    except OSError as error:
        raise SordineError(f"{path} cannot be read: {error.strerror or error}") from None


def rows(path: Path, needed: Sequence[str], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, column -> stripped text) for the rows of a table with a header.

    Raises SordineError where a needed column is missing, or a line has more or fewer fields than the header.
    """
    header: list[str] | None = None
    for number, line in lines(path):
        fields = [f.strip() for f in next(csv.reader([line], delimiter=delimiter))]
        if header is None:
            header = fields
            for name in needed:
                if name not in header:
                    raise SordineError(f"{path} has no column {name!r}; {nearest(name, header)}")
        elif len(fields) != len(header):
            raise SordineError(f"{path} line {number}: {len(fields)} fields, but the header has {len(header)}")
        else:
            yield number, dict(zip(header, fields, strict=True))
    if header is None:
        raise SordineError(f"{path} is empty; it needs a header and rows")


def parsed(path: Path) -> Any:
    """Return the content of a JSON file. Raises SordineError, naming the line, where it is no JSON."""
    try:
        return parse_json(read_limited(path, JSON_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        raise SordineError(f"{path} does not exist") from None
    except json.JSONDecodeError as error:
        raise SordineError(f"{path} line {error.lineno}: not JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise SordineError(f"{path} is not JSON in UTF-8") from None
    except ValueError as error:
        raise SordineError(f"{path} is not used: {error}") from None
    except OSError as error:
        raise SordineError(f"{path} cannot be read: {error.strerror or error}") from None


def table_of(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return columns of text or whole numbers as a table; None is a missing label."""
    made = {}
    for name, values in columns.items():
        numbers = len(values) > 0 and all(isinstance(v, int) for v in values)
        made[name] = pa.array(values, pa.int64() if numbers else pa.string())
    return pa.table(made)


def existing_records(
    records: pa.Table, there: Collection[str], where: Path, missing: Missing
) -> tuple[pa.Table, list[str]]:
    """Return the records whose files exist, and notes on those that do not or are listed twice.

    Parameters
    ----------
    records
        With the column `file_name`. Of two records of one file, the first is used.
    there
        The files that exist.
    where
        The file that lists the records, for messages.
    missing
        Whether a missing file is an error or is left out ("skip").

    Raises
    ------
    SordineError
        Where a file is missing and `missing` is "error", where all are missing, and where no record is listed.
    """
    check_choice("missing", missing, ("error", "skip"))
    if not records.num_rows:
        raise SordineError(f"{where} lists no records; at least one is needed")
    names = records[FILE_NAME].to_pylist()
    good = [name in there for name in names]
    notes = []
    if FRAME not in records.column_names and len(set(names)) < len(names):
        first_at = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
        fresh = [first_at[name] == row for row, name in enumerate(names)]
        records = records.filter(pa.array(fresh))
        notes.append(f"{fresh.count(False)} records are left out: their file has an earlier record.")
        good = [g for g, f in zip(good, fresh, strict=True) if f]
        names = records[FILE_NAME].to_pylist()
    absent = good.count(False)
    if not absent:
        return records, notes
    first = names[good.index(False)]
    if missing == "error" or absent == len(names):
        advice = "" if absent == len(names) else '; use missing="skip" to leave them out'
        raise SordineError(f"{where} lists {first}, which does not exist ({absent} of {len(names)} missing){advice}")
    notes.append(f"{absent} of {len(names)} records are left out: their file does not exist.")
    return records.filter(pa.array(good)), notes


def with_usage(records: pa.Table, usage: Sequence[str], validation: Validation) -> tuple[pa.Table, list[str]]:
    """Return the records of a set with three parts with the columns `usage` and `split`, and a note.

    Parameters
    ----------
    records
        The records.
    usage
        "train", "validation" or "test" for each.
    validation
        The side of the split of the validation part, or "drop".
    """
    check_choice("validation", validation, ("train", "test", "drop"))
    table = records.append_column("usage", pa.array(usage, pa.string()))
    table = table.append_column("split", pa.array([validation if u == VALIDATION else u for u in usage], pa.string()))
    n = list(usage).count(VALIDATION)
    if validation == "drop":
        keep = [u != VALIDATION for u in usage]
        return table.filter(pa.array(keep, pa.bool_())), [f"{n} validation records are left out."] if n else []
    return table, [f"{n} validation records are on the {validation} side of the split."] if n else []


def check_choice(option: str, value: object, known: Iterable[str]) -> None:
    """Raise SordineError where an option has an unknown value."""
    known = list(known)
    if value not in known:
        hint = nearest(value, known) if isinstance(value, str) else f"known: {', '.join(known)}"
        raise SordineError(f"{option}={value!r} is not known; {hint}")


def chosen_names(option: str, value: str | Iterable[object], known: Iterable[str]) -> tuple[str, ...]:
    """Return the names that an option lists, as a sequence or as text with commas.

    Raises SordineError where it lists none, one twice, or an unknown one.
    """
    known = list(known)
    names = tuple(v.strip() for v in value.split(",")) if isinstance(value, str) else tuple(map(str, value))
    if not names or not all(names):
        raise SordineError(f"{option} is empty; give at least one of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise SordineError(f"{option}: {name!r} is not known; {nearest(name, known)}")
        if names.count(name) > 1:
            raise SordineError(f"{option} has {name!r} twice; give it once")
    return names
