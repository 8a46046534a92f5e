"""Withheld records are gone from what leaves, and the owner is told what that changes."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.attacks.tail import TailRecords
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.run import Run
from sordine.workflow.release.media import release_pictures
from sordine.workflow.release.table import TABLE, release
from sordine.workflow.release.withholding import Source, Withheld, read_withheld, write_tail
from tests.workflow.test_release import transformed

KEY, N = Key.of_seed(1), 300
IDS = np.array([f"original-{i:06d}" for i in range(N)])


def records(record: np.ndarray, person: np.ndarray, attribute: str = "speaker") -> TailRecords:
    label = np.where(np.arange(N) < 60, "anna", "others")
    return TailRecords(attribute, IDS, np.where(record, 0.5, np.nan), record, person, label)


@pytest.fixture
def tail() -> list[TailRecords]:
    record, person = np.zeros(N, bool), np.zeros(N, bool)
    record[[3, 200]] = True
    person[:60] = True
    return [records(record, person), records(np.arange(N) == 299, np.zeros(N, bool), "sex")]


@pytest.fixture(params=[".parquet", ".csv"])
def file(request: pytest.FixtureRequest, tail: list[TailRecords], tmp_path: Path) -> Path:
    path = tmp_path / f"tail{request.param}"
    assert write_tail(path, tail) == 62
    return path


def test_the_file_is_for_its_owner_alone(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = read_withheld(file)
    assert found.ids == frozenset([*IDS[:60], IDS[200], IDS[299]])
    assert found.classes["speaker"][IDS[0]] == "anna"
    assert set(found.classes) == {"speaker", "sex"}
    with pytest.raises(SordineError):
        write_tail(file, [])
    assert write_tail(file, [], force=True) == 0
    assert read_withheld(file) == Withheld()


def test_withheld_records_are_gone(file: Path, tmp_path: Path) -> None:
    source = transformed(tmp_path / "t.parquet")
    said: list[str] = []
    whole = release(source, tmp_path / "whole", key=KEY)
    part = release(Source(source, read_withheld(file)), tmp_path / "part", key=KEY, run=Run(log=said.append))
    assert (whole.rows, part.rows) == (N, N - 62)
    out, links = pq.read_table(part.folder / TABLE), pq.read_table(part.links)
    left = set(links["id"].to_pylist())
    assert left == set(IDS) - read_withheld(file).ids
    assert sorted(out["id"].to_pylist()) == sorted(links["pseudonym"].to_pylist())
    # What stays is as in a whole release: pseudonym, numbers and order.
    of = dict(zip(*(pq.read_table(whole.links)[c].to_pylist() for c in ("id", "pseudonym")), strict=True))
    assert {i: p for i, p in of.items() if i in left} == dict(
        zip(links["id"].to_pylist(), links["pseudonym"].to_pylist(), strict=True)
    )
    order = [p for p in pq.read_table(whole.folder / TABLE)["id"].to_pylist() if p in set(out["id"].to_pylist())]
    assert out["id"].to_pylist() == order
    firsts = [int(row[0]) for row in out["x"].to_pylist()]
    assert not set(firsts) & {*range(60), 200, 299}
    manifest = json.loads((part.folder / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["rows"], manifest["withheld"]) == (N - 62, 62)
    assert "withheld" not in whole.manifest
    text = " ".join(said)
    assert "62 of 300 records are left out; 238 are released" in text
    assert "anna: 60 left out, 20.0 % before and 0.0 % after" in text
    assert "tells something too" in text


def test_withheld_pictures_are_gone(file: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = transformed(tmp_path / "t.parquet", rows=N, shape=(3, 4, 4))
    table = pq.read_table(source)
    pixels = rng.integers(0, 255, (N, 3, 4, 4)).astype(np.uint8)
    from sordine.data.table_io import feature_array, feature_type

    fields = [f for f in table.schema if f.name != "x"]
    schema = pa.schema([*fields, pa.field("x", feature_type((3, 4, 4), np.dtype(np.uint8)))], table.schema.metadata)
    columns = [table[f.name].combine_chunks() for f in fields]
    pq.write_table(pa.table([*columns, feature_array(pixels)], schema=schema), source)
    made = release_pictures(Source(source, read_withheld(file)), tmp_path / "out", key=KEY)
    assert made.rows == N - 62
    assert len(list((made.folder / "data").iterdir())) == N - 62
    assert len((made.folder / "metadata.csv").read_text(encoding="utf-8").splitlines()) == N - 62 + 1
    assert pq.read_table(made.links).num_rows == N - 62


def test_listed_records_that_are_not_in_the_table_are_counted() -> None:
    withheld = Withheld(frozenset([IDS[0], "another", "one more"]))
    first, second, *_ = withheld.changes(IDS.tolist(), IDS[0] == IDS)
    assert first.startswith("1 of 300")
    assert second.startswith("2 of the 3")
    assert not any("2 of the 3" in line for line in Withheld(frozenset(IDS[:1])).changes(IDS.tolist(), IDS[0] == IDS))


def test_nothing_listed_leaves_nothing_out(tmp_path: Path) -> None:
    none = np.zeros(N, bool)
    write_tail(tmp_path / "tail.parquet", [records(none, none)])
    source = transformed(tmp_path / "t.parquet")
    said: list[str] = []
    made = release(
        Source(source, read_withheld(tmp_path / "tail.parquet")), tmp_path / "out", key=KEY, run=Run(log=said.append)
    )
    assert made.rows == N
    assert any("0 of 300 records are left out" in line for line in said)
    assert not any("tells something" in line for line in said)


def test_bad_files_are_one_line(tmp_path: Path, tail: list[TailRecords]) -> None:
    damaged, other, text, wrong = (tmp_path / name for name in ("a.parquet", "b.parquet", "c.txt", "d.csv"))
    gap, unknown = tmp_path / "e.csv", tmp_path / "f.parquet"
    gap.write_text("id,attribute,class,withhold\na,b,c,true\nd,b,c,\n", encoding="utf-8")
    one = pa.array(["a"])
    pq.write_table(
        pa.table({"id": one, "attribute": one, "class": one, "withhold": pa.array([None], pa.bool_())}), unknown
    )
    damaged.write_bytes(b"no table")
    pq.write_table(pa.table({"id": ["a"]}), other)
    text.write_text("id", encoding="utf-8")
    wrong.write_text("id,attribute,class,withhold\na,b,c,perhaps\n", encoding="utf-8")
    for path in (tmp_path / "missing.parquet", damaged, other, text, wrong, gap, unknown):
        with pytest.raises(SordineError) as error:
            read_withheld(path)
        assert "\n" not in str(error.value)
        assert path.name in str(error.value)
    with pytest.raises(SordineError):
        write_tail(tmp_path / "tail.txt", tail)


def test_records_of_another_table_and_all_records_are_refused(tmp_path: Path) -> None:
    source = transformed(tmp_path / "t.parquet")
    for ids in (["elsewhere"], IDS.tolist()):
        with pytest.raises(SordineError):
            release(Source(source, Withheld(frozenset(ids))), tmp_path / "out", key=KEY)
        assert not (tmp_path / "out").exists()
