"""Which records a release leaves out: the owner's file of inferred records, and what leaving them out changes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sordine.attacks.tail import TailRecords
from sordine.data.files import atomic
from sordine.errors import SordineError
from sordine.metrics.percent import percent

FORMATS = (".parquet", ".csv")
COLUMNS = ("id", "attribute", "class", "score", "record", "person", "withhold")
LISTED = 5  # classes whose share changes most, in a message


@dataclass(frozen=True)
class Withheld:
    """The records to leave out of a release.

    Parameters
    ----------
    ids
        Their ids.
    classes
        For each attribute, the class of every record of the file, by id.
    """

    ids: frozenset[str] = frozenset()
    classes: dict[str, dict[str, str]] = field(default_factory=dict)

    def changes(self, ids: Sequence[str], left_out: np.ndarray) -> Iterator[str]:
        """Yield what leaving records out changes, in sentences: the number of records, and the shares of classes.

        Parameters
        ----------
        ids
            (n,) ids of the transformed table.
        left_out
            (n,) whether the record is left out.
        """
        n, count = len(ids), int(left_out.sum())
        yield f"{count:,} of {n:,} records are left out; {n - count:,} are released."
        if unknown := len(self.ids.difference(ids)):
            yield f"{unknown:,} of the {len(self.ids):,} records to withhold are not in this table. Check their ids."
        for attribute, of in self.classes.items():
            before = Counter(of[i] for i in ids if i in of)
            after = Counter(of[i] for i, out in zip(ids, left_out, strict=True) if i in of and not out)
            changed = sorted(before, key=lambda c: (after[c] - before[c], c))[:LISTED]
            shown = [
                f"{c}: {before[c] - after[c]:,} left out, {_share(before, c)} before and {_share(after, c)} after"
                for c in changed
                if after[c] != before[c]
            ]
            if shown:
                yield f"Classes of {attribute} that lose most: {'; '.join(shown)}."
        if count:
            yield (
                "Leaving records out tells something too: a receiver that expects one of them learns that it was "
                "inferred. The report describes all records, so audit the remaining ones again."
            )


def _share(counts: Counter[str], name: str) -> str:
    whole = sum(counts.values())
    return percent(counts[name] / whole) if whole else percent(0.0)


def check_format(path: Path) -> None:
    """Raise SordineError unless the file's name ends in .parquet or .csv."""
    if path.suffix.lower() not in FORMATS:
        raise SordineError(f"{path}: the file of inferred records ends in .parquet or .csv; choose another name")


def write_tail(path: Path, found: Sequence[TailRecords], *, force: bool = False) -> int:
    """Write the scores of single records with their ids, readable by the owner alone.

    Returns
    -------
    int
        Number of records to withhold.

    Raises
    ------
    SordineError
        If the file exists without `force`, cannot be written or has another format.
    """
    check_format(path)
    parts = [
        pa.table(
            {
                "id": pa.array([str(i) for i in f.ids], pa.string()),
                "attribute": pa.array([f.attribute] * len(f.ids), pa.string()),
                "class": pa.array([str(c) for c in f.label], pa.string()),
                "score": pa.array(np.asarray(f.score, np.float64), from_pandas=True),
                "record": pa.array(f.record),
                "person": pa.array(f.person),
                "withhold": pa.array(f.record | f.person),
            }
        )
        for f in found
    ]
    kinds = [pa.string()] * 3 + [pa.float64()] + [pa.bool_()] * 3
    schema = pa.schema(list(zip(COLUMNS, kinds, strict=True)))
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    with atomic(path, force=force) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            if path.suffix.lower() == ".csv":
                pyarrow.csv.write_csv(table, file)
            else:
                pq.write_table(table, file)
    return len({i for f in found for i in np.asarray(f.ids)[f.record | f.person].tolist()})


def read_withheld(path: Path) -> Withheld:
    """Return the records that a file of `write_tail` lists to withhold.

    Raises
    ------
    SordineError
        In one line, if the file is missing, damaged or another one.
    """
    check_format(path)
    text = {name: pa.string() for name in COLUMNS[:3]}
    try:
        if path.suffix.lower() == ".csv":
            convert = pyarrow.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
            table = pyarrow.csv.read_csv(path, convert_options=convert)
        else:
            table = pq.read_table(path)
    except FileNotFoundError:
        raise SordineError(f"{path} does not exist; write it with `sordine audit --tail`") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SordineError(f"{path} cannot be read as a table: {reason}") from None
    missing = [name for name in ("id", "attribute", "class", "withhold") if name not in table.column_names]
    if missing:
        raise SordineError(f"{path}: column {missing[0]!r} is missing; give the file that `sordine audit --tail` wrote")
    column = table["withhold"]
    if table.num_rows and (not pa.types.is_boolean(column.type) or column.null_count):
        raise SordineError(f"{path}: column 'withhold' must contain true and false only")
    ids, attributes, classes, out = (table[name].to_pylist() for name in ("id", "attribute", "class", "withhold"))
    of: dict[str, dict[str, str]] = {}
    for name, attribute, label in zip(ids, attributes, classes, strict=True):
        of.setdefault(str(attribute), {})[str(name)] = str(label)
    return Withheld(frozenset(str(i) for i, withheld in zip(ids, out, strict=True) if withheld), of)


@dataclass(frozen=True)
class Source:
    """A transformed table, and the records of it that are left out.

    Parameters
    ----------
    path
        What `transform_file` wrote.
    withheld
        Records to leave out; None releases all.
    """

    path: Path
    withheld: Withheld | None = None

    @classmethod
    def of(cls, given: str | Path | Source) -> Source:
        """Return the source itself, or that of a path."""
        return given if isinstance(given, Source) else cls(Path(given))

    def left_out(self, ids: np.ndarray) -> np.ndarray:
        """Return which records are left out: (n,) bool.

        Raises
        ------
        SordineError
            If the file lists records of another table only, or every record of this one.
        """
        if self.withheld is None or not self.withheld.ids:
            return np.zeros(len(ids), bool)
        found = np.array([str(i) in self.withheld.ids for i in ids], bool)
        if not found.any():
            raise SordineError(
                f"{self.path}: none of the records to withhold is in this table; give the file of this table's audit"
            )
        if found.all():
            raise SordineError(f"{self.path}: every record would be withheld, so nothing would be released")
        return found
