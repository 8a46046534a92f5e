"""The tail: the parts that are inferred although most records are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sordine.attacks.persons import independent_records
from sordine.attacks.runner import AttackTask, Predictions
from sordine.attacks.tail import (
    BOUND,
    FEWEST,
    FEWEST_PERSONS,
    WORST,
    Part,
    RareClass,
    Surest,
    TailRecords,
    by_class,
    by_person,
    by_rare_class,
    by_subgroup,
    holm,
    surest,
    worst,
)
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.sample import Unit, person_of
from sordine.evaluation.verdict import Contribution
from sordine.metrics.nag import wilson
from sordine.metrics.percent import percent

SHOWN = 8  # parts of each attribute in the report, the clearest first; at least 6, for two of each kind
LEVEL = 0.05  # of all tests of an attribute together
MOST_CLASSES = 500  # of an attribute, beyond which its classes are no subgroups


@dataclass(frozen=True)
class TailPart:
    """A class, a person or a subgroup, and how its records are inferred by one attack.

    Parameters
    ----------
    kind
        "class", "person" or "subgroup".
    of, name
        The attribute (or unit) and its class. `name` is empty under --no-originals.
    attacker, setting
        The attack with the smallest p, and its scenario.
    records
        Tested records that count as independent.
    accuracy, chance
        Share that is predicted correctly, and the share that chance gives.
    leakage, low, high
        How far accuracy lies beyond chance, and its interval, corrected for all tests of the attribute.
    p
        Probability of so much by chance, corrected for all tests of the attribute (Holm).
    clear
        Whether the leakage is above the limit beyond chance.
    """

    kind: str
    of: str
    name: str
    attacker: str
    setting: str
    records: float
    accuracy: float
    chance: float
    leakage: float
    low: float
    high: float
    p: float
    clear: bool


@dataclass(frozen=True)
class WorstRecords:
    """The share of the tested records that is inferred most surely. Each half is chosen by attacks on the other.

    Parameters
    ----------
    share, records
        The share, and the number of records that count as independent.
    setting
        Scenario.
    accuracy, chance
        Share that is predicted correctly, and the share of the predicted classes.
    leakage, low, high
        Leakage and its interval, corrected for the number of scenarios.
    """

    share: float
    records: int
    setting: str
    accuracy: float
    chance: float
    leakage: float
    low: float
    high: float


@dataclass(frozen=True)
class RareClasses:
    """Classes of one attribute that have too few tested records for a part of their own.

    Parameters
    ----------
    classes, inferred
        Number of these classes with a tested record, and of those that an attack infers beyond chance.
    records, right
        Tested records of the inferred classes, and those of them that the clearest attack on each predicts correctly.
    expected
        How many it would by chance.
    tests
        Number of tests, for which `inferred` is corrected (Holm).
    """

    classes: int
    inferred: int
    records: int
    right: int
    expected: float
    tests: int


@dataclass(frozen=True)
class TailFinding:
    """The tail of one suppressed attribute.

    Parameters
    ----------
    attribute
        The attribute.
    limit
        The leakage above which a part counts.
    tests
        Number of tests, for which all figures are corrected.
    parts
        The clearest parts, one attack each: see `_shortened`.
    counted, clear
        For each kind, the number of parts that were tested, and of those that are clearly inferred.
    worst
        The records that are inferred most surely, in the worst scenario.
    tested, inferred
        Number of tested records, and of those that are predicted correctly with a score above `bound`.
    bound
        See `sordine.attacks.tail.BOUND`.
    inferred_interval
        Wilson interval of `inferred` / `tested`, on as many records as are independent.
    expected
        How many records would be counted as inferred if their predictions, with the same scores, were correct by chance
        only. These two are None in reports of earlier versions.
    rare
        Classes with too few tested records; None where there is none, and in reports of earlier versions.
    """

    attribute: str
    limit: float
    tests: int
    parts: tuple[TailPart, ...]
    counted: dict[str, int]
    clear: dict[str, int]
    worst: WorstRecords | None
    tested: int
    inferred: int
    bound: float = BOUND
    inferred_interval: tuple[float, float] | None = None
    expected: float | None = None
    rare: RareClasses | None = None


class Tail(Section):
    """Classes, persons, subgroups and records that are inferred although most are not."""

    title = "The tail: the parts that are inferred most"
    menu = "The tail"
    finding = tuple[TailFinding, ...]
    risk = "inference"
    how_to_test = "Use the budget `standard`."

    def run(self, data: AuditData) -> tuple[TailFinding, ...]:
        """Return a finding for each suppressed attribute that was attacked."""
        if not data.budget.tail:
            return ()
        found = []
        for attribute in data.policy.suppress:
            readings = _readings(data, attribute)
            if readings:
                found.append(_finding(data, attribute, readings))
        return tuple(found)

    def sentences(self, found: tuple[TailFinding, ...]) -> list[str]:
        """Return what the tail means, for each attribute."""
        return [s for f in found for s in ((_sentences(f) or [_nothing(f)]) + _on_rare(f))]

    def contribution(self, found: tuple[TailFinding, ...], data: AuditData) -> Contribution | None:
        """Return the parts that are clearly inferred, and what else leaves the verdict open."""
        if not found:
            return None
        open_ = [
            (part.high, _of_part(f, part)) for f in found for part in f.parts if part.p <= LEVEL and part.high > f.limit
        ]
        open_ += [
            (f.worst.high, f"`{f.attribute}` from the {percent(WORST)} of records that an attacker is surest about")
            for f in found
            if f.worst is not None and f.worst.low > f.limit
        ]
        high, about = max(open_, default=(0.0, ""))
        doubt = [f"A leakage of up to {percent(min(high, 1.0))} of {about} cannot be excluded."] if open_ else []
        return Contribution(
            sentences=(*(s for f in found for s in _sentences(f) + _on_rare(f)), *doubt),
            gives=tuple(given for f in found for given in _gives(f)),
            unclear=bool(open_),
            leakage=(min(high, 1.0),) if open_ else (),
            about=about,
        )

    def view(self, found: tuple[TailFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the table of each attribute."""
        return {"tails": found} if found else None


