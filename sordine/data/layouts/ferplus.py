"""FER+: the faces of FER2013 with ten votes each on the expression."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    VALIDATION,
    Missing,
    Validation,
    chosen_names,
    existing_records,
    first_file,
    first_folder,
    names_in,
    rows,
    table_of,
    with_usage,
)
from sordine.data.media.kinds import Media
from sordine.errors import SordineError

VOTES = ("fer2013new.csv", "data/fer2013new.csv")
EXPRESSIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
NOT_A_LABEL = ("unknown", "NF")
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
USAGE = {"Training": TRAIN, "PublicTest": VALIDATION, "PrivateTest": TEST}
HOMES = ("", "data/", "Images/", "images/")


@dataclass(frozen=True)
class FerPlus:
    """FER+: `fer2013new.csv` with `FER2013Train/`, `FER2013Valid/` and `FER2013Test/`, in the root or in `data/`.

    Columns: expression, usage ("train", "validation" for PublicTest, "test" for PrivateTest) and split. Rows without a
    picture, without a winner, or won by "unknown" or "NF" (not a face) are left out and counted in the notes.

    Source: microsoft/FERPlus (readme, table, and the folders that its script makes); Barsoum et al., arXiv 1608.01041.

    Parameters
    ----------
    classes
        Expressions to use; by default all 8.
    vote
        `majority` needs more than half of all votes; `authors` is the majority of FER+'s own code, which ignores single
        votes; `most` needs more votes than any other expression.
    validation
        Side of the validation part: `train`, `test` or `drop`.
    missing
        `error` or `skip`, for records without a file.
    """

    classes: tuple[str, ...] | str | None = None
    vote: Literal["majority", "most", "authors"] = "majority"
    validation: Validation = "train"
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = VOTES

    def read(self, root: Path) -> Media:
        """Return the faces. Raises SordineError where a line is wrong or no row is left."""
        wanted = EXPRESSIONS if self.classes is None else chosen_names("classes", self.classes, EXPRESSIONS)
        table = first_file(root, VOTES)
        if table is None:
            raise SordineError(f"{root} has none of {', '.join(VOTES)}; add one")
        homes = [home + folder for home in HOMES for folder in FOLDERS.values()]
        home = first_folder(root, homes, "folder of faces").relative_to(root).parent.as_posix()
        inside = "" if home == "." else home + "/"
        columns: dict[str, list[str]] = defaultdict(list)
        left_out: Counter[str] = Counter()
        usage = []
        for number, row in rows(table, ("Usage", "Image name", *EXPRESSIONS, *NOT_A_LABEL)):
            if row["Usage"] not in FOLDERS:
                raise SordineError(f"{table} line {number}: usage {row['Usage']!r} is not one of {', '.join(FOLDERS)}")
            winner = _winner(row, self.vote, table, number)
            if reason := _left_out(row, winner, wanted):
                left_out[reason] += 1
            else:
                columns["file_name"].append(f"{inside}{FOLDERS[row['Usage']]}/{row['Image name']}")
                columns["expression"].append(str(winner))
                usage.append(USAGE[row["Usage"]])
        if not usage:
            raise SordineError(f"{table} has no row left with these options; name more classes")
        there = {f"{inside}{f}/{name}" for f in FOLDERS.values() for name in names_in(root / (inside + f))}
        records, more = with_usage(table_of(columns), usage, self.validation)
        records, notes = existing_records(records, there, table, self.missing)
        notes += [f"{n} rows are left out: {why}." for why, n in left_out.items()]
        return Media(root, "image", records, tuple(notes + more))


def _left_out(row: dict[str, str], winner: str | None, wanted: tuple[str, ...]) -> str | None:
    """Return why a row is left out, or None."""
    if not row["Image name"]:
        return "no picture"
    if winner is None:
        return "no winner among the votes"
    if winner in NOT_A_LABEL:
        return f"voted {winner}"
    return None if winner in wanted else "another expression"


def _winner(row: dict[str, str], vote: str, path: Path, number: int) -> str | None:
    votes = {}
    for name in (*EXPRESSIONS, *NOT_A_LABEL):
        if not row[name].isdecimal():
            raise SordineError(f"{path} line {number}: {name} is {row[name]!r}, not a whole number of votes")
        votes[name] = int(row[name])
    if vote == "authors":
        votes = {name: n if n > 1 else 0 for name, n in votes.items()}
    most = max(votes.values())
    first = [name for name, n in votes.items() if n == most]
    if vote == "most":
        return first[0] if most and len(first) == 1 else None
    return first[0] if 2 * most > sum(votes.values()) else None
