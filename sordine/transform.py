"""Transform: records through a modifier, from table to table or from file to file in blocks that never fill memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from sordine.errors import SordineError, nearest
from sordine.files import refuse_existing
from sordine.keys import Key
from sordine.modifier import BLOCK, Modifier, one_thread_each
from sordine.recipe import silent
from sordine.table import Table, check_finite
from sordine.tablefile import TableFile, feature_array, feature_type, read_ids, write_blocks

NOTE = "sordine.transform"


@dataclass(frozen=True)
class Transformed:
    """What `transform_file` did: rows written, columns kept beside id, split and x."""

    rows: int
    kept: tuple[str, ...]


def transform(
    modifier: Modifier, table: Table, key: Key, *, keep: Sequence[str] | None = None, workers: int = 2
) -> Table:
    """Released records as a table in memory: the same ids and split, x' for x, and the kept attributes' labels.

    keep: attributes to carry along, by default the preserved ones; a suppressed one never is.
    Raises SordineError where the records have another shape than those of the fit, or an attribute can't be kept.
    """
    modifier.check_input(table.shape, table.source)
    kept = _kept(modifier, table.attributes, keep, table.source)
    x, _ = modifier.release(table.x, table.ids, key, workers=workers)
    return replace(
        table,
        x=x,
        y={name: table.y[name] for name in kept},
        classes={name: table.classes[name] for name in kept},
        group=None,
        features=("x",),
        notes=(),
    )


def _kept(modifier: Modifier, columns: Sequence[str], keep: Sequence[str] | None, source: str) -> tuple[str, ...]:
    """The columns to carry along; raises SordineError for one that is missing or suppressed."""
    policy = modifier.card.policy
    if keep is None:
        return tuple(c for c in policy.get("preserve", []) if c in columns)
    for name in keep:
        if name not in columns:
            raise SordineError(f"{source}: no column {name!r} to keep; {nearest(name, columns)}")
        if name in policy.get("suppress", []):
            raise SordineError(f"{name!r} is suppressed: it is never written beside a released record")
    return tuple(keep)


def transform_file(
    modifier: Modifier,
    source: str | Path,
    output: str | Path,
    *,
    key: Key,
    fit_key: Key | None = None,
    features: Sequence[str] = (),
    keep: Sequence[str] | None = None,
    workers: int = 2,
    force: bool = False,
    log: Callable[[str], None] = silent,
    progress: Callable[[int, int], None] | None = None,
) -> Transformed:
    """Stream a table file through a modifier into a Parquet file: id, split, the kept columns and x.

    keep: columns to carry along, by default the preserved attributes; a suppressed attribute is never written.
    fit_key: the key of the fit where `key` is another: it tells which records were fitted on, for the column `split`.
    Each block is a pure function of its records, so neither `workers` nor row order changes a bit of any record.
    Raises SordineError, with nothing written, where columns are missing, ids repeat, or records hold NaN or do not fit.
    """
    output = Path(output)
    refuse_existing(output, force)
    file = TableFile(source, features or _features_of(modifier, source))
    modifier.check_input(file.shape, str(source))
    kept = _kept(modifier, file.other, keep, str(source))
    kept = tuple(c for c in kept if c not in ("id", "split"))
    known = next((k for k in (fit_key, key) if k is not None and k.fingerprint == modifier.card.key), None)
    own_split = "split" in file.other
    if not own_split and known is None:
        log(
            "the key of the fit is not at hand: the column 'split' is left out, so an audit can't tell fitted from unseen"
        )
    schema = pa.schema(
        [
            pa.field("id", pa.string()),
            *([pa.field("split", pa.string())] if own_split or known is not None else []),
            *(pa.field(c, _plain_type(file.schema.field(c).type)) for c in kept),
            pa.field("x", feature_type(file.shape)),
        ],
        metadata={NOTE: json.dumps(note_of(modifier, key, kept))},
    )
    hashes: list[np.ndarray] = []
    columns = list(dict.fromkeys([*(n for n in ("id", "split") if n in file.other), *kept, *file.features]))

    def one(block: pa.RecordBatch, first: int) -> pa.RecordBatch:
        ids = read_ids(block, len(block), first, source=str(source))
        x = file.x(block, first)
        check_finite(x, ids, str(source))
        released, _ = modifier.release_block(x, ids, key)
        check_finite(released, ids, f"{source}, after the modifier")
        parts = [pa.array(ids.tolist(), pa.string())]
        if own_split:
            parts.append(block.column(block.schema.get_field_index("split")).cast(pa.string()))
        elif known is not None:
            parts.append(pa.array(np.where(modifier.was_fitted_on(ids, known), "train", "test").tolist(), pa.string()))
        parts += [
            block.column(block.schema.get_field_index(c)).cast(_plain_type(file.schema.field(c).type)) for c in kept
        ]
        hashes.append(key.digest("repeated id", ids, 8).view("<u8")[:, 0])
        return pa.record_batch([*parts, feature_array(released)], schema=schema)

    def blocks() -> Iterator[pa.RecordBatch]:
        waiting: deque[Future[pa.RecordBatch]] = deque()
        done = first = 0
        with one_thread_each(workers) as pool:
            for block in file.blocks(columns, BLOCK):
                waiting.append(pool.submit(one, block, first))
                first += len(block)
                if len(waiting) > workers + 1:
                    written = waiting.popleft().result()
                    yield written
                    done += len(written)
                    if progress:
                        progress(done, file.rows)
            while waiting:
                written = waiting.popleft().result()
                yield written
                done += len(written)
                if progress:
                    progress(done, file.rows)
        every = np.concatenate(hashes)
        if len(np.unique(every)) < len(every):
            raise SordineError(f"{source}: an id stands twice; ids must be unique")

    rows = write_blocks(output, schema, blocks(), force=force)
    return Transformed(rows, kept)


def note_of(modifier: Modifier, key: Key, kept: Sequence[str]) -> dict[str, object]:
    """What a transformed file says of itself, for the audit and the release: no id, no label, no path."""
    card = modifier.card
    return {
        "method": card.method,
        "policy": card.policy,
        "key": key.fingerprint,
        "modifier": card.weights,
        "kept": list(kept),
    }


def _features_of(modifier: Modifier, source: str | Path) -> tuple[str, ...]:
    """The feature columns that the modifier was fitted on, where this file has them."""
    names = tuple(modifier.card.input.get("features", ()))
    path = Path(source)
    if path.is_file() and len(names) > 1:
        return names
    return ()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
