"""Attackers by scikit-learn: logistic regression, nearest neighbours, forests of randomised trees and boosted trees.

A modifier that moves the records it was fitted on further than it need leaves each where its own class is *least* likely: who takes
the likeliest class reads less than the guess, and who takes the least likely one reads it. Logistic regression and trees choose
between the two on their validation rows, as they choose everything else.

Each runs on one thread: an audit makes several attacks at a time, and threads inside them would only wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sordine.attacks.base import Secret, Trial, frequencies, right, surest, taken, usual
from sordine.attacks.logistic import _likely
from sordine.attacks.neighbours import LOOKED_AT

LEAVES = (1, 8)
TREES, TREES_TO_CHOOSE = 120, 20
# Leaves of a boosted tree, and the step it makes: few large steps of small trees, many small ones of larger trees.
BOOSTED = ((4, 0.2), (15, 0.08))
ROUNDS, MOST_TREES = 60, 240  # at most: of boosting, and of its trees, of which every round grows one a class
BINS = 63  # that a number's values are sorted into


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
        rounds = min(ROUNDS, max(1, MOST_TREES // (1 if trees_a_round == 2 else trees_a_round)))
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
