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
    """The whole page, of whatever has been measured."""
    told = ", ".join(f"{k} {v}" for k, v in FIELDS.items())
    learnt, unseen = CASES["faces"].most
    epochs, predictor, adversarial = pace(learnt)
    parts = [
        HEAD.format(
            learnt=learnt,
            unseen=unseen,
            fields=told,
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
    """Epochs, predictor steps and adversarial steps of a fit to so many records."""
    own = Masking(**FIELDS).settled()
    rounds = learnt // fit_batch(learnt, int(own.number("batch")))
    epochs = own.epochs(rounds)
    return epochs, epochs * rounds * own.predictor_steps, epochs * rounds


def rates(epochs: int) -> str:
    """What the cosine schedule leaves of the rate, epoch by epoch."""
    return ", ".join(f"{(1 + np.cos(np.pi * e / epochs)) / 2:.2g}" for e in range(epochs))


def section(case: Case) -> str:
    """One data set; empty where nothing of it has been measured."""
    rows = [(row, f) for row in (*rows_of(case), *FOLDERS) if (f := figures(case, row)) is not None]
    if not rows:
        return ""
    (task,) = case.tasks
    learnt, unseen = rows[0][1]["records"]
    epochs, predictor, adversarial = pace(learnt)
    out = [
        f"## {case.sentence}: {task}\n",
        f"{learnt:,} pictures to learn from, {unseen:,} unseen; all figures are of these. A masker learns for {epochs} epochs: "
        f"{predictor} predictor steps and, with the adversary, {adversarial} of its own, at {rates(epochs)} of the rates.\n",
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

This page is written by one command, from figures that the same command measures and keeps in `benchmarks/results/masking.jsonl`:

    SORDINE_DATA=... python -m benchmarks.masking

`--on faces,tight` chooses, `--fresh` measures again. `SORDINE_DATA` names a folder that holds `yale_b` and `utkface`; without it those two are
left out. `--ciagan CASE:FOLDER` and `--deepprivacy CASE:FOLDER` add what those programs left of a case's pictures, as files named by the
records' ids; neither was to be had here, and nor were CelebA, FER+, FaceNet, SlimCNN and FERAtt. What stands below is measured on stand-ins, and the
paper's figures beside ours are of other people, other pictures and other networks: a table's *shape* can be compared, its numbers cannot.

**Data.** 32 x 32 pixels. *drawn faces* (20 people; hair colour, for CelebA's table II) and the same *cut tightly* (expression: neutral,
smiling, surprised; for FER+'s table I, whose pictures are cut at the face) have identities and so has Extended Yale B; UTKFace has none, so no
face similarity. One split: {learnt:,} records of the drawn ones to learn from and {unseen:,} to try on.

**Method.** The preset `small`, narrower: {fields}; all else the defaults. The steps
are rounded to whole epochs: {predictor} predictor steps, and {adversarial} adversarial ones, in {epochs} epochs of {learnt:,} records. With two of them the cosine
schedule is a first half at the full rate and a second at half of it. Seed 0 where none is named. K is given for no table of the paper: it
is swept. K {compared} is where the maskers with and without the adversary are compared over {seeds} seeds: found in trials with seed 0 as the K at which
hard releases are off the floor of face similarity.

**How to read it.** *similarity*: mean cosine of the verification network's embeddings of released and original picture, over unseen records
(FaceNet's place; here a ResNet-10 trained on the training records' people); *layer 3*: of its third stage, the inversion paper's
measure. *fixed*: the task's accuracy by a classifier (ResNet-10, width {reader_width}) that learnt on originals. *retrained*: by one (width {retrained_width}) that learnt on what
is released. The paper does not say which SlimCNN and FERAtt are. *own predictor*: the method's own, which learnt soft x_p alone. *hard* and *soft*: kept pixels as they are, or
times m. *m kept / withheld*: the mean of m where it is among the top K % and where not. *reads withheld*: what the shared network reads of
x_o on training records. At equal face similarity: block's and blur's curves are drawn by straight lines through their sizes or
strengths and the original; below a baseline's lowest similarity its accuracy there is taken, which favours it. *not clearly* in a verdict: neither it
nor its opposite, by two standard errors for accuracies, by means against single seeds for similarities.

{verdict}
"""

SHEETS = {
    "methods": f"Drawn faces: original, baselines, and both maskers at K {COMPARED} (mask, soft and hard release)",
    "sweep": "The sweep over K, hard release",
}


def printed(case: Case) -> Iterator[str]:
    """The paper's own table that the case stands in for."""
    number = next(iter(case.tasks.values()))
    if number:
        told = "; ".join(f"{name} {s:.2f}, {a:.2f}" for name, (s, a) in TABLES[number].rows.items())
        yield f"The paper's table {number}, {TABLES[number].title} (face similarity, task accuracy in per cent): {told}.\n"


def references(case: Case) -> Iterator[str]:
    """What face similarity means with this verification network."""
    found = figures(case, "reference")
    if found is None:
        return
    a, b = found["similarity"], found["similarity_layer3"]
    knows = f" It names {percent(found['knows'])} % of unseen pictures' people." if "knows" in found else ""
    yield (
        f"Face similarity of two pictures of different people is {a['others']:.2f} here, of the same person {a['same person']:.2f}, of a "
        f"picture and a black one {a['black']:.2f} (layer 3: {b['others']:.2f}, {b['same person']:.2f}, {b['black']:.2f}).{knows}\n"
    )


PAPER_ROW = {"original": ORIGINAL, "block": BLOCK, "blur": BLUR, "CIAGAN": CIAGAN, "DeepPrivacy": DEEPPRIVACY}
# What other programs left of a case's pictures, where their folders were once given.
FOLDERS = tuple(Row("folder", label=name, audited=True) for name in ("CIAGAN", "DeepPrivacy"))


def paper_cell(case: Case, row: Row) -> str:
    """The paper's pair for a row of this kind, at the paper's own unknown strength."""
    number = next(iter(case.tasks.values()))
    if not number:
        return ""
    name = PAPER_ROW.get(row.label or row.kind) or (OURS if row.adversarial else NON_ADVERSARIAL)
    similarity, accuracy = TABLES[number].rows[name]
    return f"{similarity:.2f}, {accuracy:.1f}"


def label(row: Row) -> str:
    """A row in words."""
    if row.kind == "masking":
        seed = f", seed {row.seed}" if row.seed else ""
        tried = "".join(f", {k} {v}" for k, v in row.tried.items())
        return f"{'**masking**' if row.adversarial else 'non-adversarial'}, K {row.fields['keep']}{tried}{seed}"
    if row.kind == "block":
        return f"block, {row.fields['share']:.0%}"
    if row.kind == "blur":
        return f"blurred centre, sigma {row.fields['sigma']:g}"
    return row.label or row.kind


def table(case: Case, rows: list[tuple[Row, dict[str, Any]]]) -> Iterator[str]:
    """Every row, a masker's two releases each on a line: the paper's pair, ours, the mask's means."""
    (task,) = case.tasks
    paper = ["paper"] if next(iter(case.tasks.values())) else []
    similar = ["similarity", "layer 3"] if case.identity else []
    head = ["", *paper, *similar, "fixed", "retrained", "own predictor", "m kept / withheld", "reads withheld"]
    yield table_row(head)
    yield table_row(["---"] * len(head))
    for row, found in rows:
        mask = found.get("mask")
        for release in RELEASES if mask else ("",):
            told = found[release] if release else found
            read = told["tasks"][task]
            cells = [label(row) + (f", {release}" if release else "")]
            cells += [paper_cell(case, row)] if paper else []
            cells += [f"{told['similarity']:.3f}", f"{told['similarity_layer3']:.3f}"] if similar else []
            cells += [percent(read["fixed"]), percent(read["retrained"]), percent(told["own"]) if mask else ""]
            cells += [f"{mask['mask_kept']:.2f} / {mask['mask_withheld']:.2f}" if mask else ""]
            cells += [percent(mask["predictor_accuracy"][task]["withheld"]) if mask else ""]
            yield table_row(cells)
    yield f"\n*guess* of {task}: {percent(rows[0][1]['tasks'][task]['guess'])} %.\n"


def audits(case: Case, rows: list[tuple[Row, dict[str, Any]]]) -> Iterator[str]:
    """The common audit of the rows that had one."""
    audited = [(row, f["audit"]) for row, f in rows if "audit" in f]
    if not audited:
        return
    made = audited[0][1]
    yield (
        f"The common audit (retrained {' and '.join(FAMILIES)}, setting A, {made['fitted']:,} records to learn from and "
        f"{made['unseen']:,} to try on): accuracy of the best attacker in per cent, and NAG with its interval.\n"
    )
    yield table_row(["", *(f"{a}: accuracy, NAG" for a in case.audited)])
    yield table_row(["---"] * (1 + len(case.audited)))
    first = {h["attribute"]: h for h in made["headlines"]}
    yield table_row(
        ["original", *(f"{percent(first[a]['before'])} (guess {percent(first[a]['guess'])})" for a in case.audited)]
    )
    for row, found in audited:
        heads = {h["attribute"]: h for h in found["headlines"]}
        yield table_row([label(row), *(nag(heads[a]) for a in case.audited)])
    yield ""


def nag(h: dict[str, Any]) -> str:
    """Accuracy after, NAG, its interval."""
    if h["nag"] is None:
        return f"{percent(h['after'])}, undefined"
    return f"{percent(h['after'])}, {h['nag']:.2f} ({h['low']:.2f} to {h['high']:.2f})"
