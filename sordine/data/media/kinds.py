"""Kinds of media, and `Media`: the files of one folder with their labels, independent of the layout."""

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


@dataclass(frozen=True)
class MediaKind:
    """What identifies and names a kind of media; `sordine.data.media.write.WRITERS` has its writer.

    Attributes
    ----------
    suffixes
        Suffixes of its files, in lower case.
    plural
        What its records are called in messages.
    """

    suffixes: frozenset[str]
    plural: str


KINDS: dict[Kind, MediaKind] = {
    "audio": MediaKind(audio.SUFFIXES, "clips"),
    "image": MediaKind(IMAGE, "pictures"),
    "video": MediaKind(VIDEO, "videos"),
}
WORDS: dict[Kind, str] = {name: kind.plural for name, kind in KINDS.items()}

FILE_NAME, FRAME = "file_name", "frame"


@dataclass(frozen=True)
class Media:
    """The records of one folder.

    Attributes
    ----------
    root
        File names are relative to it.
    kind
        Kind of all files.
    records
        One row a record: `file_name` (string), labels and other columns; `id` (unique strings) where file names are not
        unique; `frame` (int64, from 0) where a record is one frame of a video; `split` ("train" or "test") and `group`
        (records that stay on one side) where the layout has them.
    notes
        What was left out, and why, in sentences.
    """

    root: Path
    kind: Kind
    records: pa.Table
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.records.num_rows)

    @property
    def files(self) -> list[str]:
        """File name of each record, relative to `root`."""
        return list(self.records[FILE_NAME].to_pylist())

    @property
    def frames(self) -> list[int | None]:
        """Frame number of each record; None for a whole file."""
        if FRAME not in self.records.column_names:
            return [None] * len(self)
        return list(self.records[FRAME].to_pylist())

    @property
    def ids(self) -> list[str]:
        """Id of each record: the column `id`, else the file name, with "#frame" for a frame."""
        if "id" in self.records.column_names:
            ids = self.records["id"].to_pylist()
            if None in ids:
                raise SordineError(f"{self.root}: row {ids.index(None) + 1}: id is empty; every record needs one")
            return [str(i) for i in ids]
        frames = self.frames
        return [n if f is None else f"{n}#{f:05d}" for n, f in zip(self.files, frames, strict=True)]

    def path(self, row: int) -> Path:
        """Return the path of the file of a row."""
        return self.root / self.records[FILE_NAME][row].as_py()


def kind_of(name: str) -> Kind | None:
    """Return the kind of a file by its suffix, or None."""
    suffix = PurePosixPath(name).suffix.lower()
    return next((kind for kind, about in KINDS.items() if suffix in about.suffixes), None)


def kind_of_all(names: Iterable[str], where: str) -> Kind:
    """Return the kind of the files of a folder. Raises SordineError for several kinds or an unknown one."""
    names = list(names)
    kinds = [kind_of(n) for n in names]
    for name, kind in zip(names, kinds, strict=True):
        if kind is None:
            raise SordineError(f"{where}: {name} is neither sound, picture nor video by its suffix; remove it")
    counts = Counter(k for k in kinds if k is not None)
    if len(counts) > 1:
        (most, _), (other, n) = counts.most_common(2)
        odd = names[kinds.index(other)]
        raise SordineError(
            f"{where} contains {WORDS[most]} and {n} {WORDS[other]} ({odd}); use one folder for each kind"
        )
    return counts.most_common(1)[0][0]
