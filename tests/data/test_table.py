from __future__ import annotations

import dataclasses
import hashlib
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from sordine.data import files
from sordine.data.mapped_array import MappedArray
from sordine.data.table import Rows, Table
from sordine.data.table_io import TableFile, feature_type
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.policy import Policy
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(0)


def same(a: Table, b: Table) -> None:
    assert (a.flat() == b.flat()).all()
    assert list(a.ids) == list(b.ids)
    assert a.classes == b.classes
    assert all((a.y[name] == b.y[name]).all() for name in a.y)


def test_a_table_goes_to_a_file_and_back(tmp_path):
    table = clusters(50).with_split(Policy(("person",)), KEY)
    table.write(tmp_path / "t.parquet")
    back = Table.read(tmp_path / "t.parquet")
    same(table, back)
    assert (back.split == table.split).all()


def test_a_table_larger_than_memory_is_mapped_once(tmp_path, monkeypatch):
    table = clusters(500)
    table.write(tmp_path / "t.parquet")
    monkeypatch.setenv("SORDINE_MEMORY", "100")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    mapped = Table.read(tmp_path / "t.parquet")
    assert isinstance(mapped.x, np.memmap)
    same(table, mapped)
    part = mapped.take(np.arange(0, 500, 7)).take(np.array([3, 1]))
    assert isinstance(part.x, Rows)
    assert (part.flat() == table.x[[21, 7]]).all()
    assert len(list((tmp_path / "cache").iterdir())) == 1
    Table.read(tmp_path / "t.parquet")
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.fixture
def mapping(tmp_path, monkeypatch):
    """Every table is larger than memory; the folder of the cache."""
    monkeypatch.setenv("SORDINE_MEMORY", "100")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


LONG = [f"feature-with-a-long-name-{i:03d}" for i in range(8)]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "other", [LONG[:5], [*LONG[:6], LONG[7]], [*LONG[:6], LONG[7], LONG[6]]], ids=["fewer", "another", "in-other-order"]
)
def test_a_mapped_table_has_the_features_that_were_asked_for(tmp_path, mapping, suffix, other):
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    frame = pa.table(dict(zip(LONG, x.T, strict=True)))
    path = tmp_path / f"t{suffix}"
    (csv.write_csv if suffix == ".csv" else pq.write_table)(frame, path)
    for asked in (LONG, other, LONG):
        table = Table.read(path, asked)
        assert isinstance(table.x, np.memmap)
        assert table.features == tuple(asked)
        np.testing.assert_array_equal(table.x, x[:, [LONG.index(name) for name in asked]])
    assert len(list(mapping.iterdir())) == 2, "each selection is made once"


def test_names_that_join_to_the_same_text_are_told_apart(tmp_path, mapping):
    x = np.arange(200, dtype=np.float32).reshape(50, 4)
    pq.write_table(pa.table(dict(zip(["a", "b-c", "a-b", "c"], x.T, strict=True))), tmp_path / "t.parquet")
    assert (Table.read(tmp_path / "t.parquet", ["a", "b-c"]).x == x[:, :2]).all()
    assert (Table.read(tmp_path / "t.parquet", ["a-b", "c"]).x == x[:, 2:]).all()


def test_a_table_that_changed_is_mapped_anew(tmp_path, mapping):
    for seed in (0, 1):
        table = clusters(100, seed=seed)
        table.write(tmp_path / "t.parquet", force=True)
        os.utime(tmp_path / "t.parquet", (0, 0))  # the content decides, not the time
        same(Table.read(tmp_path / "t.parquet"), table)


