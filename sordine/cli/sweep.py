"""The command `sweep`: the curve of leakage against utility of one or several methods, as lines and as a page."""

from __future__ import annotations

import json as text
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordine.cli import parsing as given
from sordine.cli.console import Console
from sordine.cli.exit_codes import DONE
from sordine.cli.options import (
    Device,
    Features,
    Force,
    Names,
    Preserve,
    Quiet,
    Settings,
    Source,
    Suppress,
    Watch,
    Workers,
)
from sordine.errors import SordineError
from sordine.run import check_device

if TYPE_CHECKING:
    from sordine.evaluation.report import Comparison
    from sordine.workflow.sweep import Swept

WORK = "work"


def sweep(
    table: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="SWEEP.html")],
    method: Annotated[
        Names, typer.Option("-m", "--method", metavar="NAMES", help="Methods. [the one that holds best]")
    ] = None,
    suppress: Suppress = None,
    preserve: Preserve = None,
    watch: Watch = None,
    along: Annotated[
        str | None, typer.Option("--along", metavar="FIELD=VALUES", help="What varies. [each method's own ladder]")
    ] = None,
    points: Annotated[int, typer.Option("--points", min=1, help="At most, of each method's ladder.")] = 10,
    settings: Settings = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="SWEEP.json")] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep every point's modifier and report.")
    ] = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Fit every point as if alone: slower, and what fit would give.")
    ] = False,
    budget: Annotated[
        str, typer.Option("--budget", metavar="NAME", help="How hard attackers try: quick, standard or paranoid.")
    ] = "standard",
    family: Annotated[Names, typer.Option("--family", metavar="NAMES", help="Families of attackers.")] = None,
    features: Features = None,
    key: Annotated[Path | None, typer.Option("--key", help="The key file. [SWEEP.key beside the page]")] = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of the training.")] = 0,
    workers: Workers = 2,
    force: Force = False,
    quiet: Quiet = False,
) -> int:
    """Draw leakage against utility of one or several methods."""
    from sordine.workflow.key_files import beside
    from sordine.workflow.sweep_folder import fitted, held, require_own, take_away

    asked = given.policy(suppress, preserve, watch, table)
    plain = output.with_suffix("")
    work = plain.with_name(f"{plain.name}.{WORK}")
    places = {"-o": output, "--json": json, "--keep": keep, "--key": key, "the folder that the sweep takes away": work}
    given.apart(places | ({} if key is not None else {"the sweep's key": beside(plain)}))
    require_own(work)
    for path in (output, json):
        if path is not None:
            given.ready(path, force, table, key)
    if keep is not None:
        given.ready(keep, False, table, key, output, json, directory=True)
    given.is_table(table)
    from sordine.data.files import atomic
    from sordine.data.table import Table
    from sordine.evaluation.page.tradeoff_plot import comparison_page
    from sordine.methods.registry import default_method
    from sordine.policy import Policy
    from sordine.run import Run
    from sordine.workflow.key_files import key_for_fit
    from sordine.workflow.leakage_limit import along_of, budget_of, rungs, settings_of
    from sordine.workflow.sweep import sweep as draw

    if watch is None and asked.preserve:  # the curve needs no more; every attribute read costs attackers
        asked = Policy(asked.suppress, asked.preserve, ())
    names = given.names(method) or (default_method(asked),)
    fixed = settings_of(given.fields(settings), names)
    varied = None if along is None else along_of(along)
    ladder = [rung for name in dict.fromkeys(names) for rung in rungs(name, fixed[name], varied, points)]
    tries = budget_of(budget, given.names(family))
    with Console(quiet=quiet) as people:
        run = Run(check_device(device), seed, log=people.log, progress=people.progress)
        records = Table.read(table, given.names(features), named=asked.named)
        for note in records.notes:
            people.log(note)
        records.require(asked)
        with held(work), key_for_fit(plain, key, people.log, lambda: fitted(work)) as secret:
            run = replace(run, key=secret)
            try:
                found, made = draw(
                    records, asked, ladder, run, folder=work, budget=tries, separate=separate, workers=workers
                )
            except Exception:
                if fitted(work):
                    people.log(
                        f"{work} keeps what was fitted: the same sweep, or one of other settings, goes on from it"
                    )
                raise
            if keep is not None:
                _keep(keep, made)
            for path, written in ((output, comparison_page(found)), (json, to_json(found, made))):
                if path is not None:
                    with atomic(path, force=force) as temporary:
                        temporary.write_text(written, encoding="utf-8")
            if not found.failed and not take_away(work):
                people.log(f"{work} stays: it holds what the sweep did not make")
        for line in lines(found):
            people.say(line)
        for path, what in ((output, "the sweep"), (json, "its figures"), (keep, "its modifiers")):
            if path is not None:
                people.say(f"{path}: {what}")
        if found.failed:
            people.say(f"{work}: the points that were made; the same sweep, or one of other settings, goes on from it")
    if found.failed:
        each = "; ".join(f"{f.name}: {f.why}" for f in found.failed)
        raise SordineError(f"{len(found.failed)} of {len(ladder)} settings have no point on {output}: {each}")
    return DONE


