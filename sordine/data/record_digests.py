"""Digests of records, to find released records that are exact copies of originals."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

DIGEST_BYTES = 16  # two of a billion different records share a digest with a probability under 1e-20


def digests(blocks: Iterable[np.ndarray]) -> list[bytes]:
    """Return a digest of the float32 bits of each record; equal only for equal records.

    Parameters
    ----------
    blocks
        Records in blocks (b, *shape), for example from `sordine.data.table.blocks_of`.
    """
    return [
        hashlib.blake2b(record.data, digest_size=DIGEST_BYTES).digest()
        for block in blocks
        for record in np.ascontiguousarray(block, dtype=np.float32).reshape(len(block), -1)
    ]


def owners(released: Sequence[bytes], table: Sequence[bytes], ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return, for each released record, the row of the table that it is an exact copy of.

    Of several equal rows it is the one whose id sorts first, so that the choice does not depend on which record was
    replaced.

    Parameters
    ----------
    released, table
        `digests` of the released records and of the table.
    ids
        Ids of the table.

    Returns
    -------
    numpy.ndarray
        (n,) int64 rows, -1 where the record is no copy.
    """
    wanted = set(released)
    first: dict[bytes, int] = {}
    for row, digest in enumerate(table):
        if digest in wanted and (digest not in first or ids[row] < ids[first[digest]]):
            first[digest] = row
    return np.array([first.get(digest, -1) for digest in released], np.int64)