def _flip(data):
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: bytes(len(data)),
        _flip,
        lambda data: data[:-1],
        lambda data: data + b"0",
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
    ids=["empty", "zeroed", "other-bytes", "cut", "longer", "checksum"],
)
@pytest.mark.parametrize("check", [True, False])
def test_a_damaged_file_of_the_cache_is_made_again(tmp_path, mapping, damage, check):
    table = clusters(100)
    table.write(tmp_path / "t.parquet")
    Table.read(tmp_path / "t.parquet")
    (cached,) = mapping.iterdir()
    right = cached.read_bytes()
    cached.write_bytes(damage(right))
    assert (Table.read(tmp_path / "t.parquet", check=check).x == table.x).all()
    assert cached.read_bytes() == right
    assert list(mapping.iterdir()) == [cached]


def test_a_mapped_table_is_hashed_once_until_a_file_changes(tmp_path, mapping, monkeypatch):
    hashed: list[str] = []
    checksum, digest = MappedArray._checksum, hashlib.file_digest
    monkeypatch.setattr(MappedArray, "_checksum", lambda *given: hashed.append("array") or checksum(*given))
    monkeypatch.setattr(hashlib, "file_digest", lambda *given: hashed.append("table") or digest(*given))
    monkeypatch.setattr(files, "LARGE", 1)
    table = clusters(100)
    table.write(tmp_path / "t.parquet")
    Table.read(tmp_path / "t.parquet")
    (cached,) = mapping.iterdir()
    hashed.clear()
    Table.read(tmp_path / "t.parquet")
    assert sorted(hashed) == ["array", "table"], "both files are too new for their times to be trusted"
    monkeypatch.setattr(files, "SETTLED_NS", -(10**12))
    for _ in range(3):
        same(Table.read(tmp_path / "t.parquet"), table)
    assert sorted(hashed) == ["array", "array", "table", "table"]
    right = cached.read_bytes()
    cached.write_bytes(_flip(right))
    os.utime(cached, ns=(0, 10**9))
    same(Table.read(tmp_path / "t.parquet"), table)
    assert cached.read_bytes() == right
    other = clusters(100, seed=1)
    other.write(tmp_path / "t.parquet", force=True)
    os.utime(tmp_path / "t.parquet", ns=(0, 10**9))
    same(Table.read(tmp_path / "t.parquet"), other)


