"""Certificates: the upper end of each suppressed attribute's leakage, from predictions on held-out records.

An option of a method is certified where EVERY attack, in every scenario of the audit and for every suppressed
attribute, has an interval whose upper end is at most the limit. This is an intersection-union test: if the true leakage
of one attack is above the limit, the interval of that attack has to miss it, which happens in about (1 - confidence) /
2 of samples, however many attacks there are. So no correction for their number is needed. "About": the interval is
approximate, and the best attack on the originals is chosen on the same records. docs/research/certificates.md gives
measurements.

The options of a method are tested in a fixed order, from the most private to the most useful, and the first one that is
not certified ends the search (fixed-sequence testing). An option above the limit can only be chosen if the first such
option in that order is certified by error. So the choice errs as rarely as one test does, and Bonferroni's correction,
under which ten options would need intervals two fifths wider, is not needed.
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
    """The certificate of one attribute.

    Parameters
    ----------
    attribute, limit
        The attribute, and the largest leakage (NAG) allowed.
    leakage
        Unclipped NAG of the attack with the largest upper end. Another attack may have a larger NAG and a narrower
        interval.
    high
        Largest upper end over all attacks and scenarios of the audit. None where there is no interval: no attack was
        possible, or the originals do not reveal the attribute.
    setting, attacker
        Scenario and family of that attack.
    records
        Number of distinct records that it was tested on.
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
    """Return a certificate for each attribute of `limits`.

    Parameters
    ----------
    readings
        (0, task) -> predictions on the originals, (1, task) -> predictions on the released records.
    limits
        Attribute -> largest NAG allowed.
    classes
        Attribute -> number of classes.
    budget
        Families, scenarios and seeds of the attacks.
    confidence
        Of the two-sided interval.

    Notes
    -----
    A scenario in which the originals do not reveal the attribute is left out. Where both A and B are left out, or no
    attack on the released records was possible, the attribute has no bound.
    """
    return tuple(_certificate(readings, a, limits[a], classes[a], budget, confidence) for a in limits)


def _certificate(
    readings: Readings, attribute: str, limit: float, classes: int, budget: Budget, confidence: float
) -> Certificate:
    none = worst = Certificate(attribute, limit, None, None)
    for setting, best in _best_on_originals(readings, attribute, budget).items():
        after = _by_family(readings, 1, attribute, setting, budget)
        if not after:
            return none
        for family, predictions in after.items():
            end = upper(predictions, best, classes, confidence)
            if end is None:
                return none
            if worst.high is None or end > worst.high:
                truth = best[0].truth
                found = nag(_accuracy(predictions), _accuracy(best), majority(truth))
                worst = Certificate(attribute, limit, found, end, setting, family, len(truth))
    return worst


def upper(after: Sequence[Predictions], before: Sequence[Predictions], classes: int, confidence: float) -> float | None:
    """Return the upper end of the two-sided interval of NAG (unclipped); None where it is undefined.

    It is the largest of three. `metrics.nag_interval` accounts for the choice of the most frequent class, but takes
    variances from whole accuracies, and their correlation cancels what they share with the baseline. With uneven
    classes, where an attack departs from the baseline in few records, it is too narrow. The second end (`departures`)
    counts those records. The third is `metrics.resolvable`, below which no verdict holds: an attack that always
    predicts one class certifies no more than any other.

    Parameters
    ----------
    after, before
        Predictions on released records and on originals, one for each seed, on the same records.
    classes
        Number of classes.
    confidence
        Of the two-sided interval.
    """
    truth = before[0].truth
    pairs = [correlations(truth, a.predicted, b.predicted) for a, b in zip(after, before, strict=True)]
    r = np.mean(pairs, axis=0).tolist()
    shares = _accuracy(after), _accuracy(before), majority(truth)
    interval = nag_interval(*shares, len(truth), confidence=confidence, correlation=(r[0], r[1], r[2]), classes=classes)
    end = departures(after, before, confidence)
    least = resolvable(shares[1], shares[2], len(truth), confidence)
    return None if interval is None or end is None or least is None else max(interval[1], end, least)


def departures(after: Sequence[Predictions], before: Sequence[Predictions], confidence: float) -> float | None:
    """Upper end of NAG, at least 0, from the records in which attack and baseline are not both right or both wrong.

    Accuracy minus baseline is the share of records of other classes that are predicted correctly, minus the share of
    records of the most frequent class that are predicted wrongly. With these shares after (a, b) and before (c, d), NAG
    is the theta at which a - b - theta (c - d) is 0. Its interval follows from Wilson's limits of the four shares,
    which may be small, by MOVER (see `metrics.nag_interval`). This is the upper edge, a root of a quadratic in theta;
    None where there is none.
    """
    truth = before[0].truth
    known = truth >= 0
    usual = truth[known] == np.bincount(truth[known]).argmax()
    moments = []
    for released, best in zip(after, before, strict=True):
        right = [(r.predicted == truth)[known] for r in (released, best)]
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
    # The upper limit of a - b - theta (c - d), where theta is above the estimate: every term at its larger end.
    away = np.where(signs > 0, high - share, low - share) * signs
    now, was = away * [1, 1, 0, 0], away * [0, 0, 1, 1]
    r = r * np.outer(signs, signs)
    gained, reference = share[0] - share[1], share[2] - share[3]
    square, half = reference**2 - was @ r @ was, -gained * reference - now @ r @ was
    least = gained**2 - now @ r @ now
    if reference <= 0 or square <= 0:
        return None
    return float(max((np.sqrt(max(half**2 - square * least, 0)) - half) / square, 0.0))


