"""Findings, headlines and the verdict: what the attackers' readings mean, in figures and in words for someone who has never
heard of NAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sordine.attacks.budget import Budget
from sordine.attacks.results import ExactFinding, Finding, Role
from sordine.attacks.runner import AttackTask, Predictions, Readings
from sordine.evaluation.report import Headline
from sordine.metrics.accuracy import accuracy, balanced_accuracy, majority
from sordine.metrics.nag import balanced_nag, correlations, nag, nag_interval, nag_is_defined, resolvable, wilson

UNEVEN = 1.5  # times an even share: above, balanced figures deserve a look
UNSUITED = (
    "The records are pictures, and no attacker that is made for pictures took part: such a one may read more, of the originals and of "
    "the release, and a share of what these read says little. Name `resnet` among the families, or no families with the budget `standard`."
)

_TRIED = {
    "A": "unseen records",
    "B": "unseen records",
    "C": "the records that the modifier was fitted on",
}


@dataclass(frozen=True)
class _Read:
    # One attacker over its seeds, on the same records.
    attacker: str
    readings: list[Predictions]

    @property
    def accuracy(self) -> float:
        return float(np.mean([accuracy(r.truth, r.predicted) for r in self.readings]))

    @property
    def balanced(self) -> float:
        return float(np.mean([balanced_accuracy(r.truth, r.predicted) for r in self.readings]))


def _paired(before: _Read, after: _Read) -> tuple[float, float, float]:
    # Means over seeds of how what is read rightly goes together.
    pairs = zip(after.readings, before.readings, strict=True)
    r = np.mean([correlations(a.truth, a.predicted, b.predicted) for a, b in pairs], axis=0).tolist()
    return r[0], r[1], r[2]


def _compare(before: _Read, after: _Read, classes: int, paired: tuple[float, float, float]) -> dict[str, Any]:
    # The fields that a finding and a headline share.
    truth = before.readings[0].truth
    n, guess = len(truth), majority(truth)
    was, now = before.accuracy, after.accuracy
    interval = nag_interval(now, was, guess, n, correlation=paired, classes=classes)
    share = nag(now, was, guess) if nag_is_defined(was, guess, n) else None
    present = len(np.unique(truth))
    readable_balanced = nag_is_defined(before.balanced, 1 / present, n)
    return {
        "before": was,
        "after": now,
        "guess": guess,
        "nag": share,
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
        "before_interval": wilson(was * n, n),
        "after_interval": wilson(now * n, n),
        "balanced_nag": balanced_nag(after.balanced, before.balanced, present) if readable_balanced else None,
        "records": n,
    }


def figures(
    readings: Readings, roles: Mapping[str, Role], classes: Mapping[str, Sequence[str]], budget: Budget
) -> tuple[list[Finding], list[Headline]]:
    """What each attacker read in each setting, and each attribute's headline. classes: attribute -> class names."""
    findings: list[Finding] = []
    headlines: list[Headline] = []
    for name, role in roles.items():
        count = len(classes[name])
        candidates = []
        for setting in budget.settings:
            sides: tuple[list[_Read], list[_Read]] = ([], [])
            for side in (0, 1):
                for attacker in budget.families:
                    some = [AttackTask(name, attacker, setting, s) for s in budget.seeds]  # type: ignore[arg-type]
                    if all((side, p) in readings for p in some):
                        sides[side].append(_Read(attacker, [readings[side, p] for p in some]))
            if not sides[0] or not sides[1]:
                continue
            # An attacker that can read one side only (pictures became vectors) is among the best, but compares nothing.
            later = {read.attacker: read for read in sides[1]}
            for was, now in [(read, later[read.attacker]) for read in sides[0] if read.attacker in later]:
                paired = _paired(was, now)
                shares = _compare(was, now, count, paired)
                findings.append(
                    Finding(
                        attribute=name,
                        role=role,
                        attacker=was.attacker,
                        setting=setting,  # type: ignore[arg-type]
                        guess_interval=wilson(shares["guess"] * shares["records"], shares["records"]),
                        balanced_before=was.balanced,
                        balanced_after=now.balanced,
                        seeds=len(budget.seeds),
                        correlation=paired,
                        **{**shares, "records": shares["records"] * len(budget.seeds)},
                    )
                )
            best = [max(side, key=lambda r: r.accuracy) for side in sides]
            # The luckiest of many attackers lies above the guess even where nothing leaks: all of them share the 5 %.
            tried = best[1].readings[0].truth.size
            attacks = len(sides[1]) * len(budget.settings)
            luck = wilson(best[1].accuracy * tried, tried, 1 - 0.05 / attacks)
            fairest = [max(side, key=lambda r: r.balanced) for side in sides]
            shares = _compare(best[0], best[1], count, _paired(best[0], best[1]))
            shares["balanced_nag"] = _compare(fairest[0], fairest[1], count, _paired(fairest[0], fairest[1]))[
                "balanced_nag"
            ]
            headline = Headline(
                attribute=name,
                role=role,
                classes=count,
                setting=setting,  # type: ignore[arg-type]
                attacker_before=best[0].attacker,
                attacker_after=best[1].attacker,
                resolvable=resolvable(shares["before"], shares["guess"], shares["records"]),
                at_chance=luck[0] <= shares["guess"],
                uneven=shares["guess"] > UNEVEN / count,
                **shares,
            )
            candidates.append(replace(headline, sentence=sentence(headline, len(sides[1]))))
        if candidates:
            headlines.append(_headline(candidates, role))
    return findings, headlines


def _headline(candidates: list[Headline], role: Role) -> Headline:
    # The worst setting of what must not be read; of what should stay, the first there is: A, where unseen records are tried.
    if role != "suppress":
        return min(candidates, key=lambda h: h.setting)
    return max(candidates, key=lambda h: (h.nag is not None, h.nag or 0.0, h.after - h.guess))


def percent(share: float) -> str:
    """0.179 -> '17.9 %'; never '-0.0 %'."""
    return f"{max(share, 0.0) * 100:.1f} %"


def sentence(h: Headline, attackers: int) -> str:
    """One headline in words."""
    who = f"the best of {attackers} attackers" if attackers > 1 else "the attacker"
    read = (
        f"From the released records, {who} ({h.attacker_after}) reads `{h.attribute}` of {percent(h.after)} "
        f"of {_TRIED[h.setting]}; always guessing the most frequent class gets {percent(h.guess)}, "
        f"and from the originals {percent(h.before)} are read."
    )
    if h.nag is None:
        return read + " So few more than by guessing are read from the originals that no share of it can be stated."
    if h.low is None or h.high is None:
        return read + f" That is {percent(h.nag)} of what could be read before, from too few records for an interval."
    if h.overtaken:
        return (
            read + " That is more than from the originals: attackers that read those so badly can say no share of them."
        )
    left = "is still readable" if h.role == "suppress" else "is kept"
    return read + (
        f" So {percent(h.nag)} of what could be read before {left} (95 % sure: between {percent(h.low)} and {percent(h.high)})."
    )


def exact_excess(finding: ExactFinding, headlines: Sequence[Headline]) -> float | None:
    """Leakage (as NAG) that the best possible attacker has of one attribute above what chance alone shows; None where it
    is within chance, or where the originals cannot be read."""
    if len(finding.attributes) != 1 or finding.accuracy <= finding.permuted_high:
        return None
    for h in headlines:
        if h.attribute == finding.attributes[0] and h.nag is not None and h.before > h.guess:
            return (finding.accuracy - finding.permuted) / (h.before - h.guess)
    return None
