"""Table files of every format, and column types of every kind."""

from __future__ import annotations

import decimal
import json

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from sordine.data.reading.files import is_table_file, parts_in, table_address
from sordine.data.reading.options import ReadOptions
from sordine.data.table import Table
from sordine.data.table_io import TableFile
from sordine.errors import SordineError
from sordine.features.choice import is_media
from sordine.features.sources import open_table, table_in

X = np.arange(16, dtype=np.float32).reshape(8, 2) / 4
SEX = list("uvuvuvuv")
VECTORS = pa.array(X.tolist(), pa.list_(pa.float32()))
TABLE = pa.table({"id": [f"r{i}" for i in range(8)], "x": VECTORS, "sex": SEX})


def labels(table: Table, name: str) -> list[str | None]:
    return [None if c < 0 else table.classes[name][c] for c in table.y[name]]


def stream(path):
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, TABLE.schema) as writer:
        writer.write_table(TABLE)


def json_lines(path):
    rows = TABLE.to_pylist()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


WRITERS = {
    "t.parquet": lambda path: pq.write_table(TABLE, path),
    "t.pq": lambda path: pq.write_table(TABLE, path),
    "t.unknown": lambda path: pq.write_table(TABLE, path),
    "t.feather": lambda path: feather.write_feather(TABLE, path),
    "t.arrow": stream,
    "t.bin": lambda path: feather.write_feather(TABLE, path),
    "t.jsonl": json_lines,
    "t.ndjson": json_lines,
    "t.npz": lambda path: np.savez(path, x=X, sex=np.array(SEX), id=np.array([f"r{i}" for i in range(8)])),
}


@pytest.mark.parametrize("name", WRITERS)
def test_formats(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    table = Table.read(path)
    assert np.array_equal(table.x, X)
    assert labels(table, "sex") == SEX
    assert list(table.ids) == [f"r{i}" for i in range(8)]
    assert open_table(path).rows == 8


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", X.astype(">f8"))
    assert np.array_equal(Table.read(tmp_path / "a.npy").x, X)
    pictures = np.arange(8 * 3 * 4 * 4, dtype=np.uint8).reshape(8, 3, 4, 4)
    np.save(tmp_path / "b.npy", pictures)
    assert np.array_equal(Table.read(tmp_path / "b.npy").x, pictures)
    assert Table.read(tmp_path / "b.npy").pictures
    np.savez(
        tmp_path / "c.npz", features=X, ids=np.arange(8), old=np.arange(8) % 2 == 0, code=np.array([b"u", b"v"] * 4)
    )
    table = Table.read(tmp_path / "c.npz")
    assert list(table.ids) == [str(i) for i in range(8)]
    assert labels(table, "old") == ["True", "False"] * 4
    assert labels(table, "code") == SEX
    mixed = np.zeros(8, [("f0", "f4"), ("a", "U1")])
    mixed["a"] = SEX
    np.save(tmp_path / "d.npy", mixed)
    assert labels(Table.read(tmp_path / "d.npy", ["f0"]), "a") == SEX


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X, "sex": np.array(SEX[:5])}, "'sex' has 5 values and 'x' has 8"),
        ({"x": X, "sex": np.array([object()] * 8)}, "Python objects"),
        ({}, "no arrays"),
        ({"x": X + 1j}, "cannot be a column"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SordineError, match=message):
        Table.read(tmp_path / "a.npz")


def test_an_array_of_numbers_without_width_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(8.0))
    with pytest.raises(SordineError, match="must be \\(n, width\\)"):
        Table.read(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{}] * 3), allow_pickle=True)
    with pytest.raises(SordineError, match=r"cannot be read as \.npy"):
        Table.read(tmp_path / "b.npy")


def test_an_array_larger_than_memory_is_mapped(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SORDINE_MEMORY", "8")
    np.save(tmp_path / "a.npy", X)
    table = Table.read(tmp_path / "a.npy")
    assert isinstance(table.x, np.memmap)
    assert np.array_equal(table.x, X)


@pytest.mark.parametrize("name", ["t.xlsx", "t.pkl", "t.json", "t.dta", "t.sqlite"])
def test_other_formats_are_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"secret")
    with pytest.raises(SordineError, match="save it as one of") as error:
        Table.read(tmp_path / name)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("name", [*WRITERS, "t.npy"])
@pytest.mark.parametrize("content", [b"", b"secret", b"ARROW1\0\0secret", b"PAR1secretPAR1", b"\x93NUMPY\x01\0secret"])
def test_damaged_files_give_one_line_without_values(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SordineError) as error:
        Table.read(tmp_path / name)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


