"""What an attacker infers from several records of one person, beyond a single record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from sordine.attacks.base import Split
from sordine.attacks.output_distribution import redrawn
from sordine.attacks.person_attacks import evidence, with_modifier, without_modifier
from sordine.attacks.persons import Evidence, Units, compare, pooled
from sordine.attacks.results import PersonFinding
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import AttackData, splits
from sordine.attacks.tail import FEWEST_PERSONS
from sordine.evaluation.report import Headline, Report
from sordine.evaluation.sections.base import AssumedAttacker, AuditData, Section, give_modifier
from sordine.evaluation.sections.sample import ReleaseSample, Unit
from sordine.evaluation.verdict import Contribution
from sordine.metrics.information import joint
from sordine.metrics.nag import wilson
from sordine.metrics.percent import percent
from sordine.models.modifier import one_thread_each
from sordine.run import Run

Knows = Literal["draws", "channel"]
Scenario = Literal["A", "B"]
SCENARIOS: tuple[Scenario, ...] = ("A", "B")
ADVICE = "Do not release anything that shows which records belong together."
ATTACKERS: dict[Knows, str] = {"draws": "has the released records only", "channel": "also has the modifier"}


class Persons(Section):
    """Attacks that pool several records of one person."""

    title = "Several records of one person"
    runs_beside = True
    menu = "Several records"
    key = "person"
    finding = tuple[PersonFinding, ...]
    risk = "inference"
    how_to_test = "Name the attribute that identifies a person with `--person`, and use the budget `standard`."

    def run(self, data: AuditData) -> tuple[PersonFinding, ...]:
        """Return a finding for each suppressed attribute, scenario, attacker and number of pooled records."""
        counts = data.budget.person
        if not counts or not data.policy.suppress or len(data.before) < 2:
            return ()
        unit = data.sample.unit
        if unit is None:
            return ()
        data.run.log(f"audit: pooling {', '.join(map(many, counts))} records with the same {unit[0]}")
        return tuple(_findings(data, data.sample, unit))

    def sentences(self, found: tuple[PersonFinding, ...]) -> list[str]:
        """Return one sentence on the worst case."""
        return [pooling_sentence(found)]

    def risk_lines(self, found: tuple[PersonFinding, ...], report: Report) -> list[str]:
        """Return the worst case of each suppressed attribute."""
        return [_risk_line([f for f in found if f.attribute == a]) for a in dict.fromkeys(f.attribute for f in found)]

    def attackers(self, found: tuple[PersonFinding, ...], report: Report) -> list[AssumedAttacker]:
        """Return a row for the attacker without the modifier, and one for the attacker with it."""
        knows = {f.knows for f in found}
        counts = ", ".join(many(k) for k in dict.fromkeys(f.k for f in found)) or "1, 10, 50"
        several = f"Several released records ({counts}) that it knows to be of one person"
        how, modifier = self.remedy(report), give_modifier(report)
        both = modifier if "draws" in knows else how if report.modifier is not None else f"{how} {modifier}"
        return [
            AssumedAttacker(several, "draws" in knows, how),
            AssumedAttacker(f"{several}, and the modifier", "channel" in knows, both),
        ]

    def contribution(self, found: tuple[PersonFinding, ...], data: AuditData) -> Contribution | None:
        """Return the leakage from pooled records of one person that was found or cannot be excluded."""
        if not found:
            return None
        return contribution(found, data.headlines, data.limit, data.sample.units_are_persons)

    def view(self, found: tuple[PersonFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return a table for each attribute."""
        if not found:
            return None
        counts = list(dict.fromkeys(f.k for f in found))
        return {"counts": [many(k) for k in counts], "tables": _tables(found, report, counts)}


# ------------------------------------------------------------------------------------------------ the attacks


@dataclass(frozen=True)
class _Question:
    # One suppressed attribute in one scenario.
    attribute: str
    classes: tuple[str, ...]
    units: Units
    counts: tuple[int, ...]
    scenario: Scenario
    plan: list[Split]


@dataclass(frozen=True)
class _Knowledge:
    # What an attacker with the modifier has: the output distribution and draws from it, or further releases.
    outputs: tuple[np.ndarray, np.ndarray] | None = None
    releases: np.ndarray | None = None


