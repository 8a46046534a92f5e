"""What leaves the house: nothing in it says who is who, and everything in it is as the manifest says."""

from __future__ import annotations

import importlib
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.attacks.results import ExactFinding
from sordine.data.files import sha256
from sordine.data.table_io import TableFile, feature_array, feature_type
from sordine.errors import SordineError
from sordine.evaluation.report import Headline, Report, Verdict
from sordine.evaluation.report_json import write_report
from sordine.evaluation.verdict import judge
from sordine.keys import Key
from sordine.run import Run
from sordine.workflow.release.manifest import MANIFEST, Released, links_beside
from sordine.workflow.release.table import TABLE, release

MODULE = importlib.import_module("sordine.workflow.release.table")  # as an attribute of the package it is the verb
KEY, OTHER = Key.of_seed(1), Key.of_seed(2)
NOTE = {
    "method": "mass",
    "policy": {"suppress": ["speaker"], "preserve": ["word"], "watch": []},
    "key": KEY.fingerprint,
    "modifier": "5" * 64,
    "kept": ["word", "file_name", "age"],
}


def transformed(path: Path, rows: int = 300, shape: tuple[int, ...] = (6,), note: dict | None = NOTE, **more) -> Path:
    """A file as sordine transform leaves it: id, split, kept columns and x, in several row groups."""
    rng = np.random.default_rng(3)
    ids = [f"original-{i:06d}" for i in range(rows)]
    columns = {
        "id": pa.array(ids),
        "word": pa.array([None if i == 7 else ["yes", "no"][i % 2] for i in range(rows)]).dictionary_encode(),
        "split": pa.array(["train" if i % 4 else "test" for i in range(rows)]),
        "file_name": pa.array([f"clips/secret-{i}.wav" for i in range(rows)]),
        "age": pa.array(rng.normal(size=rows)),
        **{name: pa.array(column) for name, column in more.items()},
    }
    x = rng.normal(size=(rows, *shape)).astype(np.float32)
    x.reshape(rows, -1)[:, 0] = np.arange(rows)  # tells the record
    fields = [pa.field(n, c.type, metadata={"from": "voices.parquet"}) for n, c in columns.items()]
    schema = pa.schema(
        [*fields, pa.field("x", feature_type(shape))],
        metadata={"pandas": "{}", **({} if note is None else {"sordine.transform": json.dumps(note)})},
    )
    pq.write_table(pa.table([*columns.values(), feature_array(x)], schema=schema), path, row_group_size=70)
    return path


def report(level: str = "holds", **made) -> Report:
    head = Headline(
        "speaker", "suppress", 12, "A", "mlp", "trees", 0.9, 0.1, 0.1, 0.0, -0.02, 0.02, 0.02, True, (0.8, 1), (0.08,
        0.12), sentence="Nobody reads speaker.",
    )  # fmt: skip
    verdict = Verdict(level, "It is so", ("In words.",))  # type: ignore[arg-type]
    return Report(verdict, {"suppress": ("speaker",)}, (head,), (), made=made)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return transformed(tmp_path / "voices-transformed.parquet")


@pytest.fixture
def done(source: Path, tmp_path: Path) -> Released:
    return release(source, tmp_path / "out", key=KEY)


def test_rows_are_the_records_in_keyed_order(source: Path, done: Released) -> None:
    before, after = pq.read_table(source), pq.read_table(done.folder / TABLE)
    assert after.column_names == ["id", "split", "word", "age", "x"]
    assert done.columns == tuple(after.column_names)
    assert done.dropped == ("file_name",)
    ids = before["id"].to_pylist()
    order = KEY.order("release order", ids)
    for name in ("split", "word", "age", "x"):
        assert after[name].to_pylist() == before[name].take(pa.array(order)).to_pylist()
    assert after["id"].to_pylist() == KEY.pseudonyms([ids[i] for i in order])
    assert order.tolist() != list(range(len(ids)))


