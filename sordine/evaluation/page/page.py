"""A Report as one self-contained HTML page: no script is needed to read it, nothing is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sordine.attacks.results import Finding, ReconstructionFinding
from sordine.attacks.scenarios import SETTINGS
from sordine.evaluation.page import charts
from sordine.evaluation.report import Headline, Report
from sordine.evaluation.sections import harder_sentences as harder
from sordine.metrics.nag import resolvable

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER / "templates"

ROLES: dict[str, tuple[str, str]] = {
    "suppress": (
        "To be unreadable",
        "What must not be read from the released records. The nearer to the guess, the better.",
    ),
    "preserve": ("To stay readable", "What the released records must still show. The nearer to before, the better."),
    "watch": (
        "Watched",
        "Neither suppressed nor preserved, and hidden from the method: what became of everything else.",
    ),
}
LEVELS = {
    "holds": "Holds",
    "leaks": "Leaks",
    "unclear": "Unclear",
    "broken": "Broken",
}
ALONE = "Holds for single records"
SEVERITIES = {
    "leak": "Leak: fails the audit",
    "broken": "Broken: makes figures unreliable",
    "note": "Note",
}
SHOWN_CLASSES = 12
SIDES = {"fitted": "fitted on", "unseen": "never seen"}


def to_html(report: Report) -> str:
    """The page of a report, under 2 MB; every name in it is escaped."""
    return environment().get_template("page.html").render(**context(report))


def style() -> Markup:
    """The style sheet of every page."""
    return Markup((FOLDER / "style.css").read_text(encoding="utf-8"))


@lru_cache
def environment() -> Environment:
    """Where templates are, and what they may call."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(percent=charts.percent, clipped=charts.clipped, label=label, value=value, told=told)
    made.filters.update(above=above)
    made.globals.update(span=charts.span)
    return made


def context(report: Report) -> dict[str, Any]:
    """What the template is given."""
    by_role = {role: [h for h in report.headlines if h.role == role] for role in ROLES}
    worst = max((h for h in by_role["suppress"] if h.nag is not None), key=lambda h: h.nag or 0.0, default=None)
    readable = [h for role in ("preserve", "watch") for h in by_role[role]]
    charted = [h for h in readable if h.nag is not None]
    # Where nothing is preserved by name, all that is watched may be what the records are for, but what a secret decides.
    watched = [h for h in by_role["watch"] if by_role["suppress"] and h.attribute not in report.decided]
    useful = by_role["preserve"] or watched
    told = [h for h in useful if h.nag is not None]
    lowest = min((h for h in told if not h.overtaken), key=lambda h: h.nag or 0.0, default=None)
    shaky = {h.attribute for h in report.headlines if is_shaky(report, h)}
    return {
        "r": report,
        "style": style(),
        "level": ALONE if report.verdict.adds_up and report.verdict.level == "holds" else LEVELS[report.verdict.level],
        "roles": [
            (role, *ROLES[role], [row(h, report.limit, h.attribute in shaky) for h in hs])
            for role, hs in by_role.items()
            if hs
        ],
        "worst": worst,
        "lowest": lowest,
        "not_excluded": max((h.not_excluded for h in by_role["suppress"]), default=None),
        "overtaken": not lowest and bool(told),
        "shaky": shaky,
        "unsuited": bool(report.made.get("no_attacker_for_pictures")),
        "records": max((h.records for h in report.headlines), default=0),
        "settings": {s: SETTINGS[s] for s in SETTINGS if any(f.setting == s for f in report.findings)},
        "attacks": attacks(report),
        "severities": SEVERITIES,
        "sides": SIDES,
        "harder": harder.view(report),
        "proved": report.proved,
        "exact": [(e, charts.best_attack(e)) for e in report.exact],
        "tradeoff": charts.tradeoff(worst, charted, shaky, tone(worst, worst.at_chance, report.limit))
        if worst and charted
        else None,
        "untold": [h.attribute for h in readable if h.nag is None],
        "retrained": {h.attribute: h for h in report.headlines},
        "heat": heat(report),
        "panels": pictures(report),
        "about": report.table.get("source") or report.table.get("name"),
        "modifier": _filled(report.modifier or {}, without=("policy", "schema")),
        "made": _filled(report.made, without=("command", "notes")),
        "command": report.made.get("command"),
        "table": _filled({**report.table, "classes": _some(report.table.get("classes"))}, without=("notes",)),
        "notes": [*listed(report.table.get("notes")), *listed(report.made.get("notes"))],
    }


