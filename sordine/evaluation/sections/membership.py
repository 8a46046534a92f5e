"""Membership: can an attacker that has an original say whether the modifier was fitted on it?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sordine.attacks.membership import (
    FEWEST,
    Candidates,
    attack,
    scores_of_outputs,
    scores_of_record,
    scores_of_release,
    scores_of_releases,
)
from sordine.attacks.risk import Attempt, RiskFinding, findings
from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.risk_sample import RiskSample
from sordine.evaluation.verdict import Contribution
from sordine.keys import Key
from sordine.metrics.percent import percent

FEWEST_PERSONS = 4  # on each side, where the halves consist of whole persons
Persons = Literal["same", "different", "unknown"]


@dataclass(frozen=True)
class MembershipFinding:
    """How well an attacker recognises records of the fit.

    Parameters
    ----------
    rows
        For each attacker its area under the curve, and the share of members that it finds at 1 % false ones.
    persons
        Whether the fit and the unseen records hold the same persons.
    unit
        The attribute that names the person, or "group"; None where it is unknown.
    sampled
        Whether a sample of the records took part.
    """

    rows: tuple[RiskFinding, ...]
    persons: Persons
    unit: str | None
    sampled: bool

    @property
    def blind(self) -> dict[str, float]:
        """By measure, the figure of the attacker that has nothing but the record."""
        return {f.measure: f.success for f in self.rows if f.knows == "record"}

    @property
    def clear(self) -> tuple[RiskFinding, ...]:
        """Attacks that are surely better than their control, and than an attacker without a release."""
        return tuple(
            f
            for f in self.rows
            if f.knows != "record" and f.clear and f.success_interval[0] > self.blind.get(f.measure, 0.0)
        )


class Membership(Section):
    """Attacks that decide whether a record was in the fit."""

    title = "Membership: was this record in the fit?"
    runs_beside = True
    menu = "Membership"
    finding = MembershipFinding | None
    risk = "membership"
    attacker = "An original, and whether others were in the fit"
    how_to_test = "Use the budget `standard` or `paranoid`, and leave 40 records out of the fit."
    needs = f"It needs {FEWEST} records of the fit, and {FEWEST} others."

    def run(self, data: AuditData) -> MembershipFinding | None:
        """Return the finding; None where there are too few records on a side, or the budget leaves it out."""
        if not data.budget.risks:
            return None
        sample = data.risks
        if min(int(sample.fitted.sum()), int((~sample.fitted).sum())) < FEWEST:
            data.note(f"Membership is not attacked: it needs {FEWEST} fitted and {FEWEST} unseen records.")
            return None
        persons, groups = _persons(sample)
        with single_threaded():
            rows = findings(list(_attempts(sample, groups)))
        unit = None if sample.persons is None else sample.persons[0]
        return MembershipFinding(rows, persons, unit, not sample.whole)

    def sentences(self, found: MembershipFinding | None) -> list[str]:
        """Return what the attackers find, and which persons the two sides hold."""
        if found is None:
            return []
        return [*_results(found), _about_persons(found)]

    def contribution(self, found: MembershipFinding | None, data: AuditData) -> Contribution | None:
        """Return sentences where an attack is surely better than its control."""
        if found is None or not found.clear:
            return None
        return Contribution(closing=tuple(_results(found)), risks=("membership",))

    def risk_lines(self, found: MembershipFinding, report: Report) -> list[str]:
        """Return the figures of the best attack, with the interval of its risk."""
        rows = [f for f in found.rows if f.knows != "record" and f.measure == "auc"]
        if not rows:
            return []
        best = max(rows, key=lambda f: f.success)
        with_modifier = " and the modifier" if best.knows == "modifier" else ""
        return [
            f"An attacker with an original{with_modifier} ranks fitted records above unseen ones in "
            f"{percent(best.success)} of all pairs; control: {percent(best.control)} ({best.about}).",
            _about_persons(found),
        ]

    def view(self, found: MembershipFinding | None, report: Report) -> dict[str, Any] | None:
        """Return the rows."""
        return {"rows": found.rows, "sampled": found.sampled} if found else None


def _persons(sample: RiskSample) -> tuple[Persons, np.ndarray | None]:
    """Return whether both sides hold the same persons, and the codes (n,) of persons where they are different."""
    if sample.persons is None:
        return "unknown", None
    codes = sample.persons[1]
    known = codes >= 0
    sides = [np.unique(codes[known & side]) for side in (sample.fitted, ~sample.fitted)]
    if not len(sides[1]) or np.isin(sides[1], sides[0]).any():
        return "same", None
    # A record of an unknown person counts as a person of its own.
    return "different", np.where(known, codes, len(codes) + np.arange(len(codes)))


def _candidates(sample: RiskSample, groups: np.ndarray | None) -> Candidates:
    """Deal the records into those whose membership the attacker knows and the others: whole persons, where known."""
    order, dealt = Key.of_seed(0).order("membership", sample.before.ids), np.zeros(len(sample.x), np.int64)
    for side in (sample.fitted, ~sample.fitted):
        own = order[side[order]]
        if groups is None or len(np.unique(groups[side])) < FEWEST_PERSONS:
            dealt[own] = np.arange(len(own)) % 4
        else:
            names, first, codes = np.unique(groups[own], return_index=True, return_inverse=True)
            ranks = np.empty(len(names), np.int64)
            ranks[np.argsort(first)] = np.arange(len(names))
            dealt[own] = ranks[codes.ravel()] % 4
    return Candidates(sample.fitted, dealt % 2 == 0, dealt // 2 == 0, groups)


def _attempts(sample: RiskSample, groups: np.ndarray | None) -> Iterator[Attempt]:
    candidates = _candidates(sample, groups)
    yield from attack(scores_of_record(sample.x, sample.space), "record", candidates)
    if sample.comparable:
        scores = scores_of_release(sample.x, sample.after[sample.fitted], sample.space)
        yield from attack(scores, "release", candidates)
    if sample.distributions is not None:
        scores = scores_of_outputs(sample.x, sample.distributions, _centres(sample), sample.space)
        yield from attack(scores, "modifier", candidates)
    elif sample.own is not None:
        rows, releases = sample.own
        several = sample.flat(releases)
        scores = scores_of_releases(sample.x[rows], several, sample.space)
        yield from attack(scores, "modifier", candidates.take(rows))


def _centres(sample: RiskSample) -> np.ndarray | None:
    outputs = getattr(sample.known, "substitutes", None)
    if outputs is None or outputs[0].numel() != np.prod(sample.before.shape):
        return None
    return sample.numbers(outputs.detach().cpu().numpy().reshape(len(outputs), *sample.before.shape))


WITH = {
    "record": "Without any release, an attacker",
    "release": "With the released records of the fit, an attacker",
    "modifier": "With the modifier, an attacker",
}


def _results(found: MembershipFinding) -> list[str]:
    """Return the sentences on the results."""
    if not found.clear:
        highest = max((f.risk_interval[1] for f in found.rows if f.risk_interval and f.knows != "record"), default=1.0)
        return [
            "An attacker that has an original did not recognise clearly whether it was in the fit."
            f"{_why_not(found)} A risk of up to {percent(highest)} cannot be excluded."
        ]
    sentences = []
    for knows in dict.fromkeys(f.knows for f in found.clear):
        by = {f.measure: f for f in found.rows if f.knows == knows}
        sentences.append(
            f"{WITH[knows]} that has an original can infer whether it was in the fit. It ranks a fitted record above "
            f"an unseen one in {percent(by['auc'].success)} of all pairs; the control does in "
            f"{percent(by['auc'].control)}. It finds "
            f"{percent(by['found'].success)} of the fitted records while it calls {percent(by['found'].control)} of "
            "the unseen ones fitted."
        )
    return sentences


def _why_not(found: MembershipFinding) -> str:
    """Return why an attack that is better than its control does not count: one without a release may be as good."""
    better = [f for f in found.rows if f.knows != "record" and f.clear and f.measure in found.blind]
    if not better:
        return ""
    best = max(better, key=lambda f: f.risk or 0.0)
    low, high = (percent(end) for end in best.success_interval)
    what = "pairs are ranked correctly" if best.measure == "auc" else "fitted records are found"
    return (
        f" Its best attack is above its control: {percent(best.success)} of the {what} ({low} to {high}; control: "
        f"{percent(best.control)}). But an attacker without any release reaches {percent(found.blind[best.measure])}, "
        "because the two sides differ by themselves. The interval does not exclude that the release adds nothing."
    )


def _about_persons(found: MembershipFinding) -> str:
    if found.persons == "same":
        return (
            f"The fit and the unseen records hold the same `{found.unit}`: these figures are about single records. "
            "They do not say whether a person took part."
        )
    if found.persons == "different":
        return f"No `{found.unit}` is in the fit and in the unseen records: these figures are also about persons."
    return "The persons of the records are not known: these figures are about single records."
