"""The command `extract`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.options import (
    Common,
    Device,
    ExtractorName,
    ExtractorOptions,
    Features,
    Force,
    Layout,
    LayoutOptions,
    Seed,
    SkipBad,
    Weights,
    Workers,
)
from sordine.cli.signature import takes
from sordine.run import check_device

EXAMPLES = (
    "sordine extract voices -e logmel -o voices.parquet",
    "sordine extract faces -e encoder --option dim=64 -o faces.parquet",
)


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(Common):
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
    from sordine.features.extract import extract as extract_source

    with given.console() as console:
        made = extract_source(
            given.source,
            given.extractor,
            given.output,
            features=parsing.names(given.features),
            options=parsing.assignments(given.options),
            layout=given.layout,
            layout_options=parsing.assignments(given.layout_options, "--layout-option"),
            weights=given.weights,
            skip_bad=given.skip_bad,
            device=check_device(given.device),
            seed=given.seed,
            workers=given.workers,
            force=given.force,
            log=console.log,
            progress=console.bar("extract"),
            steps=console.progress,
        )
        console.say(f"{given.output}: {made.rows:,} records of {made.width:,} numbers")
