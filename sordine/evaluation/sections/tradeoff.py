"""Privacy against utility: preserved and watched attributes over the worst leakage."""

from __future__ import annotations

from typing import Any

from sordine.evaluation.page import charts
from sordine.evaluation.page.tones import shaky_attributes, tone, worst_suppressed
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import Section


class Tradeoff(Section):
    """A chart of the headlines; there is no finding of its own."""

    title = "Privacy against utility"
    menu = "Privacy and utility"

    def of(self, report: Report) -> Any:
        """Return the headlines."""
        return report.headlines

    def view(self, found: Any, report: Report) -> dict[str, Any] | None:
        """Return the chart; None where nothing is suppressed or nothing else was measured."""
        worst = worst_suppressed(report)
        useful = [h for role in ("preserve", "watch") for h in report.headlines if h.role == role]
        shown = [h for h in useful if h.nag is not None]
        if worst is None or not shown:
            return None
        shaky = shaky_attributes(report)
        return {
            "worst": worst,
            "shaky": shaky,
            "chart": charts.tradeoff(worst, shown, shaky, tone(worst, worst.at_chance, report.limit)),
            "unknown": [h.attribute for h in useful if h.nag is None],
        }
