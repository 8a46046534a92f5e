"""The text of docs/results/masking.md, from the figures in benchmarks/results/masking.jsonl."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import percent, table_row
from benchmarks.masking.cases import CASES, COMPARED, FIELDS, SEEDS, Case, Row, rows_of
from benchmarks.masking.checks import RELEASES, against_baselines, against_itself
from benchmarks.masking.measure import FAMILIES, READER, RETRAINED, figures
from benchmarks.masking.paper import BLOCK, BLUR, CIAGAN, DEEPPRIVACY, NON_ADVERSARIAL, ORIGINAL, OURS, TABLES
from benchmarks.masking.summary import VERDICT
from sordine.methods.masking.method import Masking
from sordine.models.training import fit_batch

PICTURES = Path(__file__).parents[2] / "docs" / "results" / "masking"


def page() -> str:
    """Return the whole page, for all that has been measured."""
    fields = ", ".join(f"{k} {v}" for k, v in FIELDS.items())
    learnt, unseen = CASES["faces"].most
    epochs, predictor, adversarial = pace(learnt)
    parts = [
        HEAD.format(
            learnt=learnt,
            unseen=unseen,
            fields=fields,
            epochs=epochs,
            predictor=predictor,
            adversarial=adversarial,
            compared=COMPARED,
            seeds=len(SEEDS),
            reader_width=READER["width"],
            retrained_width=RETRAINED["width"],
            verdict=VERDICT.strip().format(compared=COMPARED),
        )
    ]
    for case in CASES.values():
        text = section(case)
        if text:
            parts.append(text)
    return "\n".join(parts)


def pace(learnt: int) -> tuple[int, int, int]:
    """Return epochs, predictor steps and adversarial steps of a fit to `learnt` records."""
    own = Masking(**FIELDS).settled()
    rounds = learnt // fit_batch(learnt, int(own.number("batch")))
    epochs = own.epochs(rounds)
    return epochs, epochs * rounds * own.predictor_steps, epochs * rounds


def rates(epochs: int) -> str:
    """Return the share of the rate under the cosine schedule, epoch by epoch."""
    return ", ".join(f"{(1 + np.cos(np.pi * e / epochs)) / 2:.2g}" for e in range(epochs))


def section(case: Case) -> str:
    """Return the section of one data set; empty where nothing of it has been measured."""
    rows = [(row, f) for row in (*rows_of(case), *FOLDERS) if (f := figures(case, row)) is not None]
    if not rows:
        return ""
    (task,) = case.tasks
    learnt, unseen = rows[0][1]["records"]
    epochs, predictor, adversarial = pace(learnt)
    out = [
        f"## {case.sentence}: {task}\n",
        f"{learnt:,} training pictures, {unseen:,} unseen; all figures are for the unseen ones. Training takes "
        f"{epochs} epochs: {predictor} predictor steps and, with the adversary, {adversarial} adversarial steps, at "
        f"{rates(epochs)} of the rates.\n",
    ]
    out += [*printed(case), *references(case), *table(case, rows)]
    missing = [label(row) for row in rows_of(case) if figures(case, row) is None]
    if missing:
        out.append(f"Not measured yet (the same command does): {'; '.join(missing)}.\n")
    out += audits(case, rows)
    if case.identity:
        out += [f"- {line}" for line in (*against_baselines(case), *against_itself(case))]
        out.append("")
    for name, words in SHEETS.items():
        path = PICTURES / f"{case.name}-{name}.png"
        if path.exists():
            out.append(f"![{words}](masking/{path.name})\n\n*{words}.*\n")
    return "\n".join(out)


HEAD = """# Masking, tables I and II and figures 2 and 3

One command measures the figures, stores them in `benchmarks/results/masking.jsonl` and writes this page:

    SORDINE_DATA=... python -m benchmarks.masking

