"""Repeated queries: an attacker that has several releases of each record, under several keys or under one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sordine.attacks.base import Split, Target, accuracy_on, majority_predictions
from sordine.attacks.calibration import calibrated_scores
from sordine.attacks.output_distribution import drawn_outputs, output_distribution
from sordine.attacks.person_attacks import likelihoods
from sordine.attacks.results import QueryFinding
from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.keys import Key
from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.nag import correlations, nag, nag_interval, nag_is_defined, wilson
from sordine.models.modifier import Modifier
from sordine.run import Run

Known = tuple[np.ndarray, np.ndarray]  # P(j | x) of the records (n, M), the output j of each release (q, n)
Scores = tuple[np.ndarray, np.ndarray]  # of validation (v, classes) and of test records (t, classes)
Outcome = tuple[float, np.ndarray]  # accuracy on the validation records, predicted classes of the test records


@dataclass(frozen=True)
class RepeatedReleases:
    """Several releases of the same records.

    Parameters
    ----------
    releases
        (q, n, *shape).
    keys
        "fresh": each release has its own key; "one": all have one key.
    known
        For an attacker that knows a discrete modifier: `knowledge` of these releases.
    """

    releases: np.ndarray
    keys: Literal["fresh", "one"]
    known: Known | None = None

    def distinct(self) -> RepeatedReleases:
        """Return them without releases that repeat an earlier one bit for bit."""
        first = [
            r
            for r in range(len(self.releases))
            if not any(np.array_equal(self.releases[r], self.releases[q]) for q in range(r))
        ]
        known = None if self.known is None else (self.known[0], self.known[1][first])
        return replace(self, releases=self.releases[first], known=known)


def knowledge(modifier: Modifier, before: Table, releases: np.ndarray, keys: Sequence[Key]) -> Known | None:
    """Return what an attacker that has a discrete modifier knows of some releases.

    Parameters
    ----------
    modifier
        The modifier.
    before
        n originals.
    releases
        (q, n, *shape), made under `keys`.
    keys
        The key of each release.

    Returns
    -------
    tuple or None
        P(j | x) (n, M), and the outputs (q, n). None where the modifier is not discrete or the outputs cannot be found.
    """
    first = output_distribution(modifier, before, releases[0], keys[0]) if modifier.discrete else None
    if first is None:
        return None
    index = [first[1]]
    for release, key in zip(releases[1:], keys[1:], strict=True):
        drawn = drawn_outputs(modifier, before, release, key)[0]
        if drawn is None:
            return None
        index.append(drawn)
    return first[0], np.stack(index)


def attack_queries(
    data: AttackData,
    split: Split,
    attribute: str,
    classes: int,
    queries: RepeatedReleases,
    families: Sequence[str],
    run: Run | None = None,
) -> QueryFinding:
    """Attack with all releases of each record, with the first release alone, and on the originals.

    The attacker has as many releases of its own records. It averages the releases of a record, or sums their scores,
    or sums log P(j | class). The way with the best accuracy on its validation records counts.

    Parameters
    ----------
    data
        The originals, with labels.
    split
        The attacker's own records, and the test records.
    attribute
        The attribute to infer.
    classes
        Its number of classes.
    queries
        The releases.
    families
        Names of attacks; those with probabilities are used.
    run
        Device and seed.
    """
    target = Target(data.labels[attribute], classes)
    own = replace(split, test=target.labelled(split.test))
    truth = target.labels[own.test]
    shown = queries.distinct()

    def alone(x: np.ndarray) -> Outcome:
        found = calibrated_scores(_numbers(data, x), own, target, families, run)
        return _outcome(None if found is None else found[1], own, target)

    before = alone(data.x)[1]
    merit, single = alone(shown.releases[0])
    if shown.known is not None:
        known = shown.known[0], shown.known[1][:1]
        merit, single = max((merit, single), _by_outputs(known, own, target), key=lambda outcome: outcome[0])
    how, after = "one", single
    if len(shown.releases) > 1:
        ways = _combined(data, shown, own, target, families, run, alone)
        best = max(ways, key=lambda way: ways[way][0])
        if ways[best][0] >= merit:
            how, after = best, ways[best][1]
    return QueryFinding(
        attribute=attribute,
        queries=len(queries.releases),
        keys=queries.keys,
        distinct=len(shown.releases),
        how=how,
        one=accuracy(truth, single),
        **_figures(truth, before, after, classes),
    )


def _figures(truth: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int) -> dict[str, Any]:
    # The fields of a finding that compare predictions on originals with those on releases.
    n, baseline = len(truth), majority(truth)
    was, now = accuracy(truth, before), accuracy(truth, after)
    interval = nag_interval(now, was, baseline, n, correlation=correlations(truth, after, before), classes=classes)
    return {
        "before": was,
        "after": now,
        "guess": baseline,
        "nag": nag(now, was, baseline) if nag_is_defined(was, baseline, n) else None,
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
        "after_interval": wilson(now * n, n),
        "records": n,
    }


def _combined(
    data: AttackData,
    shown: RepeatedReleases,
    split: Split,
    target: Target,
    families: Sequence[str],
    run: Run | None,
    alone: Callable[[np.ndarray], Outcome],
) -> dict[str, Outcome]:
    # The outcome of each way to combine several releases.
    ways = {
        "averaged": alone(shown.releases.mean(0, dtype=np.float64).astype(np.float32)),
        "summed": _summed(data, shown.releases, split, target, families, run),
    }
    if shown.known is not None:
        ways["channel"] = _by_outputs(shown.known, split, target)
    return ways


def _numbers(data: AttackData, x: np.ndarray) -> np.ndarray:
    return AttackData(x, data.ids, data.labels, data.classes, data.fitted, data.group).numbers()


def _summed(
    data: AttackData,
    releases: np.ndarray,
    split: Split,
    target: Target,
    families: Sequence[str],
    run: Run | None,
) -> Outcome:
    # Every release is a training record of its own; the scores of the releases of one record are summed.
    count, n = releases.shape[:2]
    every = AttackData(
        releases.reshape(count * n, *releases.shape[2:]),
        np.tile(data.ids, count),
        {name: np.tile(codes, count) for name, codes in data.labels.items()},
        data.classes,
        np.tile(data.fitted, count),
    )
    copies = n * np.arange(count)[:, None]
    wide = Split(*((rows + copies).ravel() for rows in (split.train, split.validation, split.test)))
    many = Target(np.tile(target.labels, count), target.classes)
    found = calibrated_scores(every.numbers(), wide, many, families, run)
    if found is None:
        return _outcome(None, split, target)
    own = found[0][0].reshape(count, len(split.validation), -1).sum(0)
    return _outcome((own, found[0][1].reshape(count, len(split.test), -1).sum(0)), split, target)


def _by_outputs(known: Known, split: Split, target: Target) -> Outcome:
    p, index = known
    own, test = likelihoods(p, index.T, split, target)
    return _outcome((own.sum(1), test.sum(1)), split, target)


def _outcome(scores: Scores | None, split: Split, target: Target) -> Outcome:
    if scores is None:
        return 0.0, majority_predictions(target, split.own, split.test)
    labels = target.labels[target.labelled(split.own)]
    prior = np.log(np.maximum(np.bincount(labels, minlength=target.classes), 1e-12))
    own, test = (np.asarray((part + prior).argmax(1)) for part in scores)
    return accuracy_on(target, split.validation, own), test