def tone(found: Headline | Finding, at_chance: bool, limit: float) -> str:
    """The colour of what is read now: good, bad, or plain or unsure where neither can be said.

    Of a suppressed attribute the rule is that of `verdict.judge`: good only where what cannot be excluded is at most the limit.
    """
    if found.nag is None or (isinstance(found, Headline) and found.role != "suppress" and found.overtaken):
        return "unsure"
    if found.role == "watch":
        return "plain"
    if found.role != "suppress":
        return "bad" if at_chance else "good"
    if not_excluded(found) <= limit:
        return "good"
    lucky = isinstance(found, Headline) and found.may_be_luck
    return "unsure" if at_chance or lucky else "bad"


def not_excluded(found: Headline | Finding) -> float:
    """The leakage that a headline, or one attacker's finding, leaves possible: see `Headline.not_excluded`."""
    if isinstance(found, Headline):
        return found.not_excluded
    if found.high is None:
        return 1.0
    return max(found.high, resolvable(found.before, found.guess, found.records / max(found.seeds, 1)) or 0.0)


def is_shaky(report: Report, headline: Headline) -> bool:
    """Whether a share of what was read of the originals is little worth: more is read than that, or no attacker was made for what the
    records are."""
    return headline.overtaken or bool(report.made.get("no_attacker_for_pictures"))


def row(h: Headline, limit: float, shaky: bool = False) -> dict[str, Any]:
    """One attribute's line: the headline, its bars and its words. limit: up to which a verdict holds. shaky: see `is_shaky`."""
    shade = tone(h, h.at_chance, limit)
    words = ("better than guessing", "not told from guessing") if h.role == "suppress" else ("readable", "not readable")
    state = "cannot be told" if h.nag is None else words[h.at_chance]
    if h.role == "suppress" and shade == "good":
        state = "within the limit"
    elif h.role == "suppress" and h.may_be_luck:
        state = "perhaps by luck"
    if h.role != "suppress" and h.overtaken:
        state = "attackers too weak"
    return {"h": h, "tone": shade, "state": state, "shaky": shaky, "bars": charts.bars(h, shade, shaky)}


def attacks(report: Report) -> list[dict[str, Any]]:
    """Attribute by attribute, attackers by settings: the finding and its picture in every cell."""
    tables = []
    heads = sorted(report.headlines, key=lambda h: list(ROLES).index(h.role))
    for h in heads:
        mine = [f for f in report.findings if f.attribute == h.attribute]
        if not mine:
            continue
        # The reading that the headline is about, so that the page says one thing.
        told = (f for f in mine if (f.setting, f.attacker) == (h.setting, h.attacker_after))
        worst = next(told, None) if h.role == "suppress" else None
        cells = {
            (f.attacker, f.setting): {"f": f, "dots": charts.dots(f, _cell_tone(f, report.limit)), "worst": f is worst}
            for f in mine
        }
        tables.append(
            {
                "h": h,
                "settings": [s for s in SETTINGS if any(f.setting == s for f in mine)],
                "attackers": list(dict.fromkeys(f.attacker for f in mine)),
                "cells": cells,
                "open": h.role == "suppress",
            }
        )
    return tables


def _cell_tone(f: Finding, limit: float) -> str:
    return tone(f, f.after_interval[0] <= f.guess, limit)


