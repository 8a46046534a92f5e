"""A job's stages, one after another: each leaves a record of what it was made from, so that a job resumes where it stopped
and a changed setting does again what depends on it, and no more.

A record, OUT/stages/NAME.json, holds a stage's inputs (settings, content addresses, versions) and the SHA-256 of its
outputs. A stage is done where its record says the same inputs and its outputs are what they were.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sordine.data.files import atomic, content_address, sha256
from sordine.errors import SordineError

try:
    import fcntl
except ImportError:  # no such thing on Windows: two runs in one folder are then not told apart
    fcntl = None  # type: ignore[assignment]

RECORDS = "stages"


@dataclass
class Stages:
    """The stages of one job in one folder. outputs: stage -> the files and folders it makes, in the order of the flow."""

    out: Path
    outputs: dict[str, tuple[str, ...]]
    force: bool
    log: Callable[[str], None]
    hashes: dict[str, str] = field(default_factory=dict)

    def do(self, name: str, inputs: dict[str, Any], work: Callable[[], object]) -> bool:
        """Do a stage unless it is done already; whether it was done now.

        Where its outputs are others than before, what later stages made of them is taken away.
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
        """Take a stage's outputs and its record away."""
        (self.out / RECORDS / f"{name}.json").unlink(missing_ok=True)
        for output in self.outputs[name]:
            path = self.out / output
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def unfinished(self, name: str, inputs: dict[str, Any]) -> Path:
        """Where a stage keeps work that is not finished: another folder for other inputs."""
        text = json.dumps(inputs, default=str, sort_keys=True)
        return self.out / RECORDS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def tidy(self, name: str) -> None:
        """Take away what unfinished tries of a stage kept."""
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


@contextlib.contextmanager
def folder_of_job(out: Path) -> Iterator[None]:
    """The job's folder, made where it is not there and held against a second run; temporary files of a killed run go.

    Raises SordineError where the folder holds other things than a job's, or another run is at work in it.
    """
    if out.exists() and not out.is_dir():
        raise SordineError(f"{out} is a file; the job needs a folder")
    if out.exists() and any(out.iterdir()) and not (out / RECORDS).is_dir():
        raise SordineError(f"{out} exists and no job was run in it: name another folder with --out")
    (out / RECORDS).mkdir(parents=True, exist_ok=True)
    with open(out / RECORDS / "lock", "w", encoding="ascii") as lock:
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SordineError(f"another run is at work in {out}") from None
        for folder in (out, out / RECORDS):
            for left in folder.glob(".*.part"):
                shutil.rmtree(left, ignore_errors=True)
        yield


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of a folder's files."""
    if path.is_file():
        return sha256(path)
    lines = [f"{p.relative_to(path)}\0{sha256(p)}\n" for p in sorted(path.rglob("*")) if p.is_file()]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def address(source: Path) -> str:
    """What tells that a source has changed: a file's content address; of a media folder, its metadata's content and every
    file's name, size and time of change (reading gigabytes of clips to find that none has changed would cost too much)."""
    if source.is_file():
        return content_address(source)
    digest = hashlib.blake2b(digest_size=20)
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        stat = path.stat()
        told = content_address(path) if path.name.startswith("metadata.") else f"{stat.st_size} {stat.st_mtime_ns}"
        digest.update(f"{path.relative_to(source)}\0{told}\n".encode())
    return digest.hexdigest()
