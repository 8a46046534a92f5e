"""docs/results/overview.md: every method on four real data sets, pretrained and retrained figures side by side.

    SORDINE_DATA=../shared/data python -m benchmarks.overview [--only fsdd,emodb,adult,motionsense,pooled]

Every part is stored in benchmarks/results/overview.jsonl as soon as it is measured; a second call measures only what is
missing (--fresh measures all again) and writes the page. benchmarks/results is part of the repository, so that the
page can be checked against the figures it was made of.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Store, basic_audit
from benchmarks.overview_page import page, summary
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import Report
from sordine.features.extract import extract
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.metrics.nag import nag_interval
from sordine.models.classifier import accuracy_of, outputs, train_classifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

HOME = Path(__file__).parent
STORE = Store("overview")
PAGE = HOME.parent / "docs" / "results" / "overview.md"
SEED = 0
WITHIN = 3


@dataclass(frozen=True)
class Case:
    """One data set under one policy."""

    name: str
    source: str
    extractor: str
    policy: Policy
    options: dict[str, str] = field(default_factory=dict)
    sentence: str = ""
    only: tuple[str, ...] = ()
    max_records: int = 20000


CASES = {
    "fsdd": Case(
        "fsdd", "fsdd", "logmel", Policy(("speaker",), ("digit",), ("accent",)), {}, "3,000 spoken digits, six speakers"
    ),
    "emodb": Case(
        "emodb",
        "emodb",
        "logmel",
        Policy(("speaker", "gender"), ("emotion",), ("sentence",)),
        {"rate": "16000"},
        "535 acted sentences, ten speakers",
    ),
    "adult": Case(
        "adult",
        "adult",
        "columns",
        Policy(("sex", "race"), ("income",), ()),
        {"labels": "sex,race,income"},
        "32,561 census records",
        ("nothing", "leace", "substitution"),
        4000,
    ),
    "motionsense": Case(
        "motionsense",
        "motionsense",
        "windows",
        Policy(("subject", "gender"), ("activity",), ()),
        {},
        "10,854 windows of phone sensors, 24 subjects",
        (),
        3000,
    ),
}


def configurations(policy: Policy, seen: Iterable[str]) -> dict[str, tuple[str, dict[str, Any], Policy]]:
    """Return name -> method, options and policy (MaSS's table 2 adds terms one by one)."""
    blind = dataclasses.replace(policy, preserve=())
    out: dict[str, tuple[str, dict[str, Any], Policy]] = {
        "nothing": ("nothing", {}, policy),
        "noise, sigma 1": ("noise", {"sigma": 1.0}, policy),
        "noise, sigma 3": ("noise", {"sigma": 3.0}, policy),
        "leace": ("leace", {}, policy),
        "mass: L_rec + L_s": ("mass", {"w_agnostic": 0.0}, blind),
        "mass: L_rec + L_s + L_r*": ("mass", {}, blind),
    }
    told: tuple[str, ...] = ()
    for name in seen:
        told = (*told, name)
        out["mass: L_rec + L_s + L_r*" + "".join(f" + L_{t}" for t in told)] = (
            "mass",
            {},
            dataclasses.replace(policy, preserve=told, watch=()),
        )
    out["substitution"] = ("substitution", {}, policy)
    out["transport"] = ("transport", {}, policy)
    return out


def load(case: Case, work: Path) -> Table:
    """Return the case's table, extracted once."""
    path = work / f"{case.name}.parquet"
    if not path.exists():
        extract(Path(os.environ["SORDINE_DATA"]) / case.source, case.extractor, path, options=case.options)
    return Table.read(path)


def measure(case: Case, work: Path, fresh: bool) -> None:
    """Measure every configuration on one data set: one split, one key, the basic audit."""
    table = load(case, work)
    key = Key.of_seed(SEED)
    memory: dict[Any, Any] = {}
    everything = (*case.policy.preserve, *(case.policy.watch if case.name == "emodb" else ()))
    table = table.with_split(case.policy, key)
    for name, (method, settings, told) in configurations(case.policy, everything).items():
        unit = STORE.unit(f"{case.name}--{name}")
        if (unit.exists() and not fresh) or (case.only and name not in case.only):
            continue
        start = time.perf_counter()
        hidden = tuple(
            a for _, names in case.policy.roles() for a in names if a not in (*told.suppress, *told.preserve)
        )
        folder = work / f"{case.name}-pretrained" if method == "mass" else None
        if folder:
            folder.mkdir(exist_ok=True)
            for unfinished in folder.glob("mass-*"):
                # Every configuration is fitted from its start; only the pretrained models are shared.
                unfinished.unlink()
        run = Run(seed=SEED, key=key, folder=folder)
        modifier = fit(table, dataclasses.replace(told, watch=hidden), make(method, settings), run=run)
        took = time.perf_counter() - start
        released = transform(modifier, table, key)
        judged = judges(modifier, table, released, case.policy, folder) if folder else {}
        start = time.perf_counter()
        report = audit(
            table,
            released,
            case.policy,
            modifier=modifier,
            key=key,
            budget=basic_audit(max_records=case.max_records),
            options=AuditOptions(memory=memory),
        )
        unit.write(
            parts_of(report)
            | judged
            | {
                "case": case.name,
                "configuration": name,
                "fit_seconds": took,
                "audit_seconds": time.perf_counter() - start,
            },
        )
        print(f"{case.name}: {name}: fit {took:.0f} s, audit {time.perf_counter() - start:.0f} s", flush=True)


def judges(modifier: Any, table: Table, released: Table, policy: Policy, folder: Path) -> dict[str, dict[str, float]]:
    """Run MaSS's own protocol: its classifiers, never retrained, on unseen records before and after."""
    train, test, after = table.part("train"), table.part("test"), released.part("test")
    out: dict[str, dict[str, float]] = {"judges_before": {}, "judges_after": {}}
    for name in (a for _, names in policy.roles() for a in names):
        judge = train_classifier(train, name, prepare=modifier.sphere, run=Run(seed=SEED, folder=folder))
        before = outputs(judge, test.x, prepare=modifier.sphere)
        out["judges_before"][name] = accuracy_of(before, test.y[name])
        out["judges_after"][name] = accuracy_of(outputs(judge, after.x), test.y[name])
    return out


def parts_of(report: Report) -> dict[str, Any]:
    """Return the parts of a report that the page needs, without records."""
    whole = dataclasses.asdict(report)
    return {
        part: whole[part]
        for part in ("headlines", "findings", "pretrained", "exact", "policy", "distortion", "made", "table")
    }


def pooled(case: Case, work: Path, fresh: bool, folds: int = 5, keys: int = 5) -> None:
    """Measure substitution over folds and keys: every record is once unseen, and drawn again under every key.

    Scenarios B and C, the most expensive ones, run under the first key of the first WITHIN folds.
    """
    table = load(case, work)
    order = np.empty(len(table), np.int64)
    order[Key.of_seed(99).order("folds", table.ids)] = np.arange(len(table))
    strata = [table.y[a] for a in (*case.policy.suppress, *case.policy.preserve)]
    fold = np.empty(len(table), np.int64)
    fold[np.lexsort((order, *strata))] = np.arange(len(table)) % folds
    for f in range(folds):
        side = dataclasses.replace(table, split=fold != f)
        modifier, memory = None, {}  # type: ignore[var-annotated]
        for k, more in [*((k, False) for k in range(keys)), *([(0, True)] if f < WITHIN else [])]:
            unit = STORE.unit(f"pooled-{case.name}--fold{f}-key{k}{'-within' if more else ''}")
            if unit.exists() and not fresh:
                continue
            start = time.perf_counter()
            if modifier is None:
                modifier = fit(side, case.policy, make("substitution"), run=Run(seed=f, key=Key.of_seed(0)))
                print(f"pooled {case.name}: fold {f}: fit {time.perf_counter() - start:.0f} s", flush=True)
            start = time.perf_counter()
            released = transform(modifier, side, Key.of_seed(k))
            report = audit(
                side,
                released,
                case.policy,
                modifier=modifier,
                key=Key.of_seed(0),
                budget=basic_audit(cloud=0, settings=("B", "C") if more else ("A",)),
                options=AuditOptions(memory=memory, pretrained=False),
            )
            unit.write(
                {"fold": f, "key": k, "findings": parts_of(report)["findings"], "exact": parts_of(report)["exact"]}
            )
            print(f"pooled {case.name}: fold {f}, key {k}: audit {time.perf_counter() - start:.0f} s", flush=True)


def pool(case: Case) -> dict[str, Any] | None:
    """Return the pooled figures: accuracies summed over folds and keys, then the worst attacker.

    Intervals use the number of distinct records.
    """
    parts = [u.read() for u in STORE.units(f"pooled-{case.name}--")]
    if not parts:
        return None
    sums: dict[tuple[str, str, str], np.ndarray] = {}
    roles: dict[str, str] = {}
    for part in parts:
        for found in part["findings"]:
            n = found["records"]
            add = np.array([n, n * found["before"], n * found["after"], n * found["guess"]])
            cell = (found["attribute"], found["setting"], found["attacker"])
            sums[cell] = sums.get(cell, 0) + add
            roles[found["attribute"]] = found["role"]
    rows = []
    distinct = len({p["fold"] for p in parts}), len({p["key"] for p in parts})
    for attribute, role in roles.items():
        for setting in "ABC":
            cells = {a: s for (n, t, a), s in sums.items() if (n, t) == (attribute, setting)}
            if not cells:
                continue
            guess = max(s[3] / s[0] for s in cells.values())
            best_before = max(cells, key=lambda a: cells[a][1])
            best_after = max(cells, key=lambda a: cells[a][2])
            before, after = cells[best_before][1] / cells[best_before][0], cells[best_after][2] / cells[best_after][0]
            tried = MOST[case.name]  # over the folds every record is tested, in each scenario
            interval = nag_interval(after, before, guess, tried)
            rows.append(
                {
                    "attribute": attribute,
                    "role": role,
                    "setting": setting,
                    "before": before,
                    "by_before": best_before,
                    "after": after,
                    "by_after": best_after,
                    "guess": guess,
                    "nag": (after - guess) / (before - guess),
                    "interval": interval,
                    "records": tried,
                }
            )
    within = len({p["fold"] for p in parts if any(found["setting"] == "B" for found in p["findings"])})
    return {"rows": rows, "folds": distinct[0], "keys": distinct[1], "parts": len(parts), "within": within}


MOST = {"fsdd": 3000, "motionsense": 10854, "emodb": 535, "adult": 32561}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="fsdd,emodb,adult,motionsense,pooled-motionsense,page")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--work", type=Path, default=HOME.parent / "out" / "overview")
    asked = parser.parse_args()
    if "SORDINE_DATA" not in os.environ:
        raise SystemExit("set SORDINE_DATA to the folder of the data sets (see docs/results/overview.md)")
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    asked.work.mkdir(parents=True, exist_ok=True)
    for name in asked.only.split(","):
        if name in CASES:
            measure(CASES[name], asked.work, asked.fresh)
        elif name.startswith("pooled-"):
            pooled(CASES[name.removeprefix("pooled-")], asked.work, asked.fresh)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(CASES, STORE, {n: p for n in CASES if (p := pool(CASES[n]))}), encoding="utf-8")
    readme = HOME.parent / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split("<!-- overview:begin -->\n")
    after = rest.split("<!-- overview:end -->")[1]
    text = f"{before}<!-- overview:begin -->\n{summary(STORE)}<!-- overview:end -->{after}"
    readme.write_text(text, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
