"""The text of docs/results/inversion.md, from the figures in benchmarks/results/inversion.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import markdown_table
from benchmarks.inversion.cases import (
    ATTACK,
    BASE,
    CASES,
    EARLIER,
    FIELDS,
    GAN,
    MORE_SEEDS,
    OURS,
    PERCEPTUAL,
    PLAIN,
    SIZE,
    STRONG,
    TRIED,
    WORDS,
    Attack,
    Case,
    Fit,
)
from benchmarks.inversion.checks import (
    PAIR,
    WANTED1,
    WANTED2,
    WANTED2_QUICKER,
    WANTED3,
    Found,
    of_table1,
    of_table2,
    of_table3,
    rows_of,
    worse,
)
from benchmarks.inversion.measure import STORE, WHITE_BOX, unit_of
from benchmarks.inversion.paper import TABLE1, TABLE2, TABLE3
from sordine.models.training import fit_batch

PICTURES = Path(__file__).parents[2] / "docs" / "results" / "inversion"
COLUMNS = {"mcc": "MCC", "face_similarity": "face", "feature_similarity": "feature", "ssim": "SSIM", "psnr": "PSNR, dB"}

HEAD = """# Inversion, table by table

One command measures the figures, stores them in `benchmarks/results/inversion.jsonl` and writes this page:

    SORDINE_DATA=... python -m benchmarks.inversion

`--on faces` selects a data set (synthetic faces need no `SORDINE_DATA`); `--page` writes the page alone. The
paper's own data (CelebA, MS-Celeb-1M) and networks (VGG, of a depth that is not printed; OpenFace) were not
available. The figures below are for stand-ins: other pictures, other networks and other sizes than the paper's.
Compare the *shape* of a table; each section states whether it is reproduced.

**What was run.** Pictures of {size} x {size}. Preset `small`, narrowed for two shared cores: {fields}. Steps are
moves of the encoder and are rounded to whole epochs{made}. The decoder moves {moves} times for each of them. The
paper alternates and prints no count. Three quarters of the records are the training side. Of these {share} are
public (X2) and the rest private (X1). T is up to {tried} records of the other quarter{fewer}. lambda1 = 1 weights
the mean square of pictures in -1 to 1. The paper prints a squared norm, a sum; its tanh gives that range to the
rebuilt pictures, and it does not state how its pictures are scaled. One split, one key, training and attackers'
seed 0, unless seeds are named.

**Attackers.** *Black box*: a fresh decoder without knowledge of the encoder's architecture is trained on X2's
pairs, as in the paper ({steps} steps, width {width}). mu1 = {gan} where there is a GAN (the paper prints no value).
The paper's attacker has another network, the same mirror of the encoder as its simulated decoder (figure 6: "Dec
and Dec^a"). *Feature-level*: an MLP from z to C(x), eq. 10. C is a verification network, trained here on the
identities of the whole training side. Face similarity is the cosine of its third stage's features of x and x^;
feature similarity is that of M(z) and C(x). In VGG's place, g is a narrow identity network trained on X1, for
protector and attacker alike. It is scaled so that its distance has the size of a distance of pixels. In table 2 the
decoder moves twice.

