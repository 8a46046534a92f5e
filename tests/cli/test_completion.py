"""Shell completion: scripts and names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sordine.cli.completion import budgets, extractors, methods

SORDINE = [sys.executable, "-c", "from sordine.cli.app import main; raise SystemExit(main())"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are kept in a folder of this test."""
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path))


def complete(line: str) -> list[str]:
    """Return what bash offers at the end of a command line."""
    words = line.split(" ")
    about = {"_SORDINE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(SORDINE, env={**os.environ, **about}, capture_output=True, text=True, timeout=120)
    return done.stdout.split()


def test_commands_are_completed() -> None:
    assert complete("sordine tr") == ["transform"]


@pytest.mark.slow
def test_methods_are_completed() -> None:
    assert complete("sordine fit t.parquet -m le") == ["leace"]


def test_completion_knows_what_the_registries_know() -> None:
    from sordine import Budget
    from sordine.features.registry import EXTRACTORS
    from sordine.methods.registry import METHODS

    assert methods("") == list(METHODS)
    assert extractors("") == list(EXTRACTORS)
    assert [Budget.named(name).name for name in budgets("")] == budgets("")
    assert methods("tr") == ["transport"]


def test_a_second_completion_imports_no_large_library() -> None:
    methods("")
    extractors("")
    code = (
        "import sys; from sordine.cli.completion import budgets, extractors, methods; "
        "assert methods('') and extractors('') and budgets(''); "
        "assert not {'torch', 'numpy', 'pyarrow', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_damaged_cache_is_written_again(tmp_path: Path) -> None:
    names = methods("")
    for path in tmp_path.rglob("completion-*.json"):
        path.write_text('{"mark": 1')
    assert methods("") == names


def test_a_script_is_shown() -> None:
    # Without detection of the terminal's shell, which a test may not have, the option takes the shell's name.
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    words = [*SORDINE, "--show-completion", "bash"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=environment)
    assert "_SORDINE_COMPLETE" in done.stdout
