"""Some records of an audit to look at or to listen to, before and after."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sordine.data.media.kinds import WORDS, Kind, Media
from sordine.data.media.write import thumbnail
from sordine.data.record_digests import digests, owners
from sordine.data.splits import keyed_ranks
from sordine.data.table import Table
from sordine.data.table_io import BLOCK_ROWS
from sordine.errors import SordineError
from sordine.evaluation.report import Gallery, Report, Sample
from sordine.evaluation.sections.base import Section
from sordine.keys import Key
from sordine.metrics.information import joint
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords

RECORDS = 8
MOST_BYTES = 1_000_000  # of all thumbnails together: with base64 and all else, the page stays under 2 MB
TITLES = {
    "audio": "Some clips to listen to",
    "image": "Some pictures to look at",
    "video": "Some videos to look at",
}
FOR_THE_OWNER = (
    "This part shows originals. It is for the owner of the data, not for the recipient of the released records."
)


class GallerySection(Section):
    """Thumbnails of records. `gallery` makes them from a media folder after the audit."""

    title = "Samples"
    key = "gallery"
    finding = Gallery | None

    def heading(self, found: Gallery) -> str:
        """Return a heading for this kind of media."""
        return TITLES[found.kind]

    def view(self, found: Gallery | None, report: Report) -> dict[str, Any] | None:
        """Return the gallery."""
        return {"gallery": found} if found is not None else None


class _Shown(NamedTuple):
    # A row of the table, the file shown after, and its caption.
    row: int
    after: Path
    caption: str


@accepts_run_keywords
def gallery(
    policy: Policy,
    original: Table,
    transformed: Table,
    source: Media,
    released: Media | None = None,
    *,
    records: int = RECORDS,
    originals: bool = True,
    run: Run | None = None,
) -> Gallery | None:
    """Return some records, spread over the classes of the preserved attributes, unseen records first.

    None where no released record is a file of a folder, or records are frames of videos.

    Parameters
    ----------
    policy
        Roles of the attributes.
    original
        The table of `source`; its ids are those of the folder.
    transformed
        The same records after the release.
    source
        Media folder of the originals.
    released
        Media folder of an anonymiser: files of the same names. Without it, each released vector is searched among the
        originals. That finds the recording that substitution put in place of a record.
    records
        Largest number of records.
    originals
        Whether to show a record's own file and its suppressed classes.
    run
        Its seed chooses the records; its log receives what is left out.

    Raises
    ------
    SordineError
        If no record of the table is a file of the folder.
    """
    run = run or Run()
    if any(frame is not None for frame in source.frames):
        run.log(f"no gallery: the records of {source.root} are frames of videos")
        return None
    files = {name: source.root / file for name, file in zip(source.ids, source.files, strict=True)}
    if not any(name in files for name in original.ids):
        raise SordineError(
            f"no record of {original.source} is a file of {source.root} (the first record: {original.ids[0]!r})"
        )
    rows = [row for row in spread(policy, original, transformed, run.seed) if original.ids[row] in files]
    if released is None:
        shown = _substitutes(policy, original, transformed, rows[: 4 * records], files)
    else:
        shown = _same_names(policy, original, rows, source, released)
    samples = _samples(shown, policy, original, (source.kind, files), records, originals, run)
    if not samples:
        run.log(f"no gallery: the released records are not {WORDS[source.kind]} of {(released or source).root}")
        return None
    return Gallery(source.kind, tuple(samples), _note(policy, transformed, source, released, originals))


def _samples(
    shown: Iterable[_Shown],
    policy: Policy,
    original: Table,
    media: tuple[Kind, Mapping[str, Path]],
    records: int,
    before: bool,
    run: Run,
) -> list[Sample]:
    kind, files = media
    samples: list[Sample] = []
    most, bad = MOST_BYTES // (2 * max(records, 1)), 0
    for row, after, caption in shown:
        if len(samples) == records or bad > records:
            break
        try:
            mime_after, small_after = thumbnail(after, kind, most)
            mime, small = thumbnail(files[original.ids[row]], kind, most) if before else ("", b"")
        except SordineError as error:
            run.log(f"left out of the gallery: {error}")
            bad += 1
            continue
        classes = lines(classes_of(original, policy.suppress, row), classes_of(original, policy.preserve, row))
        samples.append(
            Sample(
                classes if before else "",
                caption,
                mime,
                mime_after,
                b64encode(small).decode() if before else None,
                b64encode(small_after).decode(),
            )
        )
    return samples


def spread(policy: Policy, original: Table, transformed: Table | None, seed: int) -> Iterator[int]:
    """Yield rows in the order in which they are shown.

    Unseen records come first. On each side, one record of each (joint) preserved class comes before a second of any.
    """
    split = original.split
    if split is None and transformed is not None and transformed.split is not None:
        fitted = set(transformed.ids[transformed.split].tolist())
        split = np.array([name in fitted for name in original.ids])
    rank = keyed_ranks(Key.of_seed(seed), "gallery", original.ids)
    sides = [np.arange(len(original))] if split is None else [np.flatnonzero(~split), np.flatnonzero(split)]
    known = [original.y[a] for a in policy.preserve if a in original.y]
    for side in sides:
        side = side[np.argsort(rank[side])]
        if not known or not len(side):
            yield from side.tolist()
            continue
        codes = joint([codes[side] for codes in known])
        times: dict[int, int] = {}
        turns = np.empty(len(side), np.int64)
        for i, code in enumerate(codes.tolist()):
            turns[i] = times[code] = times.get(code, -1) + 1
        yield from side[np.argsort(turns, kind="stable")].tolist()


def _substitutes(
    policy: Policy, original: Table, transformed: Table, rows: list[int], files: Mapping[str, Path]
) -> Iterator[_Shown]:
    """Yield the records whose released vector is an original's, with that original's file."""
    place = {str(name): at for at, name in enumerate(transformed.ids)}
    rows = [row for row in rows if str(original.ids[row]) in place]
    if original.shape != transformed.shape or not rows:
        return
    after = transformed.take(np.array([place[str(original.ids[row])] for row in rows])).flat()
    whole = (
        np.asarray(original.x[start : start + BLOCK_ROWS], np.float32) for start in range(0, len(original), BLOCK_ROWS)
    )
    found = owners(digests([after]), digests(whole), original.ids)
    for row, other in zip(rows, found.tolist(), strict=True):
        if other >= 0 and original.ids[other] in files:
            substitute = classes_of(original, policy.suppress, other)
            beside = classes_of(original, _beside(policy, transformed), row)
            drawn = ", ".join(part for part in ("the record itself" if other == row else "", substitute) if part)
            caption = lines(f"substitute: {drawn}" if drawn else "", f"label: {beside}" if beside else "")
            yield _Shown(row, files[original.ids[other]], caption)


def _same_names(policy: Policy, original: Table, rows: list[int], source: Media, released: Media) -> Iterator[_Shown]:
    """Yield the records that have a file of the same name in the other folder."""
    names, there = dict(zip(source.ids, source.files, strict=True)), set(released.files)
    for row in rows:
        name = names[original.ids[row]]
        if name in there:
            yield _Shown(row, released.root / name, classes_of(original, policy.preserve, row))


def classes_of(table: Table, attributes: tuple[str, ...], row: int) -> str:
    """Return the record's classes in words: "speaker ann, word yes"."""
    known = [(a, int(table.y[a][row])) for a in attributes if a in table.y]
    return ", ".join(f"{a} {table.classes[a][code]}" if code >= 0 else f"{a} not labelled" for a, code in known)


