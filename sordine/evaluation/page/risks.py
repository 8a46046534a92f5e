"""The top of the page, for the person who signs: risks by the names that a protection officer files them by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sordine.attacks.registry import ATTACKS
from sordine.evaluation.page.charts import clipped, span
from sordine.evaluation.report import Headline, Level, Report
from sordine.evaluation.sections.base import AssumedAttacker, Section, is_quick
from sordine.evaluation.sections.partial_knowledge import phrase
from sordine.metrics.percent import percent

MOST_LINES = 3  # of one section under one heading
FORECAST = "Forecast for "  # begins a note of a fit that forecasts a leakage

# Risk -> heading, the question, and what tests it where no section did.
RISKS: dict[str, tuple[str, str, str]] = {
    "singling out": (
        "Singling out",
        "Can someone isolate the records of one person?",
        "Use the budget `standard` or `paranoid`.",
    ),
    "linkability": (
        "Linkability",
        "Can someone connect two records of one person, here or with another data set?",
        "Use the budget `standard` or `paranoid`.",
    ),
    "inference": (
        "Inference",
        "Can someone infer a suppressed attribute from a released record?",
        "Name the attributes with `-s` and label some records.",
    ),
    "membership": (
        "Membership",
        "Can someone find out whether a record was used to fit the modifier?",
        "Use the budget `standard` or `paranoid`.",
    ),
}
# A condition of every protection, and no attacker that an audit could test.
SECRET_KEY = AssumedAttacker("The secret key", False, "No protection is promised against it. Keep the key secret.")
# What no audit of this package tests.
OUTSIDE = (
    AssumedAttacker(
        "Knowledge from elsewhere: names, the internet, acquaintances",
        False,
        "No program can test this. Give the release to a person who tries to identify someone.",
    ),
    SECRET_KEY,
)


@dataclass(frozen=True)
class Line:
    """A sentence under a heading, and the section that holds its figure."""

    text: str
    anchor: str
    title: str


@dataclass(frozen=True)
class Missing:
    """A section that was not tested, and what an audit needs to test it."""

    title: str
    how: str


@dataclass(frozen=True)
class RiskHeading:
    """A heading of the top of the page.

    Parameters
    ----------
    name, title, question
        Key, heading and question of the risk.
    lines
        What sections found.
    missing
        What was not tested.
    """

    name: str
    title: str
    question: str
    lines: tuple[Line, ...]
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Row:
    """A row of the table of attackers: the attacker, and the section that holds its result."""

    attacker: AssumedAttacker
    anchor: str
    title: str


def risk_headings(report: Report, sections: Sequence[Section]) -> list[RiskHeading]:
    """Return a heading for each risk: those of `RISKS`, and others that a section names.

    Parameters
    ----------
    report
        The report.
    sections
        The registered sections, in the order of the page.
    """
    named = dict.fromkeys((*RISKS, *(s.risk for s in sections if s.risk)))
    return [_heading(name, report, [s for s in sections if s.risk == name]) for name in named]


def _heading(name: str, report: Report, sections: Sequence[Section]) -> RiskHeading:
    title, question, how = RISKS.get(name, (name[:1].upper() + name[1:], "", ""))
    lines: list[Line] = []
    missing: list[Missing] = []
    for section in sections:
        found = section.of(report)
        texts = section.risk_lines(found, report) if found else []
        if texts:
            menu, more = section.menu or section.title, len(texts) - MOST_LINES
            # A single further figure takes no more room than the line that mentions it.
            shown = texts if more == 1 else texts[:MOST_LINES]
            lines += [Line(text, section.name, menu) for text in shown]
            if more > 1:
                lines.append(Line(f"{more} more figures are in the section.", section.name, menu))
        elif section.applies(report) and not section.tested(found, report):
            missing.append(Missing(section.menu or section.title, _how(section, report)))
    if not lines and not missing:
        missing.append(Missing("", how))
    return RiskHeading(name, title, question, tuple(lines), tuple(missing))


def _how(section: Section, report: Report) -> str:
    """Return what an audit needs to test a section, by what this audit left out."""
    plants = [name for name in ATTACKS if ATTACKS[name].finds_plants]
    families = report.made.get("families")
    if section.name == "power" and families and not is_quick(report) and not set(plants) & set(families):
        return f"Use an attack that finds planted leaks: {', '.join(f'`{name}`' for name in plants)}."
    return section.remedy(report)


def attacker_rows(report: Report, sections: Sequence[Section]) -> list[Row]:
    """Return the assumed attackers, each with whether this audit tested it; the untested ones last."""
    rows = [
        Row(attacker, attacker.anchor or section.name, section.menu or section.title)
        for section in sections
        if section.applies(report)
        for attacker in section.attackers(section.of(report), report)
    ]
    rows += [Row(attacker, "", "") for attacker in OUTSIDE]
    return sorted(rows, key=lambda row: not row.attacker.tested)


def intruder_sentences(rows: Sequence[Row]) -> list[str]:
    """Return what the motivated intruder test of the UK ICO asks, and what of it this audit did."""
    attackers = [row.attacker for row in rows if row.attacker is not SECRET_KEY]
    tested = sum(attacker.tested for attacker in attackers)
    return [
        "The test assumes a competent person without prior knowledge, who wants to identify someone and uses public "
        "sources, but no special skills.",
        f"This audit played {tested} of the {len(attackers)} attackers in the table below. Most of them have more than "
        "such a person, such as the true classes of part of the records.",
    ]


# ------------------------------------------------------------------------------------------------- in plain words


def plain_sentences(report: Report, sections: Sequence[Section] = ()) -> list[str]:
    """Return what remains of each suppressed attribute, without a term of the field.

    Parameters
    ----------
    report
        The report.
    sections
        The registered sections, for attributes without a headline.
    """
    suppressed = [h for h in report.headlines if h.role == "suppress"]
    sentences = [_remains(h) for h in suppressed]
    for section in sections:
        found = section.of(report)
        sentences += section.plain_lines(found, report) if found else []
    worst, single = report.verdict.not_excluded, max((h.not_excluded for h in suppressed), default=0.0)
    if suppressed and worst is not None and worst > single + 0.0005:
        sentences.append(
            "An attacker can have several records or know more, and attacks can miss small leaks. Over all attacks "
            f"tested, up to {percent(min(worst, 1.0))} cannot be excluded."
        )
    return sentences


ADVICE: dict[Level, str] = {
    "holds": "You may release these records. First check that the attackers you expect were tested.",
    "unclear": "Release these records only if you accept the leakage that cannot be excluded. An audit of more "
    "records, or of more persons where persons are few, can exclude more.",
    "leaks": "Do not release these records as they are.",
    "broken": "Repair what this page names, then audit again.",
}


def advice(report: Report) -> list[str]:
    """Return what the verdict means for a release. Empty where the policy suppresses nothing."""
    verdict = report.verdict
    if not report.policy.get("suppress"):
        return []
    if verdict.level == "holds" and (verdict.adds_up or verdict.has_other_risks):
        return ["Release these records only if what the title adds is acceptable."]
    if report.made.get("budget") == "quick" and verdict.level in ("holds", "unclear"):
        return ["This audit was a trial. Do not decide from it: audit with the budget `standard`."]
    sentences = [ADVICE[verdict.level]]
    known = [f for f in report.sections.get("partial_knowledge") or () if f.counts]
    named = next((f for f in known if any(f"{phrase(f)}{end}" in verdict.title for end in (":", " cannot"))), None)
    if named is None:
        return sentences
    sentences.append(
        "The attacker in the title knows true classes of many fitted records. Decide whether anyone can know so many."
    )
    without = [f for f in known if f.attribute == named.attribute and f.knows == "outputs" and f.nag is not None]
    if named.knows == "modifier" and without:
        worst = max(without, key=lambda f: f.nag or 0.0)
        sentences.append(
            f"Without the modifier, the largest leakage of `{named.attribute}` that such attackers find is "
            f"{clipped(worst.nag)} ({span(worst.low, worst.high)})."
        )
    return sentences


def release_notes(report: Report) -> list[str]:
    """Return what an owner must know before records leave: copies of real records, and minor flaws."""
    modifier = report.modifier or {}
    notes = modifier.get("notes") or ()
    flaws = [f"{f.message.rstrip('.')}." for f in report.flaws if f.severity not in ("leak", "broken")]
    return [*(n for n in notes if not n.startswith(FORECAST)), *flaws]


def _remains(h: Headline) -> str:
    name = f"`{h.attribute}`"
    if h.nag is None:
        return (
            f"Attacks infer almost nothing of {name} from the originals, so no share can be computed. "
            f"From the released records, the best attack is right for {percent(h.after)} of them, and a blind guess "
            f"for {percent(h.guess)}."
        )
    if h.overtaken:
        return f"An attacker can infer {name} from a released record at least as well as from an original."
    return (
        f"Of what an attacker could infer about {name} from an original record beyond guessing, attackers trained on "
        f"released records still infer {percent(min(h.nag, 1.0))} from one. With {h.tested}, up to "
        f"{percent(min(h.not_excluded, 1.0))} cannot be excluded."
    )