def lowest(
    readings: Readings, classes: Mapping[str, int], budget: Budget, confidence: float = CONFIDENCE
) -> dict[str, float | None]:
    """Return the lowest limit by attribute that these records can be expected to certify.

    By chance, a certificate can be lower. The limit is the largest upper end, over the audit's scenarios, of an attack
    on a release without any information. That attack knows the shares of the classes. It predicts the most frequent
    class, or, where other classes are within two standard errors of it, each of these equally often.

    Parameters
    ----------
    readings
        (0, task) -> predictions on the originals.
    classes
        Attribute -> number of classes.
    budget, confidence
        As in `certificates`.

    Returns
    -------
    dict
        None for an attribute that the originals do not reveal well enough.
    """
    found: dict[str, float | None] = {}
    for attribute, count in classes.items():
        ends = [
            upper([_uninformed(r) for r in best], best, count, confidence)
            for best in _best_on_originals(readings, attribute, budget).values()
        ]
        defined = [end for end in ends if end is not None]
        found[attribute] = max(defined) if defined and len(defined) == len(ends) else None
    return found


def _uninformed(best: Predictions) -> Predictions:
    """Predictions of an attack that knows the shares of the classes alone."""
    known = best.truth >= 0
    share = np.bincount(best.truth[known]) / known.sum()
    most = share.max()
    # Standard error of the difference of two shares of one sample.
    spread = np.sqrt(np.maximum(most + share - (most - share) ** 2, 0) / known.sum())
    tied = np.flatnonzero(most - share <= 2 * spread)
    predicted = np.empty_like(best.truth)
    # In turn among equal records, so that the predictions are independent of everything else.
    predicted[np.lexsort((best.predicted, best.truth))] = tied[np.arange(len(predicted)) % len(tied)]
    return replace(best, predicted=predicted)


def pooled(parts: Sequence[tuple[Readings, int]]) -> Readings:
    """Join the predictions on several tables, each given with its number of records.

    Tasks that one of them lacks are left out.
    """
    common = set.intersection(*(set(readings) for readings, _ in parts))
    starts = np.cumsum([0, *(n for _, n in parts)])
    made: Readings = {}
    for task in common:
        found = [readings[task] for readings, _ in parts]
        made[task] = Predictions(
            np.concatenate([r.rows + start for r, start in zip(found, starts[:-1], strict=True)]),
            np.concatenate([r.truth for r in found]),
            np.concatenate([r.predicted for r in found]),
        )
    return made


def _best_on_originals(readings: Readings, attribute: str, budget: Budget) -> dict[str, list[Predictions]]:
    """Scenario -> predictions of the best attack on the originals, where NAG is defined.

    Empty where NAG is defined neither in A nor in B.
    """
    found = {}
    for setting in budget.settings:
        before = _by_family(readings, 0, attribute, setting, budget)
        if before:
            best = max(before.values(), key=_accuracy)
            if nag_is_defined(_accuracy(best), majority(best[0].truth), len(best[0].truth)):
                found[setting] = best
    return found if {"A", "B"} & set(found) else {}


def _by_family(
    readings: Readings, side: int, attribute: str, setting: str, budget: Budget
) -> dict[str, list[Predictions]]:
    """Family -> its predictions by seed, of the families that took part with every seed."""
    found = {}
    for family in budget.families:
        tasks = [AttackTask(attribute, family, setting, seed) for seed in budget.seeds]  # type: ignore[arg-type]
        if all((side, task) in readings for task in tasks):
            found[family] = [readings[side, task] for task in tasks]
    return found


def _accuracy(predictions: Sequence[Predictions]) -> float:
    return float(np.mean([accuracy(p.truth, p.predicted) for p in predictions]))


def utilities(readings: Readings, attributes: Sequence[str], budget: Budget) -> dict[str, float]:
    """Return attribute -> unclipped NAG of the best attack on the released records over the best on the originals.

    It is taken in the first scenario of the audit in which the originals reveal the attribute. An attribute that they
    reveal in no scenario is left out.
    """
    found = {}
    for attribute in attributes:
        for setting, best in _best_on_originals(readings, attribute, budget).items():
            after = _by_family(readings, 1, attribute, setting, budget)
            if after:
                truth = best[0].truth
                found[attribute] = nag(max(map(_accuracy, after.values())), _accuracy(best), majority(truth))
                break
    return found
