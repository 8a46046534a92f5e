"""The console of a command: results, log lines and progress."""

from __future__ import annotations

import logging

import pytest

from sordine.cli.console import Console
from sordine.run import LOGGER, Run


def test_the_log_of_a_run_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with Console():
        Run().log("100 % of 3 records")
    assert capsys.readouterr().out == "100 % of 3 records\n"


def test_quiet_prints_results_and_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(quiet=True) as console:
        Run().log("a step")
        console.progress("audit", 2, 2)
        LOGGER.warning("few records")
        console.say("a result")
    assert capsys.readouterr().out == "warning: few records\na result\n"


def test_nothing_is_printed_after_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    level, handlers = LOGGER.level, list(LOGGER.handlers)
    with Console():
        assert LOGGER.isEnabledFor(logging.INFO)
    Run().log("later")
    assert capsys.readouterr().out == ""
    assert (LOGGER.level, LOGGER.handlers) == (level, handlers)


def test_progress_in_a_pipe_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    console = Console(clock=lambda: now)
    console.progress("audit", 0, 40)
    now = 60.0
    console.progress("audit", 12, 40)
    bar = console.bar("release")
    bar(5, 5)
    out = capsys.readouterr()
    assert out.out == "audit: 12 of 40 done, about 2 minutes left\nrelease: 5 of 5 done\n"
    assert out.err == ""


def test_notes_are_logged_at_the_start(capsys: pytest.CaptureFixture[str]) -> None:
    with Console(notes=["--set is deprecated; use --option"]):
        pass
    assert "--option" in capsys.readouterr().out
