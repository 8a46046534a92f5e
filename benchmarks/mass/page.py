"""The text of docs/results/mass.md, from the figures in benchmarks/results/mass.jsonl."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks import harness
from benchmarks.harness import markdown_table
from benchmarks.mass.cases import CASES, OWN, STAND_INS, Case
from benchmarks.mass.checks import checks
from benchmarks.mass.measure import SUBSTITUTION, unit_of
from benchmarks.mass.paper import TABLES, Config, PaperTable, Row
from benchmarks.paper_measures import relative_suppression

percent = partial(harness.percent, missing="")

HEAD = """# MaSS, table by table

One command measures the figures, stores them in `benchmarks/results/mass.jsonl` and writes this page:

    SORDINE_DATA=... python -m benchmarks.mass

`--table 2,9` and `--on yale_b` select tables and data sets; `--fresh` measures again. `SORDINE_DATA` names a folder
with {sources}. The same command runs the paper's own data ({own}): set their folders in
`benchmarks/mass/paths.yaml`, and name them with `--on`. They were not available. The figures below are for
stand-ins: other people, other pictures and other networks than the paper's. Compare the *shape* of a table; each
section states whether it is reproduced.

**How to interpret it.** *paper*: as printed. *pretrained*: the paper's protocol, accuracy (per cent) on unseen
records of a classifier trained on originals and **never retrained**, the classifier that MaSS was trained against.
It does not measure privacy. *retrained*: accuracy on unseen released records of the worst of four attacks (logistic
regression, nearest neighbours, trees, perceptron) trained on released records, in scenario A; for substitution, the
worst of scenarios A, B and C for suppressed attributes. In brackets is its NAG: at 0 attackers infer nothing, at 1
as much as from the originals. *baseline* is the share of the commonest class. The last row of some tables,
*substitution*, is not in the paper: see [its page](../guide/methods/substitution.md). Below a table, *reproduced*
means that the *pretrained* figures behave as the paper's do. It says nothing of privacy.

**What is not reproduced, and why.** An attribute that the suppressed one determines (FSDD's accent, EmoDB's gender)
cannot be preserved unless it is named: the agnostic term then follows the speaker. In UTKFace age and race depend
on each other (Cramer's V .24), so that suppressing the age removes part of the race too. Suppression alone costs
little there, so the agnostic term has little to restore. AVLetters has 97 unseen records: three points are three
records, and intervals are wide. Each row is one fit with one seed. On Yale B light_subset changes by several points
from one weight of L_r* to the next, without a direction below 40. The three similarities do not agree on Yale B at
one weight: cosine is bounded by 1, the other two are not, so that w_s = 5 weighs more in them. Substitution needs
records. With 400 of ten speakers (EmoDB) or 300 (AVLetters), part of what it fits does not transfer to unseen
records. Two options helped most: no record is its own substitute, and all training records are substitutes.

One split (75/25, stratified), one key, training seed 0, attackers' seed 0. Vectors: the embedded `encoder`, trained
without labels on each stand-in's folder, {width} numbers of norm 1 ([how](encoder.md)). Loss weights: {presets}.
The weights that the paper found for the vectors of HuBERT and of R3D-18 are in the last row of tables 3 and 4. On
the stand-ins the agnostic model is trained on views of the raw media (B.1), at most {views} pairs a record, drawn
once and stored. The paper draws fresh ones, and so does this command for the paper's own pictures and sound. A
video's two views come from the 32 frames of its clip. OpenCV's cascade, not MTCNN, finds the faces to cover. Where
it finds none, the whole picture counts as the face; on Yale B's tightly cut pictures the face is nearly all of it.
Blur is in pixels of the stand-in's own pictures (84 x 96, the paper's 160 x 160).
"""


def page() -> str:
    """Return the whole page, for all that has been measured."""
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
    """Return the paper's attributes, each with its slot."""
    return ", ".join(f"{name} ({slot})" for slot, name in table.columns.items())


def section(table: PaperTable, case: Case) -> str:
    """Return one table on one data set; empty where nothing of it has been measured."""
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
    lines = [baselines(table, attributes, measured[0], cmap)]
    for row, found in rows:
        lines.append(line(table, row, found, attributes, measured[0], cmap))
    extra = figures(case, SUBSTITUTION)
    if extra is not None and table.number in (2, 3, 4):
        lines.append(
            line(
                table,
                Row(f"*substitution*, preserves {', '.join(case.keeps)}{settings(case)}", SUBSTITUTION, ()),
                extra,
                attributes,
                measured[0],
                cmap,
            )
        )
    verdicts = "".join(f"- {v}\n" for v in checks(table, case, rows))
    return f"\n**{case.sentence}** ({records(measured[0])})\n\n{markdown_table(head, lines)}\n{verdicts}"


def rows_of(table: PaperTable, case: Case) -> list[Row]:
    """Return the table's rows on a data set: without preserved slots that it lacks, and without repeated rows."""
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
    """Return the figures of a row, or of the default row for the original; None where it was not measured."""
    if what is None:
        what = Config(("s",) if "s" in case.slots else ("s1",))
    unit = unit_of(case, what)
    return unit.read() if unit.exists() else None


def settings(case: Case) -> str:
    """Return the options of substitution that differ from the defaults."""
    return "".join(f", {k}={v}" for k, v in case.substitution.items())


def records(found: dict[str, Any]) -> str:
    made = found["made"]
    return f"attacked: {made['fitted']:,} fitted records, {made['unseen']:,} unseen"


def printed(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def baselines(table: PaperTable, attributes: list[tuple[str, str]], found: dict[str, Any], cmap: bool) -> list[str]:
    cells = ["*baseline*"]
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
    """Return the cells of one row."""
    paper = dict(zip(table.columns, row.paper, strict=False))
    cells = [row.label]
    which = "before" if row.config is None else "after"
    for slot, a in attributes:
        cells += [] if cmap and slot == "s" else [printed(paper.get(slot))]
        if found is None:
            cells += ["not run", ""]
            continue
        headline = {h["attribute"]: h for h in found["headlines"]}[a]
        cells.append(percent(found["judged"][a][which]))
        nag = "" if row.config is None or headline["nag"] is None else f" ({headline['nag']:.2f})"
        cells.append(percent(headline[which]) + nag)
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
