"""Seconds and memory of a standard audit in a process of its own, on all cores: `python -m benchmarks.audit.limits`."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from benchmarks.audit.releases import SCENES, SEED, released
from benchmarks.harness import Store
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.keys import Key
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run

CASES = {
    "fsdd": "FSDD released by `transport`: 3,000 records of 560 numbers; one suppressed, one preserved attribute",
    "large": "noise: 250,000 records of 768 numbers; one suppressed, one preserved attribute of two classes",
}
LARGE, WIDE = 250_000, 768


def measure(store: Store, name: str) -> None:
    """Store seconds and the peak of memory of one audit."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.audit.limits", name], check=True, capture_output=True, text=True
    )
    store.put(f"limits--{name}", json.loads(done.stdout.splitlines()[-1]))


def _tables(name: str) -> tuple[Table, Table, Policy, Modifier | None]:
    if name == "fsdd":
        scene = SCENES[name]
        table, release, modifier = released(scene, "transport")
        return table, release, Policy((scene.suppress,), (scene.watch,)), modifier
    rng = np.random.default_rng(0)
    labels = {a: np.array(["no", "yes"])[rng.integers(0, 2, LARGE)] for a in ("secret", "task")}
    x = rng.standard_normal((LARGE, WIDE), dtype=np.float32)
    x[:, 0] += 2 * (labels["secret"] == "yes")
    x[:, 1] += 2 * (labels["task"] == "yes")
    ids = [f"r{i}" for i in range(LARGE)]
    original = Table.of(x, labels, ids=ids)
    release = np.roll(x, 1, axis=0)
    release[:, 1] = x[:, 1]
    return original, Table.of(release, {}, ids=ids), Policy(("secret",), ("task",)), None


def _run(name: str) -> None:
    original, release, policy, modifier = _tables(name)
    cores = os.cpu_count() or 1
    torch.set_num_threads(cores)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    clock, core = time.perf_counter(), time.process_time()
    report = audit(original, release, policy, modifier=modifier, key=Key.of_seed(SEED), run=Run(workers=cores))
    figures = {
        "seconds": time.perf_counter() - clock,
        "core_seconds": time.process_time() - core,
        "tables_gb": before / 2**20,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "attacked": report.made["fitted"] + report.made["unseen"],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    _run(sys.argv[1])
