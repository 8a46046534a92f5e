"""The commands `protect` and `inspect`, from a source to a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sordine.cli.app import main
from sordine.cli.protect import closing_lines
from sordine.data.table import Table
from sordine.evaluation.report import Report, Verdict
from sordine.keys import Key
from sordine.workflow.job_runner import Outcome

FAST = ("--budget", "quick", "-m", "leace")


def table_of(path: Path, records: int = 240) -> Path:
    """Write a table in which the speaker shifts half of the columns, and the word the others."""
    rng = np.random.default_rng(0)
    speaker, word = rng.integers(0, 2, records), rng.integers(0, 2, records)
    x = rng.normal(size=(records, 6)).astype(np.float32)
    x[:, :3] += 4 * speaker[:, None]
    x[:, 3:] += 4 * word[:, None]
    labels = {"speaker": np.array(["ann", "bob"])[speaker], "word": np.array(["no", "yes"])[word]}
    Table.of(x, labels, ids=[f"r{i}" for i in range(records)]).write(path)
    return path


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with t.parquet and the results of `protect` in it."""
    folder = tmp_path_factory.mktemp("protect")
    table = table_of(folder / "t.parquet")
    words = ["protect", str(table), "-s", "speaker", "-p", "word", "-o", str(folder / "out"), *FAST]
    with pytest.MonkeyPatch.context() as patch:  # the split depends on the key, and so does whether LEACE is enough
        patch.setattr(Key, "fresh", classmethod(lambda cls: Key.of_seed(0)))
        assert main(words) == 0
    return folder


@pytest.mark.slow
def test_one_command_leaves_a_release_a_report_and_a_job(protected: Path) -> None:
    out = protected / "out"
    assert (out / "release" / "manifest.json").is_file()
    assert (out / "report.html").read_text().lstrip().lower().startswith("<!doctype html")
    job = yaml.safe_load((out / "job.yaml").read_text())
    assert job["policy"]["suppress"] == ["speaker"]
    assert job["method"] == "leace"
    assert not list((out / "release").rglob("*.key"))


def again(protected: Path, *words: Any) -> int:
    return main(
        ["protect", str(protected / "t.parquet"), "-s", "speaker", "-p", "word", "-o", str(protected / "out"), *FAST]
        + [str(word) for word in words]
    )


