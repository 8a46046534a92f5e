"""The text of docs/results/unknown-task.md, from the figures in benchmarks/results/unknown.jsonl."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from benchmarks.harness import Store, percent
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
    """Everything that was measured under the fields that the methods have now."""
    found = {
        (case.name, task, entry.name): read(case, task, entry, store)
        for case in CASES.values()
        for task in case.tasks
        for entry in ENTRIES.values()
    }
    return {k: list(v) for k, v in found.items() if releases(v)}


def page(found: Parts) -> str:
    """The whole page."""
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
    """What the picture shows: those of which leakage and utility can be told."""
    out = []
    for (name, task, entry), parts in found.items():
        case, figures = CASES[name], pool(parts)
        leak = worst_of(case, figures)
        mean = mean_utility(figures, kept(case, task))
        if leak is not None and mean is not None:
            out.append(Point(name, task, entry, leak, mean))
    return out


def worst_of(case: Case, figures: Mapping[str, Sequence[Figure]]) -> float | None:
    """NAG of the suppressed attribute that leaks most; None where one cannot be told."""
    told = [worst(figures[a]).nag for a in case.suppress]
    return None if None in told else max(v for v in told if v is not None)


def kept(case: Case, task: Task) -> tuple[str, ...]:
    """What a method's utility is the mean over: all that is watched, or what is named."""
    return case.watched if task == "unknown" else (case.keeps,)


HEAD = f"""# Suppression where the later task is not known

This page is written by one command, from figures that the same command measures and keeps in `benchmarks/results/unknown.jsonl`:

    SORDINE_DATA=... make unknown

The question: attributes are suppressed, and nobody says what the records will be used for. Do retrained attackers read what is suppressed, and
is what nobody named still there? *unknown*: no attribute is preserved; the watched ones are read by the audit and hidden from the method. *named*:
one of them is preserved by name. The method that the page is about is `{NEW}`.
"""


def listed(made: Sequence[Check], other: Sequence[Check]) -> Iterator[str]:
    """The check list; what the other method gives stands under the first line."""
    yield "## What was to be shown\n"
    yield (
        "Decided by the figures below, not by hand. Leakage is the worst retrained attacker's NAG over settings A, B and C; utility is NAG in "
        "setting A. *So far*: not all folds and keys have been measured. (3, that `--max-leakage` keeps its promise, is shown by "
        "tests/test_search.py, see [search](../guide/limits.md); 4, what ten points of a sweep share, in [sweep](sweep.md).)\n"
    )
    one = [c for c in made if c.number == 1]
    sayings = [f"`{name}` on {reached_on(lines)}" for name, lines in ((BESIDE, other), (NEW, one)) if reached_on(lines)]
    if sayings:
        few = dict.fromkeys(c.what.partition(":")[0] for c in (*one, *other) if c.excused and c.state == "reached")
        over = f" On {', '.join(few)} a figure is over the limit that so few records do not tell from 0." if few else ""
        yield f"In a word: line 1 is reached whole by {'; by '.join(sayings)}.{over}\n"
    for n, words in TITLES.items():
        yield f"**{n}.** {words}\n"
        yield from (f"- {c.text}" for c in made if c.number == n)
        yield ""
        if n == 1 and any(c.state != "not measured" for c in other):
            yield f"The same of `{BESIDE}`, which moves records in place of drawing a cell:\n"
            yield from (f"- {c.text}" for c in other)
            yield ""


def reached_on(lines: Sequence[Check]) -> str:
    """The data sets of which every line is reached and wholly measured."""
    kept: dict[str, bool] = {}
    for check in lines:
        case = check.what.partition(":")[0]
        kept[case] = kept.get(case, True) and check.state == "reached" and check.whole
    return ", ".join(case for case, held in kept.items() if held)


TITLES = {
    1: "Nothing is named: leakage at most .05 (an interval that holds 0 where the records cannot show so little), watched utility at least .85 on average.",
    2: "One task is named: leakage at most .03 (an interval that holds 0 where the records cannot show so little), its utility at least .97 with a lower end of at least .90 (an interval that holds .97 where the records cannot show that).",
    5: "Many queries gain nothing under one key; what they gain under fresh ones is shown; a person's figure stands beside the record's.",
    6: "50 released records of one person together, by who knows the modifier: NAG at most .10, the named task's utility at least .95.",
}


def tables(found: Parts) -> Iterator[str]:
    """A table a data set and task."""
    for case in CASES.values():
        for task in case.tasks:
            rows = {e: found[case.name, task, e] for e in ENTRIES if (case.name, task, e) in found}
            if rows:
                yield from table(case, task, rows)


