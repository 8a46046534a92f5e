"""docs/results/unknown-task.md and named-task.md: every method under the standard audit.

    SORDINE_DATA=... python -m benchmarks.unknown [--on fsdd,emodb,...] [--only transport,...] [--tasks unknown,named]
        [--folds 5] [--keys 1] [--page] [--fresh]

Every unit is stored in benchmarks/results/unknown.jsonl as soon as it is measured. A second call measures only what is
missing, and writes the pages of the tasks from all that there is.
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

from benchmarks.harness import PAGES, ROOT
from benchmarks.unknown.cases import CASES, ENTRIES, FOLDS, KEYS, TASKS, Group, Task, groups, known
from benchmarks.unknown.measure import Bench
from benchmarks.unknown.page import gather, page
from benchmarks.unknown.picture import WORDS, draw
from sordine.errors import SordineError, nearest


def main() -> None:
    """Measure what is missing, and write the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--on", default=",".join(CASES), help=f"data sets: {', '.join(CASES)}")
    parser.add_argument("--only", default=",".join(ENTRIES), help=f"methods: {', '.join(ENTRIES)}")
    parser.add_argument("--tasks", default=",".join(TASKS), help=f"tasks, one page each: {', '.join(TASKS)}")
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"the first so many folds of {FOLDS}")
    parser.add_argument("--keys", type=int, default=1, help=f"releases under so many keys, at most {KEYS}")
    parser.add_argument("--page", action="store_true", help="measure nothing: write the pages of what there is")
    parser.add_argument("--fresh", action="store_true", help="measure again what has been measured")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "unknown", help="folder of tables")
    asked = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    try:
        tasks = chosen(asked.tasks, {t: t for t in TASKS}, "task")
        failed = [] if asked.page else measure(asked, tasks)
    except SordineError as error:
        raise SystemExit(str(error)) from None
    for task in tasks:
        write(task)
    if failed:
        raise SystemExit("not measured:\n" + "\n".join(failed))


def measure(asked: argparse.Namespace, tasks: list[Task]) -> list[str]:
    """Measure the missing units of the selection, and return why some could not be measured."""
    for name, most in (("folds", FOLDS), ("keys", KEYS)):
        if not 1 <= getattr(asked, name) <= most:
            raise SordineError(f"--{name}: {getattr(asked, name)} is out of range; give 1 to {most}")
    cases, entries = chosen(asked.on, CASES, "data set"), chosen(asked.only, ENTRIES, "method")
    for entry in entries:
        if not known(entry):
            print(f"{entry.name}: left out; this version has no such method", flush=True)
    asked.work.mkdir(parents=True, exist_ok=True)
    bench, failed = Bench(asked.work), []
    for group in groups(cases, [e for e in entries if known(e)], range(asked.folds), tasks):
        try:
            _measure(bench, group, asked)
        except SordineError as error:  # of one method: the others go on
            failed.append(f"{_about(group)}: {error}")
            print(failed[-1], flush=True)
    return failed


def _measure(bench: Bench, group: Group, asked: argparse.Namespace) -> None:
    keys, start = bench.missing(group, asked.keys, asked.fresh), time.monotonic()
    if keys:
        bench.measure(group, keys, partial(print, f"{_about(group)}:", flush=True))
        print(f"{_about(group)}: {time.monotonic() - start:.0f} s in all", flush=True)


def _about(group: Group) -> str:
    return f"{group.case.name}, {group.task}, {group.entry.name}, fold {group.fold}"


def chosen(names: str, known_ones: Mapping[str, Any], what: str) -> list[Any]:
    """Return the selected ones, by name. Raises SordineError for an unknown name."""
    for name in names.split(","):
        if name not in known_ones:
            raise SordineError(f"unknown {what} {name!r}; {nearest(name, known_ones)}")
    return [known_ones[name] for name in dict.fromkeys(names.split(","))]


def write(task: Task) -> None:
    """Write the page of a task and its picture, from the stored figures alone."""
    target = PAGES / f"{task}-task.md"
    pools = gather(task)
    text = page(task, pools)
    if draw(pools, task, target.with_suffix("") / "plane.png"):
        text += f"\n![{WORDS}]({target.stem}/plane.png)\n\n*{WORDS}.*\n"
    target.write_text(text, encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
