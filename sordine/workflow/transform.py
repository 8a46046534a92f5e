"""Transform: records through a modifier, from table to table or from file to file in blocks that never fill memory."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from sordine.data.files import atomic, refuse_existing
from sordine.data.matching import column_order, same_columns
from sordine.data.table import Table, check_finite
from sordine.data.table_io import TableFile, feature_array, feature_type, read_ids, reordered, rows_note, write_blocks
from sordine.errors import SordineError, nearest
from sordine.keys import Key
from sordine.models.modifier import PEAK, Modifier, one_thread_each
from sordine.run import silent

NOTE = "sordine.transform"
FIT = "the table of the fit"
MASKS = "metadata.csv"  # in a folder of masks: which file is whose
MASK_COLUMNS = ["file_name", "id"]
LONGEST_NAME = 120


@dataclass(frozen=True)
class Transformed:
    """What `transform_file` did: rows written, columns kept beside id, split and x."""

    rows: int
    kept: tuple[str, ...]


def transform(
    modifier: Modifier,
    table: Table,
    key: Key,
    *,
    keep: Sequence[str] | None = None,
    workers: int = 2,
    log: Callable[[str], None] = silent,
) -> Table:
    """Released records as a table in memory: the same ids and split, x' for x, and the kept attributes' labels. Pictures
    give uint8 pictures, in whole numbers, where the modifier releases pictures.

    keep: attributes to carry along, by default the preserved ones; a suppressed one never is. log: takes a line where named
    feature columns come in another order than at the fit: they are matched by name.
    Raises SordineError where the records have another shape or other feature columns than those of the fit, or an attribute
    can't be kept.
    """
    table = same_columns(table, modifier.features, FIT, log=log)
    modifier.check_input(table.shape, table.source, str(table.x.dtype))
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
    masks: Path | None = None,
    workers: int = 2,
    force: bool = False,
    log: Callable[[str], None] = silent,
    progress: Callable[[int, int], None] | None = None,
) -> Transformed:
    """Stream a table file through a modifier into a Parquet file: id, split, the kept columns and x.

    keep: columns to carry along, by default the preserved attributes; a suppressed attribute is never written.
    fit_key: the key of the fit where `key` is another: it tells which records were fitted on, for the column `split`.
    masks: a folder for each record's mask, where the modifier masks pictures: grey PNG (255 is kept, 0 is not) named by the
    record's id (`file_names`), and metadata.csv, which says whose each is. It tells ids: it stays with the owner, as the output does.
    Each block is a pure function of its records, so neither `workers` nor row order changes a bit of any record.
    Feature columns are matched by name with those of the fit, whatever their order.
    Raises SordineError, with nothing written, where columns are missing or additional, ids repeat, records hold NaN or do not fit, or
    masks are asked of a modifier that gives none.
    """
    output = Path(output)
    refuse_existing(output, force)
    if masks is not None:
        _ready_for_masks(masks, output, force)
    file = TableFile(source, features or _features_of(modifier, source))
    if column_order(file.features, modifier.features, str(source), FIT) is not None:
        log(reordered(str(source), FIT))
        file.features = modifier.features
    modifier.check_input(file.shape, str(source), str(file.dtype))
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
            pa.field("x", feature_type(modifier.output_shape, modifier.output_dtype)),
        ],
        metadata={NOTE: json.dumps(note_of(modifier, key, kept)), **rows_note(file.rows_of())},
    )
    hashes: list[np.ndarray] = []
    columns = list(dict.fromkeys([*(n for n in ("id", "split") if n in file.other), *kept, *file.features]))

    def one(block: pa.RecordBatch, first: int, folder: Path | None) -> pa.RecordBatch:
        ids = read_ids(block, len(block), first, source=str(source))
        x = file.x(block, first)
        check_finite(x, ids, str(source))
        made = modifier.released(x, ids, key)
        check_finite(made.x, ids, f"{source}, after the modifier")
        if folder is not None and made.mask is None:
            raise SordineError(f"{modifier.card.method} gives no masks: leave out --masks")
        if folder is not None and made.mask is not None:
            _write_masks(folder, first, made.mask)
        parts = [pa.array(ids.tolist(), pa.string())]
        if own_split:
            parts.append(block.column(block.schema.get_field_index("split")).cast(pa.string()))
        elif known is not None:
            parts.append(pa.array(np.where(modifier.was_fitted_on(ids, known), "train", "test").tolist(), pa.string()))
        parts += [
            block.column(block.schema.get_field_index(c)).cast(_plain_type(file.schema.field(c).type)) for c in kept
        ]
        hashes.append(key.digest("repeated id", ids, 8).view("<u8")[:, 0])
        return pa.record_batch([*parts, feature_array(made.x)], schema=schema)

    def blocks(folder: Path | None, whose: list[str]) -> Iterator[pa.RecordBatch]:
        waiting: deque[Future[pa.RecordBatch]] = deque()
        done = first = 0

        def oldest() -> Iterator[pa.RecordBatch]:
            nonlocal done
            written = waiting.popleft().result()
            if folder is not None:
                whose.extend(written.column(0).to_pylist())
            yield written
            done += len(written)
            if progress:
                progress(done, file.rows)

        with one_thread_each(workers) as pool:
            for block in file.blocks(columns, modifier.block):
                waiting.append(pool.submit(one, block, first, folder))
                first += len(block)
                if len(waiting) > workers + 1:
                    yield from oldest()
            while waiting:
                yield from oldest()
        every = np.concatenate(hashes)
        if len(np.unique(every)) < len(every):
            raise SordineError(f"{source}: an id stands twice; ids must be unique")

    with contextlib.nullcontext() if masks is None else atomic(masks, force=force) as folder:
        whose: list[str] = []
        if folder is not None:
            folder.mkdir()
        rows = write_blocks(output, schema, blocks(folder, whose), force=force)
        if folder is not None:
            _name_masks(folder, whose)
    return Transformed(rows, kept)


def _ready_for_masks(masks: Path, output: Path, force: bool) -> None:
    """Raise SordineError where masks cannot go there: only an empty folder, or an earlier folder of masks, is replaced."""
    refuse_existing(masks, force)
    here, there = masks.resolve(), output.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise SordineError(f"{masks} and {output} lie within each other: name another folder for the masks")
    if not masks.exists():
        return
    try:
        with open(masks / MASKS, encoding="utf-8", newline="") as listed:
            head, *rows = list(csv.reader(listed))
        known = {MASKS, *(row[0] for row in rows)} if head == MASK_COLUMNS else set()
    except (OSError, ValueError, IndexError):
        known = set()
    if not masks.is_dir() or {p.name for p in masks.iterdir()} - known:
        raise SordineError(f"{masks} holds something else than masks: it is not replaced, not even with --force")


def file_names(ids: Sequence[str], suffix: str) -> dict[str, str]:
    """A safe name for a file of each of these records: what is plain of its id, and `suffix`, unless the id ends in that already.
    Where those of several are alike, be it but for capitals, which some disks do not tell apart, a hash of the id is added."""
    plain = {}
    for name in ids:
        stem = name[: -len(suffix)] if name.lower().endswith(suffix) else name
        plain[name] = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip(".-")[:LONGEST_NAME] or "record"
    alike = Counter(stem.lower() for stem in plain.values())
    # No plain name holds a tilde, so none is another's with its hash.
    return {
        name: f"{stem}{suffix}"
        if alike[stem.lower()] == 1
        else f"{stem}~{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}{suffix}"
        for name, stem in plain.items()
    }


def _unnamed(row: int) -> str:
    return f"~{row}.png"  # as no mask will be called


def _write_masks(folder: Path, first: int, masks: np.ndarray) -> None:
    """Masks (b, 1, h, w) from 0 to 1 of the rows from `first` on as grey PNG files, unnamed."""
    from sordine.data.media.write import write_picture

    grey = np.clip(np.rint(masks * PEAK), 0, PEAK).astype(np.uint8)
    for row, mask in enumerate(grey, first):
        write_picture(mask, folder / _unnamed(row))


def _name_masks(folder: Path, ids: Sequence[str]) -> None:
    """Call every row's mask after its record, now that all ids are known, and say whose each is."""
    names = file_names(ids, ".png")
    for row, name in enumerate(ids):
        os.rename(folder / _unnamed(row), folder / names[name])
    with open(folder / MASKS, "w", encoding="utf-8", newline="") as listed:
        rows = ([names[name], name] for name in ids)
        csv.writer(listed, lineterminator="\n").writerows([MASK_COLUMNS, *rows])


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
    return modifier.features if Path(source).is_file() and len(modifier.features) > 1 else ()


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
