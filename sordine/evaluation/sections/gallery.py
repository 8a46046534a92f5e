"""Some records of an audit as people see or hear them, before and after."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from sordine.data.media.kinds import WORDS, Media
from sordine.data.media.write import thumbnail
from sordine.data.record_digests import digests, owners
from sordine.data.table import Table
from sordine.data.table_io import BLOCK_ROWS
from sordine.errors import SordineError
from sordine.evaluation.report import Gallery, Sample
from sordine.keys import Key
from sordine.metrics.information import joint
from sordine.policy import Policy
from sordine.run import silent

RECORDS = 8
MOST_BYTES = 1_000_000  # of all thumbnails together: in base64, with all else, the page stays under 2 MB


def gallery(
    policy: Policy,
    original: Table,
    transformed: Table,
    source: Media,
    released: Media | None = None,
    *,
    records: int = RECORDS,
    seed: int = 0,
    originals: bool = True,
    log: Callable[[str], None] = silent,
) -> Gallery | None:
    """At most `records` records, spread over the classes of the preserved attributes, unseen ones where there are any.

    original: the table of `source`, whose ids are the folder's. transformed: the same records after. released: what an
    anonymiser made, files of the same names; without it each released vector is looked up among the originals, which finds
    the recording that substitution put in a record's place. originals: whether the page may show a record's own file and
    its own suppressed classes.
    None, with a line to `log`, where there is nothing to show: vectors that are nobody's, frames of videos. Raises
    SordineError where no record of the table is a file of the folder.
    """
    if any(frame is not None for frame in source.frames):
        log(f"no gallery: the records of {source.root} are frames of videos")
        return None
    files = {name: source.root / file for name, file in zip(source.ids, source.files, strict=True)}
    if not any(name in files for name in original.ids):
        raise SordineError(
            f"no record of {original.source} is a file of {source.root} (the first record: {original.ids[0]!r})"
        )
    rows = [row for row in spread(policy, original, transformed, seed) if original.ids[row] in files]
    if released is None:
        pairs = _substitutes(policy, original, transformed, rows[: 4 * records], files)
    else:
        pairs = _namesakes(policy, original, rows, source, released)
    samples: list[Sample] = []
    most, bad = MOST_BYTES // (2 * max(records, 1)), 0
    for row, after, said in pairs:
        if len(samples) == records or bad > records:
            break
        try:
            mime_after, small_after = thumbnail(after, source.kind, most)
            mime, small = thumbnail(files[original.ids[row]], source.kind, most) if originals else ("", b"")
        except SordineError as error:
            log(f"left out of the gallery: {error}")
            bad += 1
            continue
        own = lines(classes_of(original, policy.suppress, row), classes_of(original, policy.preserve, row))
        before = b64encode(small).decode() if originals else None
        samples.append(
            Sample(own if originals else "", said, mime, mime_after, before, b64encode(small_after).decode())
        )
    if not samples:
        log(f"no gallery: what is released are not {WORDS[source.kind]} of {(released or source).root}")
        return None
    return Gallery(source.kind, tuple(samples), _note(policy, transformed, source, released, originals))


def spread(policy: Policy, original: Table, transformed: Table | None, seed: int) -> Iterator[int]:
    """Rows in the order in which they are shown: one of each (joint) preserved class, then a second, ...; the unseen first."""
    split = original.split
    if split is None and transformed is not None and transformed.split is not None:
        fitted = set(transformed.ids[transformed.split].tolist())
        split = np.array([name in fitted for name in original.ids])
    rank = np.empty(len(original), np.int64)
    rank[Key.of_seed(seed).order("gallery", original.ids)] = np.arange(len(original))
    sides = [np.arange(len(original))] if split is None else [np.flatnonzero(~split), np.flatnonzero(split)]
    known = [original.y[a] for a in policy.preserve if a in original.y]
    for side in sides:
        side = side[np.argsort(rank[side])]
        if not known or not len(side):
            yield from side.tolist()
            continue
        # The n-th record of each class before the (n+1)-th of any; classes in the order in which they first come.
        codes = joint([codes[side] for codes in known])
        times: dict[int, int] = {}
        turns = np.empty(len(side), np.int64)
        for i, code in enumerate(codes.tolist()):
            turns[i] = times[code] = times.get(code, -1) + 1
        yield from side[np.argsort(turns, kind="stable")].tolist()


def _substitutes(
    policy: Policy, original: Table, transformed: Table, rows: list[int], files: dict[str, Path]
) -> Iterator[tuple[int, Path, str]]:
    """(row, the file that took its place, what is said of it) of the records whose vector is another record's."""
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
            whose, own = (
                classes_of(original, policy.suppress, other),
                classes_of(original, _beside(policy, transformed), row),
            )
            drawn = ", ".join(part for part in ("itself" if other == row else "", whose) if part)
            said = lines(f"drawn: {drawn}" if drawn else "", f"kept: {own}" if own else "")
            yield row, files[original.ids[other]], said


def _namesakes(
    policy: Policy, original: Table, rows: list[int], source: Media, released: Media
) -> Iterator[tuple[int, Path, str]]:
    """(row, the file of the same name in the other folder, what is said of it) of the records that have one."""
    names, there = dict(zip(source.ids, source.files, strict=True)), set(released.files)
    for row in rows:
        name = names[original.ids[row]]
        if name in there:
            yield row, released.root / name, classes_of(original, policy.preserve, row)


def classes_of(table: Table, attributes: tuple[str, ...], row: int) -> str:
    """The record's classes in words: "speaker ann, word yes"."""
    known = [(a, int(table.y[a][row])) for a in attributes if a in table.y]
    return ", ".join(f"{a} {table.classes[a][code]}" if code >= 0 else f"{a} not labelled" for a, code in known)


def _beside(policy: Policy, transformed: Table) -> tuple[str, ...]:
    """The preserved attributes whose labels are released beside the records."""
    return tuple(a for a in policy.preserve if a in transformed.y)


def lines(*parts: str) -> str:
    """The parts that are not empty, a line each."""
    return "\n".join(part for part in parts if part)


def picked(policy: Policy) -> str:
    """How `spread` picks, in words."""
    return "picked at random" + (f", spread over {' and '.join(policy.preserve)}" if policy.preserve else "")


def _note(policy: Policy, transformed: Table, source: Media, released: Media | None, originals: bool) -> str:
    what = WORDS[source.kind]
    said = [f"Some of the {what}, made small: {picked(policy)}."]
    if released is None:
        said.append(
            f"What is released in a record's place is one of the real {what}, drawn at random among those like it: “drawn” says whose it is."
        )
        if _beside(policy, transformed):
            said.append(
                "“Kept” is the record's own class, which is released beside it and need not be that of the one drawn."
            )
    if originals:
        said.append("This part shows the originals: it is for the owner of the data, not for who receives the release.")
    elif released is None:
        said.append(f"The records' own {what} are left out, as asked; those that are shown are real all the same.")
    else:
        said.append(f"The {what} before are left out, as asked.")
    return " ".join(said)
