"""The verdict: what headlines, flaws and the optimal attack mean together, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sordine.attacks.results import ExactFinding
from sordine.evaluation.headlines import exact_excess
from sordine.evaluation.report import (
    LIMIT,
    LINKS,
    NOT_TESTED,
    OTHER_RISKS,
    Flaw,
    Headline,
    Level,
    OtherScenario,
    Verdict,
)
from sordine.metrics.percent import percent


@dataclass(frozen=True)
class Contribution:
    """What a section of the report adds to the verdict.

    Parameters
    ----------
    first, sentences, closing
        Sentences before those on the attributes, after them, and at the end.
    broken
        Whether the figures are unreliable.
    leaks
        Whether the release leaks, whatever the attacks found.
    unclear
        Whether the verdict cannot be that it holds.
    over
        Whether more than the limit was found, so that the release does not pass a limit.
    leakage
        Leakages (NAG) that cannot be excluded.
    about
        What the largest of these is about, for the title, like those of `gives`. Empty: a part of all records.
    attributes
        Attributes that only the optimal attack infers.
    gives
        Leakages (NAG) that were clearly found, each with what they are about, for the title: "`speaker` from 50 records
        of one person". The release leaks, and does not pass a limit.
    clause
        Clause for the title where the verdict holds or is unclear.
    risks
        Names of other risks that were clearly found. They change the title, not the level.
    decides
        Attributes that a suppressed attribute decides, each with that suppressed attribute.
    """

    first: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    closing: tuple[str, ...] = ()
    broken: bool = False
    leaks: bool = False
    unclear: bool = False
    over: bool = False
    leakage: tuple[float, ...] = ()
    about: str = ""
    attributes: tuple[str, ...] = ()
    gives: tuple[tuple[float, str], ...] = ()
    clause: str | None = None
    risks: tuple[str, ...] = ()
    decides: tuple[tuple[str, str], ...] = ()


def judge(
    headlines: Sequence[Headline],
    flaws: Sequence[Flaw],
    exact: Sequence[ExactFinding],
    suppress: Sequence[str],
    max_leakage: float | None,
) -> tuple[Verdict, bool | None]:
    """Return the verdict on headlines, flaws and optimal attacks alone: see `judge_contributions`."""
    limit = LIMIT if max_leakage is None else max_leakage
    more = (flaw_contribution(flaws), optimal_contribution(exact, headlines, limit))
    return judge_contributions(headlines, more, suppress, max_leakage)


def judge_contributions(
    headlines: Sequence[Headline],
    contributions: Sequence[Contribution],
    suppress: Sequence[str],
    max_leakage: float | None,
    left_out: Sequence[str] = (),
) -> tuple[Verdict, bool | None]:
    """Return the verdict, and whether the release passes the limit.

    The limit is `max_leakage`, or 5 % where that is None. The levels are:

    broken
        The release is damaged, so its figures are unreliable.
    leaks
        A flaw leaks, or the corrected lower end of an attribute (`Headline.least`), or the optimal attack on it, or
        what another attack found (`Contribution.gives`), is above the limit. An attribute at chance
        (`Headline.at_chance`) does not leak.
    holds
        For every suppressed attribute, the leakage that cannot be excluded (`Headline.not_excluded`) is at most the
        limit. The title states the largest of these figures.
    unclear
        Anything else, also a baseline accuracy on too few records.

    Parameters
    ----------
    headlines
        Results of the attacks on single records.
    contributions
        What the sections of the report add.
    suppress
        Names of the suppressed attributes.
    max_leakage
        Limit on leakage (NAG), or None.
    left_out
        What the budget `standard` tests and this audit does not (`Budget.left_out`). The title names it.

    Returns
    -------
    verdict : Verdict
    passed : bool or None
        None without a limit. False where more than the limit was found, or a flaw leaks or damages the release. A limit
        that so few records cannot certify is mentioned and does not fail.
    """
    case = _case(headlines, contributions, suppress, max_leakage)
    known = bool(case.names) and not case.unmeasured
    verdict = Verdict(
        *_title(case),
        tuple(_sentences(case, headlines, contributions)),
        not_excluded=case.largest if known else None,
    )
    for c in contributions:
        if c.clause is not None and verdict.level in LINKS:
            title = f"{verdict.title}. {LINKS[verdict.level]}, {c.clause}"
            verdict = replace(verdict, title=title, adds_up=True)
    risks = list(dict.fromkeys(name for c in contributions for name in c.risks))
    if risks and verdict.level in (*LINKS, "leaks"):
        verdict = replace(verdict, title=f"{verdict.title}{OTHER_RISKS}{', '.join(risks)}")
    if left_out and case.names and verdict.level in LINKS:
        verdict = replace(verdict, title=f"{verdict.title}{NOT_TESTED}{', '.join(left_out)}")
    return verdict, case.passed


# ------------------------------------------------------------------------------------------- what sections contribute


def flaw_contribution(flaws: Sequence[Flaw]) -> Contribution:
    """Return what flaws of the release add to the verdict."""
    broken = [f.message for f in flaws if f.severity == "broken"]
    leaks = [f.message for f in flaws if f.severity == "leak"]
    return Contribution(first=(*leaks, *broken), broken=bool(broken), leaks=bool(leaks))


def optimal_contribution(exact: Sequence[ExactFinding], headlines: Sequence[Headline], limit: float) -> Contribution:
    """Return what the optimal attack on single suppressed attributes adds to the verdict."""
    suppressed = [h for h in headlines if h.role == "suppress"]
    sentences, leakage, certain, unclear = [], [], [], False
    for finding in exact:
        excess = exact_excess(finding, suppressed)
        if excess is None or finding.kept:
            continue
        leakage.append(excess)
        if excess <= limit:
            continue
        above = finding.accuracy - finding.permuted
        sentences.append(
            f"The optimal attacker knows the modifier, these records and their classes. It predicts "
            f"`{finding.attributes[0]}` correctly for {percent(finding.accuracy)} of the {finding.on} records. That is "
            f"{percent(above)} more than chance gives on so few records ({percent(finding.permuted)}, with permuted "
            "classes)."
        )
        if (finding.accuracy - finding.permuted_high) / max(above, 1e-12) * excess > limit:
            certain.append(finding.attributes[0])
        else:
            unclear = True
    return Contribution(
        sentences=tuple(sentences),
        leaks=bool(certain),
        unclear=unclear,
        over=bool(sentences),
        leakage=tuple(leakage),
        attributes=tuple(dict.fromkeys(certain)),
    )


# ------------------------------------------------------------------------------------------------- the attributes


@dataclass(frozen=True)
class _Case:
    # Everything that decides the level and the title.
    suppressed: tuple[Headline, ...]
    states: tuple[tuple[str, str], ...]  # of each suppressed attribute: leaks, holds or unclear, and a sentence
    names: tuple[str, ...]  # suppressed attributes
    unmeasured: tuple[str, ...]  # suppressed attributes without a headline
    optimal: tuple[str, ...]  # attributes that the optimal attack infers
    gives: tuple[tuple[float, str], ...]  # what further attacks found above the limit, and how much
    limit: float
    largest: float  # leakage that cannot be excluded
    about: str  # which attacker that is, where single records and what is known of them do not explain it
    broken: bool
    flawed: bool  # a flaw leaks
    unclear: bool
    over: bool
    passed: bool | None

    @property
    def leaking(self) -> list[Headline]:
        return [h for h, (state, _) in zip(self.suppressed, self.states, strict=True) if state == "leaks"]


def _case(
    headlines: Sequence[Headline],
    contributions: Sequence[Contribution],
    suppress: Sequence[str],
    max_leakage: float | None,
) -> _Case:
    limit = LIMIT if max_leakage is None else max_leakage
    suppressed = tuple(h for h in headlines if h.role == "suppress")
    states = tuple(_state(h, limit) for h in suppressed)
    unmeasured = tuple(name for name in suppress if name not in {h.attribute for h in suppressed})
    above = [
        (h.nag or 0.0) > limit or (h.nag is None and state == "leaks")
        for h, (state, _) in zip(suppressed, states, strict=True)
    ]
    gives = tuple(given for c in contributions for given in c.gives)
    over = bool(any(above) or gives or any(c.over for c in contributions))
    broken = any(c.broken for c in contributions)
    flawed = any(c.leaks and not c.attributes for c in contributions)
    unclear = bool(unmeasured) or any(s == "unclear" for s, _ in states) or any(c.unclear for c in contributions)
    figures = [*(h.not_excluded for h in suppressed), *(v for c in contributions for v in c.leakage)]
    largest = max(figures, default=0.0)
    single = max((h.not_excluded for h in suppressed), default=0.0)
    about = next((c.about for c in contributions if max(c.leakage, default=0.0) == largest > single), "")
    return _Case(
        suppressed=suppressed,
        states=states,
        names=tuple(suppress),
        unmeasured=unmeasured,
        optimal=tuple(dict.fromkeys(a for c in contributions for a in c.attributes)),
        gives=gives,
        limit=limit,
        largest=largest,
        about=about,
        broken=broken,
        flawed=flawed,
        unclear=unclear or largest > limit,
        over=over,
        passed=None if max_leakage is None else not (flawed or broken or over or unmeasured),
    )


def _state(h: Headline, limit: float) -> tuple[str, str]:
    """The state of one suppressed attribute (leaks, holds or unclear), and a sentence."""
    left = f"With {h.tested}, {_up_to(h.not_excluded)}"
    surer = [other for other in h.also if (other.least or 0.0) > limit and not other.at_chance]
    if surer:
        surest = max(surer, key=lambda other: other.least or 0.0)
        return "leaks", f"{h.sentence} In scenario {surest.setting}, {_starts(surest)}."
    if h.also:
        widest = max(h.also, key=lambda other: other.not_excluded)
        if widest.not_excluded == h.not_excluded:
            left = f"With the records of scenario {widest.setting}, {_up_to(h.not_excluded)}"
    elif h.beyond_interval:
        few = "records" if h.units is None else "persons or groups"
        left += f": this number of {few} cannot certify less, however short the interval is"
    if h.nag is None or h.low is None or h.high is None:
        # The best of many attacks is above the baseline even by chance, so the corrected interval decides.
        if h.after_interval[0] > h.guess and not h.at_chance:
            return "leaks", h.sentence
        if h.nag is None:
            why = "They infer almost nothing from originals, so their failure here shows little."
            return "unclear", f"{h.sentence} {why}"
        few = f"{h.records:,} records" if h.units is None else f"{h.units:,} persons or groups"
        return "unclear", f"{h.sentence} {few} are too few to conclude more."
    if (h.least or 0.0) > limit and not h.at_chance:
        return "leaks", h.sentence
    if h.not_excluded <= limit:
        return "holds", f"{h.sentence} {left}."
    over = f"{left}. That leakage is above the limit of {percent(limit)}."
    return "unclear", " ".join(filter(None, [h.sentence, _why_unclear(h, limit), over]))


def _why_unclear(h: Headline, limit: float) -> str | None:
    """Why what was found above the baseline, or above the limit, does not count as a leak."""
    scenarios: tuple[Headline | OtherScenario, ...] = (h, *h.also)
    only_plain = [s for s in scenarios if (s.low or 0.0) > limit and not s.at_chance]
    if only_plain:
        closest = max(only_plain, key=lambda s: s.least or 0.0)
        return f"In scenario {closest.setting}, {_starts(closest)}."
    if h.may_be_luck:
        return "This is above the baseline, but with several attacks the best one can be that high by chance."
    return "This cannot be distinguished from the baseline." if h.at_chance else None


def _starts(scenario: Headline | OtherScenario) -> str:
    starts = f"the interval starts at {percent(max(scenario.least or 0.0, 0.0))}"
    return starts if scenario.low_corrected is None else f"{starts} after correction for the number of attacks"


def _sentences(case: _Case, headlines: Sequence[Headline], contributions: Sequence[Contribution]) -> list[str]:
    result = [s for c in contributions for s in c.first]
    result += [sentence for _, sentence in case.states]
    result += [s for c in contributions for s in c.sentences]
    if case.unmeasured:
        result.append(f"No attack on {_list(case.unmeasured)} was possible: too few records are labelled.")
    result += [_useful(h) for h in headlines if h.role == "preserve" and h.nag is not None]
    decided = dict(pair for c in contributions for pair in c.decides)
    result += [_useful(h, decided.get(h.attribute)) for h in headlines if h.role == "watch" and h.nag is not None]
    if case.passed and case.largest > case.limit:
        result.append(
            f"The measured leakage meets the limit of {percent(case.limit)}. These records cannot certify the limit: "
            f"{_up_to(case.largest, case.about)}."
        )
    return result + [s for c in contributions for s in c.closing]


def _useful(h: Headline, decided_by: str | None = None) -> str:
    name = f"`{h.attribute}`" if h.role == "preserve" else f"`{h.attribute}` (watched)"
    share = percent(min(max(h.nag or 0.0, 0.0), 1.0))
    if decided_by is not None:
        name += f", which `{decided_by}` decides,"
        if h.at_chance or (h.nag or 0.0) <= 0:
            return f"{name} is not clearly inferred: {share} of what originals give."
        return f"{name} can still be inferred: {share} of what originals give. That is leakage of `{decided_by}`."
    if h.overtaken:
        return f"{name}: accuracy is higher than on the originals. These attacks are too weak to measure its utility."
    return f"{name} has a utility of {share}."


# ------------------------------------------------------------------------------------------------------ the title


def _title(case: _Case) -> tuple[Level, str]:
    """The level and the title."""
    if case.broken:
        return "broken", "The release is damaged: its figures are unreliable"
    if case.flawed or case.leaking:
        return "leaks", f"The release still gives away {_worst(case)}"
    if case.optimal:
        return "leaks", f"The release still gives away {_list(case.optimal)} to the optimal attacker"
    if case.gives:
        return "leaks", f"The release still gives away {_given(case)}"
    if not case.names:
        return "unclear", "The policy suppresses no attribute"
    if case.passed is False:
        return "unclear", _over_limit(case) if case.over else _open(case)
    if case.unclear:
        known = case.unmeasured or case.largest <= case.limit
        return "unclear", _open(case) if known else f"{_open(case)}: {_up_to(case.largest, case.about)}"
    if all(h.at_chance or h.nag is None for h in case.suppressed):
        title = f"No attack inferred {_list(case.names)} from the release"
    else:
        title = f"The leakage of {_list(case.names)} is below the limit of {percent(case.limit)}"
    return "holds", f"{title}; {_up_to(case.largest, case.about)}"


def _worst(case: _Case) -> str:
    known = [h for h in case.leaking if h.nag is not None and h.low is not None]
    if case.flawed or not known:
        return _list(case.names)
    worst = max(known, key=lambda h: h.nag or 0.0)
    if worst.overtaken:  # its sentence gives the reason why there is no figure
        return f"`{worst.attribute}`"
    # An attacker that knows more, or has several records, may infer more.
    if case.gives and round(max(case.gives)[0], 3) > round(worst.nag or 0.0, 3):
        return _given(case)
    return f"`{worst.attribute}`: a leakage of {percent(min(worst.nag or 0.0, 1.0))}"


def _given(case: _Case) -> str:
    share, what = max(case.gives, key=lambda given: round(given[0], 3))
    return f"{what}: a leakage of {percent(min(share, 1.0))}"


def _over_limit(case: _Case) -> str:
    title = f"The leakage of {_list(case.names)} is above the limit of {percent(case.limit)}"
    above = [h for h in case.suppressed if (h.nag or 0.0) > case.limit]
    # A limit below what so many records can show is met by chance only.
    if above and all(h.at_chance and (h.resolvable or 0.0) > case.limit for h in above):
        few = max(above, key=lambda h: h.resolvable or 0.0)
        many = f"{few.records:,} records" if few.units is None else f"{few.units:,} persons or groups"
        title += f", possibly by chance: {many} cannot certify less than {percent(few.resolvable or 0.0)}"
    return title


def _open(case: _Case) -> str:
    return f"It is unclear whether attacks can still infer {_list(case.names)}"


def _up_to(share: float, about: str = "") -> str:
    of = f" of {about}" if about else ""
    return f"a leakage of up to {percent(min(share, 1.0))}{of} cannot be excluded"


def _list(names: Sequence[str]) -> str:
    quoted = [f"`{n}`" for n in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
