"""CSV files and their relatives: dialects, encodings, null words and types are detected, or set."""

from __future__ import annotations

import bz2
import gzip
import logging

import numpy as np
import pandas as pd
import pytest

from sordine.data.reading import source
from sordine.data.reading.options import ReadOptions, reading
from sordine.data.table import Table
from sordine.data.table_io import TableFile
from sordine.errors import SordineError

PLACES = ["Zürich", "Genève", "Zürich", None, "Bern", "Genève"]
FRAME = pd.DataFrame(
    {
        "id": [f"{i:05d}" for i in range(6)],
        "speaker": [f"{i % 3:03d}" for i in range(6)],
        "place": PLACES,
        "note": ["a\nb", 'c "d"', "e;f", "g,h", "i|j\tk", "l"],
        "f0": [0.5, 1.25, -2.0, 3.0, 1e-3, 4.75],
        "f1": [1, 2, 3, 4, 5, 6],
    }
)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """The log, without what earlier tests stated."""
    monkeypatch.setattr(source, "_stated", set())
    caplog.set_level(logging.INFO, logger="sordine")
    return caplog


def is_right(table: Table) -> None:
    assert list(table.ids) == list(FRAME["id"])
    assert np.array_equal(table.x, FRAME[["f0", "f1"]].to_numpy(np.float32))
    assert table.classes["speaker"] == ("000", "001", "002")
    for name in ("place", "note"):
        found = [None if c < 0 else table.classes[name][c] for c in table.y[name]]
        assert found == [None if pd.isna(v) else v for v in FRAME[name]]


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_dialects_are_detected_and_stated(tmp_path, lines, separator, decimal, encoding):
    if decimal == separator:
        return
    path = tmp_path / "t.csv"
    FRAME.to_csv(path, sep=separator, decimal=decimal, encoding=encoding, index=False)
    is_right(Table.read(path, ["f*"]))
    plain = separator == "," and decimal == "." and encoding.startswith("utf-8")
    assert len([r for r in lines.records if "--read sets it" in r.message]) == (not plain)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_ends_of_lines(tmp_path, ending):
    path = tmp_path / "t.csv"
    text = FRAME.drop(columns="note").to_csv(index=False, lineterminator=ending)
    path.write_bytes(text.encode())
    assert list(Table.read(path, ["f*"]).ids) == list(FRAME["id"])


@pytest.mark.parametrize(
    ("name", "separator", "pack"),
    [
        ("t.tsv", "\t", bytes),
        ("t.TSV", "\t", bytes),
        ("t.txt", "\t", bytes),
        ("t.txt", ";", bytes),
        ("t.csv.gz", ",", gzip.compress),
        ("t.tsv.gz", "\t", gzip.compress),
        ("t.csv.bz2", ";", bz2.compress),
    ],
)
def test_names_of_text_tables(tmp_path, name, separator, pack):
    (tmp_path / name).write_bytes(pack(FRAME.to_csv(sep=separator, index=False).encode()))
    is_right(Table.read(tmp_path / name, ["f*"]))


def test_blanks_separate_in_txt(tmp_path):
    (tmp_path / "t.txt").write_text("a f0 f1\nu 0.5 1\nv 1.5 2\n")
    assert Table.read(tmp_path / "t.txt", ["f*"]).x.tolist() == [[0.5, 1], [1.5, 2]]


def test_the_first_line_of_excel_is_no_header(tmp_path):
    (tmp_path / "t.csv").write_text("sep=;\na;f0\nu;0,5\nv;1,5\n")
    assert Table.read(tmp_path / "t.csv", ["f0"]).x.tolist() == [[0.5], [1.5]]


def test_a_dialect_can_be_set(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a!f0\nü!1,234\nv!5,678\n", encoding="cp850")
    options = ReadOptions(separator="!", decimal=",", encoding="cp850")
    for table in (Table.read(path, ["f0"], options=options), _within(path, options)):
        assert table.x.ravel().tolist() == np.float32([1.234, 5.678]).tolist()
        assert table.classes["a"] == ("v", "ü")
    with pytest.raises(SordineError, match="must be numeric"):  # thousands or decimals: not decided by itself
        Table.read(path, ["f0"], options=ReadOptions(separator="!", encoding="cp850"))


def _within(path, options):
    with reading(options):
        return Table.read(path, ["f0"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"separator": "ab"}, "one character"),
        ({"decimal": "'"}, "decimal point"),
        ({"decimal": ",", "separator": "comma"}, "both the separator"),
        ({"encoding": "latin-99"}, "unknown encoding"),
        ({"separatr": ";"}, "did you mean 'separator'"),
        ({"rename": "sex"}, "OLD:NEW"),
        ({"normalise_labels": "maybe"}, "true or false"),
        ({"label_separator": ""}, "is empty"),
    ],
)
def test_wrong_options_are_refused(given, message):
    with pytest.raises(SordineError, match=message):
        ReadOptions.of(given)


def test_options_as_text_and_back():
    given = {"separator": "tab", "nulls": "NA,?", "rename": "a:b,c:d", "multi_label": "t", "normalise_labels": "yes"}
    options = ReadOptions.of(given)
    assert options.separator == "\t"
    assert options.rename == (("a", "b"), ("c", "d"))
    assert ReadOptions.of(options.given()) == options
    assert ReadOptions().given() == {}


