"""Contact sheets: what stands where."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from sordine.data.media.contact_sheet import CAPTION, GAP, contact_sheet
from sordine.errors import SordineError


def test_a_row_a_record_and_a_column_a_kind(tmp_path):
    red = np.zeros((2, 3, 64, 64), np.uint8)
    red[:, 0] = 255
    grey = np.stack([np.full((1, 64, 64), v) for v in (300.0, 99.6)])  # beyond white, and between two greys
    contact_sheet(tmp_path / "a.png", ["red", "grey"], [red, grey])
    pixels = np.asarray(Image.open(tmp_path / "a.png"))
    first, second = CAPTION + GAP + 32, CAPTION + GAP + 64 + GAP + 32
    left, right = GAP + 32, GAP + 64 + GAP + 32
    assert pixels[first, left].tolist() == pixels[second, left].tolist() == [255, 0, 0]
    assert pixels[first, right].tolist() == [255] * 3
    assert pixels[second, right].tolist() == [100] * 3


def test_small_pictures_are_enlarged_without_blending(tmp_path):
    checks = np.indices((4, 4)).sum(0) % 2 * 255
    contact_sheet(tmp_path / "a.png", ["x"], [checks[None, None]])
    inside = np.asarray(Image.open(tmp_path / "a.png"))[CAPTION + GAP :, GAP:, 0][:64, :64]
    assert (inside == np.kron(checks, np.ones((16, 16)))).all()


@pytest.mark.parametrize(
    ("columns", "pictures"),
    [
        (["a"], []),
        (["a", "b"], [np.zeros((2, 3, 8, 8)), np.zeros((1, 3, 8, 8))]),
        (["a"], [np.zeros((0, 3, 8, 8))]),
    ],
)
def test_columns_that_do_not_agree_are_refused(tmp_path, columns, pictures):
    with pytest.raises(SordineError, match=r"captions for columns of \[.*\] pictures") as error:
        contact_sheet(tmp_path / "a.png", columns, pictures)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
