"""Apply a modifier to records: from table to table, or from file to file in blocks that never fill memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from sordine.data.files import atomic_together, refuse_existing
from sordine.data.matching import column_order, same_columns
from sordine.data.table import Table, check_finite
from sordine.data.table_io import (
    TableFile,
    feature_array,
    feature_type,
    plain_type,
    read_ids,
    reordered,
    rows_note,
    write_blocks,
)
from sordine.errors import SordineError, nearest
from sordine.keys import Key
from sordine.models.modifier import Modifier, one_thread_each
from sordine.run import Run, accepts_run_keywords
from sordine.workflow.masks import check_masks_folder, name_masks, write_masks

NOTE = "sordine.transform"
FIT = "the table of the fit"
WORKERS = 2  # threads where the run leaves the choice to the task


@dataclass(frozen=True)
class TransformOptions:
    """What is written beside the transformed records.

    Parameters
    ----------
    features
        Feature columns of the table; empty takes those of the fit.
    keep
        Columns to write; None writes the preserved attributes. A suppressed attribute is refused.
    masks
        Folder for each picture's mask, for a method that masks; None writes none. The files are named after the
        records' ids, so the folder must stay with the owner, as the output must.
    fit_key
        Key of the fit where the draws have another one. It determines the column `split`.
    """

    features: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    masks: Path | None = None
    fit_key: Key | None = None


@dataclass(frozen=True)
class Transformed:
    """What `transform_file` wrote: the number of rows, and the columns beside id, split and x."""

    rows: int
    kept: tuple[str, ...]


@accepts_run_keywords
def transform(
    modifier: Modifier, table: Table, key: Key, *, keep: Sequence[str] | None = None, run: Run | None = None
) -> Table:
    """Return the released records of a table in memory.

    Parameters
    ----------
    modifier
        The fitted modifier.
    table
        Records of the shape of the fit. Feature columns are matched by name.
    key
        Secret key of the draws.
    keep
        Attributes to carry along; None carries the preserved ones. A suppressed attribute is refused.
    run
        Workers and log.

    Returns
    -------
    Table
        The same ids and split, x' for x, and the labels of the carried attributes. Pictures are uint8 where the
        modifier releases pictures.

    Raises
    ------
    SordineError
        Where the records have another shape or other feature columns than those of the fit, or an attribute cannot be
        carried along.
    """
    run = run or Run()
    table = same_columns(table, modifier.features, FIT, log=run.log)
    modifier.check_input(table.shape, table.source, str(table.x.dtype))
    kept = _kept(modifier, table.attributes, keep, table.source)
    x, _ = modifier.release(table.x, table.ids, key, workers=run.workers or WORKERS)
    return replace(
        table,
        x=x,
        y={name: table.y[name] for name in kept},
        classes={name: table.classes[name] for name in kept},
        targets={name: table.targets[name] for name in kept if name in table.targets},
        group=None,
        features=("x",),
        notes=(),
    )


def _kept(modifier: Modifier, columns: Sequence[str], keep: Sequence[str] | None, source: str) -> tuple[str, ...]:
    """The columns to carry along. Raises SordineError for one that is missing or suppressed."""
    policy = modifier.card.policy
    if keep is None:
        return tuple(c for c in policy.get("preserve", []) if c in columns)
    check_kept(keep, columns, policy.get("suppress", []), source)
    return tuple(keep)


def check_kept(keep: Sequence[str], columns: Sequence[str], suppressed: Sequence[str], source: str) -> None:
    """Check which columns may be written beside released records.

    Parameters
    ----------
    keep
        The columns to write.
    columns
        The columns that the source has.
    suppressed
        The suppressed attributes.
    source
        The name of the source.

    Raises
    ------
    SordineError
        Where a column is missing or suppressed.
    """
    for name in keep:
        if name not in columns:
            raise SordineError(f"{source}: no column {name!r} to keep; {nearest(name, columns)}")
        if name in suppressed:
            raise SordineError(f"{source}: column {name!r} is suppressed, so it is not written beside released records")


@accepts_run_keywords
def transform_file(
    modifier: Modifier,
    source: str | Path,
    output: str | Path,
    *,
    key: Key,
    options: TransformOptions | None = None,
    run: Run | None = None,
    force: bool = False,
) -> Transformed:
    """Stream a table file through a modifier into a Parquet file with id, split, the kept columns and x.

    Each block is a pure function of its records, so neither the number of workers nor the order of the rows changes a
    bit of any record.

    Parameters
    ----------
    modifier
        The fitted modifier.
    source, output
        Table to read (Parquet or CSV), and Parquet file to write. Feature columns are matched by name with the fit's.
    key
        Secret key of the draws.
    options
        Columns to write, masks, and the key of the fit.
    run
        Workers, log and progress.
    force
        Replace an existing output.

    Raises
    ------
    SordineError
        Where columns are missing, ids repeat, records contain NaN or do not fit, or masks are requested of a modifier
        that gives none. Nothing is written.
    """
    output, options, run = Path(output), options or TransformOptions(), run or Run()
    refuse_existing(output, force)
    if options.masks is not None:
        check_masks_folder(options.masks, output, force)
    stream = _Stream.open(modifier, source, key, options, run)
    with atomic_together(output, *([] if options.masks is None else [options.masks]), force=force) as (table, *masks):
        for folder in masks:
            folder.mkdir()
            stream.masks = folder
        rows = write_blocks(table, stream.schema, stream.blocks(run))
        for folder in masks:
            name_masks(folder, stream.ids)
    return Transformed(rows, stream.kept)


@dataclass
class _Stream:
    """A table file on its way through a modifier."""

    modifier: Modifier
    file: TableFile
    key: Key
    fit_key: Key | None  # the key of the fit, where it is known
    kept: tuple[str, ...]
    schema: pa.Schema
    masks: Path | None = None
    hashes: list[np.ndarray] = field(default_factory=list)  # of ids, to find repeated ones
    ids: list[str] = field(default_factory=list)  # in the order of the rows, where masks are written

    @classmethod
    def open(cls, modifier: Modifier, source: str | Path, key: Key, options: TransformOptions, run: Run) -> _Stream:
        named = [name for names in modifier.card.policy.values() for name in names]
        file = TableFile(source, options.features or _features_of(modifier, source), attributes=named)
        if column_order(file.features, modifier.features, str(source), FIT) is not None:
            run.log(reordered(str(source), FIT))
            file.features = modifier.features
        modifier.check_input(file.shape, str(source), str(file.dtype))
        kept = _kept(modifier, file.other, options.keep, str(source))
        kept = tuple(c for c in kept if c not in ("id", "split"))
        keys = (k for k in (options.fit_key, key) if k is not None)
        known = next((k for k in keys if k.fingerprint == modifier.card.key), None)
        has_split = "split" in file.other or known is not None
        if not has_split:
            run.log(
                f"{source}: the key of the fit is not known, so the column 'split' is left out, and an audit cannot "
                "separate fitted from unseen records"
            )
        schema = pa.schema(
            [
                pa.field("id", pa.string()),
                *([pa.field("split", pa.string())] if has_split else []),
                *(pa.field(c, plain_type(file.schema.field(c).type)) for c in kept),
                pa.field("x", feature_type(modifier.output_shape, modifier.output_dtype)),
            ],
            metadata={NOTE: json.dumps(note_of(modifier, key, kept)), **rows_note(file.rows_of())},
        )
        return cls(modifier, file, key, known, kept, schema)

    def transform(self, block: pa.RecordBatch, first: int) -> pa.RecordBatch:
        """One block of the output. first: the row that the block begins with."""
        source = str(self.file.path)
        ids = read_ids(block, len(block), first, source=source)
        x = self.file.x(block, first)
        check_finite(x, ids, source)
        made = self.modifier.released(x, ids, self.key)
        check_finite(made.x, ids, f"{source}, after the modifier")
        if self.masks is not None:
            if made.mask is None:
                raise SordineError(f"{self.modifier.card.method} gives no masks: leave out --masks")
            write_masks(self.masks, first, made.mask)
        columns = [pa.array(ids.tolist(), pa.string()), *self._split(block, ids)]
        columns += [_plain_column(self.file, block, name) for name in self.kept]
        self.hashes.append(self.key.digest("repeated id", ids, 8).view("<u8")[:, 0])
        return pa.record_batch([*columns, feature_array(made.x)], schema=self.schema)

    def _split(self, block: pa.RecordBatch, ids: np.ndarray) -> list[pa.Array]:
        """The column `split`: the table's own, else that of the fit; none where neither is known."""
        if "split" in self.file.other:
            return [block.column(block.schema.get_field_index("split")).cast(pa.string())]
        if self.fit_key is None:
            return []
        fitted = self.modifier.was_fitted_on(ids, self.fit_key)
        return [pa.array(np.where(fitted, "train", "test").tolist(), pa.string())]

    def blocks(self, run: Run) -> Iterator[pa.RecordBatch]:
        """The blocks of the output in order; a few are computed at a time."""
        workers = run.workers or WORKERS
        names = list(
            dict.fromkeys([*(n for n in ("id", "split") if n in self.file.other), *self.kept, *self.file.features])
        )
        waiting: deque[Future[pa.RecordBatch]] = deque()
        done = first = 0
        with one_thread_each(workers) as pool:
            for block in self.file.blocks(names, self.modifier.block):
                waiting.append(pool.submit(self.transform, block, first))
                first += len(block)
                if len(waiting) > workers + 1:
                    yield (made := self._finished(waiting))
                    done += len(made)
                    run.step("transform", done, self.file.rows)
            while waiting:
                yield (made := self._finished(waiting))
                done += len(made)
                run.step("transform", done, self.file.rows)
        every = np.concatenate(self.hashes)
        if len(np.unique(every)) < len(every):
            raise SordineError(f"{self.file.path}: two records have the same id; ids must be unique")

    def _finished(self, waiting: deque[Future[pa.RecordBatch]]) -> pa.RecordBatch:
        made = waiting.popleft().result()
        if self.masks is not None:
            self.ids.extend(made.column(0).to_pylist())
        return made


def note_of(modifier: Modifier, key: Key, kept: Sequence[str]) -> dict[str, object]:
    """Return the metadata note of a transformed file, for the audit and the release: no id, no label, no path."""
    card = modifier.card
    return {
        "method": card.method,
        "policy": card.policy,
        "key": key.fingerprint,
        "modifier": card.weights,
        "kept": list(kept),
    }


def _features_of(modifier: Modifier, source: str | Path) -> tuple[str, ...]:
    """The feature columns of the fit, where they are several and the source is a file."""
    return modifier.features if Path(source).exists() and len(modifier.features) > 1 else ()


def _plain_column(file: TableFile, block: pa.RecordBatch, name: str) -> pa.Array:
    column = block.column(block.schema.get_field_index(name))
    return column.cast(plain_type(file.schema.field(name).type))