# ------------------------------------------------------------------------------------------------------- the tests


def _readings(data: AuditData, attribute: str) -> dict[AttackTask, Predictions]:
    seed = data.budget.seeds[0]
    return {
        task: predictions
        for (side, task), predictions in data.readings.items()
        if side == 1 and task.attribute == attribute and task.seed == seed
    }


def _finding(data: AuditData, attribute: str, readings: dict[AttackTask, Predictions]) -> TailFinding:
    person = person_of(data.before, data.options.person)
    tested = [(task, part) for task, made in readings.items() for part in _parts(data, attribute, made, person)]
    corrected = holm([part.p for _, part in tested]) if tested else np.empty(0)
    confidence = 1 - LEVEL / max(len(tested), 1)
    best: dict[tuple[str, str, int], TailPart] = {}
    for (task, part), p in zip(tested, corrected, strict=True):
        shown = _shown(data, part, task, float(p), confidence)
        key = (part.kind, part.of, part.code)
        if key not in best or (not shown.clear, shown.p) < (not best[key].clear, best[key].p):
            best[key] = shown
    small = _small(data, attribute, readings, {code for _, of, code in best if of == attribute})
    parts = sorted(best.values(), key=lambda part: (not part.clear, part.p, -part.low))
    names: list[str] = list(dict.fromkeys(task.setting for task in readings))
    scenarios = {name: _surest(data, attribute, readings, name, person) for name in names}
    score, inferred = _inferred(data, scenarios)
    if data.options.tail is not None:
        data.options.tail.append(_records(data, attribute, scenarios, parts, person))
    return TailFinding(
        attribute=attribute,
        limit=data.limit,
        tests=len(tested),
        parts=_shortened(parts, data),
        counted={kind: sum(p.kind == kind for p in parts) for kind in dict.fromkeys(p.kind for p in parts)},
        clear={kind: sum(p.kind == kind and p.clear for p in parts) for kind in dict.fromkeys(p.kind for p in parts)},
        worst=_worst(scenarios),
        tested=int(np.isfinite(score).sum()),
        inferred=int(inferred.sum()),
        inferred_interval=_share_of(inferred[np.isfinite(score)], _owners(score, scenarios)),
        expected=round(_expected(len(score), scenarios), 1),
        rare=_rare(small, readings, None if person is None or person[0] == attribute else person[1]),
    )


def _small(data: AuditData, attribute: str, readings: dict[AttackTask, Predictions], tested: set[int]) -> np.ndarray:
    """Return the classes of which no scenario tests enough records, and note them: no part shows how they leak."""
    labels = data.before.y[attribute]
    present = np.unique(labels[labels >= 0])
    few = present[~np.isin(present, list(tested))]
    if tested and len(few):
        data.note(
            f"The tail does not cover {len(few):,} of the {len(present):,} classes of `{attribute}`: they have fewer "
            f"than {FEWEST} tested records in every scenario."
        )
    most = np.max([np.bincount(made.truth, minlength=labels.max() + 1) for made in readings.values()], 0)
    return np.flatnonzero((most > 0) & (most < FEWEST))


