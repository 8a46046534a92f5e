"""What the page shows as good, bad or uncertain."""

from __future__ import annotations

from sordine.attacks.results import Finding
from sordine.evaluation.report import Headline, Report
from sordine.metrics.nag import resolvable

ROLES: dict[str, tuple[str, str]] = {
    "suppress": (
        "Suppressed attributes",
        "These must not be inferable from the released records. Accuracy near the baseline is good.",
    ),
    "preserve": (
        "Preserved attributes",
        "These must stay inferable from the released records. Accuracy near that on the originals is good.",
    ),
    "watch": (
        "Watched attributes",
        "These are neither suppressed nor preserved, and the method does not use them. The audit measures them too.",
    ),
}


def tone(found: Headline | Finding, at_chance: bool, limit: float) -> str:
    """Return the colour of the accuracy on released records: good, bad, plain (watched) or unsure.

    A suppressed attribute follows the rule of `verdict.judge`: it is good where the leakage that cannot be excluded is
    at most the limit.
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
    """Return the leakage that a headline, or the finding of one attack, leaves possible.

    See `Headline.not_excluded`.
    """
    if isinstance(found, Headline):
        return found.not_excluded
    if found.high is None:
        return 1.0
    records = found.records / max(found.seeds, 1)
    return max(found.high, resolvable(found.before, found.guess, records, independent=found.independent) or 0.0)


def is_shaky(report: Report, headline: Headline) -> bool:
    """Return whether a share of the accuracy on originals means little.

    It means little where released records are predicted better than originals, and where no attack on pictures
    took part.
    """
    return headline.overtaken or bool(report.made.get("no_attacker_for_pictures"))


def shaky_attributes(report: Report) -> set[str]:
    """Return the attributes for which `is_shaky` is true."""
    return {h.attribute for h in report.headlines if is_shaky(report, h)}


def worst_suppressed(report: Report) -> Headline | None:
    """Return the suppressed attribute with the largest leakage; None where no leakage is known."""
    known = [h for h in report.headlines if h.role == "suppress" and h.nag is not None]
    return max(known, key=lambda h: h.nag or 0.0, default=None)
