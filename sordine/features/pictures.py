"""Pictures as records: every file of a folder is resized to one size, and its pixels are x."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from sordine.data.media.cache import Decoder
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind
from sordine.errors import SordineError
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.run import Run

LARGEST = 1024  # pixels a side
Side = Annotated[int, Field(ge=1, le=LARGEST)]
BLOCK, BLOCK_BYTES = 256, 1 << 24


@dataclass(frozen=True)
class AsPictures(NetworkExtractor):
    """(3, height, width) uint8 a picture, values 0 to 255, or (1, height, width) where grey (luma, ITU-R BT.601).

    The whole picture is resized, which may change its aspect ratio: crop it before to keep it. Nothing is fitted.

    Parameters
    ----------
    size
        Both sides, 1 to 1,024 pixels.
    height, width
        One side, where it differs from `size`.
    grey
        One channel instead of three.
    """

    size: Side = 64
    height: Side | None = None
    width: Side | None = None
    grey: bool = False

    accepts: ClassVar[tuple[SourceKind, ...]] = ("image",)
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True
    makes_pictures: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return (1 if self.grey else 3, self.height or self.size, self.width or self.size)

    @property
    def block(self) -> int:
        """Records that are encoded at a time: fewer of larger pictures."""
        return max(1, min(BLOCK, BLOCK_BYTES // math.prod(self.shape)))

    def decoder(self, kind: Kind) -> Decoder:
        """Return a decoder to pictures of that size."""
        if kind != "image":
            raise SordineError(f"extractor pictures takes pictures, not {kind}")
        _, height, width = self.shape
        return Pictures(height, width, self.grey)

    def open(self, kind: Kind, run: Run) -> Encode:
        """Return the identity: there are no weights."""
        return AsDecoded(self.shape)


class AsDecoded:
    """An `Encode` that returns decoded pictures unchanged: (b, *shape) uint8."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.width, self.dtype = shape, math.prod(shape), np.dtype(np.uint8)
        self.details: dict[str, Any] = {}

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return x."""
        return x

    def weights(self) -> dict[str, Tensor]:
        """Return nothing: nothing is fitted."""
        return {}