def _beside(policy: Policy, transformed: Table) -> tuple[str, ...]:
    """The preserved attributes whose labels are released with the records."""
    return tuple(a for a in policy.preserve if a in transformed.y)


def lines(*parts: str) -> str:
    """Return the parts that are not empty, one a line."""
    return "\n".join(part for part in parts if part)


def picked(policy: Policy) -> str:
    """Return how `spread` chooses records, in words."""
    return "chosen at random" + (f", spread over {' and '.join(policy.preserve)}" if policy.preserve else "")


def _note(policy: Policy, transformed: Table, source: Media, released: Media | None, originals: bool) -> str:
    what = WORDS[source.kind]
    sentences = [f"Some of the {what}, made small: {picked(policy)}."]
    if released is None:
        sentences.append(
            f"Each record is replaced by a similar one of the real {what}, drawn at random. "
            "“Substitute” names the classes of that one."
        )
        if _beside(policy, transformed):
            sentences.append(
                "“Label” is the record's own class, which is released with it. The substitute's class may differ."
            )
    if originals:
        sentences.append(FOR_THE_OWNER)
    elif released is None:
        sentences.append(f"The records' own {what} are left out, as requested. The {what} shown are real, too.")
    else:
        sentences.append(f"The {what} before are left out, as requested.")
    return " ".join(sentences)
