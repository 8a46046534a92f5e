"""Leaks planted in noise: how often the attacks find them, and what verdict the audit gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.harness import Store
from sordine.attacks.base import Target
from sordine.attacks.budget import Budget
from sordine.attacks.plants import KINDS, plant
from sordine.attacks.registry import ATTACKS
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import AttackData, splits
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.sections.power import SIZES, Base, Trial
from sordine.policy import Policy
from sordine.run import Run

SEEDS = 20
RECORDS, WIDTHS = (600, 2000, 10000), (40, 512)
TRIALS = 100  # audits with a planted leak, and as many without
LIMIT = 0.25  # of these audits: plants are smaller, so that the verdict can be that the release holds
CLASSES = (2, 6)
FEW, MANY = (
    (600, 40),
    (8000, 8),
)  # records, and numbers of each: without a planted leak, and with one
FAST = ("neighbours", "discriminant", "screening")


def found(store: Store, n: int, d: int) -> None:
    """Store how many of `SEEDS` plants of each kind and size the attacks find in n records of d numbers."""
    counts = {kind: dict.fromkeys(SIZES, 0) for kind in KINDS}
    chance = 0
    with single_threaded():
        for seed in range(SEEDS):
            trial = _trial(n, d, seed)
            base = Base.of(trial, seed)
            predicted = [attack.relabelled(trial.target.labels) for attack in base.attacks.values()]
            chance += any(trial.is_found(some, trial.target.labels) for some in predicted)
            for kind in KINDS:
                for size in SIZES:
                    counts[kind][size] += trial.finds(base, kind, size, seed)
    figures = {kind: {str(size): count / SEEDS for size, count in sizes.items()} for kind, sizes in counts.items()}
    store.put(f"found--{n:05}--{d:03}", {"shares": figures, "without": chance / SEEDS})


def _trial(n: int, d: int, seed: int) -> Trial:
    rng = np.random.default_rng([seed, n, d])
    labels, fitted = rng.permutation(np.arange(n) % 2), np.arange(n) < 3 * n // 4
    x = rng.standard_normal((n, d)).astype(np.float32)
    data = AttackData(x, np.arange(n).astype(str), {"secret": labels}, {"secret": 2}, fitted)
    plan = splits(data, "secret", "A", 0, 3)
    assert not isinstance(plan, str)
    budget = Budget()
    attacks = {name: ATTACKS.find(name) for name in budget.families if ATTACKS.find(name).finds_plants}
    return Trial(
        x=x,
        on_axes=False,
        fitted=fitted,
        target=Target(labels, 2),
        revealed=1.0,
        split=plan[0],
        attacks={name: attack.from_budget(budget) for name, attack in attacks.items()},
        comparisons=len(budget.families) * len(budget.settings),
        limit=0.05,
    )


def verdicts(store: Store, size: float) -> None:
    """Store the verdicts of audits of noise in which a leak of this size was planted; 0: without a leak.

    Without a leak, the audit is the default one. With one, it has scenario A and those attacks alone that look for
    planted leaks, and a limit that the verdict can meet. Every other round of kinds has six classes instead of two.
    """
    kinds, rows = list(KINDS), []
    for trial in range(TRIALS):
        kind, classes = kinds[trial % len(kinds)], CLASSES[trial // len(kinds) % len(CLASSES)]
        n, width = MANY if size else FEW
        rng = np.random.default_rng([trial, n])
        secret = rng.permutation(np.arange(n) % classes)
        means = 4 * rng.standard_normal((classes, width))  # so that attacks infer all from the originals
        shown = (rng.standard_normal((n, width)) + means[secret]).astype(np.float32)
        x = rng.standard_normal((n, width)).astype(np.float32)
        if size:
            x = plant(x, secret, classes, kind, size, trial)
        labels = np.array([f"c{c}" for c in secret])
        original = Table.of(shown, {"secret": labels}, ids=[f"r{i}" for i in range(n)])
        original = replace(original, split=np.arange(n) < 3 * n // 4)
        budget = replace(Budget(), risks=False, utility=False, known=(), tail=False, settings=("A",), families=FAST)
        report = audit(
            original,
            Table.of(x, {}, ids=original.ids),
            Policy(("secret",)),
            budget=replace(budget if size else Budget(), cloud=0),
            options=AuditOptions(pretrained=False, max_leakage=LIMIT if size else None),
            run=Run(workers=1),
        )
        power = {f.kind: f.smallest for f in report.sections.get("power") or ()}
        rows.append(
            {
                "kind": kind if size else "",
                "classes": classes,
                "level": report.verdict.level,
                "not_excluded": report.verdict.not_excluded,
                "by_attacks": report.headlines[0].not_excluded,
                "power": power.get(kind),
            }
        )
    store.put(f"verdicts--{size}", {"trials": rows})
