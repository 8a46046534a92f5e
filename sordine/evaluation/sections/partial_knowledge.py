"""What an attacker that knows the classes of a part of the fitted records infers of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sordine.attacks.partial_knowledge import Inferred, Known, Knows, Numbers, Outputs, infer, views
from sordine.attacks.persons import Units
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import FEWEST, AttackData
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AssumedAttacker, AuditData, Section, give_modifier, is_quick
from sordine.evaluation.sections.person import many, units_in_words
from sordine.evaluation.sections.sample import MOST, ReleaseSample, person_of
from sordine.evaluation.verdict import Contribution
from sordine.metrics.nag import gain, nag, nag_interval, nag_is_defined, wilson
from sordine.metrics.percent import percent

LARGEST = 1 << 27  # numbers of all output distributions together
CONFIDENCE = 0.95


@dataclass(frozen=True)
class PartialKnowledgeFinding:
    """What an attacker that knows a share of the fitted records' classes infers of the others.

    Parameters
    ----------
    attribute
        The suppressed attribute.
    known
        Share of the fitted records whose classes are known.
    knows
        "outputs": it has the released records. "modifier": it has the modifier and the known originals too.
    k
        Number of pooled records of one unit; 1 for single records, 0 for all of a unit.
    unit
        Whose records are pooled: the person, or a class of the attribute itself.
    is_person
        Whether that is a person.
    before, after, guess
        Accuracy on originals and on released records, and the baseline.
    nag, low, high
        NAG and its interval; None where the accuracy on originals is too close to the baseline.
    low_corrected
        The lower end, corrected for the best of all attackers of this attribute, and for pairs that predict each other.
    at_chance
        Whether the corrected interval of `after` reaches down to the baseline.
    after_interval
        Interval of `after`.
    records
        Records or groups that count as independent.
    units
        Number of units.
    reading
        The reading of outputs that the attacker chose most often, by records whose classes it knows.
    """

    attribute: str
    known: float
    knows: Literal["outputs", "modifier"]
    k: int
    unit: str
    is_person: bool
    before: float
    after: float
    guess: float
    nag: float | None
    low: float | None
    high: float | None
    low_corrected: float | None
    at_chance: bool
    after_interval: tuple[float, float]
    records: int
    units: int
    reading: str

    @property
    def counts(self) -> bool:
        """Whether the verdict takes it into account: records that merely share a class belong to no person."""
        return self.k == 1 or self.is_person


class PartialKnowledge(Section):
    """Attacks that know the classes of a part of the fitted records."""

    title = "An attacker that knows a part of the classes"
    runs_beside = True
    menu = "Known classes"
    finding = tuple[PartialKnowledgeFinding, ...]
    risk = "inference"
    how_to_test = "Use the budget `standard`, with at least 40 fitted records in the release."
    needs = f"It needs at least {2 * FEWEST} fitted records with labels in the release."

    def run(self, data: AuditData) -> tuple[PartialKnowledgeFinding, ...]:
        """Return a finding for each suppressed attribute, share, attacker and number of pooled records."""
        shares, fitted = data.budget.known, np.flatnonzero(data.fitted)
        if not shares or not data.policy.suppress or len(fitted) < 2 * FEWEST:
            return ()
        data.run.log(f"audit: an attacker that knows {_listed(shares)} of the classes of fitted records")
        with single_threaded():
            case = _case(data, fitted)
            found = [f for attribute in data.policy.suppress for f in _of_attribute(case, attribute)]
        return tuple(found)

    def sentences(self, found: tuple[PartialKnowledgeFinding, ...]) -> list[str]:
        """Return one sentence for each attribute: its worst case, from single records and from pooled ones."""
        names = dict.fromkeys(f.attribute for f in found)
        return [s for name in names for s in _sentences([f for f in found if f.attribute == name])]

    def attackers(self, found: tuple[PartialKnowledgeFinding, ...] | None, report: Report) -> list[AssumedAttacker]:
        """Return a row for the attacker without the modifier, and one for the attacker with it."""
        found = found or ()
        knows = {f.knows for f in found}
        shares = _listed(list(dict.fromkeys(f.known for f in found)) or [0.5, 0.9])
        classes = f"The true classes of {shares} of the fitted records"
        how, modifier = self.remedy(report), give_modifier(report)
        both = modifier if found else how if report.modifier is not None else f"{how} {modifier}"
        return [
            AssumedAttacker(f"{classes}, by which it infers the others", "outputs" in knows, how),
            AssumedAttacker(f"{classes}, and the modifier", "modifier" in knows, both),
        ]

    def remedy(self, report: Report) -> str:
        """Return what an audit needs: the option `--known`, or enough fitted records."""
        if not is_quick(report) and report.made.get("known") == []:
            return "Leave out `--known none`."
        return super().remedy(report)

    def contribution(self, found: tuple[PartialKnowledgeFinding, ...], data: AuditData) -> Contribution | None:
        """Return the leakage that was found or cannot be excluded, and the worst case in words."""
        return contribution(found, data.limit)

    def view(self, found: tuple[PartialKnowledgeFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return a table for each attribute."""
        if not found:
            return None
        counts = list(dict.fromkeys(f.k for f in found))
        names = dict.fromkeys(f.attribute for f in found)
        tables = [_table([f for f in found if f.attribute == name], counts) for name in names]
        return {"counts": [many(k) for k in counts], "tables": tables}


