"""docs/results/audit.md: the standard audit beside the one before it, and on planted leaks.

    SORDINE_DATA=... python -m benchmarks.audit [--fresh] [--page] [--only PREFIX]

It measures what is missing in benchmarks/results/audit.jsonl, then writes the page. --page writes the page alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

import torch

from benchmarks.audit import families, former, known, limits
from benchmarks.audit.page import page
from benchmarks.audit.planted import RECORDS, WIDTHS, found, verdicts
from benchmarks.audit.releases import METHODS, SCENES, WORK, measure
from benchmarks.harness import PAGES, Store

STORE, PAGE = Store("audit"), PAGES / "audit.md"
PLANTED = (0, 0.1, 0.2)  # sizes of the leaks in the audits; 0: none


def units() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each unit, and the function that measures it."""
    for name, scene in SCENES.items():
        for method in METHODS:
            yield f"release--{name}--{method}", partial(measure, STORE, scene, method)
            yield f"former--{name}--{method}", partial(former.measure, STORE, scene, method)
    yield "known--fsdd", partial(known.measure, STORE)
    for n in RECORDS:
        for d in WIDTHS:
            yield f"found--{n:05}--{d:03}", partial(found, STORE, n, d)
    for name in limits.CASES:
        yield f"limits--{name}", partial(limits.measure, STORE, name)
    yield "families--seconds", partial(families.seconds, STORE)
    yield "families--plants", partial(families.plants, STORE)
    for size in PLANTED:
        yield f"verdicts--{size}", partial(verdicts, STORE, size)


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures")
    parser.add_argument("--only", default="", help="measure units whose names begin so")
    given = parser.parse_args()
    torch.set_num_threads(1)
    WORK.mkdir(parents=True, exist_ok=True)
    for name, measure_unit in units():
        if given.page or not name.startswith(given.only):
            continue
        if given.fresh or not STORE.unit(name).exists():
            measure_unit()
            print(name, flush=True)
    PAGE.write_text(page(STORE), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