def _rare(small: np.ndarray, readings: dict[AttackTask, Predictions], owner: np.ndarray | None) -> RareClasses | None:
    """Return how classes with few tested records are inferred, by the clearest attack on each."""
    found = [
        rare
        for made in readings.values()
        for rare in by_rare_class(made.truth, made.predicted, small, None if owner is None else owner[made.rows])
    ]
    if not found:
        return None
    clearest: dict[int, RareClass] = {}
    for rare, p in sorted(zip(found, holm([r.p for r in found]), strict=True), key=lambda pair: pair[1]):
        if p <= LEVEL:
            clearest.setdefault(rare.code, rare)
    return RareClasses(
        classes=len({rare.code for rare in found}),
        inferred=len(clearest),
        records=sum(rare.records for rare in clearest.values()),
        right=sum(rare.right for rare in clearest.values()),
        expected=round(sum(rare.expected for rare in clearest.values()), 2),
        tests=len(found),
    )


def _shortened(parts: Sequence[TailPart], data: AuditData) -> tuple[TailPart, ...]:
    """Return the first parts, and those that the verdict and its sentences need; without names under --no-originals.

    Of each kind these are the first clear part, and the significant one with the largest leakage that agrees with it.
    """
    needed: list[int] = []
    for kind in dict.fromkeys(part.kind for part in parts):
        clear = [i for i, part in enumerate(parts) if part.kind == kind and part.clear]
        significant = [i for i, part in enumerate(parts) if part.kind == kind and part.p <= LEVEL]
        needed += clear[:1]
        needed += sorted(significant, key=lambda i: -parts[i].high)[:1]
    chosen = list(dict.fromkeys([*needed, *range(len(parts))]))[:SHOWN]
    shown = [parts[i] for i in sorted(chosen)]
    return tuple(shown if data.options.originals else [replace(part, name="") for part in shown])


def _parts(data: AuditData, attribute: str, made: Predictions, person: Unit | None) -> Iterator[Part]:
    itself = person is not None and person[0] == attribute
    owner = None if person is None or itself else person[1][made.rows]
    truth, predicted = made.truth, made.predicted
    if owner is not None and len(np.unique(owner)) < FEWEST_PERSONS:  # too few to know how much persons differ
        return
    for part in by_class(truth, predicted, attribute, owner):
        yield replace(part, kind="person") if itself else part
    if owner is not None and person is not None:
        yield from by_person(truth, predicted, person[0], owner)
    for other in data.roles:
        named = other in (attribute, None if person is None else person[0])
        if not named and len(data.before.classes[other]) <= MOST_CLASSES:
            yield from by_subgroup(truth, predicted, other, data.before.y[other][made.rows], owner)


def _shown(data: AuditData, part: Part, task: AttackTask, p: float, confidence: float) -> TailPart:
    low, high = part.ends(confidence)
    unit = person_of(data.before, data.options.person)
    names = unit[2] if unit is not None and part.of == unit[0] else data.before.classes[part.of]
    return TailPart(
        kind=part.kind,
        of=part.of,
        name=str(names[part.code]),
        attacker=task.attacker,
        setting=task.setting,
        records=round(float(part.records), 1),
        accuracy=part.accuracy,
        chance=part.chance,
        leakage=part.leakage,
        low=low,
        high=high,
        p=p,
        clear=p <= LEVEL and low > data.limit,
    )


def _surest(
    data: AuditData,
    attribute: str,
    readings: dict[AttackTask, Predictions],
    scenario: str,
    person: Unit | None,
) -> Surest:
    some = {task.attacker: made for task, made in readings.items() if task.setting == scenario}
    first = next(iter(some.values()))
    predictions = {name: made.predicted for name, made in some.items()}
    owner = None if person is None or person[0] == attribute else person[1][first.rows]
    return surest(first.rows, data.before.ids[first.rows], first.truth, predictions, owner)


def _worst(scenarios: dict[str, Surest]) -> WorstRecords | None:
    found = []
    for name, some in scenarios.items():
        if len(some.rows) * WORST < 2:
            continue
        part = worst(some)
        low, high = part.ends(1 - LEVEL / len(scenarios))
        n = round(part.records)
        found.append(WorstRecords(WORST, n, name, part.accuracy, part.chance, part.leakage, low, high))
    return max(found, key=lambda w: w.low, default=None)


def _inferred(data: AuditData, scenarios: dict[str, Surest]) -> tuple[np.ndarray, np.ndarray]:
    """The largest score of each attacked record over the scenarios, NaN where untested; and whether it is inferred."""
    score, right = np.full(len(data.before), np.nan), np.zeros(len(data.before), bool)
    for some in scenarios.values():
        value = np.where(some.right, some.score, -1.0)
        score[some.rows] = np.fmax(score[some.rows], value)
        right[some.rows] |= some.right & (some.score > BOUND)
    return score, right


def _owners(score: np.ndarray, scenarios: dict[str, Surest]) -> np.ndarray | None:
    """The person of each tested record, where persons share classes."""
    owner = np.full(len(score), -1)
    for some in scenarios.values():
        if some.owner is None:
            return None
        owner[some.rows] = some.owner
    return np.asarray(owner[np.isfinite(score)])


