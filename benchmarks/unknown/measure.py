"""Measure one group: fit on a fold's training side, then release and audit under each key; store each at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Store
from benchmarks.unknown.cases import FOLDS, Case, Entry, Group, Task, load, method_of
from benchmarks.unknown.figures import rounded, summary
from sordine.attacks.budget import Budget
from sordine.data.splits import keyed_ranks, stratified_parts
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.models.modifier import Modifier
from sordine.run import Run
from sordine.workflow.transform import transform

STORE = Store("unknown")
FIT_KEY = 0  # of the fit; releases are drawn under the keys of seeds 0, 1, ...
ORDER_KEY = 99  # of the folds
MOST = 3000  # records on each side that attackers are given
STANDARD = Budget(cloud=0, max_records=MOST)
AGAIN = ("partial_knowledge",)  # sections of the audits under further keys, beside the attacks on single records


def folds_of(table: Table, folds: int = FOLDS) -> np.ndarray:
    """Return the fold of each record, (n,) int64, stratified over all attributes of the table, in keyed order."""
    ranks = keyed_ranks(Key.of_seed(ORDER_KEY), "folds", table.ids)
    return stratified_parts(ranks, [table.y[a] for a in reversed(table.attributes)], folds)


class Bench:
    """Tables with their folds, and the attacks on each fold's originals, while one process lasts.

    Parameters
    ----------
    work
        Folder of the extracted tables.
    store
        Where figures are stored.
    budget
        Of the audits.
    """

    def __init__(self, work: Path, store: Store = STORE, budget: Budget = STANDARD) -> None:
        self.work, self.store, self.budget = work, store, budget
        self.tables: dict[str, tuple[Table, np.ndarray]] = {}
        self.memory: dict[tuple[str, int], MutableMapping[Any, Any]] = {}

    def side(self, case: Case, fold: int) -> Table:
        """Return the case's table, with the fold held out."""
        if case.name not in self.tables:
            table = load(case, self.work)
            self.tables[case.name] = table, folds_of(table)
        table, codes = self.tables[case.name]
        return replace(table, split=codes != fold)

    def missing(self, group: Group, keys: int, fresh: bool) -> list[int]:
        """Return the keys whose releases are to be measured."""
        return [k for k in group.keys(keys) if fresh or not self.store.unit(group.name(k)).exists()]

    def measure(self, group: Group, keys: Iterable[int], log: Callable[[str], None]) -> None:
        """Fit once, then release and audit under each key, and store the figures at once."""
        side, policy = self.side(group.case, group.fold), group.case.policy(group.task)
        clock, core = time.perf_counter(), time.process_time()
        method = method_of(group.entry.method, group.settings)
        modifier = fit(side, policy, method, run=Run(seed=group.fold, key=Key.of_seed(FIT_KEY)))
        about = {
            "case": group.case.name,
            "task": group.task,
            "entry": group.entry.name,
            "fields": group.settings,
            "fold": group.fold,
            "fit_seconds": time.perf_counter() - clock,
            "fit_core_seconds": time.process_time() - core,
            "forecast": modifier.card.fit.get("forecast", []),
        }
        log(f"fit {about['fit_core_seconds']:.0f} core-seconds")
        for key in keys:
            core = time.process_time()
            found = self._audit(group, side, modifier, key)
            spent = time.process_time() - core
            unit = {**about, "key": key, "audit_core_seconds": spent}
            self.keep(group, key, rounded(unit) | found)
            log(f"key {key}: audit {spent:.0f} core-seconds")

    def keep(self, group: Group, key: int, figures: dict[str, Any]) -> None:
        """Store a unit, in the place of units of the same release under earlier fields or features."""
        for former in list(self.store.units(f"{group.stem}key{key}-")):
            del self.store.figures[former.name]
        self.store.put(group.name(key), figures)

    def _audit(self, group: Group, side: Table, modifier: Modifier, key: int) -> dict[str, Any]:
        """Return the figures of one release: of every section under the first key, of few under others."""
        first, secret = key == 0, Key.of_seed(key)
        report = audit(
            side,
            transform(modifier, side, secret, run=Run(workers=1)),
            group.case.policy(group.task),
            modifier=modifier,
            key=secret,
            budget=self.budget,
            options=AuditOptions(
                person=group.case.unit or None,
                originals=False,
                pretrained=False,
                sections=None if first else AGAIN,
                memory=self.memory.setdefault((group.case.name, group.fold), {}),
            ),
            run=Run(workers=1),
        )
        return summary(report, first)


def read(case: Case, task: Task, entry: Entry, store: Store = STORE) -> list[dict[str, Any]]:
    """Return all measured units of a method on a case and task, under its present fields, by fold and key."""
    shown: Task = task if entry.told else "unknown"
    found = []
    for group in (Group(case, shown, entry, fold) for fold in range(FOLDS)):
        units = [unit.read() for unit in store.units(group.stem, f"-{group.code}")]
        found += sorted(units, key=lambda unit: unit["key"])
    return found
