"""docs/results/sweep.md: a ten-point sweep against ten separate runs of fit, transform and audit, on FSDD.

    SORDINE_DATA=../shared/data python -m benchmarks.sweep [--points 10] [--table FSDD.parquet] [--page PAGE]

Both sides are commands, each in its own process, one after another. They share the table, the key, the attributes,
attacks, scenarios, seeds and folds. The separate audits are called in Python, without the attacks that a sweep omits
too (several records of one person, pretrained classifiers). Time is wall-clock time and, since other processes may
run, processor time.
--table takes an extracted table (log-mel) instead of the data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report_json import write_report
from sordine.keys import Key
from sordine.methods.registry import load
from sordine.policy import Policy
from sordine.workflow.leakage_limit import candidates

HOME = Path(__file__).parent
PAGE = HOME.parent / "docs" / "results" / "sweep.md"
METHOD, SUPPRESS, PRESERVE = "transport", "speaker", "digit"
SORDINE = [sys.executable, "-c", "from sordine.cli.app import main; raise SystemExit(main())"]


@dataclass(frozen=True)
class Spent:
    """Seconds: on the clock, and of processors."""

    wall: float
    cpu: float

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)


def sordine(*words: str | Path) -> Spent:
    """Run one command, and return its time."""
    return timed(*SORDINE[1:], *words, "--quiet")


def plain_audit(table: Path, released: Path, modifier: Path, key: Path, report: Path) -> None:
    """Run the standard audit of single records."""
    policy = Policy((SUPPRESS,), (PRESERVE,), ())
    found = audit(
        Table.read(table),
        Table.read(released),
        policy,
        modifier=load(modifier),
        key=Key.read(key),
        budget=Budget(person=(), risks=False, plants=0),
        options=AuditOptions(pretrained=False),
    )
    write_report(found, html=f"{report}.html", json=report)


def timed(*words: str | Path) -> Spent:
    """Run Python with these arguments, and return its time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(time.monotonic() - began, cpu)


def separate(folder: Path, table: Path, key: Path, name: str, value: Any) -> tuple[dict[str, Spent], dict[str, Any]]:
    """Measure one point by three commands; return their times and the report."""
    modifier, released, report = (folder / f"{value}{end}" for end in ("", ".parquet", ".json"))
    policy = ["-s", SUPPRESS, "-p", PRESERVE, "-w", "none"]
    took = {
        "fit": sordine(
            "fit", table, *policy, "-m", METHOD, "--option", f"{name}={value}", "--key", key, "-o", modifier
        ),
        "transform": sordine("transform", modifier, table, "--key", key, "-o", released),
        "audit": timed("-m", "benchmarks.sweep", "--audit", table, released, modifier, key, report),
    }
    return took, json.loads(report.read_text(encoding="utf-8"))


def heads(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the headlines of a report by attribute."""
    return {h["attribute"]: h for h in report["headlines"]}


def main() -> None:
    """Measure both sides and write the page."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--points", type=int, default=10)
    asked.add_argument("--table", type=Path)
    asked.add_argument("--page", type=Path, default=PAGE)
    asked.add_argument("--audit", type=Path, nargs=5, help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.audit is not None:
        plain_audit(*given.audit)
        return
    ladder = candidates(METHOD, points=given.points)
    name, values = str(ladder[0].field), [candidate.value for candidate in ladder]
    with tempfile.TemporaryDirectory(prefix="sordine-bench-") as temporary:
        folder = Path(temporary)
        table, key = folder / "fsdd.parquet", folder / "fsdd.key"
        if given.table is not None:
            table = given.table.absolute()
        else:
            sordine("extract", Path(os.environ["SORDINE_DATA"]) / "fsdd", "--extractor", "logmel", "-o", table)
        Key.of_seed(0).write(key)
        policy = ["-s", SUPPRESS, "-p", PRESERVE, "-w", "none"]
        along = f"{name}={','.join(map(str, values))}"
        page, figures = folder / "sweep.html", folder / "sweep.json"
        swept = sordine(
            "sweep", table, *policy, "-m", METHOD, "--along", along, "--key", key, "-o", page, "--json", figures
        )
        print(f"sweep of {len(values)}: {swept.wall:.0f} s, processors {swept.cpu:.0f} s", flush=True)
        took: dict[str, Spent] = {}
        alone = []
        for value in values:
            one, report = separate(folder, table, key, name, value)
            alone.append(report)
            for what, spent in one.items():
                took[what] = took.get(what, Spent(0, 0)) + spent
            times = ", ".join(f"{what} {s.wall:.0f} s ({s.cpu:.0f} s)" for what, s in one.items())
            print(f"{name} {value}: {times}", flush=True)
        points = json.loads(figures.read_text(encoding="utf-8"))["points"]
    written = text(values, name, swept, took, [p["report"] for p in points], alone)
    given.page.write_text(written, encoding="utf-8")
    print(given.page)


def text(
    values: list[Any],
    name: str,
    swept: Spent,
    took: dict[str, Spent],
    points: list[dict[str, Any]],
    alone: list[dict[str, Any]],
) -> str:
    """Return the page."""
    whole = sum(took.values(), Spent(0, 0))
    made = alone[0]["made"]
    lines = [
        "# A sweep against separate runs",
        "",
        f"FSDD, 3,000 clips as log-mel vectors, `{SUPPRESS}` suppressed, `{PRESERVE}` preserved, {METHOD} along "
        f"`{name}`, {len(values)} points; attacks: {', '.join(made['families'])}; scenarios "
        f"{', '.join(made['settings'])}; seed {made['seeds'][0]}; {made['folds']} folds. {os.cpu_count()} processor "
        f"cores ({platform.machine()}). Made by `python -m benchmarks.sweep --points {len(values)}`.",
        "",
        "| | wall-clock, s | processors, s |",
        "| --- | --- | --- |",
        *(f"| {len(values)} times `{what}` | {s.wall:.0f} | {s.cpu:.0f} |" for what, s in took.items()),
        f"| **separate, in all** | **{whole.wall:.0f}** | **{whole.cpu:.0f}** |",
        f"| **one `sweep`** | **{swept.wall:.0f}** | **{swept.cpu:.0f}** |",
        f"| sweep / separate | {swept.wall / whole.wall:.2f} | {swept.cpu / whole.cpu:.2f} |",
        "",
        "Both sides make the same fits and the same attacks; the sweep attacks the originals once for all points. "
        "Figures are NAG; the leakage is that of the worst scenario.",
        "",
        f"| {name} | leakage, sweep | leakage, separate | utility, sweep | utility, separate |",
        "| --- | --- | --- | --- | --- |",
    ]
    for value, one, other in zip(values, points, alone, strict=True):
        cells = [figure(heads(report)[a]) for a in (SUPPRESS, PRESERVE) for report in (one, other)]
        lines.append(f"| {value:g} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def figure(headline: dict[str, Any]) -> str:
    """Return NAG and its interval, in words."""
    if headline["nag"] is None:
        return "undefined"
    return f"{headline['nag']:.3f} ({headline['low']:.3f} to {headline['high']:.3f})"


if __name__ == "__main__":
    main()
