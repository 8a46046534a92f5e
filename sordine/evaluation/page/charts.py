"""Charts of the report: inline SVG, as safe markup.

Horizontal coordinates are percentages, so that a chart takes the width it is given while its text keeps its size.
Colours are
CSS classes, so that light, dark and print come from the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from sordine.attacks.results import ExactFinding, Finding
from sordine.evaluation.report import Cloud, Headline
from sordine.metrics import percent as shares

TOP_CLASSES = 8  # distinguishable colours; further classes share one
MOST_POINTS = 4000
ENDS = (0.05, 0.1, 0.2, 0.5, 1.0)  # where an axis of shares may end
BEYOND = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 4.0, 9.0)  # how far beyond 100 % an axis may end


def percent(share: float | None) -> str:
    """Return a share as the page shows it: with its sign and a no-break space; 'unknown' for None."""
    if share is None:
        return "unknown"
    sign = "−" if round(100 * share, 1) < 0 else ""
    return sign + shares.percent(abs(share)).replace(" ", "\u00a0")


def clipped(nag: float | None) -> str:
    """Return NAG as it is shown: clipped at 0."""
    return percent(None if nag is None else max(nag, 0.0))


def span(low: float | None, high: float | None) -> str:
    """Return an interval in words, clipped at 0; empty text where there is none."""
    if low is None or high is None:
        return ""
    return f"{100 * max(low, 0.0):.1f} to {percent(max(high, 0.0))}"


def end(most: float) -> float:
    """Return the end of an axis from 0 that includes `most`, which may be larger than 1."""
    if most <= 1:
        return next(e for e in ENDS if e >= most)
    return 1 + next((e for e in BEYOND if 1 + e >= most), float(10 ** math.ceil(math.log10(most))) - 1)


def reach(points: Sequence[tuple[float, float | None]]) -> float:
    """Return the end of an axis that includes every point and the upper ends of the intervals.

    Upper ends beyond 1 are cut off where they would take more than half of the axis.
    """
    furthest = max(point for point, _ in points)
    ends = max(high if high is not None else point for point, high in points)
    return end(max(furthest, min(ends, max(1.0, 2 * furthest))))


def steps(low: float, high: float) -> list[float]:
    """Return round numbers along an axis, about five steps."""
    size = 10.0 ** math.floor(math.log10((high - low) / 6.5))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if (high - low) / (size * k) <= 6.5)
    first = math.ceil(low / step - 1e-6)
    return [round(k * step, 9) for k in range(first, math.floor(high / step + 1e-6) + 1)]


def tick(share: float) -> str:
    """Return a round share as a number of per cent."""
    return f"{round(100 * share, 6):,g}"


def _x(share: float, start: float = 0.0, width: float = 100.0) -> str:
    return f"{start + width * min(max(share, 0.0), 1.0):.2f}%"


def _whisker(low: float, high: float, y: float) -> str:
    a, b = _x(low), _x(high)
    return (
        f'<line class="whisker" x1="{a}" x2="{b}" y1="{y}" y2="{y}"/>'
        f'<line class="whisker" x1="{a}" x2="{a}" y1="{y - 4}" y2="{y + 4}"/>'
        f'<line class="whisker" x1="{b}" x2="{b}" y1="{y - 4}" y2="{y + 4}"/>'
    )


def _scale(height: int) -> str:
    return "".join(f'<line class="grid" x1="{t}%" x2="{t}%" y1="0" y2="{height}"/>' for t in (0, 25, 50, 75, 100))


def bars(headline: Headline, tone: str, shaky: bool = False) -> Markup:
    """Return accuracies on originals and on released records as two bars, and the baseline as a dashed line.

    shaky: whether the accuracy on originals means little; its bar is then hollow.
    """
    h = headline
    texts = [
        f"originals {percent(h.before)} (interval {span(*h.before_interval)})",
        f"released {percent(h.after)} (interval {span(*h.after_interval)})",
        f"baseline {percent(h.guess)}",
    ]
    rows = (
        ("before shaky" if shaky else "before", h.before, h.before_interval, 4),
        (tone, h.after, h.after_interval, 34),
    )
    marks = "".join(
        f'<g><title>{text}</title><rect class="bar {css}" x="0" y="{y}" width="{_x(value)}" height="20" rx="2"/>'
        f"{_whisker(*interval, y + 10)}</g>"
        for (css, value, interval, y), text in zip(rows, texts, strict=False)  # the third text is for both
    )
    return Markup(
        f'<svg class="bars" role="img" height="58">'
        f"<title>{escape(h.attribute)}: accuracy on originals and on released records</title>"
        f"<desc>{'; '.join(texts)}</desc>{_scale(58)}{marks}"
        f'<line class="guess" x1="{_x(h.guess)}" x2="{_x(h.guess)}" y1="0" y2="58"/></svg>'
    )


def dots(finding: Finding, tone: str) -> Markup:
    """Return one attack in one scenario: a ring for originals, a dot for released records, and the baseline."""
    f = finding
    text = f"originals {percent(f.before)}, released {percent(f.after)}, baseline {percent(f.guess)}"
    a, b = sorted((f.before, f.after))
    return Markup(
        f'<svg class="dots" role="img" height="26"><title>{escape(f.attacker)}, scenario {f.setting}: {text}</title>'
        f'<line class="rail" x1="0" x2="100%" y1="13" y2="13"/>'
        f'<line class="guess" x1="{_x(f.guess)}" x2="{_x(f.guess)}" y1="1" y2="25"/>'
        f'<line class="travel" x1="{_x(a)}" x2="{_x(b)}" y1="13" y2="13"/>'
        f'<line class="reach before" x1="{_x(f.before_interval[0])}" x2="{_x(f.before_interval[1])}" y1="13" y2="13"/>'
        f'<line class="reach {tone}" x1="{_x(f.after_interval[0])}" x2="{_x(f.after_interval[1])}" y1="13" y2="13"/>'
        f'<circle class="ring" cx="{_x(f.before)}" cy="13" r="5"/>'
        f'<circle class="dot {tone}" cx="{_x(f.after)}" cy="13" r="5.5"/></svg>'
    )


def best_attack(found: ExactFinding) -> Markup:
    """Return the accuracy of the optimal attack as a bar, with the baseline and the result of permuted labels."""
    e = found
    summary = (
        f"optimal attack {percent(e.accuracy)}; baseline {percent(e.guess)}; permuted labels {percent(e.permuted)}, "
        f"95th percentile {percent(e.permuted_high)}"
    )
    edge = max(e.permuted_high, e.permuted)
    width = _x(max(edge - e.permuted, 0.004))
    tone = "good" if e.accuracy <= edge else "bad"
    return Markup(
        f'<svg class="exact" role="img" height="34"><title>{escape(" and ".join(e.attributes))}: {summary}</title>'
        f'{_scale(34)}<rect class="chance" x="{_x(e.permuted)}" y="0" width="{width}" height="34"/>'
        f'<rect class="bar {tone}" x="0" y="9" width="{_x(e.accuracy)}" height="16" rx="2"/>'
        f'<line class="permuted" x1="{_x(e.permuted)}" x2="{_x(e.permuted)}" y1="0" y2="34"/>'
        f'<line class="guess" x1="{_x(e.guess)}" x2="{_x(e.guess)}" y1="0" y2="34"/></svg>'
    )


@dataclass(frozen=True)
class Frame:
    """The plane of a chart: left edge and width in per cent, top edge and height in pixels."""

    left: float
    width: float
    top: float
    height: float


def grid_marks(
    frame: Frame,
    x_of: Callable[[float], str],
    y_of: Callable[[float], float],
    across: tuple[float, float],
    upright: tuple[float, float],
) -> str:
    """Return grid lines and numbers of both axes, and lines at 100 % where an axis goes beyond it.

    Parameters
    ----------
    frame
        The plane of the chart.
    x_of, y_of
        Position of a share on each axis.
    across, upright
        Ends of each axis.
    """
    left, right, bottom = frame.left, frame.left + frame.width, frame.top + frame.height
    marks = [
        f'<line class="grid" x1="{left}%" x2="{right}%" y1="{y_of(t):.1f}" y2="{y_of(t):.1f}"/>'
        f'<text class="tick" x="{left - 1}%" y="{y_of(t) + 4:.1f}" text-anchor="end">{tick(t)}</text>'
        for t in steps(*upright)
    ]
    marks += [
        f'<line class="grid" x1="{x_of(t)}" x2="{x_of(t)}" y1="{frame.top}" y2="{bottom}"/>'
        f'<text class="tick" x="{x_of(t)}" y="{bottom + 18}" text-anchor="middle">{tick(t)}</text>'
        for t in steps(*across)
    ]
    if upright[1] > 1:
        marks.append(f'<line class="whole" x1="{left}%" x2="{right}%" y1="{y_of(1):.1f}" y2="{y_of(1):.1f}"/>')
    if across[1] > 1:
        marks.append(f'<line class="whole" x1="{x_of(1)}" x2="{x_of(1)}" y1="{frame.top}" y2="{bottom}"/>')
    return "".join(marks)


def tradeoff(worst: Headline, others: Sequence[Headline], shaky: Collection[str] = (), tone: str = "good") -> Markup:
    """Return a chart of the utility of preserved and watched attributes against the worst leakage.

    Parameters
    ----------
    worst
        The suppressed attribute with the largest leakage.
    others
        Preserved and watched attributes.
    shaky
        Attributes whose share means little: hollow points, and a dashed line for the worst leakage.
    tone
        Colour of the worst leakage.
    """
    assert worst.nag is not None
    points = sorted((h for h in others if h.nag is not None), key=lambda h: -(h.nag or 0.0))
    n, top, line = len(points), 26, 19
    plot = max(280, line * n)
    left, width = 9.0, 50.0
    right = max(1.0, reach([(worst.nag, worst.high)]))
    highest = max(1.0, reach([(known_or(h.nag, 0.0), h.high) for h in points])) if points else 1.0

    def y_of(utility: float) -> float:
        return top + (1 - min(max(utility / highest, 0.0), 1.0)) * plot

    def x_of(leakage: float) -> str:
        return _x(leakage / right, left, width)

    grid = grid_marks(Frame(left, width, top, plot), x_of, y_of, (0.0, right), (0.0, highest))
    x = left + width * min(max(worst.nag / right, 0.0), 1.0)
    low, high = known_or(worst.low, worst.nag), known_or(worst.high, worst.nag)
    band = (
        f'<rect class="band {tone}" x="{x_of(low)}" y="{top}" height="{plot}" '
        f'width="{width * (min(max(high / right, 0.0), 1.0) - min(max(low / right, 0.0), 1.0)):.2f}%">'
        f"<title>interval of the worst leakage: {span(low, high)}</title></rect>"
        f'<line class="level {tone}{" shaky" if worst.attribute in shaky else ""}" '
        f'x1="{x:.2f}%" x2="{x:.2f}%" y1="{top}" y2="{top + plot}"/>'
    )
    lanes = _lanes([(y_of(h.nag or 0.0), y_of(known_or(h.high, h.nag)), y_of(known_or(h.low, h.nag))) for h in points])
    step = min(1.4, 20.0 / max([1, *lanes]))
    marks = []
    for i, (h, label_y) in enumerate(
        zip(points, _apart([y_of(p.nag or 0.0) for p in points], line, top + plot), strict=True)
    ):
        at, ends = f"{x + step * lanes[i]:.2f}%", None
        if h.low is not None and h.high is not None:
            ends = (y_of(h.low), y_of(h.high))
        marks.append(_named_point(h, (at, y_of(h.nag or 0.0), label_y), left + width, ends, h.attribute in shaky))
    return Markup(
        f'<svg class="tradeoff" role="img" height="{top + plot + 42}"><title>Privacy against utility</title>'
        f"<desc>Worst leakage: {escape(worst.attribute)}, {clipped(worst.nag)}. "
        f"Utility: {escape('; '.join(f'{h.attribute} {clipped(h.nag)}' for h in points))}.</desc>"
        f'<rect class="corner" x="{left}%" y="{y_of(1):.1f}" '
        f'width="{width / 4 / right:.2f}%" height="{plot / 4 / highest:.1f}"/>{grid}{band}'
        f'<text class="tick" x="{left - 1}%" y="13" text-anchor="start">utility, %</text>'
        f'<text class="tick" x="{left + width}%" y="{top + plot + 36}" text-anchor="end">'
        "leakage of one record, %</text>"
        f"{''.join(marks)}</svg>"
    )


def _named_point(
    h: Headline, place: tuple[str, float, float], edge: float, ends: tuple[float, float] | None, shaky: bool
) -> str:
    """An attribute's point at (x, y), its interval, and its name at the right edge."""
    at, y, label_y = place
    text = f"{h.attribute}: utility {clipped(h.nag)} ({span(h.low, h.high)}), {h.role}"
    whisker = ""
    if ends is not None:
        whisker = f'<line class="whisker" x1="{at}" x2="{at}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>'
    return (
        f'<g class="{h.role}{" shaky" if shaky else ""}"><title>{escape(text)}</title>'
        f'<line class="leader" x1="{at}" x2="{edge + 2}%" y1="{y:.1f}" y2="{label_y:.1f}"/>{whisker}'
        f'<circle class="point" cx="{at}" cy="{y:.1f}" r="5"/>'
        f'<text class="name" x="{edge + 3}%" y="{label_y + 4:.1f}">'
        f'<tspan class="long">{escape(_short(h.attribute, 30))}</tspan>'
        f'<tspan class="short">{escape(_short(h.attribute, 11))}</tspan>'
        f'<tspan class="tick"> {clipped(h.nag)}</tspan></text></g>'
    )


