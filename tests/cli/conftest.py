"""Tables, a fitted modifier, and a way to run commands that must be refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sordine.cli.app import main
from tests.fixtures.voices import voices


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which fit and transform were run: t.parquet, m, m.key, x.parquet."""
    folder = tmp_path_factory.mktemp("made")
    voices().write(folder / "t.parquet")
    t, m, x = str(folder / "t.parquet"), str(folder / "m"), str(folder / "x.parquet")
    assert main(["fit", t, "-s", "speaker", "-p", "word", "-m", "leace", "-o", m]) == 0
    assert main(["transform", m, t, "-o", x]) == 0
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of voices."""
    voices().write(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a command which must end with code 2, one line and no new file; it gives the line."""

    def run(*words: object) -> str:
        before = set(tmp_path.rglob("*"))
        capsys.readouterr()
        code = main([str(w) for w in words])
        line = capsys.readouterr().err
        assert code == 2, line
        assert line.startswith("sordine: ")
        assert line.count("\n") == 1
        assert "Traceback" not in line
        assert set(tmp_path.rglob("*")) == before
        return line

    return run