def test_a_file_of_the_cache_under_another_name_is_made_again(tmp_path, mapping):
    one, other = clusters(100, seed=0), clusters(100, seed=1)
    one.write(tmp_path / "a.parquet")
    other.write(tmp_path / "b.parquet")
    Table.read(tmp_path / "a.parquet")
    (first,) = mapping.iterdir()
    Table.read(tmp_path / "b.parquet")
    (second,) = set(mapping.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert (Table.read(tmp_path / "b.parquet").x == other.x).all()


def test_a_table_that_cannot_be_mapped_leaves_nothing(tmp_path, mapping):
    x = clusters(100).x.copy()
    x[90, 0] = np.nan
    Table.of(x, {}, check=False).write(tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="row 90"):
        Table.read(tmp_path / "t.parquet")
    assert list(mapping.iterdir()) == []
    assert np.isnan(Table.read(tmp_path / "t.parquet", check=False).x[90, 0])
    with pytest.raises(SordineError, match="row 90"):
        Table.read(tmp_path / "t.parquet")


def test_columns_find_their_roles(tmp_path):
    pq.write_table(
        pa.table(
            {
                "id": [7, 8, 9, 10],
                "colour": pa.array(["red", None, "blue", "red"]).dictionary_encode(),
                "old": [True, False, None, True],
                "age": [30, 40, 30, 40],
                "height": [1.7, 1.8, 1.9, 1.6],
                "group": ["a", "a", "b", "b"],
                "v": pa.array([[1, 2], [3, 4], [5, 6], [7, 8]], pa.list_(pa.float64())),
            }
        ),
        tmp_path / "t.parquet",
    )
    table = Table.read(tmp_path / "t.parquet")
    assert table.features == ("v",)
    assert table.shape == (2,)
    assert table.classes == {"colour": ("blue", "red"), "old": ("False", "True"), "age": ("30", "40")}
    assert table.y["colour"].tolist() == [1, -1, 0, 1]
    assert table.y["old"].tolist() == [1, 0, -1, 1]
    assert list(table.ids) == ["7", "8", "9", "10"]
    assert any("'height' is left out" in note for note in table.notes)
    assert table.group.tolist() == [0, 0, 1, 1]


def test_channels_and_csv(tmp_path):
    lists = pa.list_(pa.float32())
    pq.write_table(
        pa.table({"a": pa.array([[1, 2, 3]] * 4, lists), "b": pa.array([[4, 5, 6]] * 4, lists)}), tmp_path / "c.parquet"
    )
    with pytest.raises(SordineError, match="several list columns"):
        Table.read(tmp_path / "c.parquet")
    assert Table.read(tmp_path / "c.parquet", ["a", "b"]).x[0].tolist() == [[1, 2, 3], [4, 5, 6]]
    (tmp_path / "t.csv").write_text("id,f0,f1,word\nx,1,2.5,yes\ny,3,4.5,no\n")
    with pytest.raises(SordineError, match="no feature column"):
        Table.read(tmp_path / "t.csv")
    table = Table.read(tmp_path / "t.csv", ["f0", "f1"])
    assert table.x.tolist() == [[1, 2.5], [3, 4.5]]
    assert table.attributes == ("word",)
    assert Table.read(tmp_path / "t.csv", ["f*"]).features == ("f0", "f1")


def test_tensors_keep_their_shape(tmp_path):
    x = np.arange(48, dtype=np.float32).reshape(4, 3, 4)
    Table.of(x, {"a": list("uvuv")}).write(tmp_path / "t.parquet")
    back = Table.read(tmp_path / "t.parquet")
    assert back.shape == (3, 4)
    assert (back.x == x).all()
    assert feature_type((3, 4)).shape == [3, 4]


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"id": list("abcd"), "f0": [0.1, 0.2, 0.3, 0.4], "f1": [1.5, 2, 3, 4], "word": ["u", None, "v", "v"]}
    )
    table = Table.from_pandas(frame)
    assert table.features == ("f0", "f1")
    assert table.y["word"].tolist() == [0, -1, 1, 1]
    with pytest.raises(SordineError, match="no column 'f2'"):
        Table.from_pandas(frame, ["f2"])


@pytest.mark.parametrize("column", ["f0", "id"])
def test_a_frame_with_a_wrong_column_is_refused(column):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"id": list("abcd"), "f0": [0.1, 0.2, 0.3, 0.4], "word": list("uvuv")})
    frame[column] = ["a", "b", "c", None]
    with pytest.raises(SordineError, match={"f0": "must be numeric", "id": "'id' is empty in 1 rows"}[column]):
        Table.from_pandas(frame, ["f0"])


def test_records_are_numbers_with_a_width():
    assert Table.of([[1, 2], [3, 4]], {"a": "uv"}).x.dtype == np.float32
    for x in (1, [1, 2], np.zeros((2, 0))):
        with pytest.raises(SordineError, match="x has shape"):
            Table.of(x, {"a": "uv"})
    for x in ([["a"], ["b"]], [[1], [2, 3]]):
        with pytest.raises(SordineError, match="must be numbers"):
            Table.of(x, {"a": "uv"})


