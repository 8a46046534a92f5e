"""Every attack on single records, attribute by attribute."""

from __future__ import annotations

from typing import Any

from sordine.attacks.results import Finding
from sordine.attacks.scenarios import SETTINGS
from sordine.evaluation.page import charts
from sordine.evaluation.page.tones import ROLES, tone
from sordine.evaluation.report import Headline, Report
from sordine.evaluation.sections.base import AssumedAttacker, Section
from sordine.metrics.percent import percent


class Attacks(Section):
    """The results of all attacks. The audit itself runs them, because its headlines need them."""

    title = "All attacks"
    menu = "Attacks"
    key = "findings"
    finding = tuple[Finding, ...]
    risk = "inference"
    how_to_test = "Name the attributes with `-s` and label some records."

    def risk_lines(self, found: tuple[Finding, ...], report: Report) -> list[str]:
        """Return how often the best attack infers each suppressed attribute."""
        return [_risk_line(h) for h in report.headlines if h.role == "suppress"]

    def attackers(self, found: tuple[Finding, ...], report: Report) -> list[AssumedAttacker]:
        """Return a row for each scenario, and one for labelled originals that the attacker alone has."""
        tested, own = {f.setting for f in found}, report.made.get("held_by_attackers", 0)
        rows = [
            AssumedAttacker(f"The true classes of {_labels(name, report)}", name in tested, f"Use `--scenario {name}`.")
            for name in SETTINGS
        ]
        beside = "Labelled original records of its own, and the modifier's output for them"
        return [*rows, AssumedAttacker(beside, bool(own), "Give the records with `--more`.")]

    def view(self, found: tuple[Finding, ...], report: Report) -> dict[str, Any] | None:
        """Return a table for each attribute: attacks by scenarios."""
        tables = attack_tables(report)
        if not tables:
            return None
        return {
            "tables": tables,
            "released_only": report.made.get("released_only", ()),
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


def _risk_line(h: Headline) -> str:
    known = "" if h.low is None or h.high is None else f" (interval {charts.span(min(h.low, 1.0), min(h.high, 1.0))})"
    share = f"a leakage of {percent(min(h.nag, 1.0))}{known}" if h.nag is not None else "the leakage is unknown"
    return (
        f"From one released record, the best attack infers `{h.attribute}` correctly for {percent(h.after)} of the "
        f"records (interval {charts.span(*h.after_interval)}; guessing: {percent(h.guess)}): {share}."
    )


def _labels(scenario: str, report: Report) -> str:
    """Whose classes an attacker has in a scenario, and how many."""
    fitted, unseen, folds = (report.made.get(name) for name in ("fitted", "unseen", "folds"))
    side = unseen if scenario == "B" else fitted
    count = side if scenario == "A" or not side or not folds else round(side * (folds - 1) / folds)
    some = f"{count:,} released records" if count else "released records"
    whose = "that the modifier was not fitted on" if scenario == "B" else "that the modifier was fitted on"
    goal = {"A": "new records", "B": "other records of that kind", "C": "other records of the fit"}[scenario]
    return f"{some} {whose}; it infers those of {goal}"
