"""The text of docs/results/unknown-task.md, from the figures in benchmarks/results/unknown.jsonl."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.harness import Store, percent, table_row
from benchmarks.unknown.cases import BESIDE, CASES, ENTRIES, FIELDS, FOLDS, KEYS, NEW, Case, Entry, Task
from benchmarks.unknown.checks import Check, beside, checks, ends, number
from benchmarks.unknown.measure import COUNTS, MOST, QUERIES, read
from benchmarks.unknown.picture import Point
from benchmarks.unknown.pooled import (
    Figure,
    Part,
    exact,
    mean_utility,
    measured,
    people,
    pool,
    releases,
    useful,
    worst,
    worst_person,
)
from sordine.evaluation.sections.sample import MOST as SEVERAL

MACHINE = re.compile(r"support vector machine, .*? (?:inferred|read) (\d\.\d\d) NAG")  # in a card's notes
Parts = dict[tuple[str, Task, str], list[Part]]  # (case, task, entry) -> parts


def gather(store: Store | None = None) -> Parts:
    """Return all parts measured under the methods' present fields."""
    found = {
        (case.name, task, entry.name): read(case, task, entry, store)
        for case in CASES.values()
        for task in case.tasks
        for entry in ENTRIES.values()
    }
    return {k: list(v) for k, v in found.items() if releases(v)}


def page(found: Parts) -> str:
    """Return the whole page."""
    by = {e: {(case, task): parts for (case, task, entry), parts in found.items() if entry == e} for e in (NEW, BESIDE)}
    made, other = checks(by[NEW]), beside(by[BESIDE])
    return (
        "\n".join(
            [
                HEAD,
                *listed(made, other),
                *tables(found),
                *persons(found),
                *queried(found),
                *how(found),
                *lacking(found, made, other),
            ]
        )
        + "\n"
    )


def points(found: Parts) -> list[Point]:
    """Return the points of the picture: those with a defined leakage and utility."""
    out = []
    for (name, task, entry), parts in found.items():
        case, figures = CASES[name], pool(parts)
        leak = worst_of(case, figures)
        mean = mean_utility(figures, preserved(case, task))
        if leak is not None and mean is not None:
            out.append(Point(name, task, entry, leak, mean))
    return out


def worst_of(case: Case, figures: Mapping[str, Sequence[Figure]]) -> float | None:
    """Return the NAG of the suppressed attribute that leaks most; None where one is undefined."""
    values = [worst(figures[a]).nag for a in case.suppress]
    return None if None in values else max(v for v in values if v is not None)


def preserved(case: Case, task: Task) -> tuple[str, ...]:
    """Return the attributes of a method's mean utility: all watched ones, or the named one."""
    return case.watched if task == "unknown" else (case.keeps,)


HEAD = f"""# Suppression where the later task is not known

One command measures the figures, stores them in `benchmarks/results/unknown.jsonl` and writes this page:

    SORDINE_DATA=... make unknown

The question: attributes are suppressed, and the later use of the records is not known. Can retrained attackers
infer the suppressed attributes, and are the other attributes preserved? *unknown*: no attribute is preserved; the
watched ones are measured by the audit and hidden from the method. *named*: one of them is preserved by name. This
page is about the method `{NEW}`.
"""


def listed(made: Sequence[Check], other: Sequence[Check]) -> Iterator[str]:
    """Yield the check list, with the other method under the first line."""
    yield "## Requirements\n"
    yield (
        "The figures below decide each line. Leakage is the worst retrained attacker's NAG over scenarios A, B and "
        "C; utility is NAG in scenario A. *So far*: some folds and keys are not measured. (The tests show 3, that "
        "`--max-leakage` stays under its limit, see [search](../guide/limits.md); [sweep](sweep.md) shows 4, the "
        "cost of ten points of a sweep.)\n"
    )
    one = [c for c in made if c.number == 1]
    sayings = [f"`{name}` on {reached_on(lines)}" for name, lines in ((BESIDE, other), (NEW, one)) if reached_on(lines)]
    if sayings:
        few = dict.fromkeys(c.what.partition(":")[0] for c in (*one, *other) if c.excused and c.state == "reached")
        over = (
            f" On {', '.join(few)} a figure is over the limit, but too few records distinguish it from 0."
            if few
            else ""
        )
        yield f"Summary: line 1 is fully reached by {'; by '.join(sayings)}.{over}\n"
    for n, words in TITLES.items():
        yield f"**{n}.** {words}\n"
        yield from (f"- {c.text}" for c in made if c.number == n)
        yield ""
        if n == 1 and any(c.state != "not measured" for c in other):
            yield f"The same for `{BESIDE}`, which moves records instead of drawing a cell:\n"
            yield from (f"- {c.text}" for c in other)
            yield ""


