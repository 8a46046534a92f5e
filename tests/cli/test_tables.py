"""Tables of other programs on the command line: dialects, several labels, reserved names, parts and link tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from sordine.cli.app import main
from sordine.data.table import Table
from sordine.evaluation.report_json import read_report
from sordine.workflow.job import read_job
from sordine.workflow.job_runner import run_job

N = 240


def people() -> pd.DataFrame:
    """Records whose speaker and tags move x, with a reserved name, labels that look alike, and null words."""
    rng = np.random.default_rng(0)
    speaker = rng.integers(0, 3, N)
    x = rng.normal(size=(N, 4)) + 2 * rng.normal(size=(3, 4))[speaker]
    names = [(("Ann", "ann ")[i % 2], "Bea", "Cleo")[s] for i, s in enumerate(speaker)]
    return pd.DataFrame(
        {
            "id": [f"{i:05d}" for i in range(N)],
            "speaker": names,
            "group": [None if i % 17 == 0 else "uv"[i % 2] for i in range(N)],
            "tags": [("a|b", "a", "b")[i % 3] for i in range(N)],
            "female": ["fm"[i % 2] for i in range(N)],
            **{f"f{i}": x[:, i] for i in range(4)},
        }
    )


OPTIONS = ("--read", "rename=group:cohort", "--read", "multi_label=tags", "--normalise-labels")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    people().to_csv(tmp_path / "people.csv", sep=";", decimal=",", encoding="utf-16", index=False, na_rep="NA")
    return tmp_path / "people.csv"


def test_a_table_of_another_dialect_is_protected(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    m, x, page = tmp_path / "m", tmp_path / "x.parquet", tmp_path / "r.json"
    roles = ["-s", "speaker", "-p", "tags:a,cohort"]
    words = ["fit", str(table), "--features", "f*", *roles, "-m", "leace", "-o", str(m), *OPTIONS]
    assert main(words) == 0
    lines = capsys.readouterr().out
    assert lines.count("people.csv: read with") == 1
    assert "'semicolon', decimal commas, the encoding utf-16" in lines
    assert "leaves out 'female'" in lines
    assert main(["transform", str(m), str(table), "-o", str(x), *OPTIONS]) == 0
    made = pq.read_table(x)
    assert made.column_names == ["id", "split", "tags:a", "cohort", "x"]
    assert made["id"].to_pylist() == list(people()["id"])
    assert made["tags:a"].to_pylist() == ["a" in t for t in people()["tags"]]
    assert made["cohort"].null_count == people()["group"].isna().sum()
    words = ["audit", str(table), str(x), "--features", "f*", "--budget", "quick", "--json", str(page), *OPTIONS]
    assert main(words) == 0
    report = read_report(page)
    assert {h.attribute for h in report.headlines} >= {"speaker", "tags:a", "cohort"}
    assert next(h for h in report.headlines if h.attribute == "speaker").classes == 3


def test_a_job_reads_its_source_with_its_options(table: Path, tmp_path: Path) -> None:
    job = {
        "source": "people.csv",
        "features": ["f0", "f1", "f2", "f3"],
        "read": {"rename": "group:cohort", "normalise_labels": True},
        "policy": {"suppress": ["speaker"], "preserve": ["cohort"]},
        "method": "leace",
        "audit": False,
        "release": False,
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    out = run_job(read_job(tmp_path / "job.yaml")).out
    assert pq.read_table(out / "transformed.parquet").column_names == ["id", "split", "cohort", "x"]
    # Other options make other stages.
    job["read"] = {"rename": "group:team"}
    job["policy"] = {"suppress": ["speaker"], "preserve": ["team"]}
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    out = run_job(read_job(tmp_path / "job.yaml")).out
    assert pq.read_table(out / "transformed.parquet").column_names == ["id", "split", "team", "x"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--read", "separator"), "--read needs NAME=VALUE"),
        (("--read", "delimiter=;"), "unknown option 'delimiter'"),
        (("--read", "encoding=klingon"), "unknown encoding 'klingon'"),
    ],
)
def test_wrong_options_are_refused(
    words: tuple[str, ...], message: str, table: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    line = refused("fit", table, "--features", "f*", "-s", "speaker", "-o", tmp_path / "m", *words)
    assert message in line


def test_parts_are_one_table(tmp_path: Path) -> None:
    whole = Table.from_pandas(people().drop(columns="group"))
    (tmp_path / "parts").mkdir()
    for i in range(3):
        whole.take(np.arange(80 * i, 80 * i + 80)).write(tmp_path / "parts" / f"{i}.parquet")
    t, m, x, page = tmp_path / "parts", tmp_path / "m", tmp_path / "x.parquet", tmp_path / "r.json"
    assert main(["inspect", str(t), "--no-measure"]) == 0
    assert main(["fit", str(t), "-s", "speaker", "-m", "leace", "-o", str(m)]) == 0
    assert main(["transform", str(m), str(t), "-o", str(x)]) == 0
    assert main(["audit", str(t), str(x), "--budget", "quick", "--json", str(page)]) == 0
    assert len(read_report(page).made["original_sha256"]) == 64


def test_a_release_is_audited_through_its_link_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Callable[..., str]
) -> None:
    t, m, x, out = tmp_path / "t.parquet", tmp_path / "m", tmp_path / "x.parquet", tmp_path / "out"
    Table.from_pandas(people().drop(columns="group")).write(t)
    assert main(["fit", str(t), "-s", "speaker", "-p", "female", "-m", "leace", "-o", str(m)]) == 0
    assert main(["transform", str(m), str(t), "-o", str(x)]) == 0
    assert main(["release", str(x), "-o", str(out)]) == 0
    words = [
        "audit",
        str(t),
        str(out / "table.parquet"),
        "-s",
        "speaker",
        "--budget",
        "quick",
        "--attack",
        "neighbours",
    ]
    assert main([*words, "--json", str(tmp_path / "r.json")]) == 0
    assert "link table out.links.parquet gives the ids" in capsys.readouterr().out
    found = read_report(tmp_path / "r.json")
    assert found.verdict.level != "broken"
    (tmp_path / "out.links.parquet").unlink()
    assert "pseudonyms of a release" in refused(*words, "--json", tmp_path / "s.json")


def test_records_without_a_label_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Table.from_pandas(people().rename(columns={"group": "cohort"})).write(tmp_path / "t.parquet")
    words = ["fit", str(tmp_path / "t.parquet"), "-s", "cohort", "-m", "leace", "-o", str(tmp_path / "m")]
    assert main(words) == 0
    assert f"{people()['group'].isna().sum()} of {N} records have no label of 'cohort'" in capsys.readouterr().out
