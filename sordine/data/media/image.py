"""Decode pictures of any format into upright RGB."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sordine.data.media.kinds import Kind
from sordine.errors import SordineError, pass_on

if TYPE_CHECKING:
    from PIL import Image

# No other format is tried, whatever the suffix: some (EPS) run a program that is in the file.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

_ORIENTATION = 0x0112  # EXIF 2.32, table 4
_WHITE = 255
# The warning filter belongs to the whole process: threads take turns while they parse a header.
_QUIET = threading.Lock()


def read_picture(path: str | Path) -> np.ndarray:
    """Return one picture as (h, w, 3) uint8 RGB, upright by its EXIF orientation.

    Of several frames it is the first. Transparent pixels are painted over white, and 16 bits are rounded to 8.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    SordineError
        Where the file is missing, empty, truncated or damaged, has over 89 million pixels, or has values without a
        known white (32 bits, floating point).
    """
    return np.array(_load(Path(path)))


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return (h, w, 3) uint8 resized to (height, width, 3) by Lanczos with three lobes, antialiased."""
    from PIL import Image

    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def check_sides(height: int, width: int) -> None:
    """Raise SordineError where the height or the width of a picture is below 1."""
    if height < 1 or width < 1:
        raise SordineError(f"a picture of {height} x {width} has no pixels; height and width must be 1 or more")


@dataclass(frozen=True)
class Pictures:
    """Decoder of pictures into (3, height, width) uint8.

    Pictures are resized to exactly that size by Lanczos, antialiased: nothing is cropped, and the aspect ratio may
    change. A JPEG of at least four times the larger side is first halved, up to three times, by its own decoder, which
    is faster.

    Parameters
    ----------
    height, width
        In pixels.
    grey
        Give (1, height, width) instead, the luma of ITU-R BT.601.
    """

    height: int
    width: int
    grey: bool = False

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_sides(self.height, self.width)

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, height, width)."""
        return (1 if self.grey else 3, self.height, self.width)

    @property
    def dtype(self) -> np.dtype:
        """uint8."""
        return np.dtype(np.uint8)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        """Return x of `shape` and 1. Raises SordineError as `read_picture` does, and for a frame."""
        from PIL import Image

        if frame is not None:
            raise SordineError(f"{path} is a picture and has no frame {frame}; remove column 'frame'")
        # Square, because the orientation is known only after decoding.
        image = _load(path, 2 * max(self.height, self.width))
        if self.grey:
            image = image.convert("L")
        pixels = np.asarray(image.resize((self.width, self.height), Image.Resampling.LANCZOS))
        return np.ascontiguousarray(np.moveaxis(pixels.reshape(self.height, self.width, -1), -1, 0)), 1


def _load(path: Path, enough: int = 0) -> Image.Image:
    """Return an upright RGB image; a larger JPEG is decoded only as finely as `enough` requires."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise SordineError(f"{path} does not exist")
    try:
        if not path.stat().st_size:
            raise ValueError("it is empty")
        with _QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
        with image:
            if enough:
                image.draft(None, (enough, enough))
            image.load()
            return _colours(_upright(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = "it has too many pixels"
    except UnidentifiedImageError:
        reason = "it is not a picture, or its beginning is damaged"
    except OSError as error:
        pass_on(error)
        reason = error.strerror or _line(error)
    except Exception as error:  # a damaged file can make its decoder fail in any way
        pass_on(error)
        reason = _line(error)
    raise SordineError(f"{path} cannot be decoded as a picture: {reason.rstrip('.')}")


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _upright(image: Image.Image) -> Image.Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # damaged EXIF in a valid picture: not turned, as in every viewer
        orientation = None
    turn = turns.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _colours(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB. Raises ValueError where its values have no known white."""
    from PIL import Image

    # The decoder scales these to 16 bits; the values of a TIFF of this mode may have any range.
    scaled = image.mode == "I" and image.format in ("PNG", "PPM")
    if image.mode.startswith("I;16") or scaled:
        wide = np.asarray(image).astype(np.int64)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("its values have no known white; save it with 8 or 16 bits")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (_WHITE, _WHITE, _WHITE, _WHITE))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image.convert("RGB")
