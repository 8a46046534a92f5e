"""The command `extract`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.options import (
    Device,
    ExtractorName,
    ExtractorOptions,
    Features,
    Force,
    Layout,
    LayoutOptions,
    ReadsTables,
    Seed,
    SkipBad,
    Weights,
    Workers,
)
from sordine.cli.signature import takes
from sordine.run import Run

EXAMPLES = (
    "sordine extract voices -e logmel -o voices.parquet",
    "sordine extract faces -e encoder --option dim=64 -o faces.parquet",
)


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(ReadsTables):
    """The options of `extract`."""

    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A media folder, a raw table, or a folder with a table.")
    ]
    extractor: ExtractorName
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="TABLE.parquet", help="The table of vectors to write.")
    ]
    features: Features = None
    options: ExtractorOptions = None
    layout: Layout = None
    layout_options: LayoutOptions = None
    weights: Weights = None
    skip_bad: SkipBad = False
    device: Device = "cpu"
    seed: Seed = 0
    workers: Workers = 2
    force: Force = False


@takes(ExtractOptions)
def extract(given: ExtractOptions) -> None:
    """Make a table of vectors from media files or a raw table."""
    paths.check_output(given.output, given.force, given.source)
    from sordine.features import extract as extraction
    from sordine.workflow import pipeline

    options = extraction.ExtractOptions(
        options=parsing.assignments(given.options),
        weights=given.weights,
        features=parsing.names(given.features),
        layout=given.layout,
        layout_options=parsing.assignments(given.layout_options, "--layout-option"),
        skip_bad=given.skip_bad,
        force=given.force,
    )
    with given.console() as console:
        run = Run(given.device, given.seed, progress=console.progress, workers=given.workers)
        made = pipeline.extract(given.source, given.extractor, given.output, options, run)
        console.say(f"{given.output}: {made.rows:,} records of {made.width:,} numbers")
