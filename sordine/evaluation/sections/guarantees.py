"""What is proved of a release, and under which assumptions."""

from __future__ import annotations

from sordine.evaluation.guarantees import proved
from sordine.evaluation.sections.base import AuditData, Section


class Guarantees(Section):
    """Sentences on what holds for every attacker."""

    title = "What is proved"
    key = "proved"
    finding = tuple[str, ...]
    needs_records = False

    def run(self, data: AuditData) -> tuple[str, ...]:
        """Return the sentences, from the method and the optimal attack."""
        return proved(data.modifier, data.found.get("optimal") or ())

    def sentences(self, found: tuple[str, ...]) -> list[str]:
        """Return the sentences."""
        return list(found)
