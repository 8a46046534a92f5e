"""The command `sweep`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.compare import figures
from sordine.cli.completion import methods
from sordine.cli.console import Console
from sordine.cli.options import (
    Along,
    Attacks,
    BudgetName,
    Device,
    Features,
    Force,
    MethodOptions,
    Names,
    Pdf,
    Preserve,
    ReadsTables,
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
    from sordine.evaluation.report import Comparison
    from sordine.workflow.leakage_limit import Candidate
    from sordine.workflow.sweep import Swept

WORK = "work"
EXAMPLES = (
    "sordine sweep voices.parquet -m transport,noise -s speaker -p word -o sweep.html",
    "sordine sweep voices.parquet -m noise --along sigma=8,4,2,1 -s speaker -p word -o sweep.html",
)


@dataclass(frozen=True, kw_only=True)
class SweepOptions(ReadsTables):
    """The options of `sweep`."""

    table: Source
    output: Annotated[Path, typer.Option("-o", "--output", metavar="SWEEP.html", help="The page to write.")]
    methods: Annotated[
        Names,
        typer.Option(
            "-m",
            "--method",
            metavar="NAMES",
            help="The methods. [default: transport]",
            autocompletion=methods,
        ),
    ] = None
    suppress: Suppress = None
    preserve: Preserve = None
    watch: Watch = None
    along: Along = None
    points: Annotated[int, typer.Option("--points", metavar="N", min=1, help="Points of each method, at most.")] = 10
    options: MethodOptions = None
    json: Annotated[Path | None, typer.Option("--json", metavar="SWEEP.json", help="The figures to write.")] = None
    pdf: Pdf = None
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Write every point's modifier and report here.")
    ] = None
    separate: Annotated[
        bool, typer.Option("--separate", hidden=True, help="Has no effect: every point is fitted on its own.")
    ] = False
    budget: BudgetName = "standard"
    attacks: Attacks = None
    features: Features = None
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The key file. [default: SWEEP.key beside the page]")
    ] = None
    device: Device = "cpu"
    seed: Seed = 0
    workers: Workers = 2
    force: Force = False

    @property
    def work(self) -> Path:
        """The folder for unfinished work, beside the page."""
        return self.output.with_name(f"{self.output.stem}.{WORK}")


@takes(SweepOptions)
def sweep(given: SweepOptions) -> None:
    """Plot leakage against utility over the strengths of methods."""
    from sordine.workflow.stages import require_sweep_folder

    policy = parsing.policy(given.suppress, given.preserve, given.watch, given.table)
    if given.watch is None and policy.preserve:  # each watched attribute costs attacks, and the plot needs none
        policy = Policy(policy.suppress, policy.preserve, ())
    _check_paths(given)
    require_sweep_folder(given.work)
    _check_outputs(given)
    candidates = _candidates(given, policy)
    with given.console() as console:
        found = _sweep(given, policy, candidates, console)
        for line in curve_lines(found):
            console.say(line)
        for path, what in _results(given):
            if path is not None:
                console.say(f"{path}: {what}")
        if found.failed:
            console.say(f"{given.work}: the finished points; the same sweep continues from them")
    if found.failed:
        reasons = "; ".join(f"{f.name}: {f.why}" for f in found.failed)
        raise SordineError(f"{len(found.failed)} of {len(candidates)} points are missing on {given.output}: {reasons}")


def _results(given: SweepOptions) -> tuple[tuple[Path | None, str], ...]:
    pages = (given.output, "the sweep"), (given.pdf, "the sweep"), (given.json, "its figures")
    return (*pages, (given.keep, "its modifiers"))


def _check_paths(given: SweepOptions) -> None:
    from sordine.workflow.key_files import beside

    paths.check_pdf(given.pdf)
    places = {"-o": given.output, "--json": given.json, "--pdf": given.pdf, "--keep": given.keep, "--key": given.key}
    places["the folder for the sweep's work"] = given.work
    if given.key is None:
        places["the sweep's key"] = beside(given.output.with_suffix(""))
    paths.check_distinct(places)


def _check_outputs(given: SweepOptions) -> None:
    for path in (given.output, given.json, given.pdf):
        if path is not None:
            paths.check_output(path, given.force, given.table, given.key)
    if given.keep is not None:
        inputs = (given.table, given.key, given.output, given.json, given.pdf)
        paths.check_output(given.keep, False, *inputs, directory=True)
    paths.check_table(given.table)


def _candidates(given: SweepOptions, policy: Policy) -> list[Candidate]:
    from sordine.methods.fit import check_policy
    from sordine.methods.registry import default_method
    from sordine.workflow.leakage_limit import candidates

    names = parsing.names(given.methods) or (default_method(policy),)
    fixed = parsing.options_by_method(parsing.assignments(given.options), names)
    along = None if given.along is None else parsing.values_along(given.along)
    found = [
        candidate for name in dict.fromkeys(names) for candidate in candidates(name, fixed[name], along, given.points)
    ]
    for candidate in found:
        check_policy(candidate.method, policy)
    return found


def _sweep(given: SweepOptions, policy: Policy, candidates: Sequence[Candidate], console: Console) -> Comparison:
    """Run the sweep and write its outputs."""
    from sordine.data.table import Table
    from sordine.workflow.key_files import key_for_fit
    from sordine.workflow.stages import folder_of_sweep, has_points, remove_sweep
    from sordine.workflow.sweep import sweep as sweep_table

    budget = parsing.budget(given.budget, parsing.names(given.attacks))
    run = Run(check_device(given.device), given.seed, progress=console.progress, workers=given.workers)
    records = Table.read(given.table, parsing.names(given.features), named=policy.named)
    for note in records.notes:
        console.log(note)
    records.require(policy)
    key_name = given.output.with_suffix("")
    made_before = partial(has_points, given.work)
    with folder_of_sweep(given.work), key_for_fit(key_name, given.key, console.log, made_before) as key:
        run = replace(run, key=key)
        try:
            found, made = sweep_table(records, policy, candidates, run, folder=given.work, budget=budget)
        except Exception:
            if has_points(given.work):
                console.log(f"{given.work}: the fitted points; the same sweep continues from them")
            raise
        _write(given, found, made)
        if not found.failed and not remove_sweep(given.work):
            console.log(f"{given.work} is left in place: it contains other files than the sweep's")
    return found


def _write(given: SweepOptions, found: Comparison, made: Sequence[Swept]) -> None:
    from sordine.data.files import atomic_together
    from sordine.evaluation.page.pdf import to_pdf
    from sordine.evaluation.page.tradeoff_plot import comparison_page

    if given.keep is not None:
        _keep(given.keep, made)
    page = comparison_page(found)
    texts = (given.output, lambda: page.encode()), (given.json, lambda: to_json(found, made).encode())
    wanted = [(path, make) for path, make in (*texts, (given.pdf, lambda: to_pdf(page))) if path is not None]
    with atomic_together(*(path for path, _ in wanted), force=given.force) as temporary:
        for path, (_, make) in zip(temporary, wanted, strict=True):
            path.write_bytes(make())


def curve_lines(found: Comparison) -> list[str]:
    """Return the points of a sweep, one per line: * marks the undominated, and a word those that leak or are broken."""
    from sordine.evaluation.comparison import settings
    from sordine.evaluation.page.tradeoff_plot import useful

    lines = [
        f"leakage of {found.attribute} against utility ({useful(found)}); * means that no other point is better in "
        "both, not that this one is safe"
    ]
    for curve in found.curves:
        for point in curve.points:
            what = settings(curve, point)
            title = f"{curve.method}, {what}" if curve.varies else what  # otherwise `what` is the point's whole name
            level = f": {point.level}" if point.level in ("leaks", "broken") else ""
            lines.append(f"  {'*' if point.front else ' '} {title}: {figures(point)}{level}")
    return lines + [f"  missing: {f.name}: {f.why}" for f in found.failed]


def to_json(found: Comparison, made: Sequence[Swept]) -> str:
    """Return the sweep as JSON text.

    Keys: `schema` (1); `comparison`, as on the page; `points`: method, field, value, shared (always false; for readers
    of earlier versions) and the point's whole report.
    """
    from dataclasses import asdict

    from sordine.evaluation.report_json import to_json as report_json

    points = [
        {
            "method": point.candidate.name,
            "field": point.candidate.field,
            "value": point.candidate.value,
            "shared": False,
            "report": json.loads(report_json(point.report)),
        }
        for point in made
    ]
    whole = {"schema": 1, "comparison": asdict(found), "points": points}
    return json.dumps(whole, indent=1, ensure_ascii=False, default=str) + "\n"


def _keep(folder: Path, made: Sequence[Swept]) -> None:
    """Write FOLDER/NAME/ with the modifier and report.json of each point."""
    from sordine.data.files import atomic
    from sordine.evaluation.report_json import to_json as report_json

    with atomic(folder) as temporary:
        temporary.mkdir()
        for point in made:
            place = temporary / _name(point)
            place.mkdir()
            shutil.copytree(point.modifier, place / "modifier")
            (place / "report.json").write_text(report_json(point.report), encoding="utf-8")


def _name(point: Swept) -> str:
    if point.candidate.field is None:
        return point.candidate.name
    return f"{point.candidate.name}-{point.candidate.field}-{point.candidate.value}".replace("/", "_").replace(" ", "")