# --------------------------------------------------------------------------------------------- parts


def test_a_folder_of_parts_is_one_table(tmp_path):
    folder = tmp_path / "parts"
    for i in range(4):
        (folder / f"part={'ab'[i % 2]}").mkdir(parents=True, exist_ok=True)
        pq.write_table(TABLE.slice(2 * i, 2), folder / f"part={'ab'[i % 2]}" / f"{i}.parquet")
    (folder / "_SUCCESS").touch()
    (folder / ".0.parquet.crc").touch()
    assert [p.name for p in parts_in(folder)] == ["0.parquet", "2.parquet", "1.parquet", "3.parquet"]
    table = Table.read(folder)
    order = [0, 1, 4, 5, 2, 3, 6, 7]
    assert list(table.ids) == [f"r{i}" for i in order]
    assert np.array_equal(table.x, X[order])
    assert labels(table, "part") == list("aaaabbbb")
    assert not is_media(folder, None)
    assert table_in(folder) == folder
    address = table_address(folder)
    pq.write_table(TABLE.slice(0, 1), folder / "part=a" / "0.parquet")
    assert table_address(folder) != address


def test_parts_with_other_columns_are_refused(tmp_path):
    pq.write_table(TABLE, tmp_path / "0.parquet")
    pq.write_table(TABLE.rename_columns(["id", "x", "gender"]), tmp_path / "1.parquet")
    with pytest.raises(SordineError, match=r"'sex' of 1\.parquet differs"):
        Table.read(tmp_path)
    (tmp_path / "1.parquet").write_bytes(b"PAR1")
    with pytest.raises(SordineError, match=r"1\.parquet cannot be read"):
        Table.read(tmp_path)


def test_a_media_folder_is_no_folder_of_parts(tmp_path):
    pq.write_table(TABLE, tmp_path / "metadata.parquet")
    assert parts_in(tmp_path) == ()
    assert not is_table_file(tmp_path)


# --------------------------------------------------------------------------------------------- types of labels

BINARY = [s.encode() for s in SEX]
KINDS = {
    "string_view": pa.array(SEX, pa.string_view()),
    "large_string": pa.array(SEX, pa.large_string()),
    "binary": pa.array(BINARY),
    "binary_view": pa.array(BINARY, pa.binary_view()),
    "fixed_size_binary": pa.array(BINARY, pa.binary(1)),
    "dictionary": pa.array(SEX).dictionary_encode(),
    "dictionary of binary": pa.array(BINARY).dictionary_encode(),
    "run_end_encoded": pa.RunEndEncodedArray.from_arrays(pa.array(range(1, 9), pa.int32()), pa.array(SEX)),
}
NUMBERS = {
    "decimal128": pa.array([decimal.Decimal(i % 2) for i in range(8)], pa.decimal128(10, 2)),
    "decimal256": pa.array([decimal.Decimal(i % 2) for i in range(8)], pa.decimal256(50, 3)),
    "float": pa.array([0.0, 1.0] * 4),
    "half": pa.array(np.array([0, 1] * 4, np.float16)),
    "uint8": pa.array([0, 1] * 4, pa.uint8()),
}


def read_with(tmp_path, column, **options) -> Table:
    """A table with a further column `a`, from a Feather file where Parquet has no such type."""
    table = pa.table({"x": VECTORS, "a": column})
    try:
        pq.write_table(table, tmp_path / "t.parquet")
    except pa.ArrowNotImplementedError:
        feather.write_feather(table, tmp_path / "t.feather", compression="uncompressed")
        return Table.read(tmp_path / "t.feather", ["x"], options=ReadOptions(**options))
    return Table.read(tmp_path / "t.parquet", ["x"], options=ReadOptions(**options))


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_every_text_type(tmp_path, kind):
    assert labels(read_with(tmp_path, KINDS[kind]), "a") == SEX


@pytest.mark.parametrize("kind", NUMBERS)
def test_labels_of_every_number_type(tmp_path, kind):
    assert labels(read_with(tmp_path, NUMBERS[kind]), "a") == ["0", "1"] * 4


def test_whole_numbers_with_gaps_are_classes_and_many_are_not(tmp_path):
    table = read_with(tmp_path, pa.array([0.0, 1.0, None, float("nan")] * 2))
    assert labels(table, "a") == ["0", "1", None, None] * 2
    pq.write_table(
        pa.table({"x": pa.array([[1.0]] * 30), "a": [float(i % 11) for i in range(30)]}), tmp_path / "many.parquet"
    )
    many = Table.read(tmp_path / "many.parquet", named=["a"])
    assert set(many.targets) == {"a"}
    assert Table.read(tmp_path / "many.parquet").attributes == ()


