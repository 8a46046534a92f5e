"""Figures 2 and 3: contact sheets of drawn faces under every method; no real person's picture is ever drawn here."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.masking.cases import CASES, COMPARED, Case, Row, masked, rows_of
from benchmarks.masking.measure import unit_of
from sordine.data.media.contact_sheet import contact_sheet

COLUMNS = {"block": ("share", 0.4), "blur": ("sigma", 2.5)}


def sheets(work: Path, folder: Path) -> list[Path]:
    """Write the sheets of the drawn cases whose rows have been measured; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        path
        for case in CASES.values()
        if not case.source
        for path in (_methods(case, work, folder), _sweep(case, work, folder))
        if path is not None
    ]


def _kept(case: Case, row: Row, work: Path, what: str = "soft") -> np.ndarray | None:
    path = work / case.name / f"{unit_of(case, row).name}.{what}.npy"
    return np.load(path) if path.exists() else None


def _write(columns: dict[str, np.ndarray | None], path: Path) -> Path | None:
    found = {caption: x for caption, x in columns.items() if x is not None}
    if len(found) < len(columns):
        return None
    contact_sheet(path, tuple(found), tuple(found.values()))
    return path


def _methods(case: Case, work: Path, folder: Path) -> Path | None:
    (task,) = case.tasks
    rows = rows_of(case)
    columns = {"original": _kept(case, rows[0], work)}
    for kind, (field, value) in COLUMNS.items():
        row = next(r for r in rows if r.kind == kind and r.fields[field] == value)
        columns[f"{kind}, {field} {value:g}"] = _kept(case, row, work)
    for adversarial, name in ((False, "non-adv."), (True, "ours")):
        row = masked(task, COMPARED, adversarial)
        columns[f"{name}: mask"] = _kept(case, row, work, "mask")
        columns[f"{name}: soft"] = _kept(case, row, work)
        columns[f"{name}: hard"] = _kept(case, row, work, "hard")
    return _write(columns, folder / f"{case.name}-methods.png")


def _sweep(case: Case, work: Path, folder: Path) -> Path | None:
    columns = {"original": _kept(case, rows_of(case)[0], work)}
    for row in sorted((r for r in rows_of(case) if r.kind == "masking" and r.seed == 0 and not r.tried), key=_order):
        who = "ours" if row.adversarial else "non-adv."
        x = _kept(case, row, work, "hard")
        if x is not None:  # the sweep is measured last
            columns[f"{who}, K {row.fields['keep']}"] = x
    return _write(columns, folder / f"{case.name}-sweep.png") if len(columns) > 3 else None


def _order(row: Row) -> tuple[bool, float]:
    return not row.adversarial, float(row.fields["keep"])
