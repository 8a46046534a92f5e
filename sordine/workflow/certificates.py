"""What held-back records certify: the upper end of each suppressed attribute's leakage, and the lowest limit to hope for.

A setting of a method is certified where EVERY attacker, in every setting of the audit and for every suppressed attribute,
has an interval whose upper end is at most the limit. That is an intersection-union test: if the true leakage of one attacker
lies above the limit, that attacker's own interval has to miss it, which happens in about (1 - confidence) / 2 of draws,
however many attackers there are. So no correction for their number is needed, and the luckiest of them only makes it stricter.
"About": the interval is approximate, and the best attacker on the originals is picked on the same records; docs/research/certificates.md
gives what was measured.

Several settings of a method are tried in an order that is fixed beforehand, from the most private to the most useful, and the
first that is not certified ends the walk (fixed-sequence testing): a setting above the limit can only be chosen if the first
one of them in that order is certified by error. So the choice errs as rarely as one test does, and Bonferroni's
correction, under which ten settings would need intervals two fifths wider, is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sordine.attacks.budget import Budget
from sordine.attacks.runner import AttackTask, Predictions
from sordine.evaluation.headlines import Readings
from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.nag import correlations, nag, nag_interval, nag_is_defined, resolvable, wilson

CONFIDENCE = 0.95  # of the two-sided interval whose upper end counts, as in reports


@dataclass(frozen=True)
class Certificate:
    """What was certified of one attribute.

    high: the largest upper end over all attackers and settings of the audit; None where there is no interval (no attack could be
    made, or the originals cannot be read). setting, attacker: whose that is. leakage: that attacker's unclipped NAG there; another's
    may be larger, with a narrower interval. records: how many distinct ones were tried there.
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
    nothing = worst = Certificate(attribute, limit, None, None)
    for setting, best in _told(readings, attribute, budget).items():
        after = _reads(readings, 1, attribute, setting, budget)
        if not after:
            return nothing
        for attacker, own in after.items():
            end = upper(own, best, classes, confidence)
            if end is None:
                return nothing
            if worst.high is None or end > worst.high:
                truth = best[0].truth
                found = nag(_accuracy(own), _accuracy(best), majority(truth))
                worst = Certificate(attribute, limit, found, end, setting, attacker, len(truth))
    return worst


def upper(after: Sequence[Predictions], before: Sequence[Predictions], classes: int, confidence: float) -> float | None:
    """Upper end of the two-sided interval of NAG (unclipped) of what `after` reads, over `before`, each by seed on the same records.

    The largest of three. `metrics.nag_interval` knows that the most frequent class is a lucky one, but takes spreads from whole
    accuracies and lets their correlation cancel what they share with the guess: of uneven classes, where an attacker
    departs from the guess in few records, too little is left. The second end (`_departures`) counts those records. The third is `metrics.resolvable`, below which no
    verdict holds (`verdict.judge`): an attacker that always predicts one class certifies no more than any other.
    None where one has none.
    """
    truth = before[0].truth
    pairs = [correlations(truth, a.predicted, b.predicted) for a, b in zip(after, before, strict=True)]
    r = np.mean(pairs, axis=0).tolist()
    shares = _accuracy(after), _accuracy(before), majority(truth)
    interval = nag_interval(*shares, len(truth), confidence=confidence, correlation=(r[0], r[1], r[2]), classes=classes)
    end = _departures(after, before, confidence)
    least = resolvable(shares[1], shares[2], len(truth), confidence)
    return None if interval is None or end is None or least is None else max(interval[1], end, least)


