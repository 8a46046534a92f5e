"""Labels that are numbers: -1 is a class like any other, and only what is missing is unlabelled."""

from __future__ import annotations

import importlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sordine.attacks.budget import Budget
from sordine.cli.app import main
from sordine.data.layouts.registry import open_media
from sordine.data.media.cache import Decoded
from sordine.data.table import Table, encode, is_missing
from sordine.estimator import Suppressor
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.features.encoder.extractor import Encoder
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.release.table import TABLE
from sordine.workflow.transform import transform, transform_file

RELEASE = importlib.import_module("sordine.workflow.release.table")
KEY = Key.of_seed(4)
VALUES = [-1, 0, 1, -1, None, 1]
CODES, CLASSES = [0, 1, 2, 0, -1, 2], ("-1", "0", "1")


@pytest.mark.parametrize("missing", [None, float("nan"), np.float32("nan"), np.datetime64("NaT"), pd.NA, pd.NaT, ""])
def test_only_what_is_missing_is_unlabelled(missing):
    assert is_missing(missing)
    codes, classes = encode([1, missing, -1, 0])
    assert codes.tolist() == [2, -1, 0, 1]
    assert classes == CLASSES


@pytest.mark.parametrize("value", [-1, np.int64(-1), -1.0, "-1", 0, False, " ", "None", "nan"])
def test_every_other_value_is_a_class(value):
    assert not is_missing(value)
    codes, classes = encode([value, None])
    assert codes.tolist() == [0, -1]
    assert classes == (str(value),)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.int64, np.float32])
def test_arrays_of_numbers(kind):
    table = Table.of(np.zeros((4, 1)), {"a": np.array([1, -1, 0, -1], kind)})
    assert table.y["a"].tolist() == [2, 0, 1, 0]
    assert [float(c) for c in table.classes["a"]] == [-1, 0, 1]


def test_two_classes_of_which_one_is_minus_one():
    table = Table.of(np.zeros((4, 1)), {"a": [-1, 1, -1, 1]})
    assert table.require(Policy(("a",))).suppress == ("a",)
    assert table.classes["a"] == ("-1", "1")


def test_the_constructor_takes_codes():
    table = Table(np.zeros((2, 1)), {"a": np.array([-1, 0])}, np.array(["a", "b"], object), {"a": ("x",)})
    assert table.y["a"].tolist() == [-1, 0]


X = pa.array([[float(i)] for i in range(6)], pa.list_(pa.float32(), 1))
COLUMNS = {
    "int8": pa.array(VALUES, pa.int8()),
    "int64": pa.array(VALUES, pa.int64()),
    "text": pa.array([None if v is None else str(v) for v in VALUES]),
    "dictionary": pa.array(VALUES, pa.int64()).dictionary_encode(),
}


@pytest.mark.parametrize("kind", [*COLUMNS, "csv"])
def test_files_and_back(tmp_path, kind):
    path = tmp_path / ("t.csv" if kind == "csv" else "t.parquet")
    if kind == "csv":
        rows = [f"{'' if v is None else v},{i}" for i, v in enumerate(VALUES)]
        path.write_text("\n".join(["a,x", *rows]) + "\n")
    else:
        pq.write_table(pa.table({"a": COLUMNS[kind], "x": X}), path)
    table = Table.read(path, ["x"])
    table.write(tmp_path / "again.parquet")
    for read in (table, Table.read(tmp_path / "again.parquet")):
        assert read.y["a"].tolist() == CODES
        assert read.classes["a"] == CLASSES


@pytest.mark.parametrize("kind", ["Int64", "Int8", "category", "object"])
def test_data_frames(kind):
    frame = pd.DataFrame({"x": np.arange(6.0), "a": pd.array(VALUES, kind if kind != "category" else "Int64")})
    frame["a"] = frame["a"].astype(kind)
    table = Table.from_pandas(frame, ["x"])
    assert table.y["a"].tolist() == CODES
    assert table.classes["a"] == CLASSES


def test_groups_of_minus_one_and_of_nothing_are_two(tmp_path):
    table = Table.of(np.zeros((6, 1)), {"a": list("uvuvuv")}, group=VALUES)
    assert table.group.tolist() == CODES
    table.write(tmp_path / "t.parquet")
    assert Table.read(tmp_path / "t.parquet").group.tolist() == CODES


def test_a_media_folder(tmp_path):
    (tmp_path / "m").mkdir()
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "m" / f"{i}.png")
    rows = [f"{i}.png,{'' if v is None else v}" for i, v in enumerate(VALUES)]
    (tmp_path / "m" / "metadata.csv").write_text("\n".join(["file_name,a", *rows]) + "\n")
    words = ["extract", str(tmp_path / "m"), "--extractor", "pictures", "-o", str(tmp_path / "t.parquet")]
    assert main(words) == 0
    table = Table.read(tmp_path / "t.parquet")
    assert table.y["a"].tolist() == CODES
    assert table.classes["a"] == CLASSES
    known = Decoded(table.x, np.ones(6, np.int64), np.arange(6), (), "image")
    learnt = Encoder(labels="a")._table(known, open_media(tmp_path / "m"), np.arange(6))
    assert learnt.y["a"].tolist() == CODES
    assert learnt.classes["a"] == CLASSES


