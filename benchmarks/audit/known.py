"""The audit's attacker that knows a part of the classes, on FSDD released by one map that all fitted records share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.audit.releases import SCENES, SEED
from benchmarks.harness import Store
from sordine.attacks.budget import Budget
from sordine.data.splits import sample
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.run import Run
from sordine.workflow.transform import transform

FITTED, SHARES, COUNTS = 2400, (1 / 2, 2 / 3, 9 / 10), (1, 10, 50)
OPTIONS = {"cells": 256, "softness": 0.015, "parts": 1, "smooth": 0}


def measure(store: Store) -> None:
    """Fit on four fifths of the records, and attack the fitted ones."""
    scene, key = SCENES["fsdd"], Key.of_seed(SEED)
    table = scene.table()
    fitted = np.zeros(len(table), bool)
    fitted[sample(key, "known classes", table.ids, FITTED)] = True
    table = replace(table, split=fitted)
    modifier = fit(table, scene.policy, make("transport", OPTIONS), run=Run(key=key))
    report = audit(
        table,
        transform(modifier, table, key),
        scene.policy,
        modifier=modifier,
        key=key,
        budget=Budget(families=("logistic",), settings=("C",), person=COUNTS, known=SHARES, plants=0),
        options=AuditOptions(sections=["partial_knowledge"]),
        run=Run(workers=1),
    )
    rows = [[f.known, f.knows, f.k, f.nag, f.low, f.high] for f in report.sections["partial_knowledge"]]
    store.put("known--fsdd", {"fitted": FITTED, "rows": rows})
