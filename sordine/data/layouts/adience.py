"""Adience: faces from albums of telephone pictures, in five folds, with age group and gender."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    Missing,
    chosen_names,
    existing_records,
    first_folder,
    folders_in,
    names_in,
    rows,
    table_of,
)
from sordine.data.media.kinds import Media
from sordine.errors import SordineError
from sordine.keys import Key

FOLDS = ("0", "1", "2", "3", "4")
FOLDERS = {"aligned": "landmark_aligned_face", "faces": "coarse_tilt_aligned_face"}
NEEDED = ("user_id", "original_image", "face_id", "age", "gender")
AGES = ("(0, 2)", "(4, 6)", "(8, 12)", "(15, 20)", "(25, 32)", "(38, 43)", "(48, 53)", "(60, 100)")
# Other labels in the folds. A range is mapped by its start; a number to the group that contains it, else to the nearer
# one; 3 and 35 lie half-way and are mapped as in most loaders of this set.
ODD_AGES = {
    "(8, 23)": "(8, 12)",
    "(27, 32)": "(25, 32)",
    "(38, 42)": "(38, 43)",
    "(38, 48)": "(38, 43)",
    "2": "(0, 2)",
    "3": "(0, 2)",
    "13": "(8, 12)",
    "22": "(15, 20)",
    "23": "(25, 32)",
    "29": "(25, 32)",
    "32": "(25, 32)",
    "34": "(25, 32)",
    "35": "(38, 43)",
    "36": "(38, 43)",
    "42": "(38, 43)",
    "45": "(38, 43)",
    "46": "(48, 53)",
    "55": "(48, 53)",
    "56": "(48, 53)",
    "57": "(60, 100)",
    "58": "(60, 100)",
}
GENDERS = {"m": "male", "f": "female", "u": None, "": None}
PAPER_IDS, PAPER_TRAIN, PAPER_TEST = 1089, 2815, 2525


@dataclass(frozen=True)
class Adience:
    """Adience: `fold_<0..4>_data.txt` (fields separated by tabs) with a folder of faces, `aligned/` or `faces/`.

    Columns: data_id, age (8 groups; other labels are mapped, see ODD_AGES) and gender. Unknown labels are missing.

    Source: the readme of the set (columns); Eidinger, Enbar and Hassner, IEEE TIFS 2014; loaders in public code (file
    names, the list of other ages).

    Parameters
    ----------
    faces
        The folder; by default the first that exists.
    test_folds
        Folds of the test side. No person is in two folds.
    frontal
        Use `fold_frontal_<0..4>_data.txt`.
    identity
        The column that becomes `data_id`: the owner of the album, or the number of the face, which separates two people
        of one album.
    paper
        Use a split of the paper's sizes instead of the folds. The paper does not publish which 1,089 identities and
        which 2,815 and 2,525 faces it used: `seed` draws identities of at least two faces with age and gender, one of
        each on both sides, the rest in keyed order.
    sizes
        Identities, training records and test records of that split.
    seed
        Seed of that draw.
    missing
        `error` or `skip`, for records without a file.
    """

    faces: Literal["aligned", "faces"] | None = None
    test_folds: tuple[int, ...] | str = (4,)
    frontal: bool = False
    identity: Literal["user_id", "face_id"] = "user_id"
    paper: bool = False
    sizes: tuple[int, int, int] = (PAPER_IDS, PAPER_TRAIN, PAPER_TEST)
    seed: int = 0
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = ("fold_0_data.txt", "fold_frontal_0_data.txt")

    def read(self, root: Path) -> Media:
        """Return the faces. Raises SordineError for a wrong line, or a paper's split larger than the folder."""
        test = chosen_names("test_folds", self.test_folds, FOLDS)
        home = first_folder(root, [self.faces] if self.faces else FOLDERS, "folder of faces")
        columns: dict[str, list[str | None]] = defaultdict(list)
        for fold in FOLDS:
            path = root / f"fold_{'frontal_' if self.frontal else ''}{fold}_data.txt"
            for number, row in rows(path, NEEDED, "\t"):
                face = f"{FOLDERS[home.name]}.{row['face_id']}.{row['original_image']}"
                columns["file_name"].append(f"{home.name}/{row['user_id']}/{face}")
                columns["data_id"].append(row[self.identity])
                columns["age"].append(_age(row["age"], path, number))
                if row["gender"] not in GENDERS:
                    raise SordineError(f"{path} line {number}: gender {row['gender']!r} is not m, f or u")
                columns["gender"].append(GENDERS[row["gender"]])
                columns["split"].append(TEST if fold in test else TRAIN)
        there = {f"{home.name}/{user}/{name}" for user in folders_in(home) for name in names_in(home / user)}
        records, notes = existing_records(table_of(columns), there, root / "fold_0_data.txt", self.missing)
        unknown = [records[name].null_count for name in ("age", "gender")]
        notes.append(f"The age of {unknown[0]} faces and the gender of {unknown[1]} are unknown.")
        if self.paper:
            drawn = _draw(records.to_pydict(), self.sizes, self.seed, root, self.identity)
            order = sorted(drawn)
            side = table_of({"split": [drawn[row] for row in order]})["split"]
            records = records.take(order).set_column(records.column_names.index("split"), "split", side)
            notes.append("The paper does not publish its faces; these have its numbers of identities and records.")
        return Media(root, "image", records, tuple(notes))


def _age(label: str, path: Path, number: int) -> str | None:
    if label in ("", "None"):
        return None
    if label in AGES:
        return label
    if label not in ODD_AGES:
        raise SordineError(
            f"{path} line {number}: age {label!r} is unknown; use a group such as '(25, 32)' or leave it empty"
        )
    return ODD_AGES[label]


def _draw(
    columns: dict[str, list[str | None]], sizes: tuple[int, int, int], seed: int, root: Path, identity: str
) -> dict[int, str]:
    """Return the drawn records: row -> side."""
    people, train, test = sizes
    owned: dict[str, list[int]] = defaultdict(list)
    for row, (person, age, gender) in enumerate(
        zip(columns["data_id"], columns["age"], columns["gender"], strict=True)
    ):
        if person and age and gender:
            owned[person].append(row)
    key = Key.of_seed(seed)
    names = sorted(person for person, found in owned.items() if len(found) >= 2)
    names = [names[i] for i in key.order("adience identities", names)][:people]
    total = sum(len(owned[person]) for person in names)
    if len(names) < people or total < train + test or people > min(train, test):
        raise SordineError(
            f"{root}: {people} identities with {train} and {test} faces cannot be drawn: {len(names)} {identity} "
            f"have two labelled faces or more, with {total} faces"
        )
    drawn, rest = {}, []
    for person in names:
        found = [
            owned[person][i] for i in key.order("adience faces", [str(columns["file_name"][r]) for r in owned[person]])
        ]
        drawn[found[0]], drawn[found[1]] = TRAIN, TEST
        rest += found[2:]
    rest = [rest[i] for i in key.order("adience rest", [str(columns["file_name"][r]) for r in rest])]
    drawn |= dict.fromkeys(rest[: train - people], TRAIN)
    drawn |= dict.fromkeys(rest[train - people : train + test - 2 * people], TEST)
    return drawn
