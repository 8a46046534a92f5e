"""Media out of the house: transformed pictures as files; and substitutes that were drawn as vectors, as the files that they
are vectors of.

A substitution modifier knows its substitutes by their vectors alone and releases them bit for bit. Whoever holds the table
of vectors finds each one's file again by those bits, so no id has to stand in the modifier.
"""

from __future__ import annotations

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sordine.data.files import atomic
from sordine.data.media.kinds import FILE_NAME, WORDS, Media
from sordine.data.media.write import strip, write_picture
from sordine.data.record_digests import digests, owners
from sordine.data.table import check_ids
from sordine.data.table_io import TableFile, read_ids, read_note
from sordine.errors import SordineError
from sordine.evaluation.report import Report
from sordine.keys import Key
from sordine.run import silent
from sordine.workflow.release.table import (
    Released,
    Working,
    look_over,
    ready,
    rows_in_order,
    seal,
    spill,
    tell,
    type_in_words,
    write_links,
    write_manifest,
)

DATA, METADATA = "data", "metadata.csv"
WHEN = 315532800  # the time of every file, 1 January 1980, UTC: the earliest that every archive format holds


def release_media(
    transformed: str | Path,
    source: Media,
    table: str | Path,
    output: str | Path,
    *,
    key: Key,
    report: Report | None = None,
    force: bool = False,
    force_leaky: bool = False,
    workers: int = 2,
    log: Callable[[str], None] = silent,
    progress: Callable[[int, int], None] | None = None,
) -> Released:
    """Write what leaves the house as a media folder (data/, metadata.csv, manifest.json), and the link table beside it.

    transformed: what `transform` wrote with a substitution modifier. source, table: the media folder and its table of
    vectors that the substitutes were chosen from (the pool's, where the fit was given one); the table's ids are the folder's.
    Files are written again without metadata, under pseudonyms, in keyed order; `split` and the kept columns stand in
    metadata.csv and are the replaced record's own. Links: pseudonym, id, and the file that took the record's place.
    workers: files written at a time; the result does not depend on it. The others as in `sordine.workflow.release.table.release`.
    Raises SordineError, with nothing written, where `release` would; where a released vector is no record of the table, or
    every one is its own record; where the table names what the folder does not hold; for frames of videos.
    """
    transformed, output = Path(transformed), Path(output)
    links = ready(output, force)
    if any(frame is not None for frame in source.frames):
        raise SordineError(f"{source.root}: its records are frames of videos; only whole files are released as media")
    found = look_over(transformed, key, report=report, force_leaky=force_leaky, log=log)
    _check_origin(found, source, Path(table), output)
    names = _substitutes(found, source, Path(table))
    pseudonyms, order = key.pseudonyms(found.ids), key.order("release order", found.ids)

    with atomic(output, force=force) as folder, atomic(links, force=force) as link_table:
        (folder / DATA).mkdir(parents=True)
        write_links(link_table, pseudonym=pseudonyms, id=found.ids.tolist(), substitute=names)
        uses: dict[str, list[int]] = {}
        for row in order:
            uses.setdefault(names[row], []).append(int(row))
        files, seals = _write_files(folder, source, uses, pseudonyms, workers, progress)
        _write_metadata(folder / METADATA, found, files, order)
        written = {
            "files": {METADATA: seal(folder / METADATA), **{files[row]: seals[row] for row in order}},
            "rows": found.file.rows,
            "media": source.kind,
            "different_files": len(uses),
            "columns": _columns_in_words(found),
        }
        manifest = write_manifest(folder, written, found, report)
    beside = [n for n in found.kept if n != "split"]
    files_of = dict(zip(source.ids, source.files, strict=True))
    own = sum(files_of.get(i) == name for i, name in zip(found.ids, names, strict=True))
    log(
        f"copies of {len(uses):,} real {WORDS[source.kind]} are released: whoever receives them learns who is in the pool. "
        "Which of them stands for a record was drawn at random, most likely one that is like it; the audit says how far the draw "
        f"tells whose record it was. {own:,} of {found.file.rows:,} records leave as themselves. Beside it stands the record's own {', '.join(beside) if beside else 'split, and nothing else'}"
    )
    if under := read_note(table, "sordine.extract").get("steady"):
        log(
            f"the numbers that attackers were given are steady under {str(under).replace(',', ', ')}, and the files are not: "
            "audit this folder against the first one through another extractor"
        )
    if source.kind == "video":
        log("the videos' sound is left out: a voice tells who speaks")
    tell(links, report, log)
    return Released(output, links, found.file.rows, (FILE_NAME, *found.kept), found.dropped, manifest)


