"""Atomic writes, content addresses and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sordine.errors import SordineError, WriteError

KEY_FILE, KEY_FILE_BYTES = re.compile(rb"[0-9a-f]{64}\n"), 65


def refuse_existing(path: Path, force: bool) -> None:
    """Raise SordineError where `path` exists and `force` was not given; and, forced or not, where it is a key or a device,
    or lies inside a modifier's directory, which is to ship as it was made."""
    if (path.parent / "modifier.json").exists():
        raise SordineError(
            f"{path} would lie inside the modifier {path.parent}, which ships as it is: name another place"
        )
    if not path.exists():
        return
    if not (path.is_file() or path.is_dir()):
        raise SordineError(f"{path} is neither a file nor a folder: it is not replaced")
    try:
        if path.is_file() and path.stat().st_size == KEY_FILE_BYTES and KEY_FILE.fullmatch(path.read_bytes()):
            raise SordineError(f"{path} is a key: it is never replaced")
    except PermissionError:
        raise SordineError(f"{path} cannot be read (permission denied) and may be a key: it is not replaced") from None
    if not force:
        raise SordineError(f"{path} exists; give --force to replace it")


@contextlib.contextmanager
def atomic(path: str | Path, *, force: bool = True) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well, removed when it does not.

    The block may make it a file or a directory. A directory that is replaced is moved aside first and removed after,
    so that at no moment half an output stands in place. Raises SordineError where the path is refused (`refuse_existing`),
    WriteError where the folder cannot be written or the disk is full.
    """
    path = Path(path)
    refuse_existing(path, force)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        temporary = holder / path.name
        try:
            yield temporary
            refuse_existing(path, force)  # somebody may have written there meanwhile
            if path.is_dir() and not path.is_symlink():
                os.rename(path, holder / "replaced")
            os.replace(temporary, path)
        finally:
            shutil.rmtree(holder, ignore_errors=True)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename not in (None, str(path), str(temporary)):
            raise
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error


def content_address(path: str | Path) -> str:
    """BLAKE2b-160 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: what manifests hold."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where streamed tables live: `SORDINE_CACHE`, else the user's cache folder."""
    root = os.environ.get("SORDINE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sordine"
    )
    return Path(root)


def check_writable(folder: Path) -> None:
    """Raise SordineError where a folder is not there and cannot be made, or cannot be written."""
    above = folder
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise SordineError(f"cannot write to {folder}: {above} is not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise SordineError(f"cannot write to {folder}: permission denied")
