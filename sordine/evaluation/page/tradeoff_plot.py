"""The page of a comparison: leakage against utility as one chart, every figure, and pictures of each report."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from sordine.errors import visible
from sordine.evaluation.comparison import GEOMETRY, settings, short, strip
from sordine.evaluation.page.charts import Frame, clipped, end, grid_marks, known_or, reach, span
from sordine.evaluation.page.page import environment, style
from sordine.evaluation.report import Comparison, Curve, Point

COLOURS = 10  # k0 to k9 of the style sheet; further curves share the grey one
LEFT, WIDTH = 8.0, 86.0  # of the plane, in % of the picture
TOP, HEIGHT = 26, 400
UNLIKE = "These audits differ, so their figures do not rank the releases, and no release is marked as undominated."

Spot = tuple[int, Curve, Point]


def comparison_page(found: Comparison) -> str:
    """Return the self-contained page of a comparison. Every name in it is escaped."""
    curves = [
        {
            "c": curve,
            "mark": _legend(i),
            "line": _legend(i, joined=len(curve.points) > 1),
            "points": [{"p": p, "settings": settings(curve, p), "strip": strip(p)} for p in curve.points],
        }
        for i, curve in enumerate(found.curves)
    ]
    suppressed = all(p.role == "suppress" for curve in found.curves for p in curve.points)
    return visible(
        environment()
        .get_template("compare.html")
        .render(
            c=found,
            curves=curves,
            plane=plane(found),
            beyond=any(
                v > 1
                for _, _, p in _spots(found)
                for v in (known_or(p.leakage_high, p.leakage), known_or(p.utility_high, p.utility))
            ),
            unlike=UNLIKE,
            measure="Leakage" if suppressed else "NAG",
            useful=useful(found),
            several=len(found.utility) > 1,
            geometric=found.utility[0] in GEOMETRY.values(),
            geometry=list(dict.fromkeys(name for c in found.curves for p in c.points for name in p.geometry)),
            pictures=any(row["strip"] for curve in curves for row in _rows(curve)),
            reports=sum(len(curve.points) for curve in found.curves),
            style=style(),
        )
    )


def useful(found: Comparison) -> str:
    """Return what the utility is of, in words."""
    return found.utility[0] if len(found.utility) == 1 else f"mean of {', '.join(found.utility)}"


def _rows(curve: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = curve["points"]
    return rows


def plane(found: Comparison) -> Markup:
    """Return the chart: leakage to the right, utility upwards. Curves are joined, undominated points have rings."""
    spots = _spots(found)
    least = min(known_or(p.utility_low, p.utility) for _, _, p in spots)
    right = reach([(p.leakage or 0.0, p.leakage_high) for _, _, p in spots])
    top = max(1.0, reach([(p.utility or 0.0, p.utility_high) for _, _, p in spots]))
    bottom = 1 - end(1 - least) if least < 1 else 0.95
    bottom = max(bottom, 0.0)

    def x_of(leakage: float) -> float:
        return LEFT + WIDTH * min(max(leakage / right, 0.0), 1.0)

    def y_of(utility: float) -> float:
        return TOP + HEIGHT * min(max((top - utility) / (top - bottom), 0.0), 1.0)

    labels = _labels([(x_of(p.leakage or 0.0), y_of(p.utility or 0.0), short(c, p)) for _, c, p in spots])
    joins, marks = [], []
    for i, curve in enumerate(found.curves):
        own = [p for _, c, p in spots if c is curve]
        ends = [(x_of(p.leakage or 0.0), y_of(p.utility or 0.0)) for p in own]
        if curve.varies:
            joins += [
                f'<line class="join {colour(i)}" x1="{a[0]:.2f}%" y1="{a[1]:.1f}" x2="{b[0]:.2f}%" y2="{b[1]:.1f}"/>'
                for a, b in pairwise(ends)
            ]
    for (i, curve, p), label in zip(spots, labels, strict=True):
        x, y = x_of(p.leakage or 0.0), y_of(p.utility or 0.0)
        across = (x_of(known_or(p.leakage_low, p.leakage)), x_of(known_or(p.leakage_high, p.leakage)))
        upright = (y_of(known_or(p.utility_high, p.utility)), y_of(known_or(p.utility_low, p.utility)))
        text = (
            f"{curve.method}, {settings(curve, p)}: leakage {clipped(p.leakage)} "
            f"({span(p.leakage_low, p.leakage_high)}), "
            f"utility {clipped(p.utility)} ({span(p.utility_low, p.utility_high)}){', undominated' if p.front else ''}"
        )
        marks.append(
            f'<g class="{colour(i)}"><title>{escape(text)}</title>'
            f'<line class="whisker" x1="{across[0]:.2f}%" x2="{across[1]:.2f}%" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<line class="whisker" x1="{x:.2f}%" x2="{x:.2f}%" y1="{upright[0]:.1f}" y2="{upright[1]:.1f}"/>'
            + (f'<circle class="front" cx="{x:.2f}%" cy="{y:.1f}" r="11"/>' if p.front else "")
            + f'<svg x="{x:.2f}%" y="{y:.1f}" width="1" height="1" overflow="visible">{_shape(i)}</svg>{label}</g>'
        )
    grid = grid_marks(Frame(LEFT, WIDTH, TOP, HEIGHT), lambda t: f"{x_of(t):.2f}%", y_of, (0.0, right), (bottom, top))
    summary = "; ".join(
        f"{c.method} {settings(c, p)}: leakage {clipped(p.leakage)}, utility {clipped(p.utility)}" for _, c, p in spots
    )
    return Markup(
        f'<svg class="tradeoff plane" role="img" height="{TOP + HEIGHT + 42}"><title>Leakage against utility</title>'
        f"<desc>{escape(summary)}</desc>"
        f'<rect class="corner" x="{LEFT}%" y="{y_of(1):.1f}" '
        f'width="{WIDTH / 4 / max(right, 1):.2f}%" height="{(TOP + HEIGHT - y_of(1)) / 4:.1f}"/>{grid}'
        f'<text class="tick" x="0" y="13">utility ({escape(_cut(useful(found), 60))}), %</text>'
        f'<text class="tick" x="{LEFT + WIDTH}%" y="{TOP + HEIGHT + 36}" text-anchor="end">'
        f"leakage of {escape(_cut(found.attribute, 40))}, %</text>"
        f"{''.join(joins)}{''.join(marks)}</svg>"
    )


def _spots(found: Comparison) -> list[Spot]:
    return [
        (i, curve, p)
        for i, curve in enumerate(found.curves)
        for p in curve.points
        if p.leakage is not None and p.utility is not None
    ]


def colour(i: int) -> str:
    """Return the CSS class of the i-th curve's colour."""
    return f"k{i}" if i < COLOURS else "rest"


