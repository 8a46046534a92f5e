"""A section of an impact assessment in Markdown, with the figures of a report. The rest is for its owner to fill in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from sordine.errors import visible
from sordine.evaluation.grade import PROTECTION, grade
from sordine.evaluation.page.charts import clipped, percent, span
from sordine.evaluation.page.risks import RiskHeading, attacker_rows, risk_headings
from sordine.evaluation.report import Report
from sordine.evaluation.sections.registry import sections

TEMPLATE = Path(__file__).parent / "templates" / "assessment.md"
SHARES = ("verdict.not_excluded", "max_leakage")  # places of shares, 0 to 1
UNKNOWN = "not known"


def assessment(report: Report, raw: str) -> str:
    """Return the template with the figures of a report in their places.

    Parameters
    ----------
    report
        The report.
    raw
        Its JSON text (`to_json`). A place such as <verdict.level> is the path of a field in it.
    """
    fields = json.loads(raw)
    fields["max_leakage"] = report.limit
    fields["verdict"]["grade"] = PROTECTION[grade(report)].lower()
    parts = {f"risk: {risk.name}": _risk(risk) for risk in risk_headings(report, sections())}
    parts |= {"headlines": _headlines(report), "attackers": _attackers(report)}

    def fill(place: re.Match[str]) -> str:
        name = place[1]
        return parts[name] if name in parts else _field(fields, name)

    return visible(re.sub(r"<([a-z_]+(?:\.[a-z_]+|: [a-z ]+)*)>", fill, TEMPLATE.read_text(encoding="utf-8")))


def _field(fields: dict[str, Any], name: str) -> str:
    found: Any = fields
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if name in SHARES and found is not None:
        return percent(found)
    return _line(_words(found))


def _words(found: Any) -> str:
    if found is None or found in ("", [], {}):
        return UNKNOWN if found in (None, "") else "none"
    if isinstance(found, dict):
        return ", ".join(f"{name} {value}" for name, value in found.items())
    if isinstance(found, list):
        return ", ".join(map(str, found))
    return f"{found:,}" if isinstance(found, int) else str(found)


def _line(text: str) -> str:
    """Text as it may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_line, line)) + " |" for line in lines)


def _headlines(report: Report) -> str:
    head = ["attribute", "role", "originals", "released", "guessing", "leakage or utility", "interval"]
    rows = [
        [
            h.attribute,
            h.role,
            percent(h.before),
            percent(h.after),
            percent(h.guess),
            clipped(h.nag),
            span(h.low, h.high),
        ]
        for h in report.headlines
    ]
    return _table(head, rows)


def _risk(risk: RiskHeading) -> str:
    lines = [f"- {_line(line.text)} (report, section: {line.title})" for line in risk.lines]
    lines += [f"- **Not tested**{f': {m.title.lower()}' if m.title else ''}. {m.how}".rstrip() for m in risk.missing]
    return "\n".join(lines)


def _attackers(report: Report) -> str:
    rows = [
        [row.attacker.has, f"yes: {row.title}" if row.attacker.tested else f"not tested. {row.attacker.how}"]
        for row in attacker_rows(report, sections())
    ]
    return _table(["the attacker has, beside the released records and the method", "tested"], rows)
