"""The text of docs/results/mass.md, from the figures in benchmarks/results/mass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.mass.cases import CASES, OWN, STAND_INS, Case
from benchmarks.mass.measure import SUBSTITUTION, file_of
from benchmarks.mass.paper import TABLES, Config, PaperTable, Row
from sordine.metrics import relative_suppression, wilson

IDENTITIES = 10  # an attribute of so many classes is like an identity: 0.05 at most, by the paper's protocol
NEAR = 0.03  # how near to the original a preserved attribute must be, where the paper's own gap is not larger

HEAD = """# MaSS, table by table

This page is written by one command, from figures that the same command measures and keeps in `benchmarks/results/mass`:

    SORDINE_DATA=... python -m benchmarks.mass

`--table 2,9` and `--on yale_b` choose, `--fresh` measures again. `SORDINE_DATA` names a folder that holds {sources}.
The paper's own data ({own}) are run by the same command for whoever has them: say where they are in
`benchmarks/mass/paths.yaml`, and name them with `--on`. They were not to be had here: what stands below is measured on
stand-ins, and the paper's figures beside ours are about other people, other pictures and other networks. What can be compared is a
table's *shape*: each says below whether it holds.

**How to read it.** *paper*: as printed. *pretrained*: the paper's protocol, accuracy (per cent) on unseen records of a classifier that learnt on
originals and was **never retrained**; the one that MaSS was trained against. It is not privacy. *retrained*: accuracy on unseen released
records of the worst of four attacker families (logistic, nearest neighbours, trees, perceptron) that were trained on released
records (setting A; for substitution the worst of settings A, B and C for what is suppressed); in brackets its NAG: 0 is nothing left of
what attackers read in the originals, 1 is all of it.
*guess* is the share of the commonest class. The last row of some tables, *substitution*, is not in the paper: see
[its page](../methods/substitution.md).

One split (75/25, stratified), one key, training seed 0, attackers' seed 0. Vectors: the embedded `encoder`, trained without
labels on each folder, {width} numbers of norm 1 ([how](encoder.md)). Loss weights: table 7's preset of the data set that a stand-in stands for
{fields}.
The agnostic model is trained on views of the raw media (B.1), {views} pairs a record drawn once.
"""


def page() -> str:
    """The whole page, of whatever has been measured."""
    named = [c.name for c in STAND_INS.values()]
    fields = "; ".join(
        f"{c.name}: {', '.join(f'{k} {v}' for k, v in c.fields.items())}" for c in STAND_INS.values() if c.fields
    )
    out = [
        HEAD.format(
            sources=", ".join(f"`{n}`" for n in named),
            own=", ".join(OWN),
            width=512,
            fields=f"but for {fields}" if fields else "as printed",
            views=max(c.views for c in STAND_INS.values()),
        )
    ]
    for table in TABLES.values():
        parts = [section(table, case) for case in CASES.values() if table.number in case.tables]
        parts = [p for p in parts if p]
        if parts:
            out.append(
                f"\n## Table {table.number}: {table.title}\n\nThe paper's: {paper_columns(table)}. {table.expected}\n"
            )
            out += parts
    return "".join(out)


def paper_columns(table: PaperTable) -> str:
    """Which attributes of the paper stand in which slot."""
    return ", ".join(f"{name} ({slot})" for slot, name in table.columns.items())


def section(table: PaperTable, case: Case) -> str:
    """One table on one data set; empty where nothing of it has been measured."""
    rows = [(row, figures(case, row.config)) for row in table.rows if fits(case, row)]
    measured = [f for _, f in rows if f is not None]
    if not measured:
        return ""
    attributes = [(slot, a) for slot in table.columns for a in case.slots.get(slot, ())]
    cmap = "s" in table.columns
    head = ["row"]
    for slot, a in attributes:
        shown = [] if cmap and slot == "s" else ["paper"]
        head += [f"{a} ({slot}): {kind}" for kind in (*shown, "pretrained", "retrained")]
    head += ["cMAP: paper", "cMAP"] if cmap else []
    head += [
        {"l2": "L2, norm / mean square", "entropy": "entropy, nats", "relative": "relative suppression, %"}[m]
        for m in table.measures
    ]
    lines = [guesses(table, attributes, measured[0], cmap)]
    for row, found in rows:
        lines.append(line(table, row, found, attributes, measured[0], cmap))
    extra = figures(case, SUBSTITUTION)
    if extra is not None and table.number in (2, 3, 4):
        lines.append(
            line(
                table,
                Row(f"*substitution*, told to keep {', '.join(case.keeps)}", SUBSTITUTION, ()),
                extra,
                attributes,
                measured[0],
                cmap,
            )
        )
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
    verdicts = "".join(f"- {v}\n" for v in checks(table, case, rows))
    return f"\n**{case.sentence}** ({records(measured[0])})\n\n{text}\n\n{verdicts}"


def fits(case: Case, row: Row) -> bool:
    """Whether a data set has the attributes that a row names."""
    c = row.config
    return not isinstance(c, Config) or all(s in case.slots for s in (*c.suppress, *c.preserve))


def figures(case: Case, what: Any) -> dict[str, Any] | None:
    """What was measured; the original is in every file, so the default row's is taken. None where nothing was."""
    if what is None:
        what = Config(("s",) if "s" in case.slots else ("s1",))
    file = file_of(case, what)
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def records(found: dict[str, Any]) -> str:
    made = found["made"]
    return f"attacked: {made['fitted']:,} records that were fitted on, {made['unseen']:,} unseen"


def percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def printed(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def guesses(table: PaperTable, attributes: list[tuple[str, str]], found: dict[str, Any], cmap: bool) -> list[str]:
    cells = ["*guess*"]
    for slot, a in attributes:
        cells += [] if cmap and slot == "s" else [""]
        cells += [percent(found["judged"][a]["guess"]), ""]
    cells += ["", percent(found["cmap"]["guess"])] if cmap else []
    return cells + [""] * len(table.measures)


def line(
    table: PaperTable,
    row: Row,
    found: dict[str, Any] | None,
    attributes: list[tuple[str, str]],
    first: dict[str, Any],
    cmap: bool,
) -> list[str]:
    """The cells of one row."""
    paper = dict(zip(table.columns, row.paper, strict=False))
    cells = [row.label]
    which = "before" if row.config is None else "after"
    for slot, a in attributes:
        cells += [] if cmap and slot == "s" else [printed(paper.get(slot))]
        if found is None:
            cells += ["not run", ""]
            continue
        told = {h["attribute"]: h for h in found["headlines"]}[a]
        cells.append(percent(found["judged"][a][which]))
        nag = "" if row.config is None or told["nag"] is None else f" ({told['nag']:.2f})"
        cells.append(percent(told[which]) + nag)
    if cmap:
        cells += [printed(paper.get("s")), "" if found is None else percent(found["cmap"][which])]
    for m in table.measures:
        cells.append("" if found is None or row.config is None else measure_of(m, found, attributes))
    return cells


def measure_of(name: str, found: dict[str, Any], attributes: list[tuple[str, str]]) -> str:
    if name == "l2":
        return f"{found['l2']:.3f} / {found['mean_square']:.5f}"
    if name == "entropy":
        return f"{found['judged'][attributes[0][1]]['entropy_after']:.2f}"
    return percent(relative_suppression(found["cmap"]["before"], found["cmap"]["after"]))


# --------------------------------------------------------------------------------------------- does the shape hold


def checks(table: PaperTable, case: Case, rows: list[tuple[Row, dict[str, Any] | None]]) -> Iterator[str]:
    """What the paper's table shows, asked of ours: one line each, with the figures where it does not hold."""
    found = {row.config.name: (row, f) for row, f in rows if isinstance(row.config, Config) and f is not None}
    by = {name: f for name, (_, f) in found.items()}
    for row, f in found.values():
        assert isinstance(row.config, Config)
        if row.config.fields and table.number != 10:
            continue
        yield from suppressed(case, row, f)
    for name, (row, f) in found.items():
        config = row.config
        assert isinstance(config, Config)
        blind = Config(config.suppress, config.preserve, agnostic=False, fields=config.fields).name
        if config.agnostic and name != blind and blind in by:
            yield from helped(case, row, f, by[blind])
        if config.preserve:
            yield from near(table, case, row, f)
    if table.number == 9:
        yield from rising(case, rows)
    if table.number == 10:
        yield from agreeing(case, rows)


def suppressed(case: Case, row: Row, f: dict[str, Any]) -> Iterator[str]:
    assert isinstance(row.config, Config)
    for a in case.attributes(row.config.suppress):
        told = f["judged"][a]
        classes = next(h["classes"] for h in f["headlines"] if h["attribute"] == a)
        limit, words = (
            (0.05, "0.05") if classes >= IDENTITIES else (told["guess"], f"its guess of {percent(told['guess'])} %")
        )
        yield verdict(told["after"] <= limit, f"{row.label}: {a} at {percent(told['after'])} %, at most {words}")


def helped(case: Case, row: Row, f: dict[str, Any], blind: dict[str, Any]) -> Iterator[str]:
    assert isinstance(row.config, Config)
    named = {*case.attributes(row.config.suppress), *case.attributes(row.config.preserve)}
    unseen = [a for a in case.all if a not in named]
    for a in unseen:
        was, now = blind["judged"][a]["after"], f["judged"][a]["after"]
        yield verdict(
            now > was, f"the agnostic term moves {a}, which nobody named, from {percent(was)} to {percent(now)} %"
        )


def near(table: PaperTable, case: Case, row: Row, f: dict[str, Any]) -> Iterator[str]:
    assert isinstance(row.config, Config)
    paper = dict(zip(table.columns, row.paper, strict=False))
    whole = dict(zip(table.columns, next((r.paper for r in table.rows if r.config is None), ()), strict=False))
    for slot in row.config.preserve:
        gap = ((whole.get(slot) or 0) - (paper.get(slot) or 0)) / 100 if paper.get(slot) and whole.get(slot) else 0.0
        allowed = max(NEAR, gap)
        for a in case.slots[slot]:
            told = f["judged"][a]
            lost = told["before"] - told["after"]
            yield verdict(
                lost <= allowed + 1e-9,
                f"{row.label}: {a} {100 * lost:+.1f} points under the original's, at most {100 * allowed:.1f}",
            )


def rising(case: Case, rows: list[tuple[Row, dict[str, Any] | None]]) -> Iterator[str]:
    """Non-decreasing within intervals: no later figure's interval lies wholly under an earlier one's."""
    measured = [(row.label, f) for row, f in rows if f is not None]
    hidden = case.attributes(tuple(s for s in case.slots if s != "s1"))
    for a in hidden:
        spans = [
            (label, wilson(f["judged"][a]["after"] * (n := f["judged"][a]["records"]), n)) for label, f in measured
        ]
        values = ", ".join(percent(f["judged"][a]["after"]) for _, f in measured)
        falls = any(later[1] < earlier[0] for i, (_, earlier) in enumerate(spans) for _, later in spans[i + 1 :])
        yield verdict(not falls, f"{a} does not fall as w_r* grows: {values} %")


def agreeing(case: Case, rows: list[tuple[Row, dict[str, Any] | None]]) -> Iterator[str]:
    """Any two similarities give overlapping intervals for what is kept."""
    measured = [f for _, f in rows if f is not None]
    for a in case.attributes(tuple(s for s in case.slots if s != "s1")):
        spans = [wilson(f["judged"][a]["after"] * (n := f["judged"][a]["records"]), n) for f in measured]
        values = ", ".join(percent(f["judged"][a]["after"]) for f in measured)
        overlap = max(low for low, _ in spans) <= min(high for _, high in spans)
        yield verdict(overlap, f"the similarities agree on {a} within intervals: {values} %")


def verdict(holds: bool, what: str) -> str:
    return f"{'holds' if holds else '**does not hold**'}: {what}"