def test_order_and_pseudonyms_follow_the_key_alone(source: Path, done: Released, tmp_path: Path) -> None:
    again = release(source, tmp_path / "again", key=KEY)
    assert (again.folder / TABLE).read_bytes() == (done.folder / TABLE).read_bytes()
    assert again.manifest == done.manifest
    other = pq.read_table(release(source, tmp_path / "other", key=OTHER).folder / TABLE)
    mine = pq.read_table(done.folder / TABLE)
    assert not set(other["id"].to_pylist()) & set(mine["id"].to_pylist())
    assert other["age"].to_pylist() != mine["age"].to_pylist()
    assert sorted(other["age"].to_pylist()) == sorted(mine["age"].to_pylist())


def test_nothing_in_the_directory_tells_the_original(source: Path, done: Released) -> None:
    assert {p.name for p in done.folder.iterdir()} == {TABLE, MANIFEST}
    blob = b"".join(p.read_bytes() for p in done.folder.iterdir())
    words = str(pq.read_table(done.folder / TABLE).to_pylist()).encode()
    for secret in (
        "original-",
        "secret-",
        ".wav",
        "voices",
        "file_name",
        KEY.fingerprint,
        KEY.secret.hex(),
        str(done.folder),
    ):
        assert secret.encode() not in blob
        assert secret.encode() not in words
    assert KEY.secret not in blob


def test_the_file_carries_no_metadata(done: Released) -> None:
    schema = pq.read_schema(done.folder / TABLE)
    assert schema.metadata is None
    assert all(not f.metadata for f in schema)
    assert not any(pa.types.is_dictionary(f.type) for f in schema)
    # The Arrow schema stays: without it a list would lose its fixed length.
    assert set(pq.read_metadata(done.folder / TABLE).metadata or {}) <= {b"ARROW:schema"}


@pytest.mark.parametrize("shape", [(1,), (2, 3), (2, 3, 4)])
def test_records_keep_their_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    done = release(transformed(tmp_path / "t.parquet", 20, shape), tmp_path / "out", key=KEY)
    assert TableFile(done.folder / TABLE).shape == shape
    assert done.manifest["columns"]["x"] == f"float32 [{' x '.join(map(str, shape))}]"


def test_manifest_tells_the_truth(source: Path, tmp_path: Path) -> None:
    audit = report(released_sha256=sha256(source), known=[0.5], left_out=["scenario C"])
    write_report(audit, json=tmp_path / "report.json")
    done = release(source, tmp_path / "out", key=KEY, report=audit)
    manifest = json.loads((done.folder / MANIFEST).read_text())
    assert manifest == done.manifest
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": sha256(done.folder / name), "bytes": (done.folder / name).stat().st_size}
    assert {p.name for p in done.folder.iterdir()} == {*manifest["files"], MANIFEST}
    assert manifest["rows"] == done.rows == 300
    assert list(manifest["columns"]) == ["id", "split", "word", "age", "x"]
    assert manifest["method"] == "mass"
    assert manifest["policy"] == NOTE["policy"]
    assert manifest["audit"]["verdict"] == {
        "level": "holds",
        "grade": "strong",
        "not_excluded": None,
        "title": "It is so",
        "sentences": ["In words."],
    }
    assert manifest["audit"]["known"] == [0.5]
    assert manifest["audit"]["left_out"] == ["scenario C"]
    assert manifest["audit"]["attributes"][0]["nag"] == 0.0
    assert manifest["audit"]["attributes"][0]["not_excluded"] == 0.02
    assert manifest["audit"]["report_sha256"] == sha256(tmp_path / "report.json")


def test_without_a_report_the_manifest_says_so(done: Released) -> None:
    assert done.manifest["audit"] == "not audited"


def test_link_table_stays_beside_and_is_the_owners_alone(source: Path, done: Released) -> None:
    assert done.links == links_beside(done.folder) == done.folder.parent.absolute() / "out.links.parquet"
    assert stat.S_IMODE(done.links.stat().st_mode) == 0o600
    links = pq.read_table(done.links).to_pydict()
    assert links["id"] == pq.read_table(source)["id"].to_pylist()
    assert links["pseudonym"] == KEY.pseudonyms(links["id"])


