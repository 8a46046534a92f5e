"""Match two tables: their feature columns by name, their records by id or by content."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sordine.data.record_digests import digests
from sordine.data.table import Table, blocks_of
from sordine.data.table_io import reordered
from sordine.errors import SordineError
from sordine.run import silent


def column_order(features: Sequence[str], wanted: Sequence[str], source: str, other: str) -> np.ndarray | None:
    """Return the positions in `features` of the `wanted` columns.

    Parameters
    ----------
    features, wanted
        Names of feature columns.
    source, other
        What has `features` and what has `wanted`, for messages.

    Returns
    -------
    numpy.ndarray or None
        (k,) int64; None where the order is the same already, or where one side has a single column (the values of a
        list column have no names).

    Raises
    ------
    SordineError
        Where a column is missing or additional; the message names the first one.
    """
    if min(len(features), len(wanted)) < 2 or tuple(features) == tuple(wanted):
        return None
    missing = [name for name in wanted if name not in features]
    if missing:
        raise SordineError(
            f"{source}: feature column {missing[0]!r}{_more(missing)} is missing; {other} has it, so add the column"
        )
    extra = [name for name in features if name not in wanted]
    if extra:
        raise SordineError(
            f"{source}: {extra[0]!r}{_more(extra)} is not a feature column of {other}; leave it out with --features"
        )
    place = {name: i for i, name in enumerate(features)}
    return np.array([place[name] for name in wanted], np.int64)


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def same_columns(
    table: Table, wanted: Sequence[str], other: str, *, widths: bool = False, log: Callable[[str], None] = silent
) -> Table:
    """Return the table with its feature columns in the order `wanted`; `log` takes a line where the order changes.

    A mapped table whose columns change order is loaded into memory.

    Parameters
    ----------
    table
        The table.
    wanted
        Names of feature columns.
    other
        What has the wanted columns, for messages.
    widths
        Whether a table with more or fewer columns is returned as it is; the audit compares releases of any width.
    log
        Takes one line.

    Raises
    ------
    SordineError
        Where a column is missing or additional; the message names the first one.
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
    """A released table with the ids of its originals.

    Attributes
    ----------
    released
        The table.
    notes
        How the records were matched, where not by id.
    by_order
        Whether they were matched by row number.
    """

    released: Table
    notes: tuple[str, ...] = ()
    by_order: bool = False


def same_records(original: Table, released: Table, *, by_order: bool = False) -> SameRecords:
    """Return the released table with the ids of the original one.

    Ids stay as they are where both tables have them, or where both are row numbers of the same table. Where ids are
    missing, records are matched by exact content, provided that every released record is a copy of an original; records
    that are copies of several originals are left out.

    Parameters
    ----------
    original, released
        The two tables.
    by_order
        Match row i with row i where there are no common ids.

    Raises
    ------
    SordineError
        Where the records cannot be matched, or their numbers differ and `by_order` is set.
    """
    if _ids_agree(original, released):
        return SameRecords(released)
    if by_order:
        return _by_order(original, released)
    rows, copies = by_vectors(original, released)
    found = np.flatnonzero(rows >= 0)
    if copies < len(released) or not len(found):
        raise SordineError(_unmatched(original, released, copies))
    note = (
        f"{released.source} and {original.source} have no ids in common. {len(found):,} of {len(rows):,} released "
        "records are exact copies of originals and were matched by content."
    )
    if len(found) < len(rows):
        note += f" The other {len(rows) - len(found):,} are left out: each could be a copy of several originals."
    matched = released.take(found)
    return SameRecords(replace(matched, ids=original.ids[rows[found]], rows_of=original.rows_of), (note,))


def _ids_agree(original: Table, released: Table) -> bool:
    if original.rows_of and original.rows_of == released.rows_of:
        return True
    # Row numbers that Sordine wrote as ids may have lost the note that names their table.
    return not (original.rows_of and released.rows_of) and not set(original.ids).isdisjoint(released.ids)


def _by_order(original: Table, released: Table) -> SameRecords:
    if len(original) != len(released):
        raise SordineError(
            f"{released.source} has {len(released):,} records and {original.source} has {len(original):,}; they cannot "
            "be matched by order, so give both tables a column 'id'"
        )
    note = (
        f"Records of {released.source} and {original.source} were matched by row number, as requested. Nothing "
        "confirms that row i of both is the same record; if it is not, the figures are wrong."
    )
    return SameRecords(replace(released, ids=original.ids, rows_of=original.rows_of), (note,), True)


def _unmatched(original: Table, released: Table, copies: int) -> str:
    if not original.rows_of and not released.rows_of:
        return (
            f"{released.source}: none of its ids occurs in {original.source}; give both tables the same ids. If its "
            "ids are the pseudonyms of a release, audit the transformed table, or keep the link table "
            "(RELEASE.links.parquet) beside the folder of the release"
        )
    if original.rows_of and released.rows_of:
        which = "neither table has a column 'id'"
    else:
        which = f"{(original if original.rows_of else released).source} has no column 'id'"
    found = f" ({copies:,} of {len(released):,} are exact copies of originals)" if copies else ""
    return (
        f"{released.source}: its records{found} cannot be matched with those of {original.source}: {which}; give both "
        "tables the same ids or, if row i of both is the same record, use --match-by-order (match_by_order=True)"
    )


def by_vectors(original: Table, released: Table) -> tuple[np.ndarray, int]:
    """Match released records with the originals that they are exact copies of.

    Contents that occur equally often in both tables are paired in order, because it makes no difference.

    Returns
    -------
    rows, copies
        (n,) int64 rows of the original table, -1 where there is none or several are possible; and how many released
        records are copies at all.
    """
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


def shared_record(table: Table, pool: Table) -> str | None:
    """Return the first id that both tables have with the same content, or None.

    Ids alone may agree by chance: rows without ids are numbered.
    """
    place = {name: row for row, name in enumerate(pool.ids)}
    for row, name in enumerate(table.ids):
        if name in place and np.array_equal(table.x[row], pool.x[place[name]]):
            return str(name)
    return None