def release_pictures(
    transformed: str | Path,
    output: str | Path,
    *,
    key: Key,
    report: Report | None = None,
    force: bool = False,
    force_leaky: bool = False,
    workers: int = 2,
    log: Callable[[str], None] = silent,
    progress: Callable[[int, int], None] | None = None,
) -> Released:
    """Write transformed pictures as a media folder (data/, metadata.csv, manifest.json), and the link table beside it.

    transformed: what `transform` wrote, its x uint8 pictures. Each becomes data/PSEUDONYM.png, the very pixels and no
    metadata; files and rows stand in keyed order; `split` and the kept columns stand in metadata.csv. workers: files written
    at a time; the result does not depend on it. The others as in `sordine.workflow.release.table.release`.
    Raises SordineError, with nothing written, where `release` would, and where the records are no pictures.
    """
    transformed, output = Path(transformed), Path(output)
    links = ready(output, force)
    found = look_over(transformed, key, report=report, force_leaky=force_leaky, log=log)
    file, ids = found.file, found.ids
    size = " x ".join(map(str, file.shape))
    if file.dtype != np.uint8:
        raise SordineError(
            f"{transformed}: its records are {file.dtype} [{size}], not pictures: release them without --pictures"
        )
    pseudonyms, order = key.pseudonyms(ids), key.order("release order", ids)

    with atomic(output, force=force) as folder, atomic(links, force=force) as link_table:
        (folder / DATA).mkdir(parents=True)
        write_links(link_table, pseudonym=pseudonyms, id=ids.tolist())
        seals: dict[int, dict[str, Any]] = {}
        with tempfile.TemporaryFile(dir=output.absolute().parent) as spilled:  # nameless: gone with the process
            spill(file, spilled, ids, check=False)  # pictures hold no NaN
            for rows, x in rows_in_order(spilled, file, order):
                seals |= _write_pictures(folder, [pseudonyms[row] for row in rows], rows, x, workers)
                if progress:
                    progress(len(seals), len(ids))
        files = {int(row): f"{DATA}/{pseudonyms[row]}.png" for row in order}
        _write_metadata(folder / METADATA, found, files, order)
        written = {
            "files": {METADATA: seal(folder / METADATA), **{files[row]: seals[row] for row in files}},
            "rows": file.rows,
            "media": "image",
            "size": size,
            "columns": _columns_in_words(found),
        }
        manifest = write_manifest(folder, written, found, report)
    tell(links, report, log)
    return Released(output, links, file.rows, (FILE_NAME, *found.kept), found.dropped, manifest)


def _write_pictures(
    folder: Path, names: list[str], rows: np.ndarray, x: np.ndarray, workers: int
) -> dict[int, dict[str, Any]]:
    """Pictures (b, c, h, w) as data/NAME.png, created in the order given: row -> seal."""

    def one(name: str, pixels: np.ndarray) -> dict[str, Any]:
        path = folder / DATA / f"{name}.png"
        write_picture(pixels, path)
        os.utime(path, (WHEN, WHEN))
        return seal(path)

    with ThreadPoolExecutor(max(1, workers)) as pool:
        return dict(zip(map(int, rows), pool.map(one, names, x), strict=True))


def _columns_in_words(found: Working) -> dict[str, str]:
    """What metadata.csv holds: column -> type."""
    kept = {n: type_in_words(found.columns.schema.field(n).type, ()) for n in found.kept}
    return {FILE_NAME: "string", **kept}


