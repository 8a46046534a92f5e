"""The text of docs/results/unknown-task.md and named-task.md, from the figures in benchmarks/results/unknown.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.harness import Store, markdown_table, percent
from benchmarks.peers import PEERS
from benchmarks.unknown.cases import BESIDE, CASES, ENTRIES, FOLDS, NEW, Case, Task
from benchmarks.unknown.checks import (
    EQUAL,
    HALF,
    LIMITS,
    MEMBERSHIP,
    SHARES,
    TOGETHER,
    beside,
    checks,
    ends,
    number,
)
from benchmarks.unknown.measure import MOST, STORE, read
from benchmarks.unknown.pooled import Figure, Mean, Pool, worst
from sordine.evaluation.sections.power import CORE
from sordine.methods.forecast import COUNTS

TITLES: Mapping[Task, tuple[str, str]] = {
    "unknown": (
        "Suppression where the later task is not known",
        "Attributes are suppressed, and the later use is not known: no attribute is preserved by name. What can "
        "attackers still infer, and how useful are the records for attributes that were hidden from the method?",
    ),
    "named": (
        "Suppression where the later task is named",
        "Attributes are suppressed, and one attribute is preserved by name. What can attackers still infer, and how "
        "useful are the records for that attribute?",
    ),
}
COMMAND: Mapping[Task, str] = {"unknown": "make unknown", "named": "make named"}


def gather(task: Task, store: Store = STORE) -> list[Pool]:
    """Return every method and data set of a task, measured or not, in the order of the page."""
    return [
        Pool(case, task, entry.name, tuple(read(case, task, entry, store)))
        for case in CASES.values()
        if task in case.tasks
        for entry in ENTRIES.values()
    ]


def ours(task: Task) -> tuple[str, ...]:
    """Return our methods, which have to meet the requirements of a task."""
    return (NEW, BESIDE) if task == "unknown" else (NEW,)


def page(task: Task, pools: Sequence[Pool]) -> str:
    """Return the whole page, without its picture."""
    title, question = TITLES[task]
    measured = [p for p in pools if p.first]
    head = (
        f"# {title}\n\n{question}\n\nOne command measures the figures, stores them in "
        f"`benchmarks/results/unknown.jsonl` and writes this page:\n\n    SORDINE_DATA=... {COMMAND[task]}\n"
    )
    parts = [
        head,
        *_requirements(task, pools),
        *_peers(task, measured),
        *(text for case in CASES.values() for text in _case(case, task, [p for p in measured if p.case == case])),
        *_forecasts(task, measured),
        *_risks(task, measured),
        *_how(measured),
        *_missing(task, pools),
    ]
    return "\n".join(parts)


# ---------------------------------------------------------------------------------------------------- requirements


def _requirements(task: Task, pools: Sequence[Pool]) -> Iterator[str]:
    single, pooled, useful = LIMITS[task]
    whose = "the watched attributes, on average," if task == "unknown" else "the named attribute"
    yield "## Requirements\n"
    yield (
        f"- A single record leaks at most {single}: in every scenario, and also to an attacker that knows half or nine "
        f"tenths of the classes.\n"
        f"- {TOGETHER} records of one person leak at most {pooled} to an attacker that has the modifier and knows half "
        "of the classes. Where no person is known, records of one class stand for them.\n"
        f"- The utility of {whose} is at least {useful}.\n"
        "- An attacker with the release or the modifier recognises records of the fit with an area under the curve of "
        f"at most {MEMBERSHIP}.\n\n"
        "Leakage and utility are NAGs. *Reached*: the figure is within its limit, and so many records can show that: "
        "an attacker at the baseline would have an interval that ends within the limit. *Cannot be shown*: there are "
        "too few records to decide, or planted leaks were missed. *So far*: some folds are not measured. Leaks smaller "
        "than the planted ones can be missed, so none of these lines excludes them.\n"
    )
    yield "\n".join(f"- {c.text}" for c in checks([p for p in pools if p.entry in ours(task)])) + "\n"


def _peers(task: Task, measured: Sequence[Pool]) -> Iterator[str]:
    names = [e.name for e in ENTRIES.values() if e.method in PEERS]
    rows = []
    for mine in (p for p in measured if p.entry in ours(task)):
        others = {p.entry: p for p in measured if p.case == mine.case and p.entry in names}
        if others:
            cells = [_beside(mine, others.get(name)) for name in names]
            first = beside(mine, mine)
            rows.append([mine.case.name, f"`{mine.entry}`", _pair(first.leakage[0], first.utility[0]), *cells])
    if rows:
        yield "## Beside the methods of other papers\n"
        yield (
            "Leakage / utility: the largest leakage of a single record, known classes included, and the utility of the "
            "requirement. *Ahead*: ours is more useful at equal or lower leakage. Leakages that differ by less than "
            f"{EQUAL} count as equal.\n"
        )
        yield markdown_table(["data", "ours", "leakage / utility", *names], rows)


def _beside(mine: Pool, other: Pool | None) -> str:
    if other is None:
        return "not measured"
    found = beside(mine, other)
    words = {True: "ahead", False: "**not ahead**", None: "undefined"}[found.ahead]
    return f"{words}: {_pair(found.leakage[1], found.utility[1])}"


def _pair(leak: float | None, useful: float | None) -> str:
    return " / ".join("-" if v is None else f"{v:.2f}" for v in (leak, useful))


# ------------------------------------------------------------------------------------------------------- data sets


def _case(case: Case, task: Task, measured: Sequence[Pool]) -> Iterator[str]:
    """Yield the table of every method on one data set."""
    if not measured:
        return
    policy = case.policy(task)
    roles = [f"{role} {', '.join(f'`{a}`' for a in names)}" for role, names in policy.roles() if names]
    yield f"## {case.sentence}\n"
    yield f"Policy: {'; '.join(roles)}. {_features(case)}\n"
    half, most = (f"{share:.0%} known" for share in SHARES)
    head = ["method", "folds x keys", "verdict (not excluded)", "leakage of a single record", f"{half}, k = 1"]
    head += [f"{most}, k = 1", f"{half}, modifier, k = {TOGETHER}", "membership", *(f"`{a}`" for a in case.watched)]
    yield markdown_table([*head, "neighbours kept", "fit, core-seconds"], [_row(p) for p in measured])
    yield _originals(measured)
    for p in measured:
        if p.entry in ours(task):
            yield f"The first verdict on `{p.entry}`: *{p.first[0]['verdict']['title'].rstrip('.')}.*\n"


def _features(case: Case) -> str:
    if not case.extractor:
        return "The records are vectors already."
    options = ", ".join(f"`{k}={v}`" for k, v in case.options.items() if k != "labels")
    return f"Features: `{case.extractor}`{f' ({options})' if options else ''}."


def _row(p: Pool) -> list[str]:
    level, excluded = p.verdicts()
    known = [worst(p.known(share, 1), _value) for share in SHARES]
    together = worst(p.known(HALF, TOGETHER, ("modifier",)), _value)
    kept = p.kept_neighbours()
    return [
        f"**{p.entry}**" if p.entry in (NEW, BESIDE) else p.entry,
        f"{p.folds} x {p.keys}",
        f"{level} ({'unknown' if excluded is None else number(min(excluded, 1.0))})",
        _single(worst(p.leaks(), lambda f: f.nag)),
        *(_mean(m) for m in (*known, together, p.membership())),
        *(_useful(p.useful(a)) for a in p.case.watched),
        "-" if kept is None else f"{percent(kept)} %",
        f"{p.seconds():.0f}",
    ]


def _value(m: Mean) -> float | None:
    return m.value


def _single(f: Figure | None) -> str:
    return "-" if f is None else f"{number(f.nag)} {ends(f)}, {f.attribute}, {f.scenario}, {f.attack}"


def _mean(m: Mean | None) -> str:
    return "-" if m is None else f"{number(m.value)} {ends(m)}, {m.about}"


def _useful(f: Figure | None) -> str:
    return "-" if f is None else f"{number(f.nag)} {ends(f)}"


def _originals(measured: Sequence[Pool]) -> str:
    """Return what the attacks infer from originals, in a sentence."""
    most = max(measured, key=lambda p: p.folds)
    some = [f for a in most.case.named if (f := most.useful(a)) is not None]
    listed = ", ".join(
        f"`{f.attribute}` {percent(f.before)} % (baseline {percent(f.guess)} %, smallest {number(f.smallest)})"
        for f in some
    )
    records = f"{some[0].records:,}" if some else "no"
    return (
        f"On originals, scenario A, {records} records, the best attack predicts {listed}. *Smallest*: the least upper "
        "end of a leakage that so many records can show.\n"
    )


# -------------------------------------------------------------------------------------------------- other sections


def _forecasts(task: Task, measured: Sequence[Pool]) -> Iterator[str]:
    """Yield what the fit forecast beside what the audit found, of our methods, and in a sentence of all."""
    rows = []
    held: dict[str, list[bool]] = {"all records": [], "records outside the fit": []}
    for p in measured:
        for a in p.case.suppress:
            forecasts = [f for k in COUNTS if (f := _forecast(p, a, k)) is not None]
            for f in forecasts:
                held[f.said.about] += [] if f.held is None else [f.held]
            if p.entry in ours(task) and forecasts:
                rows.append(
                    [p.case.name, f"`{p.entry}`", f"`{a}`", forecasts[0].said.about, *(f.text for f in forecasts)]
                )
    if rows:
        counts = "; ".join(f"for {about}, {sum(some)} of {len(some)}" for about, some in held.items())
        yield "## What the fit forecasts\n"
        yield (
            "A fit forecasts the leakage of k records of one person (without persons: of one class) to an attacker "
            "that has the modifier and knows half of the classes. Each cell: the forecast (at the upper end of its "
            "interval). Then what such an attacker found in the audit for records of the fit, and what an attacker "
            "with the modifier found for unseen ones. A forecast for records outside the fit promises nothing for "
            f"those of the fit. Forecasts of all methods whose upper end is not exceeded: {counts}.\n"
        )
        yield markdown_table(["data", "method", "attribute", "forecast for", *(f"k = {k}" for k in COUNTS)], rows)


@dataclass(frozen=True)
class _Forecast:
    # What a fit forecast for an attribute and k records, and what the audit found for fitted and for unseen ones.
    said: Mean
    fitted: Mean | None
    unseen: Mean | None

    @property
    def held(self) -> bool | None:
        """Whether nothing that it is about was found above its upper end; None where nothing was measured."""
        about = (self.unseen,) if self.said.about != "all records" else (self.fitted, self.unseen)
        found = [m.value for m in about if m is not None and m.value is not None]
        return None if not found or self.said.high is None else max(found) <= self.said.high

    @property
    def text(self) -> str:
        fitted, unseen = (
            "none" if m is None else f"{number(m.value)} {ends(m)}".strip() for m in (self.fitted, self.unseen)
        )
        return f"{number(self.said.value)} ({number(self.said.high)}): fitted {fitted}, unseen {unseen}"


def _forecast(p: Pool, attribute: str, k: int) -> _Forecast | None:
    said = p.forecast(attribute, k)
    if said is None:
        return None
    found = (
        [m for m in some if m.about.startswith(f"{attribute},")]
        for some in (p.known(HALF, k, ("modifier",)), p.persons(k, "channel"))
    )
    fitted, unseen = (worst(some, _value) for some in found)
    return _Forecast(said, fitted, unseen)


def _risks(task: Task, measured: Sequence[Pool]) -> Iterator[str]:
    """Yield the table of other risks, of our methods."""
    rows = []
    for p in (p for p in measured if p.entry in ours(task)):
        blind, persons = p.membership(("record",)), worst(p.persons(TOGETHER, "channel"), _value)
        rows.append(
            [
                p.case.name,
                f"`{p.entry}`",
                _mean(persons),
                f"{number(None if (m := p.membership()) is None else m.value)} ({number(blind and blind.value)})",
                *(_attempt(p.risk("singling out")), _attempt(p.risk("linking"))),
                ", ".join(p.clear()) or "-",
            ]
        )
    if rows:
        yield "## Other risks\n"
        yield (
            f"*Persons*: {TOGETHER} pooled records of one person, or of one class, in scenario A or B, to an attacker "
            "that has the modifier. *Membership*: area under the curve of the best attacker; in brackets, of one "
            "without a release. *Singling out* and *linkability* to originals: success of the best attack (of its "
            "control). *Clear*: risks that are surely above 5 %, after correction for the number of attacks.\n"
        )
        yield markdown_table(
            ["data", "method", "persons", "membership", "singling out", "linkability", "clear"],
            rows,
        )


def _attempt(m: Mean | None) -> str:
    return "-" if m is None else f"{percent(m.value)} % ({percent(m.low)} %)"


# ------------------------------------------------------------------------------------------------- how, and what not


def _how(measured: Sequence[Pool]) -> Iterator[str]:
    attacks = list(dict.fromkeys(a for p in measured for u in p.first for a in u["made"]["families"]))
    steady = {c.name: c.options["steady"] for c in CASES.values() if "steady" in c.options}
    yield HOW.format(
        folds=FOLDS,
        most=f"{MOST:,}",
        attacks=", ".join(f"`{a}`" for a in attacks) or "not measured yet",
        core=", ".join(CORE),
        steady="; ".join(f"`{name}`: {changes.replace(',', ', ')}" for name, changes in steady.items()),
    )


HOW = """## How it was measured

