"""Verification: do two released records belong to the same person, for persons that the modifier was not fitted on?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sordine.attacks.results import VerificationFinding
from sordine.attacks.runner import single_threaded
from sordine.attacks.verification import verify
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.metrics.percent import percent

SPACES = {"standardised": "standardised records", "discriminant": "a discriminant learned from other persons"}
CHANCE = 0.49  # equal error rates from here on count as guessing


class Verifications(Section):
    """Attacks that decide whether two records belong to one person."""

    title = "Verification of unseen persons"
    menu = "Verification"
    key = "verification"
    finding = tuple[VerificationFinding, ...]
    risk = "linkability"
    attacker = "Two released records; it wants to know whether they are of one person"
    how_to_test = "Name the person with `--person`; the persons of unseen records must be new to the modifier."

    def run(self, data: AuditData) -> tuple[VerificationFinding, ...]:
        """Return a finding for each space, where all unseen persons are new to the modifier."""
        wanted = bool(data.budget.person or data.budget.linkage)
        if not wanted or not data.policy.suppress or len(data.before) < 2:
            return ()
        sample, unit = data.sample, data.sample.unit
        if unit is None or sample.before.split is None:
            return ()
        fitted, codes = sample.before.split, unit[1]
        unseen = np.unique(codes[~fitted & (codes >= 0)])
        if np.isin(codes[fitted], unseen).any():
            return ()  # The modifier was fitted on records of these units, so they are not new.
        with single_threaded():
            return tuple(verify(np.asarray(sample.before.x), sample.after, codes, fitted, unit[0]))

    def sentences(self, found: tuple[VerificationFinding, ...]) -> list[str]:
        """Return what verification means for the owner of the data."""
        sentence = verification_sentence(found)
        return [sentence] if sentence else []

    def risk_lines(self, found: tuple[VerificationFinding, ...], report: Report) -> list[str]:
        """Return the lowest error at which an attack recognises that two records belong to one person."""
        worst = min(found, key=lambda f: f.after)
        low, high = worst.after_interval
        return [
            f"Deciding whether two released records are of one `{worst.unit}`, the best attack errs in "
            f"{percent(worst.after)} of cases (interval {percent(low)} to {percent(high)}; guessing: 50 %; originals: "
            f"{percent(worst.before)})."
        ]

    def view(self, found: tuple[VerificationFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings, each with its space in words."""
        return {"verification": [(f, SPACES[f.space]) for f in found]} if found else None


def verification_sentence(found: Sequence[VerificationFinding]) -> str:
    """Return what verification means for the owner of the data."""
    if not found:
        return ""
    worst = min(found, key=lambda f: f.after)
    recognise = "did not recognise" if worst.after_interval[1] >= CHANCE else "recognise"
    return (
        f"The modifier was not fitted on any record of these persons. These attacks {recognise} that two released "
        f"records belong to one person. Their lowest equal error rate is {percent(worst.after)}; guessing gives 50 % "
        f"and the originals give {percent(worst.before)}."
    )
