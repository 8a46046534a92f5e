"""One setting of a method, tried on held-back records: fitted, released and attacked, on two halves that take turns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sordine.attacks.budget import Budget
from sordine.attacks.runner import attack_originals, attack_releases
from sordine.attacks.scenarios import AttackData
from sordine.data.splits import group_parts, keyed_ranks, stratified_parts
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.headlines import Readings
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.metrics.information import is_decided
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run, silent
from sordine.workflow.certificates import Certificate, certificates, lowest, pooled, utilities

if TYPE_CHECKING:
    from sordine.workflow.leakage_limit import Rung

HALVES = 2


@dataclass(frozen=True)
class Step:
    """A rung that was tried on held-back records: what was certified of each suppressed attribute, and its utility."""

    rung: Rung
    certificates: tuple[Certificate, ...]
    utility: float

    @property
    def met(self) -> bool:
        """Whether every suppressed attribute is under its limit."""
        return all(c.met for c in self.certificates)

    @property
    def excess(self) -> float:
        """How far the worst upper end lies above its limit; infinite where one has none."""
        return max(math.inf if c.high is None else c.high - c.limit for c in self.certificates)


@dataclass(frozen=True)
class Halves:
    """The training side in two halves, each of which is held back once."""

    halves: tuple[Table, ...]
    before: tuple[AttackData, ...]
    policy: Policy
    budget: Budget
    run: Run
    workers: int
    memory: dict[Any, Any]
    records: int
    useful: tuple[str, ...]
    measure: str
    materials: Mapping[str, Any] = field(default_factory=dict)  # `pool` and `raw_views` of `fit`

    @classmethod
    def of(cls, table: Table, policy: Policy, budget: Budget, run: Run, workers: int) -> Halves:
        train = table.part("train")
        part = halves(train, policy, run.key)
        made = tuple(replace(train, split=part != k) for k in range(HALVES))
        roles = [*policy.suppress, *(policy.preserve or policy.watch)]
        before = tuple(scene_of(half, half.x, roles, budget) for half in made)
        memory: dict[Any, Any] = {}
        trial = cls(made, before, policy, budget, run, workers, memory, len(before[0].ids), (), "")
        # What can't be read of the originals can't be kept either.
        whole = trial._pooled([trial._originals(scene) for scene in before])
        told = tuple(utilities({**whole, **{(1, p): r for (_, p), r in whole.items()}}, roles, budget))
        useful = tuple(a for a in told if a not in policy.suppress)
        kind = "preserved" if policy.preserve else "watched"
        # What a suppressed attribute decides is leakage under another name; a limit must not be met by telling more of it.
        leaks = tuple(a for a in useful if kind == "watched" and is_decided(train.y, a, policy.suppress))
        useful = tuple(a for a in useful if a not in leaks)
        measure = f"mean of what is {kind}: {', '.join(useful)}" if useful else "minus the distortion"
        if leaks:
            measure += f"; without {', '.join(leaks)}, which what is suppressed decides"
        return replace(trial, useful=useful, measure=measure)

    def _originals(self, scene: AttackData) -> Readings:
        names = list(scene.labels)
        run = replace(self.run, workers=self.workers)
        return attack_originals(scene, names, self.budget, run, memory=self.memory)

    def _pooled(self, parts: Sequence[Readings]) -> Readings:
        return pooled([(readings, len(scene.ids)) for readings, scene in zip(parts, self.before, strict=True)])

    def lowest(self) -> dict[str, float | None]:
        whole = self._pooled([self._originals(scene) for scene in self.before])
        return lowest(whole, {name: self.before[0].classes[name] for name in self.policy.suppress}, self.budget)

    def step(self, rung: Rung, limits: Mapping[str, float]) -> Step:
        """Fit both halves, release, attack, and pool what was read."""
        parts, moved = [], []
        for half, before in zip(self.halves, self.before, strict=True):
            modifier = fit_rung(rung, half, self.policy, replace(self.run, log=silent), self.materials)
            after, distance = released(modifier, half, before, self.run.key, self.workers)
            moved.append(distance)
            run = replace(self.run, workers=self.workers)
            parts += attack_releases(before, [after], list(before.labels), self.budget, run, memory=self.memory)
        whole = self._pooled(parts)
        classes = {name: self.before[0].classes[name] for name in limits}
        found = utilities(whole, self.useful, self.budget)
        utility = float(np.mean(list(found.values()))) if self.useful else -float(np.mean(moved))
        return Step(rung, certificates(whole, limits, classes, self.budget), utility)


def halves(table: Table, policy: Policy, key: Key) -> np.ndarray:
    """Which half each record is in: (n,) 0 or 1. Whole groups where there are groups, else stratified over the suppressed
    and preserved attributes together; in keyed order, so that row order does not matter.

    Raises SordineError where there are fewer than two groups.
    """
    ranks = keyed_ranks(key, "limit", table.ids)
    if table.group is None:
        strata = [table.y[name] for name in (*policy.suppress, *policy.preserve)]
        return stratified_parts(ranks, strata, HALVES)
    if len(np.unique(table.group)) < HALVES:
        raise SordineError(f"{table.source}: a limit holds back whole groups, and the training side has one only")
    return group_parts(ranks, table.group, HALVES)


def fit_rung(
    rung: Rung, table: Table, policy: Policy, run: Run, materials: Mapping[str, Any] | None = None
) -> Modifier:
    """Fit one setting; pretrained models in the run's folder are used again. materials: `pool` and `raw_views` of `fit`."""
    return fit(table, policy, rung.method, run=run, **(materials or {}))


def scene_of(table: Table, x: Any, attributes: Sequence[str], budget: Budget) -> AttackData:
    """What attackers are given: at most `budget.max_records` of each side of a split table, sampled by id."""
    assert table.split is not None
    rank = np.empty(len(table), np.int64)
    rank[Key.of_seed(0).order("audit sample", table.ids)] = np.arange(len(table))
    keep = np.zeros(len(table), bool)
    for side in (table.split, ~table.split):
        own = np.flatnonzero(side)
        keep[own[np.argsort(rank[own])[: budget.max_records]]] = True
    rows = np.flatnonzero(keep)
    return AttackData(
        x=np.asarray(x[rows], np.float32),
        ids=table.ids[rows],
        labels={name: table.y[name][rows] for name in attributes},
        classes={name: len(table.classes[name]) for name in attributes},
        fitted=table.split[rows],
        group=None if table.group is None else table.group[rows],
    )


def released(modifier: Modifier, table: Table, before: AttackData, key: Key, workers: int) -> tuple[AttackData, float]:
    """The same records as a modifier releases them, and their distortion: RMS of x' - x in standard deviations of each number,
    0 where x' has another shape."""
    place = {str(name): row for row, name in enumerate(table.ids)}
    rows = np.array([place[str(name)] for name in before.ids], np.int64)
    some = table.take(rows)
    x, _ = modifier.release(some.x, some.ids, key, workers=workers)
    after = replace(before, x=np.asarray(x, np.float32))
    if after.x.shape != before.x.shape:
        return after, 0.0
    scale = before.flat().std(0)
    away = (after.flat() - before.flat())[:, scale > 1e-12] / scale[scale > 1e-12]
    return after, float(np.sqrt(np.square(away, dtype=np.float64).mean())) if away.size else 0.0
