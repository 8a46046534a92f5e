"""A report as one self-contained HTML page. It needs no script to be complete, and fetches nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sordine.errors import visible
from sordine.evaluation.grade import grade, grade_reason, grade_words
from sordine.evaluation.page import charts
from sordine.evaluation.page.risks import (
    FORECAST,
    advice,
    attacker_rows,
    intruder_sentences,
    plain_sentences,
    release_notes,
    risk_headings,
)
from sordine.evaluation.page.tones import ROLES, shaky_attributes, tone, worst_suppressed
from sordine.evaluation.report import Headline, Report
from sordine.evaluation.sections.base import Section
from sordine.evaluation.sections.power import core_is_covered, in_short
from sordine.evaluation.sections.registry import sections

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"
LEVELS = {
    "holds": "Holds",
    "leaks": "Leaks",
    "unclear": "Unclear",
    "broken": "Damaged",
}
ALONE = "Holds for single records"
SHOWN_CLASSES = 12
# Fields of `made` that the page shows as provenance.
PROVENANCE = ("provenance", "original_sha256", "released_sha256", "versions", "job")


def to_html(report: Report) -> str:
    """Return the page of a report, under 2 MB. Every name in it is escaped."""
    return visible(environment().get_template("page.html").render(**context(report)))


def style() -> Markup:
    """Return the style sheet of every page."""
    return Markup((FOLDER / "style.css").read_text(encoding="utf-8"))


@lru_cache
def environment() -> Environment:
    """Return the environment of the templates: their folder and their filters."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=charts.percent, clipped=charts.clipped, label=label, value=value, sentence=sentence)
    made.filters.update(command=command)
    made.globals.update(span=charts.span)
    return made


def context(report: Report) -> dict[str, Any]:
    """Return the variables of the page's template."""
    by_role = {role: [h for h in report.headlines if h.role == role] for role in ROLES}
    shaky = shaky_attributes(report)
    shown = [part for section in sections() if (part := _part(section, report)) is not None]
    single = max((h.not_excluded for h in by_role["suppress"]), default=None)
    not_excluded = single if report.verdict.not_excluded is None else report.verdict.not_excluded
    return {
        "r": report,
        "style": style(),
        "level": ALONE if report.verdict.adds_up and report.verdict.level == "holds" else LEVELS[report.verdict.level],
        "roles": [
            (role, *ROLES[role], [row(h, report.limit, h.attribute in shaky) for h in hs])
            for role, hs in by_role.items()
            if hs
        ],
        **_officer(report),
        "worst": worst_suppressed(report),
        "not_excluded": not_excluded,
        "beyond_single": not_excluded is not None and single is not None and not_excluded > single,
        "certified": report.verdict.level == "holds" and not_excluded is not None and not_excluded <= report.limit,
        **_utility(report, by_role),
        "shaky": shaky,
        "planted": _planted(report),
        "core_is_covered": core_is_covered(report),
        "unsuited": _unsuited(report),
        "records": max((h.records for h in report.headlines), default=0),
        "sections": shown,
        "media": bool(report.gallery),
        "images": bool(report.sheets),
        "about": report.table.get("source") or report.table.get("name"),
        "fitted": report.made.get("fitted"),
        "modifier": _modifier_facts(report),
        "made": _filled(report.made, without=("command", "notes", "released_only", *PROVENANCE)),
        "provenance": provenance_rows(report),
        "command": report.made.get("command"),
        "job": report.made.get("job"),
        "table": _filled({**report.table, "classes": _some(report.table.get("classes"))}, without=("notes",)),
        "notes": [*listed(report.table.get("notes")), *listed(report.made.get("notes")), *_unknown_sections(report)],
    }


def _planted(report: Report) -> dict[str, str]:
    """Which planted leaks of each suppressed attribute were found, in one sentence."""
    found = report.sections.get("power") or ()
    sentences = {h.attribute: in_short(found, h.attribute) for h in report.headlines}
    return {attribute: sentence for attribute, sentence in sentences.items() if sentence is not None}


def _officer(report: Report) -> dict[str, Any]:
    """The part for the person who signs: the grade, what remains, the risks and the attackers."""
    registered, found = sections(), grade(report)
    rows = attacker_rows(report, registered)
    return {
        "grade": found,
        "grade_words": grade_words(found, report.policy.get("suppress", ()), grade_reason(report)),
        "plain": plain_sentences(report, registered),
        "advice": advice(report),
        "released": release_notes(report),
        "risks": risk_headings(report, registered),
        "attackers": rows,
        "intruder": intruder_sentences(rows),
    }


def provenance_rows(report: Report) -> list[tuple[str, str, bool]]:
    """Return what identifies an audit's inputs: the thing, its value, and whether that is a digest."""
    made = report.made
    found = made.get("provenance") or {}
    weights = (report.modifier or {}).get("weights")
    files = found.get("modifier") or ({"modifier.safetensors": weights} if weights else {})
    rows = [
        ("Date and time (UTC)", found.get("date", "").replace("T", " ").rstrip("Z"), False),
        ("Originals: content", found.get("original"), True),
        ("Originals: file", made.get("original_sha256"), True),
        ("Released records: content", found.get("released"), True),
        ("Released records: file", made.get("released_sha256"), True),
        *((f"Modifier: {name}", digest, True) for name, digest in files.items()),
        ("Versions", ", ".join(f"{k} {v}" for k, v in (made.get("versions") or {}).items()), False),
        ("System", found.get("system"), False),
    ]
    return [(name, str(value), is_digest) for name, value, is_digest in rows if value]


