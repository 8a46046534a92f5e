"""Run commands in forked children: the program is imported once, and each child can be limited, disturbed or killed."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

SECONDS = 60
BYTES = 2 << 30
PERIOD = 0.005  # seconds between two looks at a child
OPERATIONS = ("os.rename", "os.mkdir", "os.link")  # beside files that are opened for writing


@dataclass(frozen=True)
class Fault:
    """What happens to a command.

    Parameters
    ----------
    kind
        `kill`, `full` (no space left) or `read-only`: at the operation `at`. `late`: a kill after `at` seconds.
        `file-size`: a file cannot grow over `at` bytes, in any library. `none`: nothing.
    at
        The number of the operation that writes a file, from 0; seconds; or bytes.
    """

    kind: str = "none"
    at: float = 0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Parameters
    ----------
    code
        Exit code; -9 after a kill.
    error
        Standard error.
    seconds, bytes
        Time, and the peak of memory above that of the imported program.
    operations
        How many operations wrote a file, where the command was not killed.
    """

    code: int
    error: str
    seconds: float
    bytes: int
    operations: int = 0

    @property
    def clean(self) -> bool:
        """Whether it ended as documented: with 0 or 1, or with 2 and one line."""
        line = self.error.strip().splitlines()
        return self.code in (0, 1) or (self.code == 2 and len(line) == 1 and line[0].startswith("sordine: "))


class _Clock:
    """A clock that stands still, so that reports can be compared."""

    @staticmethod
    def now(zone: Any) -> datetime:
        return datetime(2000, 1, 1, tzinfo=zone)


def ready() -> None:
    """Import what the commands need, so that children do not. Nothing is computed: threads would not survive a fork."""
    warnings.simplefilter("ignore")


def command(words: Sequence[object], fault: Fault | None = None, *, within: Path | None = None) -> Ended:
    """Run one command in a child, with a limit of time and memory.

    Parameters
    ----------
    words
        The command without `sordine`.
    fault
        What happens to it.
    within
        Operations outside this folder do not count.
    """
    texts = [str(word) for word in words]

    def run() -> int:
        from sordine.cli.app import main
        from sordine.evaluation import provenance
        from sordine.keys import Key

        provenance.datetime = _Clock  # type: ignore[attr-defined]
        Key.fresh = classmethod(lambda cls: cls.of_seed(7))  # type: ignore[method-assign] - so that runs can be compared
        return main(texts)

    return forked(run, fault or Fault(), within)


def forked(work: Callable[[], int], fault: Fault, within: Path | None = None) -> Ended:
    """Run a function in a child; it returns the exit code. See `command`."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Pipes, because a limit on the size of files must not hold for what the child says.
    (error, error_in), (found, found_in) = os.pipe(), os.pipe()
    began = time.monotonic()
    child = os.fork()
    if not child:
        _in_child(work, fault, within, error_in, found_in)
    os.close(error_in)
    os.close(found_in)
    code, peak = _wait(child, began, fault)
    seconds = time.monotonic() - began
    with os.fdopen(error, errors="replace") as said, os.fdopen(found) as counted:
        told: dict[str, Any] = json.loads(counted.read() or "{}")
        return Ended(code, said.read(), seconds, peak, int(told.get("operations", 0)))


def _in_child(work: Callable[[], int], fault: Fault, within: Path | None, error: int, found: int) -> None:
    """Do the work and leave the process, whatever happens."""
    code = 70  # a child that fails outside of the command
    try:
        os.setpgid(0, 0)
        os.dup2(error, 2)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(io.FileIO(n, "w", closefd=False), write_through=True) for n in (1, 2)
        )
        size = os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (size + 2 * BYTES, size + 2 * BYTES))
        if fault.kind == "file-size":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(fault.at), int(fault.at)))
        counter = _disturb(fault, within)
        code = work()
        sys.stderr.flush()
        os.write(found, json.dumps({"operations": counter[0]}).encode())
    except BaseException as other:
        with contextlib.suppress(Exception):
            print(f"{type(other).__name__}: {other}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _disturb(fault: Fault, within: Path | None) -> list[int]:
    """Count the operations that write a file, and let the fault happen. Return the counter."""
    counter, place = [0], None if within is None else str(within.resolve())

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event in OPERATIONS:
            path = arguments[0]
        else:
            return
        name = os.path.abspath(os.fsdecode(path))
        if place is not None and not name.startswith(place):
            return
        counter[0] += 1
        if counter[0] - 1 == fault.at and fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if counter[0] - 1 >= fault.at and fault.kind in ("full", "read-only"):
            number = errno.ENOSPC if fault.kind == "full" else errno.EROFS
            raise OSError(number, os.strerror(number), name)

    sys.addaudithook(look)
    return counter


def _wait(child: int, began: float, fault: Fault) -> tuple[int, int]:
    """Wait for a child and kill it where it takes too long; return its code and the peak of its own memory."""
    limit = fault.at if fault.kind == "late" else SECONDS
    peak = first = 0
    while True:
        ended, status, _ = os.wait4(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), max(peak - first, 0)
        with contextlib.suppress(OSError, ValueError, IndexError):
            used = int(Path(f"/proc/{child}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            first, peak = first or used, max(peak, used)
        if time.monotonic() - began > limit:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
        time.sleep(PERIOD)


@contextlib.contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Set SORDINE_CACHE during the block, and let tables be streamed from the cache."""
    before = {name: os.environ.get(name) for name in ("SORDINE_CACHE", "SORDINE_MEMORY")}
    os.environ |= {"SORDINE_CACHE": str(folder), "SORDINE_MEMORY": "1000"}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
