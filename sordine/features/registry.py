"""Extractors: from a media folder or a raw table to a table of vectors or pictures. One file an extractor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sordine.errors import SordineError, nearest
from sordine.features.columns import Columns
from sordine.features.encoder.extractor import Encoder
from sordine.features.facenet import FaceNet
from sordine.features.hubert import Hubert
from sordine.features.logmel import LogMel
from sordine.features.pictures import AsPictures
from sordine.features.pixels import Pixels
from sordine.features.r3d18 import R3D18
from sordine.features.windows import Windows

EXTRACTORS: dict[str, type[Any]] = {
    "logmel": LogMel,
    "windows": Windows,
    "columns": Columns,
    "pixels": Pixels,
    "encoder": Encoder,
    "facenet": FaceNet,
    "hubert-large": Hubert,
    "r3d18": R3D18,
    "pictures": AsPictures,
}
NAMES_UP_TO = 5000


def make_extractor(name: str, options: Mapping[str, str] | None = None) -> Any:
    """The extractor of this name; options are its fields, given as text. Raises SordineError naming the nearest known."""
    from pydantic import TypeAdapter, ValidationError

    if name not in EXTRACTORS:
        raise SordineError(f"no extractor is called {name!r}; {nearest(name, EXTRACTORS)}")
    made = EXTRACTORS[name]
    known = [f.name for f in fields(made)]
    for option in options or {}:
        if option not in known:
            raise SordineError(f"{name} has no option {option!r}; {nearest(option, known)}")
    try:
        return TypeAdapter(made).validate_python(dict(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where, given = ".".join(map(str, first["loc"])), first.get("input")
        raise SordineError(f"{name}: option {where}={given!r}: {first['msg'].lower()}") from None
