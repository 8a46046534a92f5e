"""What an attacker has who holds the modifier: the channel P(j | x) where its output is discrete, else releases of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sordine.data.table import Table
from sordine.keys import Key, numpy_rng
from sordine.models.modifier import PEAK, Modifier

REDRAWN = 16  # keys under which each tried record is read, the release's own first
BLOCK = 512  # records drawn at a time


def takes(modifier: Modifier | None, table: Table) -> bool:
    """Whether the modifier takes records of this table's shape."""
    return modifier is not None and tuple(modifier.card.input.get("shape", table.shape)) == table.shape


def channel(
    modifier: Modifier, before: Table, after: np.ndarray, key: Key | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """P(j | x) of originals (n, M) float32, equal outputs taken together, and which of them each record's release is: (n,).
    None where `drawn_index` cannot tell that."""
    index, same = drawn_index(modifier, before, after, key)
    if index is None:
        return None
    p = modifier.output_distributions(before.x)
    if same is not None:
        merged = np.zeros((len(p), int(same.max()) + 1), np.float32)
        for j, to in enumerate(same):
            merged[:, to] += p[:, j]
        p = merged
    return p, index


def drawn_index(
    modifier: Modifier, before: Table, after: np.ndarray, key: Key | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Which output each record's release is: (n,) codes; and the code of each of the channel's M outputs (M,), or None where
    they are the channel's own. Equal outputs have one code.

    Found by the bits of the modifier's `substitutes`, where it holds them; else drawn again with the key. (None, None)
    where neither gives what was released.
    """
    outputs = getattr(modifier, "substitutes", None)
    if outputs is not None and len(outputs) and outputs[0].numel() == after[0].size:
        shown = outputs.detach().cpu().numpy().reshape(len(outputs), -1)
        if modifier.output_dtype == np.uint8:
            shown = np.clip(np.rint(shown), 0, PEAK)
        code: dict[bytes, int] = {}
        same = np.array([code.setdefault(row.tobytes(), len(code)) for row in shown.astype(np.float32)])
        flat = np.ascontiguousarray(after.reshape(len(after), -1), np.float32)
        index = np.array([code.get(row.tobytes(), -1) for row in flat])
        if (index >= 0).all():
            return index, same if len(code) < len(same) else None
    if key is not None and modifier.noise:
        x, drawn = modifier.release(np.asarray(before.x), before.ids, key)
        if drawn is not None and x.shape == after.shape and np.array_equal(np.asarray(x, np.float32), after):
            return drawn, None
    return None, None


def redrawn(p: np.ndarray, index: np.ndarray) -> np.ndarray:
    """What each record would be under REDRAWN keys, its own first: P(j | x) (n, M), (n,) -> (n, REDRAWN) codes."""
    rng = numpy_rng(0, "redrawn")
    out = np.empty((len(p), REDRAWN), np.int64)
    out[:, 0] = index
    for start in range(0, len(p), BLOCK):
        some = p[start : start + BLOCK].astype(np.float64).cumsum(1)
        level = rng.random((len(some), REDRAWN - 1)) * some[:, -1:]
        for row, (cumulated, wanted) in enumerate(zip(some, level, strict=True)):
            out[start + row, 1:] = np.minimum(np.searchsorted(cumulated, wanted, "right"), p.shape[1] - 1)
    return out


def releases(modifier: Modifier, before: Table, keys: Sequence[Key]) -> np.ndarray:
    """Every record, released under each of some keys: (keys, n, *output shape) float32."""
    x = np.asarray(before.x)
    return np.stack([np.asarray(modifier.release(x, before.ids, key, workers=1)[0], np.float32) for key in keys])