def reached_on(lines: Sequence[Check]) -> str:
    """Return the data sets with every line reached and fully measured."""
    whole: dict[str, bool] = {}
    for check in lines:
        case = check.what.partition(":")[0]
        whole[case] = whole.get(case, True) and check.state == "reached" and check.whole
    return ", ".join(case for case, held in whole.items() if held)


TITLES = {
    1: (
        "Nothing is named: leakage at most .05 (an interval that contains 0 where the records cannot show so "
        "little), watched utility at least .85 on average."
    ),
    2: (
        "One task is named: leakage at most .03 (an interval that contains 0 where the records cannot show so "
        "little), its utility at least .97 with a lower end of at least .90 (an interval that contains .97 where the "
        "records cannot show that)."
    ),
    5: (
        "Many queries gain nothing under one key; the gain under fresh keys is shown; a person's figure is beside "
        "the record's."
    ),
    6: (
        "50 released records of one person together, for an attacker that knows the modifier: NAG at most .10, the "
        "named task's utility at least .95."
    ),
}


def tables(found: Parts) -> Iterator[str]:
    """Yield a table for each data set and task."""
    for case in CASES.values():
        for task in case.tasks:
            rows = {e: found[case.name, task, e] for e in ENTRIES if (case.name, task, e) in found}
            if rows:
                yield from table(case, task, rows)


def table(case: Case, task: Task, rows: Mapping[str, Sequence[Part]]) -> Iterator[str]:
    """Yield the table of every method on a data set under a task."""
    aim = "nothing named" if task == "unknown" else f"{case.keeps} named"
    yield f"## {case.sentence}: {aim}\n"
    yield f"Suppress {', '.join(case.suppress)}; {describe(case, task)}. `{case.extractor}` features{under(case)}.\n"
    every = {name: pool(parts) for name, parts in rows.items()}
    most = max(rows, key=lambda e: measured(rows[e])[:2])
    first = every[most]
    head = ["method", "folds x keys", *(f"{a} (suppressed)" for a in case.suppress)]
    head += [f"exact on the channel: {a}" for a in case.suppress]
    head += [f"{a} ({'preserved' if task == 'named' and a == case.keeps else 'watched'})" for a in case.watched]
    head += ["mean NAG of the others", "fit, core-seconds"]
    yield table_row(head)
    yield table_row(["---"] * len(head))
    shown = [useful(first[a]) for a in case.named]
    for words, which in (("baseline", "guess"), ("originals", "before")):
        cells = [percent(getattr(f, which)) for f in shown]
        empty = [""] * len(case.suppress)
        yield table_row([f"*{words}*", "", *cells[: len(empty)], *empty, *cells[len(empty) :], "", ""])
    for name, parts in rows.items():
        figures = every[name]
        folds, keys, all_settings = measured(parts)
        cells = [label(name), f"{folds} x {keys}" + ("" if all_settings else " *")]
        cells += [leak(worst(figures[a])) for a in case.suppress]
        cells += [channel(parts, a) for a in case.suppress]
        cells += [utility(useful(figures[a])) for a in case.watched]
        cells += [number(mean_utility(figures, case.watched)), f"{seconds(parts):.0f}"]
        yield table_row(cells)
    short = [(name, parts) for name, parts in rows.items() if not measured(parts)[2]]
    if short:
        some = ", ".join(f"{label(name)} {within(parts)}" for name, parts in short)
        yield f"\n\\* Scenarios B and C, the most expensive ones, ran on some releases only: {some}."
    smallest = ", ".join(f"{f.attribute} {number(f.smallest)}" for f in shown[: len(case.suppress)])
    yield (
        f"\nFor {shown[0].records:,} distinct records, in scenario A: the baseline, the accuracy on originals, and "
        f"the smallest NAG that this number of records can show for an attacker at the baseline ({smallest}).\n"
    )