def _departures(after: Sequence[Predictions], before: Sequence[Predictions], confidence: float) -> float | None:
    """Upper end of NAG, at least 0, from the records in which an attacker and the constant guess are not both right or both wrong.

    Accuracy less guess is the share of records of other classes read right, less the share of the guess's own class read
    wrong. With these of after (a, b) and before (c, d), NAG is the theta at which a - b - theta (c - d) is 0; of its interval
    by MOVER (see `metrics.nag_interval`), from Wilson's limits of four shares that may be small, this is the edge above,
    a root of a quadratic in theta. None where there is none.
    """
    truth = before[0].truth
    known = truth >= 0
    usual = truth[known] == np.bincount(truth[known]).argmax()
    moments = []
    for own, best in zip(after, before, strict=True):
        right = [(r.predicted == truth)[known] for r in (own, best)]
        events = np.stack([e for hit in right for e in (hit & ~usual, ~hit & usual)]).astype(np.float64)
        share = events.mean(1)
        spread = np.sqrt(share * (1 - share))
        off = events @ events.T / events.shape[1] - np.outer(share, share)
        scale = np.outer(spread, spread)
        moments.append((share, np.divide(off, scale, out=np.eye(4), where=scale > 0)))
    share, r = (np.mean([m[i] for m in moments], 0) for i in (0, 1))
    n = int(known.sum())
    low, high = np.array([wilson(s * n, n, confidence) for s in share]).T
    signs = np.array([1, -1, -1, 1])
    # Towards T = 0 from below, where theta lies above what was found: every term towards its larger end.
    away = np.where(signs > 0, high - share, low - share) * signs
    now, was = away * [1, 1, 0, 0], away * [0, 0, 1, 1]
    r = r * np.outer(signs, signs)
    gained, told = share[0] - share[1], share[2] - share[3]
    square, half, least = told**2 - was @ r @ was, -gained * told - now @ r @ was, gained**2 - now @ r @ now
    if told <= 0 or square <= 0:
        return None
    return float(max((np.sqrt(max(half**2 - square * least, 0)) - half) / square, 0.0))


def lowest(
    readings: Readings, classes: Mapping[str, int], budget: Budget, confidence: float = CONFIDENCE
) -> dict[str, float | None]:
    """The lowest limit for which there is hope, by attribute, from the readings of the originals alone: the largest, over the audit's
    settings, of the upper ends of an attacker to whom a release tells nothing.

    He knows the shares of the classes: he names the most frequent one, or, where others are within two standard errors of it, each
    of these as often as the others, whatever the record. Attackers in their luck may come out lower; one who is
    none the wiser comes out about here. classes: how many each attribute has. None where the originals cannot be read well enough.
    """
    found: dict[str, float | None] = {}
    for attribute, count in classes.items():
        ends = [
            upper([_ignorant(r) for r in best], best, count, confidence)
            for best in _told(readings, attribute, budget).values()
        ]
        some = [end for end in ends if end is not None]
        found[attribute] = max(some) if some and len(some) == len(ends) else None
    return found


def _ignorant(best: Predictions) -> Predictions:
    known = best.truth >= 0
    share = np.bincount(best.truth[known]) / known.sum()
    most = share.max()
    # The difference of two shares of one sample.
    spread = np.sqrt(np.maximum(most + share - (most - share) ** 2, 0) / known.sum())
    tied = np.flatnonzero(most - share <= 2 * spread)
    predicted = np.empty_like(best.truth)
    # In turn among alike records, so that what is named goes with nothing.
    predicted[np.lexsort((best.predicted, best.truth))] = tied[np.arange(len(predicted)) % len(tied)]
    return replace(best, predicted=predicted)


def pooled(parts: Sequence[tuple[Readings, int]]) -> Readings:
    """The readings of several tables as of one: those of each, and how many records it has. What was not read of all is
    left out."""
    common = set.intersection(*(set(readings) for readings, _ in parts))
    starts = np.cumsum([0, *(n for _, n in parts)])
    made: Readings = {}
    for known in common:
        some = [readings[known] for readings, _ in parts]
        made[known] = Predictions(
            np.concatenate([r.rows + start for r, start in zip(some, starts[:-1], strict=True)]),
            np.concatenate([r.truth for r in some]),
            np.concatenate([r.predicted for r in some]),
        )
    return made


def _told(readings: Readings, attribute: str, budget: Budget) -> dict[str, list[Predictions]]:
    # setting -> the best attacker's readings of the originals, where they can be read at all; empty where that is neither in A nor in B.
    told = {}
    for setting in budget.settings:
        before = _reads(readings, 0, attribute, setting, budget)
        if before:
            best = max(before.values(), key=_accuracy)
            if nag_is_defined(_accuracy(best), majority(best[0].truth), len(best[0].truth)):
                told[setting] = best
    return told if {"A", "B"} & set(told) else {}


def _reads(readings: Readings, side: int, attribute: str, setting: str, budget: Budget) -> dict[str, list[Predictions]]:
    # attacker -> its readings by seed, of those that took part with every seed.
    found = {}
    for attacker in budget.families:
        some = [AttackTask(attribute, attacker, setting, seed) for seed in budget.seeds]  # type: ignore[arg-type]
        if all((side, piece) in readings for piece in some):
            found[attacker] = [readings[side, piece] for piece in some]
    return found


def _accuracy(reads: Sequence[Predictions]) -> float:
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
