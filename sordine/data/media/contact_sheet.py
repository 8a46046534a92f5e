"""Write contact sheets: rows of small pictures under captions, in one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sordine.data.files import atomic
from sordine.errors import SordineError

LEAST_SIDE = 64  # pixels; smaller pictures are enlarged by a whole number
GAP, CAPTION = 4, 14


def contact_sheet(
    path: str | Path, columns: Sequence[str], pictures: Sequence[np.ndarray], *, force: bool = True
) -> None:
    """Write one PNG with a row for each record and a captioned column for each kind of picture.

    Parameters
    ----------
    path
        Where to write.
    columns
        Captions.
    pictures
        One array for each column: (n, 1 or 3, h, w), values 0 to 255 of any type, all of the same n.
    force
        Whether an existing file is replaced.

    Raises
    ------
    SordineError
        Where the numbers of captions and columns, or of records, differ.
    """
    from PIL import Image, ImageDraw

    counts = {len(p) for p in pictures}
    if len(columns) != len(pictures) or len(counts) != 1 or 0 in counts:
        found = [len(p) for p in pictures]
        raise SordineError(
            f"contact sheet: {len(columns)} captions for columns of {found} pictures; all columns need the same number"
        )
    height = max(p.shape[-2] for p in pictures)
    width = max(p.shape[-1] for p in pictures)
    times = max(1, -(-LEAST_SIDE // max(height, width)))
    cell = (max(times * width, *(7 * len(c) for c in columns)) + GAP, times * height + GAP)
    (rows,) = counts
    sheet = Image.new("RGB", (cell[0] * len(columns) + GAP, cell[1] * rows + CAPTION + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for across, (caption, column) in enumerate(zip(columns, pictures, strict=True)):
        draw.text((GAP + across * cell[0], 1), caption, fill="black")
        for down, picture in enumerate(column):
            pixels = np.clip(np.rint(np.asarray(picture, np.float32)), 0, 255).astype(np.uint8)
            image = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
            image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
            sheet.paste(image, (GAP + across * cell[0], CAPTION + GAP + down * cell[1]))
    with atomic(path, force=force) as temporary:
        sheet.save(temporary, format="PNG", optimize=True)