def _part(section: Section, report: Report) -> dict[str, Any] | None:
    """A section of the page: its anchor, titles and rendered body; None where it has nothing to show."""
    found = section.of(report)
    view = section.view(found, report)
    if view is None:
        return None
    if section.template is None:
        template = environment().get_template(f"{section.name}.html")
    else:
        template = environment().from_string(section.template)
    values = {"r": report, "found": found, "sentences": section.sentences(found), "unsuited": _unsuited(report), **view}
    title = section.heading(found)
    return {
        "name": section.name,
        "title": title,
        "menu": section.menu or section.title,
        "aside": section.aside,
        "body": Markup(template.render(**values)),
    }


def _unsuited(report: Report) -> bool:
    return bool(report.made.get("no_attacker_for_pictures"))


def _unknown_sections(report: Report) -> list[str]:
    known = {section.name for section in sections()}
    return [
        f"The report holds a section `{name}`, which this installation cannot show. Its figures are in the JSON file."
        for name in report.sections
        if name not in known
    ]


def _utility(report: Report, by_role: dict[str, list[Headline]]) -> dict[str, Any]:
    """The lowest utility, and whether every utility is larger than 100 %, which means weak attacks."""
    # Without preserved attributes, watched ones may be what the records are for, unless a suppressed one decides them.
    watched = [h for h in by_role["watch"] if by_role["suppress"] and h.attribute not in report.decided]
    known = [h for h in by_role["preserve"] or watched if h.nag is not None]
    lowest = min((h for h in known if not h.overtaken), key=lambda h: h.nag or 0.0, default=None)
    return {"lowest": lowest, "overtaken": lowest is None and bool(known)}


def row(h: Headline, limit: float, shaky: bool = False) -> dict[str, Any]:
    """Return the line of one attribute: the headline, its bars and its state in words.

    Parameters
    ----------
    h
        The headline.
    limit
        Leakage up to which the verdict holds.
    shaky
        See `tones.is_shaky`.
    """
    shade = tone(h, h.at_chance, limit)
    return {"h": h, "tone": shade, "state": _state(h, shade), "shaky": shaky, "bars": charts.bars(h, shade, shaky)}


def _state(h: Headline, shade: str) -> str:
    if h.role != "suppress":
        if h.nag is not None and h.overtaken:
            return "attacks too weak"
        return "unknown" if h.nag is None else "not inferable" if h.at_chance else "inferable"
    if shade == "good":
        return "within the limit"
    if h.may_be_luck:
        return "possibly chance"
    return "unknown" if h.nag is None else "no different from the baseline" if h.at_chance else "above the baseline"


def _filled(found: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    """The entries that are not empty and not shown elsewhere."""
    return {k: v for k, v in found.items() if k not in without and v is not None and v not in ("", [], (), {})}


def _modifier_facts(report: Report) -> dict[str, Any]:
    """What made the release. Its notes are above; a forecast is shown only where the audit did not measure the same."""
    found = _filled(report.modifier or {}, without=("policy", "schema", "notes"))
    if isinstance(found.get("fit"), dict):
        found["fit"] = {k: v for k, v in found["fit"].items() if k not in ("exact", "forecast")}
    notes = listed((report.modifier or {}).get("notes"))
    if not report.sections.get("partial_knowledge"):
        found["forecast"] = [n for n in notes if n.startswith(FORECAST)]
    return _filled(found, without=())


def _some(classes: Any) -> dict[str, str]:
    """The names of each attribute's classes: the first ones, and how many more."""
    if not isinstance(classes, dict):
        return {}
    more = {name: len(listed(found)) - SHOWN_CLASSES for name, found in classes.items()}
    return {
        name: ", ".join(listed(found)[:SHOWN_CLASSES]) + (f" and {more[name]} more" if more[name] > 0 else "")
        for name, found in classes.items()
    }


def sentence(text: str) -> Markup:
    """Return a sentence as markup: names between backticks are bold, a number keeps its percent sign on the line."""
    escaped = re.sub(r"(\d) %", "\\1\u00a0%", str(escape(text)))
    return Markup(re.sub(r"`([^`]+)`", r"<b>\1</b>", escaped))


def command(text: str) -> Markup:
    """Return a sentence as markup in which words between backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def label(name: Any) -> str:
    """Return a field's name as a label: words, with a capital."""
    text = re.sub(r"_+", " ", str(name)).strip()
    return text[:1].upper() + text[1:]


def value(found: Any) -> str:
    """Return a plain value in words."""
    if found is None:
        return "none"
    if isinstance(found, bool):
        return "yes" if found else "no"
    if isinstance(found, float):
        return f"{found:.4g}"
    if isinstance(found, int):
        return f"{found:,}" if abs(found) >= 10_000 else str(found)
    return str(found)


def listed(found: Any) -> list[str]:
    """Return one sentence or several, as a list."""
    if not found:
        return []
    if isinstance(found, str) or not isinstance(found, Iterable):
        return [str(found)]
    return [str(f) for f in found]