def _findings(data: AuditData, sample: ReleaseSample, unit: Unit) -> Iterator[PersonFinding]:
    name, codes, names = unit
    known = _knowledge(data, sample)
    before, preserve = sample.before, sample.policy.preserve
    beside = joint([before.y[a] for a in preserve]) if preserve else None
    for attribute in sample.policy.suppress:
        secret, classes = before.y[attribute], before.classes[attribute]
        units = Units.of(name, codes, names, secret, classes)
        # Folds are stratified by preserved attributes too. Otherwise chance differences in their shares
        # hide small leaks.
        labels = {attribute: secret, "unit of it": units.codes, **{a: before.y[a] for a in preserve}}
        sides = [sample.attack_data(x, labels) for x in (np.asarray(before.x), sample.after)]
        for scenario in SCENARIOS:
            if scenario not in sample.budget.settings:
                continue
            plan = splits(sides[0], attribute, scenario, sample.budget.seeds[0], sample.budget.folds)
            if isinstance(plan, str):
                data.note(f"Records are not pooled to infer `{attribute}` in scenario {scenario}: {plan}")
                continue
            question = _Question(attribute, classes, units, sample.budget.person, scenario, plan)
            yield from _answers(data, sample, question, sides, known, beside)


def _knowledge(data: AuditData, sample: ReleaseSample) -> _Knowledge:
    outputs, why = sample.outputs()
    if why is not None:
        data.note(why)
    if outputs is not None:
        return _Knowledge(outputs=(outputs[0], redrawn(*outputs)))
    return _Knowledge(releases=sample.simulated)


def _answers(
    data: AuditData,
    sample: ReleaseSample,
    question: _Question,
    sides: Sequence[AttackData],
    known: _Knowledge,
    beside: np.ndarray | None,
) -> Iterator[PersonFinding]:
    q, budget = question, sample.budget
    cached = (sides[0].digest, "person", q.attribute, q.units.name, q.scenario, q.counts, budget.families)
    jobs: dict[str, Callable[[], Evidence]] = {"draws": lambda: _from_records(sample, sides[1].numbers(), q)}
    if cached not in data.memory:
        jobs["originals"] = lambda: _from_records(sample, sides[0].numbers(), q)
    if known.outputs is not None:
        attacker = with_modifier(*known.outputs, q.units, len(q.classes), beside)
        jobs["channel"] = lambda: evidence(q.plan, q.units, q.counts, attacker)
    elif known.releases is not None:
        releases = known.releases
        jobs["channel"] = lambda: _from_releases(sample, releases, sides[1], q)
    with single_threaded() as threads, one_thread_each(data.run.workers or threads) as pool:
        done = dict(zip(jobs, pool.map(lambda job: job(), jobs.values()), strict=True))
    was: Evidence = data.memory.setdefault(cached, done.pop("originals", None))
    found: dict[Knows, Evidence] = {knows: done[knows] for knows in ATTACKERS if knows in done}
    for knows, now in found.items():
        for k in q.counts:
            finding = _finding(q, knows, k, was, now)
            if finding is not None:
                yield finding
            else:
                data.note(
                    f"{many(k)} records with the same {q.units.name} are not pooled in scenario {q.scenario}: "
                    f"too few {units_in_words(q.units.name)} have that many records"
                )


def _from_records(
    sample: ReleaseSample, x: np.ndarray, q: _Question, units: Units | None = None, plan: list[Split] | None = None
) -> Evidence:
    """The evidence of an attacker that learns from records x."""
    units, plan = units or q.units, plan or q.plan
    tested = np.concatenate([t.test for t in plan])
    tested = tested[tested < len(sample.before)]
    sizes = np.bincount(units.codes[tested][units.codes[tested] >= 0], minlength=1)
    size = int(np.median(sizes[sizes > 0])) if sizes.any() else 1
    budget = sample.budget
    run = Run(sample.device, budget.seeds[0])
    attacker = without_modifier(x, units, budget.families, len(q.classes), size, len(sample.before), run)
    return evidence(plan, units, q.counts, attacker)


