"""Draw records and divide them, in an order that depends on a key and the ids alone, never on the order of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sordine.errors import SordineError
from sordine.keys import Key


def keyed_ranks(key: Key, purpose: str, ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the rank of each record in the keyed order: (n,) int64."""
    ranks = np.empty(len(ids), np.int64)
    ranks[key.order(purpose, ids)] = np.arange(len(ids))
    return ranks


def sample(key: Key, purpose: str, ids: np.ndarray, most: int, among: np.ndarray | None = None) -> np.ndarray:
    """Return the positions of at most `most` records, the first ones in keyed order.

    Parameters
    ----------
    key, purpose
        Which draw it is; the same key and purpose give the same records.
    ids
        (n,) ids of all records.
    most
        How many positions to return at most.
    among
        Positions to draw from; by default all.

    Returns
    -------
    numpy.ndarray
        Sorted positions, int64.
    """
    among = np.arange(len(ids)) if among is None else among
    return np.sort(among[key.order(purpose, ids[among])[:most]])


def stratified_parts(ranks: np.ndarray, strata: Sequence[np.ndarray], parts: int) -> np.ndarray:
    """Return a part number for each record, such that every part has its share of every class.

    Parameters
    ----------
    ranks
        (n,) from `keyed_ranks`; they order the records of one class.
    strata
        Label columns (n,); their combinations are the classes.
    parts
        How many parts there are.

    Returns
    -------
    numpy.ndarray
        (n,) int64, 0 to parts - 1.
    """
    part = np.empty(len(ranks), np.int64)
    part[np.lexsort((ranks, *strata))] = np.arange(len(ranks)) % parts
    return part


def group_parts(ranks: np.ndarray, group: np.ndarray, parts: int) -> np.ndarray:
    """Return a part number for each record: whole groups, and parts of similar size.

    Parameters
    ----------
    ranks
        (n,) from `keyed_ranks`; they order groups of the same size.
    group
        (n,) group codes.
    parts
        How many parts there are.

    Returns
    -------
    numpy.ndarray
        (n,) int64, 0 to parts - 1.
    """
    codes, counts = np.unique(group, return_inverse=True, return_counts=True)[1:]
    first = np.full(len(counts), len(group))
    np.minimum.at(first, codes, ranks)
    load = np.zeros(parts)
    part = np.empty(len(counts), np.int64)
    for g in np.lexsort((first, -counts)):  # the largest group first, each to the smallest part so far
        part[g] = load.argmin()
        load[part[g]] += counts[g]
    return part[codes]


def whole_groups(key: Key, purpose: str, ids: np.ndarray, group: np.ndarray, wanted: float) -> np.ndarray:
    """Return whole groups, in keyed order, until they hold `wanted` records; at least one group is left out.

    Parameters
    ----------
    key, purpose
        Which draw it is.
    ids
        (n,) ids of all records.
    group
        (n,) group codes.
    wanted
        How many records the chosen groups should hold.

    Returns
    -------
    numpy.ndarray
        (n,) bool, True for the records of the chosen groups.

    Raises
    ------
    SordineError
        Where there are fewer than two groups.
    """
    names, codes, counts = np.unique(group, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise SordineError("column 'group' has only one group; a split by groups needs at least two")
    held = 0
    chosen = np.zeros(len(names), bool)
    for g in key.order(purpose, _group_ids(ids, codes, len(names)))[:-1]:
        if held >= wanted:
            break
        chosen[g] = True
        held += counts[g]
    return chosen[codes]


def _group_ids(ids: np.ndarray, codes: np.ndarray, groups: int) -> list[str]:
    """Return the smallest id of each group: a name for the group that does not depend on the order of rows."""
    found: list[str | None] = [None] * groups
    for name, g in zip(ids.tolist(), codes.tolist(), strict=True):
        smallest = found[g]
        if smallest is None or name < smallest:
            found[g] = name
    return [str(name) for name in found]


def public_rows(key: Key, ids: np.ndarray, group: np.ndarray | None, share: float) -> np.ndarray:
    """Return which records are public (X2 of Inversion): about `share` of them, whole groups where there are groups.

    Parameters
    ----------
    key
        Key of the draw.
    ids
        (n,) ids of all records.
    group
        (n,) group codes, or None.
    share
        Between 0 and 1.

    Returns
    -------
    numpy.ndarray
        (n,) bool; at least one record is public.
    """
    wanted = max(1, round(share * len(ids)))
    if group is not None and len(np.unique(group)) > 1:
        return whole_groups(key, "public", ids, group, wanted)
    chosen = np.zeros(len(ids), bool)
    chosen[sample(key, "public", ids, wanted)] = True
    return chosen