**How to interpret it.** MCC: mean over the task's attributes, on T, of f. For the others, high is bad for privacy.
Two rows are baselines: the *mean picture* (and the mean of C), and a decoder of the *task's true classes alone*,
which any encoder that serves its task must preserve. A decoder with a worse result than these has failed, and its
result describes the decoder, not the encoder. *Reproduced* compares the two figures as they are, from one seed. Where a
difference is small, the table of seeds shows how far seeds differ.
"""


WHY = """
**What is not reproduced, and why.** *lambda2 does not reproduce table 2.* Mean MCC falls as in the paper, but fresh
decoders lose almost nothing, with two moves of the simulated decoder or with four. Face similarity is above that
of lambda2 = 0 at every other value. PSNR and feature similarity are at most .012 dB and .006 under it, and at 10
above it. SSIM alone ends lower, by .011 (two moves) and .016 (four). The encoder answers the greater weight by
moving z faster than that decoder follows, and the decoder that is measured afterwards had time. The same is true of
lambda1 = 10, which costs .43 of MCC and by all but SSIM protects less than 1. lambda1 gains because the decoder
moves four times for each move of the encoder. *Effects at fc are small*: lambda1 removes .6 to .9 dB and .016 to
.026 of face similarity over three seeds. Of the part that a decoder rebuilds beyond the task's own classes, that is
29 to 52 % in dB and 22 to 41 % of the face similarity; on UTKFace 48 % in dB, on Extended Yale B 15 and 4 %, of one
seed each. The person is inferred from z as before (below). The paper's feature similarity falls by .26 there, ours
by .003 to .035 from seed to seed. *A GAN makes the attacker weaker here*, not stronger: in so few steps its
pictures are sharper and less accurate (figure 3). *One attribute* preserves less of a face than five (rows 1 and 9,
which the paper compares). Most of that is the effect of the GAN, as row 3, with one too, has .604; by feature
similarity it does not preserve less. *More pairs* from other people do not help the attacker in so few steps, by
face similarity as by PSNR. *The white-box attacker* stays under the mean picture in dB. *At conv1* the simulated
decoder is figure 6's last layer alone. By its caption the paper's attacker is, too; the fresh one here has three
layers. The paper's .36 is then the result of one layer, and our .94 that of another network. In table 3 lambda1
costs up to .029 of MCC, within the .04 allowed. *fc's LDA score rises* with the adversary, as does the paper's once
its column is inverted.
"""


def page() -> str:
    """Return the whole page, for all that has been measured."""
    fields = ", ".join(f"{k} {v}" for k, v in FIELDS.items() if k not in ("public_share", "decoder_steps"))
    head = HEAD.format(
        size=SIZE,
        fields=fields,
        moves=FIELDS["decoder_steps"],
        share=f"{100 * FIELDS['public_share']:.0f} %",
        tried=TRIED,
        made=of_each(encoder_moves),
        fewer=of_each(lambda found: found["records"]["tried"], but=TRIED),
        gan=GAN,
        **ATTACK,
    )
    faces = CASES["faces"]
    out = [head, summary(), WHY, first_table(faces), seeds(faces)]
    out += [pair_of_rows(CASES[name]) for name in ("yale_b", "utkface")]
    out += [second_table(faces), third_table(faces)]
    out += [white_box(faces), *(audited(case) for case in CASES.values())]
    return "".join(out)


def first_table(case: Case) -> str:
    """Return the section of table 1 on the synthetic faces, with figures 3 and 4."""
    rows = rows_of(case, WANTED1, figures)
    if not rows:
        return ""
    return "".join(
        [
            f"\n## Table 1\n\n**{case.sentence}**; task {', '.join(case.task)}\n\n",
            table1(case, rows),
            *(f"- {v}\n" for v in of_table1(rows)),
            "\nThe paper's rows 7 and 8 train the encoder on the extra pictures too, and it does not describe their "
            "labels. Here only the simulated decoder gets them, so row 7 would be row 5, and the rows are not "
            "reproduced as printed. In rows 5 and 6, M of the feature-level attack has the pairs of rows 1 and 2. "
            "The extra pictures are 1,500 faces of 40 other people.\n",
            picture(
                "figure3.png",
                "Figure 3: x, and the pictures of decoders at lambda1 = 0 and 1: without and with a GAN, and of "
                "encoders for the expression alone.",
            ),
            picture(
                "figure4.png",
                "Figure 4: z of unseen records by t-SNE, coloured by two attributes: of encoders for all attributes "
                "and for the expression alone.",
            ),
        ]
    )


def pair_of_rows(case: Case) -> str:
    """Return the section of rows 1 and 2 of table 1 on another data set."""
    pair = rows_of(case, PAIR, figures)
    if not pair:
        return f"\n## {case.sentence}\n\nNot run: it needs `SORDINE_DATA`.\n"
    text = f"\n## Table 1, rows 1 and 2: {case.sentence}\n\n{table1(case, pair)}"
    if len(pair) == 2:
        text += "".join(f"- {v}\n" for v in worse(pair["1"], pair["2"], "rows 1 and 2")) + taken(case, (0,))
    return text


def second_table(case: Case) -> str:
    """Return the section of table 2, with figures 5 and 7."""
    swept = rows_of(case, WANTED2, figures)
    if not swept:
        return ""
    out = [
        f"\n## Table 2: lambda2\n\nlambda1 = 1, mu1 = 0, mu2 = {PERCEPTUAL} (the paper: 1; less here, because the "
        "decoder has few steps). The paper also has 2, 4 and 5.\n\n",
        table2(swept),
        *(f"- {v}\n" for v in of_table2(swept)),
    ]
    quicker = rows_of(case, WANTED2_QUICKER, figures)
    if quicker:
        out += ["\nThe decoder moves four times, as in the other tables:\n\n", table2(quicker)]
        out += [f"- {v}\n" for v in of_table2(quicker)]
    caption = "Figures 5 and 7: x, and the pictures of decoders with a perceptual term at each lambda2."
    return "".join([*out, picture("figure5.png", caption)])


def third_table(case: Case) -> str:
    """Return the section of table 3."""
    cuts = rows_of(case, WANTED3, figures)
    if not cuts:
        return ""
    return "".join(
        [
            "\n## Table 3: where the network is cut\n\n",
            table3(cuts),
            *(f"- {v}\n" for v in of_table3(cuts)),
            "\nThe paper prints the LDA column of fc as S_w / S_b. The table above shows it as defined: .39 and .67. "
            "S_w and S_b depend on the scale of z; only their ratio can be compared.\n",
            picture("table3.png", "x, and the picture of a decoder from each cut at lambda1 = 0 and 1."),
        ]
    )


def figures(case: Case, fit: Fit, attack: Attack) -> Found | None:
    """Return the figures of an encoder and of a decoder against it; None where either was not measured."""
    both = [unit_of(case, fit, "encoder"), unit_of(case, fit, attack)]
    if not all(p.exists() for p in both):
        return None
    one, other = (p.read() for p in both)
    return one | {k: v for k, v in other.items() if v is not None}


def of_each(number: Callable[[Found], int], but: int | None = None) -> str:
    """Return, in brackets, a number of each data set's first encoder, where it was measured and is not `but`."""
    numbers = []
    for case in CASES.values():
        unit = unit_of(case, BASE, "encoder")
        if unit.exists() and (n := number(unit.read())) != but:
            numbers.append(f"{case.sentence.partition(':')[0]}: {n}")
    return f" ({', '.join(numbers)})" if numbers else ""


