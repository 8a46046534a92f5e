"""Job files: what is refused before anything is loaded, what is done again, and what a kill leaves."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from sordine.cli.app import main
from sordine.data.files import sha256
from sordine.data.table import Table
from sordine.data.table_io import write_table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.workflow import job as jobfile
from sordine.workflow.job import Job, described, read_job
from sordine.workflow.stages import address, folder_of_job
from tests.fixtures.paths import ROOT

SORDINE = [sys.executable, "-c", "from sordine.cli.app import main; raise SystemExit(main())"]
QUICK: dict[str, Any] = {"families": ["logistic"], "settings": ["A"], "pretrained": False}


def people(n: int = 240) -> Table:
    rng = np.random.default_rng(0)
    speaker, word = rng.integers(0, 3, n), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:, :4] += 3 * np.eye(4)[speaker]
    x[:, 4:] += 3 * np.eye(4)[word]
    names = {"speaker": np.array(["ann", "bob", "cy"])[speaker], "word": np.array(["yes", "no"])[word]}
    return Table.of(x, names, ids=[f"r{i}" for i in range(n)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(people(), tmp_path / "t.parquet")
    return tmp_path


def plain(**more: Any) -> dict[str, Any]:
    """A job that takes a second."""
    return {
        "source": "t.parquet",
        "policy": {"suppress": ["speaker"], "preserve": ["word"]},
        "method": "leace",
        "audit": QUICK,
        "out": "out",
        **more,
    }


def write(folder: Path, job: dict[str, Any] | str) -> Path:
    path = folder / "job.yaml"
    path.write_text(job if isinstance(job, str) else yaml.safe_dump(job))
    return path


WRONG: dict[str, tuple[dict[str, Any] | str, str]] = {
    "an unknown key": (plain(metod="leace"), "job.yaml: metod: unknown key; did you mean 'method'?"),
    "an unknown key below": (
        plain(policy={"supress": ["speaker"]}),
        "job.yaml: policy.supress: unknown key; did you mean 'suppress'?",
    ),
    "an unknown audit key": (plain(audit={"seed": [0]}), "job.yaml: audit.seed: unknown key; did you mean 'seeds'?"),
    "no source": ({"policy": {"suppress": "speaker"}}, "job.yaml: source: is missing"),
    "a source that is not there": (plain(source="no.parquet"), "no.parquet does not exist"),
    "a column to keep that is not there": (plain(keep=["wrd"]), "no column 'wrd' to keep; did you mean 'word'?"),
    "a suppressed column to keep": (plain(keep=["speaker"]), "column 'speaker' is suppressed"),
    "a person that is not there": (plain(audit={"person": "prsn"}), "audit.person: no column 'prsn'"),
    "a pool that is not there": (plain(pool="no.parquet"), "pool"),
    "a number that is none": (plain(seed="many"), "job.yaml: seed: "),
    "a share above one": (plain(audit={"max_leakage": 3}), "job.yaml: audit.max_leakage: "),
    "a wrong kind": (plain(settings=[1]), "job.yaml: settings: "),
    "both roles": (plain(policy={"suppress": ["word"], "preserve": ["word"]}), "attribute 'word'"),
    "no YAML": ("source: t.parquet\npolicy: {suppress: [speaker\nmethod: leace\n", "job.yaml, line 3: "),
    "a key twice": ("source: t.parquet\nseed: 1\nseed: 2\n", "job.yaml, line 3: key 'seed'"),
    "no mapping": ("- a\n", "not a job"),
    "nothing": ("", "not a job"),
    "options without an extractor": (plain(options={"bands": 3}), "job.yaml: options: "),
    "an unknown method": (plain(method="leece"), "did you mean 'leace'?"),
    "an unknown field": (plain(method="noise", settings={"sigm": 1}), "did you mean 'sigma'?"),
    "an unknown extractor": (plain(extractor="logmal"), "did you mean 'logmel'?"),
    "an unknown family": (plain(audit={"families": ["logistc"]}), "logistic"),
    "an unknown attribute": (plain(policy={"suppress": ["speeker"]}), "did you mean 'speaker'?"),
    "an output over its input": (plain(out="t.parquet"), "t.parquet"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_job_is_refused_in_one_line(case: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, token = WRONG[case]
    assert main(["run", str(write(folder, job))]) == 2
    line = capsys.readouterr().err
    assert token in line
    assert line.count("\n") == 1
    assert not (folder / "out").exists()


def test_a_missing_job_and_a_folder_of_other_things(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder / "no.yaml")]) == 2
    assert "does not exist" in capsys.readouterr().err
    (folder / "mine").mkdir()
    (folder / "mine" / "dear.txt").write_text("")
    assert main(["run", str(write(folder, plain())), "--out", str(folder / "mine")]) == 2
    assert "with -o" in capsys.readouterr().err
    assert [p.name for p in (folder / "mine").iterdir()] == ["dear.txt"]


def test_names_may_be_lists_or_commas(folder: Path) -> None:
    assert read_job(write(folder, plain(policy={"suppress": "speaker, word", "watch": "none"}))).policy_of().watch == ()
    assert read_job(write(folder, plain(keep="none"))).keep == ()
    assert read_job(write(folder, plain())).keep is None
    job = read_job(write(folder, plain(policy={"suppress": "speaker, word"})))
    assert job.policy_of().suppress == ("speaker", "word")
    assert job.policy_of().watch == "all others"
    assert job.source == folder / "t.parquet"
    assert read_job(write(folder, {k: v for k, v in plain().items() if k != "out"})).out == folder / "job-out"


def test_the_schema_is_up_to_date() -> None:
    made = ROOT / "docs" / "job.schema.json"
    assert made.read_text(encoding="utf-8") == jobfile.schema_text(), (
        "python -m sordine.workflow.job > docs/job.schema.json"
    )
    schema = json.loads(made.read_text(encoding="utf-8"))
    jsonschema.validate(plain(), schema)
    jsonschema.validate(yaml.safe_load((ROOT / "examples" / "voices.yaml").read_text(encoding="utf-8")), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain(metod="leace"), schema)
    for name, field in Job.model_fields.items():
        assert field.description, f"{name} has no description"


def done_and_again(messages: str) -> set[str]:
    """The stages that a run did, of what it messages."""
    return {line.split()[0] for line in messages.splitlines() if line.endswith(" ...")}


@pytest.mark.slow
def test_a_job_resumes_and_does_again_what_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "out"

    def run(code: int = 0, **more: Any) -> set[str]:
        assert main(["run", str(write(folder, plain(**{"despite_findings": True, **more})))]) == code
        return done_and_again(capsys.readouterr().out)

    assert run() == {"fit", "transform", "audit", "release"}
    made = {"modifier", "modifier.key", "transformed.parquet", "report.html", "report.json", "release", "stages"}
    assert made <= {p.name for p in out.iterdir()}
    key = (out / "modifier.key").read_text()
    assert run() == set()
    assert run(audit={**QUICK, "seeds": [1]}) == {"audit", "release"}
    assert run(keep="none") == {"transform", "audit", "release"}
    assert run(seed=1, keep="none") >= {"fit"}
    assert run() >= {"fit", "transform"}
    assert run(method="noise") == {"fit", "transform", "audit", "release"}
    (out / "transformed.parquet").unlink()
    assert "transform" in run(method="noise")
    (out / "report.html").write_text("scribbled over")
    assert "audit" in run(method="noise")
    assert (out / "modifier.key").read_text() == key
    write_table(people(160), folder / "t.parquet", force=True)
    assert run(method="noise") == {"fit", "transform", "audit", "release"}
    # nothing is kept that an earlier job released and this one would not
    limit = {**QUICK, "max_leakage": 0.1}
    run(1, method="nothing", audit=limit, despite_findings=False)
    assert (out / "report.html").exists()
    assert not (out / "release").exists()
    assert run(1, method="nothing", audit=limit, despite_findings=False) == set()
    assert run(release=False, audit=False) == {"fit", "transform"}
    assert not (out / "report.html").exists()
    assert not list(out.glob(".*.part"))


def test_a_job_extracts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{i},{'ann' if i % 2 else 'bob'},{(i * 7) % 11}.5,{i % 3}" for i in range(60)]
    (folder / "mixed.csv").write_text("\n".join(["id,speaker,height,colour", *rows]) + "\n")
    job = plain(
        source="mixed.csv",
        extractor="columns",
        options={"labels": "speaker"},
        policy={"suppress": ["speaker"]},
        audit=False,
        release=False,
    )
    assert main(["run", str(write(folder, job))]) == 0
    assert done_and_again(capsys.readouterr().out) == {"extract", "fit", "transform"}
    assert main(["run", str(write(folder, job | {"skip_bad": True}))]) == 0
    assert done_and_again(capsys.readouterr().out) == {"extract"}, "the table came out the same"


def test_two_runs_do_not_meet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with folder_of_job(folder / "out"):
        assert main(["run", str(write(folder, plain()))]) == 2
    assert str(folder / "out") in capsys.readouterr().err


def test_the_address_of_a_media_folder(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "metadata.csv").write_text("file_name\na.wav\n")
    (clips / "a.wav").write_bytes(b"1234")
    first = address(clips)
    assert address(clips) == first
    (clips / "a.wav").write_bytes(b"12345")
    second = address(clips)
    (clips / "metadata.csv").write_text("file_name \na.wav\n")
    assert len({first, second, address(clips)}) == 3


@pytest.mark.slow
def test_a_kill_in_mid_fit_loses_nothing(folder: Path) -> None:
    Key.of_seed(3).write(folder / "a.key")
    settings = {"epochs": 100, "batch": 64, "hidden": 64, "size": 16, "substitutes": 40}
    job = plain(method="substitution", settings=settings, key="a.key", audit=False, release=False)
    path, out, whole = write(folder, job), folder / "out", folder / "whole"
    assert main(["run", str(path), "--out", str(whole)]) == 0
    wanted = sha256(whole / "transformed.parquet")

    running = subprocess.Popen([*SORDINE, "run", str(path)], stdout=subprocess.DEVNULL, env={**os.environ})
    until = time.monotonic() + 90
    while not list(out.glob("stages/fit-*/*")) and running.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    assert running.wait(30) == -signal.SIGKILL, "the fit was over before it could be killed"
    assert not (out / "modifier").exists()
    assert not (out / "transformed.parquet").exists()

    assert main(["run", str(path)]) == 0
    assert sha256(out / "transformed.parquet") == wanted
    assert pq.read_table(out / "transformed.parquet").num_rows == 240
    assert not list(out.glob(".*"))
    assert not list(out.glob("stages/fit-*"))
    shutil.rmtree(out)


def test_a_list_of_settings_is_what_commas_would_make_of_it(folder: Path) -> None:
    job = read_job(write(folder, plain(settings={"widths": [8, 16], "lr": 0.1, "clip": [0.5]})))
    assert job.settings == {"widths": "8,16", "lr": 0.1, "clip": "0.5"}
    with pytest.raises(SordineError, match=r"settings\.widths"):
        read_job(write(folder, plain(settings={"widths": [[8], 16]})))


def test_a_job_is_plain_data() -> None:
    with pytest.raises(SordineError, match=r"no-such-job\.yaml does not exist"):
        read_job("no-such-job.yaml")


def test_a_job_is_described_without_folders_and_keys(tmp_path: Path) -> None:
    job = Job(
        source=tmp_path / "private" / "table.parquet",
        policy={"suppress": "speaker"},
        method="substitution",
        settings={"pool": str(tmp_path / "pool.parquet"), "epochs": 3},
        key=tmp_path / "secret.key",
        out=tmp_path / "out",
    )
    found = described(job)
    assert found == {
        "source": "table.parquet",
        "policy": {"suppress": ["speaker"]},
        "method": "substitution",
        "settings": {"pool": "pool.parquet", "epochs": 3},
    }


@pytest.mark.slow
def test_a_pdf_is_made_without_another_audit_and_removed_with_an_old_one(folder: Path) -> None:
    pytest.importorskip("weasyprint")
    single = {**QUICK, "budget": "quick"}

    def run(**audit: Any) -> None:
        assert main(["run", str(write(folder, plain(audit={**single, **audit})))]) == 0

    run()
    page, pdf = folder / "out" / "report.json", folder / "out" / "report.pdf"
    before = sha256(page)
    assert not pdf.exists()
    run(pdf=True)
    assert pdf.read_bytes().startswith(b"%PDF")
    assert sha256(page) == before
    run(seeds=[1])
    assert sha256(page) != before
    assert not pdf.exists()


@pytest.mark.parametrize("key", ["AuditPart", "'function-after[x]'", "''"])
def test_an_unknown_key_of_any_name_is_named_in_one_line(tmp_path: Path, key: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"source: t.parquet\npolicy: {{suppress: [a]}}\n{key}: 1\n")
    with pytest.raises(SordineError, match=r"unknown key|is not a job"):
        read_job(path)