**Data.** {folds} folds, stratified over suppressed and watched attributes in keyed order (seed 99): a method is fitted
on four of them, and each record is unseen once. Records of one person are on both sides. Encoders were trained on all
records of their data set, without labels. Some are steady under changes of the media ({steady}):
that was chosen after `flow` had leaked more without it. Of Adult, 10,000 records take part, the first in keyed order.

**Methods.** Default options, but `noise` has a standard deviation of 1 or 3 of each column. The seed of a fit is the
number of its fold, and releases are drawn under the keys of seeds 0, 1, and so on. The methods of other papers are in
`benchmarks/peers`. Only `transport`, `substitution`, `obliviator` and `splince` use a preserved attribute; the figures
of the others are measured once, and are on both pages. Options of our methods were chosen with other trials on some of
these data sets, so their figures are somewhat optimistic.

**Attacks.** The standard audit with the modifier, at most {most} records a side: {attacks}. They are trained again on
each release. Scenario A learns from records of the fit and is tested on unseen ones. B and C are cross-validations
within unseen records and within records of the fit. Under further keys, the attacks on single records and on known
classes alone are made again.

**Planted leaks.** The audit plants leaks of known size in copies of the release. A line of the requirements gives the
size from which leaks of every core kind ({core}) were found in every fold, of every suppressed attribute. Of smaller or
other leaks, these figures show nothing.

