"""Atomic writes, a lock for folders, hashes of files and the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sordine.data import unfinished
from sordine.errors import SordineError, WriteError

SETTLED_NS = 2_000_000_000  # a file that changed more recently may change again within one tick of its times
LARGE = 1 << 26  # bytes from which on a digest is worth remembering

_addresses: dict[tuple[int, ...], str] = {}  # state_of -> content_address, of large files, while the process lasts


def refuse_existing(path: Path, force: bool) -> None:
    """Check that a path may be written, after completing or removing what a killed process left of it.

    Parameters
    ----------
    path
        Where to write.
    force
        Whether an existing file or folder may be replaced.

    Raises
    ------
    SordineError
        Where the path exists without `force`; and always where it is a key or a device, or lies inside the directory of
        a modifier, which must stay as it was written.
    """
    if (path.parent / "modifier.json").exists():
        raise SordineError(f"{path} lies inside the modifier {path.parent}, which must not change; choose another path")
    unfinished.mend(path)
    if not path.exists():
        return
    if not (path.is_file() or path.is_dir()):
        raise SordineError(f"{path} is neither a file nor a folder and is not replaced; choose another path")
    try:
        if unfinished.is_key(path):
            raise SordineError(f"{path} is a key and is never replaced; choose another path")
    except PermissionError:
        raise SordineError(
            f"{path} may be a key and cannot be checked (permission denied); choose another path"
        ) from None
    if not force:
        raise SordineError(f"{path} exists; use --force to replace it")


@contextlib.contextmanager
def atomic(path: str | Path, *, force: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block succeeds, remove it when it fails.

    The block may make a file or a folder. An incomplete output is never at `path`, and an output that is replaced is
    there until the new one is. What a killed process left of the same output is removed.

    Parameters
    ----------
    path
        Where the output belongs.
    force
        Whether an existing output is replaced.

    Raises
    ------
    SordineError
        Where `refuse_existing` refuses the path.
    WriteError
        Where the folder cannot be written or the disk is full.
    """
    with atomic_together(path, force=force) as (temporary,):
        yield temporary


@contextlib.contextmanager
def atomic_together(*paths: str | Path, force: bool = True) -> Iterator[tuple[Path, ...]]:
    """As `atomic`, for outputs that belong together: all of them are put in place, or none.

    Where the process is killed between two renames, the next command that writes one of them completes the others.

    Parameters
    ----------
    paths
        Where the outputs belong.
    force
        Whether existing outputs are replaced.

    Raises
    ------
    SordineError
        Where `refuse_existing` refuses a path.
    WriteError
        Where a folder cannot be written or the disk is full.
    """
    targets = [Path(path) for path in paths]
    for path in targets:
        refuse_existing(path, force)
    parts: list[unfinished.Unfinished] = []
    try:
        with contextlib.ExitStack() as stack:
            parts += [stack.enter_context(unfinished.begun(path)) for path in targets]
            yield tuple(part.output for part in parts)
            for path in targets:
                refuse_existing(path, force)  # another process may have written there meanwhile
            unfinished.commit(parts)
    except OSError as error:
        known = {None, *map(str, targets), *(str(part.output) for part in parts)}
        if isinstance(error, FileNotFoundError) and error.filename not in known:
            raise
        raise WriteError(f"cannot write {unfinished.shown(targets[0])}: {error.strerror or error}") from error


@contextlib.contextmanager
def locked(path: Path, message: str) -> Iterator[None]:
    """Hold a lock file during the block, against other processes.

    Parameters
    ----------
    path
        The lock file; it is created where it is missing.
    message
        Of the error where another process holds the lock.

    Raises
    ------
    SordineError
        With `message`, where another process holds the lock.
    """
    import filelock  # not where this module is imported, so that the command line starts fast

    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise SordineError(message) from None
    try:
        yield
    finally:
        lock.release()


def state_of(file: BinaryIO) -> tuple[int, ...] | None:
    """Return numbers that change with every change of an open file: device, inode, size and times.

    None where the file changed so recently that its times need not show another change.
    """
    found = os.fstat(file.fileno())
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) < SETTLED_NS:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def content_address(path: str | Path) -> str:
    """Return BLAKE2b-160 of the bytes of a file, in hexadecimal. A large file is read once, until it changes."""
    with open(path, "rb") as file:
        state = state_of(file)
        if state is not None and state in _addresses:
            return _addresses[state]
        address = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    if state is not None and state[2] >= LARGE:
        _addresses[state] = address
    return address


def sha256(path: str | Path) -> str:
    """Return SHA-256 of the bytes of a file, in hexadecimal, as manifests have it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the folder of mapped tables and decoded media: `SORDINE_CACHE`, else in the user's cache folder."""
    root = os.environ.get("SORDINE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sordine"
    )
    return Path(root)


def check_writable(folder: Path) -> None:
    """Raise SordineError where a folder does not exist and cannot be created, or cannot be written."""
    above = folder
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        raise SordineError(f"cannot write to {folder}: {above} is not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise SordineError(f"cannot write to {folder}: permission denied for {above}")
