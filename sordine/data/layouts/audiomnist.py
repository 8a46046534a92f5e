"""AudioMNIST: 60 people say each digit 50 times; 30,000 clips at 48 kHz."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    VALIDATION,
    Missing,
    Validation,
    existing_records,
    folders_in,
    names_in,
    parsed,
    table_of,
    with_usage,
)
from sordine.data.media.kinds import Media
from sordine.errors import SordineError
from sordine.keys import Key

META = "audioMNIST_meta.txt"
TAKES = 50
LABELS = ("accent", "gender", "native speaker", "age")

_CLIP = re.compile(r"(\d)_(\d+)_(\d+)\.wav")


@dataclass(frozen=True)
class AudioMnist:
    """AudioMNIST: `data/<speaker>/<digit>_<speaker>_<take>.wav` with `data/audioMNIST_meta.txt`, or the folder `data`.

    Columns: speaker ("01" to "60"), digit, accent, gender, native_speaker and age (as written; one speaker has "1234").
    Accents are stripped and in lower case, because the file has both "german" and "German"; nothing else is merged.

    Source: soerenab/AudioMNIST (folders and metadata); Becker et al., arXiv 1807.03418.

    Parameters
    ----------
    split
        `paper` has the sizes of the paper's split, 18,000 / 6,000 / 6,000 clips. The paper does not publish which clips
        these are: `seed` draws them in keyed order within each speaker and digit, so every speaker is on all sides. The
        column `usage` has the three names.
    seed
        Seed of that draw.
    validation
        Side of the validation part: `train`, `test` or `drop`.
    missing
        `error` or `skip`, for speakers in the metadata with fewer than 500 clips.
    """

    split: Literal["paper", "none"] = "none"
    seed: int = 0
    validation: Validation = "train"
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = ("data/audioMNIST_meta.txt", "audioMNIST_meta.txt")

    def read(self, root: Path) -> Media:
        """Return the clips. Raises SordineError where the metadata is wrong or does not describe a speaker."""
        home = root if (root / META).is_file() else root / "data"
        people = _people(home / META)
        inside = "" if home == root else "data/"
        columns = _clips(root, home, inside, people)
        expected = [f"{inside}{s}/{d}_{s}_{t}.wav" for s in people for d in range(10) for t in range(TAKES)]
        _, notes = existing_records(
            table_of({"file_name": expected}), set(columns["file_name"]), home / META, self.missing
        )
        records = table_of(columns)
        notes.append(f"accent has {len(set(columns['accent']))} classes; case and spaces are ignored.")
        if self.split == "paper":
            records, more = with_usage(records, _usage(columns, self.seed), self.validation)
            notes += ["The paper does not publish its split; this one has the same proportions.", *more]
        return Media(root, "audio", records, tuple(notes))


def _clips(root: Path, home: Path, inside: str, people: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """Return the columns of all clips."""
    columns: dict[str, list[str]] = defaultdict(list)
    for speaker_folder in folders_in(home):
        folder = f"{inside}{speaker_folder}/"
        for name in sorted(n for n in names_in(home / speaker_folder) if n.endswith(".wav")):
            match = _CLIP.fullmatch(name)
            if not match:
                raise SordineError(
                    f"{root / folder / name} is not named <digit>_<speaker>_<take>.wav; rename or remove it"
                )
            digit, speaker, _ = match.groups()
            if speaker not in people:
                raise SordineError(f"{home / META} does not describe speaker {speaker} of {folder}{name}; add an entry")
            columns["file_name"].append(folder + name)
            columns["speaker"].append(speaker)
            columns["digit"].append(digit)
            for label in LABELS:
                columns[label.replace(" ", "_")].append(people[speaker][label])
    return columns


def _people(path: Path) -> dict[str, dict[str, str]]:
    found = parsed(path)
    if not isinstance(found, dict) or not found:
        raise SordineError(f"{path} must have one entry for each speaker")
    people = {}
    for speaker, entry in found.items():
        for label in LABELS:
            if not isinstance(entry, dict) or label not in entry:
                raise SordineError(f"{path}: speaker {speaker} has no {label!r}; add it")
        people[speaker] = {label: str(entry[label]).strip() for label in LABELS}
        people[speaker]["accent"] = people[speaker]["accent"].lower()
    return people


def _usage(columns: dict[str, list[str]], seed: int) -> list[str]:
    """Return "train", "validation" or "test" for each clip: three fifths, one and one of each speaker and digit."""
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, group in enumerate(zip(columns["speaker"], columns["digit"], strict=True)):
        groups[group].append(row)
    key, usage = Key.of_seed(seed), [TRAIN] * len(columns["speaker"])
    for rows in groups.values():
        # The name of the file without its folders, so that the place of the data set makes no difference.
        order = key.order("audiomnist", [columns["file_name"][r].rpartition("/")[2] for r in rows])
        train, last = round(0.6 * len(rows)), round(0.8 * len(rows))
        for at in order[train:last]:
            usage[rows[at]] = VALIDATION
        for at in order[last:]:
            usage[rows[at]] = TEST
    return usage
