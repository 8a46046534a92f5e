"""Measure one group: fit on a fold's training side, release under each key, attack; store every part at once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Store, Unit, basic_audit
from benchmarks.unknown.cases import FOLDS, Case, Entry, Group, load, method_of
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.sections.base import AuditData
from sordine.evaluation.sections.registry import findings
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.models.modifier import Modifier
from sordine.run import Run
from sordine.workflow.transform import transform

STORE = Store("unknown")
FIT_KEY = 0  # of the fit and of its split; releases are drawn under the keys of seeds 0, 1, ...
ORDER_KEY = 99  # of the folds
MOST = 3000  # records on each side that attackers are given
COUNTS = (1, 10, 50, 0)  # records of one person, 0 for all
QUERIES = 5  # releases of each record, under as many keys and under one; asked in the first fold
SINGLE: dict[str, Any] = {"person": (), "cloud": 0, "max_records": MOST}


def unit_of(group: Group, part: str, store: Store | None = None) -> Unit:
    """Return the store of a part's figures."""
    return (store or STORE).unit(group.name(part))


def folds_of(table: Table, folds: int = FOLDS) -> np.ndarray:
    """Return the fold of each record, (n,) int64, stratified over all attributes of the table, in keyed order."""
    order = np.empty(len(table), np.int64)
    order[Key.of_seed(ORDER_KEY).order("folds", table.ids)] = np.arange(len(table))
    fold = np.empty(len(table), np.int64)
    fold[np.lexsort((order, *(table.y[a] for a in reversed(table.attributes))))] = np.arange(len(table)) % folds
    return fold


class Bench:
    """Tables with their folds, and the attacks on each fold's originals, while one process lasts."""

    def __init__(self, work: Path, within_keys: int, store: Store | None = None) -> None:
        """within_keys: number of keys with scenarios B and C. store: store of the figures."""
        self.work, self.within_keys, self.store = work, within_keys, store or STORE
        self.tables: dict[str, tuple[Table, np.ndarray]] = {}
        self.memory: dict[tuple[str, int], MutableMapping[Any, Any]] = {}

    def side(self, case: Case, fold: int) -> Table:
        """Return the case's table, with the fold held out."""
        if case.name not in self.tables:
            table = load(case, self.work)
            self.tables[case.name] = table, folds_of(table)
        table, codes = self.tables[case.name]
        return dataclasses.replace(table, split=codes != fold)

    def settings(self, part: str) -> tuple[str, ...]:
        """Return the audit's scenarios for a release."""
        return ("A", "B", "C") if int(part.removeprefix("key")) < self.within_keys else ("A",)

    def missing(self, group: Group, keys: int, fresh: bool) -> list[str]:
        """Return the parts to measure. A release with fewer scenarios than requested counts as missing."""
        return [p for p in group.parts(keys) if fresh or not self._done(group, p)]

    def _done(self, group: Group, part: str) -> bool:
        unit = unit_of(group, part, self.store)
        if not unit.exists():
            return False
        if part == "person":
            return True
        tried = unit.read()["settings"]
        return set(self.settings(part)) <= set(tried)

    def measure(self, group: Group, parts: Sequence[str], log: Callable[[str], None]) -> None:
        """Fit once, then measure each part in order and store it at once."""
        if not parts:
            return
        side = self.side(group.case, group.fold)
        policy = group.case.policy(group.task)
        clock, core = time.perf_counter(), time.process_time()
        method = method_of(group.entry.method, group.settings)
        modifier = fit(side, policy, method, run=Run(seed=group.fold, key=Key.of_seed(FIT_KEY)))
        took = {"fit_seconds": time.perf_counter() - clock, "fit_core_seconds": time.process_time() - core}
        log(f"fit {took['fit_core_seconds']:.0f} core-seconds")
        memory = self.memory.setdefault((group.case.name, group.fold), {})
        for part in parts:
            core = time.process_time()
            play = self.people if part == "person" else self.release
            found = play(group, part, side, modifier, memory)
            spent = time.process_time() - core
            about = {
                "case": group.case.name,
                "task": group.task,
                "entry": group.entry.name,
                "method": group.entry.method,
                "fields": group.settings,
                "fold": group.fold,
                "part": part,
                **{k: round(v, 2) for k, v in took.items()},
                "attack_core_seconds": round(spent, 2),
            }
            unit_of(group, part, self.store).write(about | found)
            log(f"{part} {spent:.0f} core-seconds")

    def release(
        self, group: Group, part: str, side: Table, modifier: Modifier, memory: MutableMapping[Any, Any]
    ) -> dict[str, Any]:
        """Run the basic audit of one release."""
        first = part == "key0"  # the exact attack is on the channel, whatever the key: computed once
        released = transform(modifier, side, Key.of_seed(int(part.removeprefix("key"))), run=Run(workers=1))
        report = audit(
            side,
            released,
            group.case.policy(group.task),
            modifier=modifier if first else None,
            key=Key.of_seed(FIT_KEY),
            budget=basic_audit(settings=self.settings(part), **SINGLE),
            options=AuditOptions(memory=memory, pretrained=False, originals=False),
        )
        whole = dataclasses.asdict(report)
        return {
            "settings": list(self.settings(part)),
            "findings": [slim(f) for f in whole["findings"]],
            "exact": whole["exact"],
            "classes": {a: len(side.classes[a]) for a in side.attributes},
            "made": {k: report.made[k] for k in ("families", "folds", "fitted", "unseen", "sampled", "notes")},
            "flaws": [[f["severity"], f["code"]] for f in whole["flaws"]],
            "noted": list(modifier.card.notes),
        }

    def people(
        self, group: Group, part: str, side: Table, modifier: Modifier, memory: MutableMapping[Any, Any]
    ) -> dict[str, Any]:
        """Attack several records of one person and, in the first fold, several releases of each record."""
        released = transform(modifier, side, Key.of_seed(0), run=Run(workers=1))
        queries = QUERIES if group.fold == 0 else 0
        data = AuditData(
            original=side,
            released=released,
            before=dataclasses.replace(side, x=np.asarray(side.x, np.float32)),
            after=np.asarray(released.x, np.float32),
            policy=group.case.policy(group.task),
            budget=basic_audit(settings=("A", "B"), person=COUNTS, queries=queries, max_records=MOST, cloud=0),
            options=AuditOptions(person=group.case.unit),
            run=Run(),
            modifier=modifier,
            key=Key.of_seed(0),
            memory=memory,
        )
        found = findings(data, ("person", "queries"))
        return {
            "unit": group.case.unit,
            "person": [nameless(dataclasses.asdict(f)) for f in found["person"]],
            "queries": [dataclasses.asdict(f) for f in found["queries"]],
            "notes": list(data.notes),
        }


KEPT = ("attribute", "role", "attacker", "setting", "before", "after", "guess", "records", "correlation")


def slim(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a finding that pooling needs."""
    return {k: finding[k] for k in KEPT}


def nameless(finding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a finding about persons without the worst one's name."""
    return {k: v for k, v in finding.items() if k not in ("worst_unit", "worst_class")}


def read(case: Case, task: str, entry: Entry, store: Store | None = None) -> list[dict[str, Any]]:
    """Return all measured parts of a method on a case and task, under its present fields, by fold and part."""
    shown = "unknown" if not entry.told else task
    found = []
    for fold in range(FOLDS):
        group = Group(case, shown, entry, fold)  # type: ignore[arg-type]
        code = group.name("")[-6:]
        stem = group.name("").removesuffix(f"-{code}")
        found += [unit.read() for unit in (store or STORE).units(stem, f"-{code}")]
    return found
