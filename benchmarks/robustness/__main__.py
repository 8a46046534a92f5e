"""Kill commands (`chaos`), mutate inputs (`fuzz`), and write docs/results/robustness.md from what was counted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from benchmarks.harness import Store
from benchmarks.robustness import child
from benchmarks.robustness.page import write_page

STORE = Store("robustness")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a part and write the page; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    chaos = parts.add_parser("chaos", help="kill commands, fill the disk, start two at once")
    chaos.add_argument("--kills", type=int, default=1000)
    chaos.add_argument("--commands", help="only these, with commas")
    fuzz = parts.add_parser("fuzz", help="mutate modifiers, jobs, reports and keys")
    for name in ("modifiers", "jobs", "reports", "keys"):
        fuzz.add_argument(f"--{name}", type=int, default=1000)
    for part in (chaos, fuzz):
        part.add_argument("--seed", type=int, default=0)
    parts.add_parser("page", help="write the page from the counts")
    given = parser.parse_args(arguments)
    wrong = 0
    if given.part != "page":
        child.ready()
    if given.part == "chaos":
        from benchmarks.robustness.chaos import WEIGHTS
        from benchmarks.robustness.chaos import chaos as disturb

        commands = tuple(given.commands.split(",")) if given.commands else tuple(WEIGHTS)
        wrong = disturb(given.kills, given.seed, commands, STORE)
    elif given.part == "fuzz":
        from benchmarks.robustness.fuzz import fuzz as mutate

        wrong = mutate({n: getattr(given, n) for n in ("modifiers", "jobs", "reports", "keys")}, given.seed, STORE)
    write_page(STORE)
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
