"""docs/results/inversion.md: the tables and figures of the inversion paper on stand-ins.

    SORDINE_DATA=... python -m benchmarks.inversion [--on faces,yale_b,utkface] [--page]

Every unit is stored in benchmarks/results/inversion.jsonl as soon as it is measured. A second call measures the missing
units. --page writes the page alone, for all that has been measured.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from benchmarks.inversion.cases import CASES, Case, load, units
from benchmarks.inversion.figures import draw
from benchmarks.inversion.measure import (
    Bench,
    audited,
    measure,
    measure_audit,
    measure_encoder,
    measure_labels,
    measure_white_box,
)
from benchmarks.inversion.page import page
from sordine.errors import SordineError

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "results" / "inversion.md"


def run(case: Case, work: Path) -> None:
    """Measure the missing units of a data set."""
    began = time.perf_counter()

    def log(what: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s  {case.name}: {what}", flush=True)

    (work / case.name).mkdir(parents=True, exist_ok=True)
    bench = Bench(case, load(case, work), work)
    log("ready")
    every = units(case)
    for number, (fit, attack) in enumerate(every):
        measure_encoder(bench, fit)
        measure(bench, fit, attack)
        log(f"{fit.name}, {attack.name}")
        if number == 1:
            measure_labels(bench)
            log("labels alone")
    for fit in audited():
        measure_audit(bench, fit)
        log(f"{fit.name}, audit")
    if case.name == "faces":
        for fit in audited():
            measure_white_box(bench, fit)
            log(f"{fit.name}, white-box")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", default=",".join(CASES), help=f"data sets: {', '.join(CASES)}")
    parser.add_argument("--page", action="store_true", help="write the page without measuring")
    parser.add_argument("--work", type=Path, default=HOME / "out" / "inversion", help="folder of tables and encoders")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    try:
        for name in asked.on.split(","):
            if name not in CASES:
                raise SystemExit(f"unknown data set {name!r}; choose from {', '.join(CASES)}")
            if asked.page:
                continue
            if name != "faces" and "SORDINE_DATA" not in os.environ:
                print(f"{name}: left out; set SORDINE_DATA to the folder of the data sets")
                continue
            run(CASES[name], asked.work)
    except SordineError as error:
        raise SystemExit(str(error)) from None
    draw(asked.work, PAGE.with_suffix(""))
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
