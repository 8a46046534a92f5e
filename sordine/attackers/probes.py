"""Attackers by scikit-learn: logistic regression, nearest neighbours, forests of randomised trees and boosted trees.

A modifier that moves the records it was fitted on further than it need leaves each where its own class is *least* likely: who takes
the likeliest class reads less than the guess, and who takes the least likely one reads it. Logistic regression and trees choose
between the two on their validation rows, as they choose everything else.

Each runs on one thread: an audit makes several attacks at a time, and threads inside them would only wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sordine.attackers.trial import Secret, Trial, frequencies, right, standardise, surest, taken, usual

# Times half the squared weights of standardised features, against the mean loss.
PENALTIES = (3.0, 0.3, 0.03, 0.003, 0.0003)
NEIGHBOURS = (1, 3, 7, 15, 31, 63, 127, 255)
LEAVES = (1, 8)
TREES, TREES_TO_CHOOSE = 120, 20
# Leaves of a boosted tree, and the step it makes: few large steps of small trees, many small ones of larger trees.
BOOSTED = ((4, 0.2), (15, 0.08))
ROUNDS, GROWN = 60, 240  # at most: of boosting, and of its trees, of which every round grows one a class
BINS = 63  # that a number's values are sorted into
LOOKED_AT = 64  # numbers of a record, drawn for every split, that it is looked for in


class Probabilities(Protocol):
    """What scikit-learn's classifiers that know probabilities have in common."""

    classes_: np.ndarray

    def predict_proba(self, x: Any) -> Any: ...


def logistic(
    x: np.ndarray, trial: Trial, secrets: Sequence[Secret], seed: int = 0, device: str = "cpu"
) -> list[np.ndarray]:
    """Multinomial logistic regression on standardised features; the penalty, and whether the likeliest or the least likely class
    is taken, are chosen on the validation rows, which then join the training rows."""
    own = np.concatenate([trial.train, trial.validation])
    mean, scale = standardise(x, own)
    z = (x - mean) / scale
    predictions = []
    for secret in secrets:
        train, every = (rows[secret.labels[rows] >= 0] for rows in (trial.train, own))
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        models = [_regression(penalty, z[train], secret.labels[train]) for penalty in PENALTIES]
        tried = [_likely(m, z[trial.validation], secret.classes) for m in models]
        best, least = surest(tried, frequencies(secret, train), secret, trial.validation)
        model = _regression(PENALTIES[best], z[every], secret.labels[every])
        likely = _likely(model, z[trial.tried], secret.classes)
        predictions.append(taken(likely, frequencies(secret, every), least))
    return predictions


def _likely(model: Probabilities, z: np.ndarray, classes: int) -> np.ndarray:
    """P(class | x), 0 where a class was not seen: (n, d) -> (n, classes)."""
    likely = np.zeros((len(z), classes))
    if len(z):
        likely[:, model.classes_] = model.predict_proba(z)
    return likely


def _regression(penalty: float, z: np.ndarray, labels: np.ndarray) -> LogisticRegression:
    return LogisticRegression(C=1 / (penalty * len(z)), max_iter=200).fit(z, labels)


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


def trees(
    x: np.ndarray, trial: Trial, secrets: Sequence[Secret], seed: int = 0, device: str = "cpu"
) -> list[np.ndarray]:
    """Extremely randomised trees; the smallest leaf, and whether the likeliest or the least likely class is taken, are chosen on
    the validation rows with few trees, then many trees are grown from training and validation rows together."""
    own = np.concatenate([trial.train, trial.validation])
    predictions = []
    for secret in secrets:
        train, every = (rows[secret.labels[rows] >= 0] for rows in (trial.train, own))
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        small = [_forest(TREES_TO_CHOOSE, leaf, seed).fit(x[train], secret.labels[train]) for leaf in LEAVES]
        tried = [_likely(m, x[trial.validation], secret.classes) for m in small]
        best, least = surest(tried, frequencies(secret, train), secret, trial.validation)
        forest = _forest(TREES, LEAVES[best], seed).fit(x[every], secret.labels[every])
        likely = _likely(forest, x[trial.tried], secret.classes)
        predictions.append(taken(likely, frequencies(secret, every), least))
    return predictions


def _forest(count: int, leaf: int, seed: int) -> ExtraTreesClassifier:
    return ExtraTreesClassifier(count, min_samples_leaf=leaf, random_state=seed)


def boosting(
    x: np.ndarray, trial: Trial, secrets: Sequence[Secret], seed: int = 0, device: str = "cpu"
) -> list[np.ndarray]:
    """Gradient-boosted trees; their size and the number of rounds are chosen on the validation rows, which then join the
    training rows."""
    own = np.concatenate([trial.train, trial.validation])
    predictions = []
    for secret in secrets:
        train, every = (rows[secret.labels[rows] >= 0] for rows in (trial.train, own))
        held = trial.validation[secret.labels[trial.validation] >= 0]
        if len(np.unique(secret.labels[train])) < 2:
            predictions.append(np.full(len(trial.tried), usual(secret, own)))
            continue
        trees_a_round = len(np.unique(secret.labels[every]))
        rounds = min(ROUNDS, max(1, GROWN // (1 if trees_a_round == 2 else trees_a_round)))
        # Its threads are OpenMP's, which heeds only a limit set in the thread that asks for them.
        with threadpool_limits(1, user_api="openmp"):
            tried = []
            for leaves, rate in BOOSTED:
                model = _boosted(rounds, leaves, rate, seed, x.shape[1]).fit(x[train], secret.labels[train])
                read = [right(secret, held, p) for p in model.staged_predict(x[held])] if len(held) else [0.0] * rounds
                tried.append((max(read), leaves, rate, 1 + int(np.argmax(read))))
            _, leaves, rate, enough = max(tried, key=lambda t: t[0])
            model = _boosted(enough, leaves, rate, seed, x.shape[1]).fit(x[every], secret.labels[every])
            predictions.append(model.predict(x[trial.tried]))
    return predictions


def _boosted(rounds: int, leaves: int, rate: float, seed: int, width: int) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=rounds,
        max_leaf_nodes=leaves,
        learning_rate=rate,
        min_samples_leaf=5,
        max_features=min(1.0, LOOKED_AT / width),
        max_bins=BINS,
        early_stopping=False,
        random_state=seed,
    )
