"""Pictures as they are: every file of a folder brought to one size, its pixels the record itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from sordine.data.media.cache import Decoded, Decoder
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind, Media
from sordine.errors import SordineError
from sordine.features.base import Encode, Work

LARGEST = 1024  # pixels a side
BLOCK, BLOCK_BYTES = 256, 1 << 24


@dataclass(frozen=True)
class AsPictures:
    """(3, height, width) uint8 a picture, values 0 to 255, or (1, height, width) where grey (luma, ITU-R BT.601).

    A picture is resized whole, so that its sides may change their ratio: crop beforehand what is to keep its shape.
    size: both sides; height, width: one of them, where they differ. Nothing is learnt.
    Raises SordineError where a side is not between 1 and 1024.
    """

    size: int = 64
    height: int | None = None
    width: int | None = None
    grey: bool = False

    reads: ClassVar[tuple[Kind, ...]] = ("image",)
    version: ClassVar[int] = 1
    learns: ClassVar[bool] = False
    cached: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, side in (("size", self.size), ("height", self.height), ("width", self.width)):
            if side is not None and not 1 <= side <= LARGEST:
                raise SordineError(f"pictures: {name}={side} is not between 1 and {LARGEST}")

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

    def open(self, kind: Kind, work: Work) -> Encode:
        """There are no weights to load."""
        return AsDecoded(self.shape)

    def fit(self, decoded: Decoded, media: Media, work: Work) -> Encode:
        """The same as `open`: nothing is learnt."""
        return self.open(decoded.kind, work)


class AsDecoded:
    """An `Encode` that gives the pictures as the decoder does: (b, *shape) uint8."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.width, self.dtype = shape, math.prod(shape), np.dtype(np.uint8)

    def __call__(self, x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """(b, *shape) -> the same."""
        return x

    def weights(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}
