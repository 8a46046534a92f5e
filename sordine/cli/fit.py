"""The command `fit`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sordine.cli import parsing, paths
from sordine.cli.console import Console
from sordine.cli.exit_codes import DONE, FOUND
from sordine.cli.options import (
    Along,
    BudgetName,
    Common,
    Device,
    Features,
    Force,
    KeyFile,
    Layout,
    MethodName,
    MethodOptions,
    Preserve,
    Seed,
    Source,
    Suppress,
    Watch,
    Workers,
)
from sordine.cli.signature import takes
from sordine.errors import SordineError
from sordine.policy import Policy
from sordine.run import Run, check_device

if TYPE_CHECKING:
    from sordine.data.table import Table
    from sordine.models.modifier import Modifier
    from sordine.models.training import Views

EXAMPLES = (
    "sordine fit voices.parquet -s speaker -p word -o modifier",
    "sordine fit voices.parquet -s speaker -p word -m noise --option sigma=2 -o modifier",
    "sordine fit voices.parquet -s speaker,sex -p word --max-leakage speaker=0.05,sex=0.1 -o modifier",
)


@dataclass(frozen=True, kw_only=True)
class FitOptions(Common):
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
    along: Along = None
    budget: BudgetName = "standard"
    device: Device = "cpu"
    workers: Workers = 2
    seed: Seed = 0
    force: Force = False


@dataclass(frozen=True)
class _Plan:
    """What to fit. `limits` is None where no leakage limit is given."""

    method: str
    options: dict[str, str]
    limits: dict[str, float] | None = None
    along: tuple[str, tuple[str, ...]] | None = None
    budget: Any = None


@takes(FitOptions)
def fit(given: FitOptions) -> int:
    """Fit a modifier to a table, and report which attributes are entangled."""
    policy = parsing.policy(given.suppress, given.preserve, given.watch, given.table)
    if given.along is not None and given.max_leakage is None:
        raise SordineError("--along sets what --max-leakage tries; give --max-leakage too")
    paths.check_output(given.output, given.force, given.table, given.pool, given.key, directory=True)
    paths.check_table(given.table)
    plan = _plan(given, policy)
    from sordine.data.table import Table
    from sordine.workflow.key_files import key_for_fit
    from sordine.workflow.leakage_limit import NotMet, kept

    with given.console() as console:
        records = Table.read(given.table, parsing.names(given.features), named=policy.named)
        policy = records.require(policy)
        pool = _pool(given, policy, records, console)
        for note in records.notes:
            console.log(note)
        if given.method is None:
            console.log(f"method {plan.method}: the one that protects best (docs/methods/{plan.method}.md)")
        try:
            with key_for_fit(given.output, given.key, console.log) as key:
                run = Run(
                    device=check_device(given.device),
                    seed=given.seed,
                    key=key,
                    progress=console.progress,
                    pool=pool,
                    raw_views=_raw_views(given, console),
                )
                modifier = _fit(plan, records, policy, run, given.workers)
                modifier.save(given.output, force=given.force)
        except NotMet as none:
            console.say(str(none).replace("`", "'"))
            return FOUND
        if plan.limits is not None:
            console.say(kept(modifier))
        console.say(f"{given.output}: the modifier ({modifier.card.method})")
    return DONE


def _plan(given: FitOptions, policy: Policy) -> _Plan:
    """Return what to fit. Everything in it is checked before any data is loaded."""
    from sordine.methods.registry import default_method, make
    from sordine.workflow.leakage_limit import rungs

    method = given.method if given.method is not None else default_method(policy, copies=given.pool is not None)
    options = parsing.assignments(given.options)
    make(method, options)
    if given.max_leakage is None:
        return _Plan(method, options)
    limits = parsing.leakage_limits(given.max_leakage, policy.suppress)
    along = None if given.along is None else parsing.values_along(given.along)
    budget = parsing.budget(given.budget)
    rungs(method, options, along)
    return _Plan(method, options, limits, along, budget)


def _pool(given: FitOptions, policy: Policy, records: Table, console: Console) -> Table | None:
    if given.pool is None:
        return None
    from sordine.data.table import Table

    features = parsing.names(given.features)
    return Table.read(given.pool, features, named=policy.named, like=records, log=console.log)


def _raw_views(given: FitOptions, console: Console) -> Callable[[Table], Views] | None:
    if given.views is None:
        return None
    from sordine.features.augmentation.raw_views import raw_views

    return raw_views(given.table, given.views, layout=given.layout, log=console.log, progress=console.progress)


def _fit(plan: _Plan, records: Table, policy: Policy, run: Run, workers: int) -> Modifier:
    from sordine.methods.fit import fit as fit_table
    from sordine.methods.registry import make
    from sordine.workflow.leakage_limit import fit_under

    if plan.limits is None:
        return fit_table(records, policy, make(plan.method, plan.options), run=run)
    return fit_under(
        records,
        policy,
        plan.method,
        plan.limits,
        run,
        settings=plan.options,
        along=plan.along,
        budget=plan.budget,
        workers=workers,
    )
