"""Whether ours has the shape of the paper's table: one line a question, with the figures it was decided by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.harness import percent, verdict
from benchmarks.mass.cases import Case
from benchmarks.mass.paper import Config, PaperTable, Raw, Row
from sordine.metrics.nag import wilson

Figures = dict[str, Any]
Rows = list[tuple[Row, Figures | None]]

IDENTITIES = ("person", "speaker", "data_id")  # told apart by people: at most LIMIT, others at most their guess
LIMIT = 0.05
NEAR = 0.03  # how near to the original a preserved attribute must be, where the paper's own gap is not larger


def checks(table: PaperTable, case: Case, rows: Rows) -> Iterator[str]:
    """The lines under one table on one data set. Only what was measured is asked about."""
    fits = [(row, f) for row, f in rows if isinstance(row.config, Config) and f is not None]
    by = {row.config.name: f for row, f in fits if isinstance(row.config, Config)}
    for row, f in fits:
        assert isinstance(row.config, Config)
        if not row.config.fields or table.number == 10:
            yield from suppressed(case, row, f)
    for row, f in fits:
        config = row.config
        assert isinstance(config, Config)
        blind = Config(config.suppress, config.preserve, agnostic=False, fields=config.fields).name
        if config.agnostic and blind in by:
            yield from helped(case, config, f, by[blind])
        if config.preserve:
            yield from near(table, case, row, f)
    whole = len(rows) == len([f for _, f in rows if f is not None])
    if table.number == 5:
        yield from indiscriminate(case, rows)
    if table.number == 8:
        yield from only_that(case, fits)
    if table.number == 9:
        yield from rising(case, rows) if whole else ("not all rows are measured: no verdict on the sweep",)
    if table.number == 10:
        yield from agreeing(case, rows) if whole else ("not all rows are measured: no verdict on the similarities",)
    if table.number == 12 and whole:
        yield from branch(case, [f for _, f in fits])


def suppressed(case: Case, row: Row, f: Figures) -> Iterator[str]:
    """Identities at most LIMIT, others at most their guess; several attributes together also by their cMAP."""
    assert isinstance(row.config, Config)
    for a in case.attributes(row.config.suppress):
        told = f["judged"][a]
        limit, words = (LIMIT, "") if a in IDENTITIES else (told["guess"], "its guess of ")
        text = f"{row.label}: {a} at {percent(told['after'])} %, at most {words}{percent(limit)} %"
        yield verdict(told["after"] <= limit, text)
    if "cmap" in f:
        now, blind = f["cmap"]["after"], f["cmap"]["guess"]
        text = f"{row.label}: cMAP falls from {percent(f['cmap']['before'])} to {percent(now)} % (drawn blindly {percent(blind)} %)"
        yield verdict(now < f["cmap"]["before"], text)


def helped(case: Case, config: Config, f: Figures, blind: Figures) -> Iterator[str]:
    """The agnostic term improves what nobody named, beyond the intervals."""
    named = {*case.attributes(config.suppress), *case.attributes(config.preserve)}
    for a in case.all:
        if a not in named:
            told = f"; the suppressed attribute decides {a}" if a in case.decided else ""
            yield compared(f"the agnostic term moves {a}, which nobody named", blind, f, a, told)


def compared(what: str, before: Figures, after: Figures, a: str, told: str = "") -> str:
    """Whether an accuracy rises, where their intervals can tell."""
    was, now = before["judged"][a]["after"], after["judged"][a]["after"]
    text = f"{what}, from {percent(was)} to {percent(now)} %{told}"
    if overlap([before, after], a):
        return f"within noise ({'up' if now > was else 'not up'}): {text}"
    return verdict(now > was, text)


def near(table: PaperTable, case: Case, row: Row, f: Figures) -> Iterator[str]:
    """What was preserved by name is within NEAR of the original, or the paper's own gap where that is larger."""
    assert isinstance(row.config, Config)
    paper = dict(zip(table.columns, row.paper, strict=False))
    whole = dict(zip(table.columns, next((r.paper for r in table.rows if r.config is None), ()), strict=False))
    for slot in row.config.preserve:
        printed, original = paper.get(slot), whole.get(slot)
        allowed = max(NEAR, (original - printed) / 100 if printed and original else 0.0)
        for a in case.slots[slot]:
            told = f["judged"][a]
            lost = told["before"] - told["after"]
            text = f"{row.label}: {a} loses {100 * lost:.1f} points, at most {100 * allowed:.1f}"
            yield verdict(lost <= allowed + 1e-9, text)


