"""The text of docs/results/inversion.md, from the figures in benchmarks/results/inversion.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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

This page is written by one command, from figures that the same command measures and keeps in `benchmarks/results/inversion.jsonl`:

    SORDINE_DATA=... python -m benchmarks.inversion

`--on faces` chooses a data set (synthetic faces need no `SORDINE_DATA`), `--page` writes the page alone. The paper's own data (CelebA,
MS-Celeb-1M) and networks (VGG, its depth not printed; OpenFace) were not to be had: what stands below is measured on stand-ins, and the paper's figures
beside ours are about other pictures, other networks and other sizes. What can be compared is a table's *shape*: each says
below whether it holds.

**What was run.** Pictures of {size} x {size}. Preset `small`, narrowed to what two shared cores can do: {fields}. Steps
are moves of the encoder and are rounded to whole epochs{made}. The decoder moves {moves} times to each
of them (the paper alternates and prints no count), as with one move a fresh decoder did as well against lambda1 = 1 as
against 0. Three quarters of the records are the training side; {share:.0%} of those are public (X2), the rest private (X1); T is up to {tried}
records of the other quarter{fewer}. lambda1 = 1, of the mean square of pictures in -1 to 1
(the paper prints a squared norm, a sum; its tanh gives that range to what is rebuilt, how its pictures are scaled goes unsaid). One split, one key, training and
attackers' seed 0, but where seeds are named.

**Attackers.** *Black box*: a fresh decoder, which knows nothing of the encoder's architecture, learns on X2's pairs, as the paper's does ({steps} steps,
width {width}); mu1 = {gan} where there is a GAN (the paper prints no value). The paper's attacker has another network, the
same mirror of the encoder as its simulated decoder (figure 6: "Dec and Dec^a"). *Feature-level*: an MLP from z to C(x), eq. 10. C is a verification
network trained here on the identities of the whole training side; face similarity is the cosine of its third stage's features of x
and x^, feature similarity that of M(z) and C(x). g, in VGG's place, is a narrow reader of identities trained on X1, for protector and
attacker alike, scaled so that a distance by it is of the size of one by pixels; in table 2 the decoder moves twice.

**How to read it.** MCC: mean over the task's attributes, on T, of f. For the others high is bad for privacy. Two rows say what knowing
nothing gives (the *mean picture*, and the mean of C) and what a decoder makes of the *task's true classes alone*, which an encoder that
serves its task has to tell: a decoder that does worse than these has failed, and says nothing of the encoder. *Holds* compares the two figures as they are,
from one seed; where a difference is small the table of seeds says how far seeds differ by themselves.
"""


WHY = """
**What does not hold, and why.** *lambda2 does not trace table 2.* Mean MCC falls as it should, but fresh decoders hardly do worse for it, with two moves
of the simulated decoder or with four: face similarity is above that of lambda2 = 0 at every other, PSNR and feature similarity are at most .012 dB and .006
under it and at 10 above it, SSIM alone ends lower, by .011 (two moves) and .016 (four). The encoder meets the greater weight by moving z about
faster than that decoder follows, and what is measured afterwards is a decoder that had time. So it is with lambda1 = 10, which costs .43 of MCC and by all but SSIM protects less than 1. What lambda1 gains
it gains because the decoder moves four times to the encoder's one; with one move, in trials that are not kept here, a fresh decoder did as well at lambda1 = 1 as at 0. *Effects at fc are small*: lambda1
takes .6 to .9 dB and .016 to .026 of face similarity over three seeds. Of what a decoder rebuilds above the task's own classes that is 29 to 52 % in dB and 22 to
41 % of the face similarity; on UTKFace 48 % in dB, on Extended Yale B 15 and 4 %, of one seed each. Person is read from z as before (below). The
paper's feature similarity falls by .26 there, ours by .003 to .035 from seed to seed. *A GAN makes the
attacker weaker here*, not stronger: in so few steps its pictures are sharper and further off (figure 3). *One attribute* keeps
less of a face than five (rows 1 and 9, which the paper compares), but most of that is the GAN's doing, as row 3, with one too, has .604; by feature similarity it
does not keep less. *More pairs* from other people do not help the attacker in so few steps, by face similarity as by PSNR. *The white-box attacker*
stays under the mean picture in dB. *At conv1* the
simulated decoder is figure 6's last layer alone. By its caption the paper's attacker is, too; the fresh one here has three layers. The paper's .36
is then what one layer rebuilds, and our .94 what another network does. In table 3 lambda1 costs up to
.029 of MCC, within the .04 allowed. *fc's LDA score rises* with the adversary, as the paper's does once its column is turned right side up.
"""


