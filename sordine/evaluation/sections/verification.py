"""Verification: can an attacker recognise that two released records are of one person, new to the attacker?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sordine.attacks.results import VerificationFinding
from sordine.attacks.runner import single_threaded
from sordine.attacks.verification import verify
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import STANDARD, AuditData, Section, is_quick
from sordine.evaluation.verdict import Contribution
from sordine.metrics.percent import percent

SPACES = {
    "standardised": "cosine of standardised records",
    "discriminant": "semi-informed: discriminant learned from released records of other persons",
    "plda": "semi-informed: two-covariance model learned from released records of other persons",
    "ignorant": "ignorant: discriminant learned from originals of other persons",
}
CHANCE = 0.49  # equal error rates from here on count as guessing
# At an equal error rate of 45 %, an attacker who answers whether two records belong together is right in 55 of 100
# pairs: a tenth of the way from guessing to certainty, which is above every limit that a verdict holds up to by itself.
CLEAR = 0.45
FEWEST_UNITS = 8  # fewer tested persons give no interval to rely on
FEWEST_SHARED = 10  # persons, where they are in the fit too: half of them stay for the attacker
BY_LUCK = 0.05


class Verifications(Section):
    """Attacks that decide whether two records belong to one person."""

    title = "Verification of unseen persons"
    runs_beside = True
    menu = "Verification"
    key = "verification"
    finding = tuple[VerificationFinding, ...]
    risk = "linkability"
    attacker = "Two released records; it wants to know whether they are of one person"
    how_to_test = "Name the person with `--person`, and split records by person or suppress the person."

    def remedy(self, report: Report) -> str:
        """Return what an audit needs: the budget `standard` after a quick one."""
        return STANDARD if is_quick(report) else self.how_to_test

    def run(self, data: AuditData) -> tuple[VerificationFinding, ...]:
        """Return a finding for each attacker.

        The tested persons are new to the modifier. Where the modifier was fitted on records of all persons and the
        policy suppresses them, they are new to the attacker only.
        """
        wanted = bool(data.budget.person or data.budget.linkage)
        if not wanted or not data.policy.suppress or len(data.before) < 2:
            return ()
        sample, unit = data.sample, data.sample.unit
        if unit is None or sample.before.split is None:
            return ()
        fitted, codes = sample.before.split, unit[1]
        unseen = np.unique(codes[~fitted & (codes >= 0)])
        shared = np.isin(codes[fitted], unseen).any()
        if shared and (unit[0] not in data.policy.suppress or len(unseen) < FEWEST_SHARED):
            return ()
        with single_threaded():
            return tuple(verify(np.asarray(sample.before.x), sample.after, codes, fitted, unit[0]))

    def sentences(self, found: tuple[VerificationFinding, ...]) -> list[str]:
        """Return what verification means for the owner of the data."""
        sentence = verification_sentence(found)
        return [sentence] if sentence else []

    def risk_lines(self, found: tuple[VerificationFinding, ...], report: Report) -> list[str]:
        """Return the lowest error at which an attack recognises that two records belong to one person."""
        worst = min(found, key=lambda f: f.after)
        low, high = worst.after_corrected
        return [
            f"Deciding whether two released records are of one `{worst.unit}`, the best attack errs in "
            f"{percent(worst.after)} of cases (interval {percent(low)} to {percent(high)}; guessing: 50 %; best "
            f"attack on originals: {percent(min(f.before for f in found))}).{_too_few(worst)}"
        ]

    def contribution(self, found: tuple[VerificationFinding, ...], data: AuditData) -> Contribution | None:
        """Return that the verdict cannot hold, where persons are suppressed and clearly recognised."""
        clear = [f for f in found if is_clear(f)]
        if not clear or clear[0].unit not in data.policy.suppress:
            return None
        worst = min(clear, key=lambda f: f.after)
        before = worst.before_interval[0]
        least = (0.5 - worst.after_corrected[1]) / max(0.5 - before, 1e-12)
        return Contribution(
            sentences=tuple(self.sentences(found)),
            unclear=True,
            over=least > data.limit,
            clause=f"an attacker recognises two records of one unknown `{worst.unit}`, with an equal error rate of "
            f"{percent(worst.after)} (guessing: 50 %)",
        )

    def view(self, found: tuple[VerificationFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings, each with its attacker in words."""
        return {"verification": [(f, SPACES[f.space]) for f in found]} if found else None


def is_clear(f: VerificationFinding) -> bool:
    """Whether a finding recognises persons beyond chance and beyond its corrected interval, on enough persons."""
    lucky = f.chance is not None and f.chance > BY_LUCK
    return f.after_corrected[1] < CLEAR and f.units >= FEWEST_UNITS and not lucky


def verification_sentence(found: Sequence[VerificationFinding]) -> str:
    """Return what verification means for the owner of the data."""
    if not found:
        return ""
    worst, before = min(found, key=lambda f: f.after), min(f.before for f in found)
    lucky = worst.chance is not None and worst.chance > BY_LUCK
    recognise = "did not recognise" if worst.after_corrected[1] >= CHANCE or lucky else "recognise"
    new = (
        "The modifier was not fitted on any record of these persons"
        if worst.new_to_fit
        else "The attacker has no record of these persons; the modifier was fitted on other records of them"
    )
    text = (
        f"{new}. These attacks {recognise} that two released records belong to one person. Their lowest equal error "
        f"rate is {percent(worst.after)}; guessing gives 50 %, and the best attack on originals {percent(before)}. "
        f"Where half of the pairs belong together, this attacker decides {percent(1 - worst.after)} of them correctly."
    )
    return text + _too_few(worst)


def _too_few(f: VerificationFinding) -> str:
    """Return a sentence, with a space before it, where too few persons were tested."""
    if f.units >= FEWEST_UNITS:
        return ""
    return (
        f" Only {f.units} persons were tested. These are too few to conclude anything about other persons; at least "
        f"{FEWEST_UNITS} are needed."
    )
