"""What lies in a folder, read with one look at each directory, and the files that label it, read line by line."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from sordine.data.media.kinds import FILE_NAME, FRAME
from sordine.errors import SordineError, nearest

Missing = Literal["error", "skip"]
Validation = Literal["train", "test", "drop"]

TRAIN, TEST, VALIDATION = "train", "test", "validation"


def names_in(folder: Path) -> set[str]:
    """Names of the files right in a folder, hidden ones left out; empty where there is no such folder.

    One look at the folder: no file is looked at by itself.
    """
    try:
        with os.scandir(folder) as entries:
            return {e.name for e in entries if e.is_file() and not e.name.startswith(".")}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise SordineError(f"{folder} cannot be read: {error.strerror or error}") from None


def folders_in(folder: Path) -> list[str]:
    """Names of the folders right in a folder, sorted, hidden ones left out; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise SordineError(f"{folder} cannot be read: {error.strerror or error}") from None


def walk(root: Path) -> list[str]:
    """Every file under a folder, relative to it, with "/" between the parts, sorted; hidden ones left out."""
    found: list[str] = []
    pending = [""]
    while pending:
        inside = pending.pop()
        # A folder that is linked into itself would never end, so links to folders are not followed.
        found += [inside + name for name in names_in(root / inside)]
        pending += [f"{inside}{name}/" for name in folders_in(root / inside) if not (root / inside / name).is_symlink()]
    return sorted(found)


def first_folder(root: Path, names: Iterable[str], what: str) -> Path:
    """The first of the folders that exists. Raises SordineError naming them all where none does."""
    names = list(names)
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise SordineError(f"{root} has no {what}: looked for {', '.join(n + '/' for n in names)}")


def first_file(root: Path, names: Iterable[str]) -> Path | None:
    """The first of the files that exists, None where none does."""
    return next((root / name for name in names if (root / name).is_file()), None)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file in UTF-8 that are not blank, without their ends, with their numbers from 1.

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
    """The rows of a table with a header, as column -> text without spaces around it, with their line numbers.

    Raises SordineError where a needed column is missing or a line has more or fewer fields than the header.
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
            raise SordineError(f"{path} line {number}: {len(fields)} fields where the header has {len(header)}")
        else:
            yield number, dict(zip(header, fields, strict=True))
    if header is None:
        raise SordineError(f"{path} is empty")


def parsed(path: Path) -> Any:
    """What a JSON file holds. Raises SordineError naming the line where it is no JSON."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except FileNotFoundError:
        raise SordineError(f"{path} does not exist") from None
    except json.JSONDecodeError as error:
        raise SordineError(f"{path} line {error.lineno}: not JSON: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError):
        raise SordineError(f"{path} is not JSON in UTF-8") from None
    except OSError as error:
        raise SordineError(f"{path} cannot be read: {error.strerror or error}") from None


def table_of(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Columns of text (and of whole numbers) as a table; None is a missing label."""
    made = {}
    for name, values in columns.items():
        numbers = len(values) > 0 and all(isinstance(v, int) for v in values)
        made[name] = pa.array(values, pa.int64() if numbers else pa.string())
    return pa.table(made)


def present(records: pa.Table, there: Collection[str], where: Path, missing: Missing) -> tuple[pa.Table, list[str]]:
    """The records whose files are there, and notes where some are not or are listed again.

    A file that is listed twice keeps its first record, or the two could not be told apart. where: the file that lists them, named in messages. Raises SordineError with how many are missing unless
    missing="skip", where none is there, and where no record is listed.
    """
    checked("missing", missing, ("error", "skip"))
    if not records.num_rows:
        raise SordineError(f"{where} lists no record to read")
    names = records[FILE_NAME].to_pylist()
    good = [name in there for name in names]
    notes = []
    if FRAME not in records.column_names and len(set(names)) < len(names):
        first_at = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
        fresh = [first_at[name] == row for row, name in enumerate(names)]
        records = records.filter(pa.array(fresh))
        notes.append(f"{fresh.count(False)} records name a file again: only its first record is kept.")
        good = [g for g, f in zip(good, fresh, strict=True) if f]
        names = records[FILE_NAME].to_pylist()
    absent = good.count(False)
    if not absent:
        return records, notes
    first = names[good.index(False)]
    if missing == "error" or absent == len(names):
        advice = "" if absent == len(names) else '; missing="skip" leaves them out'
        raise SordineError(f"{where} lists {first}, which does not exist ({absent} of {len(names)} missing){advice}")
    notes.append(f"{absent} of {len(names)} records name a file that is not there: left out.")
    return records.filter(pa.array(good)), notes


def sides(records: pa.Table, usage: Sequence[str], validation: Validation) -> tuple[pa.Table, list[str]]:
    """The records with `usage` ("train", "validation" or "test") and `split`, for a set with three parts.

    validation: on which side of the split its part goes, or "drop". Returns a note on it too.
    """
    checked("validation", validation, ("train", "test", "drop"))
    table = records.append_column("usage", pa.array(usage, pa.string()))
    table = table.append_column("split", pa.array([validation if u == VALIDATION else u for u in usage], pa.string()))
    n = list(usage).count(VALIDATION)
    if validation == "drop":
        keep = [u != VALIDATION for u in usage]
        return table.filter(pa.array(keep, pa.bool_())), [f"{n} records for validation: left out."] if n else []
    return table, [f"{n} records for validation stand on the {validation} side of the split."] if n else []


def checked(option: str, value: object, known: Iterable[str]) -> None:
    """Raise SordineError where an option has none of its known values."""
    known = list(known)
    if value not in known:
        hint = nearest(value, known) if isinstance(value, str) else f"known: {', '.join(known)}"
        raise SordineError(f"{option}={value!r} is not known; {hint}")


def chosen(option: str, value: str | Iterable[object], known: Iterable[str]) -> tuple[str, ...]:
    """The names that an option lists, given one by one or as text with commas between.

    Raises SordineError where it lists none, one twice, or one that is not known.
    """
    known = list(known)
    names = tuple(v.strip() for v in value.split(",")) if isinstance(value, str) else tuple(map(str, value))
    if not names or not all(names):
        raise SordineError(f"{option} names nothing")
    for name in names:
        if name not in known:
            raise SordineError(f"{option}: {name!r} is not known; {nearest(name, known)}")
        if names.count(name) > 1:
            raise SordineError(f"{option} names {name!r} twice")
    return names
