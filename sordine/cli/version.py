"""The version of the installed package."""

from __future__ import annotations

import subprocess
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path


def version() -> str:
    """Return the version, and the commit where this is not a release: "0.2.0.dev0+g1a2b3c4"."""
    try:
        found = installed("sordine")
    except PackageNotFoundError:
        found = "0+unknown"
    # The version of a checkout was written when it was installed; its commit may be another one by now.
    commit = _commit(Path(__file__).resolve().parents[2], f"v{found}")
    return found if commit is None else f"{found.partition('+')[0]}+g{commit}"


def _commit(checkout: Path, tag: str) -> str | None:
    """Return the short name of a checkout's commit; None where there is no checkout or its commit has this tag."""
    if not (checkout / ".git").exists():
        return None
    git = ["git", "-C", str(checkout)]
    try:
        tags = subprocess.run([*git, "tag", "--points-at", "HEAD"], capture_output=True, text=True, check=True)
        head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return None if tag in tags.stdout.split() else head.stdout.strip()