def describe(case: Case, task: Task) -> str:
    """Return the other roles of a task, in words."""
    policy = case.policy(task)
    watched = f"watch {', '.join(policy.watch)}" if policy.watch else ""
    return ", ".join(filter(None, [f"preserve {', '.join(policy.preserve)}" if policy.preserve else "", watched]))


def within(parts: Sequence[Part]) -> str:
    """Return the number of releases with scenarios B and C."""
    some = releases(parts)
    return f"{sum({'B', 'C'} <= set(p['settings']) for p in some)} of {len(some)} releases"


def label(name: str) -> str:
    """Return the displayed name of a method."""
    known = {"substitution": "substitution (PASS)", "noise 1": "noise, sigma 1", "noise 3": "noise, sigma 3"}
    return f"**{name}**" if name == NEW else known.get(name, name)


def leak(f: Figure) -> str:
    """Return accuracy, NAG, interval, scenario and attack of the worst attacker."""
    return f"{percent(f.after)}: {number(f.nag)} {ends(f)}, {f.setting}, {f.by_after}"


def utility(f: Figure) -> str:
    """Return accuracy, NAG and interval."""
    return f"{percent(f.after)}: {number(f.nag)} {ends(f)}"


def channel(parts: Sequence[Part], attribute: str) -> str:
    """Return the best possible attack on a discrete channel, and its accuracy for permuted labels."""
    found = exact(parts, attribute)
    return "; ".join(f"{on} {percent(e.accuracy)} ({percent(e.permuted)} permuted)" for on, e in found.items()) or "-"


def seconds(parts: Sequence[Part]) -> float:
    """Return the core-seconds of a fit, mean over folds."""
    by = {p["fold"]: p["fit_core_seconds"] for p in releases(parts)}
    return float(np.mean(list(by.values())))


def persons(found: Parts) -> Iterator[str]:
    """Yield the table of leakage from k records of one person, beside that of one record in the audit."""
    rows = []
    for (name, task, entry), parts in found.items():
        some = people(parts)
        for a in CASES[name].suppress if some else ():
            for knows in ("draws", "channel"):
                found_by = {k: worst_person(some, a, k, knows) for k in COUNTS}
                if not any(found_by.values()):
                    continue
                folds = max(p.folds for p in found_by.values() if p is not None)
                cells = [
                    "too few"
                    if p is None
                    else f"{percent(p.after)} (baseline {percent(p.guess)}): {number(p.nag)} {ends(p)}, {p.setting}"
                    for p in found_by.values()
                ]
                single = worst(pool(parts)[a])
                rows.append(
                    [
                        name,
                        task,
                        label(entry),
                        f"{a} of one {CASES[name].unit}",
                        knows,
                        str(folds),
                        number(single.nag),
                        *cells,
                    ]
                )
    if not rows:
        return
    yield "## Several records of one person\n"
    yield (
        "The attacker knows that k released records belong to one person, and combines them. *draws* has released "
        "records alone; *channel* has the modifier too (P(j | x) of its own labelled records where the output is "
        "discrete). Unseen records; the worse of scenarios A and B; every person has equal weight. *one record*: NAG "
        "in the audit above. Then, for each k: the accuracy in per cent, NAG against the same attacker on originals "
        "with its interval (means over folds of the ends of a bootstrap), and the scenario.\n"
    )
    head = ["data", "task", "method", "attribute", "attacker", "folds", "one record"]
    head += [f"k = {k}" if k else "k = all" for k in COUNTS]
    yield table_row(head)
    yield table_row(["---"] * len(head))
    yield from map(table_row, rows)
    yield ""


