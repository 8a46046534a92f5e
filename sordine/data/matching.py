"""Which features and which records of two tables are the same: by names of columns and by ids, not by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sordine.data.record_digests import blocks_of, digests
from sordine.data.table import Table
from sordine.data.table_io import reordered
from sordine.errors import SordineError
from sordine.run import silent


def column_order(features: Sequence[str], wanted: Sequence[str], source: str, other: str) -> np.ndarray | None:
    """Places in `features` of the `wanted` columns: (k,) int64; None where they stand in that order already, or where one
    side has a single column (a list of numbers has no names within).

    source, other: what has these features, and what has the wanted ones, for the message. Raises SordineError naming a
    column that is missing or additional.
    """
    if min(len(features), len(wanted)) < 2 or tuple(features) == tuple(wanted):
        return None
    missing = [name for name in wanted if name not in features]
    if missing:
        raise SordineError(
            f"{source}: feature column {missing[0]!r} is missing{_more(missing)}; {other} has it: add the column"
        )
    extra = [name for name in features if name not in wanted]
    if extra:
        raise SordineError(
            f"{source}: {extra[0]!r} is not a feature column of {other}{_more(extra)}: leave it out (--features)"
        )
    place = {name: i for i, name in enumerate(features)}
    return np.array([place[name] for name in wanted], np.int64)


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def same_columns(
    table: Table, wanted: Sequence[str], other: str, *, widths: bool = False, log: Callable[[str], None] = silent
) -> Table:
    """The table with its feature columns in the order `wanted`, which is said to `log` where it differs.

    other: what has the wanted columns, for people. widths: whether a table of more or fewer columns passes as it is (the
    audit compares releases of any width). A mapped table whose columns must move is read into memory.
    Raises SordineError naming a column that is missing or additional.
    """
    if widths and len(table.features) != len(wanted):
        return table
    order = column_order(table.features, wanted, table.source, other)
    if order is None:
        return table
    log(reordered(table.source, other))
    return replace(table, x=np.asarray(table.x)[:, order], features=tuple(wanted))


@dataclass(frozen=True)
class SameRecords:
    """A released table by the ids of its originals; notes: how they were found, where not by id; by_order: by row number."""

    released: Table
    notes: tuple[str, ...] = ()
    by_order: bool = False


def same_records(original: Table, released: Table, *, by_order: bool = False) -> SameRecords:
    """The released table with the ids of the original one.

    Ids that were given, or that are row numbers of one and the same table, stay as they are. Where ids are missing, they
    are found by exact vectors, provided that every released record is a copy of an original; records whose vector does not
    say which original they are, are left out. by_order: else row i of both is taken to be the same record.
    Raises SordineError where records cannot be matched, and where they are to be matched by order and their numbers differ.
    """
    if _ids_agree(original, released):
        return SameRecords(released)
    if by_order:
        return _by_order(original, released)
    rows, copies = by_vectors(original, released)
    kept = np.flatnonzero(rows >= 0)
    if copies < len(released) or not len(kept):
        raise SordineError(_unmatched(original, released, copies))
    note = (
        f"{released.source} and {original.source} have no ids in common: {len(kept):,} of {len(rows):,} released records are bit for bit "
        "copies of originals and were matched by their contents."
    )
    if len(kept) < len(rows):
        note += f" The other {len(rows) - len(kept):,} are left out: each could be a copy of several originals."
    found = released.take(kept)
    return SameRecords(replace(found, ids=original.ids[rows[kept]], rows_of=original.rows_of), (note,))


def _ids_agree(original: Table, released: Table) -> bool:
    if original.rows_of == released.rows_of:
        return True
    # Row numbers that Sordine wrote as ids may have lost the note that says whose they are.
    return not (original.rows_of and released.rows_of) and not set(original.ids).isdisjoint(released.ids)


def _by_order(original: Table, released: Table) -> SameRecords:
    if len(original) != len(released):
        raise SordineError(
            f"{released.source} has {len(released):,} records and {original.source} {len(original):,}: they cannot be matched by "
            "order; give both tables a column 'id'"
        )
    note = (
        f"Records of {released.source} and {original.source} were matched by row number, as asked: nothing shows that row i of "
        "both is the same record. If it is not, the figures are wrong."
    )
    return SameRecords(replace(released, ids=original.ids, rows_of=original.rows_of), (note,), True)


def _unmatched(original: Table, released: Table, copies: int) -> str:
    if original.rows_of and released.rows_of:
        which = "the tables share no ids, only row numbers of their own"
    else:
        which = f"{(original if original.rows_of else released).source} has no column 'id'"
    found = f" ({copies:,} of {len(released):,} are bit for bit copies of originals)" if copies else ""
    return (
        f"{released.source}: its records{found} cannot be matched with those of {original.source}: {which}; give both tables the "
        "same ids, or, if row i of both is the same record, --match-by-order (match_by_order=True)"
    )


def by_vectors(original: Table, released: Table) -> tuple[np.ndarray, int]:
    """Which original each released record is a copy of: rows (n,) int64, -1 where it is none's or several would do; and how
    many are copies at all. Vectors that stand equally often in both tables are paired in order, as it makes no difference."""
    rows = np.full(len(released), -1, np.int64)
    if original.shape != released.shape:
        return rows, 0
    after = digests(blocks_of(released.x))
    times = Counter(after)
    places: dict[bytes, list[int]] = {}
    for row, digest in enumerate(digests(blocks_of(original.x))):
        if digest in times:
            places.setdefault(digest, []).append(row)
    left = {digest: iter(found) for digest, found in places.items() if len(found) == times[digest]}
    for row, digest in enumerate(after):
        if digest in left:
            rows[row] = next(left[digest])
    return rows, sum(times[digest] for digest in places)