# ----------------------------------------------------------------------------------------------------- the attackers


@dataclass(frozen=True)
class _Case:
    # The fitted records that were released, what each attacker has of them, and their originals in the same form.
    data: AuditData
    rows: np.ndarray
    sources: dict[Knows, list[Outputs | Numbers]]
    originals: list[Numbers]


def _case(data: AuditData, rows: np.ndarray) -> _Case:
    sample = ReleaseSample(
        data.before.take(rows), data.after[rows], data.policy, data.budget, data.modifier, data.key, None
    )
    outputs, why = sample.outputs()
    if why is not None:
        data.note(why)
    if outputs is not None and outputs[0].size > LARGEST:
        data.note("An attacker that knows classes and the modifier is left out: these output distributions are large.")
        outputs = None
    released, expected = _numbers(data, len(rows), outputs is not None)
    discrete = _discrete(data.after[rows]) if outputs is None else outputs[1]
    sources: dict[Knows, list[Outputs | Numbers]] = {"outputs": list(released)}
    if discrete is not None:
        sources["outputs"].append(Outputs(discrete))
    if outputs is not None:
        # Of the modifier's readings, none compares outputs with each other; those of the released numbers do.
        sources["modifier"] = [Outputs(outputs[1], outputs[0]), *released]
    elif expected is not None:
        sources["modifier"] = list(expected)
    return _Case(data, rows, sources, views(data.attacked[0].numbers()[rows])[:1])


def _discrete(x: np.ndarray) -> np.ndarray | None:
    """The output of each record, where equal bits are one output; None where most outputs differ."""
    flat = np.ascontiguousarray(x.reshape(len(x), -1))
    code: dict[bytes, int] = {}
    index = np.array([code.setdefault(row.tobytes(), len(code)) for row in flat])
    return index if 2 * len(code) <= len(index) else None


def _numbers(data: AuditData, fitted: int, discrete: bool) -> tuple[list[Numbers], list[Numbers] | None]:
    """The released numbers, and those that the modifier releases on average where outputs are not discrete."""
    release = data.attacked[1]
    if not discrete and data.modifier is not None and fitted > MOST:
        data.note(
            f"An attacker that knows classes and the modifier is left out: it would release more than {MOST:,} "
            "fitted records again."
        )
    elif not discrete and (releases := data.sample.simulated) is not None:
        side = data.sample.before.split
        assert side is not None
        every = np.concatenate([data.sample.after[side], *releases[:, side]])
        ids, labels = np.arange(len(every)).astype(str), np.zeros(len(every), np.int64)
        numbers = AttackData(every, ids, {"": labels}, {"": 1}, labels == 0).numbers()
        own, *others = numbers.reshape(len(releases) + 1, fitted, -1)
        return views(own), views(own, others)
    return views(release.numbers()[data.fitted]), None


