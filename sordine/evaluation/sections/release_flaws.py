"""Flaws of the released table itself, found without training an attack."""

from __future__ import annotations

from typing import Any

from sordine.evaluation.exact_copies import copied
from sordine.evaluation.report import Flaw, Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.verdict import Contribution, flaw_contribution

SEVERITIES = {
    "leak": "Leak: the audit fails",
    "broken": "Damaged: the figures are unreliable",
    "note": "Note",
}


class ReleaseFlaws(Section):
    """Missing or damaged records, columns and ids that give an attribute away, and copies of originals."""

    title = "Flaws of the released table"
    menu = "Flaws"
    key = "flaws"
    finding = tuple[Flaw, ...]
    needs_records = False
    risk = "singling out"

    def tested(self, found: tuple[Flaw, ...], report: Report) -> bool:
        """Return True: every audit checks the table."""
        return True

    def risk_lines(self, found: tuple[Flaw, ...], report: Report) -> list[str]:
        """Return the flaws that give records or attributes away."""
        return [f.message for f in found if f.severity == "leak"]

    def run(self, data: AuditData) -> tuple[Flaw, ...]:
        """Return the flaws of the whole release, and copies among the attacked records."""
        if not len(data.before):
            return data.flaws
        return (*data.flaws, *copied(data.original, data.before, data.after, data.fitted, data.policy))

    def contribution(self, found: tuple[Flaw, ...], data: AuditData) -> Contribution:
        """Return what the flaws add to the verdict."""
        return flaw_contribution(found)

    def view(self, found: tuple[Flaw, ...], report: Report) -> dict[str, Any] | None:
        """Return the flaws."""
        return {"flaws": found, "severities": SEVERITIES} if found else None
