"""Extractors: from a media folder or a raw table to a table of vectors or pictures. One file an extractor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sordine.data.files import cache_folder, content_address, refuse_existing
from sordine.data.media.folder import metadata_file
from sordine.data.media.kinds import FILE_NAME, FRAME, WORDS, Media
from sordine.data.table_io import rows_note, write_blocks
from sordine.errors import SordineError
from sordine.features import sources as folders
from sordine.features import table_sources as tables
from sordine.features.base import Extractor, Layout, Work
from sordine.features.registry import EXTRACTORS, NAMES_UP_TO, make_extractor
from sordine.features.rows import checked, in_order, schema_of

NOTE = "sordine.extract"


@dataclass(frozen=True)
class Extracted:
    """What `extract` did: rows written, bad files left out (name, reason), numbers a record, seconds, notes.

    fitted: the file of what the extractor learnt from this folder, which extracts others in the same way (`weights`).
    """

    rows: int
    skipped: tuple[tuple[str, str], ...]
    width: int
    seconds: float
    notes: tuple[str, ...]
    fitted: Path | None = None


def extract(
    source: str | Path,
    extractor: str,
    output: str | Path,
    *,
    features: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
    layout: str | None = None,
    layout_options: Mapping[str, Any] | None = None,
    labels: bool = True,
    weights: str | Path | None = None,
    skip_bad: bool = False,
    workers: int = 2,
    device: str = "cpu",
    seed: int = 0,
    folder: Path | None = None,
    force: bool = False,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
    steps: Callable[[str, int, int], None] | None = None,
) -> Extracted:
    """Turn a media folder or a raw table into a table file of vectors (or of pictures): id, the source's other columns, x.

    source: a media folder, a Parquet or CSV file, or a folder with one such file. features: the columns to read, for
    extractors of tables. layout: the data set whose layout the folder has (`media.layouts`), by default found out.
    labels: False reads a folder of files without any table beside them. weights: a file that the extractor takes its
    weights from. skip_bad: leave out files that cannot be decoded instead of refusing the folder. workers: threads; the
    output does not depend on it. device, seed: of an extractor that is a network. folder: where unfinished training is
    kept, by default in the cache. log: one line at a time. progress: (records done, records in all). steps: (what, done, of) of decoding and training.
    A pure map over blocks of records, written as they come: memory does not grow with the source (but a CSV file and a
    folder's metadata are read whole).
    Raises SordineError for wrong input, naming the file and the row or column; nothing is then written.
    """
    start = time.monotonic()
    output = Path(output)
    given = dict(options or {}) | ({} if weights is None else {"weights": str(weights)})
    tool = make_extractor(extractor, given)
    if workers < 1:
        raise SordineError(f"workers={workers}: at least one is needed")
    refuse_existing(output, force)
    skipped: list[tuple[str, str]] = []
    opened = open_source(Path(source), extractor, tool, layout, dict(layout_options or {}), labels)
    learnt: dict[str, Any] = {}
    if isinstance(opened, tables.Source):
        plan = _plan(extractor, tool, opened, tuple(features), log)
        schema = _schema(extractor, tool, opened.schema, plan, str(opened.path), ("id", *plan.consumed))
        if "id" not in opened.schema.names and opened.path.is_file():
            schema = schema.with_metadata({**schema.metadata, **rows_note(content_address(opened.path))})
        encoded = in_order(tables.encoder_of(plan, schema), opened.blocks(), workers)
        where, count, width, notes = str(opened.path), opened.rows, plan.width, plan.notes
    else:
        if features:
            raise SordineError(
                f"{opened.root}: {extractor} reads the files of a media folder, so no features can be named"
            )
        for line in opened.notes:
            log(line)
        where, count, notes = str(opened.root), len(opened), opened.notes
        inner = ("id", FILE_NAME, FRAME)
        if hasattr(tool, "clip"):
            plan = tool.plan(lambda: folders.sources(opened), (), where)
            schema = _schema(extractor, tool, opened.records.schema, plan, where, inner)
            encoded = in_order(folders.clip_encoder(tool, opened, schema), folders.sources(opened), workers)
            width = plan.width
        else:
            kept = folders.fitted_beside(output, extractor)
            if tool.learns and tool.weights is None:
                refuse_existing(kept, force)
            work = Work(device, seed, workers, folder or cache_folder() / "training", log, steps)
            network = folders.Network(tool, opened, work, skip_bad=skip_bad)
            learnt, width = network.learnt, network.encode.width
            columns, shape, dtype = opened.records.schema, network.shape, network.dtype
            # `kind` says that views of the raw media can go the same way, to vectors: pictures are none.
            note = {**({"kind": opened.kind} if len(shape) == 1 else {"shape": shape}), **folders.weights_note(tool)}
            if under := getattr(network.encode, "steady", ""):  # the weights know, whatever the options say
                note["steady"] = under
                note["say"] = [
                    f"the numbers are steady under {under.replace(',', ', ')}: what is read of the originals is read of these numbers"
                ]
            schema = schema_of(extractor, tool, columns, shape, where, without=inner, note=note, dtype=dtype)
            encoded = network.encoded(schema)
    ready = checked(encoded, skipped, where, count, skip_bad=skip_bad, progress=progress)
    rows = write_blocks(output, schema, ready, force=force)
    if skipped:
        log(f"left out {len(skipped)} bad files of {count}: {', '.join(name for name, _ in skipped)}")
    fitted = None
    if learnt:
        fitted = folders.fitted_beside(output, extractor)
        folders.save_learnt(fitted, learnt, force=force)
        log(
            f"{fitted}: what {extractor} learnt here; it extracts other folders in the same way (--weights, with the same options)"
        )
    return Extracted(rows, tuple(skipped), width, time.monotonic() - start, tuple(notes), fitted)


def _reads(made: Any) -> tuple[str, ...]:
    return (made.reads,) if isinstance(made.reads, str) else tuple(made.reads)


def open_source(
    path: Path, name: str, tool: Any, layout: str | None, options: dict[str, Any], labels: bool
) -> Media | tables.Source:
    """The source in the form that the extractor reads. Raises SordineError where the two do not suit."""
    from sordine.data.layouts.motionsense import read_motion
    from sordine.data.layouts.registry import open_media

    if not path.exists():
        raise SordineError(f"{path} does not exist")
    if layout == "motionsense":
        opened: Media | tables.Source = tables.of_table(read_motion(path, **options), path)
    elif path.is_dir() and (metadata_file(path) is not None or layout is not None or _reads(tool) != ("table",)):
        opened = open_media(path, layout, options, labels=labels)
        if getattr(tool, "level", "video") == "frame" and FRAME not in opened.records.column_names:
            from sordine.data.media.video import by_frame

            opened = by_frame(opened)
    else:
        opened = tables.open_source(tables.table_in(path) if path.is_dir() else path)
    kind = "table" if isinstance(opened, tables.Source) else opened.kind
    if kind not in _reads(tool):
        suited = ", ".join(n for n, made in EXTRACTORS.items() if kind in _reads(made))
        is_a = "a table" if kind == "table" else f"a folder of {WORDS[kind]}"
        wants = " or ".join("the columns of a table" if r == "table" else WORDS[r] for r in _reads(tool))  # type: ignore[index]
        raise SordineError(f"{name} reads {wants}, and {path} is {is_a}; for that: {suited}")
    return opened


def _plan(
    name: str, tool: Extractor, source: tables.Source, features: tuple[str, ...], log: Callable[[str], None]
) -> Layout:
    plan = tool.plan(source.blocks, features, str(source.path))
    for note in plan.notes:
        log(note)
    return plan


def _schema(name: str, tool: Any, columns: pa.Schema, plan: Layout, where: str, without: Sequence[str]) -> pa.Schema:
    note: dict[str, Any] = dict(plan.details)
    if plan.width < NAMES_UP_TO:
        note["names"] = list(plan.names)
    return schema_of(name, tool, columns, (plan.width,), where, without=without, note=note)
