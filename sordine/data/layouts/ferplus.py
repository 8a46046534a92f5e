"""FER+: the faces of FER2013 with ten votes each on what they express."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    VALIDATION,
    Missing,
    Validation,
    checked,
    chosen,
    first_file,
    first_folder,
    names_in,
    present,
    rows,
    sides,
    table_of,
)
from sordine.data.media.kinds import Media
from sordine.errors import SordineError

VOTES = ("fer2013new.csv", "data/fer2013new.csv")
EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
NOT_A_LABEL = ("unknown", "NF")
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
USAGE = {"Training": TRAIN, "PublicTest": VALIDATION, "PrivateTest": TEST}
HOMES = ("", "data/", "Images/", "images/")


def read(
    root: Path,
    *,
    classes: tuple[str, ...] | str | None = None,
    vote: Literal["majority", "most", "authors"] = "majority",
    validation: Validation = "train",
    missing: Missing = "error",
) -> Media:
    """`fer2013new.csv` with `FER2013Train/`, `FER2013Valid/` and `FER2013Test/` of pictures, here or in `data/`.

    Columns: expression, usage ("train", "validation" for PublicTest, "test" for PrivateTest), split.
    classes: the expressions to keep, by default all 8. vote: "majority" needs more than half of all votes; "authors" is the
    majority of FER+'s own code, which strikes single votes first; "most" needs more votes than any other. Rows without a
    picture, without such a winner, or won by "unknown" or "NF" (not a face) are left out and counted.
    Raises SordineError where a line is wrong.
    Source: microsoft/FERPlus (readme, table, and the folders that its script makes); Barsoum et al., arXiv 1608.01041.
    """
    wanted = EXPRESSIONS if classes is None else chosen("classes", classes, EXPRESSIONS)
    checked("vote", vote, ("majority", "most", "authors"))
    table = first_file(root, VOTES)
    if table is None:
        raise SordineError(f"{root} has none of {', '.join(VOTES)}")
    homes = [home + folder for home in HOMES for folder in FOLDERS.values()]
    home = first_folder(root, homes, "folder of faces").relative_to(root).parent.as_posix()
    inside = "" if home == "." else home + "/"
    columns: dict[str, list[str]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    usage = []
    for number, row in rows(table, ("Usage", "Image name", *EXPRESSIONS, *NOT_A_LABEL)):
        if row["Usage"] not in FOLDERS:
            raise SordineError(f"{table} line {number}: usage {row['Usage']!r} is not {', '.join(FOLDERS)}")
        winner = _winner(row, vote, table, number)
        if not row["Image name"]:
            left_out["have no picture"] += 1
        elif winner is None:
            left_out["have no winner among the votes"] += 1
        elif winner in NOT_A_LABEL:
            left_out[f"are voted {winner}"] += 1
        elif winner not in wanted:
            left_out["have another expression"] += 1
        else:
            columns["file_name"].append(f"{inside}{FOLDERS[row['Usage']]}/{row['Image name']}")
            columns["expression"].append(winner)
            usage.append(USAGE[row["Usage"]])
    if not usage:
        raise SordineError(f"{table} has no row that is left with these options")
    there = {f"{inside}{f}/{name}" for f in FOLDERS.values() for name in names_in(root / (inside + f))}
    records, more = sides(table_of(columns), usage, validation)
    records, notes = present(records, there, table, missing)
    notes += [f"{n} rows {why}: left out." for why, n in left_out.items()]
    return Media(root, "image", records, tuple(notes + more))


def _winner(row: dict[str, str], vote: str, path: Path, number: int) -> str | None:
    votes = {}
    for name in (*EXPRESSIONS, *NOT_A_LABEL):
        if not row[name].isdecimal():
            raise SordineError(f"{path} line {number}: {name} is {row[name]!r}, not a number of votes")
        votes[name] = int(row[name])
    if vote == "authors":
        votes = {name: n if n > 1 else 0 for name, n in votes.items()}
    most = max(votes.values())
    first = [name for name, n in votes.items() if n == most]
    if vote == "most":
        return first[0] if most and len(first) == 1 else None
    return first[0] if 2 * most > sum(votes.values()) else None
