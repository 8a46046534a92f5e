"""What held-back records certify: the upper end of each suppressed attribute's leakage, and the lowest limit they could.

A setting of a method is certified where EVERY attacker, in every setting of the audit and for every suppressed attribute,
has an interval whose upper end is at most the limit. That is an intersection-union test: if the true leakage of one attacker
lies above the limit, that attacker's own interval has to miss it, which happens in at most (1 - confidence) / 2 of draws,
however many attackers there are. So no correction for their number is needed, and the luckiest of them only makes it stricter.

Several settings of a method are tried in an order that is fixed beforehand, from the most private to the most useful, and the
first that is not certified ends the walk (fixed-sequence testing): a setting above the limit can only be chosen if the first
one of them in that order is certified by error. So the choice errs as rarely as one test does, and Bonferroni's
correction, under which ten settings would need intervals two fifths wider, is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sordine.attackers.plan import Budget, Piece, Reading
from sordine.metrics import accuracy, correlations, majority, nag, nag_interval, readable, resolvable
from sordine.verdict import Readings

CONFIDENCE = 0.95  # of the two-sided interval whose upper end counts, as in reports


@dataclass(frozen=True)
class Certificate:
    """What was certified of one attribute.

    leakage: unclipped NAG of the worst attacker in the worst setting of the audit. high: the largest upper end over all attackers and
    settings; None where there is no interval (no attack could be made, or the originals cannot be read). setting, attacker: whose
    that is. records: how many distinct ones were tried there.
    """

    attribute: str
    limit: float
    leakage: float | None
    high: float | None
    setting: str = ""
    attacker: str = ""
    records: int = 0

    @property
    def met(self) -> bool:
        """Whether the whole interval lies at or below the limit."""
        return self.high is not None and self.high <= self.limit


def certificates(
    readings: Readings,
    limits: Mapping[str, float],
    classes: Mapping[str, int],
    budget: Budget,
    confidence: float = CONFIDENCE,
) -> tuple[Certificate, ...]:
    """One certificate an attribute of `limits`, which maps attributes to the largest NAG allowed.

    readings: (0, piece) of the originals, (1, piece) of what is released. classes: how many each attribute has. A setting of
    the audit in which the attribute cannot be read from the originals says nothing and is left out; where A and B both are,
    or no attacker reads the release, the attribute is without a bound.
    """
    return tuple(_certificate(readings, a, limits[a], classes[a], budget, confidence) for a in limits)


def _certificate(
    readings: Readings, attribute: str, limit: float, classes: int, budget: Budget, confidence: float
) -> Certificate:
    nothing = Certificate(attribute, limit, None, None)
    worst, leakage = nothing, -np.inf
    told = _told(readings, attribute, budget)
    for setting, best in told.items():
        after = _reads(readings, 1, attribute, setting, budget)
        if not after:
            return nothing
        truth = best[0].truth
        n, guess, was = len(truth), majority(truth), _accuracy(best)
        for attacker, own in after.items():
            pairs = [correlations(truth, a.predicted, b.predicted) for a, b in zip(own, best, strict=True)]
            r = np.mean(pairs, axis=0).tolist()
            now = _accuracy(own)
            interval = nag_interval(
                now, was, guess, n, confidence=confidence, correlation=(r[0], r[1], r[2]), classes=classes
            )
            if interval is None:
                return nothing
            leakage = max(leakage, nag(now, was, guess))
            if worst.high is None or interval[1] > worst.high:
                worst = Certificate(attribute, limit, float(leakage), interval[1], setting, attacker, n)
    return replace(worst, leakage=float(leakage)) if told else nothing


def lowest(
    readings: Readings, attributes: Sequence[str], budget: Budget, confidence: float = CONFIDENCE
) -> dict[str, float | None]:
    """The lowest limit that could be certified of each attribute, even of a release that tells nothing of it: the largest of
    `metrics.resolvable` over the audit's settings, from the readings of the originals alone. None where the originals cannot
    be read well enough."""
    found: dict[str, float | None] = {}
    for attribute in attributes:
        ends = []
        for best in _told(readings, attribute, budget).values():
            truth = best[0].truth
            ends.append(resolvable(_accuracy(best), majority(truth), len(truth), confidence))
        found[attribute] = max((end for end in ends if end is not None), default=None)
        if None in ends:
            found[attribute] = None
    return found


def pooled(parts: Sequence[tuple[Readings, int]]) -> Readings:
    """The readings of several tables as of one: those of each, and how many records it has. What was not read of all is
    left out."""
    common = set.intersection(*(set(readings) for readings, _ in parts))
    starts = np.cumsum([0, *(n for _, n in parts)])
    made: Readings = {}
    for known in common:
        some = [readings[known] for readings, _ in parts]
        made[known] = Reading(
            np.concatenate([r.rows + start for r, start in zip(some, starts[:-1], strict=True)]),
            np.concatenate([r.truth for r in some]),
            np.concatenate([r.predicted for r in some]),
        )
    return made


def _told(readings: Readings, attribute: str, budget: Budget) -> dict[str, list[Reading]]:
    # setting -> the best attacker's readings of the originals, where they can be read at all; empty where that is neither in A nor in B.
    told = {}
    for setting in budget.settings:
        before = _reads(readings, 0, attribute, setting, budget)
        if before:
            best = max(before.values(), key=_accuracy)
            if readable(_accuracy(best), majority(best[0].truth), len(best[0].truth)):
                told[setting] = best
    return told if {"A", "B"} & set(told) else {}


def _reads(readings: Readings, side: int, attribute: str, setting: str, budget: Budget) -> dict[str, list[Reading]]:
    # attacker -> its readings by seed, of those that took part with every seed.
    found = {}
    for attacker in budget.families:
        some = [Piece(attribute, attacker, setting, seed) for seed in budget.seeds]  # type: ignore[arg-type]
        if all((side, piece) in readings for piece in some):
            found[attacker] = [readings[side, piece] for piece in some]
    return found


def _accuracy(reads: Sequence[Reading]) -> float:
    return float(np.mean([accuracy(r.truth, r.predicted) for r in reads]))


def utilities(readings: Readings, attributes: Sequence[str], budget: Budget) -> dict[str, float]:
    """attribute -> unclipped NAG of the best attacker after over the best before, in the first setting of the audit in which the
    attribute can be read from the originals; an attribute that cannot, in no setting, is left out."""
    found = {}
    for attribute in attributes:
        for setting, best in _told(readings, attribute, budget).items():
            after = _reads(readings, 1, attribute, setting, budget)
            if after:
                truth = best[0].truth
                found[attribute] = nag(max(map(_accuracy, after.values())), _accuracy(best), majority(truth))
                break
    return found
