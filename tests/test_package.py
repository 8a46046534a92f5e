"""The wheel and the sdist, built and used from an empty environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.paths import ROOT

pytestmark = pytest.mark.slow


def bare_environment() -> dict[str, str]:
    """The environment's variables without those by which Python finds this checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of this checkout."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that holds the wheel and what it needs, and nothing else."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    wheel = next(built.glob("*.whl"))
    words = ["-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel)]
    subprocess.run([str(home / "bin" / "python"), *words], check=True, env=bare_environment())
    return home / "bin"


def run(program: Path, *words: str, folder: Path) -> str:
    done = subprocess.run([str(program), *words], cwd=folder, env=bare_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_archives_hold_what_is_needed(built: Path) -> None:
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    assert "sordine/py.typed" in names
    assert any(name.endswith("style.css") for name in names)
    assert any(name.endswith("page.html") for name in names)
    assert not [name for name in names if name.startswith(("tests", "benchmarks", "docs"))]
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "constraints.txt"} <= inside


def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "sordine", "--version", folder=tmp_path).startswith("sordine ")
    run(installed / "sordine", "demo", "-o", "out", folder=tmp_path)
    assert list((tmp_path / "out").rglob("*.html"))


def test_the_public_surface_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "import sordine; print(all(hasattr(sordine, name) for name in sordine.__all__), sordine.__file__)"
    answer, where = run(installed / "python", "-c", code, folder=tmp_path).split()
    assert answer == "True"
    assert where.startswith(str(installed.parent))
