"""Whether a transformed table may leave, and which of its columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from sordine.data.files import sha256
from sordine.data.table import check_ids
from sordine.data.table_io import TableFile, plain_type, read_ids, read_note
from sordine.errors import SordineError
from sordine.evaluation.report import Report
from sordine.keys import Key
from sordine.workflow.release.withholding import Source

# Columns that say which file a record came from. They are never released.
NAMES_OF_FILES = frozenset({"file", "file_name", "filename", "file_path", "filepath", "path"})


@dataclass(frozen=True)
class Working:
    """A transformed table that may be released, before x is loaded.

    Parameters
    ----------
    file
        The table file.
    note
        What `transform` wrote about it.
    policy
        Role -> attribute names.
    kept
        Columns to release, `split` first.
    dropped
        Columns that name files or repeat ids.
    columns
        `id` (where there is one) and the kept columns, in the table's order.
    ids
        (n,) record ids.
    left_out
        (n,) whether a record is withheld.
    """

    file: TableFile
    note: dict[str, Any]
    policy: dict[str, list[str]]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    columns: pa.Table
    ids: np.ndarray
    left_out: np.ndarray

    @property
    def rows(self) -> int:
        """Number of records that are released."""
        return int((~self.left_out).sum())

    def order(self, key: Key) -> np.ndarray:
        """Return the positions of the released records, in keyed order."""
        order = key.order("release order", self.ids)
        return order[~self.left_out[order]]

    def of_released(self, values: Sequence[str] | np.ndarray) -> list[str]:
        """Return the values (n,) of the records that are released."""
        return [str(value) for value, out in zip(values, self.left_out, strict=True) if not out]


def check_working(
    source: Source, key: Key, *, report: Report | None, force_leaky: bool, log: Callable[[str], None]
) -> Working:
    """Load everything of a transformed table but x, and say which records are left out.

    Raises
    ------
    SordineError
        Where it must not be released: see `release`.
    """
    transformed = source.path
    file = TableFile(transformed)
    note = read_note(transformed, "sordine.transform")
    if not note:
        raise SordineError(
            f"{transformed} was not written by sordine transform; only transformed records can be released"
        )
    policy = {r: [str(n) for n in names] for r, names in (note.get("policy") or {}).items() if isinstance(names, list)}
    _check_columns(file, policy)
    _check_report(report, transformed, force_leaky)
    if note.get("key") not in (None, key.fingerprint):
        log("pseudonyms and order come from another key than the transformation, as given")

    dropped = tuple(n for n in file.other if n.lower() in NAMES_OF_FILES)
    if dropped:
        log(f"columns left out because they name files: {', '.join(dropped)}")
    kept = [n for n in file.other if n not in ("id", *dropped)]
    unexpected = [n for n in kept if n not in ("split", *note.get("kept", ()))]
    if unexpected and not force_leaky:
        raise SordineError(
            f"{transformed}: column {unexpected[0]!r} was not written by sordine transform: remove it, or give "
            "--despite-findings to release it"
        )
    kept.sort(key=lambda n: n != "split")
    columns = _load_columns(file, [*(n for n in ("id",) if n in file.other), *kept])
    ids = read_ids(columns, file.rows)
    check_ids(ids, transformed.name)
    left_out = source.left_out(ids)
    if source.withheld is not None:
        for sentence in source.withheld.changes(ids.tolist(), left_out):
            log(sentence)
    copies = tuple(n for n in kept if _repeats_ids(columns[n], ids))
    if copies:
        log(f"columns left out because they contain the ids of the records: {', '.join(copies)}")
        kept, dropped = [n for n in kept if n not in copies], (*dropped, *copies)
        columns = columns.drop_columns(list(copies))
    return Working(file, note, policy, tuple(kept), dropped, columns, ids, left_out)


def _check_columns(file: TableFile, policy: dict[str, list[str]]) -> None:
    beside = [n for n in policy.get("suppress", []) if n in file.other]
    if beside:
        raise SordineError(
            f"{file.path}: the table contains the suppressed column {beside[0]!r}, which must not be released: "
            "remove it"
        )


def _check_report(report: Report | None, transformed: Path, force_leaky: bool) -> None:
    if report is None:
        return
    made_for = report.made.get("released_sha256")
    if made_for is not None and made_for != sha256(transformed):
        raise SordineError(f"the report is about other records than {transformed}: audit these records first")
    if report.verdict.level in ("leaks", "broken") and not force_leaky:
        raise SordineError(
            f"the audit's result is {report.verdict.level!r}: {report.verdict.title}; "
            "give --despite-findings to release it anyway"
        )
    if report.passed is False and not force_leaky:
        raise SordineError(
            f"the audit found more than its limit of {100 * (report.max_leakage or 0.0):g} %: {report.verdict.title}; "
            "give --despite-findings to release it anyway"
        )


def _load_columns(file: TableFile, names: list[str]) -> pa.Table:
    if not names:
        return pa.table({})
    schema = pa.schema([pa.field(n, plain_type(file.schema.field(n).type)) for n in names])
    parts = [pa.Table.from_batches([block]).cast(schema) for block in file.blocks(names)]
    return pa.concat_tables(parts).combine_chunks()


def _repeats_ids(column: pa.ChunkedArray, ids: np.ndarray) -> bool:
    """Whether more than half of a column's values reveal the id of their own record: see `_forms`."""
    kind = column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        return False
    found = sum(
        value is not None and bool(_forms(str(value)) & _forms(str(name)))
        for value, name in zip(column.to_pylist(), ids, strict=True)
    )
    return 2 * found > len(ids)


def _forms(name: str) -> set[str]:
    """An id or a file name as it is, without its folder, and without folder and suffix."""
    path = PurePosixPath(name.replace("\\", "/"))
    return {name, path.name, path.stem} - {""}
