"""The command `protect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordine.cli import parsing
from sordine.cli.completion import extractors
from sordine.cli.exit_codes import DONE, FOUND
from sordine.cli.options import (
    BudgetName,
    Device,
    Features,
    Known,
    Layout,
    LayoutOptions,
    MethodName,
    MethodOptions,
    Names,
    Preserve,
    ReadsTables,
    RecordsPerPerson,
    Seed,
    SkipBad,
    Suppress,
    Watch,
    Workers,
)
from sordine.cli.signature import takes
from sordine.errors import SordineError
from sordine.run import Run
from sordine.workflow.protect_options import MAX_RECORDS, ProtectOptions

if TYPE_CHECKING:
    from sordine.workflow.job_runner import Outcome

VERDICT_LINES = 6  # the title, the grade, and sentences
EXAMPLES = (
    "sordine protect voices -s speaker -p word",
    "sordine protect customers.csv -s sex,race -p income --max-leakage 0.1 -o shared",
)


@dataclass(frozen=True, kw_only=True)
class ProtectCommandOptions(ReadsTables):
    """The options of `protect`."""

    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A Parquet or CSV table, a folder with one, or a media folder.")
    ]
    suppress: Suppress = None
    preserve: Preserve = None
    watch: Watch = None
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The folder for all results. [default: SOURCE-protected]"),
    ] = None
    max_leakage: Annotated[
        float | None,
        typer.Option(
            "--max-leakage",
            metavar="NUMBER",
            min=0.0,
            max=1.0,
            help="Release nothing if more leakage is found (0 to 1).",
        ),
    ] = None
    method: MethodName = None
    options: MethodOptions = None
    records_per_person: RecordsPerPerson = None
    extractor: Annotated[
        str | None,
        typer.Option(
            "-e",
            "--extractor",
            metavar="NAME",
            help="How files or columns become vectors. [default: chosen by what SOURCE contains]",
            autocompletion=extractors,
        ),
    ] = None
    extractor_options: Annotated[
        Names,
        typer.Option(
            "--extractor-option", metavar="NAME=VALUE", help="Set one option of the extractor. Repeat for more."
        ),
    ] = None
    features: Features = None
    layout: Layout = None
    layout_options: LayoutOptions = None
    skip_bad: SkipBad = False
    budget: BudgetName = "standard"
    max_records: Annotated[
        int,
        typer.Option(
            "--max-records", metavar="N", min=20, help="Attack at most this many records of the fit, and of the others."
        ),
    ] = MAX_RECORDS
    known: Known = None
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Also write the report as PDF (needs pip install 'sordine[pdf]').")
    ] = False
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The key file. [default: one is made in DIR]")
    ] = None
    device: Device = "cpu"
    seed: Seed = 0
    workers: Workers = 2
    force: Annotated[bool, typer.Option("--force", help="Repeat every stage instead of continuing.")] = False

    @property
    def folder(self) -> Path:
        """The folder for all results."""
        return self.output if self.output is not None else Path(f"{self.source.resolve().stem}-protected")


@takes(ProtectCommandOptions)
def protect(given: ProtectCommandOptions) -> int:
    """Turn a table or a media folder into an audited release."""
    if not given.source.exists():
        raise SordineError(f"{given.source} does not exist")
    table = given.source if given.source.is_file() else None
    policy = parsing.policy(given.suppress, given.preserve, given.watch, table)
    if not policy.suppress:
        raise SordineError("name the attributes that must not be inferable with -s; sordine inspect SOURCE lists them")
    options = _options(given)
    from sordine.workflow.job_runner import protect as protect_source
    from sordine.workflow.leakage_limit import NotMet

    with given.console() as console:
        run = Run(given.device, given.seed, progress=console.progress, workers=given.workers)
        try:
            outcome = protect_source(given.source, policy, given.folder, options, run, force=given.force)
        except NotMet as none:
            console.say(str(none))
            return FOUND
        for line in closing_lines(outcome, given.key, given.max_leakage):
            console.say(line)
    return FOUND if outcome.failed else DONE


def _options(given: ProtectCommandOptions) -> ProtectOptions:
    return ProtectOptions(
        extractor=given.extractor,
        options=tuple(parsing.assignments(given.extractor_options, "--extractor-option").items()),
        features=parsing.names(given.features),
        layout=given.layout,
        layout_options=tuple(parsing.assignments(given.layout_options, "--layout-option").items()),
        skip_bad=given.skip_bad,
        method=given.method,
        settings=tuple(parsing.assignments(given.options).items()),
        records_per_person=given.records_per_person,
        key=given.key,
        max_leakage=given.max_leakage,
        budget=parsing.budget(given.budget).name,
        max_records=given.max_records,
        known=parsing.shares(given.known, "--known"),
        pdf=given.pdf,
    )


def closing_lines(outcome: Outcome, key: Path | None, max_leakage: float | None) -> list[str]:
    """Return the start of the verdict, where the results are, and what to do if nothing was released.

    Parameters
    ----------
    outcome
        The result.
    key, max_leakage
        As the command got them.
    """
    from sordine.evaluation.grade import grade, grade_reason, grade_words
    from sordine.workflow.job_runner import JOB, MODIFIER
    from sordine.workflow.key_files import beside
    from sordine.workflow.release.manifest import may_be_shared

    lines = []
    if outcome.report is not None:
        verdict = outcome.report.verdict
        suppressed = outcome.report.policy.get("suppress", ())
        words = " ".join(grade_words(grade(outcome.report), suppressed, grade_reason(outcome.report)))
        lines += [verdict.title, f"  {words}", *(f"  {sentence}" for sentence in verdict.sentences)][:VERDICT_LINES]
        if len(verdict.sentences) > VERDICT_LINES - 2:
            lines.append("  The report says more about this verdict. Read it before you share the release.")
        lines += [f"{path}: the report" for path in outcome.pages]
    if outcome.released is not None:
        lines.append(f"{outcome.released}: {may_be_shared(outcome.report)}")
    else:
        larger = max_leakage is not None and max_leakage < 1
        limit = f", or a larger --max-leakage than {max_leakage:g}" if larger else ""
        lines.append(
            f"Nothing was released. The report shows what still leaks. Try another method (-m) or another strength "
            f"(--option){limit}."
        )
    lines.append(f"{key or beside(outcome.out / MODIFIER)}: the secret key; do not share it")
    lines.append(f"{outcome.out / JOB}: what was done; sordine run repeats it")
    return lines
