"""Sheets of pictures: what they show, what they leave out, and that what is shown is what is released."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sordine.attacks.results import ReconstructionFinding
from sordine.cli.app import main
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report import Sheet
from sordine.evaluation.report_json import from_json, read_report, to_json
from sordine.evaluation.sections.reconstruction import above
from sordine.evaluation.sections.sheets import SHEET_BYTES, reconstruction_sheet, sheets, with_class
from sordine.keys import Key
from sordine.methods.registry import load
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.report_example import COLOURS, example, squares, with_pictures

POLICY, KEY = Policy(("colour",), ("shape",)), Key.of_seed(4)


class Fade(Modifier):
    """x' = half the record and half the grey that its noise says; pictures of both halves, and a mask."""

    noise = 2

    def __init__(self, shape: tuple[int, ...] = (3, 16, 16)) -> None:
        super().__init__()
        self.card = Card("fade", {}, {}, {"shape": list(shape)})

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        return Release(x / 2 + 127 * noise[:, :1, None, None])

    def pictures(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        return {"filtered": x / 2, "s' = red": self(x, noise).x, "mask": 255.0 * (x.mean(1, keepdim=True) > 60)}


def released(table: Table, key: Key = KEY) -> Table:
    """As a working copy is: whole grey levels, other order of rows."""
    noise = torch.from_numpy(key.uniform("release", table.ids, 2)).float()
    x = Fade()(torch.from_numpy(table.x).float(), noise).x.numpy()
    return table.with_x(np.rint(x).astype(np.uint8)).take(np.arange(len(table))[::-1])


def pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


def shrunk(png: str) -> np.ndarray:
    """(16, 16, ...) again: every pixel stands 6 x 6 times."""
    large = pixels(png)
    assert large.shape[:2] == (96, 96)
    small = large[::6, ::6]
    assert (np.repeat(np.repeat(small, 6, 0), 6, 1) == large).all()
    return small


def only(found: tuple[Sheet, ...]) -> Sheet:
    assert len(found) == 1
    return found[0]


def test_every_cell_shows_what_its_caption_says() -> None:
    table = squares()
    after = released(table)
    sheet = only(sheets(Fade(), KEY, table, after, policy=POLICY))
    assert sheet.columns == ("original", "filtered", "s' = red", "mask", "released")
    assert len(sheet.rows) == len(sheet.captions) == 8
    assert "another draw" not in sheet.note
    originals = np.moveaxis(table.x, 1, -1)
    positions = []
    for row, caption in zip(sheet.rows, sheet.captions, strict=True):
        original, filtered, drawn, mask, out = map(shrunk, row)
        at = int(np.abs(originals.astype(int) - original).reshape(len(table), -1).sum(1).argmin())
        assert (originals[at] == original).all()
        assert caption == "\n".join(f"{a} {table.classes[a][table.y[a][at]]}" for a in ("colour", "shape"))
        assert np.abs(filtered - original / 2.0).max() <= 1
        assert (out == np.moveaxis(after.x[list(after.ids).index(table.ids[at])], 0, -1)).all()
        assert np.abs(drawn.astype(int) - out).max() <= 1
        assert set(np.unique(mask)) == {0, 255}
        positions.append(at)
    assert len(set(positions)) == 8
    assert not table.split[positions].any()
    assert np.bincount(table.y["shape"][positions]).tolist() == [4, 4]


def test_without_originals_neither_them_nor_their_classes_are_shown() -> None:
    table = squares()
    sheet = only(sheets(Fade(), KEY, table, released(table), policy=POLICY, originals=False))
    assert sheet.columns == ("filtered", "s' = red", "mask", "released")
    assert sheet.captions == ()
    assert all(len(row) == 4 for row in sheet.rows)
    assert "left out" in sheet.note
    page = to_html(replace(example(), sheets=(sheet,)))
    assert 'alt="released: record 1"' in page
    assert not [name for name in COLOURS if f"colour {name}" in page]


def test_another_key_is_noted() -> None:
    table = squares()
    sheet = only(sheets(Fade(), Key.of_seed(9), table, released(table), policy=POLICY))
    assert "another draw" in sheet.note


def test_without_modifier_or_key_original_and_released_are_shown() -> None:
    table = squares()
    messages: list[str] = []
    for modifier in (None, Fade()):
        sheet = only(sheets(modifier, None, table, released(table), policy=POLICY, run=Run(log=messages.append)))
        assert sheet.columns == ("original", "released")
    assert len(messages) == 1
    assert "key" in messages[0]
    alone = only(sheets(Fade(), KEY, table, None, policy=POLICY))
    assert alone.columns[-1] == "released"
    assert alone.rows == only(sheets(Fade(), KEY, table, released(table), policy=POLICY)).rows


def test_what_is_no_picture_has_no_sheet() -> None:
    table = squares()
    after = released(table)
    messages: list[str] = []
    assert (
        sheets(
            None,
            KEY,
            table,
            after.with_x(np.zeros((len(table), 7), np.float32)),
            policy=POLICY,
            run=Run(log=messages.append),
        )
        == ()
    )
    assert "(7,)" in messages[0]
    floats = table.with_x(table.x.astype(np.float32))
    assert only(sheets(None, KEY, floats, after, policy=POLICY)) == only(sheets(None, KEY, table, after, policy=POLICY))
    for x in (floats.x / 255, floats.x - 50, floats.x[:, :2]):  # 0 to 1; standardised; two channels
        assert sheets(None, KEY, table.with_x(x), table.with_x(x), policy=POLICY) == ()
    assert sheets(None, KEY, table, None, policy=POLICY) == ()
    strangers = replace(after, ids=np.array([f"x{i}" for i in range(len(after))], object))
    assert sheets(None, KEY, table, strangers, policy=POLICY) == ()


def test_a_heavy_sheet_is_made_smaller() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (24, 3, 200, 160), dtype=np.uint8)
    table = Table.of(x, {"colour": ["a", "b"] * 12, "shape": ["c", "d"] * 12})

    class Many(Fade):
        def pictures(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
            return {f"s' = {i}": x for i in range(30)}

    sheet = only(sheets(Many((3, 200, 160)), KEY, table, None, policy=POLICY))
    assert len(sheet.columns) == 14
    assert "30" in sheet.note
    assert len(sheet.rows) == len(sheet.captions) >= 1
    assert sum(len(base64.b64decode(png)) for row in sheet.rows for png in row) <= SHEET_BYTES
    assert pixels(sheet.rows[0][0]).shape[0] in (96, 72, 48)
    assert (
        len(to_html(replace(example(attributes=30, points=600, classes=100), sheets=(sheet, sheet))).encode())
        < 2_000_000
    )


def test_reconstructions_stand_beside_their_originals() -> None:
    table = squares()
    ids = table.ids[[5, 20, 7, 30]]
    made = {"decoder": 255 - table.x[[5, 20, 7, 30]].astype(np.float32), "white-box": table.x[[5, 20, 7, 30]]}
    sheet = reconstruction_sheet(table, ids, made, POLICY)
    assert sheet.columns == ("original", "rebuilt: decoder", "rebuilt: white-box")
    assert len(sheet.rows) == 4
    assert sheet.rows[0] != sheet.rows[1]
    for original, inverse, same in sheet.rows:
        assert same == original
        assert (255 - pixels(inverse) == pixels(original)).all()
    hidden = reconstruction_sheet(table, ids, made, POLICY, originals=False)
    assert hidden.columns == ("rebuilt: decoder", "rebuilt: white-box")
    assert hidden.captions == ()
    with pytest.raises(SordineError, match="no record 'gone'"):
        reconstruction_sheet(table, ["gone"], {"decoder": table.x[:1]}, POLICY)
    with pytest.raises(SordineError, match=r"'decoder'.* shape \(3, 3, 16, 16\)"):
        reconstruction_sheet(table, ids, {"decoder": table.x[:3]}, POLICY)


def test_json_round_trip_and_older_reports() -> None:
    report = with_pictures()
    assert from_json(to_json(report)) == report
    raw = json.loads(to_json(report))
    del raw["sheets"], raw["reconstruction"]
    old = from_json(json.dumps(raw))
    assert old.sheets == ()
    assert old.reconstruction == ()
    assert old == replace(report, sheets=(), reconstruction=())


def test_the_page_says_how_far_above_the_mean_picture_a_decoder_comes() -> None:
    page = to_html(with_pictures())
    assert "4.3 dB above that of the mean picture" in page
    assert "1.0 dB below that of the mean picture" in page
    assert "img-src data:" in page
    assert page.count("<img alt=") == 12
    assert 'alt="filtered: speaker 0; word &lt;0&gt;"' in page
    without = to_html(example())
    assert 'id="sheets"' not in without
    assert 'id="reconstruction"' not in without
    assert "data:image" not in without


@pytest.mark.slow
def test_audit_adds_the_sheet_by_itself(tmp_path: Path) -> None:
    table = squares(n=160, size=8)
    table.with_x(table.x.astype(np.float32)).write(tmp_path / "t.parquet")
    t, m, x = (str(tmp_path / name) for name in ("t.parquet", "m", "x.parquet"))
    assert main(["fit", t, "-s", "colour", "-p", "shape", "-m", "noise", "--set", "sigma=0.5", "-o", m, "-q"]) == 0
    assert main(["transform", m, t, "-o", x, "-q"]) == 0
    words = ["audit", t, x, "--modifier", m, "--family", "logistic", "--setting", "A", "--no-pretrained", "-q"]
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    assert main([*words, "-o", str(page), "--json", str(data)]) == 0
    sheet = only(read_report(data).sheets)
    assert sheet.columns == ("original", "released")
    assert len(sheet.rows) == 8
    assert "another draw" not in sheet.note
    assert page.read_text().count("data:image/png;base64,") == 16
    assert main([*words, "--no-originals", "--force", "--json", str(data)]) == 0
    assert only(read_report(data).sheets).columns == ("released",)
    assert load(m).card.method == "noise"


def test_a_job_adds_the_sheet_too(tmp_path: Path) -> None:
    table = squares(n=160, size=8)
    table.with_x(table.x.astype(np.float32)).write(tmp_path / "t.parquet")
    (tmp_path / "job.yaml").write_text(
        "source: t.parquet\nmethod: nothing\npolicy: {suppress: colour, preserve: shape}\nrelease: false\nout: out\n"
        "audit: {families: [logistic], settings: [A], pretrained: false}\n"
    )
    main(["run", str(tmp_path / "job.yaml"), "-q"])
    sheet = only(read_report(tmp_path / "out" / "report.json").sheets)
    assert sheet.columns == ("original", "released")
    assert all(original == out for original, out in sheet.rows)


def test_classes_that_are_put_in_stand_by_their_names():
    table = Table.of(np.zeros((4, 1)), {"sex": ["f", "m", "f", "m"], "age": ["old", "young", "old", "young"]})
    one, two = Policy(("sex",)), Policy(("sex", "age"))
    assert with_class("s' = 1", one, table) == "s' = m"
    assert with_class("age: s' = 0", two, table) == "age: s' = old"
    for name in ("filtered", "s' = 7", "nobody: s' = 0"):
        assert with_class(name, one, table) == name
    assert with_class("s' = 0", two, table) == "s' = 0"


def test_a_reconstruction_is_compared_with_the_mean_picture_and_no_more() -> None:
    f = ReconstructionFinding("decoder", 14.5, 0.30, 12.0, 0.25)
    sentences = [above(replace(f, psnr=psnr, ssim=ssim)) for psnr, ssim in ((14.5, 0.3), (9.0, 0.2), (12.04, 0.25))]
    assert "2.5 dB above that of the mean picture (14.5 dB; mean picture: 12.0 dB). The SSIM is higher" in sentences[0]
    assert "3.0 dB below that of the mean picture (9.0 dB; mean picture: 12.0 dB). The SSIM is not" in sentences[1]
    assert "not above that of the mean picture" in sentences[2]
    assert "last bit" in above(replace(f, psnr=None))
