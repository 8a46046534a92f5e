"""PA-HMDB51: five privacy attributes, frame by frame, of about 590 videos of HMDB51."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from sordine.data.layouts.hmdb51 import PRIVACY, source_of, videos_in, videos_of
from sordine.data.layouts.reading import Missing, existing_records, first_folder, names_in, parsed, table_of
from sordine.data.media.kinds import Media
from sordine.errors import SordineError

# The word of each level. Where several people in a frame have different levels, the attributes in SEVERAL have the
# last.
LEVELS = {
    "skin_color": ("unidentifiable", "white", "brown/yellow", "black", "several"),
    "face": ("invisible", "partial", "complete"),
    "gender": ("unidentifiable", "male", "female", "both"),
    "nudity": ("none", "partial", "semi"),
    "relationship": ("unidentifiable", "identifiable"),
}
SEVERAL = ("skin_color", "gender")


@dataclass(frozen=True)
class PaHmdb51:
    """PA-HMDB51: `PrivacyAttributes/<action>.json` with the videos of HMDB51 (`hmdb51_org/<action>/<name>`, `videos/`).

    A file maps a video to ranges [first frame, last frame, level] of each attribute, ends included, from 0. A level may
    be a list where several people are visible. Columns: action, frame (where level is "frame"), the five attributes,
    and group, the source of the video. A frame that no range of an attribute covers has no label of it; where ranges
    overlap, the first one counts, as in the authors' viewer. There is no split: the paper tests on all of this set and
    trains on the rest of HMDB51 (layout `hmdb51` with split="pa").

    Source: VITA-Group/PA-HMDB51 (files, levels and their words); Wu et al., arXiv 1906.05675.

    Parameters
    ----------
    level
        `frame`: one record for every `every`-th frame. `video`: one record a video, with the highest level of each
        attribute over its frames.
    binary
        Labels are "yes" where the level is not 0: skin colour, gender or relationship can be identified, a face is
        visible, skin is bare. Code around the paper converts the set into VISPR's labels like this. False gives the
        levels in words (LEVELS).
    every
        Step between frames, at least 1.
    face_from
        Lowest level of `face` that is "yes"; 2 counts complete faces only.
    nudity_from
        Lowest level of `nudity` that is "yes"; 2 counts semi-nudity only.
    missing
        `error` or `skip`, for records without a file.
    """

    level: Literal["frame", "video"] = "frame"
    binary: bool = True
    every: Annotated[int, Field(ge=1)] = 1
    face_from: Annotated[int, Field(ge=1)] = 1
    nudity_from: Annotated[int, Field(ge=1)] = 1
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = PRIVACY

    def read(self, root: Path) -> Media:
        """Return the frames or videos. Raises SordineError, naming file and video, where a range is wrong."""
        labels = first_folder(root, PRIVACY, "folder of privacy labels")
        home = videos_of(root)
        inside = "" if home == root else home.relative_to(root).as_posix() + "/"
        there = videos_in(root, home)
        columns: dict[str, list[Any]] = defaultdict(list)
        gaps = 0
        for file in sorted(name for name in names_in(labels) if name.endswith(".json")):
            described = parsed(labels / file)
            if not isinstance(described, dict):
                raise SordineError(f"{labels / file} must map each video to its labels")
            action = file.removesuffix(".json")
            for video, entry in described.items():
                levels = self._chosen_levels(entry, f"{labels / file}: {video}")
                gaps += sum(v < 0 for values in levels.values() for v in values)
                n = len(levels["face"])
                columns["file_name"] += [f"{inside}{action}/{video}"] * n
                if self.level == "frame":
                    columns["frame"] += range(0, n * self.every, self.every)
                columns["action"] += [action] * n
                for name, values in levels.items():
                    words = self._words(name)
                    columns[name] += [None if v < 0 else words[v] for v in values]
                columns["group"] += [source_of(video, action)] * n
        records, notes = existing_records(table_of(columns), there, labels, self.missing)
        if gaps:
            notes.append(f"{gaps} labels are missing: no range covers the frame.")
        return Media(root, "video", records, tuple(notes))

    def _chosen_levels(self, entry: Any, where: str) -> dict[str, list[int]]:
        """Return the levels of the records of one video, by attribute."""
        frames = _levels(entry, where)
        if self.level == "video":
            return {name: [_highest(name, values)] for name, values in frames.items()}
        return {name: values[:: self.every] for name, values in frames.items()}

    def _words(self, name: str) -> Sequence[str]:
        """Return the label of each level of an attribute."""
        if not self.binary:
            return LEVELS[name]
        lowest = {"face": self.face_from, "nudity": self.nudity_from}.get(name, 1)
        return ["no" if level < lowest else "yes" for level in range(len(LEVELS[name]))]


def _levels(entry: Any, where: str) -> dict[str, list[int]]:
    """Return the level of every frame by attribute, -1 where no range covers it."""
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
    """Return one level for a video: the highest, and "several" where people visible at different times differ."""
    present = {v for v in values if v > 0}
    return len(LEVELS[name]) - 1 if name in SEVERAL and len(present) > 1 else max(values)


def _ranges(entry: Any, name: str, where: str) -> list[tuple[int, int, int]]:
    given = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(given, list) or not given:
        raise SordineError(f"{where} has no ranges of {name}; add at least one")
    found = []
    for item in given:
        fine = isinstance(item, list) and len(item) == 3 and all(type(p) is int for p in item[:2])
        if not fine or not 0 <= item[0] <= item[1]:
            raise SordineError(f"{where}: {name} range {item} is not [first frame, last frame, level]")
        found.append((item[0], item[1], _level(item[2], name, where)))
    return found


def _level(value: Any, name: str, where: str) -> int:
    top = len(LEVELS[name]) - 1
    if name in SEVERAL and isinstance(value, list) and value:
        parts = [_level(part, name, where) for part in value]
        return parts[0] if len(set(parts)) == 1 else top
    if type(value) is not int or not 0 <= value <= top:
        raise SordineError(f"{where}: {name} has no level {value!r}; levels are 0 to {top}")
    return value
