"""Draw one face from its description: shapes with soft edges, painted over each other in the frame of the face.

Lengths are in half sides of the picture at scale 1; x to the right and y down from the middle of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sordine.data.synthetic.face_canvas import Canvas, Colour, arc, mix

# The classes of each attribute that is drawn on a person, in order.
CLASSES: dict[str, tuple[str, ...]] = {
    "expression": ("neutral", "smiling", "surprised"),
    "hair": ("black", "blond", "brown", "red"),
    "glasses": ("no", "yes"),
    "sex": ("female", "male"),
    "age": ("young", "middle", "old"),
}

HAIR: dict[str, Colour] = {
    "black": (0.09, 0.08, 0.10),
    "blond": (0.90, 0.76, 0.42),
    "brown": (0.40, 0.24, 0.13),
    "red": (0.66, 0.25, 0.09),
}
SKIN: tuple[Colour, ...] = ((0.98, 0.85, 0.76), (0.91, 0.71, 0.56), (0.73, 0.52, 0.37), (0.50, 0.34, 0.24))
IRIS: tuple[Colour, ...] = ((0.30, 0.17, 0.08), (0.24, 0.44, 0.66), (0.28, 0.46, 0.24), (0.46, 0.48, 0.50))
GREY: Colour = (0.78, 0.78, 0.78)
AGEING = {"young": 0.0, "middle": 0.5, "old": 1.0}


@dataclass(frozen=True)
class FaceGeometry:
    """The geometry of a person, independent of sex, age, hair colour and expression.

    Attributes
    ----------
    width, height
        Of half the head.
    taper
        Share of the width that is lost at the chin.
    square
        Shape of the jaw, from 0 (an ellipse) to 1.
    eye_distance
        From the midline.
    eye_y, eye_size, eye_tilt
        Height of the eyes, half their width, and their slope outwards.
    iris
        Index in IRIS.
    brow_gap, brow_slope, brow_weight
        Height above the eye, slope, and half the thickness.
    nose_length, nose_width
        The width is half.
    mouth_place
        From 0 (at the nose) to 1 (at the chin).
    mouth_width, lips
        Half each.
    ears
        Radius.
    skin
        From 0 (light) to 1 (dark).
    hairline, parting
        y of the middle of the hairline; x of the parting.
    mole
        x and y.
    """

    width: float
    height: float
    taper: float
    square: float
    eye_distance: float
    eye_y: float
    eye_size: float
    eye_tilt: float
    iris: int
    brow_gap: float
    brow_slope: float
    brow_weight: float
    nose_length: float
    nose_width: float
    mouth_place: float
    mouth_width: float
    lips: float
    ears: float
    skin: float
    hairline: float
    parting: float
    mole: tuple[float, float]


@dataclass(frozen=True)
class Face:
    """All that determines one drawing, apart from pixel noise.

    Attributes
    ----------
    identity
        The person.
    sex, age, hair, expression, glasses
        One of CLASSES each.
    shift
        Of the middle of the head, in half sides of the picture.
    scale
        1 fills the picture.
    turn
        Degrees, clockwise.
    light
        From -1 (from the left) to 1 (from the right).
    background, clothes
        Red, green and blue in [0, 1].
    gradient
        Change of the brightness of the background from the middle to the right and to the bottom.
    frame
        Brightness of the frame of the glasses.
    strength
        Of a smile or of surprise; 1 is full.
    """

    identity: FaceGeometry
    sex: str = "female"
    age: str = "young"
    hair: str = "brown"
    expression: str = "neutral"
    glasses: str = "no"
    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 0.95
    turn: float = 0.0
    light: float = 0.0
    background: Colour = (0.6, 0.68, 0.75)
    gradient: tuple[float, float] = (0.0, -0.1)
    clothes: Colour = (0.25, 0.35, 0.55)
    frame: float = 0.1
    strength: float = 1.0


def draw(face: Face, size: int) -> np.ndarray:
    """Return the picture of a face without pixel noise: (3, size, size) uint8, red, green and blue."""
    picture = Canvas(size, face.background, face.gradient, shift=face.shift, scale=face.scale, turn=face.turn)
    colours = _colours(face)
    _body(picture, face, colours)
    _head(picture, face, colours)
    _eyes(picture, face, colours)
    _nose(picture, face, colours)
    _mouth(picture, face, colours)
    _lines(picture, face, colours)
    _hair(picture, face, colours)
    if face.glasses == "yes":
        _glasses(picture, face)
    picture.rgb *= 1 + np.float32(0.28 * face.light) * np.tanh(picture.x * np.float32(2))
    return np.rint(np.minimum(np.maximum(picture.rgb * np.float32(255), 0), 255)).astype(np.uint8)


# -----------------------------------------------------------------------------------------------------------------
# parts


class _Colours(NamedTuple):
    """Red, green and blue in [0, 1], (3,) float32 each."""

    skin: np.ndarray
    hair: np.ndarray


def _colours(face: Face) -> _Colours:
    place = face.identity.skin * (len(SKIN) - 1)
    first = min(int(place), len(SKIN) - 2)
    skin = mix(SKIN[first], SKIN[first + 1], place - first)
    # Skin and hair lose their colour with age.
    old = AGEING[face.age]
    return _Colours(mix(skin, (float(skin.mean()),) * 3, 0.25 * old), mix(HAIR[face.hair], GREY, 0.12 * old))


def _jaw(face: Face) -> tuple[float, float, float, float]:
    """Half width and height, taper and squareness of the head, by person and sex."""
    it, man = face.identity, face.sex == "male"
    return (
        it.width * (1.03 if man else 0.97),
        it.height,
        it.taper * (0.5 if man else 1.1) + (0.0 if man else 0.06),
        min(0.95, it.square * 0.5 + (0.45 if man else 0.0)),
    )


def _body(picture: Canvas, face: Face, colours: _Colours) -> None:
    """Long hair behind the head, clothes, neck and ears."""
    it, skin = face.identity, colours.skin
    man = face.sex == "male"
    width, height, _, _ = _jaw(face)
    if not man:
        part = picture.part(0, 0.12, width + 0.16, height + 0.22)
        # Grey shows in long hair too, behind the temples.
        hair = mix(colours.hair, GREY, 0.3 if face.age == "old" else 0.0) * np.float32(0.86)
        colour = hair[:, None, None] * (1 + np.float32(0.06) * np.sin(part.x * np.float32(40)))
        part.lay(part.cover(part.egg(width + 0.13, height + 0.2, -0.05, 0.9)), colour)
    part = picture.part(0, 1.3, 1.0, 0.62)
    part.lay(part.cover(part.ellipse(0.98 if man else 0.84, 0.56)), face.clothes)
    neck = 0.27 if man else 0.2
    part = picture.part(0, 0.6, neck, 0.32)
    part.lay(part.cover(np.maximum(np.abs(part.x) - neck, np.abs(part.y) - 0.32 + 0.2 * np.abs(part.x))), skin * 0.8)
    part = picture.part(width + 0.3 * it.ears, it.eye_y + 0.1, it.ears, it.ears * 1.6, twice=True)
    part.lay(part.cover(part.ellipse(it.ears, it.ears * 1.5)), skin * 0.9)
    part.lay(part.cover(part.ellipse(it.ears * 0.5, it.ears * 0.9), 0.03), skin * 0.72)


def _head(picture: Canvas, face: Face, colours: _Colours) -> None:
    """The head with its roundness, its cheeks and, of men, the shadow of a beard."""
    it, skin = face.identity, colours.skin
    width, height, taper, square = _jaw(face)
    part = picture.part(0, 0, width, height)
    distance = part.egg(width, height, taper, square)
    head = part.cover(distance)
    # 0 in the middle, 1 at the edge.
    out = np.minimum(np.maximum(distance * np.float32(1 / width) + 1, 0), 1)
    part.lay(head, skin[:, None, None] * (1.04 - 0.22 * out * out * out))
    if face.sex == "male":
        low = np.clip(part.y * np.float32(1 / height) * 2.2 - 0.55, 0, 1) * np.clip(2.2 * out - 0.6, 0, 1)
        part.lay(head * low, skin * np.float32(0.45) + colours.hair * np.float32(0.2), 0.5)
    smile = face.strength if face.expression == "smiling" else 0.0
    cheek = picture.part(0.56 * width, it.eye_y + 0.27 - 0.03 * smile, 0.19, 0.14, twice=True)
    blush = {"young": 0.34, "middle": 0.08, "old": 0.0}[face.age]
    if blush:
        cheek.lay(cheek.glow(0.19, 0.14), skin * np.array([1.0, 0.62, 0.62], np.float32), blush)
    if smile:
        cheek.lay(cheek.glow(0.13, 0.08), np.minimum(skin * 1.2, 1), 0.35 * smile)
    mole = picture.part(*it.mole, 0.025, 0.025)
    mole.lay(mole.cover(mole.ellipse(0.02, 0.02)), skin * 0.45, 0.85)


def _eyes(picture: Canvas, face: Face, colours: _Colours) -> None:
    """Both eyes with their sockets and brows."""
    it, skin = face.identity, colours.skin
    smile, surprise = (face.strength if face.expression == e else 0.0 for e in ("smiling", "surprised"))
    x, y = it.eye_distance, it.eye_y
    half = it.eye_size * (1.1 - 0.2 * AGEING[face.age]) * (1.04 if face.sex == "female" else 0.96)
    tall = half * 0.62 * (1 - 0.42 * smile + 0.45 * surprise)
    socket = picture.part(x, y - 0.03, half * 1.7, half * 1.5, twice=True)
    socket.lay(socket.glow(half * 1.7, half * 1.5), skin * 0.7, 0.5)
    y += 0.012 * smile
    tilt = -it.eye_tilt
    part, lens = arc(picture, (x, y), half, slope=tilt, weight=tall, twice=True)
    white = part.cover(lens)
    part.lay(white, (0.96, 0.95, 0.94))
    iris = part.ellipse(half * 0.52, half * 0.52)
    part.lay(white * part.cover(iris), IRIS[it.iris])
    part.lay(white * part.cover(iris + np.float32(half * 0.28)), (0.03, 0.03, 0.04))
    # The upper lid; of women, with lashes.
    lash = 0.022 if face.sex == "female" else 0.011
    part, lid = arc(picture, (x, y - tall), half * 1.08, slope=tilt, sag=tall, weight=lash, twice=True)
    part.lay(part.cover(lid), skin * 0.25, 0.9)
    if face.sex == "female":
        part = picture.part(x, y - tall - 0.03, half, 0.05, twice=True)
        part.lay(part.glow(half, 0.05), (0.42, 0.34, 0.52), 0.45)
    if smile:
        part, fold = arc(picture, (x, y + tall + 0.02), half, sag=-0.02, weight=0.01, twice=True)
        part.lay(part.cover(fold), skin * 0.62, 0.7 * smile)
    glint = picture.part(x - 0.2 * half, y - 0.25 * half, 0.2 * half, 0.2 * half, twice=True)
    glint.lay(glint.cover(glint.ellipse(0.14 * half, 0.14 * half)), (1.0, 1.0, 1.0), 0.9)
    man = face.sex == "male"
    height = it.eye_y - it.brow_gap + (0.025 if man else -0.012) - 0.075 * surprise
    part, brow = arc(
        picture,
        (x * 1.04, height),
        half * 1.4,
        slope=-it.brow_slope * (1 - 0.5 * surprise),
        sag=0.022 + (0.0 if man else 0.02) + 0.03 * surprise,
        weight=it.brow_weight * (1.55 if man else 0.7),
        twice=True,
    )
    part.lay(part.cover(brow), mix(colours.hair * 0.65, GREY, 0.35 * (face.age == "old")), 0.95)


def _nose(picture: Canvas, face: Face, colours: _Colours) -> None:
    it, skin = face.identity, colours.skin
    base = it.eye_y + it.nose_length
    wide = it.nose_width * (1.1 if face.sex == "male" else 0.92)
    bridge = picture.part(0, base - 0.55 * it.nose_length, 0.6 * wide, 0.6 * it.nose_length)
    bridge.lay(bridge.glow(0.6 * wide, 0.6 * it.nose_length), np.minimum(skin * 1.25, 1), 0.5)
    # The side away from the light is in shadow.
    side = -1 if face.light > 0 else 1
    part, edge = arc(
        picture,
        (side * wide * 0.62, base - 0.45 * it.nose_length),
        0.48 * it.nose_length,
        slope=side * 0.22,
        weight=0.02,
        upright=True,
    )
    part.lay(part.cover(edge, 0.02), skin * 0.66, 0.25 + 0.5 * abs(face.light))
    part, under = arc(picture, (0, base + 0.012), wide * 1.15, sag=-0.025, weight=0.02)
    part.lay(part.cover(under, 0.015), skin * 0.6, 0.85)
    part = picture.part(wide * 0.55, base + 0.005, 0.03, 0.02, twice=True)
    part.lay(part.cover(part.ellipse(0.024, 0.014), 0.01), skin * 0.32, 0.9)


def _mouth(picture: Canvas, face: Face, colours: _Colours) -> None:
    it, skin = face.identity, colours.skin
    woman, old = face.sex == "female", AGEING[face.age]
    nose = it.eye_y + it.nose_length
    y = nose + it.mouth_place * (it.height - nose)
    wide = it.mouth_width * (0.95 if woman else 1.03)
    lips = it.lips * (1.3 if woman else 0.75) * (1 - 0.3 * old)
    colour = mix(skin * 0.8, (0.78, 0.16, 0.22), 0.7 if woman else 0.22)
    if face.expression == "surprised":
        part = picture.part(0, y + 0.015, wide, 0.22)
        rx, ry = wide * (0.72 - 0.1 * face.strength), 0.06 + 0.065 * face.strength
        part.lay(part.cover(part.ellipse(rx, ry)), colour)
        part.lay(part.cover(part.ellipse(max(rx - 0.8 * lips, 0.02), ry - 0.8 * lips)), (0.2, 0.05, 0.06))
    elif face.expression == "smiling":
        rise = -0.085 * face.strength
        wide *= 1 + 0.28 * face.strength
        part, shape = arc(picture, (0, y - 0.4 * rise), wide, sag=rise, weight=lips + 0.045)
        part.lay(part.cover(shape), colour)
        part, shape = arc(picture, (0, y - 0.4 * rise), wide * 0.88, sag=rise * 0.8, weight=0.048)
        part.lay(part.cover(shape), (0.97, 0.96, 0.93))
        part = picture.part(wide, y + 0.5 * rise, 0.03, 0.035, twice=True)
        part.lay(part.glow(0.03, 0.035), skin * 0.5, 0.8)
    else:
        part, shape = arc(picture, (0, y + 0.2 * lips), wide, weight=lips * 1.1)
        part.lay(part.cover(shape), colour)
        part, shape = arc(picture, (0, y), wide, sag=0.008, weight=0.011)
        part.lay(part.cover(shape), skin * 0.28, 0.9)
    chin = picture.part(0, y + 0.55 * (it.height - y) + 0.02, 0.12, 0.03)
    chin.lay(chin.glow(0.12, 0.03), skin * 0.7, 0.35)


def _lines(picture: Canvas, face: Face, colours: _Colours) -> None:
    """What age draws: folds beside the mouth, lines on the forehead, bags under the eyes."""
    it, skin, old = face.identity, colours.skin, AGEING[face.age]
    if not old:
        return
    ink = skin * 0.52
    base = it.eye_y + it.nose_length
    part, fold = arc(
        picture,
        (it.nose_width + 0.085, base + 0.055),
        0.13,
        slope=0.42,
        weight=0.012 + 0.008 * old,
        upright=True,
        twice=True,
    )
    part.lay(part.cover(fold, 0.01), ink, 0.4 + 0.45 * old)
    y = it.eye_y + 0.62 * it.eye_size + 0.045
    part, bag = arc(
        picture, (it.eye_distance, y + 0.02), it.eye_size, sag=-0.03, weight=0.008 + 0.012 * old, twice=True
    )
    part.lay(part.cover(bag, 0.012), ink, 0.25 + 0.5 * old)
    if face.age == "old":
        outer = it.eye_distance + it.eye_size * 1.35
        for slope in (-0.4, 0.4):
            part, crow = arc(picture, (outer, it.eye_y + 0.1 * slope), 0.045, slope=slope, weight=0.008, twice=True)
            part.lay(part.cover(crow), ink, 0.6)
    high, low = it.hairline, it.eye_y - it.brow_gap - 0.05
    for share in (0.5,) if face.age == "middle" else (0.3, 0.58, 0.86):
        part, line = arc(picture, (0, high + share * (low - high)), 0.26, sag=0.015, weight=0.009 + 0.006 * old)
        part.lay(part.cover(line, 0.006), ink, 0.35 + 0.45 * old)


def _hair(picture: Canvas, face: Face, colours: _Colours) -> None:
    """Hair over the forehead and beside it, its sheen, and the grey of the temples."""
    it, old = face.identity, AGEING[face.age]
    width, height, taper, square = _jaw(face)
    woman = face.sex == "female"
    grow = 0.09 if woman else 0.065
    part = picture.part(0, 0, width + grow, height + grow)
    # 0 at the parting, 1 at either side of the head.
    x = part.x - np.float32(it.parting)
    x = x / (np.float32(width) - np.float32(it.parting) * np.sign(x))
    # Women's hair falls further beside the face; men's line goes back with age.
    fall = 0.62 if woman else 0.36 - 0.08 * old
    line = np.float32(it.hairline - (0 if woman else 0.05 * old)) + np.float32(fall) * x * x
    if woman:
        line = line + np.float32(2.5) * np.maximum(np.abs(part.x) * np.float32(1 / width) - 0.82, 0)
    cover = part.cover(np.maximum(part.egg(width + grow, height + grow, taper, square), (part.y - line) * 0.8))
    strands = 1 + 0.09 * np.sin(np.float32(34) * (part.x - np.float32(it.parting)) * (1.2 - part.y))
    ring = np.maximum(1 - np.abs(part.y + np.float32(0.72 * height)) * np.float32(6), 0)
    colour = colours.hair[:, None, None] * strands + 0.11 * ring
    if old:
        temple = np.clip((np.abs(part.x) * np.float32(1 / width) - 0.55) * 4, 0, 1)
        colour = colour + (np.float32(0.72 if face.age == "old" else 0.22) * temple) * (np.float32(GREY[0]) - colour)
    part.lay(cover, colour)


def _glasses(picture: Canvas, face: Face) -> None:
    it = face.identity
    frame = mix((0.02, 0.02, 0.03), (0.9, 0.75, 0.6), face.frame)
    rx = min(it.eye_distance - 0.035, it.eye_size * 1.75)
    ry, y = rx * 0.8, it.eye_y + 0.015
    part = picture.part(it.eye_distance, y, rx + 0.04, ry + 0.04, twice=True)
    # An ellipse made squarer: lenses are neither round nor angular.
    across, down = part.x * np.float32(1 / rx), part.y * np.float32(1 / ry)
    across, down = across * across, down * down
    rim = (np.sqrt(across + down - 0.45 * np.minimum(across * down, 1)) - 1) * np.float32(ry)
    part.lay(part.cover(rim), (0.85, 0.92, 1.0), 0.16)
    part.lay(part.cover(np.abs(rim) - np.float32(0.02)), frame)
    end = max(_jaw(face)[0] - it.eye_distance - rx, 0.02)
    part, arm = arc(picture, (it.eye_distance + rx + end / 2, y - 0.02), end / 2, weight=0.03, twice=True)
    part.lay(part.cover(arm), frame)
    gap = it.eye_distance - rx
    part, bridge = arc(picture, (0, y - 0.03), gap + 0.02, sag=0.02, weight=0.03)
    part.lay(part.cover(bridge), frame)