**Figures.** NAG = (accuracy - baseline) / (accuracy on originals - baseline). Of single records, accuracies of each
attack are averaged over folds and keys, then the best attack is taken. The interval of 95 % counts each record once
(scenario C: those of one fold). Other figures are means over folds, with the smallest lower and the largest upper end
of any fold. Figures below 0 and above 1 are shown as 0 and 1. No interval here is corrected for the number of attacks,
scenarios and data sets, and the largest of many figures is too high by chance. Verdicts are corrected within their own
audit, and *holds* is used only where a verdict says so. With several folds, a cell counts verdicts.
"""


def _missing(task: Task, pools: Sequence[Pool]) -> Iterator[str]:
    yield "## What is not covered\n"
    yield (
        "Persons that are new to the method, text, media that are released as files, attributes without labels, and "
        "attackers beyond the standard audit (see [beyond](beyond.md)). Times are not compared: folds shared the "
        "machine with other work.\n"
    )
    lines = []
    for case in (c for c in CASES.values() if task in c.tasks):
        by: dict[int, list[str]] = {}
        for p in pools:
            if p.case == case and not p.complete:
                by.setdefault(p.folds, []).append(p.entry)
        if by:
            lines.append(f"- {case.name}: " + "; ".join(f"{n} of {FOLDS}: {', '.join(by[n])}" for n in sorted(by)))
    if lines:
        yield "Folds that are measured, of methods that lack some:\n"
        yield "\n".join(lines) + "\n"
