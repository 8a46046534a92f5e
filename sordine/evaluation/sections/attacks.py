"""Every attack on single records, attribute by attribute."""

from __future__ import annotations

from typing import Any

from sordine.attacks.results import Finding
from sordine.attacks.scenarios import SETTINGS
from sordine.evaluation.page import charts
from sordine.evaluation.page.tones import ROLES, tone
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import Section


class Attacks(Section):
    """The results of all attacks. The audit itself runs them, because its headlines need them."""

    title = "All attacks"
    menu = "Attacks"
    key = "findings"
    finding = tuple[Finding, ...]

    def view(self, found: tuple[Finding, ...], report: Report) -> dict[str, Any] | None:
        """Return a table for each attribute: attacks by scenarios."""
        tables = attack_tables(report)
        if not tables:
            return None
        return {
            "tables": tables,
            "scenarios": {s: SETTINGS[s] for s in SETTINGS if any(f.setting == s for f in found)},
        }


def attack_tables(report: Report) -> list[dict[str, Any]]:
    """Return, for each attribute, the finding and its mark for each attack and scenario."""
    tables = []
    for h in sorted(report.headlines, key=lambda h: list(ROLES).index(h.role)):
        mine = [f for f in report.findings if f.attribute == h.attribute]
        if not mine:
            continue
        # The result that the headline describes is marked, so that the page agrees with itself.
        same = (f for f in mine if (f.setting, f.attacker) == (h.setting, h.attacker_after))
        worst = next(same, None) if h.role == "suppress" else None
        tables.append(
            {
                "h": h,
                "scenarios": [s for s in SETTINGS if any(f.setting == s for f in mine)],
                "attackers": list(dict.fromkeys(f.attacker for f in mine)),
                "cells": {
                    (f.attacker, f.setting): {
                        "f": f,
                        "dots": charts.dots(f, tone(f, f.after_interval[0] <= f.guess, report.limit)),
                        "worst": f is worst,
                    }
                    for f in mine
                },
                "open": h.role == "suppress",
            }
        )
    return tables