def lines(found: Comparison) -> list[str]:
    """A line a point: what was read, what is useful, and the verdict where that is that it leaks or is broken; * marks the
    undominated. And a line a setting that was not made."""
    from sordine.evaluation.comparison import settings
    from sordine.evaluation.page.charts import clipped, span
    from sordine.evaluation.page.tradeoff_plot import useful

    said = [
        f"leakage of {found.attribute} against utility ({useful(found)}); * says only that no other point is better in both, "
        "not that this one is safe"
    ]
    for curve in found.curves:
        for p in curve.points:
            what = settings(curve, p)
            told = [
                f"{word} {clipped(value)}" + (f" ({span(low, high)})" if low is not None else "")
                for word, value, low, high in (
                    ("leakage", p.leakage, p.leakage_low, p.leakage_high),
                    ("utility", p.utility, p.utility_low, p.utility_high),
                )
            ]
            title = f"{curve.method}, {what}" if curve.varies else what  # which is then the point's whole name
            bad = f": {p.level}" if p.level in ("leaks", "broken") else ""
            said.append(f"  {'*' if p.front else ' '} {title}: {', '.join(told)}{bad}")
    return said + [f"  not made: {f.name}: {f.why}" for f in found.failed]


def to_json(found: Comparison, made: Sequence[Swept]) -> str:
    """The sweep as JSON text: `schema` 1; `comparison`, as on the page, and `points`: method, field, value, shared (whether
    its training had its start in common with others), and the point's whole report."""
    from dataclasses import asdict

    from sordine.evaluation.report_json import to_json as report_json

    points = [
        {
            "method": p.rung.name,
            "field": p.rung.field,
            "value": p.rung.value,
            "shared": p.shared,
            "report": text.loads(report_json(p.report)),
        }
        for p in made
    ]
    whole = {"schema": 1, "comparison": asdict(found), "points": points}
    return text.dumps(whole, indent=1, ensure_ascii=False, default=str) + "\n"


def _keep(folder: Path, made: Sequence[Swept]) -> None:
    """FOLDER/NAME/ with the modifier and report.json, a point each."""
    from sordine.data.files import atomic
    from sordine.evaluation.report_json import to_json as report_json

    with atomic(folder) as temporary:
        temporary.mkdir()
        for p in made:
            own = temporary / _name(p)
            own.mkdir()
            shutil.copytree(p.modifier, own / "modifier")
            (own / "report.json").write_text(report_json(p.report), encoding="utf-8")


def _name(p: Swept) -> str:
    if p.rung.field is None:
        return p.rung.name
    return f"{p.rung.name}-{p.rung.field}-{p.rung.value}".replace("/", "_").replace(" ", "")
