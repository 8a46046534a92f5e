"""Many queries: an attacker who has several releases of each record, under several keys or under one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sordine.attacks.base import Split, Target
from sordine.attacks.calibration import calibrated_scores
from sordine.attacks.output_distribution import channel, drawn_index
from sordine.attacks.person_attackers import likelihoods
from sordine.attacks.results import QueryFinding
from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.keys import Key
from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.nag import correlations, nag, nag_interval, nag_is_defined, wilson
from sordine.models.modifier import Modifier
from sordine.run import Run

Known = tuple[np.ndarray, np.ndarray]  # P(j | x) of the records (n, M), which j each release of them is (q, n)


def knowledge(modifier: Modifier, before: Table, releases: np.ndarray, keys: Sequence[Key]) -> Known | None:
    """What an attacker has beside `releases` (q, n, *shape), made under `keys`, who holds a discrete modifier; None
    where it is not discrete or what was drawn cannot be told."""
    first = channel(modifier, before, releases[0], keys[0]) if modifier.discrete else None
    if first is None:
        return None
    index = [first[1]]
    for release, key in zip(releases[1:], keys[1:], strict=True):
        drawn = drawn_index(modifier, before, release, key)[0]
        if drawn is None:
            return None
        index.append(drawn)
    return first[0], np.stack(index)


def query(
    scene: AttackData,
    trial: Split,
    attribute: str,
    classes: int,
    releases: np.ndarray,
    keys: Literal["fresh", "one"],
    families: Sequence[str],
    seed: int = 0,
    device: str = "cpu",
    known: Known | None = None,
) -> QueryFinding:
    """The attacker with all of `releases` (q, n, *shape) of each record, with the first of them alone, and on the originals.

    scene: the originals. trial: what it learns from, chooses by and is tried on. It has as many releases of the records that
    it learns from. A release that repeats an earlier one bit for bit tells nothing more and is put aside. It either
    averages the releases of a record, sums what each of them tells or, where it knows the channel (`known`), sums log P(j | class)
    over the draws, whichever reads its own validation records better; one release alone is read by what it knows, too.
    """
    labels = scene.labels[attribute]
    distinct = [r for r in range(len(releases)) if not any(np.array_equal(releases[r], releases[q]) for q in range(r))]
    shown = releases[distinct]
    tried = trial.test[labels[trial.test] >= 0]
    own = Split(trial.train, trial.validation, tried)
    truth = labels[tried]
    given = (classes, families, seed, device)
    before = _alone(scene, scene.x, own, labels, *given)[1]
    merit, single = _alone(scene, shown[0], own, labels, *given)
    if known is not None:
        by_channel = _by_channel(known[0], known[1][distinct[:1]], own, labels, classes)
        merit, single = max((merit, single), by_channel, key=lambda way: way[0])
    how, after = "one", single
    if len(shown) > 1:
        ways = {
            "averaged": _alone(scene, shown.mean(0, dtype=np.float64).astype(np.float32), own, labels, *given),
            "summed": _summed(scene, shown, own, labels, *given),
        }
        if known is not None:
            ways["channel"] = _by_channel(known[0], known[1][distinct], own, labels, classes)
        how = max(ways, key=lambda way: ways[way][0])
        if ways[how][0] >= merit:
            after = ways[how][1]
        else:
            how = "one"
    n, guess = len(truth), majority(truth)
    was, now = accuracy(truth, before), accuracy(truth, after)
    interval = nag_interval(now, was, guess, n, correlation=correlations(truth, after, before), classes=classes)
    return QueryFinding(
        attribute=attribute,
        queries=len(releases),
        keys=keys,
        distinct=len(shown),
        how=how,
        before=was,
        one=accuracy(truth, single),
        after=now,
        guess=guess,
        nag=nag(now, was, guess) if nag_is_defined(was, guess, n) else None,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        after_interval=wilson(now * n, n),
        records=n,
    )


def _numbers(scene: AttackData, x: np.ndarray) -> np.ndarray:
    return AttackData(x, scene.ids, scene.labels, scene.classes, scene.fitted, scene.group).numbers()


def _named(told: np.ndarray, labels: np.ndarray, rows: np.ndarray, classes: int) -> np.ndarray:
    counts = np.bincount(labels[rows][labels[rows] >= 0], minlength=classes)
    return np.asarray((told + np.log(np.maximum(counts, 1e-12))).argmax(1))


def _alone(
    scene: AttackData,
    x: np.ndarray,
    trial: Split,
    labels: np.ndarray,
    classes: int,
    families: Sequence[str],
    seed: int,
    device: str,
) -> tuple[float, np.ndarray]:
    # One version of each record: share of the validation records read right, and classes named of the tried ones.
    read = calibrated_scores(_numbers(scene, x), trial, Target(labels, classes), families, Run(device, seed))
    return _judged(None if read is None else read[1], trial, labels, classes)


def _summed(
    scene: AttackData,
    releases: np.ndarray,
    trial: Split,
    labels: np.ndarray,
    classes: int,
    families: Sequence[str],
    seed: int,
    device: str,
) -> tuple[float, np.ndarray]:
    # It learns from every release as from a record of its own; what those of one record tell is added up.
    count, n = releases.shape[:2]
    every = AttackData(
        releases.reshape(count * n, *releases.shape[2:]),
        np.tile(scene.ids, count),
        {name: np.tile(codes, count) for name, codes in scene.labels.items()},
        scene.classes,
        np.tile(scene.fitted, count),
    )
    copies = n * np.arange(count)[:, None]
    wide = Split(*((rows + copies).ravel() for rows in (trial.train, trial.validation, trial.test)))
    read = calibrated_scores(
        every.numbers(), wide, Target(np.tile(labels, count), classes), families, Run(device, seed)
    )
    if read is None:
        return _judged(None, trial, labels, classes)
    # The copies of a record are as far apart as there are records: unlabelled ones too have their places.
    own = read[0][0].reshape(count, len(trial.validation), -1).sum(0)
    return _judged((own, read[0][1].reshape(count, len(trial.test), -1).sum(0)), trial, labels, classes)


def _by_channel(
    p: np.ndarray, index: np.ndarray, trial: Split, labels: np.ndarray, classes: int
) -> tuple[float, np.ndarray]:
    # index: (q, n), what was drawn in the place of each record.
    own, tried = likelihoods(p, index.T, trial, labels, classes)
    return _judged((own.sum(1), tried.sum(1)), trial, labels, classes)


def _judged(
    read: tuple[np.ndarray, np.ndarray] | None, trial: Split, labels: np.ndarray, classes: int
) -> tuple[float, np.ndarray]:
    rows = np.concatenate([trial.train, trial.validation])
    if read is None:
        usual = int(np.bincount(labels[rows][labels[rows] >= 0], minlength=1).argmax())
        return 0.0, np.full(len(trial.test), usual)
    own, tried = (_named(told, labels, rows, classes) for told in read)
    truth = labels[trial.validation]
    known = truth >= 0
    return float((own[known] == truth[known]).mean()) if known.any() else 0.0, tried
