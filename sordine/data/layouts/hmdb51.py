"""HMDB51: some 6,800 short videos of 51 actions, cut from films and the web, with three official splits."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    Missing,
    checked,
    first_folder,
    folders_in,
    lines,
    names_in,
    parsed,
    present,
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

# Visible body parts, camera motion, number of people, camera's side, quality, and the clip's number in its source.
_TAGS = re.compile(r"_[a-z]_(?:nm|cm)_np\d+_(?:fr|ba|le|ri)_(?:bad|med|goo)_\d+$")


def read(
    root: Path,
    *,
    split: Literal["1", "2", "3", "pa"] | int = 1,
    unused: Literal["drop", "train"] = "drop",
    missing: Missing = "error",
) -> Media:
    """`videos/<action>/<name>.avi` with `testTrainMulti_7030_splits/<action>_test_split<1..3>.txt`.

    A line is a name and 0 (in neither part), 1 (train) or 2 (test). Columns: action, split, group. The videos may also lie
    in a folder called as their archive (`hmdb51_org/`), the splits one folder deeper.
    group: the source, which is the name before the action and the tags; of a name without tags, the name.
    split: which official one; "pa" puts the videos that `PrivacyAttributes/` describes on the test side and all others on
    the train side, as PA-HMDB51's paper does. unused: what becomes of the videos marked 0.
    Raises SordineError where a line is wrong, or an action has no split file.
    Source: the set's page at serre-lab.clps.brown.edu and its readme (names, marks); Kuehne et al., ICCV 2011.
    """
    which = str(split)
    checked("split", which, ("1", "2", "3", "pa"))
    checked("unused", unused, ("drop", "train"))
    home = videos_of(root)
    there = videos_in(root, home)
    if which == "pa":
        return _against_privacy(root, there)
    lists = first_folder(root, SPLITS, "folder of split files")
    ending = f"_test_split{which}.txt"
    actions = sorted(name.removesuffix(ending) for name in names_in(lists) if name.endswith(ending))
    if not actions:
        raise SordineError(f"{lists} has no file called <action>{ending}")
    if strange := sorted({name.split("/")[-2] for name in there} - set(actions)):
        raise SordineError(f"{lists} has no {strange[0]}{ending}, but there are videos of {strange[0]}")
    columns: dict[str, list[str]] = defaultdict(list)
    left_out = 0
    for action in actions:
        path = lists / f"{action}{ending}"
        for number, line in lines(path):
            name, _, mark = line.strip().rpartition(" ")
            if not name or mark not in (UNUSED, TRAINED_ON, TESTED):
                raise SordineError(f"{path} line {number}: {line.strip()!r} is not a file name and 0, 1 or 2")
            if mark == UNUSED and unused == "drop":
                left_out += 1
                continue
            columns["file_name"].append(_inside(root, home) + f"{action}/{name.strip()}")
            columns["action"].append(action)
            columns["split"].append(TEST if mark == TESTED else TRAIN)
            columns["group"].append(source_of(name.strip(), action))
    records, notes = present(table_of(columns), there, lists, missing)
    if left_out:
        notes.append(f"{left_out} videos are in neither part of split {which}: left out.")
    return Media(root, "video", records, tuple(notes))


def source_of(name: str, action: str) -> str:
    """What a clip was cut from, told from its file name; clips of one source share people and scenes."""
    stem = name.rpartition(".")[0] or name
    bare = _TAGS.sub("", stem)
    return bare.removesuffix(f"_{action}") if bare != stem else stem


def videos_of(root: Path) -> Path:
    """The folder whose sub-folders are actions; the root itself where it holds them."""
    return next((root / name for name in VIDEOS if (root / name).is_dir()), root)


def videos_in(root: Path, home: Path) -> set[str]:
    """The videos of all actions, relative to the root."""
    found = set()
    for action in folders_in(home):
        names = names_in(home / action)
        found |= {f"{_inside(root, home)}{action}/{n}" for n in names if "." + n.rpartition(".")[2].lower() in VIDEO}
    if not found:
        raise SordineError(f"{home} has no videos in folders called as their action")
    return found


def _inside(root: Path, home: Path) -> str:
    return "" if home == root else home.relative_to(root).as_posix() + "/"


def _against_privacy(root: Path, there: set[str]) -> Media:
    """Every video, those with privacy labels on the test side."""
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
        raise SordineError(f"{labels} describes none of the {len(names)} videos")
    note = "The test side is what PA-HMDB51 describes, the train side everything else; sources may be on both."
    return Media(root, "video", table_of(columns), (note,))
