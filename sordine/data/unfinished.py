"""Temporary folders of outputs: where one is written before it is renamed, and the ones that killed processes left.

An output NAME is written in a folder `.NAME.XXXXXXXX.part` beside it, which its process holds locked. A folder that
no process holds locked was left by one that was killed: the next command that writes NAME removes it. Several outputs
that belong together are put in place one after the other; a list of their folders, written before the first rename, is
the point from which the next command completes them.
"""

from __future__ import annotations

import contextlib
import ctypes
import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sordine.run import LOGGER

SUFFIX = ".part"
NAME = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.part", re.DOTALL)
REPLACED, READY = ".replaced", ".ready"  # in a folder: the output that was there, and the list of folders
KEY_FILE, KEY_FILE_BYTES = re.compile(rb"[0-9a-f]{64}\n"), 65
READY_BYTES = 1 << 20  # a longer list was not written here
SYNCED_ONE_BY_ONE = 64  # files of a folder; with more, all files of the machine are synchronised at once
EXCHANGE = 2  # RENAME_EXCHANGE of Linux


@dataclass(frozen=True)
class Unfinished:
    """The temporary folder of one output.

    Parameters
    ----------
    folder
        The folder, which this process holds locked.
    target
        Where the output belongs.
    """

    folder: Path
    target: Path

    @property
    def output(self) -> Path:
        """Where the output is written."""
        return self.folder / self.target.name

    def put_in_place(self, *, undoable: bool = False) -> None:
        """Rename the output to its target, at which something complete is at every moment.

        A folder that was there, or with `undoable` a file, is moved into the temporary folder.
        """
        if not os.path.lexists(self.output):
            return
        if self.target.is_dir() and not self.target.is_symlink():
            if _exchange(self.output, self.target):
                os.rename(self.output, self.folder / REPLACED)
                return
            os.rename(self.target, self.folder / REPLACED)
        elif undoable and os.path.lexists(self.target):
            with contextlib.suppress(OSError):  # a file system without hard links: it cannot be undone
                os.link(self.target, self.folder / REPLACED, follow_symlinks=False)
        os.replace(self.output, self.target)

    def set_aside(self) -> None:
        """Move what is at the target into the folder."""
        if os.path.lexists(self.target):
            os.rename(self.target, self.folder / REPLACED)

    def take_back(self) -> None:
        """Undo `put_in_place` and `set_aside`."""
        if not os.path.lexists(self.output) and os.path.lexists(self.target):
            os.rename(self.target, self.output)
        if os.path.lexists(self.folder / REPLACED):
            os.rename(self.folder / REPLACED, self.target)


