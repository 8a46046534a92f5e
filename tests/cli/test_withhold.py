"""`audit --tail` and `release --withhold`: from the attack to a release without the records that it infers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sordine.cli.app import main
from sordine.data.table import Table

Refused = Callable[..., str]
QUICK = ("--attack", "neighbours,logistic", "--scenario", "A", "--no-pretrained")


@pytest.fixture(scope="module")
def leaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, its release by `nothing`, and one readable person of 16."""
    folder = tmp_path_factory.mktemp("leaky")
    rng = np.random.default_rng(0)
    who = np.tile(np.arange(16), 60)
    x = rng.standard_normal((len(who), 5)).astype(np.float32)
    x[who == 2] += 8
    names = np.array([f"s{i:02d}" for i in range(16)])[who]
    Table.of(x, {"speaker": names}, ids=[f"r{i}" for i in range(len(who))]).write(folder / "t.parquet")
    t, m, x_path = (str(folder / name) for name in ("t.parquet", "m", "x.parquet"))
    assert main(["fit", t, "-s", "speaker", "-m", "nothing", "-o", m]) == 0
    assert main(["transform", m, t, "-o", x_path]) == 0
    return folder


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_inferred_records_are_listed_and_left_out(
    leaky: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    t, x, tail = str(leaky / "t.parquet"), str(leaky / "x.parquet"), str(tmp_path / f"tail.{suffix}")
    assert main(["audit", t, x, "-s", "speaker", *QUICK, "--tail", tail]) == 0
    said = capsys.readouterr().out
    assert "do not share it" in said
    out = tmp_path / "out"
    assert main(["release", x, "--withhold", tail, "-o", str(out)]) == 0
    ids = set(pq.read_table(tmp_path / "out.links.parquet")["id"].to_pylist())
    hers = {f"r{i}" for i in range(2, 960, 16)}
    assert not ids & hers
    assert 800 < len(ids) <= 900
    assert pq.read_table(out / "table.parquet").num_rows == len(ids)


def test_wrong_calls_are_refused(leaky: Path, tmp_path: Path, refused: Refused) -> None:
    t, x = leaky / "t.parquet", leaky / "x.parquet"
    audit = ("audit", t, x, "-s", "speaker", *QUICK)
    assert "quick" in refused(*audit, "--budget", "quick", "--tail", tmp_path / "tail.csv")
    assert "tail.txt" in refused(*audit, "--tail", tmp_path / "tail.txt")
    assert "--tail" in refused(*audit, "--tail", tmp_path / "a.csv", "--json", tmp_path / "a.csv")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    for name in ("bad.csv", "none.parquet"):
        assert name in refused("release", x, "--withhold", tmp_path / name, "-o", tmp_path / "out")
