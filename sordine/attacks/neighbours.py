"""Attackers by scikit-learn: logistic regression, nearest neighbours, forests of randomised trees and boosted trees.

A modifier that moves the records it was fitted on further than it need leaves each where its own class is *least* likely: who takes
the likeliest class reads less than the guess, and who takes the least likely one reads it. Logistic regression and trees choose
between the two on their validation rows, as they choose everything else.

Each runs on one thread: an audit makes several attacks at a time, and threads inside them would only wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.neighbors import NearestNeighbors

from sordine.attacks.base import Secret, Trial, right, standardise, usual

NEIGHBOURS = (1, 3, 7, 15, 31, 63, 127, 255)
LOOKED_AT = 64  # numbers of a record, drawn for every split, that it is looked for in


def neighbours(
    x: np.ndarray,
    trial: Trial,
    secrets: Sequence[Secret],
    seed: int = 0,
    device: str = "cpu",
    *,
    alike: bool = False,
) -> list[np.ndarray]:
    """A vote of the k nearest training records, features standardised (alike: they are of one scale already, as places on
    principal axes are, whose lengths tell near from far). k is chosen on the validation rows, which then
    join the training records. One search serves every secret and k. Nothing is random: `seed` is not used."""
    mean, scale = standardise(x, trial.train)
    z = x if alike else (x - mean) / scale
    own = np.concatenate([trial.train, trial.validation])
    near = _nearest(z, trial.train, trial.validation)
    chosen = []
    for secret in secrets:
        votes = _votes(secret, near, trial.train)
        chosen.append(max(votes, key=lambda k: right(secret, trial.validation, votes[k])))
    near = _nearest(z, own, trial.tried, max(chosen))
    return [_votes(s, near, own, (k,))[min(k, near.shape[1])] for s, k in zip(secrets, chosen, strict=True)]


def _nearest(z: np.ndarray, among: np.ndarray, of: np.ndarray, most: int = NEIGHBOURS[-1]) -> np.ndarray:
    search = NearestNeighbors(n_neighbors=min(most, len(among)), algorithm="brute")
    return among[search.fit(z[among]).kneighbors(z[of], return_distance=False)]


def _votes(
    secret: Secret, near: np.ndarray, among: np.ndarray, counts: Sequence[int] = NEIGHBOURS
) -> dict[int, np.ndarray]:
    # k -> the class that most of the k nearest have, the nearest one's where equal; unlabelled records have no vote.
    labels = secret.labels[near]
    rows = np.arange(len(near))
    tally = np.full((len(near), secret.classes), 0.0)
    tally[:, usual(secret, among)] = 1e-9
    predicted, done = {}, 0
    for k in sorted({min(k, near.shape[1]) for k in counts}):
        for j in range(done, k):
            voting = labels[:, j] >= 0
            tally[rows[voting], labels[voting, j]] += 1 + 1e-4 / (j + 1)
        predicted[k], done = tally.argmax(1), k
    return predicted