def _from_releases(sample: ReleaseSample, releases: np.ndarray, data: AttackData, q: _Question) -> Evidence:
    """The evidence of an attacker that also learns from further releases of its own records.

    It is tested on the release itself and on further ones like it.
    """
    offsets = np.arange(len(releases) + 1) * len(data.x)

    def repeated(rows: np.ndarray) -> np.ndarray:
        return np.asarray((rows + offsets[:, None]).ravel())

    x = np.concatenate([data.x, *releases])
    units = Units(q.units.name, np.tile(q.units.codes, len(releases) + 1), q.units.names, q.units.classes)
    plan = [Split(repeated(t.train), repeated(t.validation), repeated(t.test)) for t in q.plan]
    return _from_records(sample, sample.attack_data(x, data.labels).numbers(), q, units, plan)


def _finding(q: _Question, knows: Knows, k: int, was: Evidence, now: Evidence) -> PersonFinding | None:
    before, after = pooled(was, q.units, k), pooled(now, q.units, k)
    if before is None or after is None:
        return None
    share = compare(before, after, q.units)
    worst_class, worst_unit = (max(by, key=lambda c: by[c]) for by in (share.by_class, share.by_unit))
    return PersonFinding(
        attribute=q.attribute,
        unit=q.units.name,
        k=k,
        knows=knows,
        setting=q.scenario,
        before=share.before,
        after=share.after,
        guess=share.guess,
        nag=share.nag,
        low=share.low,
        high=share.high,
        after_interval=share.after_interval,
        worst_class=str(q.classes[worst_class]),
        worst_class_after=share.by_class[worst_class],
        worst_unit=q.units.names[worst_unit],
        worst_unit_after=share.by_unit[worst_unit],
        units=len(after.present),
        groups=after.groups,
        records=len(now.rows),
    )


# ------------------------------------------------------------------------------------------------ the verdict


def contribution(
    found: Sequence[PersonFinding], headlines: Sequence[Headline], limit: float, units_are_persons: bool
) -> Contribution:
    """Return what pooled records add to the verdict.

    Where units are persons, pooled records count like single ones: the release leaks where the corrected lower end of a
    leakage is above the limit, and the upper ends are leakages that cannot be excluded. Where units are not persons,
    there are sentences only: records share a class by construction, so an attacker may know that class already.
    Too few persons, or originals that disclose too little, leave the verdict open.
    """
    several = [f for f in found if f.k != 1]
    worst = tuple(sentences(found, headlines, units_are_persons))
    if not several or not units_are_persons:
        return Contribution(closing=worst)
    known = [f for f in several if f.nag is not None and f.low is not None]
    clear = [f for f in sorted(known, key=_demand) if _lower_end(f, len(known)) > limit and _enough(f)]
    open_ = max(several, key=_not_excluded)
    largest = _not_excluded(open_)
    unsettled = [f for f in several if f.high is None or not _enough(f)]
    doubt = [_up_to(open_, largest)] if largest > limit else [_unsettled(f) for f in unsettled[:1]]
    return Contribution(
        sentences=(*worst, *([] if clear else doubt)),
        gives=tuple((f.nag or 0.0, _phrase(f)) for f in _surest(clear, len(known))),
        unclear=largest > limit or bool(unsettled),
        leakage=(largest,),
        about=_phrase(open_),
    )


def _surest(found: Sequence[PersonFinding], among: int) -> Iterator[PersonFinding]:
    """Yield, for each attribute, the finding with the largest corrected lower end."""
    for name in dict.fromkeys(f.attribute for f in found):
        yield max((f for f in found if f.attribute == name), key=lambda f: round(_lower_end(f, among), 3))


def _enough(f: PersonFinding) -> bool:
    """Whether there are enough persons to know how much persons of one class differ."""
    return f.unit == f.attribute or f.units >= FEWEST_PERSONS


def _not_excluded(f: PersonFinding) -> float:
    """The leakage that the figure cannot exclude; where accuracy on originals is too low, as if that were 1."""
    if f.high is not None:
        return f.high
    return max(f.after_interval[1] - f.guess, 0.0) / (1 - f.guess) if f.guess < 1 else 0.0


def _demand(f: PersonFinding) -> tuple[bool, float]:
    # What the attacker needs: of equal leakages, the title states the one that needs least.
    return f.knows == "channel", f.k or float("inf")


def _phrase(f: PersonFinding) -> str:
    whose = "group" if f.unit == "group" else "person"
    has = " to an attacker that has the modifier" if f.knows == "channel" else ""
    return f"`{f.attribute}` from {many_records(f.k)} of one {whose}{has}"


