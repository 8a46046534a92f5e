"""Reconstruction of records by regression: from released records x' to originals x, and what the result discloses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sordine.attacks.principal_axes import principal_axes
from sordine.attacks.risk import EXACT, Attempt, Space, squared_distances
from sordine.keys import numpy_rng
from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.design_effect import effective_records
from sordine.metrics.nag import correlations, nag, nag_interval, nag_is_defined, wilson
from sordine.metrics.risk import Share
from sordine.metrics.utility import ratio

AXES = 256  # of the originals, on which they are predicted
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)  # multiples of the mean of the kernel's diagonal
WIDTHS = (0.3, 1.0, 3.0)  # of the Gaussian kernel, as multiples of the median squared distance
VALIDATION = 4  # one in so many pairs chooses kernel and penalty
LINEAR = "ridge regression"
KERNEL = "kernel regression"

Side = Literal["fitted", "unseen"]


@dataclass(frozen=True)
class Reconstructed:
    """Originals of test records, as an attacker predicts them.

    Parameters
    ----------
    name
        The attack, in words.
    merit
        Its explained variance on the attacker's own validation records.
    predicted, control
        (t, k) on the axes of the originals, after learning from pairs, and from shuffled pairs.
    """

    name: str
    merit: float
    predicted: np.ndarray
    control: np.ndarray


@dataclass(frozen=True)
class Goal:
    """Originals on their principal axes.

    Parameters
    ----------
    own, test
        (m, k) and (t, k).
    rest
        (t,) squared length of what the axes do not hold of test records.
    """

    own: np.ndarray
    test: np.ndarray
    rest: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, own: np.ndarray, test: np.ndarray) -> Goal:
        """Return the goal for originals (n, d): positions of the attacker's own and of the test records."""
        space = Space(x[own])
        z, moved = space.standardised(x[own]), space.standardised(x[test])
        if z.shape[1] > EXACT:
            axes = principal_axes(z, AXES).along
        else:
            axes = np.linalg.eigh((z.T @ z).astype(np.float64))[1][:, ::-1][:, :AXES].astype(np.float32)
        goal = moved @ axes
        rest = np.maximum((moved**2).sum(1) - (goal**2).sum(1), 0)
        return cls(np.asarray(z @ axes), np.asarray(goal), rest)

    def share(self, predicted: np.ndarray, confidence: float = 0.95) -> Share:
        """Return the explained variance of the test records, of all numbers in standard deviations."""
        errors = ((self.test - predicted) ** 2).sum(1) + self.rest
        total = (self.test**2).sum(1) + self.rest
        return ratio(errors.astype(np.float64), total.astype(np.float64), confidence)


def reconstruct(goal: Goal, own: np.ndarray, test: np.ndarray) -> list[Reconstructed]:
    """Predict test originals from their released records, linearly and with a Gaussian kernel.

    Parameters
    ----------
    goal
        The originals.
    own, test
        (m, e) and (t, e) released records of the attacker's own and of the test originals.
    """
    space = Space(own)
    z, new = space.standardised(own), space.standardised(test)
    held = numpy_rng(0, "reconstruction").permutation(len(z)) % VALIDATION == 0
    shuffled = numpy_rng(1, "reconstruction").permutation(len(z))
    among, across = squared_distances(z, z), squared_distances(new, z)
    unit = float(np.median(among)) or 1.0
    kernels = {LINEAR: [(z @ z.T, new @ z.T)]}
    kernels[KERNEL] = [(np.exp(-among / (w * unit)), np.exp(-across / (w * unit))) for w in WIDTHS]
    found = []
    for name, some in kernels.items():
        merits = {
            (i, penalty): _merit(gram, goal.own, held, penalty)
            for i, (gram, _) in enumerate(some)
            for penalty in PENALTIES
        }
        i, penalty = max(merits, key=lambda way: merits[way])
        gram, cross = some[i]
        predictions = [_predict(gram, goal.own[rows], cross, penalty) for rows in (slice(None), shuffled)]
        found.append(Reconstructed(name, merits[i, penalty], predictions[0], predictions[1]))
    return found


