"""Which space a flow is made in: the one that keeps most among those in which attackers, retrained on what it made of
records held back, read no more than a limit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from torch import Tensor

from sordine.errors import SordineError
from sordine.metrics import nag
from sordine.recipe import Run

PARTS, MANY = 4, 2000  # a quarter is held back; each in turn where records are fewer than this
LUCK = 1.42  # standard errors by which the best of eight attackers that read nothing is expected above the guess
FOLDS = 3  # within what is held back
MOST = 3000  # records that an attacker learns from


@dataclass(frozen=True)
class Candidate:
    """A space, and how many numbers of it."""

    space: Literal["standardised", "matched"]
    size: int


class Coded(Protocol):
    """What is made of a candidate."""

    def code(self, x: Tensor) -> Tensor: ...


def attackers() -> list[BaseEstimator]:
    """Quick ones of four kinds."""
    models = (
        LogisticRegression(max_iter=200),
        KNeighborsClassifier(9),
        ExtraTreesClassifier(100, random_state=0),
        SVC(C=3.0),
    )
    return [make_pipeline(StandardScaler(), m) for m in models]


def hits(train: np.ndarray, y: np.ndarray, test: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Which records each attacker reads rightly, learning on the one side and trying on the other, and by
    cross-validation within the other, where it has classes to divide: (attackers x 2, n)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that have few records, and of descents cut short
        some = np.random.default_rng(0).permutation(len(y))[:MOST]
        across = [m.fit(train[some], y[some]).predict(test) == truth for m in attackers()]
        if (np.bincount(truth) >= FOLDS).sum() < 2:
            return np.stack(across * 2)
        # Tables come in order of their classes: parts are drawn.
        within = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
        inside = [cross_val_predict(m, test, truth, cv=within) == truth for m in attackers()]
    return np.stack(across + inside)


def held_back(secret: Tensor, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows that are learnt from and rows that are held back, once, or each in turn where records are few. What a class has too few
    records to hold back from stays on the first side."""
    count = torch.bincount(secret)[secret].numpy()
    many, few = np.flatnonzero(count >= PARTS), np.flatnonzero(count < PARTS)
    if not len(many):
        return []
    parts = StratifiedKFold(PARTS, shuffle=True, random_state=seed).split(many, secret.numpy()[many])
    splits = [(np.concatenate([many[a], few]), many[b]) for a, b in parts]
    return splits if len(secret) < MANY else splits[:1]


def choose(
    candidates: Sequence[Candidate],
    learn: Callable[[Candidate, np.ndarray], Coded],
    x: Tensor,
    labels: Sequence[Tensor],
    secret: Tensor,
    limit: float,
    run: Run,
) -> tuple[Candidate, dict[str, Any]]:
    """The first candidate of which attackers read no more than `limit`, but for the luck of the best attacker, else the last of those of which they read least; and the worst NAG
    of each candidate that was tried.

    learn: (candidate, rows) -> a fitted flow. x: (n, width). labels: each suppressed attribute, (n,). secret: jointly, (n,).
    """
    splits = held_back(secret, run.seed)
    if not splits:
        raise SordineError(
            f"flow: no class of what is suppressed has {PARTS} records, so that none can be held back to choose a space by; "
            "choose one (--set space=standardised --set size=32)"
        )
    before = [_pooled([(x[a].numpy(), y[a].numpy(), x[b].numpy(), y[b].numpy()) for a, b in splits]) for y in labels]
    guesses = [float(torch.bincount(y).max()) / len(y) for y in labels]
    told: dict[str, float] = {}
    for candidate in candidates:
        codes = []
        for a, b in splits:
            flow = learn(candidate, a)
            with torch.no_grad():
                codes.append((flow.code(x[a]).numpy(), flow.code(x[b]).numpy()))
        worst = error = 0.0
        for y, original, guess in zip(labels, before, guesses, strict=True):
            if original <= guess:
                continue  # nothing to be read of the records themselves
            sides = [(za, y[a].numpy(), zb, y[b].numpy()) for (a, b), (za, zb) in zip(splits, codes, strict=True)]
            read = _pooled(sides)
            if (found := nag(read, original, guess)) > worst:
                tried = sum(len(b) for _, b in splits)
                worst, error = found, math.sqrt(read * (1 - read) / tried) / (original - guess)
        told[f"{candidate.space} {candidate.size}"] = round(worst, 3)
        run.log(f"flow: {candidate.size} numbers, {candidate.space}: {worst:.2f} NAG read from records held back")
        if worst - LUCK * error <= limit:
            best, held = f"{candidate.space} {candidate.size}", True
            break
    else:
        # Few records say little of which is least: of those that are as near as that, the last, which as a rule keeps least.
        best, held = [name for name in told if told[name] <= min(told.values()) + error][-1], False
    chosen = next(c for c in candidates if f"{c.space} {c.size}" == best)
    return chosen, {"held": held, "held_back": told[best], "tried": told}


def _pooled(sides: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """The accuracy of the best attacker over all parts together."""
    return float(np.concatenate([hits(*side) for side in sides], 1).mean(1).max())