def test_bytes_that_are_no_text_are_left_out(tmp_path):
    table = read_with(tmp_path, pa.array([bytes([0, 255, i]) for i in range(8)]))
    assert table.attributes == ()
    assert "'a' is left out" in table.notes[0]


def test_names_of_classes_come_from_the_metadata(tmp_path):
    feature = {"names": ["u", "v"], "_type": "ClassLabel"}
    note = {"huggingface": json.dumps({"info": {"features": {"a": feature}}})}
    table = pa.table({"x": VECTORS, "a": [0, 1, -1, None] * 2}).replace_schema_metadata(note)
    pq.write_table(table, tmp_path / "t.parquet")
    assert labels(Table.read(tmp_path / "t.parquet"), "a") == ["u", "v", None, None] * 2
    pq.write_table(table.set_column(1, "a", pa.array([0, 1, 2, 0] * 2)), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="class 2 in row 2"):
        Table.read(tmp_path / "t.parquet")


# --------------------------------------------------------------------------------------------- several labels

TAGS = [["a"], ["a", "b"], [], None, ["b"], ["a"], ["b "], ["a"]]
HAS_A = ["True", "True", "False", None, "False", "True", "False", "True"]


def test_a_list_of_labels_is_one_attribute_a_label(tmp_path):
    table = read_with(tmp_path, pa.array(TAGS))
    assert labels(table, "a:a") == HAS_A
    assert labels(table, "a:b") == ["False", "True", "False", None, "True", "False", "True", "False"]


def test_labels_in_one_text_are_split_where_it_is_set(tmp_path):
    column = pa.array([None if t is None else "|".join(t) for t in TAGS])
    assert read_with(tmp_path, column).attributes == ("a",)
    table = read_with(tmp_path, column, multi_label=("a",))
    assert table.attributes == ("a:a", "a:b")
    assert labels(table, "a:a") == ["True", "True", None, None, "False", "True", "False", "True"]
    other = pa.array(["p, q", "q"] * 4)
    assert read_with(tmp_path, other, multi_label=("a",), label_separator=",").attributes == ("a:p", "a:q")


def test_lists_of_many_labels_are_left_out(tmp_path):
    table = pa.table({"x": pa.array([[1.0]] * 101), "a": [[f"l{i}"] for i in range(101)]})
    pq.write_table(table, tmp_path / "t.parquet")
    found = Table.read(tmp_path / "t.parquet")
    assert found.attributes == ()
    assert "'a' is left out" in found.notes[0]


# --------------------------------------------------------------------------------------------- vectors

NESTED = np.arange(48, dtype=np.float64).reshape(8, 2, 3)
VECTOR_COLUMNS = {
    "lists": (pa.array(X.tolist()), X),
    "list views": (pa.array(X.tolist(), pa.list_view(pa.float32())), X),
    "large lists": (pa.array(X.tolist(), pa.large_list(pa.float64())), X),
    "lists of decimals": (
        pa.array([[decimal.Decimal(str(v)) for v in row] for row in X.tolist()], pa.list_(pa.decimal128(8, 2))),
        X,
    ),
    "lists of truth values": (pa.array([[True, False]] * 8), np.float32([[1, 0]] * 8)),
    "lists of lists": (pa.array(NESTED.tolist()), NESTED),
    "lists of fixed lists": (pa.array(NESTED.tolist(), pa.list_(pa.list_(pa.float32(), 3))), NESTED),
    "fixed lists of fixed lists": (pa.array(NESTED.tolist(), pa.list_(pa.list_(pa.float32(), 3), 2)), NESTED),
    "nested bytes": (
        pa.array(np.zeros((8, 3, 2, 2), int).tolist(), pa.list_(pa.list_(pa.list_(pa.uint8())))),
        np.zeros((8, 3, 2, 2)),
    ),
    "text with brackets": (pa.array([f"[{a}, {b}]" for a, b in X.tolist()]), X),
    "text of NumPy": (pa.array([str(row) for row in X]), X),
    "text with blanks": (pa.array([f"{a} {b}" for a, b in X.tolist()]), X),
    "text with commas": (pa.array([f"{a},{b}" for a, b in X.tolist()]), X),
}


