"""docs/results/unknown-task.md: leakage and utility where the later task is not known.

    SORDINE_DATA=... python -m benchmarks.unknown [--on fsdd,emodb,...] [--only transport,...] [--folds 5] [--keys 5]
        [--within-keys 5] [--page] [--fresh]

Every part is stored in benchmarks/results/unknown.jsonl as soon as it is measured; a second call measures only what is
missing and writes the page of all that there is.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.unknown.cases import CASES, ENTRIES, FOLDS, KEYS, groups, known
from benchmarks.unknown.measure import Bench
from benchmarks.unknown.page import gather, page, points
from benchmarks.unknown.picture import draw
from sordine.errors import SordineError, nearest

HOME = Path(__file__).parents[2]
PAGE = HOME / "docs" / "results" / "unknown-task.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", default=",".join(CASES), help=f"data sets: {', '.join(CASES)}")
    parser.add_argument("--only", default=",".join(ENTRIES), help=f"methods: {', '.join(ENTRIES)}")
    parser.add_argument("--folds", type=int, default=FOLDS, help="the first so many folds of five")
    parser.add_argument("--keys", type=int, default=KEYS, help="the first so many keys of five")
    parser.add_argument("--within-keys", type=int, default=KEYS, help="under how many keys settings B and C are tried")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the page of what there is")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    parser.add_argument("--work", type=Path, default=HOME / "out" / "unknown", help="folder of tables")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    try:
        if not asked.page:
            measure(asked)
    except SordineError as error:
        raise SystemExit(str(error)) from None
    write()


def measure(asked: argparse.Namespace) -> None:
    """Measure the missing parts of the selection, the most important first."""
    for name, most in (("folds", FOLDS), ("keys", KEYS), ("within_keys", KEYS)):
        if not 1 <= getattr(asked, name) <= most:
            raise SordineError(f"--{name.replace('_', '-')}: {getattr(asked, name)} is out of range; give 1 to {most}")
    cases, entries = chosen(asked.on, CASES, "data set"), chosen(asked.only, ENTRIES, "method")
    for entry in entries:
        if not known(entry):
            print(f"{entry.name}: left out; this version has no such method", flush=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked.work, asked.within_keys)
    for group in groups(cases, [e for e in entries if known(e)], range(asked.folds)):
        missing = bench.missing(group, asked.keys, asked.fresh)
        what = f"{group.case.name}, {group.task}, {group.entry.name}, fold {group.fold}"
        start = time.monotonic()
        bench.measure(group, missing, partial(print, f"{what}:", flush=True))
        if missing:
            print(f"{what}: {time.monotonic() - start:.0f} s in all", flush=True)


def chosen(names: str, known_ones: Mapping[str, Any], what: str) -> list[Any]:
    """Return the selected ones, by name. Raises SordineError for an unknown name."""
    for name in names.split(","):
        if name not in known_ones:
            raise SordineError(f"unknown {what} {name!r}; {nearest(name, known_ones)}")
    return [known_ones[name] for name in dict.fromkeys(names.split(","))]


def write() -> None:
    """Write the page and its picture, from the stored figures alone."""
    found = gather()
    text = page(found)
    shown = points(found)
    if shown:
        picture = PAGE.parent / PAGE.stem / "plane.png"
        draw(shown, picture)
        words = (
            "Leakage of the suppressed attribute that leaks most (more than 1 is drawn at 1) against mean utility; "
            "the shaded corner is the requirement for transport"
        )
        text += f"\n![{words}]({PAGE.stem}/{picture.name})\n\n*{words}.*\n"
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
