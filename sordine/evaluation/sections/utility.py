"""Utility that needs no attribute: neighbours, similarity and explained variance."""

from __future__ import annotations

from typing import Any

import numpy as np

from sordine.attacks.runner import single_threaded
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.risk_sample import RiskSample
from sordine.metrics.percent import percent
from sordine.metrics.utility import FEWEST, NEIGHBOURS, UtilityFinding, utility

SIDE = 1000  # records on each side of the split
WORDS = {
    "neighbours": "of the {k} nearest neighbours are kept",
    "recall": "of the nearest neighbours are among the {k} nearest (recall@{k})",
    "cka": "linear CKA: similarity of the whole arrangement",
    "explained": "of the variance of the originals, predicted from released records",
}


class Utility(Section):
    """How much of the geometry of the records is left."""

    title = "Utility without naming an attribute"
    runs_beside = True
    menu = "Geometry"
    finding = tuple[UtilityFinding, ...]

    def run(self, data: AuditData) -> tuple[UtilityFinding, ...]:
        """Return the figures; none where there are too few records, or the budget leaves them out."""
        if not data.budget.utility:
            return ()
        sample = data.risks
        rows = _rows(sample)
        if len(rows) < FEWEST:
            return ()
        with single_threaded():
            return utility(sample.x[rows], sample.after[rows])

    def sentences(self, found: tuple[UtilityFinding, ...]) -> list[str]:
        """Return what is left, in a sentence."""
        if not found:
            return []
        kept = next(f for f in found if f.measure == "neighbours" and f.k == NEIGHBOURS)
        explained = next(f for f in found if f.measure == "explained")
        return [
            f"Of the {kept.k} nearest neighbours of a record, {percent(kept.value)} are still among the nearest in the "
            f"release (by chance: {percent(kept.chance)}). Released records predict {percent(explained.value)} of the "
            "variance of the originals."
        ]

    def view(self, found: tuple[UtilityFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the figures, each in words."""
        return {"figures": [(f, WORDS[f.measure].format(k=f.k)) for f in found]} if found else None


def _rows(sample: RiskSample) -> np.ndarray:
    return np.sort(np.concatenate([sample.rows(side, SIDE) for side in (sample.fitted, ~sample.fitted)]))
