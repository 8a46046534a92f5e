"""Findings and headlines: what predictions of the attacks mean, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from sordine.attacks.budget import Budget
from sordine.attacks.registry import made_for_pictures
from sordine.attacks.results import ExactFinding, Finding, Role
from sordine.attacks.runner import AttackTask, Predictions, Readings
from sordine.evaluation.report import Headline, OtherScenario
from sordine.metrics.accuracy import accuracy, balanced_accuracy, majority
from sordine.metrics.design_effect import effective_records
from sordine.metrics.nag import (
    balanced_nag,
    correlations,
    nag,
    nag_interval,
    nag_is_defined,
    nag_lower_end,
    resolvable,
    wilson,
)
from sordine.metrics.percent import percent

UNEVEN = 1.5  # times an equal share: above it, balanced accuracy is reported too
# Independent records that one is worth in a cross-validation, for deciding whether an attribute leaks. Records that
# learn from each other are right or wrong together, so their accuracy varies more than that of independent records.
CROSS_VALIDATED = 0.5
WIDEST_INTERVAL = 2.0  # NAG at the upper end of an interval of persons or groups, above which the interval says nothing
UNSUITED = (
    "The records are pictures, but no attack made for pictures took part. Such an attack may infer more, "
    "from originals and from released records, so the leakage given here means little. "
    f"Add {' or '.join(f'`{name}`' for name in made_for_pictures('standard'))} to the families, or use the budget "
    "`standard` with its own families."
)
_TESTED = {
    "A": "unseen records",
    "B": "unseen records",
    "C": "records of the fit",
}


@dataclass(frozen=True)
class _Attack:
    # One kind of attack over its seeds, tested on the same records.
    name: str
    results: list[Predictions]

    @cached_property
    def accuracy(self) -> float:
        return float(np.mean([accuracy(r.truth, r.predicted) for r in self.results]))

    @cached_property
    def balanced(self) -> float:
        return float(np.mean([balanced_accuracy(r.truth, r.predicted) for r in self.results]))

    def independent(self, unit: np.ndarray) -> float:
        """The independent records that the predictions are worth, the mean over seeds. unit: (n,), of all records."""
        return float(np.mean([effective_records(r.truth, r.predicted, unit[r.rows]) for r in self.results]))


@dataclass(frozen=True)
class _Question:
    # One attribute in one scenario: the attacks on the originals and on the release, and the units of all records.
    attribute: str
    role: Role
    classes: int
    scenario: str
    before: list[_Attack]
    after: list[_Attack]
    unit: np.ndarray | None = None


def figures(
    readings: Readings,
    roles: Mapping[str, Role],
    classes: Mapping[str, Sequence[str]],
    budget: Budget,
    units: Mapping[tuple[str, str], np.ndarray] | None = None,
) -> tuple[list[Finding], list[Headline]]:
    """Return the finding of each attack in each scenario, and the headline of each attribute.

    Parameters
    ----------
    readings
        Predictions of the attacks.
    roles
        Attribute to role.
    classes
        Attribute to names of its classes.
    budget
        The attacks that were wanted.
    units
        Attribute and scenario to the units (n,) of all records, where not each tested record is one (`units_apart`).
        Intervals then count as many records as are independent (`effective_records`).
    """
    findings: list[Finding] = []
    headlines: list[Headline] = []
    for name, role in roles.items():
        questions = [
            replace(q, unit=(units or {}).get((name, q.scenario)))
            for q in _questions(readings, name, role, len(classes[name]), budget)
        ]
        for question in questions:
            findings += _findings(question, len(budget.seeds))
        if questions:
            headlines.append(_worst([_headline(q, len(budget.settings)) for q in questions], role))
    return findings, headlines


def _questions(readings: Readings, name: str, role: Role, classes: int, budget: Budget) -> Iterator[_Question]:
    for scenario in budget.settings:
        sides: tuple[list[_Attack], list[_Attack]] = ([], [])
        for side in (0, 1):
            for family in budget.families:
                tasks = [AttackTask(name, family, scenario, s) for s in budget.seeds]  # type: ignore[arg-type]
                if all((side, t) in readings for t in tasks):
                    sides[side].append(_Attack(family, [readings[side, t] for t in tasks]))
        if sides[0] and sides[1]:
            yield _Question(name, role, classes, scenario, *sides)


def _findings(q: _Question, seeds: int) -> Iterator[Finding]:
    # An attack made on released records alone is compared with the best one on originals.
    own = {attack.name: attack for attack in q.before}
    best = max(q.before, key=lambda a: a.accuracy)
    for was, now in [(own.get(attack.name, best), attack) for attack in q.after]:
        paired = _paired(was, now)
        shares = _compare(was, now, q, paired)
        yield Finding(
            attribute=q.attribute,
            role=q.role,
            attacker=now.name,
            setting=q.scenario,  # type: ignore[arg-type]
            guess_interval=wilson(shares["guess"] * shares["records"], shares["records"]),
            balanced_before=was.balanced,
            balanced_after=now.balanced,
            seeds=seeds,
            correlation=paired,
            **{**shares, "records": shares["records"] * seeds},
        )


def _headline(q: _Question, scenarios: int) -> Headline:
    """The best attack on the release against the best attack on the originals."""
    before, after = (max(side, key=lambda a: a.accuracy) for side in (q.before, q.after))
    paired = _paired(before, after)
    shares = _compare(before, after, q, paired)
    # The luckiest of many attacks is above the truth, in one scenario or another. So all of them share the 5 %.
    corrected = 1 - 0.05 / (len(q.after) * scenarios)
    worth: tuple[float, float] | None = shares["independent"]
    weight = 1.0 if q.scenario == "A" else CROSS_VALIDATED
    tested, earlier = (weight * n for n in worth or (after.results[0].truth.size,) * 2)
    luck = wilson(after.accuracy * tested, tested, corrected)
    least = nag_lower_end(
        *(shares["after"], shares["before"], shares["guess"], shares["records"]),
        confidence=corrected,
        correlation=paired,
        classes=q.classes,
        independent=(tested, earlier),
    )
    shares["balanced_nag"] = _balanced_nag(*(max(side, key=lambda a: a.balanced) for side in (q.before, q.after)))
    headline = Headline(
        attribute=q.attribute,
        role=q.role,
        classes=q.classes,
        setting=q.scenario,  # type: ignore[arg-type]
        attacker_before=before.name,
        attacker_after=after.name,
        resolvable=resolvable(shares["before"], shares["guess"], shares["records"], independent=worth),
        at_chance=luck[0] <= shares["guess"],
        uneven=shares["guess"] > UNEVEN / q.classes,
        units=None if q.unit is None else len(np.unique(q.unit[after.results[0].rows])),
        low_corrected=None if shares["low"] is None else least,
        **shares,
    )
    return replace(headline, sentence=sentence(headline, len(q.after)))


def _worst(candidates: list[Headline], role: Role) -> Headline:
    """The worst scenario of a suppressed attribute. Of another one, the first: A, which tests on unseen records.

    Where persons count, a scenario with few of them may have a large leakage by chance. It must not hide another one.
    """
    if role != "suppress":
        return min(candidates, key=lambda h: h.setting)
    by_person = any(h.units is not None for h in candidates)
    worst = max(
        candidates, key=lambda h: (by_person and not h.at_chance, h.nag is not None, h.nag or 0.0, h.after - h.guess)
    )
    # A scenario at chance leaks nothing for sure, however high its lower end is.
    least = 0.0 if worst.at_chance else max(worst.least or 0.0, 0.0)
    also = [
        OtherScenario(h.setting, h.low, h.not_excluded, h.at_chance, h.low_corrected)
        for h in candidates
        if h is not worst
        and (h.not_excluded > worst.not_excluded or (not h.at_chance and h.least is not None and h.least > least))
    ]
    return replace(worst, also=tuple(also))


def _paired(before: _Attack, after: _Attack) -> tuple[float, float, float]:
    """Means over seeds of the correlations between correct predictions: see `Finding.correlation`."""
    pairs = zip(after.results, before.results, strict=True)
    r = np.mean([correlations(a.truth, a.predicted, b.predicted) for a, b in pairs], axis=0).tolist()
    return r[0], r[1], r[2]


def _compare(before: _Attack, after: _Attack, q: _Question, paired: tuple[float, float, float]) -> dict[str, Any]:
    """The fields that a finding and a headline share."""
    truth = before.results[0].truth
    n, baseline = len(truth), majority(truth)
    was, now = before.accuracy, after.accuracy
    worth = None if q.unit is None else (after.independent(q.unit), before.independent(q.unit))
    interval = nag_interval(now, was, baseline, n, correlation=paired, classes=q.classes, independent=worth)
    if worth is not None and interval is not None and interval[1] > WIDEST_INTERVAL:
        interval = None
    many, earlier = worth or (n, n)
    share = nag(now, was, baseline) if nag_is_defined(was, baseline, n) else None
    return {
        "before": was,
        "after": now,
        "guess": baseline,
        "nag": share,
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
        "before_interval": wilson(was * earlier, earlier),
        "after_interval": wilson(now * many, many),
        "balanced_nag": _balanced_nag(before, after),
        "records": n,
        "independent": worth,
    }


def _balanced_nag(before: _Attack, after: _Attack) -> float | None:
    truth = before.results[0].truth
    present = len(np.unique(truth))
    if not nag_is_defined(before.balanced, 1 / present, len(truth)):
        return None
    return balanced_nag(after.balanced, before.balanced, present)


def sentence(h: Headline, attacks: int) -> str:
    """Return one headline in words. attacks: how many kinds of attack took part."""
    attack = f"the best of {attacks} attacks" if attacks > 1 else "the attack"
    base = (
        f"From released records, {attack} ({h.attacker_after}) predicts `{h.attribute}` correctly for "
        f"{percent(h.after)} of {_TESTED[h.setting]}. The baseline is {percent(h.guess)}; on originals, "
        f"accuracy is {percent(h.before)}."
    )
    if h.nag is None:
        return f"{base} Accuracy on originals is too close to the baseline, so the leakage cannot be computed."
    what = "leakage" if h.role == "suppress" else "utility"
    if h.low is None or h.high is None:
        few = "records" if h.units is None else "persons or groups"
        return f"{base} That is a {what} of {percent(h.nag)}, on too few {few} for an interval."
    if h.overtaken:
        return f"{base} Accuracy is higher than on originals, so these attacks are too weak to state a {what}."
    return f"{base} That is a {what} of {percent(h.nag)} (95 % interval: {percent(h.low)} to {percent(h.high)})."


def exact_excess(finding: ExactFinding, headlines: Sequence[Headline]) -> float | None:
    """Return the leakage (NAG) of the optimal attack on one attribute, beyond what chance shows.

    None where it is within chance, or where attacks do not infer the attribute from originals.
    """
    if len(finding.attributes) != 1 or finding.accuracy <= finding.permuted_high:
        return None
    for h in headlines:
        if h.attribute == finding.attributes[0] and h.nag is not None and h.before > h.guess:
            return (finding.accuracy - finding.permuted) / (h.before - h.guess)
    return None
