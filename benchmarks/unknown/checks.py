"""Compare the measured figures with the requirements of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.harness import percent
from benchmarks.unknown.cases import BESIDE, CASES, ENTRIES, FOLDS, KEYS, NEW, Case, Task
from benchmarks.unknown.pooled import (
    Figure,
    Part,
    Person,
    mean_utility,
    measured,
    people,
    pool,
    useful,
    worst,
    worst_person,
)

LEAKAGE, UTILITY = 0.05, 0.85  # of an unknown task
NAMED_LEAKAGE, NAMED_UTILITY, NAMED_LOW = 0.03, 0.97, 0.90
POOLED, TOGETHER, POOLED_UTILITY = 0.10, 50, 0.95

State = Literal["reached", "not reached", "not measured"]
Measured = Mapping[tuple[str, Task], Sequence[Part]]  # (case, task) -> parts of the method that the page is about


@dataclass(frozen=True)
class Check:
    """One line.

    number: of the requirement. whole: whether all its folds and keys are measured. excused: whether a figure over its
    limit counts as reached because too few records distinguish it from 0.
    """

    number: int
    what: str
    state: State
    whole: bool = True
    excused: bool = False

    @property
    def text(self) -> str:
        """Line of the page."""
        state = self.state if self.state == "reached" else f"**{self.state}**"
        so_far = "" if self.whole or self.state == "not measured" else " so far"
        if self.excused:
            return (
                "over the limit, but too few records distinguish it from 0, which counts as "
                f"reached{so_far}: {self.what}"
            )
        return f"{state}{so_far}: {self.what}"


def check(number: int, what: str, holds: bool, whole: bool) -> Check:
    """Return a line with at least one measured part."""
    return Check(number, what, "reached" if holds else "not reached", whole)


def checks(found: Measured) -> list[Check]:
    """Return all lines, in order."""
    every = [*unknown(found), *named(found), *queries(found), *pooled_person(found)]
    return sorted(every, key=lambda c: c.number)


def beside(found: Measured) -> list[Check]:
    """Return line 1 for the other method without a task."""
    return list(unknown(found, BESIDE))


def unknown(found: Measured, entry: str = NEW) -> Iterator[Check]:
    """Yield line 1, nothing named: leakage and the mean watched utility of each data set."""
    for case in CASES.values():
        parts = found.get((case.name, "unknown"), ())
        if not parts:
            yield Check(
                1, f"{case.name}: leakage at most {LEAKAGE}, watched utility at least {UTILITY}", "not measured"
            )
            continue
        figures, whole = pool(parts), complete(parts, entry)
        for a in case.suppress:
            yield leaks(1, case, figures[a], LEAKAGE, whole)
        mean = mean_utility(figures, case.watched)
        each = ", ".join(f"{a} {number(useful(figures[a]).nag)}" for a in case.watched)
        yield check(
            1,
            f"{case.name}: watched utility {number(mean)} on average, at least {UTILITY} required ({each})",
            mean is not None and mean >= UTILITY,
            whole,
        )


def named(found: Measured) -> Iterator[Check]:
    """Yield line 2, one task named."""
    for case in CASES.values():
        if not case.keeps:
            continue
        parts = found.get((case.name, "named"), ())
        if not parts:
            yield Check(2, f"{case.name}, {case.keeps} named", "not measured")
            continue
        figures, whole = pool(parts), complete(parts)
        for a in case.suppress:
            yield leaks(2, case, figures[a], NAMED_LEAKAGE, whole)
        yield keeps(case, useful(figures[case.keeps]), whole)


def leaks(number_: int, case: Case, figures: Sequence[Figure], limit: float, whole: bool) -> Check:
    """Check leakage against the limit in every scenario.

    Where the records cannot show the limit for an attacker at the baseline, the interval must contain 0. The line
    shows the worst scenario, of those over the limit where there are some.
    """
    defined = [f for f in figures if f.nag is not None]
    lost = sorted({"A", "B", "C"} - {f.setting for f in defined})
    short = [f for f in defined if not within(f, limit)]
    f = worst(short or figures)
    what = (
        f"{case.name}: leakage of {f.attribute} {number(f.nag)} {ends(f)} (scenario {f.setting}), "
        f"at most {limit} required"
    )
    if not defined:
        return check(number_, f"{what}: undefined", False, whole)
    if lost:
        what += f"; undefined in scenario {' and '.join(lost)}"
    if f.nag is not None and f.nag > limit and f.smallest is not None and f.smallest > limit:
        zero = "contains 0" if within(f, limit) else "does not contain 0"
        what += f"; {f.records:,} records cannot show less than {f.smallest:.3f} in that scenario, the interval {zero}"
    over = not short and any(f.nag is not None and f.nag > limit for f in defined)
    return replace(check(number_, what, not short, whole), excused=over)


def within(f: Figure, limit: float) -> bool:
    """Return whether a figure is at most the limit, or too few records distinguish it from 0."""
    if f.nag is None or f.nag <= limit:
        return True
    return f.smallest is not None and f.smallest > limit and f.low is not None and f.low <= 0


def keeps(case: Case, f: Figure, whole: bool) -> Check:
    """Check utility of the named task and its lower end against their limits.

    Where even an unchanged attribute has a lower end under its limit, the interval must contain the limit of the
    utility.
    """
    what = (
        f"{case.name}: utility of {f.attribute}, named, {number(f.nag)} {ends(f)}, at least {NAMED_UTILITY} required "
        f"and {NAMED_LOW} at its lower end"
    )
    if f.nag is None or f.low is None or f.high is None or f.finest is None:
        return check(2, f"{what}: undefined", False, whole)
    if f.finest >= NAMED_LOW:
        return check(2, what, f.nag >= NAMED_UTILITY and f.low >= NAMED_LOW, whole)
    holds = f.high >= NAMED_UTILITY
    what += (
        f"; {f.records:,} records give even the originals a lower end of {f.finest:.2f}, so the interval must "
        f"contain {NAMED_UTILITY}, and does{'' if holds else ' not'}"
    )
    return check(2, what, holds, whole)


def queries(found: Measured) -> Iterator[Check]:
    """Yield line 5: the gain of many queries, and the person's figure beside the record's."""
    for case in (c for c in CASES.values() if c.unit):
        for task in case.tasks:
            asked = [q for p in found.get((case.name, task), ()) for q in p.get("queries", ())]
            what = f"{case.name}, {task} task: many queries"
            if not asked:
                yield Check(5, what, "not measured")
                continue
            once = [q for q in asked if q["keys"] == "one"]
            gains = "; ".join(gain(q) for q in asked)
            yield check(
                5,
                f"{what} gain nothing under one key ({gains}; in the first fold)",
                bool(once) and all(q["distinct"] == 1 and q["after"] <= q["one"] for q in once),
                True,
            )
    for case in (c for c in CASES.values() if c.unit):
        both = [
            t
            for t in case.tasks
            if (s := persons(found, case, t)) and all(worst_person(s, a, 1) for a in case.suppress)
        ]
        what = f"{case.name}: a person's figure beside the record's, in both tasks"
        folds = min((p.folds for t in both for p in persons(found, case, t)), default=0)
        yield Check(5, what, "reached" if len(both) == len(case.tasks) else "not measured", folds == FOLDS)


def pooled_person(found: Measured) -> Iterator[Check]:
    """Yield line 6: several records of one person, for an attacker with the modifier; utility of the named task."""
    for case in (c for c in CASES.values() if c.unit and c.keeps):
        parts, some = found.get((case.name, "named"), ()), persons(found, case, "named")
        if not some:
            yield Check(6, f"{case.name}, {TOGETHER} records of one {case.unit} together", "not measured")
            continue
        for a in case.suppress:
            what = f"{case.name}: {a} from {TOGETHER} records of one {case.unit}"
            knowing = [p for p in some if (p.attribute, p.k, p.knows) == (a, TOGETHER, "channel")]
            if {p.setting for p in knowing} < {"A", "B"}:
                yield Check(6, f"{what}, for an attacker with the modifier, in scenarios A and B", "not measured")
                continue
            most = worst_person(some, a, TOGETHER)
            assert most is not None
            text = (
                f"{what}: NAG {number(most.nag)} {ends(most)} ({most.knows}, scenario {most.setting}), "
                f"at most {POOLED} required"
            )
            yield check(6, text, most.nag is not None and most.nag <= POOLED, min(p.folds for p in knowing) == FOLDS)
        f = useful(pool(parts)[case.keeps])
        text = (
            f"{case.name}: utility of {case.keeps} there {number(f.nag)} {ends(f)}, at least {POOLED_UTILITY} required"
        )
        yield check(6, text, f.nag is not None and f.nag >= POOLED_UTILITY, complete(parts))


def persons(found: Measured, case: Case, task: Task) -> list[Person]:
    """Return the pooled figures about persons of a case and task."""
    return people(found.get((case.name, task), ()))


def complete(parts: Sequence[Part], entry: str = NEW) -> bool:
    """Return whether every fold and key is measured, with scenarios B and C under at least one key of each fold."""
    folds, keys, _ = measured(parts)
    within = {p["fold"] for p in parts if p["part"] != "person" and {"B", "C"} <= set(p["settings"])}
    return folds == FOLDS == len(within) and keys == (KEYS if ENTRIES[entry].stochastic else 1)


def gain(q: Mapping[str, Any]) -> str:
    """Return the gain of several releases of each record over one, in words."""
    keys = "one key" if q["keys"] == "one" else "as many keys"
    return (
        f"{q['attribute']}: {q['queries']} releases under {keys} {percent(q['after'])} %, one {percent(q['one'])} %, "
        f"baseline {percent(q['guess'])} %"
    )


def number(value: float | None) -> str:
    """Return a NAG in words; never below 0."""
    return "undefined" if value is None else f"{max(value, 0.0):.3f}"


def ends(f: Figure | Person) -> str:
    """Return the interval of a figure, in words."""
    return "" if f.low is None or f.high is None else f"[{max(f.low, 0):.2f}, {max(f.high, 0):.2f}]"