def page() -> str:
    """The whole page, of whatever has been measured."""
    fields = ", ".join(f"{k} {v}" for k, v in FIELDS.items() if k not in ("public_share", "decoder_steps"))
    out = [
        HEAD.format(
            size=SIZE,
            fields=fields,
            moves=FIELDS["decoder_steps"],
            share=FIELDS["public_share"],
            tried=TRIED,
            made=of_each(encoder_moves),
            fewer=of_each(lambda found: found["records"]["tried"], but=TRIED),
            gan=GAN,
            **ATTACK,
        )
    ]
    faces = CASES["faces"]
    out += [summary(), WHY]
    rows = rows_of(faces, WANTED1, figures)
    if rows:
        out += [f"\n## Table 1\n\n**{faces.sentence}**; task {', '.join(faces.task)}\n\n", table1(faces, rows)]
        out.append("".join(f"- {v}\n" for v in of_table1(rows)))
        out.append(
            "\nThe paper's rows 7 and 8 train the encoder on the extra pictures too, and nothing is said of their labels; here only its simulated decoder gets them, so row 7 "
            "would be row 5, and they are not reproduced as printed. In rows 5 and 6 M of the feature-level attack keeps the pairs of rows 1 and "
            "2. The extra pictures are 1,500 faces of 40 other people.\n"
        )
        out.append(picture("figure3.png", "Figure 3: x, and what decoders rebuild at lambda1 = 0 and 1: without and with a GAN, and of encoders for the expression alone."))  # fmt: skip
        out.append(picture("figure4.png", "Figure 4: z of unseen records by t-SNE, coloured by two attributes: of encoders for all attributes and for the expression alone."))  # fmt: skip
    out.append(seeds(faces))
    for name in ("yale_b", "utkface"):
        case = CASES[name]
        pair = rows_of(case, PAIR, figures)
        if pair:
            out += [f"\n## Table 1, rows 1 and 2: {case.sentence}\n\n", table1(case, pair)]
            if len(pair) == 2:
                out.append("".join(f"- {v}\n" for v in worse(pair["1"], pair["2"], "rows 1 and 2")) + taken(case, (0,)))
        else:
            out.append(f"\n## {case.sentence}\n\nNot run: it needs `SORDINE_DATA`.\n")
    swept = rows_of(faces, WANTED2, figures)
    if swept:
        out += [
            f"\n## Table 2: lambda2\n\nlambda1 = 1, mu1 = 0, mu2 = {PERCEPTUAL} (the paper: 1; here the few steps of a decoder then learn no more than the mean picture). The paper has 2, 4 and 5 besides.\n\n",
            table2(swept),
        ]
        out.append("".join(f"- {v}\n" for v in of_table2(swept)))
        quicker = rows_of(faces, WANTED2_QUICKER, figures)
        if quicker:
            out += ["\nThe decoder moves four times, as in the other tables:\n\n", table2(quicker)]
            out.append("".join(f"- {v}\n" for v in of_table2(quicker)))
        out.append(
            picture(
                "figure5.png", "Figures 5 and 7: x, and what decoders with a perceptual term rebuild at each lambda2."
            )
        )
    cuts = rows_of(faces, WANTED3, figures)
    if cuts:
        out += ["\n## Table 3: where the network is cut\n\n", table3(cuts)]
        out.append("".join(f"- {v}\n" for v in of_table3(cuts)))
        out.append(
            "\nThe paper's LDA column of fc is printed upside down (S_w / S_b): .39 and .67 as defined, which is what stands above. S_w and S_b depend on "
            "z's scale; only their ratio compares.\n"
        )
        out.append(picture("table3.png", "x, and what a decoder rebuilds from each cut at lambda1 = 0 and 1."))
    out += [white_box(faces), *(audited(case) for case in CASES.values())]
    return "".join(out)