def _up_to(f: PersonFinding, largest: float) -> str:
    found = "" if f.nag is None else f" The measured leakage is {percent(min(f.nag, 1.0))}."
    enough = "tested records" if f.k == 0 else "that many tested records"
    return (
        f"From {many_records(f.k)} of one `{f.unit}`, an attacker that {ATTACKERS[f.knows]} infers `{f.attribute}` in "
        f"{percent(f.after)} of cases (baseline: {percent(f.guess)}).{found} A leakage of up to {percent(largest)} "
        f"cannot be excluded, because there are {f.units:,} {units_in_words(f.unit)} with {enough}. With more of "
        "them, the interval would be shorter."
    )


def _unsettled(f: PersonFinding) -> str:
    few = f"{f.units:,} {units_in_words(f.unit)} are too few"
    why = "attacks infer too little from the originals" if f.high is None else few
    return f"From {many_records(f.k)} of one `{f.unit}`, no leakage of `{f.attribute}` can be excluded: {why}."


def sentences(found: Sequence[PersonFinding], headlines: Sequence[Headline], units_are_persons: bool) -> list[str]:
    """Return a sentence for each suppressed attribute that pooled records clearly give away more than one record."""
    result = []
    for attribute in dict.fromkeys(f.attribute for f in found):
        worst = _worst([f for f in _more_than_one(found, headlines, 0.0) if f.attribute == attribute])
        if worst is None:
            continue
        same = (worst.attribute, worst.knows, worst.setting)
        single = [f for f in found if f.k == 1 and (f.attribute, f.knows, f.setting) == same]
        unit = "of one person" if units_are_persons else f"with the same `{worst.unit}`"
        result.append(
            f"Several records {unit} give away more than one record: an attacker that {ATTACKERS[worst.knows]} "
            f"infers `{attribute}` from {many_records(worst.k, 'released record')} with the same `{worst.unit}` in "
            f"{percent(worst.after)} of cases"
            + "".join(f", and from one record in {percent(f.after)}" for f in single)
            + f" (baseline: {percent(worst.guess)}). {ADVICE}"
        )
    return result


def _more_than_one(found: Sequence[PersonFinding], headlines: Sequence[Headline], limit: float) -> list[PersonFinding]:
    # Pooled leakages whose corrected lower end is above the limit, and above the upper end from one record.
    heads = {h.attribute: h.high for h in headlines}
    one = {(f.attribute, f.knows, f.setting): f.high for f in found if f.k == 1 and f.high is not None}
    several = [f for f in found if f.k != 1 and f.nag is not None and f.low is not None]
    clear = []
    for f in several:
        single = one.get((f.attribute, f.knows, f.setting), heads.get(f.attribute))
        if single is not None and _lower_end(f, len(several)) > max(limit, single, 0.0):
            clear.append(f)
    return clear


def _lower_end(f: PersonFinding, among: int) -> float:
    """The lower end of the interval of NAG, corrected for the best of `among` figures."""
    assert f.nag is not None
    assert f.low is not None
    if f.low < f.nag:
        return f.nag - float(ndtri(1 - 0.025 / among) / ndtri(0.975)) * (f.nag - f.low)
    # The interval has no width where every resample is predicted correctly. Then count the groups that share no record.
    apart = f.records // f.k if f.k and f.unit == f.attribute else f.units
    end = wilson(f.after * apart, apart, 1 - 0.05 / among)[0] if apart else 0.0
    return (end - f.guess) / (f.before - f.guess)


def _worst(found: Sequence[PersonFinding]) -> PersonFinding | None:
    # Of equal figures, the one with the fewest records needs least of the attacker.
    return max(found, key=lambda f: (round(f.nag or 0.0, 3), -(f.k or float("inf"))), default=None)


# ------------------------------------------------------------------------------------------------ the page


def units_in_words(unit: str) -> str:
    """What pooled records have in common, in the plural: groups, or classes of an attribute."""
    return "groups" if unit == "group" else f"classes of `{unit}`"


def many(k: int) -> str:
    """A number of pooled records: 0 stands for all."""
    return "all" if k == 0 else f"{k:,}"


def many_records(k: int, noun: str = "record") -> str:
    """A number of pooled records with the noun: 0 stands for all."""
    return f"{many(k)} {noun}{'' if k == 1 else 's'}"


