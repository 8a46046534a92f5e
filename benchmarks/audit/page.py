"""docs/results/audit.md, from the stored figures."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.audit.families import SEEDS as FAMILY_SEEDS
from benchmarks.audit.families import SIZE
from benchmarks.audit.limits import CASES
from benchmarks.audit.planted import FAST, FEW, LIMIT, MANY, RECORDS, SEEDS, TRIALS, WIDTHS
from benchmarks.audit.releases import METHODS, MOST, SCENES
from benchmarks.harness import BASIC_ATTACKS, Store, markdown_table, percent
from sordine.attacks.plants import KINDS
from sordine.evaluation.sections.power import SIZES

HEAD = f"""# The audit, measured

What the standard audit finds that its basic attacks do not, how often it finds leaks that were planted on purpose, and
what its attacks cost. Leakage is a NAG in per cent: 0 is the baseline, 100 is what attacks infer from the originals.

    SORDINE_DATA=... python -m benchmarks.audit

measures what is missing, on one thread, and writes this page. Data that take part: at most {MOST:,} records of a data
set, chosen by id, split 75 to 25, seed 0. *Basic*: {", ".join(BASIC_ATTACKS[:4])}. *Standard*: the default of
`sordine audit`.
"""

RELEASES = """
## Releases

`transport` and `flow` with their default options and no preserved attribute. *Leakage*: the worst scenario of single
records, with its 95 % interval. *Cannot be excluded*: the figure that the verdict states. A limit of 5 %.

"""

TOLD = """
What else the standard audit says of these releases, in its own words:

"""

FOUND = f"""
## How often a planted leak is found

Noise, two classes, three quarters of the records are the attacker's own. The share of {SEEDS} plants that the attacks
`neighbours`, `discriminant` and `screening` find, at the level of significance of the standard audit and a limit of
5 %. The size is the leakage of the best possible attack. The last line of each table has no plant: what is found there
is chance.

"""

VERDICTS = f"""
## Verdicts on planted leaks

{TRIALS} audits of noise without a leak: the default audit, {FEW[0]:,} records of {FEW[1]} numbers, a limit of 5 %. And
{TRIALS} audits with a leak of each size, of every kind in turn, with two and with six classes: {MANY[0]:,} records of
{MANY[1]} numbers, scenario A, the attacks {", ".join(FAST)}, a limit of {percent(LIMIT)} %, so that the verdict can be
*holds* although something leaks. *Covered*: the report covers the kind and size that was planted. *Interval below it*:
of these, the attacks alone would exclude the leak. *Too low*: of these, the verdict is *holds*, and states a figure
below the leak.

"""

FAMILIES = f"""
## What each attack adds

Processor seconds on one thread: `speaker` of FSDD released by `transport`, all scenarios. *Best*: releases of the first
table on which the attack found the most. *Plants*: of {FAMILY_SEEDS} plants of {percent(SIZE)} % in 2,000 records of 40
numbers, how many the attack finds alone.

"""

TIME = """
## Time

Processor seconds of both audits of the first table, one suppressed and one watched attribute, on one thread.

"""

LIMITS = """
A whole standard audit with every section, in a process of its own, on all cores of a machine with two.

