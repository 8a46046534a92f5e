"""Draw leakage against utility, every method on every data set. Figures only, no record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.unknown.cases import CASES, ENTRIES, NEW, TASKS, Task
from benchmarks.unknown.checks import LEAKAGE, NAMED_LEAKAGE, NAMED_UTILITY, UTILITY
from sordine.data.files import atomic

PALETTE = (
    *("#c0392b", "#1e8449", "#1f618d", "#7f8c8d", "#d4ac0d", "#7d6608", "#6c3483"),
    *("#e67e22", "#16a085", "#d98880", "#34495e", "#2e86c1"),
)
COLOURS = dict(zip(ENTRIES, PALETTE, strict=True))
MARKERS = dict(zip(CASES, "os^Dv", strict=True))
LIMITS: dict[Task, tuple[float, float]] = {
    "unknown": (LEAKAGE, UTILITY),
    "named": (NAMED_LEAKAGE, NAMED_UTILITY),
}


@dataclass(frozen=True)
class Point:
    """A method on a data set: the highest NAG of a suppressed attribute, and the mean NAG of the others."""

    case: str
    task: Task
    entry: str
    leakage: float
    utility: float


def draw(points: Sequence[Point], path: Path) -> None:
    """Write the picture as PNG, a panel per task; the shaded corner is the requirement.

    Leakage above 1 is drawn at 1.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(9, 4), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, task in zip(figure.subplots(1, len(TASKS)), TASKS, strict=True):
        leakage, utility = LIMITS[task]
        axes.add_patch(Rectangle((-0.03, utility), leakage + 0.03, 1.05 - utility, color="#d5f5e3", zorder=0))
        for p in points:
            if p.task == task:
                at = min(max(p.leakage, 0.0), 1.0), max(p.utility, 0.0)
                axes.scatter(*at, color=COLOURS[p.entry], marker=MARKERS[p.case], s=60 if p.entry == NEW else 30)
        axes.set(xlim=(-0.03, 1.05), ylim=(-0.03, 1.05), xlabel="leakage (NAG)", title=f"task {task}")
    figure.axes[0].set_ylabel("utility (mean NAG)")
    shown = {p.entry for p in points}, {p.case for p in points}
    handles = [Line2D([], [], color=COLOURS[e], marker="o", ls="", label=e) for e in ENTRIES if e in shown[0]]
    handles += [Line2D([], [], color="black", marker=MARKERS[c], ls="", label=c) for c in CASES if c in shown[1]]
    figure.axes[-1].legend(handles=handles, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path, force=True) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
