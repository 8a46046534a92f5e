"""Attackers that know the modifier, labels of fitted records, or many labelled unseen records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.audit.releases import former
from benchmarks.harness import Store
from sordine.attacks.output_distribution import drawn_outputs
from sordine.attacks.partial_knowledge import log_likelihoods, remainder
from sordine.data.table import Table
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.metrics.nag import nag, nag_interval
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

SHARES = (1 / 2, 2 / 3, 9 / 10)  # of the fitted records, whose labels the attacker knows
COUNTS = (1, 10, 50)  # released records of one class that the attacker pools
DRAWS = 20  # choices of the records whose labels are known
GROUPS = 50  # of each class and count, in each draw
LABELLED = (300, 600, 1200)  # unseen records, from which an attacker learns
FOLDS = 5  # of the unseen records; each is tested once
CANDIDATES = 600  # unseen originals, among which the attacker looks for the original of an output
KEYS = 4  # under which the attacker releases a candidate anew, where outputs are not discrete
AXES, MULTIPLIED, COSINES = 24, 12, 300


@dataclass(frozen=True)
class Scene:
    """A fitted modifier, its table with the split of the fit, and the release of all records under one key."""

    table: Table
    modifier: Modifier
    released: np.ndarray
    secret: np.ndarray

    @property
    def outputs(self) -> np.ndarray:
        """The output that each release is, (n,)."""
        drawn = drawn_outputs(self.modifier, self.table, self.released, Key.of_seed(0))[0]
        assert drawn is not None
        return drawn


def scene(table: Table, method: str, suppress: str, preserve: Sequence[str], fitted: int) -> Scene:
    """Return the modifier that is fitted on the first records in keyed order, and what it releases."""
    key = Key.of_seed(0)
    split = np.zeros(len(table), bool)
    split[key.order("beyond the audit", table.ids)[:fitted]] = True
    table = replace(table, split=split)
    recipe = make(method, former(method, named=bool(preserve)))
    modifier = fit(table, Policy((suppress,), tuple(preserve)), recipe, run=Run(key=key))
    return Scene(table, modifier, transform(modifier, table, key).flat(), table.y[suppress])


def figure(accuracy: float, before: float, secret: np.ndarray) -> list[float]:
    """Return NAG and its interval, for an accuracy on records of these classes (n,)."""
    baseline = float(np.bincount(secret).max() / len(secret))
    low, high = nag_interval(accuracy, before, baseline, len(secret)) or (np.nan, np.nan)
    return [nag(accuracy, before, baseline), low, high]


def known_labels(found: Scene, share: float, modifier: bool) -> dict[str, Any]:
    """Return what an attacker that knows a share of the fitted labels infers of the others, from k records.

    Figures are means over `DRAWS` choices of the known records. Intervals count each record once.
    """
    rows = np.flatnonzero(found.table.split)
    secret, outputs = found.secret[rows], found.outputs[rows]
    size = int(found.modifier.output_distributions(found.table.x[rows[:1]]).shape[1])
    use = found.modifier.output_distributions(found.table.x[rows]) if modifier else np.eye(size)[outputs]
    single, several, tested = [], [], np.zeros(len(rows), bool)
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        known = rng.permutation(len(rows)) < round(share * len(rows))
        total = use[known].mean(0) if modifier else np.bincount(outputs, minlength=size) / len(rows)
        left = remainder(use, known, secret, total)
        unknown, released = secret[~known], outputs[~known]
        tested |= ~known
        single.append((left.T[released].argmax(1) == unknown).mean())
        scores = log_likelihoods(left, known, secret, total)[released]
        several.append([pooled(scores, unknown, count, rng) for count in COUNTS[1:]])
    x = found.table.flat()[rows]
    before = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x[known], secret[known])
    accuracy = float((before.predict(x[~known]) == secret[~known]).mean())
    figures: dict[str, Any] = {"1": figure(float(np.mean(single)), accuracy, secret[tested])}
    for count, values in zip(COUNTS[1:], zip(*several, strict=True), strict=True):
        there = [value for value in values if value is not None]
        figures[str(count)] = float(np.mean(there)) if len(there) == DRAWS else None
    return figures


def pooled(scores: np.ndarray, secret: np.ndarray, count: int, rng: np.random.Generator) -> float | None:
    """Return NAG for groups of `count` records of one class, each class alike; None where a class has too few."""
    right = []
    for code in range(scores.shape[1]):
        own = np.flatnonzero(secret == code)
        if len(own) < count:
            return None
        groups = np.stack([rng.choice(own, count, replace=False) for _ in range(GROUPS)])
        right.append((scores[groups].sum(1).argmax(1) == code).mean())
    return nag(float(np.mean(right)), 1.0, 1 / scores.shape[1])


def membership(found: Scene) -> float:
    """Return the area under the curve of an attacker that decides by the modifier whether a record was fitted.

    Its score is the inner product of a whitened record with the mean of its likeliest output.
    """
    x = found.table.flat().astype(np.float64)
    z, axes = whitened(x)
    means = found.modifier.substitutes.detach().cpu().numpy().reshape(-1, x.shape[1])
    centres = (means - x.mean(0)) @ axes
    likeliest = found.modifier.output_distributions(found.table.x).argmax(1)
    return float(roc_auc_score(found.table.split, (z * centres[likeliest]).sum(1)))


def whitened(x: np.ndarray, axes: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return records in units of their principal axes, (n, axes), and the map to them, (d, axes)."""
    centred = x - x.mean(0)
    _, s, v = np.linalg.svd(centred, full_matrices=False)
    kept = slice(0, axes or int((s > 1e-3 * s[0]).sum()))
    to = v[kept].T / s[kept] * np.sqrt(len(x))
    return centred @ to, to


