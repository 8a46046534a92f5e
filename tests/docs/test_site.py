"""The site builds without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", str(tmp_path)]
    built = subprocess.run(words, cwd=HOME, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    for page in ("index", "guide/report", "reference/cli", "reference/api", "research/index"):
        assert (tmp_path / f"{page}.html").stat().st_size > 1000
