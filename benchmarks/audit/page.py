"""docs/results/audit.md, from the stored figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.audit.families import SEEDS as FAMILY_SEEDS
from benchmarks.audit.families import SIZE
from benchmarks.audit.former import COMMIT
from benchmarks.audit.known import COUNTS
from benchmarks.audit.limits import CASES
from benchmarks.audit.planted import FAST, FEW, LIMIT, MANY, RECORDS, SEEDS, TRIALS, WIDTHS
from benchmarks.audit.releases import METHODS, MOST, SCENES
from benchmarks.harness import Store, markdown_table, percent
from sordine.attacks.plants import KINDS
from sordine.evaluation.sections.power import SIZES

OUTPUTS_KNOWN = 0.67  # the share known to the attacker of the other code that has released records only

HEAD = f"""# The audit, measured

What the standard audit finds that the one before it did not, how often it finds leaks that were planted on purpose, and
what its attacks cost. Leakage is a NAG in per cent: 0 is the baseline, 100 is what attacks infer from the originals.

    SORDINE_DATA=... python -m benchmarks.audit

measures what is missing, on one thread, and writes this page. Data that take part: at most {MOST:,} records of a data
set, chosen by id, split 75 to 25, seed 0. *Standard*: the default of `sordine audit`. *Former*: the default at commit
`{COMMIT[:7]}`, before planted leaks, known classes and other risks; that code runs on the same releases in a process of
its own. It needs the repository's history.
"""

RELEASES = """
## Releases

`transport` and `flow` with no preserved attribute. *Leakage*: the worst scenario of single records, with its 95 %
interval. A limit of 5 %. Both have the options that were the defaults with the former audit: one map that is fitted to
all records (`parts=1`), and for `transport` `cells=256`, `softness=0.015` and `smooth=0`. Its outputs were means of
records when these figures were measured; they are a linear image of codes now.

"""

TOLD = """
What both audits say of these releases, in their own words:

"""

KNOWN = """
## An attacker that knows a part of the classes

FSDD released by `transport` with one map (`parts=1`, 256 outputs, softness .015), {fitted} fitted records. The attacker
knows the speaker of a share of them, and infers the others. NAG with its 95 % interval, from k records of one speaker.
*By other code*: the same attack as `python -m benchmarks.beyond` measures it, on other splits.

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
{MANY[1]} numbers, scenario A, the attacks {", ".join(FAST)}, a limit of {percent(LIMIT)} %. There the verdict can be
*holds* although something leaks; with fewer records or a lower limit, no verdict on noise is *holds*. *Covered*: the
report covers the kind and size that was planted. *Interval below it*: of these, the attacks alone would exclude the
leak. *Too low*: of these, the verdict is *holds*, and states a figure below the leak.

"""

FAMILIES = f"""
## What each attack adds

Processor seconds on one thread: `speaker` of FSDD released by `transport`, all scenarios. *Best*: releases of the first
table on which the attack found the most. *Adds*: the largest part of a release's leakage, in percentage points, that no
other attack found. *Plants*: of {FAMILY_SEEDS} plants of {percent(SIZE)} % in 2,000 records of 40 numbers, how many the
attack finds alone.

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
    head = ["data", "method", "former: leakage", "verdict", "standard: leakage", "verdict"]
    known = ["known", "attacker has", "k = 1", "by other code", "k = 10", "by other code", "k = 50", "by other code"]
    verdicts = ["planted", "audits", "leaks", "unclear", "holds", "covered", "interval below it", "too low"]
    times = ["data", "records", "numbers", "method", "former", "standard", "ratio"]
    limits = ["audit", "seconds", "processor seconds", "memory of the tables, GB", "peak, GB", "records attacked"]
    parts = [
        (RELEASES, _table(head, _releases(store))),
        (TOLD, "".join(_told(store))),
        (KNOWN.format(fitted="2,400"), _table(known, _known(store))),
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


def _audits(store: Store, scene: str, method: str, found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    former = store.unit(f"former--{scene}--{method}")
    if former.exists():
        yield "former", former.read()
    yield "standard", found["standard"]


def _releases(store: Store) -> Iterator[list[str]]:
    for scene, method, found in _units(store):
        both = dict(_audits(store, scene, method, found))
        row = [SCENES[scene].sentence, f"`{method}`"]
        for name in ("former", "standard"):
            row += [_interval(both[name]["leakage"]), both[name]["level"]] if name in both else ["", ""]
        yield row


def _interval(figures: list[float | None]) -> str:
    share, low, high = figures
    return "-" if share is None else f"{percent(share)} ({percent(low)} to {percent(high)})"


def _told(store: Store) -> Iterator[str]:
    for scene, method, found in _units(store):
        yield f"- **{SCENES[scene].sentence.split(',')[0]}, `{method}`.**\n"
        for name, some in _audits(store, scene, method, found):
            yield f"  *{name.capitalize()}*: {some['title']}.\n"


def _known(store: Store) -> Iterator[list[str]]:
    unit, other = store.unit("known--fsdd"), Store("beyond").unit("known--fsdd--unknown")
    if not (unit.exists() and other.exists()):
        return
    rows = {(round(share, 2), has, k): figures for share, has, k, *figures in unit.read()["rows"]}
    others = other.read()
    for share, has in dict.fromkeys((s, h) for s, h, _ in rows):
        row = [f"{percent(share)} %", "modifier" if has == "modifier" else "released records"]
        by_k = others["known"].get(f"{share:.2f}", {}) if has == "modifier" else {}
        if has == "outputs" and share == OUTPUTS_KNOWN:
            by_k = others["known, outputs"]
        for k in COUNTS:
            figures, single = rows.get((share, has, k)), by_k.get(str(k))
            row += ["" if figures is None else _interval(figures), _other(single)]
        yield row


def _other(figures: Any) -> str:
    if figures is None:
        return ""
    return _interval(figures) if isinstance(figures, list) else percent(figures)


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
    audits = [some["standard"] for _, _, some in _units(store)]
    best = [some["attack"] for some in audits]
    rows = [
        [
            f"`{name}`",
            f"{spent[name]:.1f}",
            str(best.count(name)),
            percent(max(_added(some["findings"], name) for some in audits)),
            *(str(found[name][kind]) for kind in KINDS),
        ]
        for name in spent
    ]
    return markdown_table(["attack", "seconds", "best", "adds", *KINDS], rows)


def _added(findings: list[list[Any]], attack: str) -> float:
    """Return by how much the largest leakage of a release is above the largest of the other attacks."""
    shares = {
        own: max((f[4] or 0.0 for f in findings if (f[0] == attack) is own), default=0.0) for own in (True, False)
    }
    return max(0.0, shares[True] - shares[False])


def _times(store: Store) -> Iterator[list[str]]:
    for scene, method, found in _units(store):
        both = dict(_audits(store, scene, method, found))
        if "former" in both:
            former, standard = (both[name]["core_seconds"] for name in ("former", "standard"))
            sizes = [f"{found['records']:,}", f"{found['width']:,}"]
            yield [scene, *sizes, method, f"{former:.0f}", f"{standard:.0f}", f"{standard / former:.1f}"]


def _limits(store: Store) -> Iterator[list[str]]:
    for name, sentence in CASES.items():
        unit = store.unit(f"limits--{name}")
        if unit.exists():
            some = unit.read()
            figures = [f"{some['seconds']:.0f}", f"{some['core_seconds']:.0f}"]
            figures += [f"{some['tables_gb']:.1f}", f"{some['peak_gb']:.1f}", f"{some['attacked']:,}"]
            yield [sentence, *figures]