def known_or(value: float | None, other: float | None) -> float:
    """Return the value, the other where it is None, and 0 where both are."""
    return (other or 0.0) if value is None else value


def _lanes(points: Sequence[tuple[float, float, float]]) -> list[int]:
    """For each (y, top, bottom), ascending, the first lane to the right that is free."""
    ends: list[float] = []
    lanes = []
    for y, top, bottom in points:
        first, last = min(top, y - 7), max(bottom, y + 7)
        lane = next((i for i, end in enumerate(ends) if end < first), len(ends))
        ends[lane : lane + 1] = [last]
        lanes.append(lane)
    return lanes


def _apart(wanted: Sequence[float], gap: float, bottom: float) -> list[float]:
    """Positions at least `gap` apart, near the wanted ones (ascending), none below `bottom`."""
    placed: list[float] = []
    for y in wanted:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], bottom)
        bottom = placed[i] - gap
    return placed


def _short(name: str, most: int) -> str:
    """A name cut in the middle, because names often differ at their ends."""
    half = (most - 1) // 2
    return name if len(name) <= most else name[: most - 1 - half] + "…" + name[-half:]


# -------------------------------------------------------------------------------------------------- records in 2-D

_SHAPES = ("round", "square", "triangle", "diamond")


@dataclass(frozen=True)
class Legend:
    """One entry: the class's name, its mark (a small SVG), how many records, and the key that its points carry."""

    name: str
    mark: Markup
    count: int
    key: str