def _of_attribute(case: _Case, attribute: str) -> Iterator[PartialKnowledgeFinding]:
    data = case.data
    labels = data.before.y[attribute][case.rows]
    use = np.flatnonzero(labels >= 0)
    codes, secret = np.unique(labels[use], return_inverse=True)
    if len(use) < 2 * FEWEST or len(codes) < 2:
        data.note(f"No attacker knows a part of the classes of `{attribute}`: too few fitted records are labelled.")
        return
    secret = secret.astype(np.int64)
    fitted = data.before.take(case.rows[use])
    names = [str(data.before.classes[attribute][c]) for c in codes]
    person = person_of(fitted, data.options.person)
    name, owner, labels_of_units = person or (attribute, secret, tuple(names))
    units = Units.of(name, owner, labels_of_units, secret, names)
    counts = tuple(dict.fromkeys((1, *data.budget.person)))
    before = _on_originals(case, use, secret, units, counts, fitted.ids)
    head = next((h.before for h in data.headlines if h.attribute == attribute), 0.0)
    found = []
    for share in data.budget.known:
        known = Known.of(fitted.ids, secret, share, fitted.group)
        for knows, sources in case.sources.items():
            inferred = infer([_taken(s, use) for s in sources], secret, units, counts, known, fitted.group)
            for k, result in inferred.items():
                best = max(head, before[k].accuracy if k in before else before[1].accuracy)
                found.append((share, knows, k, result, best))
    for share, knows, k, result, best in found:
        blank = _finding(result, best, len(names), len(found), k == 1)
        yield replace(
            blank, attribute=attribute, known=share, knows=knows, k=k, unit=name, is_person=person is not None
        )


def _taken(source: Outputs | Numbers, rows: np.ndarray) -> Outputs | Numbers:
    if isinstance(source, Outputs):
        return Outputs(source.index[rows], None if source.use is None else source.use[rows])
    return Numbers(source.name, source.z[rows], None if source.expected is None else source.expected[rows])


def _on_originals(
    case: _Case, use: np.ndarray, secret: np.ndarray, units: Units, counts: Sequence[int], ids: np.ndarray
) -> dict[int, Inferred]:
    """What a simple attacker infers from originals, where the fewest classes are known."""
    known = Known.of(ids, secret, min(case.data.budget.known)).choices[:1]
    return dict(infer([_taken(s, use) for s in case.originals], secret, units, counts, Known(known)))


def _finding(result: Inferred, before: float, classes: int, among: int, single: bool) -> PartialKnowledgeFinding:
    after, guess, n = result.accuracy, result.guess, result.groups
    sure = 1 - (1 - CONFIDENCE) / among
    ends = _ends(after, before, guess, n, classes if single else None, CONFIDENCE)
    # Two records that predict each other are right or wrong together, which at most doubles the variance.
    pairs = max(n / 2, 1)
    corrected = _ends(after, before, guess, pairs, classes if single else None, sure)
    return PartialKnowledgeFinding(
        attribute="",
        known=0.0,
        knows="outputs",
        k=0,
        unit="",
        is_person=False,
        before=before,
        after=after,
        guess=guess,
        nag=None if ends is None else nag(after, before, guess),
        low=None if ends is None else ends[0],
        high=None if ends is None else ends[1],
        low_corrected=None if corrected is None else corrected[0],
        at_chance=wilson(after * pairs, pairs, sure)[0] <= guess,
        after_interval=wilson(after * n, n),
        records=n,
        units=result.units,
        reading=result.readings[0],
    )


def _ends(
    after: float, before: float, guess: float, n: float, classes: int | None, confidence: float
) -> tuple[float, float] | None:
    """The interval of NAG. The baseline of groups is no estimate: each unit weighs alike."""
    if classes is not None:
        return nag_interval(after, before, guess, n, confidence=confidence, classes=classes)
    if not nag_is_defined(before, guess, n):
        return None
    low, high = wilson(after * n, n, confidence)
    return nag(low, before, guess), nag(high, before, guess)


# -------------------------------------------------------------------------------------------------------- the verdict


def contribution(found: Sequence[PartialKnowledgeFinding], limit: float) -> Contribution | None:
    """Return what these attackers add to the verdict.

    The release leaks where the corrected lower end of a leakage is above the limit. The upper ends are leakages that
    cannot be excluded. Pooled records count where they belong to a person.
    """
    counted = [f for f in found if f.counts]
    if not counted:
        return None
    names = dict.fromkeys(f.attribute for f in counted)
    sentences: list[str] = []
    gives: list[tuple[float, str]] = []
    for name in names:
        some = [f for f in counted if f.attribute == name]
        sentences += _sentences(some)
        clear = [f for f in some if _is_clear(f, limit)]
        gives += [
            (gain(f.after, f.guess) if f.nag is None else f.nag, phrase(f)) for f in (_surest(clear),) if f is not None
        ]
    widest = max(sorted(counted, key=_demand), key=_not_excluded)
    upper = _not_excluded(widest)
    return Contribution(
        sentences=tuple(sentences), gives=tuple(gives), unclear=upper > limit, leakage=(upper,), about=phrase(widest)
    )


