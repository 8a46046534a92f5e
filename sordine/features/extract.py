"""Turn a media folder or a raw table into a table of vectors or pictures."""

from __future__ import annotations

import functools
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from sordine.data.cache import TRAINING, open_cache
from sordine.data.files import atomic_together, content_address, refuse_existing, sha256
from sordine.data.media.folder import metadata_file
from sordine.data.media.kinds import FILE_NAME, FRAME, WORDS, Media
from sordine.data.table_io import rows_note, write_blocks
from sordine.errors import SordineError
from sordine.features.base import Extractor, FeaturePlan, workers_of
from sordine.features.registry import EXTRACTORS, make_extractor
from sordine.features.rows import checked, schema_of
from sordine.features.sources import RawTable, fitted_beside, of_table, open_table, save_fitted, table_in
from sordine.run import RUN_KEYWORDS, Run

NAMES_UP_TO = 5000  # numbers of a vector whose names are written to the metadata


@dataclass(frozen=True)
class ExtractOptions:
    """What is extracted, and how.

    Parameters
    ----------
    options
        Options of the extractor, as text or values.
    weights
        A file that the extractor takes its weights from; short for the extractor's option of that name.
    features
        Columns to use, for extractors of tables. Empty lets the extractor choose.
    layout
        The data set whose layout the folder has (`sordine.data.layouts`). None detects it.
    layout_options
        Options of the layout.
    labels
        False takes a folder of files without any table beside them.
    skip_bad
        Leave out files that cannot be decoded instead of refusing the folder.
    force
        Replace an existing output.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | Path | None = None
    features: Sequence[str] = ()
    layout: str | None = None
    layout_options: Mapping[str, Any] | None = None
    labels: bool = True
    skip_bad: bool = False
    force: bool = False


@dataclass(frozen=True)
class Extracted:
    """What `extract` wrote.

    Attributes
    ----------
    rows
        Records written.
    skipped
        Files that were left out: (name, reason).
    width
        Numbers of a record.
    seconds
        Time taken.
    notes
        What the user should know.
    fitted
        File of what the extractor fitted on this source; with it as `weights`, other sources are extracted alike.
    """

    rows: int
    skipped: tuple[tuple[str, str], ...]
    width: int
    seconds: float
    notes: tuple[str, ...]
    fitted: Path | None = None


def _accepts_old_keywords(function: Callable[..., Extracted]) -> Callable[..., Extracted]:
    # Version 0.1 had every option and every part of the run as a keyword of its own.
    own = {f.name for f in fields(ExtractOptions)} - {"options"}
    run_words = {*RUN_KEYWORDS, "folder", "steps"}

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Extracted:
        old = {name: kwargs.pop(name) for name in list(kwargs) if name in own | run_words}
        if old:
            warnings.warn(
                f"extract: {', '.join(old)} as keywords are deprecated; use ExtractOptions(...) and run=Run(...)",
                DeprecationWarning,
                stacklevel=2,
            )
            kwargs["run"] = _run_of({k: v for k, v in old.items() if k in run_words}, kwargs.get("run") or Run())
            given = kwargs.get("options")
            options = given if isinstance(given, ExtractOptions) else ExtractOptions(options=given or {})
            kwargs["options"] = replace(options, **{k: v for k, v in old.items() if k in own})
        return function(*args, **kwargs)

    return wrapper


def _run_of(old: dict[str, Any], run: Run) -> Run:
    # `progress` took (done, total) of the records, `steps` took (what, done, total) of decoding and training.
    records, steps = old.pop("progress", None), old.pop("steps", None)
    if records is not None or steps is not None:

        def progress(what: str, done: int, total: int) -> None:
            if what == "extract" and records is not None:
                records(done, total)
            if what != "extract" and steps is not None:
                steps(what, done, total)

        old["progress"] = progress
    return replace(run, **old)


@_accepts_old_keywords
def extract(
    source: str | Path,
    extractor: str,
    output: str | Path,
    options: ExtractOptions | Mapping[str, Any] | None = None,
    run: Run | None = None,
) -> Extracted:
    """Turn a media folder or a raw table into a table file: id, the source's other columns, and x.

    The blocks are written as they are computed, so memory does not grow with the source; only a CSV file and a folder's
    metadata are read whole. The output does not depend on the number of workers.

    Parameters
    ----------
    source
        A media folder, a Parquet or CSV file, or a folder with one such file.
    extractor
        Name of an extractor (`sordine.features.registry`).
    output
        The Parquet file to write.
    options
        What is extracted, and how; or only the options of the extractor, as a mapping.
    run
        Device and seed of a network, number of workers, log and progress. In `run.folder`, by default the cache,
        unfinished training is saved and resumed.

    Returns
    -------
    Extracted
        How many records were written, and what was left out.

    Raises
    ------
    SordineError
        For wrong input; the message names the file and the row or column. Nothing is then written.
    """
    start = time.monotonic()
    output, run = Path(output), run or Run()
    if not isinstance(options, ExtractOptions):
        options = ExtractOptions(options=options or {})
    opened, tool = _opened(Path(source), extractor, output, options, run)
    notes = list(opened.notes) if isinstance(opened, Media) else []
    for line in notes:
        run.log(line)
    within = replace(run, folder=run.folder or open_cache() / TRAINING)
    plan = tool.plan(opened, within, features=tuple(options.features), skip_bad=options.skip_bad)
    for line in plan.notes:
        run.log(line)
    fitted = fitted_beside(output, extractor) if plan.fitted else None
    with atomic_together(output, *([fitted] if fitted is not None else []), force=options.force) as (table, *weights):
        rows, skipped = _write(extractor, tool, opened, plan, table, options, run)
        for path in weights:
            save_fitted(path, plan.fitted, force=True)
    if fitted is not None:
        run.log(f"{fitted}: the fitted {extractor}. To extract other sources alike, use it with --weights")
    seconds = time.monotonic() - start
    return Extracted(rows, skipped, math.prod(plan.shape), seconds, (*notes, *plan.notes), fitted)


def _opened(
    source: Path, name: str, output: Path, options: ExtractOptions, run: Run
) -> tuple[Media | RawTable, Extractor]:
    # The source and the extractor, after the checks that need no work.
    weights = {} if options.weights is None else {"weights": str(options.weights)}
    tool = make_extractor(name, {**options.options, **weights})
    if workers_of(run) < 1:
        raise SordineError(f"workers is {run.workers}; it must be at least 1")
    refuse_existing(output, options.force)
    opened = open_source(source, name, tool, options)
    if isinstance(opened, Media) and options.features:
        raise SordineError(f"{opened.root}: {name} takes the files of a media folder; remove --features")
    if tool.learns and tool.weights is None:
        refuse_existing(fitted_beside(output, name), options.force)
    return opened, tool


def _write(
    name: str,
    tool: Extractor,
    source: Media | RawTable,
    plan: FeaturePlan,
    output: Path,
    options: ExtractOptions,
    run: Run,
) -> tuple[int, tuple[tuple[str, str], ...]]:
    # The number of rows written, and the files left out.
    schema = _schema(name, tool, source, plan)
    skipped: list[tuple[str, str]] = []
    count = source.rows if isinstance(source, RawTable) else len(source)
    ready = checked(plan.blocks(schema), skipped, _where(source), count, skip_bad=options.skip_bad, run=run)
    rows = write_blocks(output, schema, ready, force=options.force)
    if skipped:
        run.log(f"left out {len(skipped)} bad files of {count}: {', '.join(name for name, _ in skipped)}")
    return rows, tuple(skipped)


def open_source(path: Path, name: str, tool: Extractor, options: ExtractOptions) -> Media | RawTable:
    """Return the source in the form that the extractor takes.

    Raises
    ------
    SordineError
        Where the path does not exist, or the source does not suit the extractor.
    """
    from sordine.data.layouts.motionsense import read_motion
    from sordine.data.layouts.registry import check_layout, open_media

    layout, layout_options = options.layout, dict(options.layout_options or {})
    if not path.exists():
        raise SordineError(f"{path} does not exist")
    check_layout(path, layout, layout_options)
    if layout == "motionsense":
        opened: Media | RawTable = of_table(read_motion(path, **layout_options), path)
    elif path.is_dir() and (metadata_file(path) is not None or layout is not None or tool.accepts != ("table",)):
        opened = open_media(path, layout, layout_options, labels=options.labels)
        if tool.by_frame and FRAME not in opened.records.column_names:
            from sordine.data.media.video import by_frame

            opened = by_frame(opened)
    else:
        opened = open_table(table_in(path) if path.is_dir() else path)
    kind = "table" if isinstance(opened, RawTable) else opened.kind
    if kind not in tool.accepts:
        suited = ", ".join(n for n, made in EXTRACTORS.items() if kind in made.accepts)
        found = "a table" if isinstance(opened, RawTable) else f"a folder of {WORDS[opened.kind]}"
        wanted = " or ".join("a table" if r == "table" else WORDS[r] for r in tool.accepts)
        raise SordineError(f"{path} is {found}, and extractor {name} takes {wanted}; use one of: {suited}")
    return opened


def _where(source: Media | RawTable) -> str:
    return str(source.path if isinstance(source, RawTable) else source.root)


def _schema(name: str, tool: Extractor, source: Media | RawTable, plan: FeaturePlan) -> pa.Schema:
    note: dict[str, Any] = dict(plan.details)
    if plan.names and len(plan.names) < NAMES_UP_TO:
        note["names"] = list(plan.names)
    if tool.weights is not None and Path(tool.weights).is_file():
        note["weights_sha256"] = sha256(tool.weights)
    table = isinstance(source, RawTable)
    columns = source.schema if isinstance(source, RawTable) else source.records.schema
    without = ("id", *plan.consumed, *(() if table else (FILE_NAME, FRAME)))
    schema = schema_of(name, tool, columns, plan.shape, _where(source), without=without, note=note, dtype=plan.dtype)
    if isinstance(source, RawTable) and "id" not in source.schema.names and source.path.is_file():
        schema = schema.with_metadata({**schema.metadata, **rows_note(content_address(source.path))})
    return schema
