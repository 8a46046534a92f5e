"""The command `inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing
from sordine.cli.options import Device, Features, Layout, LayoutOptions, Preserve, ReadsTables, Suppress, Watch
from sordine.cli.signature import takes
from sordine.errors import SordineError
from sordine.run import Run, check_device

EXAMPLES = ("sordine inspect customers.csv", "sordine inspect voices -s speaker -p word")


@dataclass(frozen=True, kw_only=True)
class InspectOptions(ReadsTables):
    """The options of `inspect`."""

    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A Parquet or CSV table, a folder with one, or a media folder.")
    ]
    suppress: Suppress = None
    preserve: Preserve = None
    watch: Watch = None
    features: Features = None
    layout: Layout = None
    layout_options: LayoutOptions = None
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Estimate run times with a small fit and audit.")
    ] = True
    device: Device = "cpu"


@takes(InspectOptions)
def inspect(given: InspectOptions) -> None:
    """Report what a source contains and what it can certify."""
    if not given.source.exists():
        raise SordineError(f"{given.source} does not exist")
    table = given.source if given.source.is_file() else None
    policy = parsing.policy(given.suppress, given.preserve, given.watch, table)
    from sordine.workflow.inspection import inspect as inspect_source

    with given.console() as console:
        run = Run(device=check_device(given.device), progress=console.progress)
        found = inspect_source(
            given.source,
            policy if policy.suppress or policy.preserve else None,
            run,
            features=parsing.names(given.features),
            layout=given.layout,
            layout_options=parsing.assignments(given.layout_options, "--layout-option"),
            measure=given.measure,
        )
        for line in found.lines():
            console.say(line)
