"""Test one option of a method on held-out records: fit, apply and attack it on two halves that take turns."""

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
    from sordine.workflow.leakage_limit import Candidate

HALVES = 2
WORKERS = 2  # threads where the run leaves the choice to the task


@dataclass(frozen=True)
class CandidateResult:
    """A candidate that was tested on held-out records.

    Parameters
    ----------
    candidate
        The method and its options.
    certificates
        One for each suppressed attribute.
    utility
        Mean NAG of the useful attributes, or minus the distortion.
    """

    candidate: Candidate
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
    """The training records in two halves, each of which is held out once.

    Parameters
    ----------
    halves
        The training table twice, with another half as its test side.
    before
        The originals of each, as the attacks get them.
    policy, budget, run
        Attributes by role, attacks, and device, key and workers.
    memory
        Results of the attacks on the originals.
    materials
        `pool` and `raw_views` of `methods.fit.fit`.
    useful
        Attributes of the utility; empty where it is minus the distortion.
    measure
        The utility in words.
    """

    halves: tuple[Table, ...]
    before: tuple[AttackData, ...]
    policy: Policy
    budget: Budget
    run: Run
    memory: dict[Any, Any] = field(default_factory=dict)
    materials: Mapping[str, Any] = field(default_factory=dict)
    useful: tuple[str, ...] = ()
    measure: str = ""

    @classmethod
    def of(
        cls, table: Table, policy: Policy, budget: Budget, run: Run, materials: Mapping[str, Any] | None = None
    ) -> Halves:
        """Divide the training side of a table, attack the originals, and choose the measure of utility."""
        train = table.part("train")
        part = halves(train, policy, run.key)
        made = tuple(replace(train, split=part != k) for k in range(HALVES))
        roles = [*policy.suppress, *(policy.preserve or policy.watch)]
        before = tuple(attack_data(half, half.x, roles, budget) for half in made)
        run = replace(run, workers=run.workers or WORKERS)
        trial = cls(made, before, policy, budget, run, {}, dict(materials or {}))
        # An attribute that the originals do not reveal cannot be preserved.
        whole = trial._on_originals()
        revealed = utilities({**whole, **{(1, p): r for (_, p), r in whole.items()}}, roles, budget)
        useful = tuple(a for a in revealed if a not in policy.suppress)
        kind = "preserved" if policy.preserve else "watched"
        # A watched attribute that a suppressed one determines is leakage, so it must not count as utility.
        leaks = tuple(a for a in useful if kind == "watched" and is_decided(train.y, a, policy.suppress))
        useful = tuple(a for a in useful if a not in leaks)
        measure = f"mean NAG of the {kind} attributes: {', '.join(useful)}" if useful else "minus the distortion"
        if leaks:
            measure += f"; without {', '.join(leaks)}, which the suppressed attributes determine"
        return replace(trial, useful=useful, measure=measure)

    @property
    def records(self) -> int:
        """Number of records of one half that are attacked, with those that it was fitted on."""
        return len(self.before[0].ids)

    def _on_originals(self) -> Readings:
        """Predictions on the originals of both halves."""
        return self._joined(
            [
                attack_originals(data, list(data.labels), self.budget, self.run, memory=self.memory)
                for data in self.before
            ]
        )

    def _joined(self, parts: Sequence[Readings]) -> Readings:
        return pooled([(readings, len(data.ids)) for readings, data in zip(parts, self.before, strict=True)])

    def lowest(self) -> dict[str, float | None]:
        """Return the lowest limit that can be expected to be certified, by suppressed attribute."""
        classes = {name: self.before[0].classes[name] for name in self.policy.suppress}
        return lowest(self._on_originals(), classes, self.budget)

    def test(self, candidate: Candidate, limits: Mapping[str, float]) -> CandidateResult:
        """Fit a candidate on each half, apply it, attack the other half, and certify the predictions of both."""
        parts, moved = [], []
        for half, before in zip(self.halves, self.before, strict=True):
            modifier = fit_candidate(candidate, half, self.policy, replace(self.run, log=silent), self.materials)
            after, distance = released(modifier, half, before, self.run)
            moved.append(distance)
            parts += attack_releases(
                before,
                [after],
                list(before.labels),
                self.budget,
                self.run,
                suppressed=self.policy.suppress,
                memory=self.memory,
            )
        whole = self._joined(parts)
        classes = {name: self.before[0].classes[name] for name in limits}
        found = utilities(whole, self.useful, self.budget)
        utility = float(np.mean(list(found.values()))) if self.useful else -float(np.mean(moved))
        return CandidateResult(candidate, certificates(whole, limits, classes, self.budget), utility)


def halves(table: Table, policy: Policy, key: Key) -> np.ndarray:
    """Return the half of each record: (n,) 0 or 1.

    Whole groups stay together where there are groups. Otherwise the halves are stratified over all suppressed and
    preserved attributes. The order is keyed, so that the order of the rows does not matter.

    Raises
    ------
    SordineError
        Where there are fewer than two groups.
    """
    ranks = keyed_ranks(key, "limit", table.ids)
    if table.group is None:
        strata = [table.y[name] for name in (*policy.suppress, *policy.preserve)]
        return stratified_parts(ranks, strata, HALVES)
    if len(np.unique(table.group)) < HALVES:
        raise SordineError(
            f"{table.source}: the training records have one group; a limit needs two at least, to hold one out"
        )
    return group_parts(ranks, table.group, HALVES)


def fit_candidate(
    candidate: Candidate, table: Table, policy: Policy, run: Run, materials: Mapping[str, Any] | None = None
) -> Modifier:
    """Fit a candidate. Pretrained models in the run's folder are used again.

    Parameters
    ----------
    candidate, table, policy, run
        What to fit, and on what.
    materials
        `pool` and `raw_views` of `methods.fit.fit`.
    """
    return fit(table, policy, candidate.method, run=run, **(materials or {}))


def attack_data(table: Table, x: Any, attributes: Sequence[str], budget: Budget) -> AttackData:
    """Return what the attacks get: at most `budget.max_records` of each side of a split table, sampled by id."""
    assert table.split is not None
    rank = keyed_ranks(Key.of_seed(0), "audit sample", table.ids)
    keep = np.zeros(len(table), bool)
    for side in (table.split, ~table.split):
        rows = np.flatnonzero(side)
        keep[rows[np.argsort(rank[rows])[: budget.max_records]]] = True
    rows = np.flatnonzero(keep)
    return AttackData(
        x=np.asarray(x[rows], np.float32),
        ids=table.ids[rows],
        labels={name: table.y[name][rows] for name in attributes},
        classes={name: len(table.classes[name]) for name in attributes},
        fitted=table.split[rows],
        group=None if table.group is None else table.group[rows],
    )


def released(modifier: Modifier, table: Table, before: AttackData, run: Run) -> tuple[AttackData, float]:
    """Return the same records as a modifier releases them, and their distortion.

    The distortion is the RMS of x' - x in standard deviations of each number, and 0 where x' has another shape.
    """
    place = {str(name): row for row, name in enumerate(table.ids)}
    rows = np.array([place[str(name)] for name in before.ids], np.int64)
    original = table.take(rows)
    x, _ = modifier.release(original.x, original.ids, run.key, workers=run.workers or WORKERS)
    after = replace(before, x=np.asarray(x, np.float32))
    if after.x.shape != before.x.shape:
        return after, 0.0
    scale = before.flat().std(0)
    varies = scale > 1e-12
    moved = (after.flat() - before.flat())[:, varies] / scale[varies]
    return after, float(np.sqrt(np.square(moved, dtype=np.float64).mean())) if moved.size else 0.0
