"""The page's pictures: figure 5's scatters of the plane, and contact sheets of synthetic faces (no real person)."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.replacement.cases import DATA, Fit, Plane, units
from benchmarks.replacement.measure import unit_of
from sordine.data.files import atomic

SIDE, REACH, DOT = 220, 4.0, 1.5  # pixels; half the plane's side; radius of a point
COLOURS = {0: (230, 126, 34), 1: (41, 98, 190)}  # orange s = 0, blue s = 1, as in the paper's originals
PANELS = {
    "original": "original",
    "likelihood": "filter, likelihood",
    "entropy": "filter, entropy",
    "ours": "filter, then generator",
}


def figures(work: Path, folder: Path) -> None:
    """Write the pictures of all that has been measured."""
    folder.mkdir(parents=True, exist_ok=True)
    plane = unit_of(Plane(2.0, 0))
    if plane.exists():
        scatter(plane.read()["shown"], folder / "plane.png")
    for what in units():
        if isinstance(what, Fit) and not DATA[what.data].source:
            made = work / f"{what.data}-{what.secret}" / f"{what.name}.png"
            if made.exists() and unit_of(what).exists():
                shutil.copyfile(made, folder / made.name)


def scatter(shown: dict[str, Sequence[Sequence[float]]], path: Path) -> None:
    """Draw four panels; a point's colour is its true secret, and the line is the best classifier of originals."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (len(PANELS) * (SIDE + 8), SIDE + 18), "white")
    draw = ImageDraw.Draw(image)
    for at, (name, caption) in enumerate(PANELS.items()):
        left, top = at * (SIDE + 8), 16
        draw.rectangle((left, top, left + SIDE, top + SIDE), outline=(150, 150, 150))
        draw.line((left, top + SIDE, left + SIDE, top), fill=(200, 200, 200))
        draw.text((left + 2, 1), caption, fill="black")
        for (x, y), s in zip(shown[name], shown["secret"], strict=True):
            across, down = left + (x / REACH + 1) * SIDE / 2, top + (1 - y / REACH) * SIDE / 2
            if left < across < left + SIDE and top < down < top + SIDE:
                box = (across - DOT, down - DOT, across + DOT, down + DOT)
                draw.ellipse(box, fill=COLOURS[int(s)])  # type: ignore[call-overload]
    with atomic(path, force=True) as temporary:
        image.save(temporary, format="PNG", optimize=True)
