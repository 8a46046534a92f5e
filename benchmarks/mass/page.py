"""The text of docs/results/mass.md, from the figures in benchmarks/results/mass.jsonl."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.mass.cases import CASES, OWN, STAND_INS, Case
from benchmarks.mass.checks import checks
from benchmarks.mass.measure import SUBSTITUTION, unit_of
from benchmarks.mass.paper import TABLES, Config, PaperTable, Row
from benchmarks.paper_measures import relative_suppression

HEAD = """# MaSS, table by table

This page is written by one command, from figures that the same command measures and keeps in `benchmarks/results/mass.jsonl`:

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
[its page](../guide/methods/substitution.md).

**What does not hold, and why.** An attribute that the suppressed one decides (FSDD's accent, EmoDB's gender) cannot be kept while the other
goes unless it is named: the agnostic term then follows the speaker. In UTKFace age and race go together (Cramer's V .24), so that
suppressing the age takes the race along; and as suppression alone hurts little there, the agnostic term has little to bring back. AVLetters has 97 unseen records: three points are three
records, and intervals are wide. Each row is one fit with one seed; on Yale B light_subset moves by several points from one
weight of L_r* to the next, without a direction below 40. The three similarities do not agree on Yale B at one weight: cosine is bounded by 1, the other
two are not, so that w_s = 5 weighs more in them. Substitution needs records: with 400 of ten speakers (EmoDB) or 300 (AVLetters) what is
learnt on the fitted records does not all carry over to unseen ones; not letting a record get itself, and all training records as
substitutes, is what helped most.

One split (75/25, stratified), one key, training seed 0, attackers' seed 0. Vectors: the embedded `encoder`, trained without
labels on each stand-in's folder, {width} numbers of norm 1 ([how](encoder.md)). Loss weights: {presets}.
What those that the paper found for HuBERT's and R3D-18's vectors do to ours is the last row of tables 3 and 4.
On the stand-ins the agnostic model is trained on views of the raw media (B.1), at most {views} pairs a record, drawn once and kept (the paper
draws fresh ones; for the paper's own pictures and sound so does this command). A video's two views come from the 32 frames of its clip. Faces to be
covered are found by OpenCV's cascade, not MTCNN; where it finds none the whole picture counts as the face, and on Yale B's tightly cut
pictures the face is nearly all of it. Blur is in pixels of the stand-in's own pictures (84 x 96, the paper's 160 x 160).
"""


def page() -> str:
    """The whole page, of whatever has been measured."""
    named = [c.name for c in STAND_INS.values()]
    presets = "table 7's, " + ", ".join(
        f"{c.preset}'s for {c.name}" + "".join(f" with {k} {v}" for k, v in c.fields.items())
        for c in STAND_INS.values()
    )
    out = [
        HEAD.format(
            sources=", ".join(f"`{n}`" for n in named),
            own=", ".join(OWN),
            width=512,
            presets=presets,
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
    rows = [(row, figures(case, row.config)) for row in rows_of(table, case)]
    measured = [f for _, f in rows if f is not None]
    if not measured:
        return ""
    attributes = [(slot, a) for slot in table.columns for a in case.slots.get(slot, ())]
    cmap = "s" in table.columns
    head = ["row"]
    for slot, a in attributes:
        shown = [] if cmap and slot == "s" else ["paper"]
        head += [f"{a} ({slot}): {kind}" for kind in (*shown, "pretrained", "retrained")]
    head += ["cMAP: paper", "cMAP", "VISPR cMAP: paper", "VISPR cMAP"] if cmap else []
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
                Row(f"*substitution*, told to keep {', '.join(case.keeps)}{settings(case)}", SUBSTITUTION, ()),
                extra,
                attributes,
                measured[0],
                cmap,
            )
        )
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
    verdicts = "".join(f"- {v}\n" for v in checks(table, case, rows))
    return f"\n**{case.sentence}** ({records(measured[0])})\n\n{text}\n\n{verdicts}"


def rows_of(table: PaperTable, case: Case) -> list[Row]:
    """The table's rows on a data set: without preserved slots that it lacks, and without what is then the same twice."""
    rows: list[Row] = []
    for row in table.rows:
        c = row.config
        if isinstance(c, Config):
            if not all(s in case.slots for s in c.suppress):
                continue
            row = replace(row, config=replace(c, preserve=tuple(s for s in c.preserve if s in case.slots)))
        if not isinstance(row.config, Config) or row.config.name not in {
            r.config.name for r in rows if isinstance(r.config, Config)
        }:
            rows.append(row)
    return rows


def figures(case: Case, what: Any) -> dict[str, Any] | None:
    """What was measured; the original is in every file, so the default row's is taken. None where nothing was."""
    if what is None:
        what = Config(("s",) if "s" in case.slots else ("s1",))
    unit = unit_of(case, what)
    return unit.read() if unit.exists() else None


def settings(case: Case) -> str:
    """What substitution was set to, where it was set to anything."""
    return "".join(f", {k}={v}" for k, v in case.substitution.items())


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
    if cmap:
        cells += ["", percent(found["cmap"]["guess"]), "", percent(found.get("cmap_vispr", {}).get("guess"))]
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
        for key, slot in (("cmap", "s"), ("cmap_vispr", "v")):
            cells += [printed(paper.get(slot)), percent((found or {}).get(key, {}).get(which))]
    for m in table.measures:
        cells.append("" if found is None or row.config is None else measure_of(m, found, attributes))
    return cells


def measure_of(name: str, found: dict[str, Any], attributes: list[tuple[str, str]]) -> str:
    if name == "l2":
        return f"{found['l2']:.3f} / {found['mean_square']:.5f}"
    if name == "entropy":
        return f"{found['judged'][attributes[0][1]]['entropy_after']:.2f}"
    return percent(relative_suppression(found["cmap"]["before"], found["cmap"]["after"]))
