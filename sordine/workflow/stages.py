"""Folders of work that can be resumed: the stages of a job, and the points of a sweep.

A stage leaves a record, FOLDER/stages/NAME.json, of its inputs (options, content addresses, versions) and of the
SHA-256 of its outputs. A stage is done where its record names the same inputs and its outputs are unchanged. So a job
or a sweep continues where it stopped, and a changed option repeats the stages that depend on it and no others.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sordine.data.files import atomic, content_address, locked, sha256
from sordine.errors import SordineError

RECORDS, LOCK = "stages", "lock"
MARK, POINTS, SHARED = "sordine-sweep", "points", "shared"
REPORT, MODIFIER = "report.json", "modifier"
MARK_TEXT = f"`sordine sweep` made this folder, and removes its {POINTS}/ and {SHARED}/ when it is done.\n"
POINT_NAME = re.compile(r".+-[0-9a-f]{16}")
POINT_OUTPUTS = {"fit": (MODIFIER,), "audit": (REPORT,)}


@dataclass
class Stages:
    """The stages of one folder.

    Parameters
    ----------
    out
        The folder.
    outputs
        Stage -> names of the files and folders that it makes, in the order of the stages.
    force
        Repeat every stage.
    log
        Takes one line for each stage.
    hashes
        SHA-256 by output, of the stages that are done.
    """

    out: Path
    outputs: Mapping[str, tuple[str, ...]]
    force: bool
    log: Callable[[str], None]
    hashes: dict[str, str] = field(default_factory=dict)

    def do(self, name: str, inputs: dict[str, Any], work: Callable[[], object]) -> bool:
        """Do a stage unless it is done already, and return whether it was done now.

        Where its outputs differ from before, the outputs of later stages are removed.
        """
        inputs = json.loads(json.dumps(inputs, default=str))
        before = self._record(name)
        if not self.force and before.get("inputs") == inputs and before.get("outputs") == self._hashes(name):
            self.log(f"{name}: done already")
            self.hashes |= before["outputs"]
            return False
        self.log(f"{name} ...")
        work()
        made = self._hashes(name)
        if made != before.get("outputs"):
            names = list(self.outputs)
            for later in names[names.index(name) + 1 :]:
                self.forget(later)
        with atomic(self.out / RECORDS / f"{name}.json") as temporary:
            temporary.write_text(json.dumps({"inputs": inputs, "outputs": made}, indent=2) + "\n", encoding="utf-8")
        self.hashes |= made
        return True

    def forget(self, name: str) -> None:
        """Remove the outputs and the record of a stage."""
        (self.out / RECORDS / f"{name}.json").unlink(missing_ok=True)
        for output in self.outputs[name]:
            _remove(self.out / output)

    def unfinished(self, name: str, inputs: dict[str, Any]) -> Path:
        """Return the folder for the unfinished work of a stage: another one for other inputs."""
        text = json.dumps(inputs, default=str, sort_keys=True)
        return self.out / RECORDS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def tidy(self, name: str) -> None:
        """Remove the unfinished work of a stage."""
        for folder in (self.out / RECORDS).glob(f"{name}-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _record(self, name: str) -> dict[str, Any]:
        try:
            return dict(json.loads((self.out / RECORDS / f"{name}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _hashes(self, name: str) -> dict[str, str]:
        paths = {output: self.out / output for output in self.outputs[name]}
        return {output: fingerprint(path) for output, path in paths.items() if path.exists()}


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and hashes of the files in a folder."""
    if path.is_file():
        return sha256(path)
    lines = [f"{p.relative_to(path)}\0{sha256(p)}\n" for p in sorted(path.rglob("*")) if p.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def address(source: Path) -> str:
    """Return a text that differs where a source has changed.

    Of a file it depends on the contents. Of a media folder it depends on the contents of the metadata, and on name,
    size and modification time of every file: hashing gigabytes of media on each run would take too long.
    """
    if source.is_file():
        return content_address(source)
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        stat = path.stat()
        state = content_address(path) if path.name.startswith("metadata.") else f"{stat.st_size} {stat.st_mtime_ns}"
        digest.update(f"{path.relative_to(source)}\0{state}\n".encode())
    return digest.hexdigest()


@contextlib.contextmanager
def folder_of_job(out: Path, *beside: str) -> Iterator[None]:
    """Create and lock the folder of a job during the block, and remove temporary files of an interrupted run.

    Where the block fails before any stage has results, a folder that this call made is removed again.

    Parameters
    ----------
    out
        The folder.
    beside
        Names of files in it that the block writes beside the results of stages.

    Raises
    ------
    SordineError
        Where the folder holds other things than a job's, or another process runs a job in it.
    """
    if out.exists() and not out.is_dir():
        raise SordineError(f"{out} is a file, and the job needs a folder: choose another one with -o")
    if out.exists() and any(out.iterdir()) and not (out / RECORDS).is_dir():
        raise SordineError(f"{out} exists and is not the folder of a job: choose another one with -o")
    new = not out.exists() or not any(out.iterdir())
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    with locked(out / RECORDS / LOCK, f"another process runs a job in {out}"):
        _remove_temporary(out, out / RECORDS)
        try:
            yield
        except Exception:
            if new:
                _remove_job(out, beside)
                for folder in missing:
                    _remove_if_empty(folder)
            raise


def _remove_job(out: Path, beside: Sequence[str]) -> None:
    """Remove a job's own files from a folder in which no stage has results or unfinished work."""
    records = out / RECORDS
    for folder in records.iterdir():
        _remove_if_empty(folder)
    if any(path.name != LOCK for path in records.iterdir()):
        return
    for path in (records / LOCK, *(out / name for name in beside)):
        path.unlink(missing_ok=True)
    _remove_if_empty(records)


def require_sweep_folder(folder: Path) -> None:
    """Raise SordineError where a folder is a file, or holds files and was not made by a sweep."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise SordineError(
            f"{folder} is not a folder, and the sweep needs a folder of that name: choose another page with -o"
        )
    if folder.is_dir() and not (folder / MARK).is_file() and any(folder.iterdir()):
        raise SordineError(
            f"{folder} was not made by a sweep (it has no file {MARK}), and the sweep needs a folder of that name: "
            "choose another page with -o"
        )


@contextlib.contextmanager
def folder_of_sweep(folder: Path) -> Iterator[None]:
    """Create, mark and lock the folder of a sweep during the block, and remove temporary files of an interrupted run.

    Where the block fails before any point was fitted, a folder that this call made is removed again.

    Raises
    ------
    SordineError
        Where the folder is not a sweep's, or another process runs a sweep in it.
    """
    require_sweep_folder(folder)
    missing = [above for above in folder.absolute().parents if not above.exists()]
    mark = folder / MARK
    new = not mark.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        mark.write_text(MARK_TEXT, encoding="utf-8")
    with locked(folder / LOCK, f"another process runs a sweep in {folder}"):
        if not mark.exists():  # that sweep has ended since
            raise SordineError(f"another sweep has just ended in {folder}: try again")
        points = [p for p in (folder / POINTS).glob("*") if POINT_NAME.fullmatch(p.name)]
        _remove_temporary(folder / SHARED, *points, *(p / RECORDS for p in points))
        try:
            yield
        except Exception:
            if new and not has_points(folder):
                remove_sweep(folder)
                for above in missing:
                    _remove_if_empty(above)
            raise


def has_points(folder: Path) -> bool:
    """Return whether the folder of a sweep holds a fitted point."""
    return any((folder / POINTS).glob(f"*/{MODIFIER}"))


def remove_sweep(folder: Path) -> bool:
    """Remove what a sweep made, and its folder where nothing else is in it. Return whether the folder is gone."""
    for point in (folder / POINTS).glob("*"):
        if POINT_NAME.fullmatch(point.name) and not point.is_symlink():
            stages = Stages(point, POINT_OUTPUTS, False, lambda line: None)
            for name in POINT_OUTPUTS:
                stages.forget(name)
            _remove_temporary(point, point / RECORDS)
            _remove_if_empty(point / RECORDS)
            _remove_if_empty(point)
    _remove_if_empty(folder / POINTS)
    shutil.rmtree(folder / SHARED, ignore_errors=True)
    for name in (MARK, LOCK):
        (folder / name).unlink(missing_ok=True)
    _remove_if_empty(folder)
    return not folder.exists()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_temporary(*folders: Path) -> None:
    for folder in folders:
        for part in folder.glob(".*.part"):
            shutil.rmtree(part, ignore_errors=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
