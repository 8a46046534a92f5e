"""docs/results/replacement.md: figures 4 to 7 and 9 and tables 1 to 4 of the replacement paper, on stand-ins.

    SORDINE_DATA=... python -m benchmarks.replacement [--on plane,faces,utkface,yale_b] [--first N] [--page]

Every unit is stored in benchmarks/results/replacement.jsonl as soon as it is measured. A second call measures the
missing units.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from benchmarks.replacement.cases import DATA, Fit, Plane, units
from benchmarks.replacement.measure import Bench, keep, measure_plane, unit_of
from sordine.errors import SordineError

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "results" / "replacement.md"


def measure(on: list[str], first: int, work: Path) -> None:
    """Measure the missing units, in the order of `units`."""
    benches: dict[tuple[str, str], Bench] = {}
    for what in list(units())[:first]:
        data = "plane" if isinstance(what, Plane) else what.data
        if data not in on or unit_of(what).exists():
            continue
        if data in DATA and DATA[data].source and "SORDINE_DATA" not in os.environ:
            print(f"{what.name}: left out; set SORDINE_DATA to the folder of the data sets", flush=True)
            continue
        start = time.perf_counter()
        if isinstance(what, Fit):
            pair = (what.data, what.secret)
            if pair not in benches:
                benches[pair] = Bench(*pair, work / "-".join(pair))
            reference = f"{what.data}--{what.secret}-original"
            if not unit_of(reference).exists():
                keep(reference, benches[pair].reference())
            keep(what, benches[pair].measure(what))
        else:
            keep(what, measure_plane(what))
        print(f"{what.name}: {time.perf_counter() - start:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    known = ("plane", *DATA)
    parser.add_argument("--on", default=",".join(known), help=f"of {', '.join(known)}")
    parser.add_argument("--first", type=int, default=1000, help="measure at most the first N units")
    parser.add_argument("--page", action="store_true", help="write the page without measuring")
    parser.add_argument("--work", type=Path, default=HOME / "out" / "replacement", help="folder of tables and models")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    asked.work.mkdir(parents=True, exist_ok=True)
    for name in asked.on.split(","):
        if name not in known:
            raise SystemExit(f"unknown data set {name!r}; choose from {', '.join(known)}")
    try:
        if not asked.page:
            measure(asked.on.split(","), asked.first, asked.work)
    except SordineError as error:
        raise SystemExit(str(error)) from None
    from benchmarks.replacement.figures import figures
    from benchmarks.replacement.page import page

    figures(asked.work, PAGE.parent / "replacement")
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
