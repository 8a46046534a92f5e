"""The grade: the verdict of an audit in one word. It is never above what the verdict says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sordine.evaluation.report import Report, Verdict
from sordine.evaluation.sections.power import core_is_covered
from sordine.metrics.percent import percent

Grade = Literal["strong", "moderate", "weak", "none", "not established"]

# The largest leakage that cannot be excluded, up to which a release has the grade.
STRONG, MODERATE, WEAK = 0.05, 0.2, 0.5
PROTECTION: dict[str, str] = {
    "strong": "Strong protection",
    "moderate": "Moderate protection",
    "weak": "Weak protection",
    "none": "No protection",
    "not established": "Protection is not established",
}


def grade(report: Report) -> Grade:
    """Return the grade of a report: see `grade_of`. A report of an earlier version is graded by its headlines."""
    verdict = report.verdict
    if verdict.not_excluded is None:
        found = {h.attribute: h.not_excluded for h in report.headlines if h.role == "suppress"}
        if found and set(report.policy.get("suppress", ())) <= set(found):
            verdict = replace(verdict, not_excluded=max(found.values()))
    trial = report.made.get("budget") == "quick" or bool(report.made.get("no_attacker_for_pictures"))
    trial = trial or (verdict.level == "unclear" and not core_is_covered(report))
    return grade_of(verdict, flawed=any(f.severity == "leak" for f in report.flaws), trial=trial)


def grade_of(verdict: Verdict, *, flawed: bool = False, trial: bool = False) -> Grade:
    """Return the grade of a verdict.

    Parameters
    ----------
    verdict
        Its level, the largest leakage that cannot be excluded, and whether its title names other risks.
    flawed
        Whether the released table itself gives a suppressed attribute away, for example in a column.
    trial
        Whether the attacks were too few or unsuited, so that their failure shows little.

    Returns
    -------
    str
        "strong", "moderate" or "weak" where at most 5, 20 or 50 % leakage cannot be excluded. A verdict that is
        unclear, or whose title names other risks such as singling out or attacks that were left out, is "moderate" at
        best. One that leaks, or that holds for single records only, is "weak" at best. "none" where more than half
        leaks, or where the table itself gives an attribute away. "not established" where the figures are unreliable,
        unknown or too imprecise.
    """
    figure = verdict.not_excluded
    if verdict.level == "broken":
        return "not established"
    if flawed:
        return "none"
    if verdict.level == "leaks":
        return "none" if figure is None or figure > WEAK else "weak"
    if trial or figure is None or figure > WEAK:
        return "not established"
    if figure > MODERATE or verdict.adds_up:
        return "weak"
    limited = verdict.level == "unclear" or verdict.has_other_risks or verdict.left_something_out
    return "moderate" if figure > STRONG or limited else "strong"


def grade_reason(report: Report) -> str:
    """Return why a report has its grade, as a clause."""
    verdict, made = report.verdict, report.made
    if verdict.level == "broken":
        return "its figures are unreliable"
    if any(f.severity == "leak" for f in report.flaws):
        return "the released table itself gives an attribute away"
    if verdict.level != "leaks":
        if made.get("budget") == "quick":
            return "it was a trial"
        if made.get("no_attacker_for_pictures"):
            return "no attack made for pictures took part"
        if verdict.level == "unclear" and not core_is_covered(report):
            planted = report.sections.get("power")
            return "the attacks missed planted leaks of a required kind" if planted else "no leaks were planted"
    if verdict.not_excluded is None:
        return "the leakage is unknown"
    return f"a leakage of up to {percent(min(verdict.not_excluded, 1.0))} cannot be excluded"


def grade_words(found: Grade, suppress: Sequence[str], reason: str) -> tuple[str, str]:
    """Return the grade in words, in two parts that make one sentence: the protection, and of what against what.

    Parameters
    ----------
    found
        The grade.
    suppress
        The suppressed attributes.
    reason
        Why: see `grade_reason`.
    """
    names = [f"`{name}`" for name in suppress]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    of = f"of {listed} " if len(names) == 1 else f"(the worst of {listed}) " if names else ""
    if found == "not established":
        return PROTECTION[found], f"for {listed} by this audit: {reason}." if listed else f"by this audit: {reason}."
    return PROTECTION[found], f"{of}against the strongest attack tested: {reason}. Other attacks were not tested."
