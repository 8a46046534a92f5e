"""The styles of obscuring. Each is a dataclass whose fields are its options; a new one is a class and a line here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

import numpy as np
from pydantic import AfterValidator, Field

from sordine.data.media import face_detection as faces
from sordine.data.media.kinds import Kind
from sordine.data.media.obscure.operations import blur_centre, cover, downsample, gaussian_blur, mask, white_noise
from sordine.data.registry import Registry

# Returns so many uniform numbers in (0, 1), the same ones at every call; a style calls it once a file.
Draw = Callable[[int], np.ndarray]

PICTURES: tuple[Kind, ...] = ("image", "video")


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


Kernel = Annotated[int, Field(ge=1), AfterValidator(_odd)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(gt=0, le=1)]


class Style(Protocol):
    """A frozen dataclass whose fields are its options.

    Attributes
    ----------
    kinds
        Kinds of media that it obscures.
    """

    kinds: ClassVar[tuple[Kind, ...]]

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """Return an obscured picture (h, w, 3) uint8 or waveform (samples,) float32, of the same shape."""
        ...


@dataclass(frozen=True)
class Blur:
    """Gaussian blur.

    Parameters
    ----------
    kernel
        Width of the kernel in pixels, odd.
    sigma
        Standard deviation in pixels.
    """

    kernel: Kernel = 11
    sigma: Positive = 10.0

    kinds: ClassVar[tuple[Kind, ...]] = PICTURES

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `gaussian_blur`."""
        return gaussian_blur(x, self.kernel, self.sigma)


@dataclass(frozen=True)
class Downsample:
    """Reduce and enlarge again.

    Parameters
    ----------
    ratio
        How many times smaller each side becomes, above 1.
    """

    ratio: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 4.0

    kinds: ClassVar[tuple[Kind, ...]] = PICTURES

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `downsample`."""
        return downsample(x, self.ratio)


@dataclass(frozen=True)
class CoverFace:
    """Cover the detected face.

    Parameters
    ----------
    ratio
        Share of the face's box that is covered, in (0, 1].
    detector
        `cascade` or `mtcnn`.
    whole
        Where no face is found, treat the whole picture as the face; otherwise it stays as it is.
    """

    ratio: Share = 1.0
    detector: faces.Detector = "cascade"
    whole: bool = True

    kinds: ClassVar[tuple[Kind, ...]] = PICTURES

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `cover`."""
        boxes = faces.detect(x, self.detector)
        if not len(boxes):
            if not self.whole:
                return x
            boxes = np.array([[0, 0, x.shape[1], x.shape[0]]], np.float64)
        return cover(x, boxes[0], self.ratio)


@dataclass(frozen=True)
class Block:
    """Set the middle of the picture to black, wherever the face is: a baseline of Masking, which gives no size.

    Parameters
    ----------
    share
        Share of the picture's area, in its own shape, in (0, 1].
    """

    share: Share = 0.25

    kinds: ClassVar[tuple[Kind, ...]] = PICTURES

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `cover`."""
        return cover(x, np.array([0, 0, x.shape[1], x.shape[0]], np.float64), self.share)


@dataclass(frozen=True)
class BlurCentre:
    """Blur the middle of the picture: a baseline of Masking, which gives neither size nor sigma.

    Parameters
    ----------
    share
        Share of the picture's area, in its own shape, in (0, 1].
    kernel, sigma
        As in `blur`.
    """

    share: Share = 0.36
    kernel: Kernel = 11
    sigma: Positive = 10.0

    kinds: ClassVar[tuple[Kind, ...]] = PICTURES

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `blur_centre`."""
        return blur_centre(x, self.share, self.kernel, self.sigma)


@dataclass(frozen=True)
class WhiteNoise:
    """Add white noise.

    The default level, 0, is that of nlpaug's NoiseAug (version 1.1): standard normal half-spectra through an inverse
    Fourier transform, whose deviation is 1 / sqrt(n) for n samples, in the middle 60 % of the clip. Earlier releases
    (2019) added 0.01 everywhere: use level=0.01. Any other level is added everywhere.

    Parameters
    ----------
    level
        Standard deviation; full scale is 1.
    """

    level: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    kinds: ClassVar[tuple[Kind, ...]] = ("audio",)

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `white_noise`."""
        from scipy.special import ndtri

        draws = ndtri(draw(len(x)))
        if self.level:
            return white_noise(x, draws, self.level)
        first, last = round(0.2 * len(x)), round(0.8 * len(x))
        draws[:first] = draws[last:] = 0
        return white_noise(x, draws, 1 / math.sqrt(max(last - first, 1)))


@dataclass(frozen=True)
class Mask:
    """Set one part of the waveform to zero.

    Parameters
    ----------
    coverage
        Share of the clip, in (0, 1].
    """

    coverage: Share = 0.5

    kinds: ClassVar[tuple[Kind, ...]] = ("audio",)

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `mask`."""
        return mask(x, float(draw(1)[0]), self.coverage)


STYLES: Registry[Style] = Registry(
    "style",
    {
        "blur": Blur,
        "downsample": Downsample,
        "cover_face": CoverFace,
        "block": Block,
        "blur_centre": BlurCentre,
        "white_noise": WhiteNoise,
        "mask": Mask,
    },
)