def figures(case: Case, fit: Fit, attack: Attack) -> Found | None:
    """An encoder's figures and a decoder's against it, together; None where either was not measured."""
    both = [unit_of(case, fit, "encoder"), unit_of(case, fit, attack)]
    if not all(p.exists() for p in both):
        return None
    one, other = (p.read() for p in both)
    return one | {k: v for k, v in other.items() if v is not None}


def of_each(number: Callable[[Found], int], but: int | None = None) -> str:
    """In brackets a number of each data set's first encoder, where that was measured and is not `but`."""
    said = []
    for case in CASES.values():
        unit = unit_of(case, BASE, "encoder")
        if unit.exists() and (n := number(unit.read())) != but:
            said.append(f"{case.sentence.partition(':')[0]}: {n}")
    return f" ({', '.join(said)})" if said else ""


def encoder_moves(found: Found) -> int:
    """How often an encoder moved: whole epochs, of the rounds that its X1 gives."""
    private, public = found["records"]["private"], found["records"]["public"]
    rounds = private // min(fit_batch(private, found["fields"]["batch"]), public)
    return int(found["fit"]["epochs"][-1] * max(1, rounds))


def summary() -> str:
    """The Must-show lines in short."""
    said = []
    for case in CASES.values():
        pair = rows_of(case, PAIR, figures)
        if len(pair) == 2:
            lines = list(worse(pair["1"], pair["2"], "x"))
            good = sum(line.startswith("holds") for line in lines)
            said.append(f"- {case.sentence}: {good} of {len(lines)} lines of lambda1 = 1 against 0 hold.\n")
    return "\n**In short.**\n\n" + "".join(said) if said else ""


