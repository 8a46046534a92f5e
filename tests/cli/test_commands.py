"""What each command writes and prints."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sordine.attacks.budget import Budget
from sordine.cli import parsing
from sordine.cli.app import main
from sordine.cli.audit import command_line
from sordine.data.table import Table
from sordine.keys import Key
from sordine.methods.registry import load
from tests.fixtures.voices import voices

Refused = Callable[..., str]


def test_fit_transform_audit_and_release(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    t, x = str(made / "t.parquet"), str(made / "x.parquet")
    transformed = pq.read_table(x)
    assert set(transformed.column_names) == {"id", "split", "word", "x"}
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    quick = ["--attack", "logistic", "--scenario", "A", "--seed", "0", "--no-pretrained"]
    words = ["audit", t, x, "--modifier", str(made / "m"), "-o", str(page), "--json", str(data), *quick]
    capsys.readouterr()
    assert main(words) == 0
    report = json.loads(data.read_text())
    output = capsys.readouterr().out
    assert report["verdict"]["title"] in output
    assert report["policy"]["suppress"] == ["speaker"]
    assert report["policy"]["watch"] == ["room"]
    assert page.read_text().lstrip().lower().startswith("<!doctype html")
    # The voices are few, and an attacker that knows some of them infers the others.
    assert main(["release", x, "-o", str(tmp_path / "out"), "--report", str(data), "--despite-findings"]) == 0
    assert any((tmp_path / "out").iterdir())


@pytest.mark.slow
def test_an_audit_watches_what_the_fit_watched(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m, x, data = (str(tmp_path / name) for name in ("m", "x.parquet", "own.json"))
    assert main(["fit", str(table), "-s", "speaker", "-w", "word", "-m", "leace", "-o", m]) == 0
    assert main(["transform", m, str(table), "-o", x]) == 0
    quick = ["--attack", "logistic", "--scenario", "A", "--seed", "0", "--no-pretrained", "--json", data]
    capsys.readouterr()
    assert main(["audit", str(table), x, "--modifier", m, *quick]) == 0
    assert "room" in capsys.readouterr().out
    report = json.loads(Path(data).read_text())
    assert report["policy"]["watch"] == ["word"]
    assert report["made"]["command"].endswith("--json own.json")
    assert main(["audit", str(table), x, "--modifier", m, "-w", "room", *quick, "--force"]) == 0
    assert json.loads(Path(data).read_text())["policy"]["watch"] == ["room"]
    assert main(["audit", str(table), x, "-s", "speaker", *quick, "--force"]) == 0
    assert json.loads(Path(data).read_text())["policy"]["watch"] == ["word", "room"]


@pytest.mark.parametrize(("budget", "noted"), [("quick", True), ("standard", False)])
def test_a_release_notes_a_quick_audit(
    budget: str, noted: bool, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t, x, data = str(made / "t.parquet"), str(made / "x.parquet"), str(tmp_path / "r.json")
    least = ["--attack", "logistic", "--scenario", "A", "--seed", "0", "--no-pretrained", "--json", data]
    assert main(["audit", t, x, "--modifier", str(made / "m"), "--budget", budget, *least]) == 0
    capsys.readouterr()
    out = tmp_path / "out"
    assert (
        main(["release", x, "--modifier", str(made / "m"), "-o", str(out), "--report", data, "--despite-findings"]) == 0
    )
    assert ("--budget standard" in capsys.readouterr().out) is noted
    audited = json.loads((out / "manifest.json").read_text())["audit"]
    assert (audited["budget"], audited["families"], audited["settings"]) == (budget, ["logistic"], ["A"])


def test_the_key_is_made_once_beside_the_modifier(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m, key = table.parent / "m", table.parent / "m.key"
    words = ["fit", str(table), "-s", "speaker", "-m", "nothing", "-o", str(m)]
    assert main(words) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert not list(m.glob("*.key"))
    assert str(key) in capsys.readouterr().out
    first = key.read_text()
    assert main([*words, "--force"]) == 0
    assert key.read_text() == first
    assert str(key) in capsys.readouterr().out
    assert load(m).card.key == Key.read(key).fingerprint


def test_names_are_given_one_by_one_or_by_commas(table: Path) -> None:
    policies = []
    for i, names in enumerate((["-s", "speaker", "-s", "room"], ["-s", "speaker,room"], ["-s", "speaker, room"])):
        m = table.parent / f"m{i}"
        assert main(["fit", str(table), *names, "-w", "none", "-m", "leace", "-o", str(m)]) == 0
        policies.append(load(m).card.policy)
    assert policies == [{"suppress": ["speaker", "room"], "preserve": [], "watch": []}] * 3


def test_names_may_contain_commas_and_blanks(tmp_path: Path) -> None:
    t = voices(60)
    named = {"mot=clé,1": t.y["speaker"], " word ": t.y["word"], "room": t.y["room"]}
    Table.of(t.x, {k: v.astype(str) for k, v in named.items()}, ids=list(t.ids)).write(tmp_path / "t.parquet")
    words = ["-s", "mot=clé,1", "-p", " word ", "-m", "leace", "-o", str(tmp_path / "m")]
    assert main(["fit", str(tmp_path / "t.parquet"), *words]) == 0
    policy = json.loads((tmp_path / "m" / "modifier.json").read_text())["policy"]
    assert policy == {"suppress": ["mot=clé,1"], "preserve": [" word "], "watch": ["room"]}
    both = parsing.policy([" word ,room", "mot=clé,1"], None, None, tmp_path / "t.parquet")
    assert both.suppress == (" word ", "room", "mot=clé,1")
    assert parsing.names(["a, b", "c"], tmp_path / "none.parquet") == ("a", "b", "c")
    line = command_line(("t", "x"), both, None, Budget.quick())
    assert "-s ' word ' -s room -s 'mot=clé,1'" in line


@pytest.mark.parametrize("name", ["--option", "--set"])
def test_options_reach_the_method(name: str, table: Path) -> None:
    m = table.parent / "m"
    words = ["fit", str(table), "-s", "speaker", "-m", "noise", name, "sigma=0.25", "-o", str(m)]
    assert main(words) == 0
    assert load(m).card.fields["sigma"] == 0.25


def test_transform_copies_the_named_columns(made: Path, tmp_path: Path, refused: Refused) -> None:
    m, t = str(made / "m"), str(made / "t.parquet")
    for keep, columns in (("none", set()), ("", set()), ("word,room", {"word", "room"})):
        out = tmp_path / f"x-{len(columns)}-{len(keep)}.parquet"
        assert main(["transform", m, t, "-o", str(out), "--keep", keep]) == 0
        assert set(pq.read_schema(out).names) == {"id", "split", "x"} | columns
    assert "speaker" in refused("transform", m, t, "-o", tmp_path / "y.parquet", "--keep", "speaker")
    assert "did you mean 'word'" in refused("transform", m, t, "-o", tmp_path / "y.parquet", "--keep", "wrod")


def test_the_release_finds_its_key(made: Path, tmp_path: Path, refused: Refused) -> None:
    for name in ("x.parquet", "m.key"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    Key.fresh().write(tmp_path / "another.key")
    x = tmp_path / "x.parquet"
    assert main(["release", str(x), "-o", str(tmp_path / "first")]) == 0
    (tmp_path / "m.key").rename(tmp_path / "m.hidden")
    assert "--key" in refused("release", x, "-o", tmp_path / "second")
    assert main(["release", str(x), "-o", str(tmp_path / "second"), "--key", str(tmp_path / "m.hidden")]) == 0
    assert main(["release", str(x), "-o", str(tmp_path / "third"), "--modifier", str(made / "m")]) == 0


def test_too_much_leakage_ends_in_1(made: Path, tmp_path: Path) -> None:
    t, quick = str(made / "t.parquet"), ["--attack", "logistic", "--scenario", "A", "--no-pretrained"]
    m, x = str(tmp_path / "m"), str(tmp_path / "x.parquet")
    assert main(["fit", t, "-s", "speaker", "-p", "word", "-m", "nothing", "-o", m]) == 0
    assert main(["transform", m, t, "-o", x]) == 0
    report = tmp_path / "r.json"
    assert main(["audit", t, x, "-s", "speaker", *quick]) == 0
    assert main(["audit", t, x, *quick, "--max-leakage", "0.2", "--json", str(report)]) == 1
    assert json.loads(report.read_text())["passed"] is False
    assert main(["release", x, "-o", str(tmp_path / "out"), "--report", str(report)]) == 2
    assert not (tmp_path / "out").exists()
    words = ["release", x, "-o", str(tmp_path / "out"), "--report", str(report), "--despite-findings"]
    assert main(words) == 0


def test_features_are_named_for_both_tables_of_an_audit(tmp_path: Path, refused: Refused) -> None:
    rng = np.random.default_rng(0)
    for name in ("b", "c"):
        rows = [f"r{i},{'xy'[i % 2]},{rng.normal()},{rng.normal()}" for i in range(80)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,speaker,f1,f2", *rows]) + "\n")
    audit = [str(tmp_path / "b.csv"), str(tmp_path / "c.csv"), "-s", "speaker", "--budget", "quick", "--no-pretrained"]
    assert main(["audit", *audit, "--features", "f*"]) == 0
    assert "b.csv" in refused("audit", *audit)
    (tmp_path / "c.csv").write_text("id,g1\nr1,0.5\nr2,0.25\n")
    assert "'f*'" in refused("audit", *audit, "--features", "f*")
