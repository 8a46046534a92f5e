"""The command `transform`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.options import Features, Force, KeyFile, Names, ReadsTables, Source, Workers
from sordine.cli.signature import takes
from sordine.run import Run

EXAMPLES = ("sordine transform modifier voices.parquet -o transformed.parquet",)


@dataclass(frozen=True, kw_only=True)
class TransformOptions(ReadsTables):
    """The options of `transform`."""

    modifier: Annotated[Path, typer.Argument(metavar="MODIFIER", help="The modifier's folder.")]
    table: Source
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="TRANSFORMED.parquet", help="The transformed table to write.")
    ]
    keep: Annotated[
        Names,
        typer.Option(
            "--keep", metavar="COLUMNS", help="Columns to copy; 'none' for none. [default: the preserved attributes]"
        ),
    ] = None
    masks: Annotated[
        Path | None,
        typer.Option("--masks", metavar="FOLDER", help="Write each picture's mask here (method masking)."),
    ] = None
    features: Features = None
    key: KeyFile = None
    workers: Workers = 2
    force: Force = False


@takes(TransformOptions)
def transform(given: TransformOptions) -> None:
    """Apply a modifier to a table; the result is not yet for release."""
    paths.check_output(given.output, given.force, given.table, given.modifier, given.key)
    from sordine.keys import Key
    from sordine.workflow import pipeline
    from sordine.workflow.key_files import beside, key_of_modifier

    keep = None if given.keep is None else parsing.names(given.keep, given.table)
    options = pipeline.TransformOptions(parsing.names(given.features), keep, given.masks)
    paths.check_modifier(given.modifier)
    with given.console() as console:
        key_of_fit = beside(given.modifier)
        run = Run(key=key_of_modifier(given.modifier, given.key), progress=console.progress, workers=given.workers)
        fit_key = Key.read(key_of_fit) if key_of_fit.exists() else None
        made = pipeline.transform(
            given.modifier, given.table, given.output, options, run, fit_key=fit_key, force=given.force
        )
        kept = f", with {', '.join(made.kept)}" if made.kept else ""
        console.say(f"{given.output}: {made.rows:,} records{kept}")
