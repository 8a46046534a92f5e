"""The folder layouts of data sets, and `open_media`, which opens a folder in any of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

import pyarrow as pa

from sordine.data.layouts.adience import Adience
from sordine.data.layouts.audiomnist import AudioMnist
from sordine.data.layouts.celeba import CelebA
from sordine.data.layouts.ferplus import FerPlus
from sordine.data.layouts.hmdb51 import Hmdb51
from sordine.data.layouts.motionsense import MARKS as MOTION_MARKS
from sordine.data.layouts.pa_hmdb51 import PaHmdb51
from sordine.data.layouts.reading import walk
from sordine.data.layouts.vispr import Vispr
from sordine.data.media.folder import METADATA, metadata_file, read_metadata
from sordine.data.media.kinds import FILE_NAME, FRAME, Media, kind_of, kind_of_all
from sordine.data.registry import Registry
from sordine.errors import SordineError


class Layout(Protocol):
    """A frozen dataclass whose fields are its options.

    Attributes
    ----------
    marks
        Glob patterns; a folder has this layout where one of them matches.
    """

    marks: ClassVar[tuple[str, ...]]

    def read(self, root: Path) -> Media:
        """Return the records of a folder."""
        ...


LAYOUTS: Registry[Layout] = Registry(
    "layout",
    {
        "adience": Adience,
        "audiomnist": AudioMnist,
        "celeba": CelebA,
        "ferplus": FerPlus,
        "hmdb51": Hmdb51,
        "pa_hmdb51": PaHmdb51,
        "vispr": Vispr,
    },
)
PLAIN = "metadata"  # the layout of a folder with metadata.csv
MOTION = "motionsense"  # a data set of sensor recordings, not of media


def has_motion_files(folder: Path) -> bool:
    """Return whether a folder has the layout of MotionSense."""
    return _first_match(folder, MOTION_MARKS) is not None


def open_media(
    folder: str | Path, layout: str | None = None, options: Mapping[str, Any] | None = None, *, labels: bool = True
) -> Media:
    """Return the records of a media folder in any layout.

    Parameters
    ----------
    folder
        The folder.
    layout
        A name of `LAYOUTS`, or "metadata". By default the metadata file is used; without one, the layout is recognised
        by its files, and the notes name it.
    options
        Values of the options of the layout; text is parsed.
    labels
        False opens plain media files without labels, also in sub-folders, in the order of their names, such as the
        output of an anonymiser.

    Raises
    ------
    SordineError
        Where the folder is missing or wrong, or the layout or an option is unknown.
    """
    root, options = Path(folder), dict(options or {})
    if not root.is_dir():
        raise SordineError(f"media folder {root} does not exist" if not root.exists() else f"{root} is not a folder")
    if not labels:
        if layout is not None or options:
            raise SordineError("labels=False opens plain files; leave out the layout and its options")
        return _unlabelled(root)
    notes: tuple[str, ...] = ()
    if layout is None:
        layout, notes = _recognised(root)
    if layout == MOTION:
        raise SordineError(f"{root} is motionsense, which has no media; make a table of it with read_motion")
    if layout == PLAIN:
        if options:
            raise SordineError(f"layout {PLAIN!r} has no option {next(iter(options))!r}; it has none")
        return _with_metadata(root)
    media = LAYOUTS.make(layout, options).read(root)
    return Media(media.root, media.kind, media.records, notes + media.notes)


def check_layout(source: Path, layout: str | None, options: Mapping[str, Any] | None = None) -> None:
    """Raise SordineError where a layout, or an option of one, is given for a file: folders alone have a layout."""
    if (layout is not None or options) and source.is_file():
        raise SordineError(f"{source} is a file, and only a folder has a layout; leave out the layout and its options")


def _first_match(root: Path, marks: tuple[str, ...]) -> str | None:
    return next((mark for mark in marks if next(root.glob(mark), None)), None)


def _recognised(root: Path) -> tuple[str, tuple[str, ...]]:
    """Return the layout of a folder, and a note on the file that identifies it."""
    if metadata_file(root):
        return PLAIN, ()
    marks = {name: cls.marks for name, cls in LAYOUTS.items()} | {MOTION: MOTION_MARKS}
    found = {name: mark for name, patterns in marks.items() if (mark := _first_match(root, patterns))}
    if not found:
        raise SordineError(
            f"media folder {root} has no {METADATA[0]} (nor {', '.join(METADATA[1:])}) and no known layout; "
            f"known: {', '.join(LAYOUTS)}"
        )
    if len(found) > 1:
        raise SordineError(f"{root} may be {' or '.join(found)}; name the layout")
    name, mark = next(iter(found.items()))
    return name, (f"The folder is opened as {name}, because it has {mark}.",)


def _with_metadata(root: Path) -> Media:
    records = read_metadata(root)
    where = str(metadata_file(root))
    if FRAME in records.column_names and not pa.types.is_integer(records[FRAME].type):
        raise SordineError(f"{where}: column {FRAME!r} must contain whole numbers, not {records[FRAME].type}")
    return Media(root, kind_of_all(records[FILE_NAME].to_pylist(), where), records)


def _unlabelled(root: Path) -> Media:
    names = walk(root)
    media = [name for name in names if kind_of(name) is not None]
    if not media:
        raise SordineError(f"{root} contains no sound, picture or video files")
    kind = kind_of_all(media, str(root))
    other = sum(kind_of(name) is None and not name.startswith("metadata.") for name in names)
    notes = (f"{other} files are left out: their suffix is not one of a medium.",) if other else ()
    return Media(root, kind, pa.table({FILE_NAME: pa.array(media, pa.string())}), notes)