def table(case: Case, task: Task, rows: Mapping[str, Sequence[Part]]) -> Iterator[str]:
    """Every method on a data set under a task."""
    aim = "nothing named" if task == "unknown" else f"{case.keeps} named"
    yield f"## {case.sentence}: {aim}\n"
    yield f"Suppress {', '.join(case.suppress)}; {describe(case, task)}. `{case.extractor}` features{under(case)}.\n"
    every = {name: pool(parts) for name, parts in rows.items()}
    most = max(rows, key=lambda e: measured(rows[e])[:2])
    first = every[most]
    head = ["method", "folds x keys", *(f"{a} (suppressed)" for a in case.suppress)]
    head += [f"exact on the channel: {a}" for a in case.suppress]
    head += [f"{a} ({'preserved' if task == 'named' and a == case.keeps else 'watched'})" for a in case.watched]
    head += ["mean NAG of what is not suppressed", "fit, core-seconds"]
    yield line(head)
    yield line(["---"] * len(head))
    shown = [useful(first[a]) for a in case.named]
    for words, which in (("guess", "guess"), ("originals", "before")):
        cells = [percent(getattr(f, which)) for f in shown]
        empty = [""] * len(case.suppress)
        yield line([f"*{words}*", "", *cells[: len(empty)], *empty, *cells[len(empty) :], "", ""])
    for name, parts in rows.items():
        figures = every[name]
        folds, keys, all_settings = measured(parts)
        cells = [label(name), f"{folds} x {keys}" + ("" if all_settings else " *")]
        cells += [leak(worst(figures[a])) for a in case.suppress]
        cells += [channel(parts, a) for a in case.suppress]
        cells += [utility(useful(figures[a])) for a in case.watched]
        cells += [number(mean_utility(figures, case.watched)), f"{seconds(parts):.0f}"]
        yield line(cells)
    short = [(name, parts) for name, parts in rows.items() if not measured(parts)[2]]
    if short:
        told = ", ".join(f"{label(name)} {within(parts)}" for name, parts in short)
        yield f"\n\\* Settings B and C, which cost most, were tried on some releases only: {told}."
    smallest = ", ".join(f"{f.attribute} {number(f.smallest)}" for f in shown[: len(case.suppress)])
    yield (
        f"\nOf {shown[0].records:,} distinct records, in setting A: the guess, what is read of the originals, and the smallest NAG that so many could "
        f"show of an attacker at the guess ({smallest}).\n"
    )


def describe(case: Case, task: Task) -> str:
    """The other roles."""
    policy = case.policy(task)
    watched = f"watch {', '.join(policy.watch)}" if policy.watch else ""
    return ", ".join(filter(None, [f"preserve {', '.join(policy.preserve)}" if policy.preserve else "", watched]))


def within(parts: Sequence[Part]) -> str:
    """On how many releases settings B and C were tried."""
    some = releases(parts)
    return f"{sum({'B', 'C'} <= set(p['settings']) for p in some)} of {len(some)} releases"


def label(name: str) -> str:
    """A method as people call it."""
    known = {"substitution": "substitution (PASS)", "noise 1": "noise, sigma 1", "noise 3": "noise, sigma 3"}
    return f"**{name}**" if name == NEW else known.get(name, name)


def leak(f: Figure) -> str:
    """Accuracy, NAG, interval, setting and family of the worst attacker."""
    return f"{percent(f.after)}: {number(f.nag)} {ends(f)}, {f.setting}, {f.by_after}"


def utility(f: Figure) -> str:
    """Accuracy, NAG, interval."""
    return f"{percent(f.after)}: {number(f.nag)} {ends(f)}"


def channel(parts: Sequence[Part], attribute: str) -> str:
    """The best possible attack on a discrete channel, and what permuted labels show."""
    found = exact(parts, attribute)
    return "; ".join(f"{on} {percent(e.accuracy)} ({percent(e.permuted)} permuted)" for on, e in found.items()) or "-"


def seconds(parts: Sequence[Part]) -> float:
    """Core-seconds of a fit, mean over folds."""
    by = {p["fold"]: p["fit_core_seconds"] for p in releases(parts)}
    return float(np.mean(list(by.values())))