def link(found: Scene) -> float:
    """Return the share of outputs whose original the modifier finds among unseen ones; equal candidates share."""
    rows = np.flatnonzero(~found.table.split)[:CANDIDATES]
    p = found.modifier.output_distributions(found.table.x[rows])[:, found.outputs[rows]].T  # (release, original)
    best = p >= p.max(1, keepdims=True)
    return float((best.diagonal() / best.sum(1)).mean())


def link_by_releases(found: Scene) -> float:
    """Return the share of releases whose nearest candidate is their original, for outputs that are not discrete.

    A candidate is the mean of its releases under keys of the attacker's own, made with the modifier.
    """
    rows = np.flatnonzero(~found.table.split)[:CANDIDATES]
    some = found.table.take(rows)
    made = np.mean([transform(found.modifier, some, Key.of_seed(1 + k)).flat() for k in range(KEYS)], axis=0)
    scale = made.std(0) + 1e-12
    distance = cdist(found.released[rows] / scale, made / scale)
    return float((distance.argmin(1) == np.arange(len(rows))).mean())


def more_unseen(found: Scene) -> dict[str, Any]:
    """Return what a discriminant infers from released records alone, by the number of labelled unseen records."""
    rows = np.flatnonzero(~found.table.split)
    z = whitened(found.released[rows].astype(np.float64), AXES)[0]
    left, right = np.triu_indices(MULTIPLIED)
    rng = np.random.default_rng(0)
    turns = z @ rng.standard_normal((z.shape[1], COSINES)) / np.sqrt(z.shape[1]) + rng.uniform(0, 2 * np.pi, COSINES)
    features = np.concatenate([z, z[:, left] * z[:, right], np.cos(turns)], axis=1)
    secret = found.secret[rows]
    figures = {}
    for count in LABELLED:
        before = cross_validated(found.table.flat()[rows], secret, count)
        right = cross_validated(features, secret, count)
        figures[str(count)] = figure(float(right.mean()), float(before.mean()), secret)
    return figures


def cross_validated(x: np.ndarray, secret: np.ndarray, count: int) -> np.ndarray:
    """Return which records (n,) a discriminant predicts correctly that learns from `count` records of other folds."""
    right = np.zeros(len(x), bool)
    classes = int(secret.max()) + 1
    for learned, tested in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, secret):
        some = np.random.default_rng(0).permutation(learned)[:count]
        discriminant = LinearDiscriminantAnalysis("lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes))
        model = make_pipeline(StandardScaler(), discriminant).fit(x[some], secret[some])
        right[tested] = model.predict(x[tested]) == secret[tested]
    return right


def measure(store: Store, name: str, table: Table, suppress: str, preserve: Sequence[str]) -> None:
    """Measure all attackers of `transport` on one table and policy."""
    found = scene(table, "transport", suppress, preserve, 4 * len(table) // 5)
    figures: dict[str, Any] = {
        "fitted": int(found.table.split.sum()),
        "known": {f"{s:.2f}": known_labels(found, s, True) for s in SHARES},
        "known, outputs": known_labels(found, SHARES[1], False),
        "membership": membership(found),
        "linkability": link(found),
    }
    store.put(name, figures)


def measure_unseen(store: Store, name: str, table: Table, method: str, suppress: str, preserve: Sequence[str]) -> None:
    """Measure an attacker with many labelled unseen records; the method is fitted to half of the table."""
    found = scene(table, method, suppress, preserve, len(table) // 2)
    linkability = {} if found.modifier.discrete else {"linkability": link_by_releases(found)}
    store.put(name, more_unseen(found) | linkability)
