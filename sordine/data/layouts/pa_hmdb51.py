"""PA-HMDB51: five privacy attributes, frame by frame, of some 590 videos of HMDB51."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, Literal

from sordine.data.layouts.hmdb51 import PRIVACY, source_of, videos_in, videos_of
from sordine.data.layouts.reading import Missing, checked, first_folder, names_in, parsed, present, table_of
from sordine.data.media.kinds import Media
from sordine.errors import SordineError

# The words of each level. Several people in one frame may have several levels: the last word of the two that allow it.
LEVELS = {
    "skin_color": ("unidentifiable", "white", "brown/yellow", "black", "several"),
    "face": ("invisible", "partial", "complete"),
    "gender": ("unidentifiable", "male", "female", "both"),
    "nudity": ("none", "partial", "semi"),
    "relationship": ("unidentifiable", "identifiable"),
}
SEVERAL = ("skin_color", "gender")


def read(
    root: Path,
    *,
    level: Literal["frame", "video"] = "frame",
    binary: bool = True,
    every: int = 1,
    face_from: int = 1,
    nudity_from: int = 1,
    missing: Missing = "error",
) -> Media:
    """`PrivacyAttributes/<action>.json` with the videos of HMDB51 (`hmdb51_org/<action>/<name>`, `videos/` ...).

    A file maps a video to, for each attribute, ranges [first frame, last frame, level], ends included, from 0; a level may
    be a list where several people are seen. Columns: action, frame (where level="frame"), the five attributes and group,
    the source of the video, which keeps all its frames together. There is no split: the paper tests on all of this set
    and trains on the rest of HMDB51 (`hmdb51` with split="pa").
    level: a record a frame, every `every`-th; or a record a video, with each attribute's highest level over its frames.
    binary: "yes" where the level is not 0, as code around the paper turns the set into VISPR's labels: skin colour, gender or
    relationship can be told, some face is seen, some skin is bare. face_from=2 counts complete faces only, nudity_from=2
    half-naked bodies only. binary=False gives the levels in words (LEVELS). A frame that no range of an attribute covers
    has no label of it; where ranges overlap the first one counts, as in the authors' viewer.
    Raises SordineError naming the file and the video where a range is wrong.
    Source: VITA-Group/PA-HMDB51 (files, levels and their words); Wu et al., arXiv 1906.05675.
    """
    checked("level", level, ("frame", "video"))
    for option, value in (("every", every), ("face_from", face_from), ("nudity_from", nudity_from)):
        if not isinstance(value, int) or value < 1:
            raise SordineError(f"{option}={value!r} is not a whole number from 1 up")
    floors = dict.fromkeys(LEVELS, 1) | {"face": face_from, "nudity": nudity_from}
    labels = first_folder(root, PRIVACY, "folder of privacy labels")
    home = videos_of(root)
    inside = "" if home == root else home.relative_to(root).as_posix() + "/"
    there = videos_in(root, home)
    columns: dict[str, list[Any]] = defaultdict(list)
    gaps = 0
    for file in sorted(name for name in names_in(labels) if name.endswith(".json")):
        action = file.removesuffix(".json")
        described = parsed(labels / file)
        if not isinstance(described, dict):
            raise SordineError(f"{labels / file} does not map videos to their labels")
        for video, entry in described.items():
            frames = _levels(entry, f"{labels / file}: {video}")
            if level == "video":
                frames = {name: [_highest(name, values)] for name, values in frames.items()}
            else:
                frames = {name: values[::every] for name, values in frames.items()}
            n = len(frames["face"])
            gaps += sum(v < 0 for values in frames.values() for v in values)
            columns["file_name"] += [f"{inside}{action}/{video}"] * n
            if level == "frame":
                columns["frame"] += range(0, n * every, every)
            columns["action"] += [action] * n
            for name, values in frames.items():
                words = (
                    ["no" if v < floors[name] else "yes" for v in range(len(LEVELS[name]))] if binary else LEVELS[name]
                )
                columns[name] += [None if v < 0 else words[v] for v in values]
            columns["group"] += [source_of(video, action)] * n
    records, notes = present(table_of(columns), there, labels, missing)
    if gaps:
        notes.append(f"{gaps} labels are not given: no range covers the frame.")
    return Media(root, "video", records, tuple(notes))


def _levels(entry: Any, where: str) -> dict[str, list[int]]:
    """Attribute -> level of every frame, -1 where no range covers it."""
    ranges = {name: _ranges(entry, name, where) for name in LEVELS}
    last = max(end for found in ranges.values() for _, end, _ in found)
    frames = {}
    for name, found in ranges.items():
        values = [-1] * (last + 1)
        for start, end, value in reversed(found):
            values[start : end + 1] = [value] * (end + 1 - start)
        frames[name] = values
    return frames


def _highest(name: str, values: list[int]) -> int:
    """One level for a whole video: the highest, and "several" where the people seen at different times differ."""
    seen = {v for v in values if v > 0}
    return len(LEVELS[name]) - 1 if name in SEVERAL and len(seen) > 1 else max(values)


def _ranges(entry: Any, name: str, where: str) -> list[tuple[int, int, int]]:
    given = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(given, list) or not given:
        raise SordineError(f"{where} has no ranges of {name}")
    found = []
    for piece in given:
        fine = isinstance(piece, list) and len(piece) == 3 and all(type(p) is int for p in piece[:2])
        if not fine or not 0 <= piece[0] <= piece[1]:
            raise SordineError(f"{where}: {name} range {piece} is not [first frame, last frame, level]")
        found.append((piece[0], piece[1], _level(piece[2], name, where)))
    return found


def _level(value: Any, name: str, where: str) -> int:
    top = len(LEVELS[name]) - 1
    if name in SEVERAL and isinstance(value, list) and value:
        parts = [_level(part, name, where) for part in value]
        return parts[0] if len(set(parts)) == 1 else top
    if type(value) is not int or not 0 <= value <= top:
        raise SordineError(f"{where}: {name} has no level {value!r}; levels are 0 to {top}")
    return value
