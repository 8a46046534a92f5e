"""Pictures, from a folder to what leaves the house: uint8 all the way, and the same way as any other table."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import shlex
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

from sordine.cli.app import main
from sordine.data.files import sha256
from sordine.data.layouts.registry import open_media
from sordine.data.statistics import moments
from sordine.data.table import Rows, Table, are_pictures
from sordine.data.table_io import rows_at_once
from sordine.errors import SordineError
from sordine.features.augmentation.raw_views import raw_views
from sordine.features.extract import ExtractOptions, extract
from sordine.features.registry import make_extractor
from sordine.keys import Key
from sordine.methods.base import input_of
from sordine.methods.fit import fit
from sordine.methods.registry import load, make
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.masks import file_names
from sordine.workflow.release.manifest import links_beside
from sordine.workflow.release.media import release_pictures
from sordine.workflow.release.table import release
from sordine.workflow.transform import TransformOptions, transform, transform_file
from tests.methods.test_methods import unbound

KEY = Key.of_seed(0)
POLICY = Policy(("colour",), ("side",), ())
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 230)}
DATA = os.environ.get("SORDINE_DATA")


def squares(records: int = 48, side: int = 16, seed: int = 0) -> Table:
    """Coloured squares in the left or right half of a noisy grey ground: (n, 3, side, side) uint8."""
    rng = np.random.default_rng(seed)
    x = rng.integers(90, 140, (records, 3, side, side)).astype(np.uint8)
    colours = [list(COLOURS)[i % 3] for i in range(records)]
    sides = [("left", "right")[i // 3 % 2] for i in range(records)]
    edge = side // 4
    for i in range(records):
        left = 1 if sides[i] == "left" else side // 2 + 1
        x[i, :, edge : 3 * edge, left : left + edge] = np.array(COLOURS[colours[i]])[:, None, None]
    x[:, :, 0, 0], x[:, :, 0, 1] = 0, 255  # both ends of the scale: where sums and differences of uint8 would wrap
    ids = [f"data/{i:03d}.png" for i in range(records)]
    return Table.of(x, {"colour": colours, "side": sides}, ids=ids)


def folder_of(table: Table, folder: Path) -> Path:
    """The same as a media folder."""
    (folder / "data").mkdir(parents=True)
    for name, x in zip(table.ids, table.x, strict=True):
        Image.fromarray(np.moveaxis(x, 0, -1)).save(folder / name)
    with open(folder / "metadata.csv", "w", newline="") as file:
        rows = zip(table.ids, *([table.classes[n][c] for c in table.y[n]] for n in table.y), strict=True)
        csv.writer(file).writerows([("file_name", *table.y), *rows])
    return folder


class Masking(Modifier):
    """Keeps what is brighter than 128 in the first channel. Blocks of five."""

    block = 5

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        assert len(x) == self.block
        mask = (x[:, :1] / 255).clamp(0, 1)
        return Release(x * (mask > 0.5), mask=mask)


class Bright(Modifier):
    """x' = 2 x + 0.6: beyond what a pixel holds, and between whole numbers."""

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        return Release(2 * x + 0.6)


class Pooled(Modifier):
    """Each channel's mean: a representation, no picture."""

    block = 7

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        return Release(x.mean((2, 3)) / 255)