@pytest.mark.parametrize("kind", VECTOR_COLUMNS)
def test_vectors_of_every_type(tmp_path, kind):
    column, expected = VECTOR_COLUMNS[kind]
    table = pa.table({"v": column, "sex": SEX})
    try:
        pq.write_table(table, tmp_path / "t.parquet")
        path = tmp_path / "t.parquet"
    except pa.ArrowNotImplementedError:
        path = tmp_path / "t.feather"
        feather.write_feather(table, path, compression="uncompressed")
    for features in ((), ("v",)):
        found = Table.read(path, features)
        assert found.features == ("v",)
        assert np.array_equal(found.x, expected.astype(np.float32))
        assert labels(found, "sex") == SEX
    assert found.pictures == (kind == "nested bytes")


def test_members_of_structs_are_columns(tmp_path):
    column = pa.array([{"p": a, "q": b, "kind": "uv"[i % 2]} for i, (a, b) in enumerate(X.tolist())])
    pq.write_table(pa.table({"s": column}), tmp_path / "t.parquet")
    table = Table.read(tmp_path / "t.parquet", ["s.*"])
    assert table.features == ("s.p", "s.q")
    assert np.array_equal(table.x, X)
    assert labels(table, "s.kind") == SEX


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([[[1.0], [2.0]], [[1.0], [2.0, 3.0]]]), "another length in row 1"),
        (pa.array([[[1.0], [2.0]], [[1.0]]]), "another length in row 1"),
        (pa.array([[[1.0], [2.0]], None]), "empty in row 1"),
        (pa.array([[[1.0], [2.0]], [[1.0], None]]), "another length in row 1"),
        (pa.array([[[]], [[]]], pa.list_(pa.list_(pa.float32()))), "empty list in its first record"),
        (pa.array(["[1, 2]", "[1, 2, 3]"]), "another length in row 1"),
        (pa.array(["[1.0 2.0 ... 3.0]", "[1.0 2.0 ... 3.0]"]), "shortened with '...'"),
        (pa.array([b"\0\0\x80\x3f", b"\0\0\x80\xbf"]), "contains bytes|must be numeric"),
        (pa.array([{"bytes": b"RIFF", "path": "a.wav"}] * 2), "contains files|must be numeric"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, column, message):
    pq.write_table(pa.table({"v": column, "a": ["u", "v"]}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match=message) as error:
        Table.read(tmp_path / "t.parquet", ["v"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([{"bytes": b"RIFF", "path": "a.wav"}] * 2), "contains files, as the Hugging Face Hub stores"),
        (pa.array([b"\0\0\x80\x3f"] * 2), "contains bytes; store vectors as lists"),
    ],
)
def test_columns_that_are_no_vectors_are_explained(tmp_path, column, message):
    pq.write_table(pa.table({"v": column, "a": ["u", "v"]}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match=message):
        Table.read(tmp_path / "t.parquet")


def test_a_row_that_is_no_vector_is_named(tmp_path):
    rows = ["[1, 2]"] * 1500 + ["none"]
    pq.write_table(pa.table({"v": rows}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="no vector of numbers in row 1500"):
        Table.read(tmp_path / "t.parquet")


def test_text_with_numbers_stays_text_beside_vectors(tmp_path):
    table = read_with(tmp_path, pa.array(["0.1 0.2", "0.3 0.4"] * 4))
    assert table.classes["a"] == ("0.1 0.2", "0.3 0.4")
    (tmp_path / "t.csv").write_text("phone,f0\n06 12 34,0.5\n06 12 35,1.5\n")
    assert Table.read(tmp_path / "t.csv", ["f0"]).classes["phone"] == ("06 12 34", "06 12 35")


def test_new_names(tmp_path):
    pq.write_table(TABLE, tmp_path / "t.parquet")
    table = Table.read(tmp_path / "t.parquet", options=ReadOptions(rename=(("id", "key"), ("sex", "id"))), check=False)
    assert list(table.ids) == SEX
    with pytest.raises(SordineError, match="two columns would be named 'x'"):
        TableFile(tmp_path / "t.parquet", options=ReadOptions(rename=(("sex", "x"),)))


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
@pytest.mark.parametrize("kind", ["string", "view", "dictionary", "list"])
def test_a_damaged_file_does_not_end_the_process(tmp_path, kind, suffix):
    values = pa.array(["u" * 30, "v" * 25] * 4)
    column = {
        "string": values,
        "view": values.cast(pa.string_view()),
        "dictionary": values.dictionary_encode(),
        "list": pa.array([["a" * 20, "b"], ["c"]] * 4),
    }[kind]
    table = pa.table({"x": VECTORS, "a": column})
    path = tmp_path / f"t.{suffix}"
    if suffix == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, path)
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data) - 4, 4):
        path.write_bytes(data[:place] + b"\xff\xff\xff\x7f" + data[place + 4 :])
        try:
            Table.read(path)
        except SordineError:
            refused += 1
    assert refused > 10
