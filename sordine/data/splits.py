"""X1 and X2 of the inversion paper: which records are private, and which ones an adversary may learn on."""

from __future__ import annotations

import numpy as np

from sordine.data.table import Table
from sordine.run import Run


def public_rows(table: Table, share: float, run: Run) -> np.ndarray:
    """Which records serve as X2: (n,) bool, about `share` of them in keyed order, whole groups where the table has them."""
    wanted = max(1, round(share * len(table)))
    chosen = np.zeros(len(table), bool)
    if table.group is None or len(np.unique(table.group)) < 2:
        chosen[run.key.order("public", table.ids)[:wanted]] = True
        return chosen
    names, codes = np.unique(table.group, return_inverse=True)
    # A group is known by its smallest id, so that row order does not matter.
    smallest = [min(table.ids[codes == g]) for g in range(len(names))]
    for g in run.key.order("public", smallest)[:-1]:
        if chosen.sum() >= wanted:
            break
        chosen |= codes == g
    return chosen


def shared(table: Table, pool: Table) -> str | None:
    """The first id that stands in both with the same contents; None where there is none. (Rows without ids of their own are
    numbered, so that ids alone may agree by chance.)"""
    place = {name: row for row, name in enumerate(pool.ids)}
    for row, name in enumerate(table.ids):
        if name in place and np.array_equal(table.x[row], pool.x[place[name]]):
            return str(name)
    return None
