"""Progress as plain lines, where no progress bar can be drawn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from sordine.run import duration

EVERY = 30.0  # seconds without a line, at most


class Heartbeat:
    """Progress of one command as lines: one when a stage ends, and one when nothing was printed for a while.

    Parameters
    ----------
    say
        Prints one line.
    clock
        Returns the time in seconds.
    every
        The longest time without a line, in seconds.
    """

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic, every: float = EVERY
    ) -> None:
        self._say, self._clock, self._every = say, clock, every
        self._lock = threading.RLock()
        self._started = self._last = clock()
        self._stage: str | None = None
        self._begun = (self._started, 0)  # when the stage began, and how much of it was done then
        self._done = self._total = 0

    def step(self, what: str, done: int, total: int) -> None:
        """Note that `done` of `total` units of the stage `what` are done."""
        with self._lock:
            if what != self._stage or done < self._done:
                # The time that the first units took is unknown, so they do not count for the estimate.
                self._stage, self._begun = what, (self._clock(), done)
            self._done, self._total = done, total
            if done >= total:
                self._print(f"{what}: {done:,} of {total:,} done")
                self._stage = None
            else:
                self.beat()

    def printed(self) -> None:
        """Note that another line was printed."""
        with self._lock:
            self._last = self._clock()

    def beat(self) -> None:
        """Print a line if nothing was printed for `every` seconds."""
        with self._lock:
            if self._clock() - self._last >= self._every:
                self._print(self.line())

    def line(self) -> str:
        """Return a line that says how far the work is."""
        now = self._clock()
        if self._stage is None:
            return f"still working after {duration(now - self._started)}"
        head = f"{self._stage}: {self._done:,} of {self._total:,} done"
        began, before = self._begun
        if self._done <= before:
            return head
        left = (now - began) / (self._done - before) * (self._total - self._done)
        return f"{head}, about {duration(_estimate(left))} left"

    def _print(self, line: str) -> None:
        self._say(line)
        self._last = self._clock()


class Timer:
    """Calls a function every second in a thread of its own, until it is stopped."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sordine progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(1.0):
            self._tick()

    def stop(self) -> None:
        """Stop the thread and wait for it."""
        self._stopped.set()
        self._thread.join()


def _estimate(seconds: float) -> float:
    """Round an estimate to tens of seconds, and to 10 at least, so that it does not claim to be exact."""
    return max(10.0, 10.0 * round(seconds / 10))
