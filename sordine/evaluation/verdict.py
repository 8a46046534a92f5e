"""Findings, headlines and the verdict: what the attackers' readings mean, in figures and in words for someone who has never
heard of NAG."""

from __future__ import annotations

from collections.abc import Sequence

from sordine.attacks.results import ExactFinding
from sordine.evaluation.headlines import exact_excess, percent
from sordine.evaluation.report import LIMIT, Flaw, Headline, Verdict


def judge(
    headlines: Sequence[Headline],
    flaws: Sequence[Flaw],
    exact: Sequence[ExactFinding],
    suppress: Sequence[str],
    max_leakage: float | None,
) -> tuple[Verdict, bool | None]:
    """The verdict, and whether the release passes (None without max_leakage).

    The limit is max_leakage, or 5 % where that is None.
    leaks: a flaw that leaks, or an attribute whose whole interval, or whose best possible attacker, lies above the limit.
    holds: for every suppressed attribute, the leakage that cannot be excluded (`Headline.not_excluded`: the larger of the interval's
    upper end and what so many records can resolve) is at most the limit. The title states the largest of these figures.
    unclear: anything else, also an attacker at chance on too few records.
    passed is False where more than max_leakage was found, or the release has a flaw that leaks or makes figures unreliable. A limit
    that so few records cannot certify is stated and does not fail.
    """
    limit = LIMIT if max_leakage is None else max_leakage
    read_well: list[str] = []  # by retrained attackers; what else leaks, the best possible attacker reads
    secret = [h for h in headlines if h.role == "suppress"]
    broken = [f.message for f in flaws if f.severity == "broken"]
    leaking = [f.message for f in flaws if f.severity == "leak"]
    said: list[str] = [*leaking, *broken]
    leaks = bool(leaking)
    unclear = False
    over = False
    for h in secret:
        state, words = _state(h, limit)
        said.append(words)
        leaks |= state == "leaks"
        read_well += [h.attribute] if state == "leaks" else []
        unclear |= state == "unclear"
        over |= (h.nag or 0.0) > limit or (h.nag is None and state == "leaks")
    known: list[str] = []
    figures = [h.not_excluded for h in secret]
    for finding in exact:
        excess = exact_excess(finding, secret)
        if excess is None or finding.kept:
            continue
        figures.append(excess)
        if excess <= limit:
            continue
        said.append(
            f"The best possible attacker, who knows the modifier and these very records with their labels, reads "
            f"{percent(finding.accuracy)} of `{finding.attributes[0]}` on {finding.on} records: "
            f"{percent(finding.accuracy - finding.permuted)} more than chance alone gives on so few "
            f"({percent(finding.permuted)}, with labels permuted)."
        )
        certain = (finding.accuracy - finding.permuted_high) / max(finding.accuracy - finding.permuted, 1e-12) * excess
        leaks |= certain > limit
        known += [finding.attributes[0]] if certain > limit else []
        unclear |= certain <= limit
        over = True
    unread = [name for name in suppress if name not in {h.attribute for h in secret}]
    if unread:
        said.append(f"No attack on {_list(unread)} could be made: too few labelled records.")
        unclear = True
    kept = [h for h in headlines if h.role == "preserve" and h.nag is not None]
    said += [
        f"`{h.attribute}`: more of it is read than from the originals, so these attackers are too weak to say what is kept."
        if h.overtaken
        else f"`{h.attribute}` keeps {percent(h.nag or 0.0)} of what could be read of it before."
        for h in kept
    ]
    seen = [h for h in headlines if h.role == "watch" and h.nag is not None]
    said += [
        f"`{h.attribute}`, only watched: more of it is read than from the originals, so these attackers are too weak to say what is kept."
        if h.overtaken
        else f"`{h.attribute}`, only watched: {percent(h.nag or 0.0)} of what could be read of it before is read."
        for h in seen
    ]
    passed = None if max_leakage is None else not (leaking or broken or over or unread)
    most = max(figures, default=0.0)
    if passed and most > limit:
        said.append(
            f"What was found meets the limit of {percent(limit)}. The records cannot certify it: "
            f"up to {percent(most)} cannot be excluded."
        )
    names = _list(suppress)
    if broken:
        return Verdict("broken", "The release is damaged: its figures cannot be relied on", tuple(said)), passed
    if leaks and not leaking and not read_well:
        title = f"The release still tells {_list(list(dict.fromkeys(known)))} to the best possible attacker"
        return Verdict("leaks", title, tuple(said)), passed
    if leaks:
        found = [h for h in secret if h.attribute in read_well]
        return Verdict("leaks", f"The release still tells {_worst(found, leaking, names)}", tuple(said)), passed
    if not suppress:
        return Verdict("unclear", "Nothing was to be suppressed", tuple(said)), passed
    if passed is False:
        title = f"More of {names} was read than the limit of {percent(limit)} allows" if over else _open(names)
        more = [h for h in secret if (h.nag or 0.0) > limit]
        # A limit under what so many records can show is passed by chance alone.
        if more and all(h.at_chance and (h.resolvable or 0.0) > limit for h in more):
            few = max(more, key=lambda h: h.resolvable or 0.0)
            title += f", which may be luck: {few.records:,} records cannot certify less than {percent(few.resolvable or 0.0)}"
        return Verdict("unclear", title, tuple(said)), passed
    if unclear:
        title = _open(names) if unread or most <= limit else f"{_open(names)}: {_up_to(most)}"
        return Verdict("unclear", title, tuple(said)), passed
    chance = all(h.at_chance or h.nag is None for h in secret)
    title = (
        f"No attacker inferred {names} from the release"
        if chance
        else f"What attackers infer of {names} lies under the limit of {percent(limit)}"
    )
    return Verdict("holds", f"{title}; {_up_to(most)}", tuple(said)), passed


def _up_to(share: float) -> str:
    return f"up to {percent(share)} cannot be excluded"


def _state(h: Headline, limit: float) -> tuple[str, str]:
    """leaks, holds or unclear, as `judge` has it, and a sentence."""
    left = f"{_up_to(h.not_excluded)} with {h.records:,} records"
    if h.nag is None or h.low is None or h.high is None:
        if h.after_interval[0] > h.guess:
            return "leaks", h.sentence
        if h.not_excluded <= limit:
            return "holds", f"{h.sentence} Nothing above guessing is read from the released records either; {left}."
        return "unclear", f"{h.sentence} {h.records:,} records are too few to say more."
    if h.low > limit:
        return "leaks", h.sentence
    if h.not_excluded <= limit:
        return "holds", f"{h.sentence} {left[0].upper()}{left[1:]}."
    over = f"{left}, more than the limit of {percent(limit)}"
    if h.may_be_luck:
        luck = "Alone that is more than guessing reads; the best of so many attacks may be there by luck"
        return "unclear", f"{h.sentence} {luck}. {over[0].upper()}{over[1:]}."
    if h.at_chance:
        return "unclear", f"{h.sentence} That cannot be told from guessing, but {over}."
    return "unclear", f"{h.sentence} {over[0].upper()}{over[1:]}."


def _open(names: str) -> str:
    return f"Whether {names} can still be inferred is not clear"


def _worst(secret: Sequence[Headline], leaking: Sequence[str], names: str) -> str:
    readable = [h for h in secret if h.nag is not None and h.low is not None]
    if leaking or not readable:
        return names
    worst = max(readable, key=lambda h: h.nag or 0.0)
    return f"`{worst.attribute}`: {percent(min(worst.nag or 0.0, 1.0))} of what could be read before"


def _list(names: Sequence[str]) -> str:
    quoted = [f"`{n}`" for n in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