@dataclass(frozen=True)
class Panels:
    """Two charts of the records coloured by one attribute, and their legend."""

    attribute: str
    before: Markup | None
    after: Markup
    legend: tuple[Legend, ...]


def panels(cloud: Cloud, attribute: str) -> Panels:
    """Return originals and released records on the same axes, coloured by one attribute.

    Rare classes share a colour.
    """
    codes, names = cloud.codes[attribute], cloud.classes[attribute]
    keep = range(0, len(cloud.after), max(1, -(-len(cloud.after) // MOST_POINTS)))
    counts: dict[int, int] = {}
    for i in keep:
        counts[codes[i]] = counts.get(codes[i], 0) + 1
    ranked = sorted((c for c in counts if c >= 0), key=lambda c: (-counts[c], names[c]))
    top = sorted(ranked if len(ranked) <= TOP_CLASSES + 2 else ranked[:TOP_CLASSES])
    keys = {c: f"k{i}" for i, c in enumerate(top)}
    both = [*cloud.before, *cloud.after]
    frame = (*_range([p[0] for p in both]), *_range([p[1] for p in both]))

    def picture(points: Sequence[tuple[float, float]], when: str) -> Markup:
        groups: dict[str, list[str]] = {}
        for i in keep:
            key = keys.get(codes[i], "rest")
            x = 20 + 960 * (points[i][0] - frame[0]) / (frame[1] - frame[0])
            y = 980 - 960 * (points[i][1] - frame[2]) / (frame[3] - frame[2])
            groups.setdefault(key, []).append(_mark(key, round(x), round(y)))
        paths = "".join(_path(k, "".join(groups[k])) for k in ("rest", *keys.values()) if k in groups)
        return Markup(
            f'<svg class="cloud" role="img" viewBox="0 0 1000 1000"><title>Records {when}, coloured by '
            f"{escape(attribute)}</title><desc>{len(keep)} records; {escape(cloud.how)}</desc>{paths}</svg>"
        )

    legend = [Legend(names[c], _sample(keys[c]), counts[c], keys[c]) for c in top]
    others = [c for c in ranked if c not in keys]
    if others:
        legend.append(Legend(f"{len(others)} others", _sample("rest"), sum(counts[c] for c in others), "rest"))
    if counts.get(-1):
        legend.append(Legend("unlabelled", _sample("rest"), counts[-1], "rest"))
    return Panels(
        attribute,
        picture(cloud.before, "before") if cloud.before else None,
        picture(cloud.after, "after"),
        tuple(legend),
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1.0, low + 1.0)


def _shape(key: str) -> str:
    return "round" if key == "rest" else _SHAPES[int(key[1:]) % len(_SHAPES)]


def _mark(key: str, x: int, y: int, size: int = 9) -> str:
    shape = _shape(key)
    if shape == "triangle":
        return f"M{x} {y - size - 1}l{size + 1} {2 * size}h{-2 * size - 2}z"
    if shape == "diamond":
        s = size + 2
        return f"M{x} {y - s}l{s} {s}l{-s} {s}l{-s} {-s}z"
    return f"M{x} {y}h1"  # a dot of the stroke's width, round or square by its cap; printers drop squares of length 0


def _path(key: str, d: str) -> str:
    return f'<path class="{key} {_shape(key)}" d="{d}"/>'


def _sample(key: str) -> Markup:
    return Markup(f'<svg class="sample" viewBox="0 0 40 40" aria-hidden="true">{_path(key, _mark(key, 20, 20))}</svg>')