def indiscriminate(case: Case, rows: Rows) -> Iterator[str]:
    """Where a baseline takes s1 as far down as its limit, it takes r1 further down than MaSS does."""
    mass = next((f for row, f in rows if isinstance(row.config, Config)), None)
    (s,), (r,) = case.attributes(("s1",)), case.attributes(("r1",))
    for row, f in rows:
        if mass is None or f is None or isinstance(row.config, Config) or row.config is None:
            continue
        if isinstance(row.config, Raw) and f["judged"][s]["after"] > 2 * max(LIMIT, f["judged"][s]["guess"]):
            yield f"no matter: {row.label} leaves {s} at {percent(f['judged'][s]['after'])} %"
        else:
            kept, ours = f["judged"][r]["after"], mass["judged"][r]["after"]
            yield verdict(kept < ours, f"{row.label} brings {r} down to {percent(kept)} %, MaSS to {percent(ours)} %")


def only_that(case: Case, fits: list[tuple[Row, Figures]]) -> Iterator[str]:
    """What is not named loses less of what could be read above its guess than what is."""
    for row, f in fits:
        assert isinstance(row.config, Config)
        named = case.attributes(row.config.suppress)
        lost = {
            a: (j["before"] - j["after"]) / (j["before"] - j["guess"]) for a, j in f["judged"].items() if a in case.all
        }
        rest = {a: v for a, v in lost.items() if a not in named}
        words = ", ".join(f"{a} {percent(v)} %" for a, v in rest.items())
        text = f"{row.label}: of what could be read above the guess, {named[0]} loses all and the others less: {words}"
        yield verdict(max(rest.values()) < min(1.0, *(lost[a] for a in named)), text)


def rising(case: Case, rows: Rows) -> Iterator[str]:
    """Non-decreasing within intervals: no later figure's interval lies wholly under an earlier one's."""
    for a in case.attributes(tuple(s for s in case.slots if s != "s1")):
        spans = [span(f, a) for _, f in rows if f is not None]
        values = ", ".join(percent(f["judged"][a]["after"]) for _, f in rows if f is not None)
        falls = any(later[1] < earlier[0] for i, earlier in enumerate(spans) for later in spans[i + 1 :])
        yield verdict(not falls, f"{a} does not fall as w_r* grows: {values} %")


def agreeing(case: Case, rows: Rows) -> Iterator[str]:
    """The similarities give overlapping intervals for what is kept."""
    for a in case.attributes(tuple(s for s in case.slots if s != "s1")):
        found = [f for _, f in rows if f is not None]
        values = ", ".join(percent(f["judged"][a]["after"]) for f in found)
        yield verdict(overlap(found, a), f"the similarities agree on {a} within intervals: {values} %")


def branch(case: Case, found: list[Figures]) -> Iterator[str]:
    """Table 12: similarity, with L_rec, with the entropy term."""
    (s,) = case.attributes(("s1",))
    l2 = [f["l2"] for f in found]
    yield verdict(l2[1] <= l2[0], f"L_rec makes the change smaller: {l2[0]:.3f} to {l2[1]:.3f}")
    blur = [f["judged"][s]["entropy_after"] for f in found]
    yield verdict(
        blur[2] > blur[1], f"the entropy term makes predictions less sure: {blur[1]:.2f} to {blur[2]:.2f} nats"
    )


def span(f: Figures, a: str) -> tuple[float, float]:
    """The 95 % interval of a pretrained classifier's accuracy."""
    told = f["judged"][a]
    return wilson(told["after"] * told["records"], told["records"])


def overlap(found: list[Figures], a: str) -> bool:
    """Whether the intervals of an attribute have a point in common."""
    spans = [span(f, a) for f in found]
    return max(low for low, _ in spans) <= min(high for _, high in spans)