def ready(kind: type[Modifier], table: Table, **output: Any) -> Modifier:
    modifier = kind()
    policy = {"suppress": ["colour"], "preserve": ["side"]}
    modifier.card = Card("nothing", {}, policy, input_of(table), output=output, key=KEY.fingerprint)
    modifier.fitted = KEY.digest("fitted", table.ids[: len(table) // 2], 8)
    return modifier


# --------------------------------------------------------------------------------------------------------- the table


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_stay_bytes_in_files_in_memory_and_mapped(tmp_path, monkeypatch, channels):
    table = squares()
    table = table.with_x(table.x[:, :channels])
    assert table.pictures
    table.write(tmp_path / "t.parquet")
    assert pq.read_schema(tmp_path / "t.parquet").field("x").type == pa.fixed_shape_tensor(
        pa.uint8(), (channels, 16, 16)
    )
    # a pixel takes about a byte there, though Parquet has no number under 32 bits
    assert (tmp_path / "t.parquet").stat().st_size < 1.3 * table.x.nbytes + 4000
    here = Table.read(tmp_path / "t.parquet")
    assert here.x.dtype == np.uint8
    assert (here.x == table.x).all()
    assert here.batch(slice(0, 3)).dtype == torch.float32
    assert here.flat().dtype == np.float32
    assert here.flat().max() == 255
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SORDINE_MEMORY", str(table.x.nbytes))
    assert not isinstance(Table.read(tmp_path / "t.parquet").x, np.memmap), "one byte a number, not four"
    monkeypatch.setenv("SORDINE_MEMORY", str(table.x.nbytes - 1))
    mapped = Table.read(tmp_path / "t.parquet")
    assert isinstance(mapped.x, np.memmap)
    assert mapped.x.dtype == np.uint8
    some = mapped.take(np.array([5, 3, 40]))
    assert isinstance(some.x, Rows)
    assert some.pictures
    assert (np.asarray(some.x) == table.x[[5, 3, 40]]).all()


def test_only_tensors_of_one_or_three_channels_are_pictures(tmp_path):
    assert are_pictures((3, 8, 8), np.uint8)
    assert not are_pictures((3, 8, 8), np.float32)
    assert not are_pictures((2, 8, 8), np.uint8)
    assert not are_pictures((3, 8), np.uint8)
    whole = np.arange(4 * 12, dtype=np.uint8).reshape(4, 12)
    flat = pa.array(whole.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, 12)

    def tensor(shape: tuple[int, ...]) -> pa.Array:
        return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), shape), lists)

    for name, column in {"lists": lists, "plane": tensor((3, 4)), "four": tensor((2, 2, 3))}.items():
        pq.write_table(pa.table({"x": column}), tmp_path / f"{name}.parquet")
        table = Table.read(tmp_path / f"{name}.parquet")
        assert table.x.dtype == np.float32, name
        assert (table.flat() == whole).all()
    # a uint8 array that is no picture is written as float32, as it always was
    Table.of(whole, {}).write(tmp_path / "vectors.parquet")
    assert Table.read(tmp_path / "vectors.parquet").x.dtype == np.float32