def heat(report: Report) -> dict[str, Any] | None:
    """The matrix of 1 - H(U|S)/H(U): rows U (what is read), columns S (from what)."""
    e = report.entanglement
    if e is None or not e.pairs:
        return None
    order = [h.attribute for h in report.headlines]
    seen = dict.fromkeys([*(p.of for p in e.pairs), *(p.given for p in e.pairs)])
    names = [*(n for n in order if n in seen), *(n for n in seen if n not in order)]
    share = {(p.of, p.given): 1 - p.conditional / p.entropy if p.entropy > 0 else 0.0 for p in e.pairs}
    return {
        "rows": [n for n in names if any(p.of == n for p in e.pairs)],
        "columns": [n for n in names if any(p.given == n for p in e.pairs)],
        "share": {pair: min(max(s, 0.0), 1.0) for pair, s in share.items()},
        "pairs": {(p.of, p.given): p for p in e.pairs},
        "role": {h.attribute: h.role for h in report.headlines},
    }


def pictures(report: Report) -> list[charts.Panels]:
    """The records in two dimensions, coloured by the worst suppressed attribute and by a preserved or watched one."""
    if report.cloud is None or not report.cloud.after:
        return []
    known = set(report.cloud.codes)
    chosen = []
    for roles in (("suppress",), ("preserve", "watch")):
        heads = [h.attribute for role in roles for h in report.headlines if h.role == role and h.attribute in known]
        heads += [a for role in roles for a in report.policy.get(role, ()) if a in known]
        chosen += heads[:1]
    return [charts.panels(report.cloud, name) for name in chosen or list(known)[:1]]


def above(found: ReconstructionFinding) -> str:
    """How far an attacker's pictures lie above the mean picture, in a sentence."""
    name = found.attacker
    if found.psnr is None:
        return f"{name}: the originals are rebuilt to the last bit."
    gain, structure = found.psnr - found.baseline_psnr, found.ssim - found.baseline_ssim
    figures = f"{found.psnr:.1f} dB against {found.baseline_psnr:.1f} dB".replace("-", "−")
    likeness = f"{found.ssim:.2f} against {found.baseline_ssim:.2f}".replace("-", "−")
    if round(gain, 1) > 0:
        words = f"{name}: what it rebuilds lies {gain:.1f} dB above the mean picture ({figures})"
    elif round(gain, 1) < 0:
        words = f"{name}: what it rebuilds lies {-gain:.1f} dB below the mean picture ({figures}): by pixels, nothing is read"
    else:
        words = f"{name}: what it rebuilds is no nearer than the mean picture ({figures})"
    if round(structure, 2) > 0:
        return f"{words}, and its SSIM is higher: {likeness}."
    return f"{words}, and its SSIM is no higher: {likeness}."


def _filled(found: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    """What is worth a line: not the empty fields, and not those shown elsewhere."""
    return {k: v for k, v in found.items() if k not in without and v is not None and v not in ("", [], (), {})}


def _some(classes: Any) -> dict[str, str]:
    """The names of each attribute's classes; of many, the first ones and how many more."""
    if not isinstance(classes, dict):
        return {}
    more = {name: len(listed(found)) - SHOWN_CLASSES for name, found in classes.items()}
    return {
        name: ", ".join(listed(found)[:SHOWN_CLASSES]) + (f" and {more[name]} more" if more[name] > 0 else "")
        for name, found in classes.items()
    }


def told(sentence: str) -> Markup:
    """A sentence of the audit: names between backticks stand out, a number and its percent sign stay on one line."""
    text = re.sub(r"(\d) %", "\\1\u00a0%", str(escape(sentence)))
    return Markup(re.sub(r"`([^`]+)`", r"<b>\1</b>", text))


def label(name: Any) -> str:
    """A field's name as a label: words, with a capital."""
    text = re.sub(r"_+", " ", str(name)).strip()
    return text[:1].upper() + text[1:]


def value(found: Any) -> str:
    """A plain value in words."""
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
    """One sentence or several, as a list."""
    if not found:
        return []
    return (
        [found] if isinstance(found, str) else [str(f) for f in found] if isinstance(found, Iterable) else [str(found)]
    )