def persons(found: Parts) -> Iterator[str]:
    """What k records of one person tell, beside what one record tells in the audit."""
    rows = []
    for (name, task, entry), parts in found.items():
        some = people(parts)
        for a in CASES[name].suppress if some else ():
            for knows in ("draws", "channel"):
                read = {k: worst_person(some, a, k, knows) for k in COUNTS}
                if not any(read.values()):
                    continue
                folds = max(p.folds for p in read.values() if p is not None)
                cells = [
                    "too few"
                    if p is None
                    else f"{percent(p.after)} (guess {percent(p.guess)}): {number(p.nag)} {ends(p)}, {p.setting}"
                    for p in read.values()
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
        "An attacker who knows that k released records are of one person puts them together: *draws* sees released records alone, "
        "*channel* holds the modifier too (P(j | x) of its own labelled records where the output is discrete). Unseen records; the worse of "
        "settings A and B; every person counts alike. *one record*: NAG in the audit above. Then, for each k, the accuracy in per cent, "
        "NAG against the same attacker on originals with its interval (means over folds of the ends of a bootstrap), and the setting.\n"
    )
    head = ["data", "task", "method", "reads", "knows", "folds", "one record"]
    head += [f"k = {k}" if k else "k = all" for k in COUNTS]
    yield line(head)
    yield line(["---"] * len(head))
    yield from map(line, rows)
    yield ""


def queried(found: Parts) -> Iterator[str]:
    """What several releases of one record tell."""
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
        f"{QUERIES} releases of each record of the first fold, put together by an attacker who learns on such sets and is tried on them (setting A).\n"
    )
    head = [
        "data",
        "task",
        "method",
        "reads",
        "under",
        "releases that differ",
        "guess",
        "one release",
        "all",
        "NAG of all",
    ]
    yield line(head)
    yield line(["---"] * len(head))
    yield from map(line, rows)
    yield ""


def how(found: Parts) -> Iterator[str]:
    """How it was measured."""
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
    told = [
        f"{entry} on {case}{', named' if task == 'named' else ''}: {', '.join(f'{k} {v}' for k, v in fields.items())}"
        for (entry, case, task), fields in FIELDS.items()
    ]
    yield (
        f"**Fields.** Every method has its defaults{', but ' + '; '.join(told) if told else ' on every data set'}. "
        "`noise` has a sigma of 1 or 3 standard deviations of each column. No method but transport and substitution makes use of a preserved "
        "attribute: their figures stand in both tables and were measured once. The defaults of transport were chosen on single folds of "
        "fsdd, motionsense and yale_b, looking at what is watched there, and softness under a named task at what 50 records tell; "
        "emodb and utkface had no say in them. Those of flow were chosen on single folds of all five, looking at what is watched there; its space is chosen anew in every fit, "
        "from records of the training side.\n"
    )
    yield (
        f"On emodb, named, the field was set after the default had failed: {NEW} with its default `even`, 0.5, kept 0.910 [0.84, 0.98] of emotion, of numbers "
        "that were not steady, under the line. Emotion and speaker go together there, and evening takes what they share.\n"
    )
    yield (
        f"**Steady numbers** (`steady`, see [extractors](../guide/extractors.md#encoder)) were taken for emodb and utkface after `{BESIDE}` had fallen short of plain ones. By the same audit, five folds: "
        "emodb gender 0.180 [0.05, 0.30] (B), speaker 0.078 [0.00, 0.21] (B), 0.854 kept (five keys in every setting); utkface 0.062 [0.01, 0.11] (A), 0.854 kept; and "
        f"`{NEW}` kept 0.349 and 0.279 (version of 22 November 2026, where the figures are). No label has a say in them; which changes they are steady under was chosen knowing what is suppressed. "
        "Of the plain originals there were read in setting A, for what the tables above say of steady ones: emodb speaker 94.6, gender 99.6, emotion 85.4, sentence 93.1 %; utkface gender 80.2, age_group 55.1, race 69.6 %. "
        f"`{BESIDE}`'s `rounds` and `noise` there were then chosen by single runs: emodb on all five folds (200 rounds: gender 0.076, speaker 0.070, 0.860 kept; 100: 0.038, 0.045, 0.895), utkface on two.\n"
    )
    yield (
        f"Logistic regressions and trees take the least likely class where their validation records say so. The figures of `{BESIDE}` were measured with that; "
        "those of the other methods on fsdd, motionsense and yale_b are for the most part from before, when they never did. The encoder of yale_b was learnt anew for them, on another processor: "
        "every figure is against the originals of its own table, and those differ a little. Line 6 asks for pooled records under a named task only; under none, see the tables of persons.\n"
    )
    if machines := machine(found):
        yield (
            f"A support vector machine has no part in the standard audit (in the paranoid one it has), nor a say in `{BESIDE}`'s choice of a space. From records held back for that choice, of a fit that "
            f"lacks them, it read, in NAG (means over folds; the more of two suppressed attributes): {machines}. See [what is read all the same](../guide/methods/flow.md).\n"
        )


