"""How far released records lie from their originals."""

from __future__ import annotations

from typing import Any

from sordine.data.statistics import moments
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.metrics.distortion import distortion

MEASURES = {
    "l2": "Mean Euclidean distance of a released record from its original",
    "mean_absolute": "Mean absolute change of a number",
    "relative_rms": "Root mean square change, in standard deviations of each number",
}


class Distortion(Section):
    """Mean distances between originals and released records."""

    title = "Distortion"
    key = "distortion"
    finding = dict[str, float]

    def run(self, data: AuditData) -> dict[str, float]:
        """Return the distances; empty where released records have another shape."""
        x = data.before.x
        return distortion(x, data.after, moments(x)[1])

    def view(self, found: dict[str, float], report: Report) -> dict[str, Any] | None:
        """Return the distances, each with its name in words."""
        return {"distances": {MEASURES.get(k, k): v for k, v in found.items()}} if found else None
