"""Membership: was this original among the records that a modifier was fitted on?

An attack is a set of scores of originals, higher or lower for records of the fit. For one half of the records, the
attacker knows whether they belong to the fit. It chooses there the best score, or a logistic regression of all scores,
and is measured on the other half.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from sordine.attacks.risk import Attempt, Knows, Space, comparisons, squared_distances
from sordine.metrics.risk import Share, auc, share_by_group

FALSE = 0.01  # share of unseen records that may be called members
FOLDS = 5
NEIGHBOUR = 5  # whose distance stands for a local density
BLIND = 20  # axes that an attacker without a release looks at
COMBINED = "all scores together, by logistic regression"
FEWEST = 40  # records on each side, below which nothing is measured

Scores = Mapping[str, np.ndarray]  # what a score is, in words -> (n,)


@dataclass(frozen=True)
class Candidates:
    """Originals whose membership is asked for.

    Parameters
    ----------
    member
        (n,) bool: which were fitted.
    known
        (n,) bool: for which the attacker knows it. The others are tested.
    groups
        (n,) codes of persons where fit and unseen records have different ones; they count as one observation.
    odd
        (n,) bool: one half of the unseen records, for the control.
    """

    member: np.ndarray
    known: np.ndarray
    odd: np.ndarray
    groups: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> Candidates:
        """Return some of the candidates."""
        groups = None if self.groups is None else self.groups[rows]
        return Candidates(self.member[rows], self.known[rows], self.odd[rows], groups)


def scores_of_record(x: np.ndarray, space: Space) -> Scores:
    """Return scores of originals (n, d) from nothing but themselves.

    Above chance, they say that the two sides differ anyway. An attack has to be better than this.
    """
    w = space.whitened(x)
    axes = {f"principal axis {i + 1}": w[:, i] for i in range(min(BLIND, w.shape[1]))}
    return {"distance from the mean": -np.linalg.norm(w, axis=1), **axes}


def scores_of_release(x: np.ndarray, released: np.ndarray, space: Space) -> Scores:
    """Return scores of originals (n, d) from the released records (m, d) of the fit."""
    found = {}
    for way in comparisons(space, Space(released)):
        z, w = way.original(x), way.released(released)
        squared = squared_distances(z, w)
        found[f"distance to the nearest released record, {way.name}"] = -np.sqrt(squared.min(1))
        if "whitened" in way.name:
            product = (z * w[squared.argmin(1)]).sum(1)
            found[f"inner product with the nearest released record, {way.name}"] = product
        else:
            found[f"density of released records over that of originals, {way.name}"] = _density(z, squared)
    return found


def _density(z: np.ndarray, squared: np.ndarray) -> np.ndarray:
    # z: originals (n, k); squared: their squared distances to released records (n, m).
    place = min(NEIGHBOUR, squared.shape[1]) - 1
    near = np.sqrt(np.partition(squared, place, axis=1)[:, place])
    among = squared_distances(z, z)
    np.fill_diagonal(among, np.inf)
    place = min(NEIGHBOUR, len(z) - 1) - 1
    others = np.sqrt(np.partition(among, place, axis=1)[:, place])
    return np.asarray(np.log((others + 1e-9) / (near + 1e-9)))


def scores_of_outputs(x: np.ndarray, p: np.ndarray, centres: np.ndarray | None, space: Space) -> Scores:
    """Return scores of originals (n, d) from a modifier with discrete output.

    Parameters
    ----------
    x
        Originals.
    p
        P(output | x), (n, M).
    centres
        (M, d) the record that each output releases; None where it has other numbers than originals.
    space
        Where records are compared.
    """
    found = {
        "largest probability of an output": p.max(1),
        "entropy of the output distribution": xlogy(p, p).sum(1),
    }
    if centres is None:
        return found
    z, c = space.whitened(x), space.whitened(centres)
    likeliest, mean = c[p.argmax(1)], p @ c
    plain = space.standardised(x) - space.standardised(centres)[p.argmax(1)]
    return found | {
        "inner product with the likeliest output": (z * likeliest).sum(1),
        "inner product with the mean output": (z * mean).sum(1),
        "distance to the likeliest output": -np.linalg.norm(z - likeliest, axis=1),
        "distance to the mean output": -np.linalg.norm(z - mean, axis=1),
        "distance to the likeliest output, standardised numbers": -np.linalg.norm(plain, axis=1),
        **_apart("likeliest output", x, centres[p.argmax(1)], space),
        **_apart("mean output", x, p @ centres, space),
    }


def _apart(name: str, x: np.ndarray, released: np.ndarray, space: Space) -> Scores:
    """Return distances of originals (n, d) to what is released of each (n, d), each side on its own scale."""
    return {
        f"distance to the {name}, {way.name}": -np.linalg.norm(way.original(x) - way.released(released), axis=1)
        for way in comparisons(space, Space(released))[2:]
    }


def scores_of_releases(x: np.ndarray, releases: np.ndarray, space: Space) -> Scores:
    """Return scores of originals (n, d) from releases (keys, n, e) that the attacker makes of them."""
    mean = releases.mean(0)
    own = Space(mean) if mean.shape != x.shape else space
    w = own.whitened(mean)
    found = {"distance of the release from the mean": -np.linalg.norm(w, axis=1)}
    if len(releases) > 1:
        spread = np.mean([((own.standardised(r) - own.standardised(mean)) ** 2).sum(1) for r in releases], axis=0)
        found["spread of several releases"] = -spread
    if mean.shape != x.shape:
        return found
    z = space.whitened(x)
    plain = space.standardised(mean) - space.standardised(x)
    return found | {
        "distance between original and release, whitened numbers": -np.linalg.norm(w - z, axis=1),
        "distance between original and release, standardised numbers": -np.linalg.norm(plain, axis=1),
        "inner product of original and release": (z * w).sum(1),
        **_apart("release", x, mean, space),
    }


def attack(scores: Scores, knows: Knows, candidates: Candidates) -> list[Attempt]:
    """Return the area under the curve of the best score, and the share of members found at 1 % false ones.

    The attacker chooses a score for each: one that ranks all records well may find few members surely. The controls
    are the same attack on unseen records: one half of them against the other, and the share of unseen records that are
    called members.
    """
    every = list(scored(scores, candidates))
    (name, score), (finder, finding) = best(every, candidates, area), best(every, candidates, found_share)
    tested, member, groups = ~candidates.known, candidates.member, candidates.groups
    others = tested & ~member
    threshold = _threshold(finding[candidates.known & ~member])

    def compared(one: np.ndarray, other: np.ndarray, confidence: float) -> Share:
        codes = None if groups is None else (groups[one], groups[other])
        return auc(score[one], score[other], confidence, codes)

    def areas(confidence: float) -> tuple[Share, Share]:
        return compared(tested & member, others, confidence), compared(
            others & candidates.odd, others & ~candidates.odd, confidence
        )

    def found(confidence: float) -> tuple[Share, Share]:
        called, calls = (
            share_by_group(finding[side] > threshold, None if groups is None else groups[side], confidence)
            for side in (tested & member, others)
        )
        return called, calls

    members, unseen = int((tested & member).sum()), int(others.sum())
    return [
        Attempt(name, knows, "both", "auc", areas, members + unseen, unseen),
        Attempt(finder, knows, "both", "found", found, members, unseen),
    ]


@dataclass(frozen=True)
class Scored:
    """A score in words: of the known records (k,), as the attacker judges it, and of all records (n,)."""

    name: str
    judged: np.ndarray
    score: np.ndarray


def area(score: np.ndarray, member: np.ndarray) -> float:
    """Return how often a member has a higher score (n,) than another record."""
    return auc(score[member], score[~member]).value


def found_share(score: np.ndarray, member: np.ndarray) -> float:
    """Return the share of members found by a score (n,) at 1 % false ones."""
    return float((score[member] > _threshold(score[~member])).mean())


def _threshold(unseen: np.ndarray) -> float:
    return float(np.quantile(unseen, 1 - FALSE, method="higher"))


def best(
    every: list[Scored], candidates: Candidates, merit: Callable[[np.ndarray, np.ndarray], float]
) -> tuple[str, np.ndarray]:
    """Return the score with the largest merit on the known records, in words and (n,), higher for members.

    Scores are turned round where members have lower ones.
    """
    member = candidates.member[candidates.known]
    merits = {(i, sign): merit(sign * some.judged, member) for i, some in enumerate(every) for sign in (1, -1)}
    i, sign = max(merits, key=lambda at: merits[at])
    return every[i].name, sign * every[i].score


def scored(scores: Scores, candidates: Candidates) -> Iterator[Scored]:
    """Yield the scores, and a logistic regression of them, which is judged by cross-validation."""
    for name, score in scores.items():
        yield Scored(name, score[candidates.known], score)
    if len(scores) > 1:
        yield _combined(np.stack(list(scores.values()), axis=1), candidates)


def _combined(features: np.ndarray, candidates: Candidates) -> Scored:
    known = np.flatnonzero(candidates.known)
    mean, scale = features[known].mean(0), features[known].std(0) + 1e-12
    z, member = (features - mean) / scale, candidates.member
    held = np.zeros(len(known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(known, member[known]):
            held[test] = _logistic(z[known[train]], member[known[train]]).decision_function(z[known[test]])
        model = _logistic(z[known], member[known])
    return Scored(COMBINED, held, np.asarray(model.decision_function(z)))


def _logistic(z: np.ndarray, member: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=1.0, max_iter=200, class_weight="balanced").fit(z, member)
