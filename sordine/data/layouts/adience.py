"""Adience: faces from albums of telephone pictures, in five folds, with age group and gender."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    Missing,
    checked,
    chosen,
    first_folder,
    folders_in,
    names_in,
    present,
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
# What else stands in the folds. A range goes where it begins; a number where it lies, else to the nearer group;
# 3 and 35 lie half-way and go where most readers of this set put them.
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


def read(
    root: Path,
    *,
    faces: Literal["aligned", "faces"] | None = None,
    test_folds: tuple[int, ...] | str = (4,),
    frontal: bool = False,
    identity: Literal["user_id", "face_id"] = "user_id",
    paper: bool = False,
    sizes: tuple[int, int, int] = (PAPER_IDS, PAPER_TRAIN, PAPER_TEST),
    seed: int = 0,
    missing: Missing = "error",
) -> Media:
    """`fold_<0..4>_data.txt` (tab between fields) with `aligned/` or `faces/`, by default the first that is there.

    Columns: data_id, age (8 groups; the odd labels are mapped, see ODD_AGES), gender. Unknown labels are missing.
    frontal: read `fold_frontal_<0..4>_data.txt`. test_folds: the folds of the test side; people do not cross folds.
    identity: which column is `data_id`: the album's owner, or the number of the face, which tells two people of one
    album apart. paper: a split of the paper's sizes instead of the folds: `sizes` are identities, training records and
    test records. Which 1,089 identities and which 2,815 and 2,525 faces the paper kept cannot be told from it: here `seed`
    draws identities of at least two faces with age and gender, one of each on both sides, the rest in keyed order.
    Raises SordineError for a line that is wrong, or a paper's split larger than the folder.
    Source: the set's own readme (columns); Eidinger, Enbar and Hassner, IEEE TIFS 2014; loaders in public code (file
    names, the list of odd ages).
    """
    checked("identity", identity, ("user_id", "face_id"))
    test = chosen("test_folds", test_folds, FOLDS)
    if faces is not None:
        checked("faces", faces, FOLDERS)
    home = first_folder(root, [faces] if faces else FOLDERS, "folder of faces")
    columns: dict[str, list[str | None]] = defaultdict(list)
    for fold in FOLDS:
        path = root / f"fold_{'frontal_' if frontal else ''}{fold}_data.txt"
        for number, row in rows(path, NEEDED, "\t"):
            columns["file_name"].append(
                f"{home.name}/{row['user_id']}/{FOLDERS[home.name]}.{row['face_id']}.{row['original_image']}"
            )
            columns["data_id"].append(row[identity])
            columns["age"].append(_age(row["age"], path, number))
            if row["gender"] not in GENDERS:
                raise SordineError(f"{path} line {number}: gender {row['gender']!r} is not m, f or u")
            columns["gender"].append(GENDERS[row["gender"]])
            columns["split"].append(TEST if fold in test else TRAIN)
    there = {f"{home.name}/{user}/{name}" for user in folders_in(home) for name in names_in(home / user)}
    records, notes = present(table_of(columns), there, root / "fold_0_data.txt", missing)
    unknown = [records[name].null_count for name in ("age", "gender")]
    notes.append(f"age is unknown for {unknown[0]} faces, gender for {unknown[1]}: missing labels.")
    if paper:
        kept = _draw(records.to_pydict(), sizes, seed, root, identity)
        order = sorted(kept)
        side = [kept[row] for row in order]
        at = records.column_names.index("split")
        records = records.take(order).set_column(at, "split", table_of({"split": side})["split"])
        notes.append(
            "The paper does not publish which faces it kept: these have its numbers of identities and records and are ours."
        )
    return Media(root, "image", records, tuple(notes))


def _age(label: str, path: Path, number: int) -> str | None:
    if label in ("", "None"):
        return None
    if label in AGES:
        return label
    if label not in ODD_AGES:
        raise SordineError(f"{path} line {number}: age {label!r} is neither a group of this set nor a known odd label")
    return ODD_AGES[label]


def _draw(
    columns: dict[str, list[str | None]], sizes: tuple[int, int, int], seed: int, root: Path, identity: str
) -> dict[int, str]:
    """Row -> side of the records that are kept."""
    people, train, test = sizes
    owned: dict[str, list[int]] = defaultdict(list)
    for row, (who, age, gender) in enumerate(zip(columns["data_id"], columns["age"], columns["gender"], strict=True)):
        if who and age and gender:
            owned[who].append(row)
    key = Key.of_seed(seed)
    names = sorted(who for who, found in owned.items() if len(found) >= 2)
    names = [names[i] for i in key.order("adience identities", names)][:people]
    total = sum(len(owned[who]) for who in names)
    if len(names) < people or total < train + test or people > min(train, test):
        raise SordineError(
            f"{root}: {people} identities with {train} and {test} faces cannot be drawn: {len(names)} {identity} "
            f"have two labelled faces or more, with {total} faces"
        )
    kept, rest = {}, []
    for who in names:
        found = [owned[who][i] for i in key.order("adience faces", [str(columns["file_name"][r]) for r in owned[who]])]
        kept[found[0]], kept[found[1]] = TRAIN, TEST
        rest += found[2:]
    rest = [rest[i] for i in key.order("adience rest", [str(columns["file_name"][r]) for r in rest])]
    kept |= dict.fromkeys(rest[: train - people], TRAIN)
    kept |= dict.fromkeys(rest[train - people : train + test - 2 * people], TEST)
    return kept
