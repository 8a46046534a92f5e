"""The command `demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli.options import Common, Force
from sordine.cli.signature import takes
from sordine.run import Run

EXAMPLES = ("sordine demo", "sordine demo --clips 500 -o small-demo")


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Common):
    """The options of `demo`."""

    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")] = Path(
        "sordine-demo"
    )
    clips: Annotated[int, typer.Option("--clips", metavar="N", min=100, help="Number of clips to make.")] = 2000
    force: Force = False


@takes(DemoOptions)
def demo(given: DemoOptions) -> None:
    """Make synthetic voices, protect them and audit the result."""
    from sordine.workflow.demo import run_demo

    with given.console() as console:
        done = run_demo(given.output, Run(progress=console.progress), clips=given.clips, force=given.force)
        console.close()
        assert done.report is not None
        console.say("")
        console.verdict(done.report)
        for line in done.places():
            console.say(line)
