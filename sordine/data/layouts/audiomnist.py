"""AudioMNIST: 60 people say each digit 50 times, 30,000 clips at 48 kHz."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    VALIDATION,
    Missing,
    Validation,
    checked,
    folders_in,
    names_in,
    parsed,
    present,
    sides,
    table_of,
)
from sordine.data.media.kinds import Media
from sordine.errors import SordineError
from sordine.keys import Key

META = "audioMNIST_meta.txt"
TAKES = 50
LABELS = ("accent", "gender", "native speaker", "age")

_CLIP = re.compile(r"(\d)_(\d+)_(\d+)\.wav")


def read(
    root: Path,
    *,
    split: Literal["paper", "none"] = "none",
    seed: int = 0,
    validation: Validation = "train",
    missing: Missing = "error",
) -> Media:
    """`data/<speaker>/<digit>_<speaker>_<take>.wav` with `data/audioMNIST_meta.txt`, or the folder `data` itself.

    Columns: speaker ("01" to "60"), digit, accent, gender, native_speaker, age (as written, one speaker is "1234").
    Accents are lowered and stripped, since "german" and "German" both stand there; nothing else is made one.
    split: "paper" has the paper's sizes, three fifths, one and one (18,000 / 6,000 / 6,000). Which clips those were is not
    published: here `seed` draws them, by keyed order within each speaker and digit, so that every speaker is on all sides.
    `usage` keeps the three names; validation says where that part goes in `split`. missing: a speaker of the metadata
    with fewer than 500 clips is an error, or left as it is ("skip").
    Raises SordineError where the metadata is wrong, or a clip's speaker does not stand in it.
    Source: soerenab/AudioMNIST (folders and metadata as there); Becker et al., arXiv 1807.03418.
    """
    checked("split", split, ("paper", "none"))
    home = root if (root / META).is_file() else root / "data"
    people = _people(home / META)
    inside = "" if home == root else "data/"
    folders = folders_in(home)
    clips = [(f"{inside}{f}/", name) for f in folders for name in sorted(names_in(home / f)) if name.endswith(".wav")]
    columns: dict[str, list[str]] = defaultdict(list)
    for folder, name in clips:
        match = _CLIP.fullmatch(name)
        if not match:
            raise SordineError(f"{root / folder / name} is not named <digit>_<speaker>_<take>.wav")
        digit, speaker, _ = match.groups()
        if speaker not in people:
            raise SordineError(f"{home / META} does not describe speaker {speaker} of {folder}{name}")
        columns["file_name"].append(folder + name)
        columns["speaker"].append(speaker)
        columns["digit"].append(digit)
        for label in LABELS:
            columns[label.replace(" ", "_")].append(people[speaker][label])
    there = set(columns["file_name"])
    expected = [f"{inside}{s}/{d}_{s}_{t}.wav" for s in people for d in range(10) for t in range(TAKES)]
    _, notes = present(table_of({"file_name": expected}), there, home / META, missing)
    records = table_of(columns)
    notes.append(f"accent has {len(set(columns['accent']))} classes after case and spaces were made one.")
    if split == "paper":
        records, more = sides(records, _usage(columns, seed), validation)
        notes += ["The paper does not publish its split: this one has its proportions and is ours.", *more]
    return Media(root, "audio", records, tuple(notes))


def _people(path: Path) -> dict[str, dict[str, str]]:
    found = parsed(path)
    if not isinstance(found, dict) or not found:
        raise SordineError(f"{path} does not hold one entry a speaker")
    people = {}
    for speaker, entry in found.items():
        for label in LABELS:
            if not isinstance(entry, dict) or label not in entry:
                raise SordineError(f"{path}: speaker {speaker} has no {label!r}")
        people[speaker] = {label: str(entry[label]).strip() for label in LABELS}
        people[speaker]["accent"] = people[speaker]["accent"].lower()
    return people


def _usage(columns: dict[str, list[str]], seed: int) -> list[str]:
    cells: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, cell in enumerate(zip(columns["speaker"], columns["digit"], strict=True)):
        cells[cell].append(row)
    key, usage = Key.of_seed(seed), [TRAIN] * len(columns["speaker"])
    for rows in cells.values():
        # The folder and the file's name, without what lies above: the same clips wherever the set is kept.
        order = key.order("audiomnist", [columns["file_name"][r].rpartition("/")[2] for r in rows])
        train, last = round(0.6 * len(rows)), round(0.8 * len(rows))
        for at in order[train:last]:
            usage[rows[at]] = VALIDATION
        for at in order[last:]:
            usage[rows[at]] = TEST
    return usage