def queried(found: Parts) -> Iterator[str]:
    """Yield the table of leakage from several releases of one record."""
    rows = [
        [
            name,
            task,
            label(entry),
            q["attribute"],
            "one key" if q["keys"] == "one" else f"{q['queries']} keys",
            str(q["distinct"]),
            percent(q["guess"]),
            percent(q["one"]),
            percent(q["after"]),
            number(q["nag"]),
        ]
        for (name, task, entry), parts in found.items()
        for p in parts
        for q in p.get("queries", ())
    ]
    if not rows:
        return
    yield "## Several releases of one record\n"
    yield (
        f"{QUERIES} releases of each record of the first fold. The attacker is trained and tested on such sets "
        "(scenario A).\n"
    )
    head = [
        "data",
        "task",
        "method",
        "attribute",
        "keys",
        "releases that differ",
        "baseline",
        "one release",
        "all",
        "NAG of all",
    ]
    yield table_row(head)
    yield table_row(["---"] * len(head))
    yield from map(table_row, rows)
    yield ""


def how(found: Parts) -> Iterator[str]:
    """Yield the section on the measurement."""
    some = next((p for parts in found.values() for p in releases(parts)), None)
    families = ", ".join(some["made"]["families"]) if some else "not measured yet"
    yield HOW.format(
        folds=FOLDS,
        keys=KEYS,
        most=f"{MOST:,}",
        several=f"{SEVERAL:,}",
        families=families,
        paired=paired(found),
        steady=steady(),
    )
    other = [
        f"{entry} on {case}{', named' if task == 'named' else ''}: {', '.join(f'{k} {v}' for k, v in fields.items())}"
        for (entry, case, task), fields in FIELDS.items()
    ]
    fields = ", but " + "; ".join(other) if other else " on every data set"
    yield (
        f"**Fields.** Every method has its defaults{fields}. `noise` has a sigma of 1 or 3 standard deviations of "
        "each column. Only transport and substitution use a preserved attribute; the figures of the others are in "
        "both tables and were measured once. The defaults of transport were chosen on single folds of fsdd, "
        "motionsense and yale_b by the watched attributes, and softness under a named task by the leakage of 50 "
        "records; emodb and utkface had no influence. Those of flow were chosen on single folds of all five, by the "
        "watched attributes. Its space is chosen again in every fit, from records of the training side.\n"
    )
    yield (
        f"On emodb, named, the field was set after {NEW} with its default `even`, 0.5, had not met requirement 2. "
        "Emotion and speaker depend on each other there, and `even` removes their common part. No command repeats "
        "that trial.\n"
    )
    yield (
        "**Steady features** (`steady`, see [extractors](../guide/extractors.md#encoder)) are used for emodb and "
        f"utkface, because `{BESIDE}` leaked more than requirement 1 allows on features without it. `steady` uses no "
        "label, but the changes were chosen with knowledge of the suppressed attributes. "
        f"The `rounds` and `noise` of `{BESIDE}` there were then chosen by one fit per value, for emodb on all five "
        "folds, for utkface on two: the same folds as in the tables, so these figures are somewhat optimistic. "
        "No command repeats these trials.\n"
    )
    yield (
        "Logistic regressions and trees predict the least likely class where their validation records favour it. The "
        f"figures of `{BESIDE}` include that; most figures of the other methods on fsdd, motionsense and yale_b are "
        "earlier and do not. For the figures that include it, the encoder of yale_b was trained again, on another "
        "processor. Every figure is relative to the originals of its own table, and those differ a little. Line 6 "
        "requires pooled records under a named task only; without one, see the tables of persons.\n"
    )
    if machines := machine(found):
        yield (
            f"A support vector machine is part of the paranoid audit, not of the standard one, nor of `{BESIDE}`'s "
            "choice of a space. On records held out for that choice, for a fit without them, it has these NAGs "
            f"(means over folds; the larger of two suppressed attributes): {machines}. See [remaining "
            "leakage](../guide/methods/flow.md).\n"
        )


def under(case: Case) -> str:
    """Return the changes that a data set's features are steady under."""
    changes = case.options.get("steady", "").replace(",", ", ")
    return f", steady under {changes}" if changes else ""


def steady() -> str:
    """Return the changes that the features of all data sets are steady under."""
    some = [f"`{c.name}`{under(c)}" for c in CASES.values() if under(c)]
    return f" ({'; '.join(some)})" if some else ""


