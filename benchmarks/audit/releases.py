"""Releases of six data sets, audited by the standard audit."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import ROOT, Store
from benchmarks.unknown.cases import CASES, load, only
from sordine.attacks.budget import Budget
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import Report
from sordine.features.extract import extract
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import load as load_modifier
from sordine.methods.registry import make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

WORK, SEED, MOST = ROOT / "out" / "audit", 0, 3000  # most records of a data set
METHODS = ("transport", "flow")


def former(method: str, named: bool = False) -> dict[str, float]:
    """Return the options that were the defaults of a method when the audit got its attacks on known classes.

    The outputs of transport were means of records, which cannot be remade: they are a linear image of codes without
    noise here.
    """
    one_map = {"cells": 256, "softness": 0.1 if named else 0.015, "smooth": 0, "recognised": 1.0, "parts": 1}
    return {"transport": one_map, "flow": {"parts": 1}}.get(method, {})


@dataclass(frozen=True)
class Scene:
    """One data set: what is suppressed, and what is watched. No attribute is preserved."""

    name: str
    suppress: str
    watch: str
    sentence: str

    def table(self) -> Table:
        """Return at most `MOST` records, chosen by id, with their split."""
        names = (self.suppress, self.watch)
        table = only(_adult(), names) if self.name == "adult" else only(_extracted(self.name), names)
        key = Key.of_seed(SEED)
        table = table.take(np.sort(sample(key, "benchmark", table.ids, MOST)))
        return table.with_split(self.policy, key)

    @property
    def policy(self) -> Policy:
        """The policy of the fit and of the audit."""
        return Policy((self.suppress,), (), (self.watch,))


SCENES = {
    scene.name: scene
    for scene in (
        Scene("fsdd", "speaker", "digit", "FSDD, 3,000 spoken digits of six speakers"),
        Scene("motionsense", "subject", "activity", "MotionSense, 3,000 windows of 24 subjects"),
        Scene("emodb", "speaker", "emotion", "EmoDB, 535 acted sentences of ten speakers"),
        Scene("utkface", "gender", "age_group", "UTKFace, 3,000 faces"),
        Scene("yale_b", "person", "light_side", "Extended Yale B, 1,714 pictures of 27 persons"),
        Scene("adult", "sex", "income", "Adult, 3,000 census records"),
    )
}


def _extracted(name: str) -> Table:
    return load(CASES[name], WORK)


def _adult() -> Table:
    path = WORK / "adult.parquet"
    if not path.exists():
        source = Path(os.environ["SORDINE_DATA"]) / "adult"
        extract(source, "columns", path, options={"labels": "sex,race,income"})
    return Table.read(path)


def released(scene: Scene, method: str) -> tuple[Table, Table, Modifier]:
    """Return the table, its release, and the modifier, fitted once."""
    table, folder = scene.table(), WORK / f"{scene.name}-{method}"
    key = Key.of_seed(SEED)
    if not (folder / "modifier.json").exists():
        fit(table, scene.policy, make(method, former(method)), run=Run(key=key)).save(folder)
    modifier = load_modifier(folder)
    return table, transform(modifier, table, key), modifier


def measure(store: Store, scene: Scene, method: str) -> None:
    """Audit one release as by default."""
    table, release, modifier = released(scene, method)
    found: dict[str, Any] = {"records": len(table), "width": table.width, "suppress": scene.suppress}
    clock, core = time.perf_counter(), time.process_time()
    report = audit(
        table,
        release,
        scene.policy,
        modifier=modifier,
        key=Key.of_seed(SEED),
        budget=Budget(cloud=0),
        options=AuditOptions(pretrained=False),
        run=Run(workers=1),
    )
    seconds = {"seconds": time.perf_counter() - clock, "core_seconds": time.process_time() - core}
    found["standard"] = summary(report) | seconds
    store.put(f"release--{scene.name}--{method}", found)


def summary(report: Report) -> dict[str, Any]:
    """Return what a page says of a report: the verdict, the headline, and the largest figures of the other sections."""
    (head,) = [h for h in report.headlines if h.role == "suppress"]
    others = [h for h in report.headlines if h.role != "suppress"]
    return {
        "level": report.verdict.level,
        "title": report.verdict.title,
        "sentences": list(report.verdict.sentences),
        "leakage": [head.nag, head.low, head.high],
        "attack": head.attacker_after,
        "scenario": head.setting,
        "not_excluded": report.verdict.not_excluded,
        "utility": {h.attribute: h.nag for h in others},
        "power": {f.kind: f.smallest for f in _section(report, "power")},
        "findings": [[f.attacker, f.setting, f.after, f.guess, f.nag] for f in report.findings if f.role == "suppress"],
    }


def _section(report: Report, name: str) -> Sequence[Any]:
    return report.sections.get(name) or ()
