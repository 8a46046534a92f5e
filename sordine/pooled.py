"""What several records of one person tell beyond one, in words: sentences for the verdict, and when its title must say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.special import ndtri

from sordine.findings import Headline, Verdict
from sordine.harder_findings import PersonFinding
from sordine.verdict import LIMIT, percent


def sentences(found: Sequence[PersonFinding]) -> list[str]:
    """One for each suppressed attribute of which some attacker reads significantly more from several records of a unit
    than from one: the interval of its NAG lies above that of the same attacker at one record, and above 0."""
    said = []
    for attribute in dict.fromkeys(f.attribute for f in found):
        mine = [f for f in found if f.attribute == attribute]
        one = {(f.knows, f.setting): f for f in mine if f.k == 1}
        more = [f for f in mine if f.k != 1 and (f.knows, f.setting) in one and _above(f, one[f.knows, f.setting])]
        if not more:
            continue
        worst = max(more, key=lambda f: f.nag or 0.0)
        single = one[worst.knows, worst.setting]
        who = "who knows the modifier" if worst.knows == "channel" else "who sees released records only"
        many = "all" if worst.k == 0 else f"{worst.k:,}"
        said.append(
            f"Several records of one person tell more than one: an attacker {who} reads `{attribute}` from {many} released records of "
            f"one `{worst.unit}` in {100 * worst.after:.1f} % of groups, from one record in {100 * single.after:.1f} %; guessing gets "
            f"{100 * worst.guess:.1f} %. Nothing that is released should tell which records belong together."
        )
    return said


def _above(more: PersonFinding, one: PersonFinding) -> bool:
    if more.nag is None or more.low is None or one.nag is None or one.high is None:
        return False
    return more.low > max(one.high, 0.0)


def qualified(
    verdict: Verdict, found: Sequence[PersonFinding], headlines: Sequence[Headline], max_leakage: float | None
) -> Verdict:
    """The verdict, its title naming the worst that pooled records tell where it holds or is unclear and they clearly tell more than one.

    The level stays: it is about single records, and a release says of none whose it is. But who reads that it holds must not miss what
    is read by whoever knows which records belong together.
    """
    worst = clearly(found, headlines, LIMIT if max_leakage is None else max_leakage)
    if worst is None or verdict.level not in ("holds", "unclear"):
        return verdict
    return replace(verdict, title=f"{verdict.title}; {_clause(worst, verdict.level)}", adds_up=True)


def clearly(found: Sequence[PersonFinding], headlines: Sequence[Headline], limit: float) -> PersonFinding | None:
    """The most that is read of several records of one unit, of what is clearly more than one record tells; None where nothing is.

    Clearly: the lower end of its interval, widened for having picked it among so many figures (Bonferroni), lies above the limit
    and above the upper end of what the same attacker reads of one record (where that was not tried: of the headline's).
    """
    heads = {h.attribute: h.high for h in headlines}
    one = {(f.attribute, f.knows, f.setting): f.high for f in found if f.k == 1}
    many = [f for f in found if f.k != 1 and f.nag is not None and f.low is not None]
    if not many:
        return None
    wider = float(ndtri(1 - 0.025 / len(many)) / ndtri(0.975))
    sure = []
    for f in many:
        assert f.nag is not None
        assert f.low is not None
        single = one.get((f.attribute, f.knows, f.setting), heads.get(f.attribute))
        if f.nag - wider * (f.nag - f.low) > max(limit, single or 0.0):
            sure.append(f)
    # Of equal figures the one of fewest records, which asks least of the attacker.
    return max(sure, key=lambda f: (round(f.nag or 0.0, 3), -(f.k or float("inf"))), default=None)


def _clause(f: PersonFinding, level: str) -> str:
    whose = "person" if f.unit == f.attribute else "group" if f.unit == "group" else f"`{f.unit}`"
    which = f"all records of one {whose}" if f.k == 0 else f"{f.k:,} records to be of one {whose}"
    knows = "has the modifier and knows" if f.knows == "channel" else "knows"
    return (
        f"{'but' if level == 'holds' else 'and'} whoever {knows} {which} reads `{f.attribute}` in {percent(f.after)} of cases "
        f"(guessing: {percent(f.guess)})"
    )
