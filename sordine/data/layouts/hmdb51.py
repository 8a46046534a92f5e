"""HMDB51: about 6,800 short videos of 51 actions from films and the web, with three official splits."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    Missing,
    check_choice,
    existing_records,
    first_folder,
    folders_in,
    lines,
    names_in,
    parsed,
    table_of,
)
from sordine.data.media.kinds import VIDEO, Media
from sordine.errors import SordineError

VIDEOS = ("videos", "Videos", "hmdb51_org", "hmdb51", "HMDB51", "video")
SPLITS = (
    "testTrainMulti_7030_splits",
    "test_train_splits/testTrainMulti_7030_splits",
    "splits/testTrainMulti_7030_splits",
    "split/testTrainMulti_7030_splits",
    "test_train_splits",
    "splits",
    "metafile",
    "annotations",
)
PRIVACY = ("PrivacyAttributes", "HMDB51_PrivacyAttributes")
UNUSED, TRAINED_ON, TESTED = "0", "1", "2"

# Visible body parts, camera motion, number of people, viewpoint, quality, and the number of the clip in its source.
_TAGS = re.compile(r"_[a-z]_(?:nm|cm)_np\d+_(?:fr|ba|le|ri)_(?:bad|med|goo)_\d+$")


@dataclass(frozen=True)
class Hmdb51:
    """HMDB51: `videos/<action>/<name>.avi` with `testTrainMulti_7030_splits/<action>_test_split<1..3>.txt`.

    A line of a split file is a name and 0 (in neither part), 1 (train) or 2 (test). Columns: action, split and group,
    which is the source of the clip: the name before the action and the tags. The videos may also be in a folder with
    the name of their archive (`hmdb51_org/`), the splits one folder deeper.

    Source: the page of the set at serre-lab.clps.brown.edu and its readme; Kuehne et al., ICCV 2011.

    Parameters
    ----------
    split
        Number of the official split. `pa` uses the videos that `PrivacyAttributes/` describes as test records and all
        others as training records, as the paper on PA-HMDB51 does.
    unused
        `drop` or `train`, for videos marked 0.
    missing
        `error` or `skip`, for records without a file.
    """

    split: Literal["1", "2", "3", "pa"] | int = 1
    unused: Literal["drop", "train"] = "drop"
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = ("testTrainMulti_7030_splits", "*/testTrainMulti_7030_splits")

    def read(self, root: Path) -> Media:
        """Return the videos. Raises SordineError where a line is wrong, or an action has no split file."""
        which = str(self.split)
        check_choice("split", which, ("1", "2", "3", "pa"))
        home = videos_of(root)
        there = videos_in(root, home)
        if which == "pa":
            return _against_privacy(root, there)
        lists = first_folder(root, SPLITS, "folder of split files")
        ending = f"_test_split{which}.txt"
        columns: dict[str, list[str]] = defaultdict(list)
        left_out = 0
        for action in _actions(lists, ending, there):
            for name, mark in _marked(lists / f"{action}{ending}"):
                if mark == UNUSED and self.unused == "drop":
                    left_out += 1
                    continue
                columns["file_name"].append(_inside(root, home) + f"{action}/{name}")
                columns["action"].append(action)
                columns["split"].append(TEST if mark == TESTED else TRAIN)
                columns["group"].append(source_of(name, action))
        records, notes = existing_records(table_of(columns), there, lists, self.missing)
        if left_out:
            notes.append(f"{left_out} videos are left out: they are in neither part of split {which}.")
        return Media(root, "video", records, tuple(notes))


def _actions(lists: Path, ending: str, there: set[str]) -> list[str]:
    """Return the actions that have a split file."""
    actions = sorted(name.removesuffix(ending) for name in names_in(lists) if name.endswith(ending))
    if not actions:
        raise SordineError(f"{lists} has no file <action>{ending}; add the split files")
    if unlisted := sorted({name.split("/")[-2] for name in there} - set(actions)):
        raise SordineError(f"{lists} has no file {unlisted[0]}{ending}, but there are videos of {unlisted[0]}; add it")
    return actions


def _marked(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the mark of each line of a split file."""
    for number, line in lines(path):
        name, _, mark = line.strip().rpartition(" ")
        if not name or mark not in (UNUSED, TRAINED_ON, TESTED):
            raise SordineError(f"{path} line {number}: {line.strip()!r} is not a file name and 0, 1 or 2")
        yield name.strip(), mark


def source_of(name: str, action: str) -> str:
    """Return the source of a clip by its file name; clips of one source share people and scenes."""
    stem = name.rpartition(".")[0] or name
    bare = _TAGS.sub("", stem)
    return bare.removesuffix(f"_{action}") if bare != stem else stem


def videos_of(root: Path) -> Path:
    """Return the folder whose sub-folders are actions; the root where there is no other."""
    return next((root / name for name in VIDEOS if (root / name).is_dir()), root)


def videos_in(root: Path, home: Path) -> set[str]:
    """Return the videos of all actions, relative to the root."""
    found = set()
    for action in folders_in(home):
        names = names_in(home / action)
        found |= {f"{_inside(root, home)}{action}/{n}" for n in names if "." + n.rpartition(".")[2].lower() in VIDEO}
    if not found:
        raise SordineError(f"{home} has no videos; put them in one folder for each action")
    return found


def _inside(root: Path, home: Path) -> str:
    return "" if home == root else home.relative_to(root).as_posix() + "/"


def _against_privacy(root: Path, there: set[str]) -> Media:
    """Return every video; those with privacy labels are test records."""
    labels = first_folder(root, PRIVACY, "folder of privacy labels")
    files = sorted(name for name in names_in(labels) if name.endswith(".json"))
    described = {f"{name.removesuffix('.json')}/{video}" for name in files for video in parsed(labels / name)}
    names = sorted(there)
    actions, videos = ([name.split("/")[-part] for name in names] for part in (2, 1))
    columns = {
        "file_name": names,
        "action": actions,
        "split": [TEST if f"{a}/{v}" in described else TRAIN for a, v in zip(actions, videos, strict=True)],
        "group": [source_of(v, a) for a, v in zip(actions, videos, strict=True)],
    }
    if TEST not in columns["split"]:
        raise SordineError(f"{labels} describes none of the {len(names)} videos; check their names")
    note = "Test records are those of PA-HMDB51, training records all others; a source may be on both sides."
    return Media(root, "video", table_of(columns), (note,))