def test_labels_that_are_lists_are_refused(tmp_path):
    with pytest.raises(SordineError, match="column 'a' has lists"):
        Table.of(np.ones((2, 2)), {"a": [["u"], ["v"]]})
    pq.write_table(pa.table({"f": [1.0, 2.0], "group": [[1], [2]]}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="column 'group' has lists"):
        Table.read(tmp_path / "t.parquet", ["f"])


def test_empty_records_of_a_file_are_refused(tmp_path):
    pq.write_table(pa.table({"x": pa.array([[], []], pa.list_(pa.float32(), 0))}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="'x' have no numbers"):
        Table.read(tmp_path / "t.parquet")


def test_the_split_is_stratified_keyed_and_order_free():
    table = clusters(603)
    policy = Policy(("person",), ("word",))
    split = table.with_split(policy, KEY).split
    assert split.sum() == 603 - 603 // 4
    for name in ("person", "word"):
        for c in range(len(table.classes[name])):
            assert abs(split[table.y[name] == c].mean() - 0.75) < 0.04
    order = np.random.default_rng(0).permutation(len(table))
    assert (table.take(order).with_split(policy, KEY).split == split[order]).all()
    assert (table.with_split(policy, Key.of_seed(9)).split != split).any()


def test_groups_stay_on_one_side():
    table = clusters(400)
    grouped = Table.of(table.x, {"word": table.y["word"]}, group=[f"g{i % 9}" for i in range(400)])
    split = grouped.with_split(Policy(("word",)), KEY).split
    assert 0.1 < 1 - split.mean() < 0.45
    for g in range(9):
        assert len(set(split[grouped.group == g])) == 1
    one = Table.of(table.x, {"word": table.y["word"]}, group=["g"] * 400)
    with pytest.raises(SordineError, match="only one group"):
        one.with_split(Policy(("word",)), KEY)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a", "a", "b"]}, "id 'a'"),
        ({"x": [[1.0, 2.0], [float("nan"), 1.0], [1.0, 1.0]]}, "row 1.* NaN"),
        ({"x": [[1.0, 2.0], [3.0], [1.0, 1.0]]}, "another length in row 1"),
        ({"x": [[1.0, 2.0], None, [1.0, 1.0]]}, "empty in row 1"),
        ({"split": ["train", "test", "dev"]}, "'dev'"),
        ({"split": ["train", "train", "train"]}, "'test'"),
    ],
)
def test_bad_tables_give_one_line(tmp_path, columns, message):
    good = {"id": ["a", "b", "c"], "x": [[1.0, 2.0], [2.0, 2.0], [1.0, 1.0]]}
    pq.write_table(pa.table(good | columns), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match=message) as error:
        Table.read(tmp_path / "t.parquet")
    assert "\n" not in str(error.value)


def test_labels_are_required_of_a_side():
    split = np.array([True, True, False, False])
    y = {"a": ["x", None, "x", "y"], "b": [None, "x", None, None], "c": [None, "x", "y", "x"]}
    table = dataclasses.replace(Table.of(np.eye(4), y), split=split)
    table.require_labels(("a", "c"), "train")
    table.require_labels(("a", "c"), "test", together=True)
    with pytest.raises(SordineError, match="no test record has a label of 'b'"):
        table.require_labels(("a", "b"), "test")
    with pytest.raises(SordineError, match="no train record has a label of 'a' and 'c'"):
        table.require_labels(("a", "c"), "train", together=True)


def test_bad_policies_on_a_table():
    x = np.eye(4)
    table = Table.of(x, {"one": ["a"] * 4, "none": [None] * 4, "lone": list("aabc"), "fine": list("aabb")})
    for name, message in [("one", "one class only"), ("none", "no labels"), ("lone", "has one record")]:
        with pytest.raises(SordineError, match=message):
            table.require(Policy((name,)))
    assert table.require(Policy(("fine",))).watch == ("one", "none", "lone")


def test_bad_files(tmp_path):
    with pytest.raises(SordineError, match="does not exist"):
        TableFile(tmp_path / "nowhere.parquet")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(SordineError, match="cannot be read"):
        TableFile(tmp_path / "t.parquet")
    clusters(50).write(tmp_path / "u.parquet")
    whole = (tmp_path / "u.parquet").read_bytes()
    (tmp_path / "u.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SordineError, match="cannot be read"):
        Table.read(tmp_path / "u.parquet")
    clusters(50).write(tmp_path / "v.parquet")
    with pytest.raises(SordineError, match="exists; use --force"):
        clusters(50).write(tmp_path / "v.parquet")
    with pytest.raises(SordineError, match="did you mean 'word'"):
        TableFile(tmp_path / "v.parquet", ["wird"])
