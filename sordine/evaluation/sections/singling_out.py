"""Singling out: do released records make statements that are true of exactly one original?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sordine.attacks.risk import RiskFinding, findings
from sordine.attacks.runner import single_threaded
from sordine.attacks.singling_out import FEWEST, attempts
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.risk_sample import LINKED, RiskSample
from sordine.evaluation.verdict import Contribution
from sordine.metrics.percent import percent


@dataclass(frozen=True)
class SinglingOutFinding:
    """How often statements made of released records are true of exactly one original.

    Parameters
    ----------
    rows
        A kind of statement each.
    originals
        Number of originals that were to be singled out.
    others
        Of which originals the control's released records are: "unseen", or "fitted" ones that are not among them.
    """

    rows: tuple[RiskFinding, ...]
    originals: int
    others: str

    @property
    def clear(self) -> tuple[RiskFinding, ...]:
        """Kinds of statements that are surely better than their control."""
        return tuple(f for f in self.rows if f.clear)


class SinglingOut(Section):
    """Attacks that isolate one record by a statement."""

    title = "Singling out: does a statement fit exactly one person's record?"
    runs_beside = True
    menu = "Singling out"
    finding = SinglingOutFinding | None
    risk = "singling out"
    attacker = "Released records alone, to isolate one record"
    how_to_test = "Use the budget `standard` or `paranoid`. Released records need the numbers of the originals."
    needs = (
        f"It needs {FEWEST} records, as many for the control, and released records with the numbers of the originals."
    )

    def run(self, data: AuditData) -> SinglingOutFinding | None:
        """Return the finding; None where records have other numbers, or too few, or the budget leaves it out."""
        if not data.budget.risks:
            return None
        sample = data.risks
        if not sample.comparable:
            data.note("Singling out is not attacked: released records have other numbers than the originals.")
            return None
        own, other, others = _rows(sample)
        if len(own) < FEWEST:
            data.note(f"Singling out is not attacked: it needs {FEWEST} records, and as many for the control.")
            return None
        with single_threaded():
            rows = findings(attempts(sample.x[own], sample.after[own], sample.after[other], sample.spaces))
        return SinglingOutFinding(rows, len(own), others)

    def sentences(self, found: SinglingOutFinding | None) -> list[str]:
        """Return what singling out means for the owner of the data."""
        if found is None or not found.rows:
            return []
        worst = max(found.clear or found.rows, key=lambda f: f.risk or 0.0)
        figures = (
            f"{percent(worst.success)} of them fit exactly one of {found.originals:,} originals, and "
            f"{percent(worst.control)} of statements from other records do"
        )
        if found.clear:
            return [
                "Statements made of released records single out the originals that they were made from. Of the best "
                f"kind ({worst.attack}), {figures}."
            ]
        return [
            "Statements made of released records did not single out originals more often than statements from other "
            f"records, as far as these records can show. Of the kind with the largest risk ({worst.attack}), {figures}."
        ]

    def contribution(self, found: SinglingOutFinding | None, data: AuditData) -> Contribution | None:
        """Return sentences where statements surely single out more than the control."""
        if found is None or not found.clear:
            return None
        return Contribution(closing=tuple(self.sentences(found)), risks=("singling out",))

    def risk_lines(self, found: SinglingOutFinding, report: Report) -> list[str]:
        """Return the figures of the best kind of statement, with the interval of its risk."""
        if not found.rows:
            return []
        best = max(found.clear or found.rows, key=lambda f: f.risk or 0.0)
        return [
            f"Of statements made of released records ({best.attack}), {percent(best.success)} fit exactly one of "
            f"{found.originals:,} originals; of statements made of other records, {percent(best.control)} do "
            f"({best.about})."
        ]

    def view(self, found: SinglingOutFinding | None, report: Report) -> dict[str, Any] | None:
        """Return the rows."""
        return {"rows": found.rows, "f": found} if found and found.rows else None


def _rows(sample: RiskSample) -> tuple[np.ndarray, np.ndarray, str]:
    """Return positions of the originals to single out, of as many other records, and of which side those are."""
    fitted, unseen = sample.fitted, ~sample.fitted
    if min(int(fitted.sum()), int(unseen.sum())) >= FEWEST:
        size = min(int(fitted.sum()), int(unseen.sum()), LINKED)
        return sample.rows(fitted, size), sample.rows(unseen, size), "unseen"
    both = sample.rows(fitted if fitted.sum() >= unseen.sum() else unseen, 2 * LINKED)
    size = len(both) // 2
    # `rows` are sorted by position, which may be the order of a class: every other one.
    return both[::2][:size], both[1::2][:size], "fitted"
