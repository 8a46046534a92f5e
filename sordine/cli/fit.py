"""The command `fit`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.exit_codes import DONE, FOUND
from sordine.cli.options import (
    Along,
    BudgetName,
    Device,
    Features,
    Force,
    KeyFile,
    Layout,
    MethodName,
    MethodOptions,
    Preserve,
    ReadsTables,
    RecordsPerPerson,
    Seed,
    Source,
    Suppress,
    Watch,
    Workers,
)
from sordine.cli.signature import takes
from sordine.errors import SordineError
from sordine.policy import Policy
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.workflow import pipeline

EXAMPLES = (
    "sordine fit voices.parquet -s speaker -p word -o modifier",
    "sordine fit voices.parquet -s speaker -p word -m noise --option sigma=2 -o modifier",
    "sordine fit voices.parquet -s speaker,sex -p word --max-leakage speaker=0.05,sex=0.1 -o modifier",
)


@dataclass(frozen=True, kw_only=True)
class FitOptions(ReadsTables):
    """The options of `fit`."""

    table: Source
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODIFIER", help="The modifier's folder to write.")]
    suppress: Suppress = None
    preserve: Preserve = None
    watch: Watch = None
    method: MethodName = None
    options: MethodOptions = None
    features: Features = None
    key: KeyFile = None
    pool: Annotated[
        Path | None,
        typer.Option("--pool", metavar="TABLE", help="A table whose records may be released instead of the table's."),
    ] = None
    views: Annotated[
        Path | None,
        typer.Option("--views", metavar="FOLDER", help="The raw media; the method mass trains on views of them."),
    ] = None
    layout: Layout = None
    max_leakage: Annotated[
        str | None,
        typer.Option(
            "--max-leakage",
            metavar="LIMIT",
            help="Fit the most useful strength whose leakage is certified to stay under it: 0.05, or a=0.05,b=0.1.",
        ),
    ] = None
    records_per_person: RecordsPerPerson = None
    along: Along = None
    budget: BudgetName = "standard"
    device: Device = "cpu"
    workers: Workers = 2
    seed: Seed = 0
    force: Force = False


@takes(FitOptions)
def fit(given: FitOptions) -> int:
    """Fit a modifier to a table, and report entangled attributes."""
    policy = parsing.policy(given.suppress, given.preserve, given.watch, given.table)
    if given.max_leakage is not None and given.records_per_person is not None:
        raise SordineError("--max-leakage and --records-per-person both choose the strength; give one of them")
    if given.along is not None and given.max_leakage is None and given.records_per_person is None:
        raise SordineError(
            "--along sets what --max-leakage or --records-per-person tries; give one of these options too"
        )
    paths.check_output(given.output, given.force, given.table, given.pool, given.key, directory=True)
    paths.check_table(given.table)
    options = _options(given, policy)
    from sordine.workflow import pipeline
    from sordine.workflow.key_files import key_for_fit
    from sordine.workflow.leakage_limit import NotMet, certified

    with given.console() as console:
        run = Run(given.device, given.seed, progress=console.progress, workers=given.workers)
        records = pipeline.read_records(given.table, policy, options, run)
        try:
            with key_for_fit(given.output, given.key, console.log) as key:
                run = replace(run, key=key)
                modifier = pipeline.fit(
                    given.table, given.output, policy, options, run, records=records, force=given.force
                )
        except NotMet as none:
            console.say(str(none).replace("`", "'"))
            return FOUND
        if options.limits is not None:
            console.say(certified(modifier))
        console.say(f"{given.output}: the modifier ({modifier.card.method})")
    return DONE


def _options(given: FitOptions, policy: Policy) -> pipeline.FitOptions:
    """Return what to fit. Everything in it is checked before any data is loaded."""
    from sordine.methods.fit import check_policy
    from sordine.methods.registry import make
    from sordine.workflow import pipeline
    from sordine.workflow.leakage_limit import candidates

    settings = parsing.assignments(given.options)
    options = pipeline.FitOptions(
        given.method, settings, parsing.names(given.features), given.pool, given.views, given.layout
    )
    method = pipeline.method_of(options, policy)
    check_policy(make(method, settings), policy)
    along = None if given.along is None else parsing.values_along(given.along)
    if given.records_per_person is not None:
        candidates(method, settings, along)
        return replace(options, records_per_person=given.records_per_person, along=along)
    if given.max_leakage is None:
        return options
    limits = parsing.leakage_limits(given.max_leakage, policy.suppress)
    candidates(method, settings, along)
    return replace(options, limits=limits, along=along, budget=parsing.budget(given.budget))
