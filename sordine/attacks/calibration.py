"""Calibrated class probabilities, which may be multiplied over several records or releases.

Classifiers are calibrated on records that they did not learn from: a slope for log probabilities ("temperature
scaling", Guo et al., 2017), and an offset for each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from sordine.attacks.base import Attack, LogProbabilities, Split, Target
from sordine.attacks.registry import ATTACKS
from sordine.run import Run

IMPOSSIBLE = -1e6  # score of a class without own records

Calibrated = tuple[np.ndarray, np.ndarray]  # scores of the validation (v, classes) and of the test records (t, classes)


def calibrated_scores(
    x: np.ndarray, split: Split, target: Target, families: Sequence[str], run: Run | None = None
) -> tuple[Calibrated, Calibrated] | None:
    """Return log P(class | x) - log P(class), in nats, of the validation and of the test records.

    The attack and hyperparameter with the lowest log loss on the validation records is taken, after a slope was fitted
    there. Attacks that do not need the validation records for early stopping then learn once more, from training and
    validation records together.

    Parameters
    ----------
    x
        (n, d) float32.
    split
        The attacker's own records, and those to score.
    target
        The attribute.
    families
        Names of attacks. Those without probabilities are passed over; where none is left, logistic regression is used.
    run
        Device and seed.

    Returns
    -------
    tuple or None
        Two pairs of scores (v, classes), (t, classes). The second pair has an offset for each class, fitted beside the
        slope: it corrects a classifier that prefers a class, but it also fits the chance of the validation records,
        which a sum over many records multiplies. None where the training records hold fewer than two classes.
    """
    run = run or Run()
    labels, classes = target.labels, target.classes
    train, validation = target.labelled(split.train), target.labelled(split.validation)
    if not target.has_two_classes(train) or not len(validation):
        return None
    learn = Split(train, validation, split.test)
    attack, candidate, model = _best_model(x, learn, target, families, run)
    final = model
    if attack.refits:
        final = attack.fit_probabilities(x, target, replace(learn, train=learn.own), run, candidate)
    counts = np.bincount(labels[learn.own], minlength=classes).astype(np.float64)
    prior = np.log((counts + 0.5) / (counts + 0.5).sum())
    own, test = model(x[split.validation]), final(x[split.test])
    labelled = labels[split.validation] >= 0

    def scores(offsets: bool) -> Calibrated:
        slope, offset, _ = _calibrate(own[labelled], labels[validation], classes, offsets)
        parts = [np.asarray(log_softmax(slope * p + offset, axis=1)) - prior for p in (own, test)]
        for part in parts:
            part[:, counts == 0] = IMPOSSIBLE
        return parts[0], parts[1]

    return scores(False), scores(True)


def _best_model(
    x: np.ndarray, split: Split, target: Target, families: Sequence[str], run: Run
) -> tuple[Attack, float, LogProbabilities]:
    able = [name for name in ATTACKS if ATTACKS[name].gives_probabilities]
    best: tuple[float, tuple[Attack, float, LogProbabilities]] | None = None
    for name in [name for name in able if name in families] or able[:1]:
        attack = ATTACKS[name]()
        for candidate in attack.probability_candidates():
            model = attack.fit_probabilities(x, target, split, run, candidate)
            loss = _calibrate(model(x[split.validation]), target.labels[split.validation], target.classes, False)[2]
            if best is None or loss < best[0]:
                best = loss, (attack, candidate, model)
    assert best is not None
    return best[1]


def _calibrate(log_p: np.ndarray, labels: np.ndarray, classes: int, offsets: bool) -> tuple[float, np.ndarray, float]:
    """Return the slope and offsets (classes,) that minimise the log loss on n labels, and the mean log loss.

    Without `offsets` these are 0. log_p: (n, classes).
    """
    n = len(labels)
    truth = np.zeros((n, classes))
    truth[np.arange(n), labels] = 1

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = np.exp(at[0]), at[1:]
        now = log_softmax(slope * log_p + offset, axis=1)
        wrong = np.exp(now) - truth
        grad = np.concatenate([[float((wrong * log_p).sum() * slope) + 0.1 * at[0]], wrong.sum(0) + offset])
        return float(-(truth * now).sum() + 0.05 * at[0] ** 2 + 0.5 * offset @ offset), grad

    most = 9.0 if offsets else 0.0
    bounds = [(-6, 3), *[(-most, most)] * classes]
    found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, offset = float(np.exp(found.x[0])), found.x[1:]
    now = log_softmax(slope * log_p + offset, axis=1)
    return slope, offset, float(-(truth * now).sum() / n)
