"""Options of a command as a dataclass: order, defaults and renamed options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from sordine.cli.app import main
from sordine.cli.options import Common, MethodOptions
from sordine.cli.signature import takes
from tests.fixtures.paths import ROOT


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Two options and an argument."""

    source: Annotated[Path, typer.Argument(metavar="SOURCE")]
    count: Annotated[int, typer.Option("--count", help="How many.")] = 3
    options: MethodOptions = None


@pytest.fixture
def calls() -> list[Options]:
    return []


@pytest.fixture
def app(calls: list[Options]) -> typer.Typer:
    made = typer.Typer(rich_markup_mode=None, add_completion=False)

    @made.command()
    @takes(Options)
    def command(given: Options) -> None:
        """Do it."""
        calls.append(given)

    return made


def run(app: typer.Typer, *words: str) -> None:
    app(list(words), standalone_mode=False)


def test_values_reach_the_command(app: typer.Typer, calls: list[Options]) -> None:
    run(app, "here", "--count", "4", "-q")
    assert calls == [Options(source=Path("here"), count=4, quiet=True)]


def test_defaults_are_those_of_the_dataclass(app: typer.Typer, calls: list[Options]) -> None:
    run(app, "here")
    assert calls == [Options(source=Path("here"))]


def test_help_has_own_options_first_and_no_old_names(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    run(app, "--help")
    text = capsys.readouterr().out
    places = [text.index(word) for word in ("SOURCE", "--count", "--option", "--quiet")]
    assert places == sorted(places)
    assert "Do it." in text
    assert "--set" not in text
    assert "--notes" not in text


def test_an_old_name_works_and_leaves_a_note(app: typer.Typer, calls: list[Options]) -> None:
    run(app, "here", "--set", "a=1", "--option", "b=2")
    assert calls[0].options == ["b=2", "a=1"]
    assert len(calls[0].notes) == 1
    assert "--option" in calls[0].notes[0]


def test_every_command_has_help_with_examples_that_parse(capsys: pytest.CaptureFixture[str]) -> None:
    """An example names known options only: with --help added, it prints the command's help."""
    capsys.readouterr()
    main(["--help"])
    listed = capsys.readouterr().out.partition("Commands:")[2]
    commands = [line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2:3].isalpha()]
    commands = [name for name in commands if (ROOT / "sordine" / "cli" / f"{name}.py").exists()]
    assert len(commands) == 14
    for command in commands:
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        examples = [line.split() for line in text.partition("Example")[2].splitlines() if "sordine " in line]
        assert examples, command
        for example in examples:
            assert example[:2] == ["sordine", command]
            options = [word for word in example[2:] if word.startswith("-")]
            assert all(option in text for option in options), example
