"""docs/results/mass.md: every table of MaSS on stand-ins, or on the paper's own data.

    SORDINE_DATA=... python -m benchmarks.mass [--table 2,3,...] [--on yale_b,fsdd,...] [--fresh]

Every row is stored in benchmarks/results/mass.jsonl as soon as it is measured. A second call measures the missing rows.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from benchmarks.mass.cases import CASES, STAND_INS, Case, load, paths
from benchmarks.mass.measure import SUBSTITUTION, measure, threads, unit_of
from benchmarks.mass.page import page
from benchmarks.mass.page import rows_of as rows_on
from benchmarks.mass.paper import TABLES, Config, Raw
from sordine.errors import SordineError

HOME = Path(__file__).parents[1]
PAGE = HOME.parent / "docs" / "results" / "mass.md"


def rows_of(case: Case, numbers: list[int]) -> list[Config | Raw | str]:
    """Return the rows to measure on a data set for these tables, each once; the extra row last."""
    wanted: dict[str, Config | Raw | str] = {}
    for number in numbers:
        if number not in case.tables:
            continue
        for row in rows_on(TABLES[number], case):
            what = row.config
            if what is None:
                continue
            if isinstance(what, str) and not (paths().get("left_behind") or {}).get(what):
                continue
            wanted.setdefault(unit_of(case, what).name, what)
        wanted.setdefault(unit_of(case, SUBSTITUTION).name, SUBSTITUTION)
    return sorted(wanted.values(), key=lambda w: w == SUBSTITUTION)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--table", default=",".join(map(str, TABLES)), help="numbers of the paper's tables")
    parser.add_argument("--on", default=",".join(STAND_INS), help=f"data sets: {', '.join(CASES)}")
    parser.add_argument("--fresh", action="store_true", help="measure every row again")
    parser.add_argument("--work", type=Path, default=HOME.parent / "out" / "mass", help="folder of tables and media")
    asked = parser.parse_args()
    numbers = [int(n) for n in asked.table.split(",")]
    for name in asked.on.split(","):
        if name not in CASES:
            raise SystemExit(f"unknown data set {name!r}; choose from {', '.join(CASES)}")
    for number in numbers:
        if number not in TABLES:
            raise SystemExit(f"unknown table {number}; choose from {', '.join(map(str, TABLES))}")
    threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    asked.work.mkdir(parents=True, exist_ok=True)
    try:
        for name in asked.on.split(","):
            case = CASES[name]
            missing = [w for w in rows_of(case, numbers) if asked.fresh or not unit_of(case, w).exists()]
            if not missing:
                continue
            table, memory = load(case, asked.work), dict[Any, Any]()
            for what in missing:
                start = time.perf_counter()
                measure(case, what, table, asked.work, memory)
                words = what if isinstance(what, str) else what.name
                print(f"{name}: {words}: {time.perf_counter() - start:.0f} s", flush=True)
    except SordineError as error:
        raise SystemExit(str(error)) from None
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
