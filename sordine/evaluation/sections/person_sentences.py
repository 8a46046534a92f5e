"""What several records of one person tell beyond one, in words: sentences for the verdict, and when its title must say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.special import ndtri

from sordine.attacks.results import PersonFinding
from sordine.evaluation.headlines import percent
from sordine.evaluation.report import LIMIT, Headline, Verdict
from sordine.metrics.nag import wilson


def sentences(found: Sequence[PersonFinding], headlines: Sequence[Headline], people: bool) -> list[str]:
    """One for each suppressed attribute of which some attacker clearly reads more from several records of a unit than from one.

    Clearly: as `clearly` has it, with no limit. people: whether units are people (or the table's groups), see `Harder.people`.
    """
    said = []
    for attribute in dict.fromkeys(f.attribute for f in found):
        worst = _worst([f for f in _more(found, headlines, 0.0) if f.attribute == attribute])
        if worst is None:
            continue
        own = (worst.attribute, worst.knows, worst.setting)
        single = [f for f in found if f.k == 1 and (f.attribute, f.knows, f.setting) == own]
        who = "who knows the modifier" if worst.knows == "channel" else "who sees released records only"
        many = "all" if worst.k == 0 else f"{worst.k:,}"
        said.append(
            f"Several records of one {'person' if people else f'`{worst.unit}`'} tell more than one: an attacker {who} reads `{attribute}` "
            f"from {many} released records of one `{worst.unit}` in {100 * worst.after:.1f} % of groups"
            + "".join(f", from one record in {100 * f.after:.1f} %" for f in single)
            + f"; guessing gets {100 * worst.guess:.1f} %. Nothing that is released should tell which records belong together."
        )
    return said


def qualified(
    verdict: Verdict,
    found: Sequence[PersonFinding],
    headlines: Sequence[Headline],
    max_leakage: float | None,
    people: bool,
) -> Verdict:
    """The verdict, its title naming the worst that pooled records tell where it holds or is unclear and they clearly tell more than one.

    The level stays: it is about single records, and a release says of none whose it is. But who reads that it holds must not miss what
    is read by whoever knows which records belong together. The title stays too where units are no people: who knows that records
    share the class of an attribute may know which class it is.
    """
    worst = clearly(found, headlines, LIMIT if max_leakage is None else max_leakage) if people else None
    if worst is None or verdict.level not in ("holds", "unclear"):
        return verdict
    return replace(verdict, title=f"{verdict.title}; {_clause(worst, verdict.level)}", adds_up=True)


def clearly(found: Sequence[PersonFinding], headlines: Sequence[Headline], limit: float) -> PersonFinding | None:
    """The most that is read of several records of one unit, of what is clearly more than one record tells; None where nothing is.

    Clearly: the lower end of its interval, put lower for having picked it among so many figures (Bonferroni), lies above the limit
    and above the upper end of what the same attacker reads of one record (where no share of that is known: of the headline's;
    where that says none either, nothing is clear).
    """
    return _worst(_more(found, headlines, limit))


def _more(found: Sequence[PersonFinding], headlines: Sequence[Headline], limit: float) -> list[PersonFinding]:
    heads = {h.attribute: h.high for h in headlines}
    one = {(f.attribute, f.knows, f.setting): f.high for f in found if f.k == 1 and f.high is not None}
    many = [f for f in found if f.k != 1 and f.nag is not None and f.low is not None]
    sure = []
    for f in many:
        single = one.get((f.attribute, f.knows, f.setting), heads.get(f.attribute))
        if single is not None and _lowest(f, len(many)) > max(limit, single, 0.0):
            sure.append(f)
    return sure


def _lowest(f: PersonFinding, among: int) -> float:
    assert f.nag is not None
    assert f.low is not None
    if f.low < f.nag:
        return f.nag - float(ndtri(1 - 0.025 / among) / ndtri(0.975)) * (f.nag - f.low)
    # An interval without width (all read right in every resample) has nothing to widen: groups that share no record count.
    apart = f.records // f.k if f.k and f.unit == f.attribute else f.units
    end = wilson(f.after * apart, apart, 1 - 0.05 / among)[0] if apart else 0.0
    return (end - f.guess) / (f.before - f.guess)


def _worst(sure: Sequence[PersonFinding]) -> PersonFinding | None:
    # Of equal figures the one of fewest records, which asks least of the attacker.
    return max(sure, key=lambda f: (round(f.nag or 0.0, 3), -(f.k or float("inf"))), default=None)


def _clause(f: PersonFinding, level: str) -> str:
    whose = "person" if f.unit == f.attribute else "group" if f.unit == "group" else f"`{f.unit}`"
    which = f"which records are of one {whose}" if f.k == 0 else f"{f.k:,} records to be of one {whose}"
    knows = "has the modifier and knows" if f.knows == "channel" else "knows"
    return (
        f"{'but' if level == 'holds' else 'and'} whoever {knows} {which} reads `{f.attribute}` in {percent(f.after)} of cases "
        f"(guessing: {percent(f.guess)})"
    )
