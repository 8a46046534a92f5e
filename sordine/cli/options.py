"""Options and arguments that several commands share, each with its help."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing
from sordine.cli.completion import budgets, extractors, methods
from sordine.cli.console import Console
from sordine.cli.signature import Renamed, WithNotes

Names = list[str] | None
Source = Annotated[Path, typer.Argument(metavar="TABLE", help="A table: Parquet, CSV, Arrow, JSON lines or NumPy.")]
Suppress = Annotated[
    Names, typer.Option("-s", "--suppress", metavar="NAMES", help="Attributes that must not be inferable.")
]
Preserve = Annotated[Names, typer.Option("-p", "--preserve", metavar="NAMES", help="Attributes that must stay useful.")]
Watch = Annotated[
    Names,
    typer.Option(
        "-w",
        "--watch",
        metavar="NAMES",
        help="Attributes that the method does not use and the audit measures; 'none' for none. [default: all others]",
    ),
]
Features = Annotated[
    Names,
    typer.Option(
        "--features", metavar="COLUMNS", help="The column of vectors, or several as channels. [default: found by type]"
    ),
]
MethodOptions = Annotated[
    Names,
    typer.Option("--option", metavar="NAME=VALUE", help="Set one option of the method. Repeat for more."),
    Renamed("--set", "--option"),
]
ExtractorOptions = Annotated[
    Names,
    typer.Option("--option", metavar="NAME=VALUE", help="Set one option of the extractor. Repeat for more."),
    Renamed("--set", "--option"),
]
ObscureOptions = Annotated[
    Names,
    typer.Option("--option", metavar="NAME=VALUE", help="Set one option of the style. Repeat for more."),
    Renamed("--set", "--option"),
]
LayoutOptions = Annotated[
    Names,
    typer.Option("--layout-option", metavar="NAME=VALUE", help="Set one option of the layout. Repeat for more."),
    Renamed("--layout-set", "--layout-option"),
]
Attacks = Annotated[
    Names,
    typer.Option("--attack", metavar="NAMES", help="Attacks to run. [default: those of the budget]"),
    Renamed("--family", "--attack"),
]
RecordsPerPerson = Annotated[
    int | None,
    typer.Option(
        "--records-per-person",
        metavar="K",
        min=1,
        help="Fit the most useful strength whose forecast leakage from K records of one person is under 10 %.",
    ),
]
Along = Annotated[
    str | None,
    typer.Option(
        "--along",
        metavar="NAME=VALUES",
        help="The option to vary, with its values, most private first. [default: the method's own]",
    ),
]
BudgetName = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="NAME",
        help="How much the audit tries: quick, standard or paranoid.",
        autocompletion=budgets,
    ),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The key file. [default: MODIFIER.key beside the modifier]")
]
Workers = Annotated[
    int, typer.Option("--workers", metavar="N", min=1, help="Number of threads. It does not change the result.")
]
Known = Annotated[
    Names,
    typer.Option(
        "--known",
        metavar="SHARES",
        help="Shares of the classes of fitted records that an attacker knows; none leaves it out. [default: 0.5,0.9]",
    ),
]
Device = Annotated[str, typer.Option("--device", metavar="NAME", help="Where to compute: cpu, cuda or cuda:N.")]
Pdf = Annotated[
    Path | None,
    typer.Option("--pdf", metavar="FILE.pdf", help="The page as PDF (needs pip install 'sordine[pdf]')."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of training.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that cannot be decoded.")]
Layout = Annotated[
    str | None,
    typer.Option(
        "--layout", metavar="NAME", help="The data set whose folder layout this is. [default: recognised by its files]"
    ),
]
Weights = Annotated[Path | None, typer.Option("--weights", metavar="FILE", help="A file of weights for the extractor.")]
MethodName = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--method",
        metavar="NAME",
        help="The method. [default: transport, or substitution for copies]",
        autocompletion=methods,
    ),
]
ExtractorName = Annotated[
    str,
    typer.Option(
        "-e",
        "--extractor",
        metavar="NAME",
        help="How files or columns become vectors (the guide: Extractors).",
        autocompletion=extractors,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing output.")]
Read = Annotated[
    Names,
    typer.Option(
        "--read",
        metavar="NAME=VALUE",
        help="Set how the table is read: separator, decimal, encoding, nulls, rename, multi_label (the guide: Tables).",
    ),
]
NormaliseLabels = Annotated[
    bool, typer.Option("--normalise-labels", help="Join labels that differ only in case or blanks.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]


@dataclass(frozen=True, kw_only=True)
class Common(WithNotes):
    """What every command takes."""

    quiet: Quiet = False

    def console(self) -> Console:
        """Return the console of the command."""
        return Console(quiet=self.quiet, notes=self.notes)


@dataclass(frozen=True, kw_only=True)
class ReadsTables(Common):
    """What every command takes that reads tables of other programs."""

    read: Read = None
    normalise_labels: NormaliseLabels = False

    def around(self) -> contextlib.AbstractContextManager[object]:
        """Return the block in which the command runs: it reads tables with the options."""
        from sordine.data.reading.options import ReadOptions, reading

        given = parsing.assignments(self.read, "--read")
        return reading(ReadOptions.of({**given, **({"normalise_labels": True} if self.normalise_labels else {})}))