@contextlib.contextmanager
def begun(target: Path) -> Iterator[Unfinished]:
    """Give the temporary folder of an output, locked and private; remove it when the block ends.

    Raises
    ------
    OSError
        Where the folder cannot be created.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = None
    while lock is None:  # another process may take a new folder for one that was left, before it is locked
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=SUFFIX, dir=target.parent))
        lock = _lock(folder)
        if lock is None and folder.exists():
            lock = -1  # a file system without locks
    try:
        yield Unfinished(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def commit(parts: Sequence[Unfinished]) -> None:
    """Put outputs in place; either all of them are, or none where it raises OSError.

    Where the process is killed, no target has an incomplete output, none has a new one beside an old one of another
    target, and `mend` completes the rest.
    """
    for part in parts:
        if shown(part.target) == part.target:  # otherwise the output that it is a part of is synchronised
            _synchronise(part.output)
    if len(parts) == 1:
        parts[0].put_in_place()
        return
    # The list of the first folder counts, and its folder is removed last.
    text = json.dumps([str(p.folder.absolute()) for p in parts])
    for part in reversed(parts):
        (part.folder / f"{READY}~").write_text(text, encoding="utf-8")
        os.replace(part.folder / f"{READY}~", part.folder / READY)
    try:
        for part in parts[1:]:
            part.set_aside()
        for part in parts:
            part.put_in_place(undoable=True)
    except OSError:
        for part in reversed(parts):
            part.take_back()
        raise


def mend(target: Path) -> None:
    """Complete or remove what a killed process left of an output.

    Outputs that were complete are put in place, so that those that belong together are there together. Everything
    else is removed. The folder of a process that still runs is left alone.
    """
    with contextlib.suppress(OSError):
        for folder in of(target):
            _mend(folder)


def of(target: Path) -> list[Path]:
    """Return the temporary folders of an output."""
    found = target.parent.glob(f".{glob.escape(target.name)}.*{SUFFIX}")
    return [path for path in found if is_temporary(path, target.name)]


def is_key(path: Path) -> bool:
    """Return whether a file is a key by its content. Raises PermissionError where it cannot be opened."""
    return path.is_file() and path.stat().st_size == KEY_FILE_BYTES and bool(KEY_FILE.fullmatch(path.read_bytes()))


def is_temporary(path: Path, name: str | None = None) -> bool:
    """Return whether a path is a temporary folder, of this user; of the output `name` where it is given."""
    match = NAME.fullmatch(path.name)
    if match is None or name not in (None, match[1]) or path.is_symlink() or not path.is_dir():
        return False
    return path.stat().st_uid == os.geteuid()


def shown(path: Path) -> Path:
    """Return the final path of a file that is written in a temporary folder; another path as it is."""
    parts = [part for part in path.parts if NAME.fullmatch(part) is None]
    # The folder `.NAME.XXXXXXXX.part` holds NAME: what is left is the path of NAME.
    return path if len(parts) == len(path.parts) else Path(*parts)


def clear(folder: Path) -> bool:
    """Remove a temporary folder that no process holds locked. Return whether it is gone."""
    lock = _lock(folder)
    if lock is None:
        return not folder.exists()
    try:
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
    return not folder.exists()


def _mend(folder: Path) -> None:
    listed = _listed(folder)
    held = [(path, lock) for path in listed or [folder] if (lock := _lock(path)) is not None]
    try:
        if listed and any(path == listed[0] for path, _ in held):
            names = [(path, match[1]) for path, _ in held if (match := NAME.fullmatch(path.name))]
            parts = [Unfinished(path, path.parent / name) for path, name in names]
            parts = [part for part in parts if os.path.lexists(part.output) and not is_key(part.target)]
            done = [part.target.name for part in parts]
            for part in parts:
                part.put_in_place()
            if done:
                LOGGER.info("Completed an interrupted write: %s", ", ".join(done))
        for path, _ in reversed(held):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        for _, lock in held:
            os.close(lock)


def _listed(folder: Path) -> list[Path] | None:
    """The folders of outputs that belong together and were complete; None where there is no list, or it is not ours."""
    try:
        first = _read_list(folder)[0]
        found = _read_list(first)
    except (OSError, ValueError, IndexError, RecursionError):
        return None
    # Only temporary folders count, and each has its output beside it: a foreign list cannot name another place.
    parts = [path for path in found if is_temporary(path)]
    return parts if folder.absolute() in parts and parts[0] == first else None


def _read_list(folder: Path) -> list[Path]:
    path = folder / READY
    if path.stat().st_size > READY_BYTES:
        raise ValueError(READY)
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list) or not all(isinstance(name, str) and "\0" not in name for name in found):
        raise ValueError(READY)
    return [Path(name) for name in found]


def _lock(folder: Path) -> int | None:
    """Lock a folder and return the handle that holds the lock; None where another process does, or it is gone."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    handle = None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder)):
            return handle
    except OSError:
        pass
    if handle is not None:
        os.close(handle)
    return None


def _synchronise(path: Path) -> None:
    """Have the disk hold a file or folder before it is renamed, so that a loss of power leaves no empty file."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    if len(files) > SYNCED_ONE_BY_ONE:
        os.sync()
        return
    for file in files:
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step, and return whether the system can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    here = -100  # AT_FDCWD: paths relative to the working folder
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), EXCHANGE) == 0)
