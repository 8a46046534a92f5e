"""The folder layouts in which data sets come, each read into `Media`. One file a data set."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from sordine.data.layouts import adience, audiomnist, celeba, ferplus, hmdb51, pa_hmdb51, vispr
from sordine.data.layouts.motionsense import read_motion
from sordine.data.layouts.reading import walk
from sordine.data.media.folder import METADATA, metadata_file, read_metadata
from sordine.data.media.kinds import FILE_NAME, FRAME, Media, kind_of, kind_of_all
from sordine.errors import SordineError, nearest

__all__ = ["LAYOUTS", "PLAIN", "open_media", "read_motion"]

LAYOUTS: dict[str, Callable[..., Media]] = {
    "adience": adience.read,
    "audiomnist": audiomnist.read,
    "celeba": celeba.read,
    "ferplus": ferplus.read,
    "hmdb51": hmdb51.read,
    "pa_hmdb51": pa_hmdb51.read,
    "vispr": vispr.read,
}
PLAIN = "metadata"  # the layout of a folder with metadata.csv, by its own name
MOTION = "motionsense"

# What tells a layout: any one of these is there.
MARKS: dict[str, tuple[str, ...]] = {
    "adience": ("fold_0_data.txt", "fold_frontal_0_data.txt"),
    "audiomnist": ("data/audioMNIST_meta.txt", "audioMNIST_meta.txt"),
    "celeba": celeba.ATTRIBUTES,
    "ferplus": ferplus.VOTES,
    "hmdb51": ("testTrainMulti_7030_splits", "*/testTrainMulti_7030_splits"),
    "pa_hmdb51": hmdb51.PRIVACY,
    "vispr": ("train2017/*.json", "annotations/train2017", "train2017_anno", "train2017_annotation"),
    MOTION: ("A_DeviceMotion_data", "data/A_DeviceMotion_data"),
}


def open_media(
    folder: str | Path, layout: str | None = None, options: Mapping[str, Any] | None = None, *, labels: bool = True
) -> Media:
    """A media folder, in whatever layout it came.

    layout: a name of LAYOUTS, or "metadata"; by default the folder's metadata file is read, and without one the layout is
    recognised by its files, which the notes say. options: the keyword arguments of the layout's `read`, whose
    values may be text. labels=False reads plain media files without labels, sub-folders too, in order of their names:
    what an anonymiser left behind.
    Raises SordineError where the folder is missing or wrong, or the layout or an option is not known.
    """
    root, options = Path(folder), dict(options or {})
    if not root.is_dir():
        raise SordineError(f"media folder {root} does not exist" if not root.exists() else f"{root} is no folder")
    if not labels:
        if layout is not None or options:
            raise SordineError("labels=False reads plain files: it takes no layout and no options")
        return _unlabelled(root)
    notes: tuple[str, ...] = ()
    if layout is None:
        layout, notes = _recognised(root)
    if layout == MOTION:
        raise SordineError(f"{root} is motionsense, which is no media: read_motion makes a table of it")
    if layout == PLAIN:
        if options:
            raise SordineError(f"a folder with metadata takes no option {next(iter(options))!r}")
        return _with_metadata(root)
    if layout not in LAYOUTS:
        raise SordineError(f"no layout is called {layout!r}; {nearest(layout, [*LAYOUTS, PLAIN])}")
    reader = LAYOUTS[layout]
    known = [name for name, p in inspect.signature(reader).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise SordineError(f"layout {layout} has no option {name!r}; {nearest(name, known)}")
    media = _called(layout, reader, root, options)
    return Media(media.root, media.kind, media.records, notes + media.notes)


def _called(layout: str, reader: Callable[..., Media], root: Path, options: dict[str, Any]) -> Media:
    from pydantic import ValidationError, validate_call

    try:
        return validate_call(reader)(root, **options)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise SordineError(f"layout {layout}: option {name}={options.get(name)!r}: {first['msg'].lower()}") from None


def _recognised(root: Path) -> tuple[str, tuple[str, ...]]:
    """The layout of a folder and a note on what told it."""
    if metadata_file(root):
        return PLAIN, ()
    found = {}
    for name, marks in MARKS.items():
        if mark := next((m for m in marks if next(root.glob(m), None)), None):
            found[name] = mark
    if not found:
        raise SordineError(
            f"media folder {root} has no {METADATA[0]} (nor {', '.join(METADATA[1:])}) and is in no known layout; "
            f"known: {', '.join(LAYOUTS)}"
        )
    if len(found) > 1:
        raise SordineError(f"{root} may be {' or '.join(found)}: name the layout")
    name, mark = next(iter(found.items()))
    return name, (f"Read as {name}: {mark} is there.",)


def _with_metadata(root: Path) -> Media:
    records = read_metadata(root)
    where = str(metadata_file(root))
    if FRAME in records.column_names and not pa.types.is_integer(records[FRAME].type):
        raise SordineError(f"{where}: column {FRAME!r} is not of whole numbers")
    return Media(root, kind_of_all(records[FILE_NAME].to_pylist(), where), records)


def _unlabelled(root: Path) -> Media:
    names = walk(root)
    media = [name for name in names if kind_of(name) is not None]
    if not media:
        raise SordineError(f"{root} holds no sound, picture or video")
    kind = kind_of_all(media, str(root))
    other = sum(kind_of(name) is None and not name.startswith("metadata.") for name in names)
    notes = (f"Files that are no media by their suffix are left out: {other}.",) if other else ()
    return Media(root, kind, pa.table({FILE_NAME: pa.array(media, pa.string())}), notes)