def paired(found: Parts) -> str:
    """Return the methods whose intervals use the correlation of accuracies; "" where all do."""
    stored = {
        f"{entry} on {case}": all("correlation" in f for p in releases(parts) for f in p["findings"])
        for (case, _, entry), parts in found.items()
    }
    if all(stored.values()):
        return ""
    some = [name for name, there in stored.items() if there]
    which = f"where that is stored ({', '.join(some)})" if some else "where that is stored (nowhere yet)"
    return (
        f" They use the correlation of correct predictions before, after and at the baseline {which}. The others are "
        "earlier and assume independence, which places both ends a little too far out, the lower one too."
    )


def machine(found: Parts) -> str:
    """Return the NAG of a support vector machine in the cards of `flow`, by data set; "" where there are none."""
    means = []
    for case in CASES:
        notes = [" ".join(p.get("noted", ())) for p in found.get((case, "unknown", BESIDE), ()) if p["part"] == "key0"]
        nags = [float(m[1]) for note in notes if (m := MACHINE.search(note))]
        if nags:
            means.append(
                f"{case} {np.mean(nags):.2f} ({len(nags)} folds)" if len(nags) > 1 else f"{case} {nags[0]:.2f}"
            )
    return ", ".join(means)


HOW = """## How it was measured

**Data.** {folds} folds, stratified over suppressed and watched attributes, in keyed order (seed 99), so that every
record is unseen once. The encoder of `emodb`, `yale_b` and `utkface` was trained on all of a data set's records
without labels, as an owner would do{steady}. Only the attributes in the tables are measured; records of one person
are on both sides of the split.

**Method.** Fitted once per fold (seed: the fold's number). A method that draws is released under {keys} keys.
`leace` and `mass` draw nothing and have one release per fold.

**Attackers.** The basic attacks of the audit: {families}, retrained on released records and on originals, each chosen
by validation on its own data, at most {most} records a side. Scenario A trains on records that the modifier was fitted
on and tests on the others. B and C are cross-validated within the unseen and within the fitted records. Persons and
many queries: on the release of the first key, at most {several} records a side.

**Figures.** Accuracies are averaged over folds and keys for each attacker; then the best attacker after and before
is taken. NAG = (after - baseline) / (before - baseline), both in the same scenario; at 0 attackers are at the
baseline. Intervals are of 95 % and count each distinct record once, for any number of keys (scenario C: the records
of one fold). They apply to these records, not to other people.{paired} *mean NAG*: none counts as more than 1.
*exact on the channel*: accuracy in per cent of the best possible attacker on P(j | x), computed, on fitted and on
unseen records. Beside it is the accuracy for permuted labels: for few records much of the accuracy is chance.

`python -m benchmarks.unknown --help` lists the options that measure a part: `--on`, `--only`, `--folds`, `--keys`,
`--within-keys`; `--page` writes the page from the stored figures.
"""


def lacking(found: Parts, made: Sequence[Check], other: Sequence[Check]) -> Iterator[str]:
    """Yield the lines that are not reached, and the parts that are not measured."""
    yield "## Not reached\n"
    short = [c for c in made if c.state == "not reached"]
    if short:
        yield "\n".join(f"- {c.what}" for c in short)
    elif all(c.state == "not measured" for c in made):
        yield f"Nothing of `{NEW}` has been measured yet."
    else:
        yield "Every measured line is reached."
    left = [c for c in other if c.state == "not reached"]
    if left:
        yield f"\nFor `{BESIDE}`:\n"
        yield "\n".join(f"- {c.what}" for c in left)
    missing = []
    for case in CASES.values():
        for task in case.tasks:
            some = [e for e in ENTRIES.values() if e.told or task == "unknown"]
            parts = [t for e in some if (t := lacks(e, found.get((case.name, task, e.name), ())))]
            if parts:
                missing.append(f"- {case.name}, {task}: {', '.join(parts)}")
    if missing:
        yield "\nNot measured yet (the same command measures them), folds x keys of the planned ones:\n"
        yield "\n".join(missing)


def lacks(entry: Entry, parts: Sequence[Part]) -> str:
    """Return how much of a method is measured; "" where all is."""
    there, asked = measured(parts)[:2], (FOLDS, KEYS if entry.stochastic else 1)
    return "" if there == asked else f"{entry.name} {there[0]} x {there[1]} of {asked[0]} x {asked[1]}"
