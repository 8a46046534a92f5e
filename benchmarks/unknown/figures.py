"""What is stored of an audit: the figures that the pages need, in few letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sordine.evaluation.report import OTHER_RISKS, Report

HEADLINE = (
    *("attribute", "role", "setting", "attacker_before", "attacker_after", "before", "after", "guess", "nag", "low"),
    *("high", "low_corrected", "resolvable", "at_chance", "records", "units"),
)
KNOWN = (
    *("attribute", "known", "knows", "k", "unit", "is_person", "before", "after", "guess", "nag", "low", "high"),
    *("low_corrected", "at_chance", "records", "units"),
)
PERSON = (
    *("attribute", "unit", "k", "knows", "setting", "before", "after", "guess", "nag", "low", "high", "units"),
    "groups",
)
RISK = ("attack", "knows", "on", "measure", "success", "success_interval", "control", "risk", "risk_interval", "least")
POWER = ("attribute", "kind", "smallest", "sizes", "shares", "planted", "records")
UTILITY = ("measure", "k", "value", "low", "high", "chance", "records")
DIGITS = 5


def summary(report: Report, whole: bool = True) -> dict[str, Any]:
    """Return the figures of a report.

    Parameters
    ----------
    report
        The report of a standard audit.
    whole
        Whether every section ran; else the attacks on single records and on known classes alone are stored.
    """
    sections = report.sections
    found: dict[str, Any] = {
        "classes": {name: len(codes) for name, codes in report.table["classes"].items()},
        "attacks": attacks(report),
        "known": packed(sections.get("partial_knowledge") or (), KNOWN),
    }
    if whole:
        v = report.verdict
        membership, single, linking = (sections.get(n) for n in ("membership", "singling_out", "linking"))
        found |= {
            "verdict": {
                "level": v.level,
                "title": v.title.partition(OTHER_RISKS)[0],
                "not_excluded": v.not_excluded,
                "grade": v.grade,
            },
            "headlines": packed(report.headlines, HEADLINE),
            "person": packed(report.person, PERSON),
            "power": packed(sections.get("power") or (), POWER),
            "utility": packed(sections.get("utility") or (), UTILITY),
            "membership": packed(getattr(membership, "rows", ()), RISK),
            "singling out": packed(getattr(single, "rows", ()), RISK),
            "linking": packed(getattr(linking, "originals", ()), RISK),
            "flaws": [[f.severity, f.code] for f in report.flaws],
        }
    found["made"] = {k: report.made[k] for k in ("families", "fitted", "unseen", "notes")}
    return dict(rounded(found))


def attacks(report: Report) -> dict[str, dict[str, dict[str, Any]]]:
    """Return attribute -> scenario -> baseline, number of records, and the figures of each attack.

    `by` has of each attack: accuracy on originals and on released records, and the three correlations of
    `Finding.correlation`. `records` counts independent records, the fewest of any attack.
    """
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for f in report.findings:
        worth = f.records if f.independent is None else min(f.records, *f.independent)
        cell = cells.setdefault(f.attribute, {}).setdefault(
            f.setting, {"guess": f.guess, "records": f.records, "by": {}}
        )
        cell["records"] = min(cell["records"], max(round(worth), 1))
        cell["by"][f.attacker] = [f.before, f.after, *f.correlation]
    return cells


def packed(found: Iterable[Any], columns: Sequence[str]) -> dict[str, Any]:
    """Return some findings as a table: names of columns, and rows."""
    return {"columns": list(columns), "rows": [[getattr(f, c) for c in columns] for f in found]}


def unpacked(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a packed table, by names of columns."""
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def rounded(value: Any) -> Any:
    """Return plain data with every fraction rounded."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, Mapping):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list | tuple) else value