def _merit(gram: np.ndarray, goal: np.ndarray, held: np.ndarray, penalty: float) -> float:
    train = ~held
    predicted = _predict(gram[np.ix_(train, train)], goal[train], gram[np.ix_(held, train)], penalty)
    return 1 - float(((goal[held] - predicted) ** 2).sum() / max(float((goal[held] ** 2).sum()), 1e-12))


def _predict(gram: np.ndarray, goal: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    mean = goal.mean(0)
    matrix = gram.astype(np.float64)
    matrix[np.diag_indices(len(matrix))] += penalty * max(float(np.trace(gram)) / len(gram), 1e-12)
    return np.asarray(cross @ np.linalg.solve(matrix, goal - mean) + mean, np.float32)


def attempts(goal: Goal, found: Sequence[Reconstructed], on: Side = "unseen") -> list[Attempt]:
    """Return the explained variance of each reconstruction, with the one from shuffled pairs as its control.

    Parameters
    ----------
    goal, found
        The originals, and their reconstructions.
    on
        The side of the split of the reconstructed records.
    """
    return [_attempt(goal, one, on) for one in found]


def _attempt(goal: Goal, found: Reconstructed, on: Side) -> Attempt:
    def at(confidence: float) -> tuple[Share, Share]:
        return goal.share(found.predicted, confidence), goal.share(found.control, confidence)

    return Attempt(found.name, "originals", on, "r2", at, len(goal.test), len(goal.test))


@dataclass(frozen=True)
class ReaderFinding:
    """What a classifier that was trained on originals infers from reconstructed records.

    Parameters
    ----------
    attribute
        The suppressed attribute.
    before, after, guess
        Its accuracy on originals and on reconstructed records, and the baseline.
    after_interval
        Wilson interval of `after`, on as many records as are independent.
    nag, low, high
        NAG and its interval; None where originals disclose too little.
    records
        Number of test records.
    """

    attribute: str
    before: float
    after: float
    guess: float
    after_interval: tuple[float, float]
    nag: float | None
    low: float | None
    high: float | None
    records: int


def infer(
    goal: Goal,
    predicted: np.ndarray,
    attribute: str,
    labels: tuple[np.ndarray, np.ndarray],
    confidence: float,
    unit: np.ndarray | None = None,
) -> ReaderFinding | None:
    """Train a classifier on the attacker's own originals, and test it on originals and on their reconstructions.

    Parameters
    ----------
    goal
        The originals on their axes.
    predicted
        (t, k) the reconstructions of the test records.
    attribute
        Name of the attribute.
    labels
        (m,) and (t,) its classes, -1 where unlabelled.
    confidence
        Of the interval of NAG.
    unit
        (t,) the person or group of each test record. Records of one person are predicted alike, so intervals count as
        many records as are independent. None: all are.

    Returns
    -------
    ReaderFinding or None
        None where the attacker's own records have fewer than two classes, or no test record is labelled.
    """
    own, test = labels
    learned, known = own >= 0, test >= 0
    t = int(known.sum())
    if not t or len(np.unique(own[learned])) < 2:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(goal.own[learned], own[learned])
    truth, before, after = test[known], model.predict(goal.test[known]), model.predict(predicted[known])
    was, now, baseline = accuracy(truth, before), accuracy(truth, after), majority(truth)
    owner = np.arange(t) if unit is None else unit[known]
    counted = (effective_records(truth, after, owner), effective_records(truth, before, owner))
    related = correlations(truth, after, before)
    interval = nag_interval(now, was, baseline, t, confidence=confidence, correlation=related, independent=counted)
    return ReaderFinding(
        attribute=attribute,
        before=was,
        after=now,
        guess=baseline,
        after_interval=wilson(now * counted[0], counted[0]),
        nag=nag(now, was, baseline) if nag_is_defined(was, baseline, t, counted[1]) else None,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        records=t,
    )
