"""What people see: lines on standard output, progress bars on a terminal's standard error and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Console:
    """Lines and bars of one command. `log` tells what happens (not under `quiet`), `say` what came of it (always).

    Bars are drawn only where standard error is a terminal; each kind of work has its own, gone when the command ends.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.bars = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the bars away."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._tasks = None, {}

    def log(self, line: str) -> None:
        """One line about what happens."""
        if not self.quiet:
            self.say(line)

    def say(self, line: str) -> None:
        """One line about what came of it. Work goes on when nobody reads any more."""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            nobody_reads()

    def progress(self, what: str, done: int, of: int) -> None:
        """Move the bar of `what`; the shape that `Run.progress` and `audit` ask for."""
        if not self.bars:
            return
        if self._progress is None:
            self._progress = _bars()
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=of)
        self._progress.update(self._tasks[what], completed=done, total=of)

    def bar(self, what: str) -> Callable[[int, int], None]:
        """The bar of `what` as a function of (done, of); the shape that `extract` and `transform_file` ask for."""
        return lambda done, of: self.progress(what, done, of)


def _bars() -> Progress:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Lines go above the bars where both are on the terminal; a redirected standard output is left alone.
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Terminal(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=False,
    )


def nobody_reads() -> None:
    """Send the rest of standard output to nowhere: whoever read it has closed the pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
