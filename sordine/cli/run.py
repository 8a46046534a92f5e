"""The command `run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli.exit_codes import DONE, FOUND
from sordine.cli.options import Common
from sordine.cli.signature import takes
from sordine.run import Run

EXAMPLES = ("sordine run job.yaml", "sordine run job.yaml -o results --force")


@dataclass(frozen=True, kw_only=True)
class RunOptions(Common):
    """The options of `run`."""

    job: Annotated[
        Path,
        typer.Argument(metavar="JOB.yaml", help="The job file. `python -m sordine.workflow.job` prints its schema."),
    ]
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            "--output",
            metavar="DIR",
            help="The folder for all results. [default: JOB-out beside the job]",
        ),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Repeat every stage.")] = False


@takes(RunOptions)
def run(given: RunOptions) -> int:
    """Run a job file, or continue it where it stopped."""
    from sordine.workflow.job import read_job

    checked = read_job(given.job)
    from sordine.workflow.job_runner import run_job
    from sordine.workflow.leakage_limit import NotMet

    with given.console() as console:
        try:
            done = run_job(checked, given.output, Run(progress=console.progress), force=given.force)
        except NotMet as none:
            console.say(str(none))
            return FOUND
        if done.report is not None:
            console.verdict(done.report)
        for line in done.places():
            console.say(line)
        return FOUND if done.failed else DONE
