"""docs/results/masking.md: tables I and II, figures 2 and 3 and a sweep over K, on stand-ins.

    SORDINE_DATA=... python -m benchmarks.masking [--on faces,tight,...] [--fresh]
        [--ciagan CASE:FOLDER] [--deepprivacy CASE:FOLDER]

Every row is stored in benchmarks/results/masking.jsonl as soon as it is measured. A second call measures the missing
rows.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from benchmarks.masking.cases import CASES, Case, Row, rows_of
from benchmarks.masking.figures import sheets
from benchmarks.masking.measure import Bench, unit_of
from benchmarks.masking.page import page
from sordine.errors import SordineError

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "results" / "masking.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", default=",".join(CASES), help=f"data sets: {', '.join(CASES)}")
    parser.add_argument(
        "--ciagan", metavar="CASE:FOLDER", help="CIAGAN's outputs for a case's pictures, under their names"
    )
    parser.add_argument("--deepprivacy", metavar="CASE:FOLDER", help="DeepPrivacy's outputs")
    parser.add_argument("--fresh", action="store_true", help="measure every row again")
    parser.add_argument("--work", type=Path, default=HOME / "out" / "masking", help="folder of tables and models")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    asked.work.mkdir(parents=True, exist_ok=True)
    try:
        for name in asked.on.split(","):
            if name not in CASES:
                raise SordineError(f"unknown data set {name!r}; choose from {', '.join(CASES)}")
        for late in (False, True):
            for name in asked.on.split(","):
                left = {"CIAGAN": asked.ciagan, "DeepPrivacy": asked.deepprivacy}
                rows = [row for row in (*rows_of(CASES[name]), *folders(name, left)) if row.late == late]
                measure(CASES[name], rows, asked.work, asked.fresh)
    except SordineError as error:
        raise SystemExit(str(error)) from None
    sheets(asked.work, PAGE.parent / "masking")
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


def folders(name: str, left: dict[str, str | None]) -> list[Row]:
    """Return the rows of other programs' outputs for a case's pictures, given as CASE:FOLDER."""
    pairs = [(what, *given.partition(":")[::2]) for what, given in left.items() if given]
    for what, case, folder in pairs:
        if case not in CASES or not folder:
            raise SordineError(f"{what}: {case!r}:{folder!r} is not CASE:FOLDER; CASE is one of {', '.join(CASES)}")
    return [Row("folder", folder=folder, label=what, audited=True) for what, case, folder in pairs if case == name]


def measure(case: Case, rows: list[Row], work: Path, fresh: bool) -> None:
    """Measure the missing rows of a case."""
    missing = [row for row in rows if fresh or not unit_of(case, row).exists()]
    if not missing:
        return
    if case.source and "SORDINE_DATA" not in os.environ:
        print(f"{case.name}: left out; set SORDINE_DATA to the folder of the data sets", flush=True)
        return
    bench = Bench(case, work)
    if case.identity and (fresh or not unit_of(case, "reference").exists()):
        unit_of(case, "reference").write(bench.reference())
    for row in missing:
        start = time.perf_counter()
        bench.measure(row)
        print(f"{case.name}: {row.name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
