"""A small picture on which shapes with soft edges are painted, in a frame of their own.

The frame is shifted, scaled and turned against the picture; at scale 1 its unit is half a side. The edge of a shape is
the zero of a function that approximates the distance to it. The distance in pixels decides how much of a pixel is
covered, so no supersampling is needed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Colour = tuple[float, float, float]


class Canvas:
    """A picture that shapes are painted on.

    Parameters
    ----------
    size
        Pixels of a side.
    background
        Red, green and blue in [0, 1].
    gradient
        Change of its brightness from the middle to the right and to the bottom.
    shift, scale, turn
        The frame: shift of its origin in half sides, its scale, and its turn in degrees.

    Attributes
    ----------
    rgb
        (3, size, size) float32 in [0, 1].
    x, y
        (size, size) positions of the pixels in the frame.
    pixel
        Side of a pixel in the frame.
    """

    def __init__(
        self,
        size: int,
        background: Colour,
        gradient: tuple[float, float],
        *,
        shift: tuple[float, float],
        scale: float,
        turn: float,
    ) -> None:
        at = (np.arange(size, dtype=np.float32) + 0.5) * np.float32(2 / size) - 1
        self.cos, self.sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self.size, self.scale, self.shift = size, scale, shift
        across = ((at - shift[0]) / scale).astype(np.float32)[None, :]
        down = ((at - shift[1]) / scale).astype(np.float32)[:, None]
        self.x = across * np.float32(self.cos) + down * np.float32(self.sin)
        self.y = down * np.float32(self.cos) - across * np.float32(self.sin)
        self.pixel = 2 / size / scale
        ramp = (gradient[0] * at[None, :] + gradient[1] * at[:, None]).astype(np.float32)
        self.rgb = np.array(background, np.float32)[:, None, None] + ramp

    def part(self, x: float, y: float, reach_x: float, reach_y: float, *, twice: bool = False) -> Part:
        """Return the pixels within reach of a position, plus one pixel; `twice` adds its mirror image in x."""
        place = x
        if twice:
            # One window for both, in which x is the distance from the midline: half the calls.
            x, reach_x = 0.0, reach_x + abs(x)
        half, more = self.size / 2, self.pixel
        rx = (abs(self.cos) * (reach_x + more) + abs(self.sin) * (reach_y + more)) * self.scale
        ry = (abs(self.sin) * (reach_x + more) + abs(self.cos) * (reach_y + more)) * self.scale
        u = (self.cos * x - self.sin * y) * self.scale + self.shift[0] + 1
        v = (self.sin * x + self.cos * y) * self.scale + self.shift[1] + 1
        rows = slice(max(0, int((v - ry) * half)), max(0, int((v + ry) * half) + 1))
        columns = slice(max(0, int((u - rx) * half)), max(0, int((u + rx) * half) + 1))
        across = self.x[rows, columns]
        across = np.abs(across) - np.float32(place) if twice else across - np.float32(x)
        return Part(self.rgb[:, rows, columns], across, self.y[rows, columns] - np.float32(y), self.pixel)


class Part(NamedTuple):
    """A window of a canvas; positions are relative to its middle."""

    rgb: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel: float

    def cover(self, distance: np.ndarray, soft: float = 0.0) -> np.ndarray:
        """Return how much of each pixel a shape covers, 0 to 1; `soft` is the width of a blurred edge."""
        part = distance * np.float32(-1 / (self.pixel + soft))
        part += np.float32(0.5)
        np.maximum(part, 0, out=part)
        return np.minimum(part, 1, out=part)

    def lay(self, cover: np.ndarray, colour: Colour | np.ndarray, opacity: float = 1.0) -> None:
        """Paint a colour on the window."""
        paint = np.asarray(colour, np.float32)
        weight = cover * np.float32(opacity) if opacity != 1 else cover
        change = (paint[:, None, None] if paint.ndim == 1 else paint) - self.rgb
        change *= weight
        np.add(self.rgb, change, out=self.rgb)

    def ellipse(self, rx: float, ry: float) -> np.ndarray:
        """Return the approximate signed distance to an ellipse around the middle, negative inside."""
        x, y = self.x * np.float32(1 / rx), self.y * np.float32(1 / ry)
        return (np.sqrt(x * x + y * y) - 1) * np.float32(min(rx, ry))

    def glow(self, rx: float, ry: float) -> np.ndarray:
        """Return 1 in the middle, decreasing smoothly to 0 on an ellipse."""
        x, y = self.x * np.float32(1 / rx), self.y * np.float32(1 / ry)
        inside = np.maximum(1 - x * x - y * y, 0)
        return inside * inside

    def egg(self, width: float, height: float, taper: float, square: float) -> np.ndarray:
        """Return the approximate signed distance to the outline of a head."""
        down = self.y * np.float32(1 / height)
        low = np.minimum(np.maximum(down, 0), np.float32(1.2))
        low *= low
        x = self.x / (np.float32(width) * (1 - np.float32(taper) * low))
        return (np.sqrt(x * x + down * down - np.float32(square) * low * (1 - np.minimum(low, 1))) - 1) * np.float32(
            width
        )


def arc(
    picture: Canvas,
    at: tuple[float, float],
    length: float,
    *,
    slope: float = 0.0,
    sag: float = 0.0,
    weight: float,
    upright: bool = False,
    twice: bool = False,
) -> tuple[Part, np.ndarray]:
    """Return the window of a stroke and the signed distance to it; the thickness decreases to 0 at the ends.

    Parameters
    ----------
    picture
        Where it is painted.
    at
        Position of its middle.
    length
        Half its length.
    slope
        Of the curve in the middle.
    sag
        How far its ends are below its middle.
    weight
        Half its thickness in the middle.
    upright
        Whether x and y are exchanged.
    twice
        Whether its mirror image is painted too.
    """
    tall = abs(sag) + abs(slope) * length + weight
    reach = (tall, length) if upright else (length, tall)
    part = picture.part(*at, *reach, twice=twice)
    along, across = (part.y, part.x) if upright else (part.x, part.y)
    square = along * along * np.float32(1 / length**2)
    distance = np.abs(across - np.float32(slope) * along - np.float32(sag) * square) - np.float32(weight) * (1 - square)
    return part, np.maximum(distance, np.abs(along) - np.float32(length))


def mix(first: Colour | np.ndarray, other: Colour, share: float) -> np.ndarray:
    """Return a colour that has `share` of the other one."""
    return np.asarray(first, np.float32) * np.float32(1 - share) + np.asarray(other, np.float32) * np.float32(share)
