"""Check whether our table has the shape of the paper's: one line per claim, with its figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.harness import percent, verdict
from benchmarks.mass.cases import Case
from benchmarks.mass.paper import Config, PaperTable, Raw, Row
from sordine.metrics.nag import wilson

Figures = dict[str, Any]
Rows = list[tuple[Row, Figures | None]]

IDENTITIES = ("person", "speaker", "data_id")  # identities: at most LIMIT; others at most their baseline
LIMIT = 0.05
NEAR = 0.03  # how near to the original a preserved attribute must be, where the paper's own gap is not larger


def checks(table: PaperTable, case: Case, rows: Rows) -> Iterator[str]:
    """Yield the lines under one table on one data set, for the measured rows."""
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
    """Check identities against LIMIT, others against their baseline, and several attributes by their cMAP."""
    assert isinstance(row.config, Config)
    for a in case.attributes(row.config.suppress):
        judged = f["judged"][a]
        limit, words = (LIMIT, "") if a in IDENTITIES else (judged["guess"], "its baseline of ")
        text = f"{row.label}: {a} at {percent(judged['after'])} %, at most {words}{percent(limit)} %"
        yield verdict(judged["after"] <= limit, text)
    if "cmap" in f:
        now, blind = f["cmap"]["after"], f["cmap"]["guess"]
        before = f["cmap"]["before"]
        text = f"{row.label}: cMAP falls from {percent(before)} to {percent(now)} % (baseline {percent(blind)} %)"
        yield verdict(now < before, text)


def helped(case: Case, config: Config, f: Figures, blind: Figures) -> Iterator[str]:
    """Check that the agnostic term improves attributes that are not named, beyond the intervals."""
    named = {*case.attributes(config.suppress), *case.attributes(config.preserve)}
    for a in case.all:
        if a not in named:
            note = f"; the suppressed attribute determines {a}" if a in case.decided else ""
            yield compared(f"the agnostic term raises {a}, which is not named", blind, f, a, note)


def compared(what: str, before: Figures, after: Figures, a: str, note: str = "") -> str:
    """Return whether an accuracy rises, where the intervals differ."""
    was, now = before["judged"][a]["after"], after["judged"][a]["after"]
    text = f"{what}, from {percent(was)} to {percent(now)} %{note}"
    if overlap([before, after], a):
        return f"within noise ({'up' if now > was else 'not up'}): {text}"
    return verdict(now > was, text)


def near(table: PaperTable, case: Case, row: Row, f: Figures) -> Iterator[str]:
    """Check that a preserved attribute is within NEAR of the original, or the paper's own gap where it is larger."""
    assert isinstance(row.config, Config)
    paper = dict(zip(table.columns, row.paper, strict=False))
    whole = dict(zip(table.columns, next((r.paper for r in table.rows if r.config is None), ()), strict=False))
    for slot in row.config.preserve:
        printed, original = paper.get(slot), whole.get(slot)
        allowed = max(NEAR, (original - printed) / 100 if printed and original else 0.0)
        for a in case.slots[slot]:
            judged = f["judged"][a]
            lost = judged["before"] - judged["after"]
            text = f"{row.label}: {a} loses {100 * lost:.1f} points, at most {100 * allowed:.1f}"
            yield verdict(lost <= allowed + 1e-9, text)


def indiscriminate(case: Case, rows: Rows) -> Iterator[str]:
    """Check that a baseline that lowers s1 to its limit lowers r1 further than MaSS does."""
    mass = next((f for row, f in rows if isinstance(row.config, Config)), None)
    (s,), (r,) = case.attributes(("s1",)), case.attributes(("r1",))
    for row, f in rows:
        if mass is None or f is None or isinstance(row.config, Config) or row.config is None:
            continue
        if isinstance(row.config, Raw) and f["judged"][s]["after"] > 2 * max(LIMIT, f["judged"][s]["guess"]):
            yield f"not applicable: {row.label} leaves {s} at {percent(f['judged'][s]['after'])} %"
        else:
            kept, ours = f["judged"][r]["after"], mass["judged"][r]["after"]
            yield verdict(kept < ours, f"{row.label} lowers {r} to {percent(kept)} %, MaSS to {percent(ours)} %")


def only_that(case: Case, fits: list[tuple[Row, Figures]]) -> Iterator[str]:
    """Check that attributes that are not named lose less of their accuracy above the baseline than the named one."""
    for row, f in fits:
        assert isinstance(row.config, Config)
        named = case.attributes(row.config.suppress)
        lost = {
            a: (j["before"] - j["after"]) / (j["before"] - j["guess"]) for a, j in f["judged"].items() if a in case.all
        }
        rest = {a: v for a, v in lost.items() if a not in named}
        words = ", ".join(f"{a} {percent(v)} %" for a, v in rest.items())
        text = f"{row.label}: of the accuracy above the baseline, {named[0]} loses all and the others less: {words}"
        yield verdict(max(rest.values()) < min(1.0, *(lost[a] for a in named)), text)


def rising(case: Case, rows: Rows) -> Iterator[str]:
    """Check that accuracies do not fall: no later interval lies wholly under an earlier one."""
    for a in case.attributes(tuple(s for s in case.slots if s != "s1")):
        spans = [span(f, a) for _, f in rows if f is not None]
        values = ", ".join(percent(f["judged"][a]["after"]) for _, f in rows if f is not None)
        falls = any(later[1] < earlier[0] for i, earlier in enumerate(spans) for later in spans[i + 1 :])
        yield verdict(not falls, f"{a} does not fall as w_r* grows: {values} %")


def agreeing(case: Case, rows: Rows) -> Iterator[str]:
    """Check that the similarities give overlapping intervals for preserved attributes."""
    for a in case.attributes(tuple(s for s in case.slots if s != "s1")):
        found = [f for _, f in rows if f is not None]
        values = ", ".join(percent(f["judged"][a]["after"]) for f in found)
        yield verdict(overlap(found, a), f"the similarities agree on {a} within intervals: {values} %")


def branch(case: Case, found: list[Figures]) -> Iterator[str]:
    """Check table 12: similarity, with L_rec, with the entropy term."""
    (s,) = case.attributes(("s1",))
    l2 = [f["l2"] for f in found]
    yield verdict(l2[1] <= l2[0], f"L_rec makes the change smaller: {l2[0]:.3f} to {l2[1]:.3f}")
    blur = [f["judged"][s]["entropy_after"] for f in found]
    yield verdict(
        blur[2] > blur[1], f"the entropy term makes predictions less certain: {blur[1]:.2f} to {blur[2]:.2f} nats"
    )


def span(f: Figures, a: str) -> tuple[float, float]:
    """Return the 95 % interval of a pretrained classifier's accuracy."""
    judged = f["judged"][a]
    return wilson(judged["after"] * judged["records"], judged["records"])


def overlap(found: list[Figures], a: str) -> bool:
    """Return whether the intervals of an attribute overlap."""
    spans = [span(f, a) for f in found]
    return max(low for low, _ in spans) <= min(high for _, high in spans)