def test_a_picture_that_lacks_a_pixel_is_named(tmp_path):
    values = pa.array([*range(12), *range(7), None, *range(4)], pa.uint8())
    lists = pa.FixedSizeListArray.from_arrays(values, 12)
    column = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.uint8(), (3, 2, 2)), lists)
    pq.write_table(pa.table({"x": column}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match=r"'x' .* row 1"):
        Table.read(tmp_path / "t.parquet")


def test_wide_records_are_read_fewer_at_a_time_and_share_row_groups(tmp_path):
    assert rows_at_once((10,)) == 8192
    assert rows_at_once((3, 224, 224)) == 111
    assert rows_at_once((10**9,)) == 1
    table = squares()
    table.write(tmp_path / "t.parquet")
    transform_file(ready(Masking, table), tmp_path / "t.parquet", tmp_path / "r.parquet", key=KEY)
    assert pq.ParquetFile(tmp_path / "r.parquet").metadata.num_row_groups == 1, "not one for each block of five"


# --------------------------------------------------------------------------------------------------------- extract


def test_a_folder_becomes_a_table_of_its_pixels(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    table = squares()
    folder = folder_of(table, tmp_path / "media")
    made = extract(folder, "pictures", tmp_path / "t.parquet", options={"size": "16"})
    assert (made.rows, made.width, made.fitted) == (48, 3 * 16 * 16, None)
    read = Table.read(tmp_path / "t.parquet")
    assert (read.x == table.x).all(), "at their own size, the very pixels"
    assert read.ids.tolist() == table.ids.tolist()
    assert read.attributes == ("colour", "side")
    note = json.loads(pq.read_schema(tmp_path / "t.parquet").metadata[b"sordine.extract"])
    assert (note["extractor"], note["shape"]) == ("pictures", [3, 16, 16])
    assert [p.name.partition("-")[0] for p in (tmp_path / "cache").iterdir()] == ["media"], "decoded once, and kept"
    extract(folder, "pictures", tmp_path / "grey.parquet", options={"height": "8", "width": "12", "grey": "true"})
    grey = Table.read(tmp_path / "grey.parquet")
    assert (grey.shape, grey.x.dtype) == ((1, 8, 12), np.uint8)
    with pytest.raises(SordineError, match="raw views need"):
        raw_views(tmp_path / "t.parquet", folder)


def test_bad_pictures_and_options(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    folder = folder_of(squares(12), tmp_path / "media")
    (folder / "data/004.png").write_bytes(b"no picture")
    with pytest.raises(SordineError, match=r"004\.png cannot be decoded.*--skip-bad"):
        extract(folder, "pictures", tmp_path / "t.parquet")
    assert not (tmp_path / "t.parquet").exists()
    made = extract(folder, "pictures", tmp_path / "t.parquet", ExtractOptions(skip_bad=True))
    assert (made.rows, made.skipped[0][0]) == (11, "data/004.png")
    assert "data/004.png" not in Table.read(tmp_path / "t.parquet").ids
    for options, message in (
        ({"size": "0"}, "size = '0'"),
        ({"height": "2000"}, "height = '2000'"),
        ({"sise": "3"}, "no option 'sise'"),
        ({"size": "big"}, "size = 'big'"),
    ):
        with pytest.raises(SordineError, match=message):
            make_extractor("pictures", options)
    assert make_extractor("pictures", {"size": "1024"}).block == 5


# -------------------------------------------------------------------------------------------------------- modifiers


def test_released_pictures_are_whole_numbers_within_the_scale():
    table = squares()
    modifier = ready(Bright, table)
    assert modifier.card.input["dtype"] == "uint8"
    x, _ = modifier.release(table.x, table.ids, KEY)
    assert x.dtype == np.uint8
    assert (x == np.clip(np.rint(2.0 * table.x.astype(np.float32) + np.float32(0.6)), 0, 255)).all()
    assert x[0, 0, 0, 0] == 1
    assert x[0, 0, 0, 1] == 255
    # the same pictures as float32 are accepted, and give the same
    assert (modifier.release(table.x.astype(np.float32), table.ids, KEY)[0] == x).all()
    # fitted on float32, nothing is rounded
    floats = table.with_x(table.x.astype(np.float32))
    assert input_of(floats)["dtype"] == "float32"
    assert ready(Bright, floats).release(table.x, table.ids, KEY)[0].dtype == np.float32


def test_a_block_is_of_the_modifiers_size_and_changes_no_bit(tmp_path):
    table = squares(23)
    modifier = ready(Masking, table)
    x, _ = modifier.release(table.x, table.ids, KEY)
    alone = np.concatenate(
        [modifier.release_block(table.x[i : i + 1], table.ids[i : i + 1], KEY)[0] for i in range(23)]
    )
    assert (x == alone).all()
    table.write(tmp_path / "t.parquet")
    for workers in (1, 3):
        transform_file(
            modifier, tmp_path / "t.parquet", tmp_path / f"r{workers}.parquet", key=KEY, run=Run(workers=workers)
        )
    assert (tmp_path / "r1.parquet").read_bytes() == (tmp_path / "r3.parquet").read_bytes()
    assert (Table.read(tmp_path / "r1.parquet").x == x).all()


def test_a_representation_has_its_own_shape(tmp_path):
    table = squares(20)
    modifier = ready(Pooled, table, shape=[3], dtype="float32")
    table.write(tmp_path / "t.parquet")
    transform_file(modifier, tmp_path / "t.parquet", tmp_path / "z.parquet", key=KEY)
    z = Table.read(tmp_path / "z.parquet")
    assert (z.shape, z.x.dtype) == ((3,), np.float32)
    assert np.allclose(z.x, table.x.mean((2, 3)) / 255, atol=1e-5)
    assert (transform(modifier, table, KEY).x == z.x).all()
    release(tmp_path / "z.parquet", tmp_path / "out", key=KEY)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["columns"]["x"] == "float32 [3]"
    with pytest.raises(SordineError, match=r"\(3,\).*\(3, 16, 16\)"):
        ready(Pooled, table).release(table.x, table.ids, KEY)


def test_a_pixel_that_is_not_finite_is_not_made_black():
    class Broken(Modifier):
        def forward(self, x: Tensor, noise: Tensor) -> Release:
            return Release(torch.where(x == 255, torch.nan, x))

    table = squares(8)
    table.x[:3, :, 0, 1] = 7
    with pytest.raises(SordineError, match=r"after the modifier: record 'data/003\.png'"):
        ready(Broken, table).release(table.x, table.ids, KEY)


def test_a_card_without_an_output_is_read_and_a_wrong_one_refused(tmp_path):
    table = squares(12)
    fit(table, POLICY, "nothing", run=Run(key=KEY)).save(tmp_path / "m")
    unbound(tmp_path / "m")
    card = json.loads((tmp_path / "m/modifier.json").read_text())
    assert card.pop("output") == {}
    (tmp_path / "m/modifier.json").write_text(json.dumps(card))
    assert load(tmp_path / "m").output_shape == (3, 16, 16)
    for wrong in ({"shape": []}, {"shape": [0]}, {"dtype": "float32"}, {"shape": [3], "dtype": "object"}):
        (tmp_path / "m/modifier.json").write_text(json.dumps(card | {"output": wrong}))
        with pytest.raises(SordineError, match=r"modifier\.json is damaged"):
            load(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nothing", {}),
        ("noise", {"sigma": 0.5}),
        ("leace", {}),
        ("substitution", {"epochs": 2, "batch": 16, "hidden": 16, "size": 8, "substitutes": 12}),
        ("mass", {"epochs": 2, "classifier_epochs": 2, "agnostic_epochs": 2, "hidden": (16, 8, 16)}),
    ],
)
def test_every_method_takes_pictures_and_gives_pictures(tmp_path, name, settings):
    table = squares(60, side=8)
    modifier = fit(table, POLICY, make(name, settings), run=Run(key=KEY))
    modifier.save(tmp_path / "m")
    table.write(tmp_path / "t.parquet")
    transform_file(load(tmp_path / "m"), tmp_path / "t.parquet", tmp_path / "r.parquet", key=KEY)
    released = Table.read(tmp_path / "r.parquet")
    assert released.pictures
    assert (released.x == transform(modifier, table, KEY).x).all()
    moved = np.abs(released.x.astype(int) - table.x).mean()
    assert (moved == 0) == (name == "nothing")
    if name == "substitution":
        pool = {x.tobytes() for x in table.x}
        assert all(x.tobytes() in pool for x in released.x), "real pictures, to the last bit"


def test_statistics_of_bytes_do_not_wrap():
    table = squares(40)
    mean, spread = moments(table.x)
    flat = table.x.reshape(40, -1).astype(np.float64)
    assert np.allclose(mean, flat.mean(0))
    assert np.allclose(spread, flat.std(0))
    assert mean[1] == 255


# ------------------------------------------------------------------------------------------------------------ masks


def test_masks_are_grey_pictures_beside_the_working_copy(tmp_path):
    table = squares(12)
    table.write(tmp_path / "t.parquet")
    masks = tmp_path / "masks"
    given: dict[str, Any] = {"key": KEY, "options": TransformOptions(masks=masks)}
    transform_file(ready(Masking, table), tmp_path / "t.parquet", tmp_path / "r.parquet", run=Run(workers=3), **given)
    with open(masks / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == table.ids.tolist()
    assert len({row["file_name"] for row in rows}) == 12
    for row, x in zip(rows, table.x, strict=True):
        image = Image.open(masks / row["file_name"])
        assert (image.mode, image.format, image.info) == ("L", "PNG", {})
        assert (np.asarray(image) == x[0]).all(), "its mask is its first channel"
    assert len(open_media(masks)) == 12
    # forced, an earlier folder of masks is replaced; anything else never is
    with pytest.raises(SordineError, match="--force"):
        transform_file(ready(Masking, table), tmp_path / "t.parquet", tmp_path / "r2.parquet", **given)
    transform_file(ready(Masking, table), tmp_path / "t.parquet", tmp_path / "r.parquet", force=True, **given)
    (masks / "mine.txt").write_text("mine")
    with pytest.raises(SordineError, match="not replaced"):
        transform_file(ready(Masking, table), tmp_path / "t.parquet", tmp_path / "r.parquet", force=True, **given)
    assert (masks / "mine.txt").read_text() == "mine"


def test_masks_of_a_modifier_without_any_leave_nothing(tmp_path):
    table = squares(12)
    table.write(tmp_path / "t.parquet")
    modifier = ready(Bright, table)
    with pytest.raises(SordineError, match="gives no masks"):
        transform_file(
            modifier,
            tmp_path / "t.parquet",
            tmp_path / "r.parquet",
            key=KEY,
            options=TransformOptions(masks=tmp_path / "m"),
        )
    with pytest.raises(SordineError, match="lie within each other"):
        transform_file(
            modifier,
            tmp_path / "t.parquet",
            tmp_path / "m/r.parquet",
            key=KEY,
            options=TransformOptions(masks=tmp_path / "m"),
        )
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_file_names_are_safe_and_tell_ids_apart():
    named = file_names(["row-0000001", "one.png", "data/two.PNG", "three.jpg"], ".png")
    assert list(named.values()) == ["row-0000001.png", "one.png", "data_two.png", "three.jpg.png"]
    assert file_names(["a", "b.png"], ".png") == {"a": "a.png", "b.png": "b.png"}
    odd = ["a/b", "a:b", "a_b", "../a", "", ".", "..", "é", "x" * 500, "x" * 501, "-rf", "a\0b", ".png", "record"]
    odd += [
        "a",
        "a.png",
        "A.png",
        "a.png.png",
        "b",
        *(n.removesuffix(".png") for n in file_names(["b", "B"], ".png").values()),
    ]
    names = list(file_names(odd, ".png").values())
    assert len({name.lower() for name in names}) == len(odd)
    for name in names:
        assert name[0] not in ".-~"
        assert not set(name) & set("/\\:\0")
        assert len(name) < 200
        assert name.endswith(".png")
    assert file_names(odd[::-1], ".png") == file_names(odd, ".png")


def test_masks_of_ids_that_look_alike_are_all_there(tmp_path):
    table = squares(6)
    ids = np.array(["x", "x.png", "X.png", "y.png", "a/b", "a_b"], dtype=object)
    dataclasses.replace(table, ids=ids).write(tmp_path / "t.parquet")
    masks = tmp_path / "masks"
    made = ready(Masking, table)
    made.block = 2  # names are told apart across blocks
    transform_file(made, tmp_path / "t.parquet", tmp_path / "r.parquet", key=KEY, options=TransformOptions(masks=masks))
    with open(masks / "metadata.csv", newline="") as file:
        rows = {row["id"]: row["file_name"] for row in csv.DictReader(file)}
    assert list(rows) == list(ids)
    assert rows["y.png"] == "y.png"
    assert {p.name for p in masks.iterdir()} == {"metadata.csv", *rows.values()}
    for name, x in zip(ids, table.x, strict=True):
        assert (np.asarray(Image.open(masks / rows[name])) == x[0]).all()


# ---------------------------------------------------------------------------------------------------------- release


def transformed(tmp_path: Path, kind: type[Modifier] = Bright, records: int = 30) -> tuple[Table, Path]:
    table = squares(records)
    table.write(tmp_path / "t.parquet")
    output = {"shape": [3], "dtype": "float32"} if kind is Pooled else {}
    transform_file(ready(kind, table, **output), tmp_path / "t.parquet", tmp_path / "r.parquet", key=KEY)
    return table, tmp_path / "r.parquet"


def test_pictures_leave_as_files_with_nothing_of_their_past(tmp_path):
    table, working = transformed(tmp_path)
    done = release_pictures(working, tmp_path / "out", key=KEY)
    links = pq.read_table(links_beside(tmp_path / "out")).to_pydict()
    whose = dict(zip(links["pseudonym"], links["id"], strict=True))
    assert stat.S_IMODE(links_beside(tmp_path / "out").stat().st_mode) == 0o600
    with open(tmp_path / "out/metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file_name", "split", "side"] == list(done.columns)
    assert [Path(r["file_name"]).stem for r in rows] == [
        KEY.pseudonyms(table.ids)[i] for i in KEY.order("release order", table.ids)
    ]
    after = dict(zip(table.ids, Table.read(working).x, strict=True))
    side = dict(zip(table.ids, [table.classes["side"][c] for c in table.y["side"]], strict=True))
    for row in rows:
        path = tmp_path / "out" / row["file_name"]
        name = whose[path.stem]
        image = Image.open(path)
        assert image.info == {}
        assert (np.moveaxis(np.asarray(image), -1, 0) == after[name]).all()
        assert row["side"] == side[name]
        assert path.stat().st_mtime == 315532800
        assert done.manifest["files"][row["file_name"]] == {"sha256": sha256(path), "bytes": path.stat().st_size}
    assert (done.manifest["media"], done.manifest["size"], done.manifest["rows"]) == ("image", "3 x 16 x 16", 30)
    assert done.manifest["columns"] == {"file_name": "string", "split": "string", "side": "string"}
    text = "".join(p.read_text() for p in (tmp_path / "out").glob("*.*"))
    assert not [name for name in table.ids if name in text]
    assert "green" not in text
    assert len(open_media(tmp_path / "out")) == 30
    with pytest.raises(SordineError, match="exists; use --force"):
        release_pictures(working, tmp_path / "out", key=KEY)
    again = release_pictures(working, tmp_path / "out", key=KEY, force=True, run=Run(workers=1))
    assert again.manifest == done.manifest


def test_what_is_no_picture_is_not_released_as_one(tmp_path):
    _, working = transformed(tmp_path, Pooled)
    with pytest.raises(SordineError, match=r"its records are float32 \[3\], not pictures"):
        release_pictures(working, tmp_path / "out", key=KEY)
    with pytest.raises(SordineError, match="was not written by sordine transform"):
        release_pictures(tmp_path / "t.parquet", tmp_path / "out", key=KEY)
    assert not (tmp_path / "out").exists()
    assert not links_beside(tmp_path / "out").exists()


def test_released_as_a_table_pictures_stay_bytes(tmp_path):
    table, working = transformed(tmp_path)
    done = release(working, tmp_path / "out", key=KEY)
    assert done.manifest["columns"]["x"] == "uint8 [3 x 16 x 16]"
    out = Table.read(tmp_path / "out/table.parquet")
    assert out.pictures
    order = KEY.order("release order", table.ids)
    assert (out.x == Table.read(working).x[order]).all()


# ------------------------------------------------------------------------------------------------- the command line


def test_from_a_folder_to_released_files_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder_of(squares(40), tmp_path / "media")
    for words in (
        "extract media --extractor pictures --set size=12 -o t.parquet",
        "fit t.parquet -s colour -p side -m noise --set sigma=0.3 -o noisy",
        "transform noisy t.parquet -o r.parquet",
        "release r.parquet -o out --pictures",
    ):
        assert main(shlex.split(words)) == 0
    assert len(list((tmp_path / "out/data").glob("*.png"))) == 40
    capsys.readouterr()
    for words, message in (
        ("release r.parquet -o other --pictures --media media --table t.parquet", "--pictures"),
        ("transform noisy t.parquet -o r2.parquet --masks masks", "noise gives no masks"),
    ):
        assert main(shlex.split(words)) == 2
        said = capsys.readouterr().err.strip()
        assert message in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "r2.parquet").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["nothing", "noise"])
def test_a_job_on_pictures(tmp_path, monkeypatch, method):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    folder_of(squares(240, side=8), tmp_path / "media")
    job = {
        "source": "media",
        "extractor": "pictures",
        "options": {"size": 8},
        "policy": {"suppress": "colour", "preserve": "side"},
        "method": method,
        "audit": {"families": ["logistic"], "settings": ["A"], "folds": 2, "pretrained": False},
        "despite_findings": True,
        "pictures": method == "noise",
    }
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    assert main(["run", str(tmp_path / "job.yaml"), "--quiet"]) == 0
    out = tmp_path / "job-out"
    names = ("table", "transformed", *(["release/table"] if method == "nothing" else []))
    read = {name: Table.read(out / f"{name}.parquet") for name in names}
    assert len(list((out / "release" / "data").glob("*.png"))) == (240 if method == "noise" else 0)
    assert all(t.pictures for t in read.values())
    assert (read["table"].x == read["transformed"].x).all() == (method == "nothing")
    report = json.loads((out / "report.json").read_text())
    before = next(h["before"] for h in report["headlines"] if h["attribute"] == "colour")
    assert before > 0.8, "squares of three colours are told apart"
    written = (out / "transformed.parquet").stat().st_mtime_ns
    assert main(["run", str(tmp_path / "job.yaml"), "--quiet"]) == 0
    assert (out / "transformed.parquet").stat().st_mtime_ns == written, "done already"


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
@pytest.mark.parametrize(
    ("name", "options", "attribute"), [("utkface", {"size": "16"}, "gender"), ("yale_b", {"grey": "1"}, "person")]
)
def test_real_faces(tmp_path, monkeypatch, name, options, attribute):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    made = extract(Path(str(DATA)) / name, "pictures", tmp_path / "t.parquet", options=options)
    table = Table.read(tmp_path / "t.parquet")
    assert table.pictures
    assert made.width == math.prod(table.shape)
    assert attribute in table.attributes
    assert 40 < table.flat().mean() < 200
