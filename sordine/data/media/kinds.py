"""What a media folder holds, in one form: files of one kind with their labels, whatever layout the folder came in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa

from sordine.data.media import audio
from sordine.errors import SordineError

Kind = Literal["audio", "image", "video"]

IMAGE = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"})
VIDEO = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv"})
SUFFIXES: dict[Kind, frozenset[str]] = {"audio": audio.SUFFIXES, "image": IMAGE, "video": VIDEO}
WORDS: dict[Kind, str] = {"audio": "clips", "image": "pictures", "video": "videos"}

FILE_NAME, FRAME = "file_name", "frame"


@dataclass(frozen=True)
class Media:
    """The records of one folder.

    root: what file names are relative to. kind: what all the files are. records: one row a record: `file_name` (string),
    labels and other columns; `id` (unique strings) where a file name does not tell records apart; `frame` (int64, from 0)
    where a record is one frame of a video; `split` ("train" or "test") and `group` (records that stay on one side) where
    the layout has them. notes: what was left out on reading, and why, in sentences.
    """

    root: Path
    kind: Kind
    records: pa.Table
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.records.num_rows)

    @property
    def files(self) -> list[str]:
        """The records' file names, relative to `root`."""
        return list(self.records[FILE_NAME].to_pylist())

    @property
    def frames(self) -> list[int | None]:
        """Which frame of its video each record is; None where it is the whole file."""
        if FRAME not in self.records.column_names:
            return [None] * len(self)
        return list(self.records[FRAME].to_pylist())

    @property
    def ids(self) -> list[str]:
        """The records' ids: the column `id`, else the file name, with "#frame" where a record is a frame."""
        if "id" in self.records.column_names:
            ids = self.records["id"].to_pylist()
            if None in ids:
                raise SordineError(f"{self.root}: row {ids.index(None) + 1}: id is empty")
            return [str(i) for i in ids]
        frames = self.frames
        return [n if f is None else f"{n}#{f:05d}" for n, f in zip(self.files, frames, strict=True)]

    def path(self, row: int) -> Path:
        """Where the file of a row is."""
        return self.root / self.records[FILE_NAME][row].as_py()


def kind_of(name: str) -> Kind | None:
    """What a file is by its suffix; None where it is no medium that Sordine reads."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((kind for kind, known in SUFFIXES.items() if suffix in known), None)


def kind_of_all(names: Iterable[str], where: str) -> Kind:
    """What the files of one folder are. Raises SordineError where they are several kinds, or none that is known."""
    names = list(names)
    kinds = [kind_of(n) for n in names]
    for name, kind in zip(names, kinds, strict=True):
        if kind is None:
            raise SordineError(f"{where}: {name} is neither sound, picture nor video by its suffix")
    counts = Counter(k for k in kinds if k is not None)
    if len(counts) > 1:
        (most, _), (other, n) = counts.most_common(2)
        odd = names[kinds.index(other)]
        raise SordineError(f"{where} holds {WORDS[most]} and {n} {WORDS[other]} ({odd}); keep one kind to a folder")
    return counts.most_common(1)[0][0]