def test_null_words_are_missing_and_settable(tmp_path, lines):
    path = tmp_path / "t.csv"
    path.write_text("id,a,n,f0\nNA,NA,1,0.5\nnull,DE,,1.5\nx,?,NaN,2.5\ny,DE,2,3.5\n")
    table = Table.read(path, ["f0"])
    assert list(table.ids) == ["NA", "null", "x", "y"]  # an id is never a null word
    assert table.classes == {"a": ("?", "DE"), "n": ("1", "2")}
    assert table.y["a"].tolist() == [-1, 1, 0, 1]
    assert [r.message for r in lines.records] == [
        "t.csv: 1 values such as NA in 'a' are missing; --read nulls= sets these words"
    ]
    other = Table.read(path, ["f0"], options=ReadOptions(nulls=("?", "NaN")))
    assert other.classes["a"] == ("DE", "NA")


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["01", "1", "01", "1"], ("01", "1")),
        (["+1", "2", "2", "+1"], ("+1", "2")),
        (["12345678901234567890", "12345678901234567891"] * 2, ("12345678901234567890", "12345678901234567891")),
        (["true", "false"] * 2, ("false", "true")),
        (["2020-01-01", "2020-01-02"] * 2, ("2020-01-01", "2020-01-02")),
        (["-1", "0", "1", "10"], ("-1", "0", "1", "10")),
        ([" 1", "2 ", "1", "2"], ("1", "2")),
    ],
)
def test_labels_that_look_like_numbers_keep_their_text(tmp_path, values, classes):
    (tmp_path / "t.csv").write_text("a,f0\n" + "".join(f"{v},0.{i}\n" for i, v in enumerate(values)))
    assert Table.read(tmp_path / "t.csv", ["f0"]).classes["a"] == classes


def test_a_type_that_changes_late_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("sordine.data.reading.csv_files.BLOCK_BYTES", 1 << 10)
    rows = [f"{i},{i}" for i in range(500)] + ["0500,0.5"]
    (tmp_path / "t.csv").write_text("k,f0\n" + "\n".join(rows) + "\n")
    file = TableFile(tmp_path / "t.csv", ["f0"])
    assert str(file.schema.field("k").type) == "string"
    assert str(file.schema.field("f0").type) == "double"
    assert file.others()["k"][500].as_py() == "0500"


def test_a_text_table_larger_than_memory_is_streamed(tmp_path, monkeypatch):
    FRAME.to_csv(tmp_path / "t.csv", sep=";", index=False)
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SORDINE_MEMORY", "8")
    table = Table.read(tmp_path / "t.csv", ["f*"])
    assert isinstance(table.x, np.memmap)
    is_right(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,f0\nsecret,0.5\nsecret,1.5,9\n", "has 3 values in line 3, and the header has 2"),
        ("a,f0\n", "no records"),
        ("", "no records"),
        ("\n\n", "no records"),
        ("0.1,0.2\n0.3,0.4\n", "first line contains numbers"),
        ("a,a\n1,2\n", "'a' occurs twice"),
        ("a,f0\nu\0,0.5\n", "not a text table"),
    ],
)
def test_what_cannot_be_read_gives_one_line_without_values(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SordineError, match=message) as error:
        Table.read(tmp_path / "t.csv", ["f0"])
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_encoding_is_named(tmp_path):
    (tmp_path / "t.csv").write_bytes("a,f0\nü,1\nv,2\n".encode("latin-1"))
    with pytest.raises(SordineError, match="is not utf-8 text"):
        Table.read(tmp_path / "t.csv", ["f0"], options=ReadOptions(encoding="utf-8"))


def test_patterns_take_numbers_only(tmp_path, lines):
    (tmp_path / "t.csv").write_text("group,female,fg,f0,f1\na,m,0,0.5,1.5\nb,f,1,1.5,2.5\n")
    assert TableFile(tmp_path / "t.csv", ["f*"]).features == ("fg", "f0", "f1")
    assert TableFile(tmp_path / "t.csv", ["f*"], attributes=["fg"]).features == ("f0", "f1")
    assert any("leaves out 'female'" in r.message for r in lines.records)
    assert any("includes 'fg'" in r.message for r in lines.records)
    with pytest.raises(SordineError, match="'female' is string"):
        TableFile(tmp_path / "t.csv", ["female"])


def test_a_reserved_name_is_stated_and_can_be_switched_off(tmp_path, lines):
    (tmp_path / "t.csv").write_text("group,f0\n" + "".join(f"{'ab'[i % 2]},{i}.5\n" for i in range(4)))
    table = Table.read(tmp_path / "t.csv", ["f0"])
    assert table.group is not None
    assert any("'group' decides the split" in r.message for r in lines.records)
    other = Table.read(tmp_path / "t.csv", ["f0"], options=ReadOptions(rename=(("group", "cohort"),)))
    assert other.group is None
    assert other.classes == {"cohort": ("a", "b")}


def test_labels_that_look_alike_are_named_and_joined(tmp_path, lines):
    (tmp_path / "t.csv").write_text("a,f0\n male,0.5\nmale,1.5\nMale,2.5\nf  e,3.5\nf e,4.5\n")
    assert len(Table.read(tmp_path / "t.csv", ["f0"]).classes["a"]) == 5
    warnings = [r for r in lines.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "'Male'" in warnings[0].message
    table = Table.read(tmp_path / "t.csv", ["f0"], options=ReadOptions(normalise_labels=True))
    assert table.classes["a"] == ("f e", "male")
    assert table.y["a"].tolist() == [1, 1, 1, 0, 0]
