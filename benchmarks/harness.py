"""What all benchmarks share: a store of figures (one JSON-lines file a benchmark, one line a unit) and Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sordine.attacks.budget import Budget
from sordine.data.files import atomic

ROOT = Path(__file__).parents[1]
# The attacks of these pages. The standard audit makes more, and plants leaks: its figures are in `benchmarks.audit`.
BASIC_ATTACKS = ("logistic", "neighbours", "trees", "mlp", "resnet")
RESULTS = ROOT / "benchmarks" / "results"
PAGES = ROOT / "docs" / "results"


def basic_audit(**changes: Any) -> Budget:
    """Return a budget of the basic attacks on single records and persons, without planted leaks and other risks."""
    rest: dict[str, Any] = {
        "max_records": 20000,
        "plants": 0,
        "risks": False,
        "utility": False,
        "known": (),
        "tail": False,
    }
    return Budget(**{"families": BASIC_ATTACKS, **rest, **changes})


@dataclass(frozen=True)
class Unit:
    """One unit of measurement: its name, and the store that holds its figures."""

    store: Store
    name: str

    def exists(self) -> bool:
        """Return whether the unit has been measured."""
        return self.name in self.store.figures

    def read(self) -> dict[str, Any]:
        """Return the figures. Raises KeyError where the unit has not been measured."""
        return json.loads(json.dumps(self.store.figures[self.name]))  # a copy: callers change what they get

    def write(self, figures: Mapping[str, Any]) -> None:
        """Keep the figures, and write the whole store at once."""
        self.store.put(self.name, figures)


class Store:
    """Figures of one benchmark by unit, in the file `<name>.jsonl`.

    Each line is an object with the keys `unit` and `figures`. Lines are sorted by unit, so that two versions of
    a file can be compared line by line; figures keep the order in which they were measured.

    Parameters
    ----------
    name
        Name of the benchmark.
    folder
        Where the file lies.
    """

    def __init__(self, name: str, folder: Path = RESULTS) -> None:
        self.path = folder / f"{name}.jsonl"

    @cached_property
    def figures(self) -> dict[str, dict[str, Any]]:
        """All figures by unit."""
        if not self.path.exists():
            return {}
        with self.path.open(encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines]
        return {line["unit"]: line["figures"] for line in found}

    def unit(self, name: str) -> Unit:
        """Return the unit of that name, measured or not."""
        return Unit(self, name)

    def units(self, prefix: str = "", suffix: str = "") -> Iterator[Unit]:
        """Yield the measured units whose names begin and end so, in order of their names."""
        for name in sorted(self.figures):
            if name.startswith(prefix) and name.endswith(suffix):
                yield self.unit(name)

    def put(self, name: str, figures: Mapping[str, Any]) -> None:
        """Set a unit's figures and write the file, whole or not at all."""
        self.figures[name] = json.loads(json.dumps(figures, default=_plain))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(self.path, force=True) as temporary, temporary.open("w", encoding="utf-8") as file:
            for unit in sorted(self.figures):
                file.write(json.dumps({"unit": unit, "figures": self.figures[unit]}) + "\n")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def percent(value: float | None, missing: str = "-") -> str:
    """Return a share as per cent with one decimal, without the sign."""
    return missing if value is None else f"{100 * value:.1f}"


def verdict(holds: bool, claim: str, undecided: bool = False) -> str:
    """Return a line of a page on a claim of a paper: reproduced, not reproduced, or not decided by the figures.

    The words are not those of a report's verdict: a claim about a pretrained classifier is none about privacy.
    """
    state = "reproduced" if holds else "not clearly" if undecided else "**not reproduced**"
    return f"{state}: {claim}"


def table_row(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, ending with a line break."""
    return "\n".join(table_row(cells) for cells in [head, ["---"] * len(head), *rows]) + "\n"
