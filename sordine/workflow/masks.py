"""A folder of masks: a grey PNG file for each picture, and metadata.csv, which maps files to record ids."""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sordine.data.files import refuse_existing
from sordine.data.media.write import write_picture
from sordine.errors import SordineError
from sordine.models.modifier import PEAK

MASKS = "metadata.csv"
MASK_COLUMNS = ["file_name", "id"]
LONGEST_NAME = 120


def check_masks_folder(masks: Path, output: Path, force: bool) -> None:
    """Raise SordineError where masks cannot be written there. Only an empty folder or a folder of masks is replaced."""
    refuse_existing(masks, force)
    here, there = masks.resolve(), output.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise SordineError(f"{masks} and {output} lie within each other: choose another folder for the masks")
    if not masks.exists():
        return
    try:
        with open(masks / MASKS, encoding="utf-8", newline="") as listed:
            head, *rows = list(csv.reader(listed))
        known = {MASKS, *(row[0] for row in rows)} if head == MASK_COLUMNS else set()
    except (OSError, ValueError, IndexError):
        known = set()
    if not masks.is_dir() or {p.name for p in masks.iterdir()} - known:
        raise SordineError(f"{masks} contains other files than masks, so it is not replaced: choose another folder")


def file_names(ids: Sequence[str], suffix: str) -> dict[str, str]:
    """Return a safe file name for each record id.

    A name is the safe characters of the id, and `suffix` unless the id ends in it. Names that differ only in letter
    case, which some disks do not distinguish, get a hash of their id.
    """
    plain = {}
    for name in ids:
        stem = name[: -len(suffix)] if name.lower().endswith(suffix) else name
        plain[name] = re.sub(r"[^A-Za-z0-9._-]+", "_", stem).lstrip(".-")[:LONGEST_NAME] or "record"
    alike = Counter(stem.lower() for stem in plain.values())
    # No plain name contains a tilde, so a name with a hash equals no other one.
    return {
        name: f"{stem}{suffix}"
        if alike[stem.lower()] == 1
        else f"{stem}~{hashlib.blake2b(name.encode(), digest_size=8).hexdigest()}{suffix}"
        for name, stem in plain.items()
    }


def write_masks(folder: Path, first: int, masks: np.ndarray) -> None:
    """Write masks (b, 1, h, w), 0 to 1, of the rows from `first` on as grey PNG files with provisional names."""
    grey = np.clip(np.rint(masks * PEAK), 0, PEAK).astype(np.uint8)
    for row, mask in enumerate(grey, first):
        write_picture(mask, folder / _provisional(row))


def name_masks(folder: Path, ids: Sequence[str]) -> None:
    """Rename the masks after their records, whose ids are all known now, and write metadata.csv."""
    names = file_names(ids, ".png")
    for row, name in enumerate(ids):
        os.rename(folder / _provisional(row), folder / names[name])
    with open(folder / MASKS, "w", encoding="utf-8", newline="") as listed:
        rows = ([names[name], name] for name in ids)
        csv.writer(listed, lineterminator="\n").writerows([MASK_COLUMNS, *rows])


def _provisional(row: int) -> str:
    return f"~{row}.png"  # equals no final name
