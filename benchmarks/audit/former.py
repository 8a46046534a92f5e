"""The standard audit as it was before planted leaks: the code of an earlier commit, run on the same releases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.audit.releases import SEED, WORK, Scene, released
from benchmarks.harness import ROOT, Store

COMMIT = "5ae40e570527600ebd5106ca4b8d6765e9083176"  # the last one without planted leaks, known classes and other risks
NEW_OPTIONS = ("parts", "smooth", "recognised")  # of methods: the earlier code does not know them, and has one map
CODE = """
import json, sys, time
import torch
from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.evaluation.audit import AuditOptions, audit
from sordine.keys import Key
from sordine.methods.registry import load
from sordine.policy import Policy
from sordine.run import Run

torch.set_num_threads(1)
original, released, modifier, suppress, watch, seed = sys.argv[1:]
tables = Table.read(original), Table.read(released)
clock = time.process_time()
report = audit(
    *tables,
    Policy((suppress,), (), (watch,)),
    modifier=load(modifier),
    key=Key.of_seed(int(seed)),
    budget=Budget(cloud=0),
    options=AuditOptions(pretrained=False),
    run=Run(workers=1),
)
(head,) = [h for h in report.headlines if h.role == "suppress"]
print(json.dumps({
    "core_seconds": time.process_time() - clock,
    "level": report.verdict.level,
    "title": report.verdict.title,
    "leakage": [head.nag, head.low, head.high],
    "attack": head.attacker_after,
    "scenario": head.setting,
}))
"""


def measure(store: Store, scene: Scene, method: str) -> None:
    """Audit one release by the earlier code, in a process of its own."""
    folder = WORK / "former"
    _export(folder)
    table, release, modifier = released(scene, method)
    for option in NEW_OPTIONS:
        modifier.card.fields.pop(option, None)
    files = [folder / f"{scene.name}-{method}-{what}" for what in ("table.parquet", "release.parquet", "modifier")]
    table.write(files[0], force=True)
    release.write(files[1], force=True)
    modifier.save(files[2], force=True)
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, files), scene.suppress, scene.watch, str(SEED)],
        check=True,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    store.put(f"former--{scene.name}--{method}", {"commit": COMMIT, **json.loads(done.stdout.splitlines()[-1])})


def _export(folder: Path) -> None:
    """Write the package of the earlier commit below a folder, once."""
    if (folder / "sordine").is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(["git", "archive", COMMIT, "sordine"], check=True, capture_output=True, cwd=ROOT).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], check=True, input=packed)