"""


def page(store: Store) -> str:
    """Return the page as Markdown; a part that has not been measured is left out."""
    head = ["data", "method", "basic: leakage", "cannot be excluded", "verdict"]
    head += ["standard: leakage", "cannot be excluded", "verdict"]
    verdicts = ["planted", "audits", "leaks", "unclear", "holds", "covered", "interval below it", "too low"]
    times = ["data", "records", "numbers", "method", "basic", "standard", "ratio"]
    limits = ["audit", "seconds", "processor seconds", "memory of the tables, GB", "peak, GB", "records attacked"]
    parts = [
        (RELEASES, _table(head, _releases(store))),
        (TOLD, "".join(_told(store))),
        (FOUND, "".join(_found(store))),
        (VERDICTS, _table(verdicts, _verdicts(store))),
        (FAMILIES, _families(store)),
        (TIME, _table(times, _times(store))),
        (LIMITS, _table(limits, _limits(store))),
    ]
    return HEAD + "".join(before + text for before, text in parts if text)


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    found = list(rows)
    return markdown_table(head, found) if found else ""


def _units(store: Store) -> Iterator[tuple[str, str, dict]]:  # type: ignore[type-arg]
    for scene in SCENES:
        for method in METHODS:
            unit = store.unit(f"release--{scene}--{method}")
            if unit.exists():
                yield scene, method, unit.read()


def _releases(store: Store) -> Iterator[list[str]]:
    for scene, method, found in _units(store):
        row = [SCENES[scene].sentence, f"`{method}`"]
        for name in ("basic", "standard"):
            some = found[name]
            row += [_interval(some["leakage"]), percent(min(some["not_excluded"], 1.0)), some["level"]]
        yield row


def _interval(figures: list[float | None]) -> str:
    share, low, high = figures
    return "-" if share is None else f"{percent(share)} ({percent(low)} to {percent(high)})"


def _told(store: Store) -> Iterator[str]:
    for scene, method, found in _units(store):
        yield f"- **{SCENES[scene].sentence.split(',')[0]}, `{method}`.** {found['standard']['title']}.\n"


def _found(store: Store) -> Iterator[str]:
    for n in RECORDS:
        for d in WIDTHS:
            unit = store.unit(f"found--{n:05}--{d:03}")
            if not unit.exists():
                continue
            some = unit.read()
            rows = [[k, *(f"{some['shares'][k][str(s)]:.2f}" for s in reversed(SIZES))] for k in KINDS]
            rows.append(["no plant", f"{some['without']:.2f}", *[""] * (len(SIZES) - 1)])
            yield f"**{n:,} records of {d} numbers**\n\n"
            yield markdown_table(["kind", *(f"{percent(s)} %" for s in reversed(SIZES))], rows) + "\n"


def _verdicts(store: Store) -> Iterator[list[str]]:
    for unit in store.units("verdicts--"):
        size, rows = float(unit.name.split("--")[1]), unit.read()["trials"]
        levels = [sum(row["level"] == level for row in rows) for level in ("leaks", "unclear", "holds")]
        planted = f"{percent(size)} %" if size else "nothing"
        covered = [row for row in rows if row["power"] is not None and row["power"] <= size] if size else []
        below = [row for row in covered if row["by_attacks"] < size - 1e-9]
        low = [row for row in below if row["level"] == "holds" and (row["not_excluded"] or 0) < size - 1e-9]
        more = [len(covered), len(below), len(low)] if size else ["-"] * 3
        yield [planted, str(len(rows)), *map(str, levels), *map(str, more)]


def _families(store: Store) -> str:
    seconds, plants = store.unit("families--seconds"), store.unit("families--plants")
    if not (seconds.exists() and plants.exists()):
        return ""
    spent, found = seconds.read(), plants.read()
    best = [some["standard"]["attack"] for _, _, some in _units(store)]
    rows = [
        [f"`{name}`", f"{spent[name]:.1f}", str(best.count(name)), *(str(found[name][kind]) for kind in KINDS)]
        for name in spent
    ]
    return markdown_table(["attack", "seconds", "best", *KINDS], rows)


def _times(store: Store) -> Iterator[list[str]]:
    for scene, method, found in _units(store):
        basic, standard = (found[name]["core_seconds"] for name in ("basic", "standard"))
        ratio = f"{standard / basic:.1f}"
        yield [scene, f"{found['records']:,}", f"{found['width']:,}", method, f"{basic:.0f}", f"{standard:.0f}", ratio]


def _limits(store: Store) -> Iterator[list[str]]:
    for name, sentence in CASES.items():
        unit = store.unit(f"limits--{name}")
        if unit.exists():
            some = unit.read()
            figures = [f"{some['seconds']:.0f}", f"{some['core_seconds']:.0f}"]
            figures += [f"{some['tables_gb']:.1f}", f"{some['peak_gb']:.1f}", f"{some['attacked']:,}"]
            yield [sentence, *figures]
