"""Release media: transformed pictures as files, or copies of the files that substitutes were drawn from.

A substitution modifier holds its substitutes as vectors and releases them bit for bit. The owner of the table of
vectors finds each one's file by those bits, so the modifier needs no id.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sordine.data.files import atomic_together
from sordine.data.media.kinds import FILE_NAME, WORDS, Media
from sordine.data.media.write import strip, write_picture
from sordine.data.record_digests import digests, owners
from sordine.data.table import check_ids
from sordine.data.table_io import EXTRACT, TableFile, read_ids, read_note
from sordine.errors import SordineError
from sordine.evaluation.report import Report
from sordine.keys import Key
from sordine.methods.registry import METHODS
from sordine.run import Run, accepts_run_keywords
from sordine.workflow.release.checks import Working, check_working
from sordine.workflow.release.manifest import (
    Released,
    announce,
    check_output,
    seal,
    type_in_words,
    write_links,
    write_manifest,
)
from sordine.workflow.release.table import rows_in_order, spill
from sordine.workflow.release.withholding import Source

DATA, METADATA = "data", "metadata.csv"
WHEN = 315532800  # modification time of every file: 1 January 1980 UTC, the earliest that every archive format holds
WORKERS = 2  # threads where the run leaves the choice to the task


@dataclass(frozen=True)
class DrawnFrom:
    """Where substitutes were drawn from.

    Parameters
    ----------
    media
        The media folder (the pool's, where the fit had one).
    table
        Its table of vectors, with the folder's ids.
    """

    media: Media
    table: Path


@accepts_run_keywords
def release_media(
    transformed: str | Path | Source,
    source: DrawnFrom,
    output: str | Path,
    *,
    key: Key,
    report: Report | None = None,
    run: Run | None = None,
    force: bool = False,
    force_leaky: bool = False,
) -> Released:
    """Write a media folder (data/, metadata.csv, manifest.json) of substitutes, and the link table beside it.

    Files are written again without metadata, under pseudonyms, in keyed order. metadata.csv holds `split` and the kept
    columns, which are those of the replaced record. The link table holds pseudonym, id, and the file that replaces the
    record.

    Parameters
    ----------
    transformed
        What `transform_file` wrote with a substitution modifier.
    source
        The media folder and the table that the substitutes were drawn from.
    output, key, report, run, force, force_leaky
        As in `release.table.release`; the result does not depend on the run's workers.

    Raises
    ------
    SordineError
        Where `release` raises it; where a released vector is no record of the table, or every record replaces itself;
        where the table names files that the folder does not hold; for frames of videos. Nothing is written.
    """
    output, run, media = Path(output), run or Run(), source.media
    links = check_output(output, force)
    if any(frame is not None for frame in media.frames):
        raise SordineError(f"{media.root}: its records are frames of videos; only whole files are released as media")
    found = check_working(Source.of(transformed), key, report=report, force_leaky=force_leaky, log=run.log)
    _check_origin(found, media, source.table, output)
    names = _substitutes(found, media, source.table)
    pseudonyms, order = key.pseudonyms(found.ids), found.order(key)

    with atomic_together(output, links, force=force) as (folder, link_table):
        (folder / DATA).mkdir(parents=True)
        write_links(link_table, found, pseudonym=pseudonyms, id=found.ids.tolist(), substitute=names)
        uses: dict[str, list[int]] = {}
        for row in order:
            uses.setdefault(names[row], []).append(int(row))
        files, seals = _write_files(folder, media, uses, pseudonyms, run)
        _write_metadata(folder / METADATA, found, files, order)
        written = {
            "files": {METADATA: seal(folder / METADATA), **{files[row]: seals[row] for row in order}},
            "rows": found.rows,
            "media": media.kind,
            "different_files": len(uses),
            "columns": _columns_in_words(found),
        }
        manifest = write_manifest(folder, written, found, report)
    _announce_substitutes(found, source, names, run)
    announce(links, report, run.log)
    return Released(output, links, found.rows, (FILE_NAME, *found.kept), found.dropped, manifest)


def _announce_substitutes(found: Working, source: DrawnFrom, names: list[str], run: Run) -> None:
    """Log what the owner must know about copies of real files."""
    media = source.media
    beside = [n for n in found.kept if n != "split"]
    files_of = dict(zip(media.ids, media.files, strict=True))
    ids, names = found.of_released(found.ids), found.of_released(names)
    unchanged = sum(files_of.get(i) == name for i, name in zip(ids, names, strict=True))
    run.log(
        f"The release contains copies of {len(set(names)):,} real {WORDS[media.kind]}, so the receiver learns which "
        "persons are in the pool. The substitute of a record was drawn at random, with a higher probability for "
        f"similar ones. The audit reports what the draw reveals about the record. {unchanged:,} of {found.rows:,} "
        "records are released as themselves. Each file has the record's own "
        f"{', '.join(beside) if beside else 'split and no other column'}."
    )
    if under := read_note(source.table, EXTRACT).get("steady"):
        run.log(
            f"The attacked vectors ignore {str(under).replace(',', ', ')}, and the files do not: audit this folder "
            "against the original one with another extractor."
        )
    if media.kind == "video":
        run.log("The sound of the videos is left out, because a voice identifies its speaker.")


@accepts_run_keywords
def release_pictures(
    transformed: str | Path | Source,
    output: str | Path,
    *,
    key: Key,
    report: Report | None = None,
    run: Run | None = None,
    force: bool = False,
    force_leaky: bool = False,
) -> Released:
    """Write a media folder (data/, metadata.csv, manifest.json) of transformed pictures, and the link table beside it.

    Each picture becomes data/PSEUDONYM.png, with its exact pixels and no metadata. Files and rows are in keyed order.
    metadata.csv holds `split` and the kept columns.

    Parameters
    ----------
    transformed
        What `transform_file` wrote, its x uint8 pictures.
    output, key, report, run, force, force_leaky
        As in `release.table.release`; the result does not depend on the run's workers.

    Raises
    ------
    SordineError
        Where `release` raises it, and where the records are not pictures. Nothing is written.
    """
    part, output, run = Source.of(transformed), Path(output), run or Run()
    links = check_output(output, force)
    found = check_working(part, key, report=report, force_leaky=force_leaky, log=run.log)
    file, ids = found.file, found.ids
    size = " x ".join(map(str, file.shape))
    if file.dtype != np.uint8:
        raise SordineError(
            f"{part.path}: its records are {file.dtype} [{size}], not pictures: release them without --pictures"
        )
    pseudonyms, order = key.pseudonyms(ids), found.order(key)

    with atomic_together(output, links, force=force) as (folder, link_table):
        (folder / DATA).mkdir(parents=True)
        write_links(link_table, found, pseudonym=pseudonyms, id=ids.tolist())
        seals: dict[int, dict[str, Any]] = {}
        with tempfile.TemporaryFile(dir=output.absolute().parent) as spilled:  # without a name: gone with the process
            spill(file, spilled, ids, check=False)  # uint8 holds no NaN
            for rows, x in rows_in_order(spilled, file, order):
                seals |= _write_pictures(folder, [pseudonyms[row] for row in rows], rows, x, run.workers or WORKERS)
                run.step("release", len(seals), found.rows)
        files = {int(row): f"{DATA}/{pseudonyms[row]}.png" for row in order}
        _write_metadata(folder / METADATA, found, files, order)
        written = {
            "files": {METADATA: seal(folder / METADATA), **{files[row]: seals[row] for row in files}},
            "rows": found.rows,
            "media": "image",
            "size": size,
            "columns": _columns_in_words(found),
        }
        manifest = write_manifest(folder, written, found, report)
    announce(links, report, run.log)
    return Released(output, links, found.rows, (FILE_NAME, *found.kept), found.dropped, manifest)


def _write_pictures(
    folder: Path, names: list[str], rows: np.ndarray, x: np.ndarray, workers: int
) -> dict[int, dict[str, Any]]:
    """Write pictures (b, c, h, w) as data/NAME.png and return row -> seal."""

    def one(name: str, pixels: np.ndarray) -> dict[str, Any]:
        path = folder / DATA / f"{name}.png"
        write_picture(pixels, path)
        os.utime(path, (WHEN, WHEN))
        return seal(path)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        return dict(zip(map(int, rows), pool.map(one, names, x), strict=True))


def _columns_in_words(found: Working) -> dict[str, str]:
    """The columns of metadata.csv: name -> type."""
    kept = {n: type_in_words(found.columns.schema.field(n).type, ()) for n in found.kept}
    return {FILE_NAME: "string", **kept}


def _blocks(file: TableFile) -> Iterator[np.ndarray]:
    first = 0
    for block in file.blocks(file.features):
        yield file.x(block, first)
        first += len(block)


def _check_origin(found: Working, source: Media, table: Path, output: Path) -> None:
    """Raise SordineError unless copies of records of this table were released, and the output lies elsewhere."""
    method = str(found.note.get("method"))
    if method not in METHODS or "copies" not in METHODS[method].releases:
        known = " or ".join(name for name, cls in METHODS.items() if "copies" in cls.releases)
        raise SordineError(
            f"{found.file.path}: these records are vectors that {method} made, not copies of {WORDS[source.kind]}; "
            f"only what {known} released can be released as media"
        )
    if read_note(table, "sordine.transform"):
        raise SordineError(f"{table} was transformed itself: --table is the table that {source.root} was extracted to")
    here, there = source.root.resolve(), output.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise SordineError(f"{output} and the originals in {source.root} lie within each other: choose another place")


def _substitutes(found: Working, source: Media, table: Path) -> list[str]:
    """The file that replaces each record: names in the folder, in the order of the transformed table."""
    file, pool = found.file, TableFile(table)
    if pool.shape != file.shape:
        raise SordineError(
            f"{table} has vectors of shape {pool.shape}, and {file.path} of {file.shape}: name another table"
        )
    beside = pa.Table.from_batches(list(pool.blocks(["id"]))) if "id" in pool.other else pa.table({})
    ids = read_ids(beside, pool.rows, source=str(table))
    check_ids(ids, str(table))
    rows = owners(digests(_blocks(file)), digests(_blocks(pool)), ids)
    if (rows < 0).any():
        lost = np.flatnonzero(rows < 0)
        raise SordineError(
            f"{file.path}: these records are vectors, not copies of {WORDS[source.kind]} ({len(lost):,} of "
            f"{file.rows:,} are not records of {table}, the first {found.ids[lost[0]]!r}); only what a substitution "
            "modifier drew from it is released as media"
        )
    if (ids[rows] == found.ids).all():
        raise SordineError(
            f"{file.path}: every record is its own substitute: nothing was substituted, so nothing is released"
        )
    files = dict(zip(source.ids, source.files, strict=True))
    strange = next((name for name in ids[np.unique(rows)] if name not in files), None)
    if strange is not None:
        raise SordineError(f"{table} names {strange!r}, which the media folder {source.root} does not hold")
    return [files[name] for name in ids[rows]]


def _write_files(
    folder: Path,
    source: Media,
    uses: dict[str, list[int]],
    pseudonyms: list[str],
    run: Run,
) -> tuple[dict[int, str], dict[int, dict[str, Any]]]:
    """Write each file without metadata, as often as it was drawn: row -> its name in the folder, and its seal."""

    def one(name: str) -> tuple[list[int], str, dict[str, Any]]:
        first, *others = rows = uses[name]
        path = strip(source.root / name, folder / DATA / pseudonyms[first])
        for row in others:
            shutil.copy2(
                path, path.with_name(pseudonyms[row] + path.suffix)
            )  # with its modification time, which is the same for all files
        return rows, path.suffix, seal(path)

    files: dict[int, str] = {}
    seals: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(run.workers or WORKERS) as pool:
        try:
            for rows, suffix, sealed in pool.map(one, uses):
                files |= {row: f"{DATA}/{pseudonyms[row]}{suffix}" for row in rows}
                seals |= dict.fromkeys(rows, sealed)
                run.step("release", len(files), len(pseudonyms))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return files, seals


def _write_metadata(path: Path, found: Working, files: dict[int, str], order: np.ndarray) -> None:
    """Write file_name, split and the kept columns, in keyed order; a missing value is an empty field."""
    columns = [found.columns[n].to_pylist() for n in found.kept]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([FILE_NAME, *found.kept])
        for row in order:
            writer.writerow([files[row], *("" if c[row] is None else c[row] for c in columns)])
