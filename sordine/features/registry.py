"""The extractors by name. A new one is its own file and one line here; `EXTRACTORS.register` adds one from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sordine.data.registry import Registry
from sordine.features.base import Extractor
from sordine.features.columns import Columns
from sordine.features.encoder.extractor import Encoder
from sordine.features.facenet import FaceNet
from sordine.features.hubert import Hubert
from sordine.features.logmel import LogMel
from sordine.features.pictures import AsPictures
from sordine.features.pixels import Pixels
from sordine.features.r3d18 import R3D18
from sordine.features.windows import Windows

EXTRACTORS: Registry[Extractor] = Registry(
    "extractor",
    {
        "logmel": LogMel,
        "windows": Windows,
        "columns": Columns,
        "pixels": Pixels,
        "encoder": Encoder,
        "facenet": FaceNet,
        "hubert-large": Hubert,
        "r3d18": R3D18,
        "pictures": AsPictures,
    },
)


def make_extractor(name: str, options: Mapping[str, Any] | None = None) -> Extractor:
    """Return the extractor of this name; options are its fields, as text or values.

    Raises
    ------
    SordineError
        For an unknown name or option, with the nearest known one, or for a value that does not fit.
    """
    return EXTRACTORS.make(name, options)