def _surest(found: Sequence[PartialKnowledgeFinding]) -> PartialKnowledgeFinding | None:
    """The finding with the largest corrected lower end; of equal ones, that of the attacker that needs least."""
    return max(sorted(found, key=_demand), key=_lower_end, default=None)


def _lower_end(f: PartialKnowledgeFinding) -> float:
    return -1.0 if f.low_corrected is None else round(f.low_corrected, 3)


def _is_clear(f: PartialKnowledgeFinding, limit: float) -> bool:
    return not f.at_chance if f.low_corrected is None else f.low_corrected > limit


def _not_excluded(f: PartialKnowledgeFinding) -> float:
    if f.high is not None:
        return f.high
    return gain(f.after_interval[1], f.guess)


def _demand(f: PartialKnowledgeFinding) -> tuple[bool, float, float]:
    # What the attacker needs: equal leakages are stated for the one that needs least.
    return f.knows == "modifier", f.known, f.k or float("inf")


def phrase(f: PartialKnowledgeFinding) -> str:
    """Return the attribute and its attacker, as the title of the verdict names them."""
    does = [f"knows it for {percent(f.known)} of the fitted records"]
    does += ["has the modifier"] if f.knows == "modifier" else []
    does += [] if f.k == 1 else [f"pools {_pooled(f)}"]
    listed = " and ".join([", ".join(does[:-1]), does[-1]] if len(does) > 1 else does)
    return f"`{f.attribute}` to an attacker that {listed}"


def _pooled(f: PartialKnowledgeFinding) -> str:
    whose = "of one person" if f.is_person else f"with the same `{f.unit}`"
    return f"all records {whose}" if f.k == 0 else f"{f.k:,} records {whose}"


def _sentences(found: list[PartialKnowledgeFinding]) -> Iterator[str]:
    for some in ([f for f in found if f.k == 1], [f for f in found if f.k != 1]):
        if not some:
            continue
        worst = _surest(some)
        assert worst is not None
        yield _sentence(worst) + _widest(worst, some)


def _widest(worst: PartialKnowledgeFinding, among: Sequence[PartialKnowledgeFinding]) -> str:
    """Return the largest leakage that cannot be excluded, with its attacker, where that is not the stated one."""
    widest = max(sorted(among, key=_demand), key=lambda f: round(_not_excluded(f), 3))
    if round(_not_excluded(widest), 3) <= round(_not_excluded(worst), 3):
        return ""
    return (
        f" The largest leakage that cannot be excluded here is {_clipped(_not_excluded(widest))}, of {phrase(widest)}."
    )


def _sentence(f: PartialKnowledgeFinding) -> str:
    has = "the released records and the modifier" if f.knows == "modifier" else "the released records"
    which = "single records" if f.k == 1 else _pooled(f)
    base = (
        f"An attacker that knows `{f.attribute}` for {percent(f.known)} of the fitted records, and has {has}, infers "
        f"it for the others with an accuracy of {percent(f.after)} from {which} (baseline: {percent(f.guess)})."
    )
    if f.nag is None or f.low is None or f.high is None:
        few = "records" if f.k == 1 else units_in_words(f.unit)
        return f"{base} So few {few} allow no statement on leakage."
    chance = " This cannot be distinguished from the baseline." if f.at_chance else ""
    number = f"{f.units:,} {units_in_words(f.unit)}"
    few = "" if f.k == 1 or f.high - f.low < 0.2 else f" The interval is wide: there are {number}."
    return f"{base} That is a leakage of {_clipped(f.nag)} ({_clipped(f.low)} to {_clipped(f.high)}).{chance}{few}"


def _table(found: list[PartialKnowledgeFinding], counts: Sequence[int]) -> dict[str, Any]:
    rows = []
    for known, knows in dict.fromkeys((f.known, f.knows) for f in found):
        cells = {f.k: f for f in found if (f.known, f.knows) == (known, knows)}
        rows.append({"known": known, "knows": knows, "cells": [cells.get(k) for k in counts]})
    return {"attribute": found[0].attribute, "unit": found[0].unit, "person": found[0].is_person, "rows": rows}


def _listed(shares: Sequence[float]) -> str:
    return " and ".join(percent(share) for share in shares)


def _clipped(share: float) -> str:
    return percent(min(max(share, 0.0), 1.0))