# ------------------------------------------------------------------------------------------------------- end to end

POLICY = Policy(("mood",), ("word",))


@pytest.fixture
def moods(tmp_path):
    """A table file in which 40 % of the records have the class -1, which x tells, and 10 are unlabelled; the labels."""
    rng = np.random.default_rng(0)
    n = 600
    mood = np.repeat([-1, 0, 1], [240, 180, 180])
    rng.shuffle(mood)
    word = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[:, 0] += 4 * (mood == -1)
    x[:, 1] += 4 * (mood == 1)
    x[:, 5] += 4 * word
    labels = [None if i < 10 else int(v) for i, v in enumerate(mood)]
    columns = {
        "id": [f"r{i}" for i in range(n)],
        "split": ["test" if i % 4 == 0 else "train" for i in range(n)],
        "mood": pa.array(labels, pa.int64()),
        "word": pa.array(word * 2 - 1),  # -1 and 1
        "x": pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 6),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    return tmp_path / "t.parquet", labels


def test_records_of_minus_one_are_suppressed_and_counted(tmp_path, moods):
    path, labels = moods
    table = Table.read(path)
    assert np.bincount(table.y["mood"][table.y["mood"] >= 0]).tolist() == [labels.count(v) for v in (-1, 0, 1)]
    modifier = fit(table, POLICY, make("leace", {}), run=Run(key=KEY))
    before, after = table.flat(), transform(modifier, table, KEY).flat()
    of = np.array([v == -1 for v in labels]) & table.split
    others = np.array([v in (0, 1) for v in labels]) & table.split
    assert np.abs(before[of].mean(0) - before[others].mean(0)).max() > 3
    assert np.abs(after[of].mean(0) - after[others].mean(0)).max() < 1e-3
    transform_file(modifier, path, tmp_path / "r.parquet", key=KEY)
    released = Table.read(tmp_path / "r.parquet")
    assert released.classes == {"word": ("-1", "1")}
    budget = Budget.named("quick", families=("logistic",), settings=("A",), cloud=20)
    report = audit(
        table, released, POLICY, modifier=modifier, key=KEY, budget=budget, options=AuditOptions(pretrained=False)
    )
    (mood,) = [h for h in report.headlines if h.attribute == "mood"]
    tried = sum(v is not None for v, train in zip(labels, table.split, strict=True) if not train)
    assert mood.classes == 3
    assert mood.records % tried == 0
    assert mood.records >= tried
    assert mood.before > 0.8
    assert mood.after < 0.55
    (word,) = [h for h in report.headlines if h.attribute == "word"]
    assert word.classes == 2
    assert word.after > 0.9


def test_an_audit_finds_what_tells_the_class_minus_one_alone(moods):
    path, _ = moods
    table = Table.read(path)
    x = table.flat().copy()
    x[:, 1] = x[::-1, 1]  # nothing tells 0 from 1
    released = table.with_x(x)
    budget = Budget.named("quick", families=("logistic",), settings=("A",), cloud=20)
    report = audit(released, released, Policy(("mood",)), budget=budget, options=AuditOptions(pretrained=False))
    (mood,) = [h for h in report.headlines if h.attribute == "mood"]
    assert mood.after > mood.guess + 0.2
    assert report.verdict.level == "leaks"


def test_minus_one_leaves_as_it_came_in_a_kept_column(tmp_path, moods):
    path, _ = moods
    modifier = fit(Table.read(path), POLICY, make("leace", {}), run=Run(key=KEY))
    transform_file(modifier, path, tmp_path / "r.parquet", key=KEY)
    given, kept = pq.read_table(path), pq.read_table(tmp_path / "r.parquet")
    assert kept["word"].to_pylist() == given["word"].to_pylist()
    RELEASE.release(tmp_path / "r.parquet", tmp_path / "out", key=KEY)
    left = pq.read_table(tmp_path / "out" / TABLE)["word"].to_pylist()
    assert sorted(left) == sorted(given["word"].to_pylist())


@pytest.mark.parametrize("form", ["array", "frame"])
def test_the_transformer_takes_minus_one_as_a_class(form):
    rng = np.random.default_rng(0)
    y = np.repeat([-1, 1], 100)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    x[:, 0] += 3 * (y == -1)
    given = y if form == "array" else pd.DataFrame({"a": pd.array(y, "Int64")})
    out = Suppressor("leace", suppress="a", key=KEY).fit(x, given).transform(x)
    assert np.abs(out[y == -1].mean(0) - out[y == 1].mean(0)).max() < 1e-3
