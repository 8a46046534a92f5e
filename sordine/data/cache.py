"""The cache folder: private to its owner, bounded, listed and cleared by `sordine cache`."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sordine.data import unfinished
from sordine.data.files import cache_folder
from sordine.errors import SordineError
from sordine.run import LOGGER

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
LIMIT = 20 << 30  # bytes, where SORDINE_CACHE_LIMIT is not set
TRAINING, SCRATCH = "training", "scratch"
# The beginning of an entry's name, and what the entry is.
KINDS = {
    "table-": "copy of a table",
    "media-": "decoded media",
    "views-": "views of records",
    "completion-": "names for completion",
}


@dataclass(frozen=True)
class Entry:
    """One entry of the cache.

    Parameters
    ----------
    path
        A file or a folder.
    what
        What it is, in words.
    size
        Bytes of its files.
    used
        When it was last used, in seconds; as exactly as the file system notes it.
    """

    path: Path
    what: str
    size: int
    used: float


def open_cache() -> Path:
    """Return the cache folder, which exists and is the owner's alone where Sordine made it.

    Raises
    ------
    SordineError
        Where it cannot be created.
    """
    folder = cache_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    except OSError as error:
        raise SordineError(
            f"cannot write the cache {folder}: {error.strerror or error}; set SORDINE_CACHE to another folder"
        ) from None
    if not os.environ.get("SORDINE_CACHE"):  # earlier versions made the default folder readable for all
        with contextlib.suppress(OSError):
            folder.chmod(PRIVATE_FOLDER)
    return folder


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a private folder in the cache during the block; it is removed afterwards, after a kill by the next call."""
    target = open_cache() / SCRATCH
    unfinished.mend(target)
    with unfinished.begun(target) as part:
        yield part.folder


def limit() -> int:
    """Return how many bytes the cache may take (SORDINE_CACHE_LIMIT; by default 20 GiB).

    Raises
    ------
    SordineError
        Where the variable is not a number of bytes.
    """
    given = os.environ.get("SORDINE_CACHE_LIMIT", str(LIMIT))
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise SordineError(f"SORDINE_CACHE_LIMIT is {given[:40]!r}; set it to a number of bytes")
    return int(given)


def entries() -> list[Entry]:
    """Return what the cache holds, the largest first. Files that Sordine did not write are not entries."""
    folder = cache_folder()
    found = []
    with contextlib.suppress(OSError):
        paths = [*folder.iterdir()]
        if (folder / TRAINING).is_dir():
            paths += (folder / TRAINING).iterdir()
        for path in paths:
            what = _what(path)
            if what is not None:
                with contextlib.suppress(OSError):  # another process removed it meanwhile
                    found.append(_entry(path, what))
    return sorted(found, key=lambda entry: (-entry.size, entry.path))


def clear() -> list[Entry]:
    """Remove all entries that no process is writing, and return those that were removed."""
    removed = [entry for entry in entries() if _remove(entry)]
    for folder in (cache_folder() / TRAINING, cache_folder()):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return removed


def make_room(size: int) -> None:
    """Remove the entries that were used least recently, until `size` more bytes fit into the limit of the cache.

    An entry that another process has mapped stays readable for that process. Where `size` alone is over the limit, the
    cache is emptied and the limit is exceeded: the command needs these bytes.
    """
    allowed, found = limit(), [entry for entry in entries() if not unfinished.is_temporary(entry.path)]
    taken = sum(entry.size for entry in found)
    for entry in sorted(found, key=lambda entry: entry.used):
        if taken + size <= allowed:
            break
        if _remove(entry):
            LOGGER.info("Removed %s from the cache, which may take %s bytes", entry.path.name, f"{allowed:,}")
            taken -= entry.size


def _what(path: Path) -> str | None:
    if unfinished.is_temporary(path):
        return "unfinished"
    if path.is_symlink():
        return None
    if path.parent.name == TRAINING:
        return "trained weights"
    if path.name.startswith("inspect-"):
        return "unfinished"  # of earlier versions
    return next((what for beginning, what in KINDS.items() if path.name.startswith(beginning)), None)


def _entry(path: Path, what: str) -> Entry:
    files = [path] if not path.is_dir() else [p for p in path.rglob("*") if stat.S_ISREG(p.lstat().st_mode)]
    states = [file.stat() for file in files]
    used = max((max(s.st_atime, s.st_mtime) for s in states), default=path.stat().st_mtime)
    return Entry(path, what, sum(s.st_size for s in states), used)


def _remove(entry: Entry) -> bool:
    if unfinished.is_temporary(entry.path):
        return unfinished.clear(entry.path)
    if entry.path.is_dir():
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            entry.path.unlink()
    return not entry.path.exists()
