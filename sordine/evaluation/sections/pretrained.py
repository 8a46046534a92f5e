"""Classifiers trained on originals and never retrained: reported by some papers, and no measure of privacy."""

from __future__ import annotations

from typing import Any

from sordine.attacks.pretrained import pretrained
from sordine.attacks.results import PretrainedFinding
from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section


class Pretrained(Section):
    """Accuracy of classifiers that were trained on originals only."""

    title = "Pretrained classifiers"
    runs_beside = True
    key = "pretrained"
    finding = tuple[PretrainedFinding, ...]
    aside = True

    def run(self, data: AuditData) -> tuple[PretrainedFinding, ...]:
        """Return a finding for each attribute with enough labels."""
        fitted = data.fitted
        if not data.options.pretrained or data.original.shape != data.released.shape:
            return ()
        if not fitted.any() or fitted.all():
            return ()
        memory = data.memory.setdefault((data.digest, "pretrained"), {})
        learned, unseen, released = data.before.take(fitted), data.before.take(~fitted), data.after[~fitted]
        given: dict[str, Any] = {"memory": memory, "resnet_size": data.budget.resnet_size, "run": data.run}
        with single_threaded():
            found = [pretrained(learned, unseen, released, name, role, **given) for name, role in data.roles.items()]
        return tuple(f for f in found if f is not None)

    def view(self, found: tuple[PretrainedFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings beside the best retrained attack on each attribute."""
        return {"found": found, "retrained": {h.attribute: h for h in report.headlines}} if found else None