def encoder_moves(found: Found) -> int:
    """Return the number of moves of an encoder: whole epochs times the rounds of its X1."""
    private, public = found["records"]["private"], found["records"]["public"]
    rounds = private // min(fit_batch(private, found["fields"]["batch"]), public)
    return int(found["fit"]["epochs"][-1] * max(1, rounds))


def summary() -> str:
    """Return the number of claims that are reproduced, by data set."""
    counts = []
    for case in CASES.values():
        pair = rows_of(case, PAIR, figures)
        if len(pair) == 2:
            lines = list(worse(pair["1"], pair["2"], "x"))
            good = sum(line.startswith("reproduced") for line in lines)
            counts.append(f"- {case.sentence}: {good} of {len(lines)} claims on lambda1 = 1 against 0.\n")
    return "\n**Reproduced.**\n\n" + "".join(counts) if counts else ""


def cell(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def ours(found: Found) -> list[str]:
    return [cell(found.get(k), 2 if k == "psnr" else 3) for k in COLUMNS]


def table1(case: Case, rows: dict[str, Found]) -> str:
    head = ["row", "", *(f"{c}: {source}" for c in COLUMNS.values() for source in ("paper", "ours"))]
    lines = []
    for row, found in rows.items():
        paper = TABLE1[row] if case.name == "faces" else (None,) * 5
        mixed = [v for p, o in zip(paper, ours(found), strict=True) for v in (cell(p), o)]
        lines.append([row, WORDS[row], *mixed])
    strong = figures(case, STRONG, PLAIN) if case.name == "faces" else None
    if strong is not None:
        lines.append(["", "lambda1 = 10 (not in the paper)", *(v for o in ours(strong) for v in ("", o))])
    lines += floors(case, next(iter(rows.values())))
    return markdown_table(head, lines) + "\n"


def floors(case: Case, found: Found) -> list[list[str]]:
    """Return the rows of the two baselines: the mean picture, and the task's true classes."""
    blind = [
        None,
        found.get("face_baseline"),
        found.get("feature_baseline"),
        found["baseline_ssim"],
        found["baseline_psnr"],
    ]
    lines = [["", "*mean picture*", *(v for i, b in enumerate(blind) for v in ("", cell(b, 2 if i == 4 else 3)))]]
    unit = STORE.unit(f"{case.name}--labels--plain")
    if unit.exists():
        labels = unit.read()
        lines.append(["", "*the task's true classes*", *(v for o in ours(labels) for v in ("", o))])
    return lines


def table2(rows: dict[int, Found]) -> str:
    head = ["lambda2", *(f"{c}: {source}" for c in COLUMNS.values() for source in ("paper", "ours"))]
    lines = []
    for value, paper in TABLE2.items():
        if value not in rows:
            continue
        measured = ours(rows[int(value)])
        lines.append([f"{value:g}", *(v for p, o in zip(paper, measured, strict=True) for v in (cell(p), o))])
    return markdown_table(head, lines) + "\n"


def table3(rows: dict[tuple[str, int], Found]) -> str:
    named = {"face_similarity": "face", "mcc": "MCC", "within": "S_w", "between": "S_b", "lda": "LDA score"}
    head = [
        "cut",
        "lambda1",
        *(f"{c}: {source}" for c in named.values() for source in ("paper", "ours")),
        "feature",
        "PSNR, dB",
    ]
    lines = []
    for cut in (*EARLIER, "fc"):
        for which in (0, 1):
            if (cut, which) not in rows:
                continue
            found = rows[cut, which]
            paper = list(TABLE3[cut][which])
            if cut == "fc":
                paper[4] = paper[3] / paper[2]
            cells = []
            for printed, key in zip(paper, named, strict=True):
                cells += [f"{printed:.2f}" if key == "lda" else f"{printed:g}", cell(found[key])]
            lines.append([cut, str(which), *cells, cell(found["feature_similarity"]), cell(found["psnr"], 2)])
    return markdown_table(head, lines) + "\n"


def seeds(case: Case) -> str:
    """Return rows 1 and 2 with other seeds."""
    lines = []
    for seed in (0, *MORE_SEEDS):
        for fit in (BASE, OURS):
            found = figures(case, fit.seeded(seed), PLAIN)
            if found is not None:
                lines.append([str(seed), fit.name[-1], *ours(found)])
    if len(lines) <= 2:
        return ""
    text = (
        "\n### Rows 1 and 2 with other seeds\n\nThe split, X1, X2, T and C stay. Weights, batches and attackers "
        "change, but not the decoder of the task's true classes.\n\n"
    )
    text += markdown_table(["seed", "lambda1", *COLUMNS.values()], lines) + "\n"
    for key, title in COLUMNS.items():
        column = 2 + list(COLUMNS).index(key)
        gaps = [float(b[column]) - float(a[column]) for a, b in zip(lines[::2], lines[1::2], strict=False) if a[column]]
        text += f"- {title}: lambda1 = 1 less 0, seed by seed: {', '.join(f'{g:+.3f}' for g in gaps)}\n"
    return text + taken(case, (0, *MORE_SEEDS))


def taken(case: Case, of: Sequence[int]) -> str:
    """Return the share that lambda1 = 1 removes of a decoder's result above that of the task's true classes.

    of: seeds. The decoder of the classes has seed 0.
    """
    unit = STORE.unit(f"{case.name}--labels--plain")
    floor = unit.read() if unit.exists() else {}
    text = ""
    for key in ("psnr", "face_similarity"):
        shares = []
        for seed in of:
            before, after = (figures(case, fit.seeded(seed), PLAIN) for fit in (BASE, OURS))
            if before is None or after is None or None in (floor.get(key), before.get(key)):
                continue
            shares.append(f"{100 * (before[key] - after[key]) / (before[key] - floor[key]):.0f} %")
        if shares:
            which = ", seed by seed" if len(of) > 1 else ""
            text += (
                f"- {COLUMNS[key]}: of the part above the task's true classes lambda1 = 1 removes{which}: "
                f"{', '.join(shares)}\n"
            )
    return text


def white_box(case: Case) -> str:
    """Return the section of the white-box attack."""
    lines = []
    for fit in (BASE, OURS):
        unit = unit_of(case, fit, "white-box")
        if unit.exists():
            f = unit.read()
            keys = ("face_similarity", "ssim", "psnr", "baseline_psnr")
            lines.append([fit.name[-1], *(cell(f[k], 2 if "psnr" in k else 3) for k in keys)])
    if not lines:
        return ""
    text = markdown_table(["lambda1", "face", "SSIM", "PSNR, dB", "PSNR of the mean picture"], lines) + "\n"
    return (
        "\n## White-box inversion\n\nThe attacker optimises the picture through the encoder's own weights, from the "
        f"mean picture, under a total-variation prior; {WHITE_BOX} records of T. A decoder is trained on faces; this "
        f"attacker is not.\n\n{text}"
        + picture("white-box.png", "x, and the white-box attacker's pictures at lambda1 = 0 and 1.")
    )


def audited(case: Case) -> str:
    """Return the basic audit of z, for lambda1 = 0 and 1."""
    measured: dict[int, dict[str, Any]] = {}
    for which, fit in enumerate((BASE, OURS)):
        unit = unit_of(case, fit, "audit")
        if unit.exists():
            measured[which] = unit.read()
    if not measured:
        return ""
    first = next(iter(measured.values()))
    lines = []
    for headline in first["headlines"]:
        name = headline["attribute"]
        role = "task" if name in case.task else "watched"
        cells = [name, role, cell(headline["guess"]), cell(headline["before"])]
        for found in measured.values():
            h = next(v for v in found["headlines"] if v["attribute"] == name)
            known = h["nag"] is not None
            nag = f"; {h['nag']:.2f} ({h['low']:.2f} to {h['high']:.2f})" if known else ""
            cells.append(f"{h['after']:.3f}{nag}")
        lines.append(cells)
    head = ["attribute", "", "baseline", "pictures", *(f"z, lambda1 = {w}: accuracy; NAG" for w in measured)]
    made = first["made"]
    return (
        f"\n## The audit of z: {case.sentence}\n\nThe worst attacker of each side "
        f"({', '.join(made['families'])}), scenario A, {made['fitted']:,} fitted and {made['unseen']:,} unseen "
        "records. This method suppresses no attribute; the table shows what can still be "
        f"inferred.\n\n{markdown_table(head, lines)}\n"
    )


def picture(name: str, caption: str) -> str:
    return f"\n![{caption}](inversion/{name})\n\n*{caption}*\n" if (PICTURES / name).exists() else ""
