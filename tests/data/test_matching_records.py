"""Which records of two tables are the same: by id, by exact contents, and by row number only where that was asked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.attacks.budget import Budget
from sordine.cli.app import main
from sordine.data.matching import same_records
from sordine.data.table import Table, rows_digest
from sordine.data.table_io import read_note
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.exact_copies import copies_elsewhere
from sordine.evaluation.options import AuditOptions
from sordine.features.extract import ExtractOptions, extract
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.release.table import release
from sordine.workflow.transform import transform, transform_file
from tests.fixtures.clusters import clusters

POLICY = Policy(("person",), ("word",), ())
KEY = Key.of_seed(3)
FAST = Budget.named("quick", families=("logistic",), settings=("A",), cloud=0)
WORDS = ["-s", "person", "-p", "word", "--family", "logistic", "--setting", "A", "--no-pretrained"]
N = 240
SHUFFLED = np.random.default_rng(7).permutation(N)


def frame() -> pd.DataFrame:
    """A table without ids: features f0 to f11, person and word."""
    t = clusters(N)
    made = pd.DataFrame(t.x, columns=[f"f{i}" for i in range(12)])
    for name in ("person", "word"):
        made[name] = [t.classes[name][c] for c in t.y[name]]
    return made


def table(of: pd.DataFrame) -> Table:
    return Table.from_pandas(of)


def hidden(of: pd.DataFrame) -> pd.DataFrame:
    """Every number moved a little, by an anonymiser that hides nothing."""
    x = [c for c in of.columns if c.startswith("f")]
    return of.assign(**dict(zip(x, (of[x].to_numpy() * 1.01).T.astype(np.float32), strict=True))).drop(columns="person")


def with_ids(of: pd.DataFrame) -> pd.DataFrame:
    return of.assign(id=[f"r{i}" for i in range(len(of))])


def files(folder: Path, *frames: pd.DataFrame) -> list[str]:
    for i, made in enumerate(frames):
        made.to_csv(folder / f"t{i}.csv", index=False)
    return [str(folder / f"t{i}.csv") for i in range(len(frames))]


def level(folder: Path, *words: str) -> dict:  # type: ignore[type-arg]
    assert main(["audit", *words, *WORDS, "--json", str(folder / "r.json"), "--force"]) == 0
    return json.loads((folder / "r.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("ids", ["neither", "original", "released"])
def test_row_numbers_match_only_where_it_was_asked(
    ids: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = frame(), hidden(frame())
    before, after = with_ids(before) if ids == "original" else before, with_ids(after) if ids == "released" else after
    t, r = files(tmp_path, before, after)
    words = ["audit", t, r, *WORDS, "--features", "f*"]
    assert main([*words, "--json", str(tmp_path / "r.json")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--match-by-order" in said
    assert "id" in said
    assert not (tmp_path / "r.json").exists()
    found = level(tmp_path, t, r, "--features", "f*", "--match-by-order")
    assert any("row number" in note for note in found["table"]["notes"])
    assert "--match-by-order" in found["made"]["command"]
    assert found["headlines"][0]["nag"] > 0.9
    with pytest.raises(SordineError):
        audit(table(before), table(after), POLICY, budget=FAST)
    asked = audit(table(before), table(after), POLICY, budget=FAST, options=AuditOptions(match_by_order=True))
    assert asked.headlines[0].nag is not None
    assert asked.headlines[0].nag > 0.9
    assert any("row number" in note for note in asked.made["notes"])


def test_tables_with_ids_need_no_option(tmp_path: Path) -> None:
    before = with_ids(frame())
    t, r = files(tmp_path, before, hidden(before).iloc[SHUFFLED])
    found = level(tmp_path, t, r, "--features", "f*")
    assert found["headlines"][0]["nag"] > 0.9
    assert not found["table"]["notes"]
    assert not found["made"]["notes"] or not any("matched" in note for note in found["made"]["notes"])


def test_a_shuffled_copy_is_found_by_its_contents(tmp_path: Path) -> None:
    t, r = files(tmp_path, frame(), frame().iloc[SHUFFLED].drop(columns="person"))
    found = level(tmp_path, t, r, "--features", "f*")
    assert found["verdict"]["level"] == "leaks"
    assert "own-copy" in {f["code"] for f in found["flaws"]}
    assert found["headlines"][0]["nag"] > 0.9
    assert any("copies" in note for note in found["table"]["notes"])


def test_each_copy_gets_the_id_of_its_original() -> None:
    before = table(with_ids(frame()))
    after = table(frame().iloc[SHUFFLED])
    found = same_records(before, after)
    assert found.released.ids.tolist() == before.ids[SHUFFLED].tolist()
    assert len(found.notes) == 1
    assert not found.by_order
    assert same_records(before, found.released).notes == ()


def test_equal_vectors_are_paired_where_it_makes_no_difference_and_else_left_out() -> None:
    x = np.arange(10, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    x[1], x[3] = x[0], x[2]  # 0 and 1 are alike, 2 and 3 are alike
    before = Table.of(x, {}, ids=[f"r{i}" for i in range(10)])
    everyone = same_records(before, Table.of(x[::-1], {}))
    assert sorted(everyone.released.ids) == sorted(before.ids)
    assert np.array_equal(everyone.released.x[np.argsort(everyone.released.ids)], before.x)
    some = same_records(before, Table.of(x[[9, 2, 0, 1, 4]], {}))  # one of 2 and 3: which?
    assert [i for i in some.released.ids if i not in ("r0", "r1")] == ["r9", "r4"]
    with pytest.raises(SordineError):
        same_records(before, Table.of(x[[9, 9, 9]], {}))  # drawn, not copied
    changed = np.vstack([x[:9], x[9:] + 1])
    with pytest.raises(SordineError, match="9 of 10"):
        same_records(before, Table.of(changed, {}))


def test_numbers_of_records_must_agree_where_order_counts() -> None:
    before, after = table(frame()), table(hidden(frame()).iloc[1:])
    with pytest.raises(SordineError, match=r"has 239 records and .* has 240;"):
        same_records(before, after, by_order=True)


@pytest.mark.parametrize("order", ["file", "turned"])
def test_what_sordine_wrote_of_a_table_without_ids_matches_it(tmp_path: Path, order: str) -> None:
    (t,) = files(tmp_path, frame())
    m, r = str(tmp_path / "m"), str(tmp_path / "r.parquet")
    words = ["-s", "person", "-p", "word", "--features", "f*", "-m", "nothing"]
    assert main(["fit", t, *words, "-o", m]) == 0
    names = "f*" if order == "file" else ",".join(f"f{i}" for i in reversed(range(12)))
    assert main(["transform", m, t, "-o", r, "--features", names]) == 0
    found = level(tmp_path, t, r, "--modifier", m, "--features", names)
    assert found["headlines"][0]["nag"] > 0.9
    assert not found["table"]["notes"]
    (other,) = files(tmp_path, hidden(frame()).assign(person=frame()["person"]).iloc[SHUFFLED])
    assert main(["audit", other, r, *WORDS, "--features", "f*"]) == 2  # of another table's rows
    release(r, tmp_path / "out", key=KEY)
    assert read_note(tmp_path / "out" / "table.parquet", "sordine.rows") == {}


def test_a_transformed_table_that_lost_its_notes_still_has_its_ids(tmp_path: Path) -> None:
    (t,) = files(tmp_path, frame())
    before = Table.read(t, ["f*"])
    modifier = fit(before, POLICY, make("noise", {"sigma": 0.1}), run=Run(key=KEY))
    transform_file(modifier, t, tmp_path / "r.parquet", key=KEY)
    bare = pq.read_table(tmp_path / "r.parquet").replace_schema_metadata(None).take(pa.array(SHUFFLED))
    pq.write_table(bare, tmp_path / "bare.parquet")
    for name in ("r", "bare"):
        after = Table.read(tmp_path / f"{name}.parquet", check=False)
        found = same_records(before, after)
        assert (found.notes, found.by_order) == ((), False)
        assert found.released.ids.tolist() == after.ids.tolist()


def test_memory_and_files_know_each_other(tmp_path: Path) -> None:
    before = table(frame())
    modifier = fit(before, POLICY, make("noise", {"sigma": 0.1}), run=Run(key=KEY))
    after = transform(modifier, before, KEY)
    some = np.arange(0, N, 3)
    assert same_records(before, after).notes == ()
    assert same_records(before.take(some), after.take(some)).notes == ()
    after.write(tmp_path / "r.parquet")
    again = Table.read(tmp_path / "r.parquet", check=False)
    assert again.rows_of == before.rows_of != ""
    assert same_records(before, again).notes == ()
    assert table(with_ids(frame())).rows_of == ""
    table(with_ids(frame())).write(tmp_path / "ids.parquet")
    assert pq.read_schema(tmp_path / "ids.parquet").metadata is None


def test_extracted_tables_know_whose_rows_they_count(tmp_path: Path) -> None:
    before, after = files(tmp_path, frame(), frame().iloc[SHUFFLED])
    made = []
    for name, source in (("a", before), ("b", after), ("c", before)):
        extract(
            source,
            "columns",
            tmp_path / f"{name}.parquet",
            options=ExtractOptions(features=[f"f{i}" for i in range(12)]),
        )
        made.append(Table.read(tmp_path / f"{name}.parquet"))
    assert made[0].rows_of == made[2].rows_of != made[1].rows_of
    assert same_records(made[0], made[2]).released is made[2]
    assert same_records(made[0], made[1]).released.ids.tolist() == made[0].ids[SHUFFLED].tolist()


def test_a_digest_knows_order_and_numbers_but_not_blocks_or_columns() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    names = ("a", "b", "c")
    whole = rows_digest([x], names)
    assert whole == rows_digest([x[:7], x[7:]], names) == rows_digest([x[:, [2, 0, 1]]], ("c", "a", "b"))
    assert len({whole, rows_digest([x[::-1]], names), rows_digest([x[:19]], names), rows_digest([x + 1], names)}) == 4


@pytest.mark.parametrize("by_order", [True, False])
def test_copies_beside_other_records_are_found(by_order: bool) -> None:
    before = table(frame() if by_order else with_ids(frame()))
    after = table(frame().iloc[SHUFFLED] if by_order else with_ids(frame().iloc[SHUFFLED]))
    found = audit(before, after, POLICY, budget=FAST, options=AuditOptions(match_by_order=by_order, pretrained=False))
    assert "copies" in {f.code for f in found.flaws}
    assert found.verdict.level == "leaks"


def test_copies_drawn_with_replacement_are_no_shuffled_table() -> None:
    before = table(with_ids(frame()))
    for seed in range(10):
        rows = np.random.default_rng(seed).integers(0, N, N)
        assert copies_elsewhere(before, before.with_x(before.x[rows])) == []
        assert copies_elsewhere(before, before.with_x(before.x[rows]), by_order=True) == []
    assert len(copies_elsewhere(before, before.with_x(before.x[SHUFFLED]))) == 1
    some = before.x * np.float32(1.5)
    some[:30] = before.x[SHUFFLED[:30]]
    assert copies_elsewhere(before, before.with_x(some)) == []
    assert len(copies_elsewhere(before, before.with_x(some), by_order=True)) == 1
    assert copies_elsewhere(before, before.with_x(before.x[:, :6])) == []
