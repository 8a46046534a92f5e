"""Continuous attributes on the command line: from a raw table to a release, and calls that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sordine.cli.app import main
from sordine.evaluation.report_json import read_report
from sordine.methods.registry import load


def raw(path: Path, n: int = 500, **more: Any) -> Path:
    """Write a raw CSV table: age moves the columns a and b, height moves c and d."""
    rng = np.random.default_rng(0)
    age, height = rng.uniform(18, 90, n), rng.normal(170.5, 9, n)
    columns = {"id": [f"p{i}" for i in range(n)], "age": age, "height": height}
    for name, cause in (("a", age), ("b", -age), ("c", height), ("d", height)):
        columns[name] = (cause - cause.mean()) / cause.std() + 0.3 * rng.standard_normal(n)
    pyarrow.csv.write_csv(pa.table({**columns, **more}), path)
    return path


@pytest.mark.slow
def test_protect_from_a_raw_table_to_a_release(tmp_path: Path) -> None:
    source, out = raw(tmp_path / "people.csv"), tmp_path / "out"
    words = ["protect", str(source), "-s", "age", "-p", "height", "-m", "noise", "--option", "sigma=100"]
    assert main([*words, "-o", str(out)]) == 0
    report = read_report(out / "report.json")
    assert {(f.attribute, f.role) for f in report.sections["continuous"]} == {
        ("age", "suppress"),
        ("height", "preserve"),
    }
    for f in report.sections["continuous"]:
        assert f.before > 0.8
        assert f.after < 0.1
    assert report.verdict.level in ("holds", "unclear")
    made = pq.read_table(out / "table.parquet")
    assert pa.types.is_floating(made.schema.field("age").type)
    assert made.schema.field("x").type.list_size == 4, "neither age nor height is a feature"
    released = pq.read_table(out / "release" / "table.parquet")
    assert set(released.column_names) == {"id", "split", "height", "x"}
    assert pa.types.is_floating(released.schema.field("height").type)
    for file in (out / "release").rglob("*"):
        assert b"age" not in file.read_bytes().replace(b"leakage", b"").replace(b'"age"', b"").replace(b"`age`", b"")


@pytest.mark.slow
def test_fit_transform_and_audit_of_a_table_of_vectors(tmp_path: Path) -> None:
    t, m, x = tmp_path / "t.parquet", tmp_path / "m", tmp_path / "x.parquet"
    assert (
        main(["extract", str(raw(tmp_path / "p.csv")), "-e", "columns", "--option", "labels=age,height", "-o", str(t)])
        == 0
    )
    assert main(["fit", str(t), "-s", "age", "-w", "height", "-m", "leace", "-o", str(m)]) == 0
    assert load(m).card.policy == {"suppress": ["age"], "preserve": [], "watch": ["height"]}
    assert main(["transform", str(m), str(t), "-o", str(x)]) == 0
    assert "age" not in pq.read_schema(x).names
    report = tmp_path / "r.json"
    assert main(["audit", str(t), str(x), "--modifier", str(m), "--json", str(report)]) == 0
    found = read_report(report).sections["continuous"]
    age, height = (next(f for f in found if f.attribute == name and f.setting == "A") for name in ("age", "height"))
    assert age.before > 0.8
    assert {kind: now for kind, _, now in age.others}["ridge"] < 0.05
    assert height.after > 0.8
    assert main(["release", str(x), "-o", str(tmp_path / "r"), "--despite-findings"]) == 0
    assert "age" not in pq.read_schema(tmp_path / "r" / "table.parquet").names


@pytest.mark.parametrize(
    "values", [np.full(500, 3.5), np.full(500, np.nan), np.where(np.arange(500) == 7, np.inf, np.arange(500) / 3)]
)
def test_what_cannot_be_suppressed_is_refused_in_one_line(
    tmp_path: Path, refused: Callable[..., str], values: np.ndarray
) -> None:
    columns = {"id": [str(i) for i in range(500)], "a": np.arange(500) / 7, "b": np.sin(np.arange(500))}
    table = pa.table({**columns, "sex": np.arange(500) % 2, "size": pa.array(values, pa.float64())})
    pq.write_table(table, tmp_path / "t.parquet")
    line = refused(
        "fit", tmp_path / "t.parquet", "--features", "a,b", "-s", "size", "-m", "leace", "-o", tmp_path / "m"
    )
    assert "'size'" in line
    pq.write_table(table.drop_columns(["size"]), tmp_path / "x.parquet")
    tables = (tmp_path / "t.parquet", tmp_path / "x.parquet")
    for role in (("-s", "size"), ("-s", "sex", "-p", "size")):
        line = refused("audit", *tables, "--features", "a,b", *role, "--budget", "quick", "-o", tmp_path / "r.html")
        assert "'size'" in line


def test_inspect_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(raw(tmp_path / "p.csv")), "-s", "age"]) == 0
    shown = capsys.readouterr().out
    assert "`age` (suppress)" in shown
    assert "continuous, 18" in shown