def _shape(i: int) -> str:
    """The mark of the i-th curve around the origin, so that colour is not the only difference."""
    paths = (
        "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
        "M-5.5-5.5h11v11h-11z",
        "M0-7.5l7 12.500h-14z",
        "M0-8l8 8l-8 8l-8-8z",
    )
    return f'<path d="{paths[i % len(paths)]}"/>'


def _legend(i: int, joined: bool = False) -> Markup:
    """A curve's mark, on a piece of its line if it has one."""
    line = '<line class="join" x1="-20" x2="20" y1="0" y2="0"/>' if joined else ""
    half = 20 if joined else 11
    return Markup(
        f'<svg class="mark plane {colour(i)}" style="width: {2 * half}px" '
        f'viewBox="-{half} -11 {2 * half} 22" aria-hidden="true">'
        f"{line}{_shape(i)}</svg>"
    )


def _labels(spots: Sequence[tuple[float, float, str]]) -> list[str]:
    """The text beside each point, if it hides no point and no other text. Narrow screens show none."""
    unit = 8.2  # px a percent, of a picture 820 px wide
    taken = [(x * unit - 9, y - 9, x * unit + 9, y + 9) for x, y, _ in spots]
    made = []
    for x, y, text in spots:
        name = _cut(text, 24)
        wide = 6.6 * len(name)
        for dx, dy, anchor in ((13, -8, "start"), (13, 17, "start"), (-13, -8, "end"), (-13, 17, "end")):
            start = x * unit + dx - (wide if anchor == "end" else 0)
            box = (start, y + dy - 11, start + wide, y + dy + 3)
            inside = box[0] >= 0 and box[2] <= 100 * unit
            if inside and not any(box[0] < b[2] and b[0] < box[2] and box[1] < b[3] and b[1] < box[3] for b in taken):
                taken.append(box)
                made.append(
                    f'<text class="name" x="{x:.2f}%" y="{y + dy:.1f}" '
                    f'dx="{dx}" text-anchor="{anchor}">{escape(name)}</text>'
                )
                break
        else:
            made.append("")
    return made


def _cut(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"
