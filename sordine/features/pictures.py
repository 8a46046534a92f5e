"""Pictures as they are: every file of a folder brought to one size, its pixels the record itself."""

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

    A picture is resized whole, so that its sides may change their ratio: crop beforehand what is to keep its shape.
    size: both sides; height, width: one of them, where they differ. Nothing is learnt.
    Raises SordineError where a side is not between 1 and 1024.
    """

    size: Side = 64
    height: Side | None = None
    width: Side | None = None
    grey: bool = False

    reads: ClassVar[tuple[SourceKind, ...]] = ("image",)
    version: ClassVar[int] = 1
    cached: ClassVar[bool] = True

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return (1 if self.grey else 3, self.height or self.size, self.width or self.size)

    @property
    def block(self) -> int:
        """Records at a time: fewer of larger pictures."""
        return max(1, min(BLOCK, BLOCK_BYTES // math.prod(self.shape)))

    def decoder(self, kind: Kind) -> Decoder:
        """Pictures of that size."""
        if kind != "image":
            raise SordineError(f"pictures reads pictures, not {kind}")
        _, height, width = self.shape
        return Pictures(height, width, self.grey)

    def open(self, kind: Kind, run: Run) -> Encode:
        """There are no weights to load."""
        return AsDecoded(self.shape)


class AsDecoded:
    """An `Encode` that gives the pictures as the decoder does: (b, *shape) uint8."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.width, self.dtype = shape, math.prod(shape), np.dtype(np.uint8)
        self.details: dict[str, Any] = {}

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(b, *shape) -> the same."""
        return x

    def weights(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}
