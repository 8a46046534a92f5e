"""Class probabilities that may be multiplied: probes whose probabilities are calibrated on rows that they did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from sordine.attacks.base import Trial, standardise
from sordine.attacks.mlp import TRAINING, Task, train_together

PENALTIES = (0.3, 0.03)  # of logistic regression, as in `probes`
LEAF, TREES = 8, 80
NARROW = (128, 64)
STEPS = 500
FAMILIES = ("logistic", "trees", "mlp")  # those that give probabilities
FLOOR = -20.0  # of a log probability

Calibrated = tuple[np.ndarray, np.ndarray]  # of the validation rows (v, classes), of the tried rows (t, classes)
Probe = Callable[[np.ndarray], np.ndarray]  # records (m, d) -> log probabilities (m, classes)


def calibrated_scores(
    x: np.ndarray,
    trial: Trial,
    labels: np.ndarray,
    classes: int,
    families: Sequence[str],
    seed: int = 0,
    device: str = "cpu",
) -> tuple[Calibrated, Calibrated] | None:
    """log P(class | x) - log P(class), in nats, of the validation and of the tried rows: twice (v, classes), (t, classes).

    x: (n, d) float32. labels: (n,) codes, -1 unlabelled. Of `families` (those that give no probabilities are passed over; where
    none is left, logistic regression) the one with the lowest log loss on the validation rows is taken, after a slope was
    fitted there; logistic regression and trees then learn once more from training and validation rows. The second of the
    two has an offset a class fitted beside the slope: it corrects a probe that leans to a class, and errs with the
    validation rows' luck, which summing over many records multiplies. None where the training rows hold fewer than two classes.
    """
    train, validation = (rows[labels[rows] >= 0] for rows in (trial.train, trial.validation))
    if len(np.unique(labels[train])) < 2 or not len(validation):
        return None
    best: tuple[float, tuple[str, float], Probe] | None = None
    for name, penalty in _candidates(families):
        probe = _learn(name, penalty, x, labels, classes, train, validation, seed, device)
        loss = _calibrate(probe(x[validation]), labels[validation], classes, False)[2]
        if best is None or loss < best[0]:
            best = (loss, (name, penalty), probe)
    assert best is not None
    _, chosen, probe = best
    last = probe
    if chosen[0] != "mlp":
        own = np.concatenate([train, validation])
        last = _learn(*chosen, x, labels, classes, own, validation, seed, device)
    counts = np.bincount(np.concatenate([labels[train], labels[validation]]), minlength=classes).astype(np.float64)
    prior = np.log((counts + 0.5) / (counts + 0.5).sum())
    never = counts == 0

    own_told, tried_told = probe(x[trial.validation]), last(x[trial.tried])
    labelled = labels[trial.validation] >= 0

    def made(offsets: bool) -> Calibrated:
        slope, offset, _ = _calibrate(own_told[labelled], labels[validation], classes, offsets)
        told = [np.asarray(log_softmax(slope * t + offset, axis=1)) - prior for t in (own_told, tried_told)]
        for part in told:
            part[:, never] = -1e6
        return told[0], told[1]

    return made(False), made(True)


def _candidates(families: Sequence[str]) -> list[tuple[str, float]]:
    named = [f for f in FAMILIES if f in families] or ["logistic"]
    return [(name, p) for name in named for p in (PENALTIES if name == "logistic" else (0.0,))]


def _learn(
    name: str,
    penalty: float,
    x: np.ndarray,
    labels: np.ndarray,
    classes: int,
    train: np.ndarray,
    validation: np.ndarray,
    seed: int,
    device: str,
) -> Probe:
    if name == "mlp":
        task = Task(labels, classes, train, validation, seed)
        learnt = train_together(x, [task], hidden=NARROW, options=replace(TRAINING, steps=STEPS), device=device)[0]
        return lambda some: np.asarray(log_softmax(learnt.logits(some).cpu().numpy().astype(np.float64), axis=1))
    if name == "trees":
        forest = ExtraTreesClassifier(TREES, min_samples_leaf=LEAF, random_state=seed).fit(x[train], labels[train])
        return lambda some: _spread(forest.predict_proba(some), forest.classes_, classes)
    mean, scale = standardise(x, train)
    model = LogisticRegression(C=1 / (penalty * len(train)), max_iter=200, tol=1e-3)
    model.fit((x[train] - mean) / scale, labels[train])
    return lambda some: _spread(model.predict_proba((some - mean) / scale), model.classes_, classes)


def _spread(p: np.ndarray, known: np.ndarray, classes: int) -> np.ndarray:
    out = np.full((len(p), classes), FLOOR)
    out[:, known] = np.maximum(np.log(np.maximum(p, 1e-300)), FLOOR)
    return out


def _calibrate(told: np.ndarray, labels: np.ndarray, classes: int, offsets: bool) -> tuple[float, np.ndarray, float]:
    """The slope, and with `offsets` an offset a class (classes,), that make log probabilities (n, classes) truest on n labels; and
    the mean log loss."""
    n = len(labels)
    truth = np.zeros((n, classes))
    truth[np.arange(n), labels] = 1

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        slope, offset = np.exp(at[0]), at[1:]
        now = log_softmax(slope * told + offset, axis=1)
        wrong = np.exp(now) - truth
        grad = np.concatenate([[float((wrong * told).sum() * slope) + 0.1 * at[0]], wrong.sum(0) + offset])
        return float(-(truth * now).sum() + 0.05 * at[0] ** 2 + 0.5 * offset @ offset), grad

    most = 9.0 if offsets else 0.0
    bounds = [(-6, 3), *[(-most, most)] * classes]
    found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=bounds)
    slope, offset = float(np.exp(found.x[0])), found.x[1:]
    now = log_softmax(slope * told + offset, axis=1)
    return slope, offset, float(-(truth * now).sum() / n)