def pooling_sentence(found: Sequence[PersonFinding]) -> str:
    """Return what pooled records mean for the owner of the data."""
    clear = [f for f in found if f.low is not None and f.low > 0]
    # So few groups of originals may give no share, although the attacker is clearly better than the baseline.
    without_share = [f for f in found if f.nag is None and f.k != 1 and f.after_interval[0] > f.guess]
    most = max(without_share, key=lambda f: f.after - f.guess, default=None)
    if most is not None and all(f.k == 1 or f.after <= most.after for f in clear):
        return (
            "These records are too few to settle whether small leaks add up. An attacker that "
            f"{ATTACKERS[most.knows]} inferred `{most.attribute}` from {many_records(most.k)} with the same "
            f"`{most.unit}` in {percent(most.after)} of cases (baseline: {percent(most.guess)}). {ADVICE}"
        )
    if not clear:
        return (
            "Pooling several records of one person did not help these attackers: their accuracy cannot be "
            "distinguished from the baseline."
        )
    worst = max(clear, key=lambda f: f.nag or 0.0)
    rate = f"{percent(worst.after)} of cases (baseline: {percent(worst.guess)})"
    if worst.k == 1:
        return _from_one(worst, found)
    return (
        f"Small leaks add up. An attacker that {ATTACKERS[worst.knows]} infers `{worst.attribute}` from "
        f"{many_records(worst.k)} with the same `{worst.unit}` in {rate}. This is the highest of many figures, "
        f"so it can be high by chance. The verdict mentions it only if chance is excluded. {ADVICE}"
    )


def _from_one(one: PersonFinding, found: Sequence[PersonFinding]) -> str:
    """Return what is found from one record, where no number of pooled records clearly gives more."""
    rate = (
        f"an attacker that {ATTACKERS[one.knows]} infers `{one.attribute}` in {percent(one.after)} of cases "
        f"(baseline: {percent(one.guess)})."
    )
    if one.knows == "channel":
        rate += " The attacks on single records at the top of the report are without the modifier."
    several = [f for f in found if f.attribute == one.attribute and f.k != 1]
    settled = all(f.high is not None and one.high is not None and f.high <= one.high for f in several)
    if several and settled:
        return f"Several records with the same `{one.unit}` give no more than one record does. From one record, {rate}"
    if any(f.low is not None and f.low > 0 for f in several):
        return f"Several records with the same `{one.unit}` do not clearly give more than one. From one record, {rate}"
    return (
        f"Only from one record is an attack clearly above the baseline: {rate} With more records, there are "
        f"too few {units_in_words(one.unit)} to conclude."
    )


def _risk_line(found: Sequence[PersonFinding]) -> str:
    worst = max(found, key=lambda f: (f.after - f.guess, -(f.k or float("inf"))))
    low, high = worst.after_interval
    return (
        f"From {many_records(worst.k)} of one `{worst.unit}`, an attacker that {ATTACKERS[worst.knows]} infers "
        f"`{worst.attribute}` in {percent(worst.after)} of cases (interval {percent(low)} to {percent(high)}; "
        f"guessing: {percent(worst.guess)}). This is the highest of {len(found)} figures."
    )


def _tables(found: Sequence[PersonFinding], report: Report, counts: Sequence[int]) -> list[dict[str, Any]]:
    heads = {h.attribute: h for h in report.headlines}
    exact = {e.attributes[0]: e for e in report.exact if len(e.attributes) == 1 and not e.kept and e.on == "unseen"}
    tables = []
    for attribute in dict.fromkeys(f.attribute for f in found):
        mine = [f for f in found if f.attribute == attribute]
        tables.append(
            {
                "attribute": attribute,
                "unit": mine[0].unit,
                "guess": mine[0].guess,
                "rows": [
                    _row([f for f in mine if (f.knows, f.setting) == which], counts)
                    for which in dict.fromkeys((f.knows, f.setting) for f in mine)
                ],
                "headline": heads.get(attribute),
                "exact": exact.get(attribute),
            }
        )
    return tables


def _row(found: Sequence[PersonFinding], counts: Sequence[int]) -> dict[str, Any]:
    cells = {f.k: f for f in found}
    worst = max(found, key=lambda f: (f.nag is not None, f.nag or 0.0))
    return {
        "attacker": ATTACKERS[found[0].knows],
        "scenario": found[0].setting,
        "cells": [cells.get(k) for k in counts],
        "worst": worst,
        "many": many(worst.k),
    }
