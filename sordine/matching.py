"""Which numbers of two tables are the same feature: by the names of their columns, never by position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sordine.errors import SordineError
from sordine.recipe import silent
from sordine.table import Table
from sordine.tablefile import reordered


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
