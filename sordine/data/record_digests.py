"""Released records that are copies of original ones, known by their bits: whose they are, and what that alone tells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from sordine.data.table_io import rows_at_once

DIGEST = 16  # bytes: two of a billion different vectors share a digest with a probability under 1e-20
BLOCK = 4096


def digests(blocks: Iterable[np.ndarray]) -> list[bytes]:
    """A digest of each record's bits: (b, *shape) float32 blocks -> one a record, the same only for the same bits."""
    return [
        hashlib.blake2b(record.data, digest_size=DIGEST).digest()
        for block in blocks
        for record in np.ascontiguousarray(block, dtype=np.float32).reshape(len(block), -1)
    ]


def blocks_of(x: Any) -> Iterator[np.ndarray]:
    """Records (n, *shape), a block at a time."""
    most = min(BLOCK, rows_at_once(x.shape[1:]))
    return (np.asarray(x[start : start + most], np.float32) for start in range(0, len(x), most))


def owners(released: Sequence[bytes], table: Sequence[bytes], ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Whose vector each released one is, by `digests`: rows of the table (n,) int64, -1 where it is nobody's.

    Of several records with the same vector it is the one whose id sorts first: the choice says nothing of the record that
    was replaced.
    """
    wanted = set(released)
    first: dict[bytes, int] = {}
    for row, digest in enumerate(table):
        if digest in wanted and (digest not in first or ids[row] < ids[first[digest]]):
            first[digest] = row
    return np.array([first.get(digest, -1) for digest in released], np.int64)