def test_the_same_command_repeats_no_stage(protected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = protected / "out"
    before = {path: path.stat().st_mtime_ns for path in (out / "release").rglob("*")}
    capsys.readouterr()
    assert again(protected) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {path: path.stat().st_mtime_ns for path in (out / "release").rglob("*")} == before
    assert str(out / "release") in "\n".join(lines[-4:])
    assert str(out / "report.html") in "\n".join(lines[-4:])


def test_the_job_runs_by_itself(protected: Path) -> None:
    assert main(["run", str(protected / "out" / "job.yaml")]) == 0


@pytest.mark.slow
def test_what_leaks_is_not_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, out = table_of(tmp_path / "t.parquet"), tmp_path / "out"
    words = ["protect", str(table), "-s", "speaker", "-p", "word", "-o", str(out), "--budget", "quick"]
    assert main([*words, "-m", "nothing", "--max-leakage", "0.1"]) == 1
    text = capsys.readouterr().out
    assert not (out / "release").exists()
    assert "Nothing was released" in text
    assert "-m" in text
    assert (out / "report.html").is_file()


@pytest.mark.parametrize(("limit", "advised"), [(None, False), (0.1, True), (1.0, False)])
def test_a_larger_limit_is_advised_where_there_is_one(tmp_path: Path, limit: float | None, advised: bool) -> None:
    lines = closing_lines(Outcome(tmp_path, None, None, withheld=True), None, limit)
    assert any("--max-leakage" in line for line in lines) == advised


def test_the_key_that_was_given_is_named(tmp_path: Path) -> None:
    outcome = Outcome(tmp_path / "out", None, tmp_path / "out" / "release")
    assert any(
        line.startswith(f"{tmp_path / 'my.key'}: ") for line in closing_lines(outcome, tmp_path / "my.key", None)
    )
    assert any(line.startswith(f"{tmp_path / 'out'}") and ".key" in line for line in closing_lines(outcome, None, None))


@pytest.mark.parametrize(("sentences", "more"), [(4, False), (5, True), (20, True)])
def test_a_verdict_that_is_cut_short_says_so(tmp_path: Path, sentences: int, more: bool) -> None:
    verdict = Verdict("unclear", "It is unclear", tuple(f"Sentence {i}." for i in range(sentences)))
    report = Report(verdict, {"suppress": ("speaker",)}, (), ())
    lines = closing_lines(Outcome(tmp_path, report, None, withheld=True), None, None)
    grade = "  Protection is not established for `speaker` by this audit: no leaks were planted."
    assert lines[:6] == ["It is unclear", grade, *(f"  Sentence {i}." for i in range(4))]
    assert any("says more about this verdict" in line for line in lines) == more


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("-p", "word"),
        ("-s", "speeker"),
        ("-s", "speaker", "-m", "leece"),
        ("-s", "speaker", "-e", "logmell"),
        ("-s", "speaker", "--budget", "fast"),
        ("-s", "speaker", "--layout", "celeba"),
        ("-s", "speaker", "--layout-option", "split=train"),
        ("-s", "speaker", "-e", "columns", "--layout", "celeba"),
    ],
)
def test_a_wrong_call_ends_before_any_work(words: tuple[str, ...], tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.parquet", 60)
    assert main(["protect", str(table), *words, "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
    assert main(["protect", str(tmp_path / "no.parquet"), *words]) == 2


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    table, out = table_of(tmp_path / "t.parquet", 60), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert main(["protect", str(table), "-s", "speaker", "-o", str(out), *FAST]) == 2
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_columns_of_a_csv_are_encoded_into_a_folder_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    sex, income = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    rows = [
        f"p{i},{'mf'[sex[i]]},{['no', 'yes'][income[i]]},{rng.normal() + sex[i]:.5f},{rng.normal() + income[i]:.5f}"
        for i in range(200)
    ]
    (tmp_path / "people.csv").write_text("\n".join(["id,sex,income,height,hours", *rows]) + "\n")
    assert main(["protect", "people.csv", "-s", "sex", "-p", "income", *FAST]) in (0, 1)
    out = tmp_path / "people-protected"
    job = yaml.safe_load((out / "job.yaml").read_text())
    assert job["extractor"] == "columns"
    assert (out / "report.json").is_file()


def test_inspect_lists_what_a_table_contains(protected: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    before = set(protected.rglob("*"))
    assert main(["inspect", str(protected / "t.parquet"), "-s", "speaker", "-p", "word", "--no-measure"]) == 0
    text = capsys.readouterr().out
    assert set(protected.rglob("*")) == before
    for word in ("240 records", "speaker", "word", "ann", "transport"):
        assert word in text


def test_inspect_refuses_what_it_does_not_know(protected: Path) -> None:
    assert main(["inspect", str(protected / "no.parquet")]) == 2
    assert main(["inspect", str(protected / "t.parquet"), "-s", "speeker"]) == 2
    assert main(["inspect", str(protected / "t.parquet"), "--layout", "celeba"]) == 2


@pytest.mark.slow
def test_a_strength_is_chosen_for_the_records_of_one_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of(tmp_path / "t.parquet", 2400)
    words = ["protect", str(table), "-s", "speaker", "-p", "word", "--budget", "quick"]
    few = tmp_path / "few"
    main([*words, "-o", str(few), "-m", "noise", "--records-per-person", "2"])
    found = json.loads((few / "modifier" / "modifier.json").read_text())["fit"]["records_per_person"]
    assert found["records"] == 2
    assert found["forecast"] <= 0.1
    assert yaml.safe_load((few / "job.yaml").read_text())["records_per_person"] == 2
    capsys.readouterr()
    many = tmp_path / "many"
    assert main([*words, "-o", str(many), "-m", "noise", "--records-per-person", "1000000"]) == 1
    assert "No option keeps the forecast under 10.0 % for 1000000 records" in capsys.readouterr().out
    assert not (many / "release").exists()
    both = ["-o", str(tmp_path / "none"), "-m", "noise", "--option", "sigma=2", "--records-per-person", "2"]
    assert main([*words, *both]) == 2
    assert "option 'sigma' is set and also varies" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
