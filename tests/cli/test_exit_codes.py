"""How a command ends: exit codes, pipes and faults."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sordine.cli.app import main
from tests.fixtures.paths import ROOT

SORDINE = [sys.executable, "-c", "from sordine.cli.app import main; raise SystemExit(main())"]


def run(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SORDINE, *map(str, words)], capture_output=True, text=True, timeout=120, **more)


@pytest.mark.slow
def test_a_pipe_gets_plain_lines(made: Path, tmp_path: Path) -> None:
    done = run("transform", made / "m", made / "t.parquet", "-o", tmp_path / "x.parquet")
    assert done.returncode == 0
    assert done.stderr == ""
    assert "240 records" in done.stdout
    assert "\x1b" not in done.stdout
    wrong = run("transform", made / "m", made / "t.parquet", "-o", tmp_path / "x.parquet")
    assert wrong.returncode == 2
    assert re.fullmatch(r"sordine: .*--force.*\n", wrong.stderr)
    assert wrong.stdout == ""


def test_as_a_module_it_ends_with_the_same_code() -> None:
    words = [sys.executable, "-m", "sordine", "fitt"]
    assert subprocess.run(words, capture_output=True, timeout=120, cwd=ROOT).returncode == 2


def test_help_is_light() -> None:
    heavy = "torch numpy scipy pyarrow pandas sklearn matplotlib rich pydantic filelock"
    check = (
        "import sys; from sordine.cli.app import main; main(['--help']); "
        f"print(*[m for m in '{heavy}'.split() if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60)
    assert "transform" in done.stdout
    assert done.stderr.strip() == ""


@pytest.mark.slow
def test_a_closed_pipe_is_no_error(made: Path, tmp_path: Path) -> None:
    words = ["transform", str(made / "m"), str(made / "t.parquet"), "-o", str(tmp_path / "x.parquet")]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*SORDINE, *words], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "x.parquet").exists()


FAULTS: list[tuple[BaseException, int, str]] = [
    (KeyError("eh"), 3, "KeyError: 'eh'"),
    (MemoryError(), 2, "memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 GB"), 2, "memory"),
    (OSError(errno.ENOSPC, "No space left on device"), 2, "disk"),
    (PermissionError(errno.EACCES, "Permission denied", "/there"), 2, "/there"),
    (KeyboardInterrupt(), 130, ""),
]


@pytest.mark.parametrize(("error", "code", "token"), FAULTS, ids=lambda v: type(v).__name__)
def test_every_outcome_has_its_code(
    error: BaseException,
    code: int,
    token: str,
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
    assert token in line
    assert line.count("\n") == (1 if token else 0)
    assert not (tmp_path / "m").exists()
    monkeypatch.setenv("SORDINE_DEBUG", "1")
    if code == 3:
        assert main(words) == 3
        assert "Traceback" in capsys.readouterr().err
