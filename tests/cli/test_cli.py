"""The command line: what each command makes, how wrong input ends, and what stays behind."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.attacks.runner import Budget
from sordine.cli import parsing
from sordine.cli.app import main
from sordine.cli.audit import command_line
from sordine.data.table import Table
from sordine.keys import Key
from sordine.methods.registry import load
from tests.fixtures.paths import ROOT

SORDINE = [sys.executable, "-c", "from sordine.cli.app import main; raise SystemExit(main())"]
Ends = Callable[..., str]


def people(n: int = 240, seed: int = 0) -> Table:
    """Records in which the speaker moves the first half of the columns and the word the second."""
    rng = np.random.default_rng(seed)
    speaker, word = rng.integers(0, 3, n), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:, :4] += 3 * np.eye(4)[speaker]
    x[:, 4:] += 3 * np.eye(4)[word]
    names = {"speaker": np.array(["ann", "bob", "cy"])[speaker], "word": np.array(["yes", "no"])[word]}
    return Table.of(x, {**names, "room": ["a", "b"] * (n // 2)}, ids=[f"r{i}" for i in range(n)])


def changed(path: Path, **columns: Any) -> Path:
    """The table at `path` with columns replaced (None: left out), as another file beside it."""
    table = pq.read_table(path)
    for name, values in columns.items():
        at = table.schema.names.index(name) if name in table.schema.names else None
        if values is None:
            table = table.drop_columns([name])
        elif at is None:
            table = table.append_column(name, pa.array(values))
        else:
            table = table.set_column(at, name, values if isinstance(values, pa.Array) else pa.array(values))
    other = path.with_name("changed.parquet")
    pq.write_table(table, other)
    return other


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which fit and transform were run: t.parquet, m, m.key, x.parquet."""
    folder = tmp_path_factory.mktemp("made")
    people().write(folder / "t.parquet")
    t, m, x = str(folder / "t.parquet"), str(folder / "m"), str(folder / "x.parquet")
    assert main(["fit", t, "-s", "speaker", "-p", "word", "-m", "leace", "-o", m]) == 0
    assert main(["transform", m, t, "-o", x]) == 0
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    people().write(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ends:
    """Runs a command that must end in exit 2 with one line and leave nothing new; the line."""

    def run(*words: object) -> str:
        before = set(tmp_path.rglob("*"))
        capsys.readouterr()
        code = main([str(w) for w in words])
        told = capsys.readouterr().err
        assert code == 2, told
        assert told.startswith("sordine: ")
        assert told.count("\n") == 1
        assert "Traceback" not in told
        assert set(tmp_path.rglob("*")) == before
        return told

    return run


def test_the_whole_way(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    t, x = str(made / "t.parquet"), str(made / "x.parquet")
    transformed = pq.read_table(x)
    assert set(transformed.column_names) == {"id", "split", "word", "x"}
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    quick = ["--family", "logistic", "--setting", "A", "--seed", "0", "--no-pretrained"]
    words = ["audit", t, x, "--modifier", str(made / "m"), "-o", str(page), "--json", str(data), *quick]
    capsys.readouterr()
    assert main(words) == 0
    report = json.loads(data.read_text())
    said = capsys.readouterr().out
    assert report["verdict"]["title"] in said
    assert report["policy"]["suppress"] == ["speaker"]
    assert report["policy"]["watch"] == ["room"]
    assert page.read_text().lstrip().lower().startswith("<!doctype html")
    assert main(["release", x, "-o", str(tmp_path / "out"), "--report", str(data)]) == 0
    assert any((tmp_path / "out").iterdir())


def test_an_audit_watches_what_the_fit_watched(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m, x, data = (str(tmp_path / name) for name in ("m", "x.parquet", "own.json"))
    assert main(["fit", str(table), "-s", "speaker", "-w", "word", "-m", "leace", "-o", m]) == 0
    assert main(["transform", m, str(table), "-o", x]) == 0
    quick = ["--family", "logistic", "--setting", "A", "--seed", "0", "--no-pretrained", "--json", data]
    capsys.readouterr()
    assert main(["audit", str(table), x, "--modifier", m, *quick]) == 0
    assert "not watched, as in the policy of the fit: room" in capsys.readouterr().out
    report = json.loads(Path(data).read_text())
    assert report["policy"]["watch"] == ["word"]
    assert report["made"]["command"].endswith("--json own.json")
    assert main(["audit", str(table), x, "--modifier", m, "-w", "room", *quick, "--force"]) == 0
    assert json.loads(Path(data).read_text())["policy"]["watch"] == ["room"]
    assert main(["audit", str(table), x, "-s", "speaker", *quick, "--force"]) == 0
    assert json.loads(Path(data).read_text())["policy"]["watch"] == ["word", "room"]


@pytest.mark.parametrize(("budget", "told"), [("quick", True), ("standard", False)])
def test_a_release_says_where_the_audit_was_quick(
    budget: str, told: bool, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    t, x, data = str(made / "t.parquet"), str(made / "x.parquet"), str(tmp_path / "r.json")
    least = ["--family", "logistic", "--setting", "A", "--seed", "0", "--no-pretrained", "--json", data]
    assert main(["audit", t, x, "--modifier", str(made / "m"), "--budget", budget, *least]) == 0
    capsys.readouterr()
    out = tmp_path / "out"
    assert (
        main(["release", x, "--modifier", str(made / "m"), "-o", str(out), "--report", data, "--despite-findings"]) == 0
    )
    assert ("--budget standard" in capsys.readouterr().out) is told
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
    assert "was there already" in capsys.readouterr().out
    assert load(m).card.key == Key.read(key).fingerprint


def test_names_are_given_one_by_one_or_by_commas(table: Path) -> None:
    policies = []
    for i, names in enumerate((["-s", "speaker", "-s", "room"], ["-s", "speaker,room"], ["-s", "speaker, room"])):
        m = table.parent / f"m{i}"
        assert main(["fit", str(table), *names, "-w", "none", "-m", "leace", "-o", str(m)]) == 0
        policies.append(load(m).card.policy)
    assert policies == [{"suppress": ["speaker", "room"], "preserve": [], "watch": []}] * 3


def test_settings_reach_the_method(table: Path) -> None:
    m = table.parent / "m"
    words = ["fit", str(table), "-s", "speaker", "-m", "noise", "--set", "sigma=0.25", "-o", str(m)]
    assert main(words) == 0
    assert load(m).card.fields["sigma"] == 0.25


def test_transform_keeps_what_is_asked(made: Path, tmp_path: Path, refused: Ends) -> None:
    m, t = str(made / "m"), str(made / "t.parquet")
    for keep, columns in (("none", set()), ("", set()), ("word,room", {"word", "room"})):
        out = tmp_path / f"x-{len(columns)}-{len(keep)}.parquet"
        assert main(["transform", m, t, "-o", str(out), "--keep", keep]) == 0
        assert set(pq.read_schema(out).names) == {"id", "split", "x"} | columns
    assert "suppressed" in refused("transform", m, t, "-o", tmp_path / "y.parquet", "--keep", "speaker")
    assert "did you mean 'word'" in refused("transform", m, t, "-o", tmp_path / "y.parquet", "--keep", "wrod")


def test_the_release_finds_its_key(made: Path, tmp_path: Path, refused: Ends) -> None:
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
    t, quick = str(made / "t.parquet"), ["--family", "logistic", "--setting", "A", "--no-pretrained"]
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


WRONG_TABLES: dict[str, tuple[dict[str, Any], str]] = {
    "one class": ({"speaker": ["ann"] * 240}, "one class"),
    "a class of one record": ({"speaker": ["eve"] + ["ann", "bob"] * 119 + ["ann"]}, "'eve'"),
    "no label": ({"speaker": pa.array([None] * 240, pa.string())}, "no label"),
    "an id twice": ({"id": [f"r{i}" for i in range(239)] + ["r0"]}, "'r0'"),
    "an empty split": ({"split": ["train"] * 240}, "'test'"),
    "a strange split": ({"split": ["train", "valid"] * 120}, "'valid'"),
    "no features": ({"x": None}, "--features"),
    "a column too few": ({"speaker": None}, "'speaker'"),
}


@pytest.mark.parametrize("case", WRONG_TABLES)
def test_fit_refuses_a_table(case: str, table: Path, refused: Ends) -> None:
    columns, told = WRONG_TABLES[case]
    wrong = changed(table, **columns)
    assert told in refused("fit", wrong, "-s", "speaker", "-m", "leace", "-o", table.parent / "m")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_named(value: float, made: Path, table: Path, refused: Ends) -> None:
    x = people().flat().copy()
    x[17, 3] = value
    wrong = changed(table, x=pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 8))
    told = refused("fit", wrong, "-s", "speaker", "-m", "leace", "-o", table.parent / "m")
    assert "r17" in told
    assert "r17" in refused("transform", made / "m", wrong, "-o", table.parent / "x.parquet")


def test_fit_refuses_a_call(table: Path, refused: Ends, tmp_path: Path) -> None:
    def fit(*words: object) -> str:
        return refused("fit", table, *words, "-o", tmp_path / "m")

    assert "did you mean 'speaker'" in fit("-s", "speeker")
    assert "under suppress and under preserve" in fit("-s", "word", "-p", "word")
    assert "did you mean 'leace'" in fit("-s", "speaker", "-m", "leece")
    assert "did you mean 'sigma'" in fit("-s", "speaker", "-m", "noise", "--set", "sigm=1")
    assert "sigma" in fit("-s", "speaker", "-m", "noise", "--set", "sigma=loud")
    assert "NAME=VALUE" in fit("-s", "speaker", "--set", "sigma")
    assert "did you mean '--suppress'" in fit("--supress", "speaker")
    assert "attribute to suppress" in fit("-p", "word", "-m", "leace")
    assert "tpu9" in fit("-s", "speaker", "-m", "leace", "--device", "tpu9")
    assert "no column 'y'" in fit("-s", "speaker", "--features", "y")
    assert "does not exist" in fit("-s", "speaker", "-m", "leace", "--key", tmp_path / "no.key")
    assert "does not exist" in fit("-s", "speaker", "--pool", tmp_path / "no.parquet")
    assert "did you mean 'fit'" in refused("fitt", table)
    assert "--output" in refused("fit", table)
    assert "does not exist" in refused("fit", tmp_path / "no.parquet", "-s", "a", "-o", tmp_path / "m")
    (tmp_path / "text.parquet").write_text("no table")
    assert "cannot be read as a table" in refused("fit", tmp_path / "text.parquet", "-s", "a", "-o", tmp_path / "m")


def test_fit_says_which_extract_to_run(tmp_path: Path, refused: Ends) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "metadata.csv").write_text("file_name,speaker\na.wav,ann\n")
    assert "--extractor logmel" in refused("fit", clips, "-s", "speaker", "-o", tmp_path / "m")
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("age,sex\n" + "31,f\n42,m\n" * 9)
    assert "--extractor columns" in refused("fit", mixed, "-s", "sex", "-o", tmp_path / "m")


def test_existing_outputs_are_refused_before_any_work(made: Path, tmp_path: Path, refused: Ends) -> None:
    m, t, x = made / "m", made / "t.parquet", made / "x.parquet"
    no = tmp_path / "no.parquet"  # were it looked for first, its absence would be told
    there, folder = tmp_path / "there", tmp_path / "folder"
    there.write_text("")
    folder.mkdir()
    (folder / "dear").write_text("")
    assert "--force" in refused("extract", no, "-e", "columns", "-o", there)
    assert "--force" in refused("fit", no, "-s", "speaker", "-o", m)
    assert "--force" in refused("transform", m, no, "-o", there)
    assert "--force" in refused("release", no, "-o", folder)
    assert "--force" in refused("audit", no, no, "-s", "speaker", "--json", there)
    assert "--force" in refused("audit", no, no, "-s", "speaker", "-o", there)
    assert "did not write" in refused("fit", t, "-s", "speaker", "-o", folder, "--force")
    assert "is a folder" in refused("transform", m, t, "-o", folder, "--force")
    assert "input" in refused("transform", m, t, "-o", t, "--force")
    assert "input" in refused("fit", t, "-s", "speaker", "-o", made, "--force")
    assert "is not a folder" in refused("transform", m, t, "-o", there / "x.parquet")
    assert "is not a folder" in refused("fit", t, "-s", "speaker", "-o", there / "m")
    assert (folder / "dear").exists()
    assert x.exists()


def test_transform_refuses_what_does_not_fit(made: Path, table: Path, refused: Ends, tmp_path: Path) -> None:
    m, out = tmp_path / "m", tmp_path / "x.parquet"
    m.mkdir()
    for name in ("modifier.json", "modifier.safetensors"):
        (m / name).write_bytes((made / "m" / name).read_bytes())
    assert "--key" in refused("transform", m, table, "-o", out)
    (tmp_path / "m.key").write_bytes((made / "m.key").read_bytes())
    narrow = changed(table, x=pa.FixedSizeListArray.from_arrays(pa.array(people().flat()[:, :5].reshape(-1)), 5))
    assert "shape (5,)" in refused("transform", m, narrow, "-o", out)
    assert "unique" in refused("transform", m, changed(table, id=["r0"] * 240), "-o", out)
    weights = (m / "modifier.safetensors").read_bytes()
    (m / "modifier.safetensors").write_bytes(weights[:-7])
    assert "truncated" in refused("transform", m, table, "-o", out)
    (m / "modifier.safetensors").write_bytes(weights)
    card = json.loads((m / "modifier.json").read_text())
    (m / "modifier.json").write_text(json.dumps(card | {"schema": 99}))
    assert "schema 99" in refused("transform", m, table, "-o", out)
    (m / "modifier.json").write_text(json.dumps(card)[:-9])
    assert "damaged" in refused("transform", m, table, "-o", out)
    (m / "modifier.json").unlink()
    assert "modifier.json is missing" in refused("transform", m, table, "-o", out)
    assert "not a modifier" in refused("transform", tmp_path / "no", table, "-o", out)
    (tmp_path / "m.key").write_text("no key")
    (m / "modifier.json").write_text(json.dumps(card))
    assert "hexadecimal" in refused("transform", m, table, "-o", out)


def test_audit_and_release_refuse_a_call(made: Path, refused: Ends, tmp_path: Path) -> None:
    t, x = made / "t.parquet", made / "x.parquet"
    assert "did you mean 'speaker'" in refused("audit", t, x, "-s", "speeker")
    assert "--seed" in refused("audit", t, x, "-s", "speaker", "--seed", "one")
    assert "logistic" in refused("audit", t, x, "-s", "speaker", "--family", "logistc")
    assert "setting" in refused("audit", t, x, "-s", "speaker", "--setting", "D").lower()
    assert "-s" in refused("audit", t, t)
    assert "--max-leakage" in refused("audit", t, x, "-s", "speaker", "--max-leakage", "7")
    assert "--key" in refused("release", t, "-o", tmp_path / "out")
    assert "does not exist" in refused("release", tmp_path / "no.parquet", "-o", tmp_path / "out")
    assert "no.json" in refused("release", x, "-o", tmp_path / "out", "--report", tmp_path / "no.json")


def sub(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SORDINE, *map(str, words)], capture_output=True, text=True, timeout=120, **more)


def test_a_pipe_gets_plain_lines(made: Path, tmp_path: Path) -> None:
    done = sub("transform", made / "m", made / "t.parquet", "-o", tmp_path / "x.parquet")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "240 records" in done.stdout
    assert "\x1b" not in done.stdout
    wrong = sub("transform", made / "m", made / "t.parquet", "-o", tmp_path / "x.parquet")
    assert wrong.returncode == 2
    assert re.fullmatch(r"sordine: .*--force.*\n", wrong.stderr)
    assert wrong.stdout == ""


def test_as_a_module_it_ends_with_the_same_code(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sordine", "transform", str(tmp_path / "none"), "t.parquet", "-o", "x.parquet"]
    assert subprocess.run(words, capture_output=True, timeout=120, cwd=ROOT).returncode == 2


def test_help_is_light() -> None:
    heavy = "torch numpy scipy pyarrow pandas sklearn matplotlib rich"
    check = f"import sys; from sordine.cli.app import main; main(['--help']); print(*[m for m in '{heavy}'.split() if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert "transform" in done.stdout
    assert done.stderr.strip() == ""


def test_nobody_reading_is_no_error(made: Path, tmp_path: Path) -> None:
    words = ["transform", str(made / "m"), str(made / "t.parquet"), "-o", str(tmp_path / "x.parquet")]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*SORDINE, *words], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.parquet").exists()


FAULTS: list[tuple[BaseException, int, str]] = [
    (KeyError("eh"), 3, "please report it: KeyError: 'eh'"),
    (MemoryError(), 2, "out of memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 GB"), 2, "out of memory"),
    (OSError(errno.ENOSPC, "No space left on device"), 2, "the disk is full"),
    (PermissionError(errno.EACCES, "Permission denied", "/there"), 2, "Permission denied: /there"),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.mark.parametrize(("error", "code", "told"), FAULTS, ids=lambda v: type(v).__name__)
def test_every_end_has_its_code(
    error: BaseException,
    code: int,
    told: str,
    made: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("sordine.workflow.pipeline.fit", fails)
    words = ["fit", str(made / "t.parquet"), "-s", "speaker", "-m", "leace", "-o", str(tmp_path / "m")]
    assert main(words) == code
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == (1 if told else 0)
    assert not (tmp_path / "m").exists()
    monkeypatch.setenv("SORDINE_DEBUG", "1")
    if code == 3:
        assert main(words) == 3
        assert "Traceback" in capsys.readouterr().err


def test_no_output_lies_in_another(made: Path, tmp_path: Path, refused: Ends) -> None:
    audit = ["audit", made / "t.parquet", made / "x.parquet", "-s", "speaker"]
    page = tmp_path / "j.html"
    assert "lies in" in refused(*audit, "-o", page, "--json", page / "x.json")
    assert "lies in" in refused(*audit, "-o", page / "x.html", "--json", page)
    assert "both name" in refused(*audit, "-o", page, "--json", page)


def test_features_are_named_for_both_tables_of_an_audit(tmp_path: Path, refused: Ends) -> None:
    rng = np.random.default_rng(0)
    for name in ("b", "c"):
        rows = [f"r{i},{'xy'[i % 2]},{rng.normal()},{rng.normal()}" for i in range(80)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,speaker,f1,f2", *rows]) + "\n")
    audit = [str(tmp_path / "b.csv"), str(tmp_path / "c.csv"), "-s", "speaker", "--budget", "quick", "--no-pretrained"]
    assert main(["audit", *audit, "--features", "f*"]) == 0
    assert "no feature column" in refused("audit", *audit)
    (tmp_path / "c.csv").write_text("id,g1\nr1,0.5\nr2,0.25\n")
    assert "'f*'" in refused("audit", *audit, "--features", "f*")


def test_attributes_whose_names_hold_commas_and_blanks(tmp_path: Path) -> None:
    t = people(60)
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


def test_a_field_over_a_million_is_said_whole(table: Path, tmp_path: Path, refused: Ends) -> None:
    told = refused("fit", table, "-s", "speaker", "-m", "flow", "--set", "rounds=1000001", "-o", tmp_path / "m")
    assert "rounds is 1000001; it must be at most 1000000" in told
