"""What an attacker that knows the modifier has: output distributions P(j | x), or further releases."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sordine.data.table import Table
from sordine.keys import Key, numpy_rng
from sordine.models.modifier import PEAK, Modifier

REDRAWN = 16  # keys under which each test record is scored, the release's own first
AGAIN, ROUNDING = 200, 1e-2  # records that are released again, and how far a number may be off, relative to 1 + |it|
BLOCK = 512  # records drawn at a time


def accepts(modifier: Modifier | None, table: Table) -> bool:
    """Whether there is a modifier that accepts records of this table's shape."""
    return modifier is not None and tuple(modifier.card.input.get("shape", table.shape)) == table.shape


def output_distribution(
    modifier: Modifier, before: Table, after: np.ndarray, key: Key | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the output distributions of originals, and the output that each release is.

    Parameters
    ----------
    modifier
        A discrete modifier.
    before
        n originals.
    after
        (n, *shape) their releases.
    key
        The key of the release, where known.

    Returns
    -------
    tuple or None
        P(j | x) (n, M) float32, where equal outputs are one, and the codes j of the releases (n,). None where
        `drawn_outputs` cannot find them.
    """
    index, same = drawn_outputs(modifier, before, after, key)
    if index is None:
        return None
    p = modifier.output_distributions(before.x)
    if same is not None:
        merged = np.zeros((len(p), int(same.max()) + 1), np.float32)
        for j, to in enumerate(same):
            merged[:, to] += p[:, j]
        p = merged
    return p, index


def drawn_outputs(
    modifier: Modifier, before: Table, after: np.ndarray, key: Key | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return which output each release is: (n,) codes, and the code of each of the modifier's M outputs (M,).

    Equal outputs have one code; the second is None where all outputs differ. The outputs are found by the bits of the
    modifier's `substitutes`, where it has them; else they are drawn again with the key. Both are None where neither
    gives the released records.
    """
    values = _values(modifier, after)
    if values is not None:
        code: dict[bytes, int] = {}
        same = np.array([code.setdefault(row.tobytes(), len(code)) for row in values])
        flat = np.ascontiguousarray(after.reshape(len(after), -1), np.float32)
        index = np.array([code.get(row.tobytes(), -1) for row in flat])
        if (index >= 0).all():
            return index, same if len(code) < len(same) else None
    if key is not None and modifier.noise:
        x, drawn = modifier.release(np.asarray(before.x), before.ids, key)
        if drawn is not None and x.shape == after.shape and np.array_equal(np.asarray(x, np.float32), after):
            return drawn, None
    return None, None


def made_otherwise(modifier: Modifier, before: Table, after: np.ndarray, key: Key | None) -> int:
    """Return how many released records the modifier did not make, as far as that can be known; else 0.

    A record that is none of the modifier's outputs was made otherwise. Where the outputs are not listed, some records
    are released again under the key, up to rounding.

    Parameters
    ----------
    modifier
        A modifier.
    before
        n originals.
    after
        (n, *shape) their releases.
    key
        The key of the release, where known.
    """
    if not accepts(modifier, before) or not len(after):
        return 0
    values = _values(modifier, after)
    if values is not None:
        if drawn_outputs(modifier, before, after, key)[0] is not None:
            return 0
        known = {row.tobytes() for row in values}
        flat = np.ascontiguousarray(after.reshape(len(after), -1), np.float32)
        return sum(row.tobytes() not in known for row in flat)
    drawn = bool(modifier.noise) or modifier.discrete
    if drawn and (key is None or key.fingerprint != modifier.card.key):
        return 0
    some = np.linspace(0, len(after) - 1, min(len(after), AGAIN)).astype(int)
    sample = before.take(some)
    again = np.asarray(modifier.release(np.asarray(sample.x), sample.ids, key or Key.of_seed(0))[0], np.float32)
    if again.shape != after[some].shape:
        return len(after)
    far = np.abs(again - after[some]) > ROUNDING * (1 + np.abs(again))
    return round(float(far.reshape(len(some), -1).any(1).mean()) * len(after))


def _values(modifier: Modifier, after: np.ndarray) -> np.ndarray | None:
    """The outputs that a modifier lists, as they are released: (M, width) float32. None where it lists none like these.

    after: (n, *shape) released records.
    """
    outputs = getattr(modifier, "substitutes", None)
    if outputs is None or not len(outputs) or outputs[0].numel() != after[0].size:
        return None
    values = outputs.detach().cpu().numpy().reshape(len(outputs), -1)
    if modifier.output_dtype == np.uint8:
        values = np.clip(np.rint(values), 0, PEAK)
    return np.ascontiguousarray(values, np.float32)


def redrawn(p: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the output of each record under `REDRAWN` keys, its own release first: (n, REDRAWN) codes.

    Parameters
    ----------
    p
        P(j | x), (n, M).
    index
        (n,) codes of the releases.
    """
    rng = numpy_rng(0, "redrawn")
    out = np.empty((len(p), REDRAWN), np.int64)
    out[:, 0] = index
    for start in range(0, len(p), BLOCK):
        cumulated = p[start : start + BLOCK].astype(np.float64).cumsum(1)
        level = rng.random((len(cumulated), REDRAWN - 1)) * cumulated[:, -1:]
        for row, (distribution, wanted) in enumerate(zip(cumulated, level, strict=True)):
            drawn = np.searchsorted(distribution, wanted, "right")
            out[start + row, 1:] = np.minimum(drawn, p.shape[1] - 1)
    return out


def released_under(modifier: Modifier, before: Table, keys: Sequence[Key]) -> np.ndarray:
    """Return releases of every record under each of some keys: (keys, n, *output shape) float32."""
    x = np.asarray(before.x)
    return np.stack([np.asarray(modifier.release(x, before.ids, key, workers=1)[0], np.float32) for key in keys])
