"""How far one attribute determines another, and so what removing the one must remove of the other."""

from __future__ import annotations

from typing import Any

from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.verdict import Contribution
from sordine.metrics.information import Entanglement, entanglement


class Entangled(Section):
    """Conditional entropies between attributes."""

    title = "How attributes depend on each other"
    menu = "Dependence"
    key = "entanglement"
    finding = Entanglement | None
    needs_records = False

    def run(self, data: AuditData) -> Entanglement:
        """Return the entropies of the original table's attributes."""
        y, roles = data.original.y, data.policy.roles()
        # An attribute without labels gives no information about others.
        names = {role: [n for n in some if (y[n] >= 0).any()] for role, some in roles}
        known = {h.attribute: (h.before, h.guess) for h in data.headlines if h.role == "suppress"}
        unseen = int((~data.fitted).sum())
        return entanglement(
            y, names["suppress"], names["preserve"], names["watch"], originals=known, test_records=unseen
        )

    def sentences(self, found: Entanglement) -> list[str]:
        """Return the sentences of the finding."""
        return list(found.sentences)

    def contribution(self, found: Entanglement, data: AuditData) -> Contribution | None:
        """Return the attributes that a suppressed attribute decides: inferring them is leakage, not utility."""
        decides = tuple((p.of, p.given) for p in found.pairs if p.decides and p.given in data.policy.suppress)
        return Contribution(decides=decides) if decides else None

    def view(self, found: Entanglement | None, report: Report) -> dict[str, Any] | None:
        """Return the matrix 1 - H(U|S) / H(U): rows U are inferred, columns S are known."""
        if found is None or not (found.pairs or found.sentences):
            return None
        return {"found": found, "heat": heat(found, report) if found.pairs else None}


def heat(found: Entanglement, report: Report) -> dict[str, Any]:
    """Return the rows, columns and shares of the matrix."""
    order = [h.attribute for h in report.headlines]
    known = dict.fromkeys([*(p.of for p in found.pairs), *(p.given for p in found.pairs)])
    names = [*(n for n in order if n in known), *(n for n in known if n not in order)]
    share = {(p.of, p.given): 1 - p.conditional / p.entropy if p.entropy > 0 else 0.0 for p in found.pairs}
    return {
        "rows": [n for n in names if any(p.of == n for p in found.pairs)],
        "columns": [n for n in names if any(p.given == n for p in found.pairs)],
        "share": {pair: min(max(s, 0.0), 1.0) for pair, s in share.items()},
        "pairs": {(p.of, p.given): p for p in found.pairs},
    }
