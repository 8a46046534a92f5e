"""What an audit compares: two tables, or two media folders (the originals, and an anonymiser's files of the same names)
as one pair of tables."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from sordine.data.files import cache_folder, sha256
from sordine.data.layouts.registry import open_media
from sordine.data.matching import same_records
from sordine.data.media.kinds import Media
from sordine.data.table import Table
from sordine.data.table_io import read_note
from sordine.errors import SordineError
from sordine.evaluation.report import Flaw, Gallery, Report
from sordine.evaluation.sections.gallery import gallery
from sordine.features.extract import ExtractOptions, extract
from sordine.features.registry import make_extractor
from sordine.policy import Policy
from sordine.run import Run, silent

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Pair:
    """Two tables of the same records, and where their media are.

    original: with labels. transformed: the same ids. source: the folder of the originals, where it was named. released: the
    folder of what an anonymiser made. folders: whether the tables were made of the two folders. about: what the report says
    of the transformed records. options: words for a command line that makes the same pair again. by_order: whether records were
    matched by row number, as asked.
    """

    original: Table
    transformed: Table
    source: Media | None = None
    released: Media | None = None
    folders: bool = False
    about: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    by_order: bool = False

    def gallery(self, policy: Policy, *, originals: bool = True, log: Callable[[str], None] = silent) -> Gallery | None:
        """Some records to look at or listen to; None where no media folder is known. See `sordine.evaluation.sections.gallery`."""
        if self.source is None:
            return None
        after = self.transformed
        return gallery(policy, self.original, after, self.source, self.released, originals=originals, log=log)

    def finish(self, report: Report, shown: Gallery | None) -> Report:
        """The report with its gallery; of two folders, what is said of ids is said of file names, and nothing of an order."""
        if self.folders:
            kept = (flaw for flaw in report.flaws if flaw.code != "telling-order")
            report = replace(report, flaws=tuple(_of_names(flaw) for flaw in kept))
        return replace(report, gallery=shown)


def read_pair(
    table: Path,
    transformed: Path,
    *,
    features: Sequence[str] = (),
    named: Sequence[str] = (),
    media: Path | None = None,
    media_after: Path | None = None,
    layout: str | None = None,
    layout_options: Mapping[str, str] | None = None,
    match_by_order: bool = False,
    log: Callable[[str], None] = silent,
) -> Pair:
    """Two table files; media: the folder that the first was made of; media_after: an anonymiser's files of the same names.

    Feature columns are matched by name; another order is said to `log`. Records are matched by id; where ids are missing, as in
    `sordine.data.matching.same_records`, and how stands in `log` and in the original table's notes.
    """
    original = Table.read(table, features, named=named)
    released = _read_released(transformed, features, original, log)
    found = same_records(original, released, by_order=match_by_order)
    for note in found.notes:
        log(note)
    if match_by_order and not found.by_order:
        log("--match-by-order has no say here: records were matched by their ids")
    original = replace(original, notes=(*original.notes, *found.notes))
    options: list[str] = ["--match-by-order"] if found.by_order else []
    if media is not None:
        options += ["--media", media.name, *_layout_words(layout, layout_options)]
        options += ["--media-after", media_after.name] if media_after is not None else []
    return Pair(
        original,
        found.released,
        None if media is None else open_media(media, layout, layout_options),
        None if media_after is None else open_media(media_after, labels=False),
        about={"transformed": transformed.name, "released_sha256": sha256(transformed)},
        options=tuple(options),
        by_order=found.by_order,
    )


def _read_released(path: Path, features: Sequence[str], original: Table, log: Callable[[str], None]) -> Table:
    # Another tool's table has its features where the originals have them, or is told as ever; one that Sordine wrote has x.
    if not features or read_note(path, "sordine.transform"):
        return Table.read(path, check=False)
    try:
        return Table.read(path, features, like=original, check=False, log=log)
    except SordineError as missing:
        try:
            return Table.read(path, check=False)
        except SordineError:
            raise missing from None


def extract_pair(
    original: str | Path,
    anonymised: str | Path,
    extractor: str,
    *,
    options: Mapping[str, str] | None = None,
    layout: str | None = None,
    layout_options: Mapping[str, str] | None = None,
    weights: Path | None = None,
    skip_bad: bool = False,
    device: str = "cpu",
    workers: int = 2,
    named: Sequence[str] = (),
    log: Callable[[str], None] = silent,
    progress: Progress | None = None,
) -> Pair:
    """Both folders through the same extractor: what it learns, it learns from the originals.

    original: a media folder with labels, in any layout that is known. anonymised: files under the same names; its labels,
    if any, are not read. weights: a file that the extractor takes its weights from. named: attributes to read whatever
    their number of classes. progress: (what, done, in all). The others as in `sordine.features.extract.extract`.
    Files that only one of them holds are named and counted, to `log` and in the original table's notes, and left out.
    Raises SordineError where either cannot be read, no name is in both, the originals' records are frames of videos, or
    the extractor is asked to be blind to something (`steady`).
    """
    _check_hides_nothing(extractor, options, weights)
    given = [] if weights is None else ["--weights", Path(weights).name]
    source = open_media(Path(original), layout, layout_options)
    if any(frame is not None for frame in source.frames):
        raise SordineError(f"{original}: its records are frames of videos; only whole files can be compared by name")
    released = open_media(Path(anonymised), labels=False)
    if source.kind != released.kind:
        raise SordineError(f"{original} holds {source.kind}, {anonymised} {released.kind}: nothing to compare")
    if not set(source.files) & set(released.files):
        raise SordineError(
            f"no file of {anonymised} has the name of one of {original} (such as {source.files[0]!r}; there is {released.files[0]!r})"
        )
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pair-", dir=cache_folder()) as scratch:
        tables = []

        def said(line: str) -> None:
            if scratch not in line:  # what is soon gone is not told of
                log(line)

        for name, folder, first in (("original", original, True), ("anonymised", anonymised, False)):
            made = extract(
                folder,
                extractor,
                Path(scratch) / f"{name}.parquet",
                ExtractOptions(
                    options=options or {},
                    layout=layout if first else None,
                    layout_options=layout_options if first else None,
                    labels=first,
                    weights=weights,
                    skip_bad=skip_bad,
                ),
                Run(device=device, workers=workers, log=said, progress=progress),
            )
            weights = made.fitted or weights
            read = Table.read(Path(scratch) / f"{name}.parquet", named=named if first else ())
            tables.append(replace(read, source=Path(folder).name))
    words = ["--extractor", extractor, *(f"--option={k}={v}" for k, v in (options or {}).items())]
    words += _layout_words(layout, layout_options)
    words += [*given, *(["--skip-bad"] if skip_bad else [])]
    pair = _paired(tables[0], tables[1], source, released, log)
    return replace(pair, folders=True, about={"transformed": released.root.name}, options=tuple(words))


def _paired(original: Table, anonymised: Table, source: Media, released: Media, log: Callable[[str], None]) -> Pair:
    """The rows of both tables whose files have the same name, as one pair."""
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
        log(note)
    rows = np.array([row for row, name in enumerate(names) if name in place], np.int64)
    if not len(rows):
        raise SordineError(f"no file of {source.root} and of {released.root} with the same name could be read")
    kept = replace(original.take(rows), notes=(*original.notes, *notes))
    after = anonymised.take(np.array([place[names[row]] for row in rows], np.int64))
    return Pair(kept, Table(after.x, {}, kept.ids, {}, source=anonymised.source), source, released)


def _check_hides_nothing(extractor: str, options: Mapping[str, str] | None, weights: str | Path | None) -> None:
    """Raise SordineError where the extractor hides information, as the attackers would then miss it too."""
    tool = make_extractor(extractor, {**(options or {}), **({} if weights is None else {"weights": str(weights)})})
    if hidden := tool.hides_information():
        raise SordineError(
            f"extractor {extractor} hides {hidden} from the attackers, so it cannot be used to audit two folders; "
            "remove the option `steady`, or use other weights"
        )


def _layout_words(layout: str | None, options: Mapping[str, str] | None) -> list[str]:
    return [
        *(["--layout", layout] if layout else []),
        *(f"--layout-option={k}={v}" for k, v in (options or {}).items()),
    ]


def _missing(of: Media, other: Media, names: Iterable[str]) -> str | None:
    names = list(names)
    if not names:
        return None
    many = "1 file" if len(names) == 1 else f"{len(names):,} files"
    return f"{many} of {of.root.name} left out: none of the same name could be read in {other.root.name} (the first: {names[0]!r})"


def _of_names(flaw: Flaw) -> Flaw:
    said, advice, _ = flaw.message.partition(" `sordine release` ")
    if not advice:
        return flaw
    return replace(flaw, message=f"{said} The ids are the names of the files, and leave with them: rename the files.")