`--on faces,tight` selects data sets; `--fresh` measures again. `SORDINE_DATA` names a folder with `yale_b` and
`utkface`; without it those two are left out. `--ciagan CASE:FOLDER` and `--deepprivacy CASE:FOLDER` add the outputs
of those programs for a case's pictures, as files named by the records' ids. Neither was available, and nor were
CelebA, FER+, FaceNet, SlimCNN and FERAtt. The figures below are for stand-ins: other people, other pictures and
other networks than the paper's. Compare the *shape* of a table, not its numbers.

**Data.** 32 x 32 pixels. *drawn faces* (20 people; hair colour, for CelebA's table II) and the same *cut tightly*
(expression: neutral, smiling, surprised; for FER+'s table I, whose pictures are cut at the face) have identities,
as has Extended Yale B. UTKFace has none, so it has no face similarity. One split: {learnt:,} training records of
the drawn faces and {unseen:,} test records.

**Method.** The preset `small`, narrower: {fields}; all else the defaults. Steps are rounded to whole epochs:
{predictor} predictor steps and {adversarial} adversarial steps, in {epochs} epochs of {learnt:,} records. With two
epochs the cosine schedule is a first half at the full rate and a second half at half of it. The seed is 0 unless
named. The paper gives K for no table, so K is swept. K {compared} is where the maskers with and without the
adversary are compared over {seeds} seeds: with seed 0, it is the K at which hard releases are above the lowest face
similarity.

**How to interpret it.** *similarity*: mean cosine of the verification network's embeddings of released and original
picture, over unseen records (in FaceNet's place, a ResNet-10 trained on the training records' people). *layer 3*:
the same for its third stage, the inversion paper's measure. *fixed*: the task's accuracy by a classifier
(ResNet-10, width {reader_width}) trained on originals. *retrained*: by a classifier (width {retrained_width})
trained on released records. The paper does not say which SlimCNN and FERAtt are. *own predictor*: the method's own,
trained on soft x_p alone. *hard* and *soft*: preserved pixels unchanged, or times m. *m preserved / withheld*: the
mean of m among the top K % and elsewhere. *accuracy on withheld*: of the shared network on x_o, for training
records.

Curves of block and blur at equal face similarity are straight lines through their sizes or strengths and the
original. Below the lowest similarity of block or blur the comparison uses its accuracy there, which favours it.
*not clearly* before a claim: the figures support neither the claim nor its opposite, by two standard errors for
accuracies, by means against single seeds for similarities.

{verdict}
"""

SHEETS = {
    "methods": f"Drawn faces: original, baselines, and both maskers at K {COMPARED} (mask, soft and hard release)",
    "sweep": "The sweep over K, hard release",
}


def printed(case: Case) -> Iterator[str]:
    """Yield the paper's table that the case stands in for."""
    number = next(iter(case.tasks.values()))
    if number:
        rows = "; ".join(f"{name} {s:.2f}, {a:.2f}" for name, (s, a) in TABLES[number].rows.items())
        title = TABLES[number].title
        yield f"The paper's table {number}, {title} (face similarity, task accuracy in per cent): {rows}.\n"


def references(case: Case) -> Iterator[str]:
    """Yield the scale of face similarity under this verification network."""
    found = figures(case, "reference")
    if found is None:
        return
    a, b = found["similarity"], found["similarity_layer3"]
    knows = f" It identifies the person in {percent(found['knows'])} % of unseen pictures." if "knows" in found else ""
    yield (
        f"Face similarity of two pictures of different people is {a['others']:.2f} here, of the same person "
        f"{a['same person']:.2f}, of a picture and a black one {a['black']:.2f} (layer 3: {b['others']:.2f}, "
        f"{b['same person']:.2f}, {b['black']:.2f}).{knows}\n"
    )


PAPER_ROW = {"original": ORIGINAL, "block": BLOCK, "blur": BLUR, "CIAGAN": CIAGAN, "DeepPrivacy": DEEPPRIVACY}
# Outputs of other programs for a case's pictures, where their folders were given.
FOLDERS = tuple(Row("folder", label=name, audited=True) for name in ("CIAGAN", "DeepPrivacy"))


def paper_cell(case: Case, row: Row) -> str:
    """Return the paper's pair for a row of this kind, at the paper's own unknown strength."""
    number = next(iter(case.tasks.values()))
    if not number:
        return ""
    name = PAPER_ROW.get(row.label or row.kind) or (OURS if row.adversarial else NON_ADVERSARIAL)
    similarity, accuracy = TABLES[number].rows[name]
    return f"{similarity:.2f}, {accuracy:.1f}"


def label(row: Row) -> str:
    """Return a row in words."""
    if row.kind == "masking":
        seed = f", seed {row.seed}" if row.seed else ""
        tried = "".join(f", {k} {v}" for k, v in row.tried.items())
        return f"{'**masking**' if row.adversarial else 'non-adversarial'}, K {row.fields['keep']}{tried}{seed}"
    if row.kind == "block":
        return f"block, {100 * row.fields['share']:.0f} %"
    if row.kind == "blur":
        return f"blurred centre, sigma {row.fields['sigma']:g}"
    return row.label or row.kind


def table(case: Case, rows: list[tuple[Row, dict[str, Any]]]) -> Iterator[str]:
    """Yield every row, one line per release: the paper's pair, ours, the mask's means."""
    (task,) = case.tasks
    paper = ["paper"] if next(iter(case.tasks.values())) else []
    similar = ["similarity", "layer 3"] if case.identity else []
    head = [
        "",
        *paper,
        *similar,
        "fixed",
        "retrained",
        "own predictor",
        "m preserved / withheld",
        "accuracy on withheld",
    ]
    yield table_row(head)
    yield table_row(["---"] * len(head))
    for row, found in rows:
        mask = found.get("mask")
        for release in RELEASES if mask else ("",):
            figures_of = found[release] if release else found
            accuracy = figures_of["tasks"][task]
            cells = [label(row) + (f", {release}" if release else "")]
            cells += [paper_cell(case, row)] if paper else []
            cells += [f"{figures_of[k]:.3f}" for k in ("similarity", "similarity_layer3")] if similar else []
            cells += [
                percent(accuracy["fixed"]),
                percent(accuracy["retrained"]),
                percent(figures_of["own"]) if mask else "",
            ]
            cells += [f"{mask['mask_kept']:.2f} / {mask['mask_withheld']:.2f}" if mask else ""]
            cells += [percent(mask["predictor_accuracy"][task]["withheld"]) if mask else ""]
            yield table_row(cells)
    yield f"\n*baseline* of {task}: {percent(rows[0][1]['tasks'][task]['guess'])} %.\n"


def audits(case: Case, rows: list[tuple[Row, dict[str, Any]]]) -> Iterator[str]:
    """Yield the basic audit of the rows that have one."""
    audited = [(row, f["audit"]) for row, f in rows if "audit" in f]
    if not audited:
        return
    made = audited[0][1]
    yield (
        f"The audit (retrained {' and '.join(FAMILIES)}, scenario A, {made['fitted']:,} training records and "
        f"{made['unseen']:,} unseen records): accuracy of the best attacker in per cent, and NAG with its interval.\n"
    )
    yield table_row(["", *(f"{a}: accuracy, NAG" for a in case.audited)])
    yield table_row(["---"] * (1 + len(case.audited)))
    first = {h["attribute"]: h for h in made["headlines"]}
    yield table_row(
        ["original", *(f"{percent(first[a]['before'])} (baseline {percent(first[a]['guess'])})" for a in case.audited)]
    )
    for row, found in audited:
        heads = {h["attribute"]: h for h in found["headlines"]}
        yield table_row([label(row), *(nag(heads[a]) for a in case.audited)])
    yield ""


def nag(h: dict[str, Any]) -> str:
    """Return accuracy after, NAG and its interval."""
    if h["nag"] is None:
        return f"{percent(h['after'])}, undefined"
    return f"{percent(h['after'])}, {h['nag']:.2f} ({h['low']:.2f} to {h['high']:.2f})"
