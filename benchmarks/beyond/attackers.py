"""Attackers that know the modifier, labels of fitted records, or many labelled unseen records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Store
from sordine.attacks.output_distribution import drawn_outputs
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
GROUPS = 200  # of each class and count
LABELLED = (300, 600, 1200)  # unseen records, from which an attacker learns
FOLDS = 5  # of the unseen records; each is tested once
CANDIDATES = 600  # unseen originals, among which the attacker looks for the original of an output
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
    modifier = fit(table, Policy((suppress,), tuple(preserve)), make(method), run=Run(key=key))
    return Scene(table, modifier, transform(modifier, table, key).flat(), table.y[suppress])


def figure(right: np.ndarray, before: float, secret: np.ndarray) -> list[float]:
    """Return NAG and its interval, for correct predictions (n,) of classes (n,)."""
    baseline = float(np.bincount(secret).max() / len(secret))
    low, high = nag_interval(float(right.mean()), before, baseline, len(right)) or (np.nan, np.nan)
    return [nag(float(right.mean()), before, baseline), low, high]


def remainder(
    use: np.ndarray, released: np.ndarray, known: np.ndarray, secret: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Return log P(output | class) of the records whose label is unknown, up to a constant: (n, classes).

    Every class uses each output alike over all fitted records. What the known records of a class used too little, the
    others must use.

    Parameters
    ----------
    use
        (n, outputs): how much each record uses each output, a distribution or the drawn output itself.
    released
        (n,) outputs of the records.
    known
        (n,) whether the attacker knows the label.
    secret
        (n,) classes. Of the unknown records only the number in each class is used.
    share
        (outputs,) the share of each output.
    """
    scores = []
    for code in range(int(secret.max()) + 1):
        own = secret == code
        left = own.sum() * share - use[own & known].sum(0)
        floor = 0.05 * (own & ~known).sum() * share + 1e-9
        left = np.maximum(left, floor)
        scores.append(np.log(left / left.sum() / (share + 1e-12))[released[~known]])
    return np.stack(scores, 1)


def known_labels(found: Scene, share: float, modifier: bool) -> dict[str, Any]:
    """Return what an attacker that knows a share of the fitted labels infers of the others, from k records."""
    rows = np.flatnonzero(found.table.split)
    secret, outputs = found.secret[rows], found.outputs[rows]
    size = int(found.modifier.output_distributions(found.table.x[rows[:1]]).shape[1])
    use = found.modifier.output_distributions(found.table.x[rows]) if modifier else np.eye(size)[outputs]
    rng = np.random.default_rng(0)
    known = rng.permutation(len(rows)) < round(share * len(rows))
    total = use[known].mean(0) if modifier else np.bincount(outputs, minlength=size) / len(rows)
    scores = remainder(use, outputs, known, secret, total)
    unknown = secret[~known]
    x = found.table.flat()[rows]
    before = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x[known], secret[known])
    accuracy = float((before.predict(x[~known]) == unknown).mean())
    figures: dict[str, Any] = {"1": figure(scores.argmax(1) == unknown, accuracy, unknown)}
    for count in COUNTS[1:]:
        figures[str(count)] = pooled(scores, unknown, count, rng)
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
        figures[str(count)] = figure(cross_validated(features, secret, count), float(before.mean()), secret)
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
    store.put(name, more_unseen(scene(table, method, suppress, preserve, len(table) // 2)))
