"""Write docs/results/robustness.md from the stored counts."""

from __future__ import annotations

from benchmarks.harness import PAGES, Store, markdown_table
from sordine.data.files import atomic

PAGE = PAGES / "robustness.md"
FAULTS = {
    "kill": "killed just before an operation that writes a file",
    "late": "killed at a random moment",
    "full": "no space left from an operation on",
    "file-size": "no file can grow over a random size",
    "read-only": "nothing can be written from an operation on",
    "two at once": "started twice at once",
}
HEAD = """# Robustness

Written by `make chaos` and `make fuzz` from `benchmarks/results/robustness.jsonl`. Inputs are small tables and clips.
The clock of reports stands still, and new keys are the same in every run.

## Killed commands and full disks

After each fault, every output at its final name must be complete, and equal byte for byte to that of an undisturbed
run. The same command is then given again. Its outputs must equal those of an undisturbed run, and no temporary file
may be left. A command that cannot write must end with code 2 and one line.
"""
FUZZ = """
## Mutated inputs

Each input is a valid one with some bytes or values changed. A changed modifier gets a new digest, so that the change is
not noticed by the digest alone. A command must end with code 0 or 1, or with code 2 and one line. It has 60 seconds and
2 GB of memory. No control character may reach the terminal or the page, and no script may reach the page.
"""


def write_page(store: Store) -> None:
    """Write the page from the units of the store."""
    faults, rows = {}, []
    for unit in store.units("chaos--"):
        _, command, kind = unit.name.split("--")
        faults[command, kind] = unit.read()
    for kind, words in FAULTS.items():
        of = {command: figures for (command, k), figures in faults.items() if k == kind}
        if of:
            numbers = [sum(f[name] for f in of.values()) for name in ("tried", "hit")]
            wrong = sum(len(f["violations"]) for f in of.values())
            rows.append([words, ", ".join(f"`{c}`" for c in of), *map(str, (*numbers, wrong))])
    text = HEAD + "\n" + markdown_table(["fault", "commands", "tried", "hit", "wrong"], rows) + FUZZ
    mutated = []
    for unit in store.units("fuzz--"):
        f = unit.read()
        codes = ", ".join(f"{code}: {count}" for code, count in f["codes"].items())
        size = f"{f['bytes'] / 1e6:.0f}"
        row = [unit.name.removeprefix("fuzz--"), f["inputs"], codes, f["seconds"], size, len(f["violations"])]
        mutated.append([str(cell) for cell in row])
    text += (
        "\n" + markdown_table(["input", "tried", "exit codes", "slowest, s", "largest, MB", "wrong"], mutated) + "\n"
    )
    with atomic(PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
