"""docs/results/beyond.md: attackers that the audit does not include, and planted leaks.

    SORDINE_DATA=... python -m benchmarks.beyond [--fresh] [--page]

It measures what is missing in benchmarks/results/beyond.jsonl, then writes the page. --page writes the page alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.beyond.attackers import measure, measure_unseen
from benchmarks.beyond.page import page
from benchmarks.beyond.planted import LEAKS
from benchmarks.beyond.planted import measure as measure_leak
from benchmarks.harness import PAGES, ROOT, Store
from benchmarks.unknown.cases import CASES, TASKS, load

STORE, PAGE, WORK = Store("beyond"), PAGES / "beyond.md", ROOT / "out" / "unknown"


def units() -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each unit, and the function that measures it."""
    for leak in LEAKS.values():
        yield f"planted--{leak.name}", partial(measure_leak, STORE, leak)
    for name in ("fsdd", "motionsense"):
        for task in TASKS:
            yield f"known--{name}--{task}", partial(_known, f"known--{name}--{task}", name, task == "named")
    for method, task in (("transport", "unknown"), ("transport", "named"), ("flow", "unknown")):
        unit = f"unseen--{method}--{task}"
        yield unit, partial(_unseen, unit, method, task == "named")


def _known(unit: str, name: str, named: bool) -> None:
    case = CASES[name]
    measure(STORE, unit, load(case, WORK), case.suppress[0], [case.keeps] if named else [])


def _unseen(unit: str, method: str, named: bool) -> None:
    case = CASES["fsdd"]
    measure_unseen(STORE, unit, load(case, WORK), method, case.suppress[0], [case.keeps] if named else [])


def main() -> None:
    """Measure what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--page", action="store_true", help="write the page from the stored figures")
    given = parser.parse_args()
    Path(WORK).mkdir(parents=True, exist_ok=True)
    for name, measure_unit in units():
        if not given.page and (given.fresh or not STORE.unit(name).exists()):
            measure_unit()
            print(name, flush=True)
    PAGE.write_text(page(STORE), encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