def test_another_key_is_only_noted(source: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    release(source, tmp_path / "out", key=OTHER, run=Run(log=lines.append))
    assert any("another" in line for line in lines)
    assert any("file_name" in line for line in lines)


def test_a_file_that_was_not_transformed_is_never_released(tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    pq.write_table(pa.table({"x": feature_array(x)}), tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="not written by sordine transform"):
        release(tmp_path / "t.parquet", tmp_path / "out", key=KEY, force_leaky=True)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_records_that_are_not_finite_are_not_released(tmp_path: Path) -> None:
    source = transformed(tmp_path / "t.parquet", 20)
    table = pq.read_table(source)
    x = np.stack(table["x"].to_numpy()).astype(np.float32)
    x[3, 0] = np.nan
    broken = table.set_column(table.column_names.index("x"), "x", feature_array(x))
    pq.write_table(broken.replace_schema_metadata(table.schema.metadata), source)
    with pytest.raises(SordineError, match=r"\(row 3\) contains NaN"):
        release(source, tmp_path / "out", key=KEY)


# -------------------------------------------------------------------------------------------------------- refusals


def refused(words: str, source: Path, output: Path, **more) -> None:
    before = sorted(output.parent.rglob("*"))
    with pytest.raises(SordineError, match=words) as caught:
        release(source, output, key=KEY, **more)
    assert "\n" not in str(caught.value)
    assert sorted(output.parent.rglob("*")) == before


def test_a_suppressed_column_is_refused(tmp_path: Path) -> None:
    source = transformed(tmp_path / "t.parquet", 20, speaker=["a", "b"] * 10)
    refused("suppressed column 'speaker'", source, tmp_path / "out")


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    table = pq.read_table(transformed(tmp_path / "t.parquet", 20))
    pq.write_table(pa.concat_tables([table, table]), tmp_path / "t.parquet")
    refused("id 'original-000000' occurs twice", tmp_path / "t.parquet", tmp_path / "out")


@pytest.mark.parametrize("level", ["leaks", "broken"])
def test_findings_stop_a_release_unless_forced(level: str, source: Path, tmp_path: Path) -> None:
    refused("--despite-findings", source, tmp_path / "out", report=report(level))
    messages: list[str] = []
    done = release(
        source, tmp_path / "out", key=KEY, report=report(level), force_leaky=True, run=Run(log=messages.append)
    )
    assert any("DESPITE" in line for line in messages)
    assert done.manifest["audit"]["verdict"]["level"] == level


def test_unclear_findings_do_not_but_are_logged(source: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    release(source, tmp_path / "out", key=KEY, report=report("unclear"), run=Run(log=messages.append))
    assert any("unclear" in line for line in messages)


def test_a_limit_that_was_not_kept_stops_a_release(source: Path, tmp_path: Path) -> None:
    over = replace(report("unclear"), max_leakage=0.1, passed=False)
    refused("more than its limit of 10 %", source, tmp_path / "out", report=over)
    messages: list[str] = []
    done = release(source, tmp_path / "out", key=KEY, report=over, force_leaky=True, run=Run(log=messages.append))
    assert any("DESPITE" in line for line in messages)
    assert (done.manifest["audit"]["max_leakage"], done.manifest["audit"]["passed"]) == (0.1, False)


HEAD = Headline(
    "speaker", "suppress", 12, "A", "mlp", "trees", 0.9, 0.1, 0.1, 0.0, -0.1, 0.1, 0.1, True, (0.8, 1), (0.08, 0.12),
    sentence="Somebody reads.",
)  # fmt: skip


def judged(
    nag: float, low: float, high: float, limit: float | None, *exact: ExactFinding
) -> tuple[Verdict, bool | None]:
    head = replace(HEAD, nag=nag, low=low, high=high)
    return judge([head], [], exact, ("speaker",), limit)


def state(limit: float | None = None, **figures) -> str:
    return judge([replace(HEAD, **figures)], [], [], ("speaker",), limit)[0].level


@pytest.mark.parametrize(("high", "resolvable"), [(0.03, 0.02), (0.02, 0.03), (0.05, 0.05), (0.05, None)])
def test_a_verdict_holds_up_to_what_cannot_be_excluded_and_says_it(high: float, resolvable: float | None) -> None:
    head = replace(HEAD, nag=0.0, low=-0.01, high=high, resolvable=resolvable)
    verdict, _ = judge([head], [], [], ("speaker",), None)
    assert verdict.level == "holds"
    assert head.not_excluded == max(high, resolvable or 0.0)
    assert f"{100 * head.not_excluded:.1f} %" in verdict.title


@pytest.mark.parametrize(
    ("high", "resolvable", "limit"),
    [
        (0.021, 0.125, None),  # an attacker that always predicts the same class has a short interval
        (0.06, 0.02, None),  # at chance, and under a quarter
        (0.2, 0.2, None),
        (0.12, 0.02, 0.1),
        (0.02, 0.12, 0.1),
        (0.5, 0.1, None),
    ],
)
def test_nothing_holds_beyond_the_limit_though_at_chance(high: float, resolvable: float, limit: float | None) -> None:
    head = replace(HEAD, nag=0.0, low=-0.003, high=high, resolvable=resolvable)
    verdict, passed = judge([head], [], [], ("speaker",), limit)
    assert (verdict.level, passed) == ("unclear", None if limit is None else True)
    assert f"{100 * max(high, resolvable):.1f} %" in verdict.title
    assert state(0.5, nag=0.0, low=-0.003, high=high, resolvable=resolvable) == "holds"


def test_the_title_has_the_worst_of_all_attributes_and_of_the_exact_attacker() -> None:
    one = replace(HEAD, low=-0.01, high=0.02, resolvable=0.01)
    two = replace(one, attribute="sex", resolvable=0.04)
    assert "4.0 %" in judge([one, two], [], [], ("speaker", "sex"), None)[0].title
    exact = ExactFinding(("speaker",), (), "unseen", 0.136, 0.1, 0.1, 0.11, 400)
    verdict, _ = judge([one], [], [exact], ("speaker",), None)
    assert verdict.level == "holds"
    assert "4.5 %" in verdict.title  # (.136 - .1) / (.9 - .1)


def test_without_a_share_the_interval_of_what_is_predicted_decides() -> None:
    unread = replace(HEAD, nag=None, low=None, high=None, resolvable=None, guess=0.5)
    narrow, wide = replace(unread, after_interval=(0.49, 0.52)), replace(unread, after_interval=(0.4, 0.6))
    assert narrow.not_excluded == pytest.approx(0.04)
    assert [judge([h], [], [], ("speaker",), None)[0].level for h in (narrow, wide)] == ["unclear", "unclear"]
    assert replace(unread, guess=1.0, after_interval=(0.9, 1.0)).not_excluded == 0.0


def test_what_is_read_within_the_limit_holds_and_the_limit_is_kept() -> None:
    # Under the limit, but read all the same.
    head = replace(HEAD, nag=0.5, low=0.4, high=0.6, at_chance=False)
    verdict, passed = judge([head], [], [], ("speaker",), 0.8)
    assert (verdict.level, passed) == ("holds", True)
    assert "60.0 %" in verdict.title
    # At chance only because so many attacks were tried: its own interval lies above 0.
    verdict, passed = judged(0.08, 0.01, 0.15, 0.1)
    assert (verdict.level, passed) == ("unclear", True)
    assert "by chance" in verdict.sentences[0]
    verdict, passed = judged(0.15, -0.1, 0.2, 0.1)
    assert (verdict.level, passed) == ("unclear", False)
    assert "above the limit of 10.0 %" in verdict.title
    # A limit that so few records cannot certify.
    few = replace(HEAD, nag=0.15, low=-0.1, high=0.2, resolvable=0.18, records=375)
    verdict, passed = judge([few], [], [], ("speaker",), 0.1)
    assert (verdict.level, passed) == ("unclear", False)
    assert verdict.title.endswith("by chance: 375 records cannot certify less than 18.0 %")


def test_what_only_the_best_possible_attacker_reads_is_called_his() -> None:
    exact = ExactFinding(("speaker",), (), "unseen", 0.5, 0.1, 0.12, 0.15, 400)
    verdict, _ = judged(0.01, -0.05, 0.1, None, exact)
    assert verdict.level == "leaks"
    assert verdict.title.endswith("`speaker` to the optimal attacker")


def test_a_report_of_other_records_is_refused(source: Path, tmp_path: Path) -> None:
    refused("other records", source, tmp_path / "out", report=report(released_sha256="0" * 64))


def test_existing_output_needs_force(source: Path, done: Released) -> None:
    refused("out exists", source, done.folder)
    done.folder.rename(done.folder.with_name("moved"))
    refused("links.parquet exists", source, done.folder)
    done.folder.with_name("moved").rename(done.folder)
    old = (done.folder / TABLE).read_bytes()
    release(source, done.folder, key=OTHER, force=True)
    assert (done.folder / TABLE).read_bytes() != old
    assert stat.S_IMODE(done.links.stat().st_mode) == 0o600


def test_force_replaces_nothing_but_a_release(source: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    refused("other files", source, tmp_path / "home", force=True)
    (tmp_path / "file").write_text("")
    refused("other files", source, tmp_path / "file", force=True)


def test_force_never_replaces_a_media_folder(source: Path, done: Released, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    (clips / "data").mkdir(parents=True)
    (clips / "data" / "a.wav").write_text("a voice")
    (clips / "metadata.csv").write_text("file_name\ndata/a.wav\n")
    refused("other files", source, clips, force=True)
    (done.folder / "thesis.txt").write_text("years of work")
    refused("other files", source, done.folder, force=True)


def test_a_fault_midway_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(tmp_path.rglob("*"))
    for name in ("_in_order", "write_manifest", "write_links"):
        with monkeypatch.context() as patch:

            def fail(*given: object, **named: object) -> None:
                raise KeyboardInterrupt

            patch.setattr(MODULE, name, fail)
            with pytest.raises(KeyboardInterrupt):
                release(source, tmp_path / "out", key=KEY)
        assert sorted(tmp_path.rglob("*")) == before


def test_a_fault_midway_keeps_the_earlier_release(
    source: Path, done: Released, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = {p: p.read_bytes() for p in (done.folder / TABLE, done.folder / MANIFEST, done.links)}

    def fail(*given: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(MODULE, "write_manifest", fail)
    with pytest.raises(RuntimeError):
        release(source, done.folder, key=OTHER, force=True)
    assert {p: p.read_bytes() for p in old} == old


def test_blocks_do_not_show(source: Path, done: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "rows_at_once", lambda shape: 37)
    small = release(source, tmp_path / "small", key=KEY)
    assert pq.read_table(small.folder / TABLE).equals(pq.read_table(done.folder / TABLE))


def test_a_report_can_be_changed_and_then_differs(source: Path, tmp_path: Path) -> None:
    first = release(source, tmp_path / "a", key=KEY, report=report())
    second = release(source, tmp_path / "b", key=KEY, report=replace(report(), passed=True))
    assert first.manifest["audit"]["report_sha256"] != second.manifest["audit"]["report_sha256"]


def test_two_audits_at_different_times_give_equal_releases(source: Path, tmp_path: Path) -> None:
    for name, date in (("a", "2026-01-01T00:00:00Z"), ("b", "2026-01-02T00:00:00Z")):
        dated = replace(report(), made={**report().made, "provenance": {"date": date, "original": "0"}})
        release(source, tmp_path / name, key=KEY, report=dated)
    a, b = ((tmp_path / name / "manifest.json").read_bytes() for name in "ab")
    assert a == b