def cell(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def ours(found: Found) -> list[str]:
    return [cell(found.get(k), 2 if k == "psnr" else 3) for k in COLUMNS]


def grid(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(r) + " |" for r in rows) + "\n\n"


def table1(case: Case, rows: dict[str, Found]) -> str:
    head = ["row", "", *(f"{c}: {who}" for c in COLUMNS.values() for who in ("paper", "ours"))]
    lines = []
    for row, found in rows.items():
        paper = TABLE1[row] if case.name == "faces" else (None,) * 5
        mixed = [v for p, o in zip(paper, ours(found), strict=True) for v in (cell(p), o)]
        lines.append([row, WORDS[row], *mixed])
    strong = figures(case, STRONG, PLAIN) if case.name == "faces" else None
    if strong is not None:
        lines.append(["", "lambda1 = 10 (not in the paper)", *(v for o in ours(strong) for v in ("", o))])
    lines += floors(case, next(iter(rows.values())))
    return grid(head, lines)


def floors(case: Case, found: Found) -> list[list[str]]:
    """What knowing nothing gives, and what the task's classes alone do."""
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
    head = ["lambda2", *(f"{c}: {who}" for c in COLUMNS.values() for who in ("paper", "ours"))]
    lines = []
    for value, paper in TABLE2.items():
        if value not in rows:
            continue
        measured = ours(rows[int(value)])
        lines.append([f"{value:g}", *(v for p, o in zip(paper, measured, strict=True) for v in (cell(p), o))])
    return grid(head, lines)


def table3(rows: dict[tuple[str, int], Found]) -> str:
    named = {"face_similarity": "face", "mcc": "MCC", "within": "S_w", "between": "S_b", "lda": "LDA score"}
    head = [
        "cut",
        "lambda1",
        *(f"{c}: {who}" for c in named.values() for who in ("paper", "ours")),
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
            cells = [v for p, k in zip(paper, named, strict=True) for v in (f"{p:g}" if k != "lda" else f"{p:.2f}", cell(found[k]))]  # fmt: skip
            lines.append([cut, str(which), *cells, cell(found["feature_similarity"]), cell(found["psnr"], 2)])
    return grid(head, lines)


def seeds(case: Case) -> str:
    """Rows 1 and 2 with other seeds."""
    lines = []
    for seed in (0, *MORE_SEEDS):
        for fit in (BASE, OURS):
            found = figures(case, fit.seeded(seed), PLAIN)
            if found is not None:
                lines.append([str(seed), fit.name[-1], *ours(found)])
    if len(lines) <= 2:
        return ""
    text = "\n### Rows 1 and 2 with other seeds\n\nThe split, X1, X2, T and C stay; weights, batches and attackers change, but not the decoder of the task's true classes.\n\n"
    text += grid(["seed", "lambda1", *COLUMNS.values()], lines)
    for key, said in COLUMNS.items():
        column = 2 + list(COLUMNS).index(key)
        gaps = [float(b[column]) - float(a[column]) for a, b in zip(lines[::2], lines[1::2], strict=False) if a[column]]
        text += f"- {said}: lambda1 = 1 less 0, seed by seed: {', '.join(f'{g:+.3f}' for g in gaps)}\n"
    return text + taken(case, (0, *MORE_SEEDS))


def taken(case: Case, of: Sequence[int]) -> str:
    """What share lambda1 = 1 takes of what a decoder rebuilds above the task's true classes. of: seeds; the classes' decoder has 0."""
    unit = STORE.unit(f"{case.name}--labels--plain")
    floor = unit.read() if unit.exists() else {}
    text = ""
    for key in ("psnr", "face_similarity"):
        shares = []
        for seed in of:
            before, after = (figures(case, fit.seeded(seed), PLAIN) for fit in (BASE, OURS))
            if before is None or after is None or None in (floor.get(key), before.get(key)):
                continue
            shares.append(f"{(before[key] - after[key]) / (before[key] - floor[key]):.0%}")
        if shares:
            which = ", seed by seed" if len(of) > 1 else ""
            text += f"- {COLUMNS[key]}: of what is above the task's true classes lambda1 = 1 takes{which}: {', '.join(shares)}\n"
    return text


def white_box(case: Case) -> str:
    lines = []
    for fit in (BASE, OURS):
        unit = unit_of(case, fit, "white-box")
        if unit.exists():
            f = unit.read()
            lines.append([fit.name[-1], *(cell(f[k], 2 if "psnr" in k else 3) for k in ("face_similarity", "ssim", "psnr", "baseline_psnr"))])  # fmt: skip
    if not lines:
        return ""
    text = grid(["lambda1", "face", "SSIM", "PSNR, dB", "PSNR of the mean picture"], lines)
    return (
        f"\n## White-box inversion\n\nThe picture is sought through the encoder's own weights, from the mean picture, under a total-variation prior; {WHITE_BOX} "
        f"records of T. A decoder has learnt what faces look like; this attacker has not.\n\n{text}"
        + picture("white-box.png", "x, and the white-box attacker's pictures at lambda1 = 0 and 1.")
    )


def audited(case: Case) -> str:
    """The common audit of z, for lambda1 = 0 and 1."""
    read: dict[int, dict[str, Any]] = {}
    for which, fit in enumerate((BASE, OURS)):
        unit = unit_of(case, fit, "audit")
        if unit.exists():
            read[which] = unit.read()
    if not read:
        return ""
    first = next(iter(read.values()))
    lines = []
    for headline in first["headlines"]:
        name = headline["attribute"]
        role = "task" if name in case.task else "watched"
        cells = [name, role, cell(headline["guess"]), cell(headline["before"])]
        for found in read.values():
            h = next(v for v in found["headlines"] if v["attribute"] == name)
            known = h["nag"] is not None
            cells.append(f"{h['after']:.3f}; {h['nag']:.2f} ({h['low']:.2f} to {h['high']:.2f})" if known else f"{h['after']:.3f}")  # fmt: skip
        lines.append(cells)
    head = ["attribute", "", "guess", "pictures", *(f"z, lambda1 = {w}: accuracy; NAG" for w in read)]
    made = first["made"]
    return (
        f"\n## The common audit of z: {case.sentence}\n\nThe worst attacker of each side ({', '.join(made['families'])}), setting A, {made['fitted']:,} fitted "
        f"and {made['unseen']:,} unseen records. No attribute is suppressed by this method: this says what it leaves.\n\n{grid(head, lines)}"
    )


def picture(name: str, caption: str) -> str:
    return f"\n![{caption}](inversion/{name})\n\n*{caption}*\n" if (PICTURES / name).exists() else ""
