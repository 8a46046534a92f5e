"""What each attack of the standard audit adds, and for how many seconds."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from benchmarks.audit.releases import SCENES, released
from benchmarks.harness import Store
from sordine.attacks.base import Target
from sordine.attacks.budget import Budget
from sordine.attacks.plants import KINDS, plant
from sordine.attacks.registry import ATTACKS, accepts
from sordine.attacks.runner import run_attacks, single_threaded, tasks_of
from sordine.attacks.scenarios import AttackData, splits
from sordine.metrics.accuracy import majority
from sordine.metrics.nag import wilson
from sordine.run import Run

RECORDS, NUMBERS, SIZE, SEEDS = 2000, 40, 0.2, 5


def seconds(store: Store) -> None:
    """Store the processor seconds of each attack on the release of FSDD by `transport`: speaker, all scenarios."""
    scene = SCENES["fsdd"]
    table, release, _ = released(scene, "transport")
    assert table.split is not None
    data = AttackData(
        x=np.asarray(release.x, np.float32),
        ids=table.ids,
        labels={scene.suppress: table.y[scene.suppress]},
        classes={scene.suppress: len(table.classes[scene.suppress])},
        fitted=table.split,
        group=table.group,
    )
    spent = {}
    with single_threaded():
        for name in _names():
            budget = replace(Budget(), families=(name,))
            start = time.process_time()
            run_attacks(data, tasks_of([scene.suppress], budget, data.x.shape[1:]), budget)
            spent[name] = time.process_time() - start
    store.put("families--seconds", spent)


def plants(store: Store) -> None:
    """Store how many plants of each kind each attack finds alone: noise of 2,000 records, two classes."""
    found = {name: dict.fromkeys(KINDS, 0) for name in _names()}
    budget = Budget()
    for kind in KINDS:
        for seed in range(SEEDS):
            rng = np.random.default_rng([seed, RECORDS])
            labels = rng.permutation(np.arange(RECORDS) % 2)
            noise = rng.standard_normal((RECORDS, NUMBERS)).astype(np.float32)
            x = plant(noise, labels, 2, kind, SIZE, seed)
            fitted = np.arange(RECORDS) < 3 * RECORDS // 4
            data = AttackData(x, np.arange(RECORDS).astype(str), {"secret": labels}, {"secret": 2}, fitted)
            plan = splits(data, "secret", "A", 0, 3)
            assert not isinstance(plan, str)
            truth = labels[plan[0].test]
            with single_threaded():
                for name in found:
                    attack = ATTACKS.find(name).from_budget(budget)
                    (predicted,) = attack.fit_predict(x, plan[0], [Target(labels, 2)], Run())
                    low = wilson(int((predicted == truth).sum()), len(truth))[0]
                    found[name][kind] += low > majority(truth)
    store.put("families--plants", found)


def _names() -> list[str]:
    return [name for name in Budget().families if accepts(name, (NUMBERS,))]