def _share_of(hit: np.ndarray, owner: np.ndarray | None) -> tuple[float, float]:
    n = len(hit) if owner is None else independent_records(hit.astype(float), owner)
    return wilson(float(hit.mean()) * n, n) if len(hit) else (0.0, 1.0)


def _expected(records: int, scenarios: dict[str, Surest]) -> float:
    """How many records chance would infer: the same predictions with the same scores, in any scenario."""
    missed = np.ones(records)
    for some in scenarios.values():
        missed[some.rows] *= np.where(some.score > BOUND, 1 - some.chance, 1.0)
    return float((1 - missed).sum())


def _records(
    data: AuditData, attribute: str, scenarios: dict[str, Surest], parts: Sequence[TailPart], person: Unit | None
) -> TailRecords:
    """Scores of every original record that was released, and which persons are inferred."""
    whole = data.original
    score, record = np.full(len(whole), np.nan), np.zeros(len(whole), bool)
    row_of = {name: row for row, name in enumerate(whole.ids.tolist())}
    rows = np.array([row_of[name] for name in data.before.ids.tolist()], np.int64)
    score[rows], record[rows] = _inferred(data, scenarios)
    flagged = {part.name for part in parts if part.kind == "person" and part.clear}
    everyone = person_of(whole, data.options.person)
    owned = np.zeros(len(whole), bool)
    if flagged and everyone is not None:
        _, codes, names = everyone
        owned = (codes >= 0) & np.isin(np.array([str(n) for n in names])[codes], list(flagged))
    labels = np.array([*map(str, whole.classes[attribute]), ""])
    return TailRecords(attribute, whole.ids, score, record, owned, labels[whole.y[attribute]])


# ------------------------------------------------------------------------------------------------------- the words


def _gives(f: TailFinding) -> Iterator[tuple[float, str]]:
    for kind, count in f.clear.items():
        if count:
            yield max(p.leakage for p in f.parts if p.kind == kind and p.clear), _phrase(f, kind, count)


def _of_part(f: TailFinding, part: TailPart) -> str:
    records = f"{round(part.records):,} records"
    if part.kind == "person":
        return f"`{f.attribute}` of one person ({records})"
    if part.kind == "class":
        return f"`{f.attribute}` for one of its classes ({records})"
    return f"`{f.attribute}` within one class of `{part.of}` ({records})"


def _phrase(f: TailFinding, kind: str, count: int) -> str:
    among = f"{count:,} of {f.counted[kind]:,}"
    if kind == "person":
        return f"`{f.attribute}` of {among} persons"
    if kind == "class":
        return f"`{f.attribute}` for {among} of its classes"
    return f"`{f.attribute}` within {among} subgroups"


def _sentences(f: TailFinding) -> list[str]:
    found = []
    for kind, count in f.clear.items():
        if count:
            p = next(p for p in f.parts if p.kind == kind and p.clear)
            found.append(
                f"An attack infers {_phrase(f, kind, count)}. In the clearest case it predicts {percent(p.accuracy)} "
                f"of the records correctly, where chance gives {percent(p.chance)}. That is a leakage of at least "
                f"{percent(p.low)}, corrected for {f.tests:,} tests."
            )
    w = f.worst
    if w is not None and w.low > f.limit:
        found.append(
            f"The {percent(w.share)} of the records that an attacker is surest about disclose `{f.attribute}` with an "
            f"accuracy of {percent(w.accuracy)}, where chance gives {percent(w.chance)}. That is a leakage of "
            f"{percent(w.leakage)} ({percent(w.low)} to {percent(w.high)})."
        )
    return found


def _on_rare(f: TailFinding) -> list[str]:
    """What classes with few tested records show. Too few for a leakage, so the level does not depend on them."""
    if f.rare is None or not f.rare.inferred:
        return []
    return [
        f"Of the classes of `{f.attribute}` with fewer than {FEWEST} tested records, {f.rare.inferred:,} of "
        f"{f.rare.classes:,} are inferred beyond chance: {f.rare.right:,} of {f.rare.records:,} records are predicted "
        f"correctly, where chance gives {f.rare.expected:,.2f}. This is corrected for {f.rare.tests:,} tests. So few "
        "records allow no statement on how much of such a class leaks."
    ]


def _nothing(f: TailFinding) -> str:
    if not f.counted:
        return (
            f"No class of `{f.attribute}` was tested on its own. It needs {FEWEST} tested records, and "
            f"{FEWEST_PERSONS} persons where persons share classes."
        )
    return (
        f"`{f.attribute}` is not clearly inferred for any {' or '.join(f.counted)} beyond the limit of "
        f"{percent(f.limit)}. The figures are corrected for the number of tests ({f.tests:,})."
    )