# -------------------------------------------------------------------------------------------------- vectors to files


def _blocks(file: TableFile) -> Iterator[np.ndarray]:
    first = 0
    for block in file.blocks(file.features):
        yield file.x(block, first)
        first += len(block)


def _check_origin(found: Working, source: Media, table: Path, output: Path) -> None:
    """Only what a substitution drew from the originals' own table leaves as media, and not into the originals' folder."""
    method = found.note.get("method")
    if method != "substitution":
        raise SordineError(
            f"{found.file.path}: these records are vectors that {method} made, not copies of {WORDS[source.kind]}: only what a "
            "substitution modifier drew is released as media"
        )
    if read_note(table, "sordine.transform"):
        raise SordineError(f"{table} was transformed itself: --table is the table that {source.root} was extracted to")
    here, there = source.root.resolve(), output.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise SordineError(f"{output} and the originals in {source.root} lie within each other: name another place")


def _substitutes(found: Working, source: Media, table: Path) -> list[str]:
    """The file that takes each record's place: names in the folder, in the transformed table's order."""
    file, pool = found.file, TableFile(table)
    if pool.shape != file.shape:
        raise SordineError(
            f"{table} holds vectors of shape {pool.shape}, {file.path} of {file.shape}: it is another table"
        )
    beside = pa.Table.from_batches(list(pool.blocks(["id"]))) if "id" in pool.other else pa.table({})
    ids = read_ids(beside, pool.rows, source=str(table))
    check_ids(ids, str(table))
    rows = owners(digests(_blocks(file)), digests(_blocks(pool)), ids)
    if (rows < 0).any():
        lost = np.flatnonzero(rows < 0)
        raise SordineError(
            f"{file.path}: these records are vectors, not copies of {WORDS[source.kind]} ({len(lost):,} of {file.rows:,} are no "
            f"record of {table}, the first {found.ids[lost[0]]!r}): only what a substitution modifier drew from it is released as media"
        )
    if (ids[rows] == found.ids).all():
        raise SordineError(
            f"{file.path}: every record is its own copy: nothing was substituted, so nothing is released"
        )
    files = dict(zip(source.ids, source.files, strict=True))
    strange = next((name for name in ids[np.unique(rows)] if name not in files), None)
    if strange is not None:
        raise SordineError(f"{table} names {strange!r}, which the media folder {source.root} does not hold")
    return [files[name] for name in ids[rows]]


# ---------------------------------------------------------------------------------------------------------- writing


def _write_files(
    folder: Path,
    source: Media,
    uses: dict[str, list[int]],
    pseudonyms: list[str],
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[int, str], dict[int, dict[str, Any]]]:
    """Each file once without metadata, then as often as it was drawn: row -> its name in the folder, and its seal."""

    def one(name: str) -> tuple[list[int], str, dict[str, Any]]:
        first, *others = rows = uses[name]
        path = strip(source.root / name, folder / DATA / pseudonyms[first])
        for row in others:
            shutil.copy2(path, path.with_name(pseudonyms[row] + path.suffix))  # its time too, which tells nothing
        return rows, path.suffix, seal(path)

    files: dict[int, str] = {}
    seals: dict[int, dict[str, Any]] = {}
    with ThreadPoolExecutor(max(1, workers)) as pool:
        try:
            for rows, suffix, sealed in pool.map(one, uses):
                files |= {row: f"{DATA}/{pseudonyms[row]}{suffix}" for row in rows}
                seals |= dict.fromkeys(rows, sealed)
                if progress:
                    progress(len(files), len(pseudonyms))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return files, seals


def _write_metadata(path: Path, found: Working, files: dict[int, str], order: np.ndarray) -> None:
    """file_name, split and the kept columns, in keyed order; what is missing is an empty field."""
    columns = [found.columns[n].to_pylist() for n in found.kept]
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([FILE_NAME, *found.kept])
        for row in order:
            writer.writerow([files[row], *("" if c[row] is None else c[row] for c in columns)])
