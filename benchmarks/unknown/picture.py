"""Draw leakage against utility, every method on every data set. Figures only, no record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.unknown.cases import CASES, ENTRIES, OURS, Task
from benchmarks.unknown.checks import LIMITS, leakage
from benchmarks.unknown.pooled import Pool
from sordine.data.files import atomic

PALETTE = (
    *("#c0392b", "#1e8449", "#e67e22", "#16a085", "#d98880", "#34495e", "#2e86c1"),
    *("#7f8c8d", "#d4ac0d", "#7d6608", "#6c3483", "#1f618d"),
)
COLOURS = dict(zip(ENTRIES, PALETTE, strict=True))
MARKERS = dict(zip(CASES, "os^DvPX", strict=True))
WORDS = (
    "Largest leakage of a single record, known classes included, against utility; the shaded corner is the requirement"
)


def points(pools: Sequence[Pool]) -> list[tuple[Pool, float, float]]:
    """Return leakage and utility of each method and data set, where both are defined."""
    found = [(p, leakage(p), p.utility().value) for p in pools]
    return [(p, leak, useful) for p, leak, useful in found if leak is not None and useful is not None]


def draw(pools: Sequence[Pool], task: Task, path: Path) -> bool:
    """Write the picture of a task as PNG, and return whether there is anything to show."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    shown = points(pools)
    if not shown:
        return False
    figure = Figure(figsize=(7, 4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    limit, _, least = LIMITS[task]
    axes.add_patch(Rectangle((-0.03, least), limit + 0.03, 1.05 - least, color="#d5f5e3", zorder=0))
    for p, leak, useful in shown:
        at = min(leak, 1.0), min(max(useful, 0.0), 1.0)
        axes.scatter(*at, color=COLOURS[p.entry], marker=MARKERS[p.case.name], s=60 if p.entry in OURS else 30)
    axes.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.05), xlabel="leakage (NAG)", ylabel="utility (NAG)")
    entries, cases = {p.entry for p, *_ in shown}, {p.case.name for p, *_ in shown}
    handles = [Line2D([], [], color=COLOURS[e], marker="o", ls="", label=e) for e in ENTRIES if e in entries]
    handles += [Line2D([], [], color="black", marker=MARKERS[c], ls="", label=c) for c in CASES if c in cases]
    axes.legend(handles=handles, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, force=True) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    return True
