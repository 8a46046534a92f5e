"""Output of a command: lines on standard output, progress bars on a terminal's standard error."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from sordine.cli.heartbeat import Heartbeat, Timer
from sordine.errors import visible
from sordine.run import LOGGER

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sordine.evaluation.report import Report


class Console:
    """Lines and progress of one command, while the `with` block lasts.

    `say` prints a result, always. `log` prints what happens, unless `quiet`; it goes through the logger `sordine`,
    whose lines this console prints. Progress is a bar for each stage where standard error is a terminal. Elsewhere it
    is a line for each stage and at least one line every 30 seconds.

    Parameters
    ----------
    quiet
        Print results and warnings only.
    notes
        Lines to log at the start.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self, *, quiet: bool = False, notes: Sequence[str] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.quiet = quiet
        self.bars = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.heartbeat = None if quiet or self.bars else Heartbeat(self._print, clock)
        self._notes = tuple(notes)
        self._handler = _Lines(self)
        self._handler.setLevel(logging.WARNING if quiet else logging.INFO)
        self._level = LOGGER.level
        self._timer: Timer | None = None
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Console:
        self._level = LOGGER.level
        LOGGER.addHandler(self._handler)
        if LOGGER.getEffectiveLevel() > logging.INFO:
            LOGGER.setLevel(logging.INFO)
        if self.heartbeat is not None:
            self._timer = Timer(self.heartbeat.beat)
        for note in self._notes:
            self.log(note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        LOGGER.removeHandler(self._handler)
        LOGGER.setLevel(self._level)

    def close(self) -> None:
        """Remove the bars and end the lines of progress."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._tasks = None, {}

    def log(self, line: str) -> None:
        """Log one line about what happens."""
        LOGGER.info(line)

    def say(self, line: str) -> None:
        """Print one line about a result."""
        self._print(line)
        if self.heartbeat is not None:
            self.heartbeat.printed()

    def verdict(self, report: Report) -> None:
        """Print the verdict of an audit, its grade, and how well records were matched with originals, if tried."""
        from sordine.evaluation.grade import grade, grade_reason, grade_words
        from sordine.evaluation.sections.linkability import linkage_sentence

        self.say(report.verdict.title)
        if report.policy.get("suppress"):
            self.say(f"  {' '.join(grade_words(grade(report), report.policy['suppress'], grade_reason(report)))}")
        for sentence in report.verdict.sentences:
            self.say(f"  {sentence}")
        if report.linkage:
            self.say(f"  {linkage_sentence(report.linkage)}")

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` units of the stage `what` are done; the function for `Run.progress`."""
        if self.heartbeat is not None:
            self.heartbeat.step(what, done, total)
        if not self.bars:
            return
        if self._progress is None:
            self._progress = _bars()
            self._progress.start()
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)

    def bar(self, what: str) -> Callable[[int, int], None]:
        """Return the progress of one stage as a function of (done, total)."""
        return lambda done, total: self.progress(what, done, total)

    def _print(self, line: str) -> None:
        try:
            print(visible(line).encode(errors="backslashreplace").decode(), flush=True)
        except BrokenPipeError:  # the work goes on, its output goes nowhere
            discard_output()


class _Lines(logging.Handler):
    """Prints the messages of a logger on a console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        mark = "warning: " if record.levelno >= logging.WARNING else ""
        self._console.say(mark + record.getMessage())


def _bars() -> Progress:
    from rich.console import Console as Terminal
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    # Lines are printed above the bars where both are on the terminal; a redirected standard output is left alone.
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


def discard_output() -> None:
    """Discard the rest of standard output: the program at the other end of the pipe has ended."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