def under(case: Case) -> str:
    """What a data set's numbers are steady under."""
    changes = case.options.get("steady", "").replace(",", ", ")
    return f", steady under {changes}" if changes else ""


def steady() -> str:
    """What the numbers of all data sets are steady under."""
    told = [f"`{c.name}`{under(c)}" for c in CASES.values() if under(c)]
    return f" ({'; '.join(told)})" if told else ""


def paired(found: Parts) -> str:
    """Whose intervals know how accuracies before, after and by guessing go together; "" where no others were measured."""
    kept = {
        f"{entry} on {case}": all("correlation" in f for p in releases(parts) for f in p["findings"])
        for (case, _, entry), parts in found.items()
    }
    if all(kept.values()):
        return ""
    told = [name for name, there in kept.items() if there]
    which = f"where that was kept ({', '.join(told)})" if told else "where that was kept (nowhere yet)"
    return (
        f" They count how often the same records are read rightly before, after and by guessing {which}; the others were measured "
        "earlier, and take these as unrelated, which sets both ends a little too far off, the lower one too."
    )


def machine(found: Parts) -> str:
    """What the cards of `flow` say that a support vector machine read, by data set; "" where there are none."""
    said = []
    for case in CASES:
        notes = [" ".join(p.get("noted", ())) for p in found.get((case, "unknown", BESIDE), ()) if p["part"] == "key0"]
        read = [float(m[1]) for note in notes if (m := MACHINE.search(note))]
        if read:
            said.append(f"{case} {np.mean(read):.2f} ({len(read)} folds)" if len(read) > 1 else f"{case} {read[0]:.2f}")
    return ", ".join(said)


HOW = """## How it was measured

**Data.** {folds} folds, stratified over suppressed and watched attributes, in keyed order (seed 99), so that every record is unseen once. The
encoder of `emodb`, `yale_b` and `utkface` was learnt on all of a data set's records without labels, as an owner would{steady}. Only the
attributes in the tables take part; records of one person stand on both sides of the split.

**Method.** Fitted once a fold (seed: the fold's number) and, where it draws, released under {keys} keys. `leace` and `mass` draw nothing and have one release a fold.

**Attackers.** The standard audit: {families}, retrained on released records and on originals, each chosen by validation inside its own data, at most
{most} records a side. Setting A learns from records that the modifier was fitted on and is tried on the others, B and C are cross-validated within
the unseen and within the fitted ones. Persons and many queries: on the release of the first key, at most {several} records a side.

**Figures.** Accuracies are averaged over folds and keys for each attacker first; the best attacker after and before is taken then. NAG = (after -
guess) / (before - guess), both in the same setting; 0 where nothing is left. Intervals are of 95 % and count each distinct record once, however many keys it was released under
(setting C: the records of one fold); they are about these records, not about other people.{paired} *mean NAG*: none counts as more
than 1. *exact on the channel*: accuracy in per cent of the best possible attacker on P(j | x), computed, on fitted and on unseen records, with what it is
when labels are permuted: much of it is chance where records are few.

`python -m benchmarks.unknown --help` says how to measure a part: `--on`, `--only`, `--folds`, `--keys`, `--within-keys`; `--page` writes the page
of what there is.
"""


def lacking(found: Parts, made: Sequence[Check], other: Sequence[Check]) -> Iterator[str]:
    """What is not reached, and what has not been measured."""
    yield "## What is not reached\n"
    short = [c for c in made if c.state == "not reached"]
    if short:
        yield "\n".join(f"- {c.what}" for c in short)
    elif all(c.state == "not measured" for c in made):
        yield f"Nothing of `{NEW}` has been measured yet."
    else:
        yield "Nothing that was measured falls short of what was asked."
    left = [c for c in other if c.state == "not reached"]
    if left:
        yield f"\nAnd of `{BESIDE}`:\n"
        yield "\n".join(f"- {c.what}" for c in left)
    missing = []
    for case in CASES.values():
        for task in case.tasks:
            some = [e for e in ENTRIES.values() if e.told or task == "unknown"]
            told = [t for e in some if (t := lacks(e, found.get((case.name, task, e.name), ())))]
            if told:
                missing.append(f"- {case.name}, {task}: {', '.join(told)}")
    if missing:
        yield "\nNot measured yet (the same command does), folds x keys there are of those there are to be:\n"
        yield "\n".join(missing)


def lacks(entry: Entry, parts: Sequence[Part]) -> str:
    """How much of a method was measured, where that is not all; "" where it is."""
    there, asked = measured(parts)[:2], (FOLDS, KEYS if entry.stochastic else 1)
    return "" if there == asked else f"{entry.name} {there[0]} x {there[1]} of {asked[0]} x {asked[1]}"


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"
