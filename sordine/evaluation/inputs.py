"""The inputs of an audit: two tables, or two media folders that become two tables."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sordine.data.files import cache_folder
from sordine.data.layouts.registry import open_media
from sordine.data.matching import same_records
from sordine.data.media.kinds import Media
from sordine.data.reading.files import table_sha256
from sordine.data.table import Table
from sordine.data.table_io import read_note
from sordine.errors import SordineError
from sordine.evaluation.report import Flaw, Gallery, Report
from sordine.evaluation.sections.gallery import gallery
from sordine.features.extract import ExtractOptions, extract
from sordine.features.registry import make_extractor
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords

WORKERS = 2  # threads that extract, where the run leaves the choice to the task


@dataclass(frozen=True)
class AuditInputs:
    """Two tables of the same records, and their media.

    Parameters
    ----------
    original
        Original records, with labels.
    transformed
        Released records with the same ids.
    source
        Media folder of the originals, where it was given.
    released
        Media folder of an anonymiser, where there is one.
    folders
        Whether the tables were extracted from the two folders.
    about
        Facts about the released records, for the report.
    options
        Words of a command line that gives the same inputs again.
    by_order
        Whether records were matched by row number, as requested.
    """

    original: Table
    transformed: Table
    source: Media | None = None
    released: Media | None = None
    folders: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    by_order: bool = False

    @accepts_run_keywords
    def gallery(self, policy: Policy, *, originals: bool = True, run: Run | None = None) -> Gallery | None:
        """Return some records to look at or listen to: see `sordine.evaluation.sections.gallery`.

        None where no media folder is known.
        """
        if self.source is None:
            return None
        return gallery(
            policy, self.original, self.transformed, self.source, self.released, originals=originals, run=run
        )

    def finish(self, report: Report, shown: Gallery | None) -> Report:
        """Return the report with its gallery.

        For two folders, flaws of ids are about file names, and the order of records has no meaning.
        """
        if self.folders:
            flaws = (flaw for flaw in report.flaws if flaw.code != "telling-order")
            report = replace(report, flaws=tuple(_about_names(flaw) for flaw in flaws))
        return replace(report, gallery=shown)


@dataclass(frozen=True)
class MediaFolders:
    """The media of two tables.

    Parameters
    ----------
    before
        Folder from which the original table was extracted.
    after
        An anonymiser's files with the same names.
    layout, layout_options
        Layout of the originals' folder. None: detected.
    """

    before: Path
    after: Path | None = None
    layout: str | None = None
    layout_options: Mapping[str, str] | None = None


@accepts_run_keywords
def read_pair(
    table: Path,
    transformed: Path,
    *,
    features: Sequence[str] = (),
    named: Sequence[str] = (),
    media: MediaFolders | None = None,
    match_by_order: bool = False,
    run: Run | None = None,
) -> AuditInputs:
    """Open two table files.

    Feature columns are matched by name; another order is logged. Records are matched by id. Without ids they are
    matched as in `sordine.data.matching.same_records`; the log and the original table's notes say how.

    Parameters
    ----------
    table, transformed
        Files of the original and of the released records.
    features
        Columns that hold the features. Empty: found by type.
    named
        Attributes to load whatever their number of classes.
    media
        The media of both tables, for a gallery.
    match_by_order
        Whether row i of both tables is the same record where ids are missing.
    run
        Its log is used.
    """
    log = (run or Run()).log
    original = Table.read(table, features, named=named)
    released = _with_links(_open_released(transformed, features, original, run or Run()), transformed, original, log)
    found = same_records(original, released, by_order=match_by_order)
    for note in found.notes:
        log(note)
    if match_by_order and not found.by_order:
        log("--match-by-order has no effect: the records were matched by their ids")
    options: list[str] = ["--match-by-order"] if found.by_order else []
    if media is not None:
        options += ["--media", media.before.name, *_layout_words(media.layout, media.layout_options)]
        options += ["--media-after", media.after.name] if media.after is not None else []
    after = None if media is None else media.after
    return AuditInputs(
        replace(original, notes=(*original.notes, *found.notes)),
        found.released,
        None if media is None else open_media(media.before, media.layout, media.layout_options),
        None if after is None else open_media(after, labels=False),
        about={
            "transformed": transformed.name,
            "original_sha256": table_sha256(table),
            "released_sha256": table_sha256(transformed),
        },
        options=tuple(options),
        by_order=found.by_order,
    )


def _with_links(released: Table, path: Path, original: Table, log: Callable[[str], None]) -> Table:
    """Return the table of a release with the ids of its link table, where that lies beside the folder."""
    links = path.absolute().parent.with_name(f"{path.absolute().parent.name}.links.parquet")
    if not links.is_file() or released.rows_of or not set(released.ids).isdisjoint(original.ids):
        return released
    try:
        found = pq.read_table(links, columns=["pseudonym", "id"]).to_pydict()
    except (pa.ArrowException, OSError, KeyError):
        return released
    ids = dict(zip(found["pseudonym"], found["id"], strict=True))
    if not all(name in ids for name in released.ids):
        return released
    log(f"{path.name}: the link table {links.name} gives the ids of the originals")
    return replace(released, ids=np.array([ids[name] for name in released.ids], object))


def _open_released(path: Path, features: Sequence[str], original: Table, run: Run) -> Table:
    # Sordine writes features into column x. Another tool's table has them in the columns of the originals, or
    # found by type.
    if not features or read_note(path, "sordine.transform"):
        return Table.read(path, check=False)
    try:
        return Table.read(path, features, like=original, check=False, log=run.log)
    except SordineError as missing:
        try:
            return Table.read(path, check=False)
        except SordineError:
            raise missing from None


@accepts_run_keywords
def extract_pair(
    original: str | Path,
    anonymised: str | Path,
    extractor: str,
    options: ExtractOptions = ExtractOptions(),
    *,
    named: Sequence[str] = (),
    run: Run | None = None,
) -> AuditInputs:
    """Extract two media folders in the same way. What the extractor learns, it learns from the originals.

    Files that only one folder has are left out; the log and the original table's notes say how many.

    Parameters
    ----------
    original
        Media folder with labels, in any known layout.
    anonymised
        Files with the same names. Labels in it are ignored.
    extractor
        Name of the extractor.
    options
        Its options and weights, the layout of the originals' folder, and what happens to damaged files.
    named
        Attributes to load whatever their number of classes.
    run
        Its device, workers, log and progress are used.

    Raises
    ------
    SordineError
        If a folder cannot be opened, no name is in both, records are frames of videos, or the extractor is made to hide
        an attribute (`steady`).
    """
    run = run or Run()
    _refuse_hidden(extractor, options)
    source, released = _open_folders(Path(original), Path(anonymised), options)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pair-", dir=cache_folder()) as scratch:
        folders = (Path(original), Path(anonymised))
        before, after = _extract_both(folders, extractor, options, named, Path(scratch), run)
    inputs = _paired(before, after, source, released, run)
    about = {"transformed": released.root.name}
    return replace(inputs, folders=True, about=about, options=tuple(_extract_words(extractor, options)))


def _open_folders(original: Path, anonymised: Path, options: ExtractOptions) -> tuple[Media, Media]:
    source = open_media(original, options.layout, options.layout_options)
    if any(frame is not None for frame in source.frames):
        raise SordineError(
            f"{original}: its records are frames of videos, but only whole files can be compared by name; extract both "
            "folders and audit the two tables"
        )
    released = open_media(anonymised, labels=False)
    if source.kind != released.kind:
        raise SordineError(
            f"{original} contains {source.kind} files, {anonymised} {released.kind} files; give two folders of one kind"
        )
    if not set(source.files) & set(released.files):
        raise SordineError(
            f"no file of {anonymised} has the same name as a file of {original} (for example {released.files[0]!r} and "
            f"{source.files[0]!r}); rename the files"
        )
    return source, released


def _extract_both(
    folders: tuple[Path, Path],
    extractor: str,
    options: ExtractOptions,
    named: Sequence[str],
    scratch: Path,
    run: Run,
) -> tuple[Table, Table]:
    """Both folders as tables: the anonymised one without a layout and labels, with the weights of the originals."""
    show = run.log

    def log(line: str) -> None:
        if str(scratch) not in line:  # the temporary folder is of no use to the user
            show(line)

    run = replace(run, log=log, workers=WORKERS if run.workers is None else run.workers)
    file = scratch / "original.parquet"
    made = extract(folders[0], extractor, file, options, run)
    before = replace(Table.read(file, named=named), source=folders[0].name)
    file = scratch / "anonymised.parquet"
    weights = made.fitted or options.weights
    changed = replace(options, layout=None, layout_options=None, labels=False, weights=weights)
    extract(folders[1], extractor, file, changed, run)
    return before, replace(Table.read(file), source=folders[1].name)


def _paired(original: Table, anonymised: Table, source: Media, released: Media, run: Run) -> AuditInputs:
    """The rows of both tables whose files have the same name."""
    files = dict(zip(source.ids, source.files, strict=True))
    names = [files[name] for name in original.ids]
    known = set(names)
    place = {str(name): row for row, name in enumerate(anonymised.ids)}
    notes = [
        note
        for note in (
            _missing(source, released, (n for n in dict.fromkeys(names) if n not in place)),
            _missing(released, source, (n for n in place if n not in known)),
        )
        if note
    ]
    for note in notes:
        run.log(note)
    rows = np.array([row for row, name in enumerate(names) if name in place], np.int64)
    if not len(rows):
        raise SordineError(
            f"{source.root} and {released.root}: no two files of the same name could be decoded; see the log "
            f"for the reasons"
        )
    before = replace(original.take(rows), notes=(*original.notes, *notes))
    after = anonymised.take(np.array([place[names[row]] for row in rows], np.int64))
    released_table = Table(after.x, {}, before.ids, {}, source=anonymised.source, rounded=after.rounded)
    return AuditInputs(before, released_table, source, released)


def _refuse_hidden(extractor: str, options: ExtractOptions) -> None:
    """Raise SordineError for an extractor that hides information: the attacks would not find it either."""
    weights = {} if options.weights is None else {"weights": str(options.weights)}
    hidden = make_extractor(extractor, {**options.options, **weights}).hides_information()
    if hidden:
        raise SordineError(
            f"extractor {extractor} hides {hidden} from the attacks, so it cannot be used to audit two folders; remove "
            "the option `steady`, or use other weights"
        )


def _extract_words(extractor: str, options: ExtractOptions) -> list[str]:
    """Words of a command line that extract the same way."""
    return [
        "--extractor",
        extractor,
        *(f"--option={k}={v}" for k, v in options.options.items()),
        *_layout_words(options.layout, options.layout_options),
        *([] if options.weights is None else ["--weights", Path(options.weights).name]),
        *(["--skip-bad"] if options.skip_bad else []),
    ]


def _layout_words(layout: str | None, options: Mapping[str, str] | None) -> list[str]:
    return [
        *(["--layout", layout] if layout else []),
        *(f"--layout-option={k}={v}" for k, v in (options or {}).items()),
    ]


def _missing(of: Media, other: Media, names: Iterable[str]) -> str | None:
    names = list(names)
    if not names:
        return None
    count = "1 file" if len(names) == 1 else f"{len(names):,} files"
    return (
        f"{count} of {of.root.name} left out: no file of the same name could be decoded in {other.root.name} "
        f"(the first: {names[0]!r})"
    )


def _about_names(flaw: Flaw) -> Flaw:
    """The flaw with advice on file names in place of advice on ids."""
    message, advice, _ = flaw.message.partition(" `sordine release` ")
    if not advice:
        return flaw
    return replace(
        flaw, message=f"{message} The ids are the names of the files and are released with them: rename the files."
    )
