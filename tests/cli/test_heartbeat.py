"""Progress as lines: when a line is printed and what it says."""

from __future__ import annotations

import pytest

from sordine.cli.heartbeat import Heartbeat, Timer
from sordine.run import duration


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def heartbeat(clock: Clock, lines: list[str]) -> Heartbeat:
    return Heartbeat(lines.append, clock)


def test_a_stage_prints_one_line_when_it_ends(heartbeat: Heartbeat, lines: list[str]) -> None:
    for done in range(1, 4):
        heartbeat.step("extract", done, 3)
    for done in range(1, 3):
        heartbeat.step("audit", done, 2)
    assert lines == ["extract: 3 of 3 done", "audit: 2 of 2 done"]


def test_a_line_is_printed_every_30_seconds(heartbeat: Heartbeat, lines: list[str], clock: Clock) -> None:
    heartbeat.step("audit", 0, 40)
    for _ in range(29):
        clock.now += 1
        heartbeat.beat()
    assert lines == []
    heartbeat.step("audit", 10, 40)
    clock.now += 1
    heartbeat.beat()
    assert len(lines) == 1
    clock.now += 29
    heartbeat.beat()
    assert len(lines) == 1
    clock.now += 1
    heartbeat.beat()
    assert len(lines) == 2


def test_a_line_estimates_the_time_left(heartbeat: Heartbeat, lines: list[str], clock: Clock) -> None:
    heartbeat.step("audit", 0, 40)
    clock.now += 60
    heartbeat.step("audit", 12, 40)
    assert lines == ["audit: 12 of 40 done, about 2 minutes left"]


def test_the_estimate_starts_again_with_a_stage(heartbeat: Heartbeat, clock: Clock) -> None:
    heartbeat.step("fit", 1, 4)
    clock.now += 300
    heartbeat.step("fit", 4, 4)
    heartbeat.step("fit", 1, 3)
    clock.now += 20
    heartbeat.step("fit", 2, 3)
    assert heartbeat.line() == "fit: 2 of 3 done, about 20 seconds left"


def test_the_first_report_gives_no_estimate(heartbeat: Heartbeat, clock: Clock) -> None:
    clock.now += 10
    heartbeat.step("audit", 1, 40)
    assert heartbeat.line() == "audit: 1 of 40 done"


def test_work_without_reports_prints_lines_too(heartbeat: Heartbeat, lines: list[str], clock: Clock) -> None:
    clock.now += 120
    heartbeat.beat()
    assert lines == ["still working after 2 minutes"]


def test_other_lines_count(heartbeat: Heartbeat, lines: list[str], clock: Clock) -> None:
    clock.now += 29
    heartbeat.printed()
    clock.now += 29
    heartbeat.beat()
    assert lines == []
    clock.now += 1
    heartbeat.beat()
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 second"),
        (44, "44 seconds"),
        (119.4, "119 seconds"),
        (119.6, "2 minutes"),
        (600, "10 minutes"),
        (7300, "2.0 hours"),
    ],
)
def test_durations_are_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("left", "words"), [(1, "10 seconds"), (44, "40 seconds"), (57, "60 seconds")])
def test_an_estimate_is_rounded_to_tens_of_seconds(heartbeat: Heartbeat, clock: Clock, left: float, words: str) -> None:
    heartbeat.step("fit", 0, 2)
    clock.now += left
    heartbeat.step("fit", 1, 2)
    assert heartbeat.line().endswith(f"about {words} left")


def test_a_stopped_timer_leaves_no_thread() -> None:
    import threading

    before = threading.active_count()
    timer = Timer(lambda: None)
    assert threading.active_count() == before + 1
    timer.stop()
    assert threading.active_count() == before
