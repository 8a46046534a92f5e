"""A report with every part, made by hand: what the tests of the page and of the JSON are shown."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import replace

import numpy as np
from PIL import Image

from sordine.findings import (
    Cloud,
    Entanglement,
    ExactFinding,
    Finding,
    Flaw,
    Headline,
    LinkageFinding,
    Pair,
    PersonFinding,
    PretrainedFinding,
    QueryFinding,
    ReconstructionFinding,
    Report,
    Sheet,
    Verdict,
    VerificationFinding,
)
from sordine.table import Table

ATTACKERS = ("linear", "neighbours", "trees", "mlp")


def around(share: float, records: int = 900) -> tuple[float, float]:
    half = 1.96 * math.sqrt(max(share * (1 - share), 0.001) / records)
    return max(share - half, 0.0), min(share + half, 1.0)


def headline(name: str, role: str, classes: int, before: float, after: float, guess: float, **more) -> Headline:
    told = before - guess > 0.03
    nag = (after - guess) / (before - guess) if told else None
    what = {"suppress": "leakage", "preserve": "utility", "watch": "utility"}[role]
    return Headline(
        attribute=name,
        role=role,
        classes=classes,
        setting="A",
        attacker_before="mlp",
        attacker_after="trees",
        before=before,
        after=after,
        guess=guess,
        nag=nag,
        low=None if nag is None else nag - 0.03,
        high=None if nag is None else nag + 0.03,
        resolvable=0.031 if told and role == "suppress" else None,
        at_chance=after - guess < 0.02,
        before_interval=around(before),
        after_interval=around(after),
        records=900,
        sentence=f"The best attacker read {name} from {before:.0%} of the records before and from {after:.0%} now; "
        f"guessing gives {guess:.0%}" + (f", a {what} of {max(nag, 0):.0%}." if nag is not None else "."),
        **more,
    )


def findings_of(h: Headline, rng: np.random.Generator) -> list[Finding]:
    found = []
    for attacker in ATTACKERS:
        for setting in ("A", "B", "C"):
            before = max(h.guess, h.before - rng.uniform(0, 0.15))
            after = max(0.0, h.after - rng.uniform(-0.005, 0.02))
            nag = (after - h.guess) / (before - h.guess) if before - h.guess > 0.03 else None
            found.append(
                Finding(
                    h.attribute, h.role, attacker, setting, before, after, h.guess, nag,
                    None if nag is None else nag - 0.04, None if nag is None else nag + 0.04,
                    around(before), around(after), around(h.guess), records=900,
                )
            )  # fmt: skip
    return found


def example(attributes: int = 6, points: int = 300, classes: int = 12, level: str = "holds") -> Report:
    """A report with every part, made by hand."""
    rng = np.random.default_rng(7)
    heads = [
        headline("speaker", "suppress", classes, 0.981, 0.103 if level == "holds" else 0.62, 0.098),
        headline("sex", "suppress", 2, 0.993, 0.526, 0.531, uneven=True, balanced_nag=0.021),
        headline("word", "preserve", 10, 0.962, 0.917, 0.112),
        headline("noise level", "watch", 3, 0.61, 0.55, 0.42),
        headline("microphone", "watch", 5, 0.25, 0.23, 0.24),
        headline("accent", "watch", 4, 0.80, 0.33, 0.31),
    ]
    for i in range(attributes - len(heads)):
        guess = float(rng.uniform(0.02, 0.6))
        before = float(rng.uniform(guess, 1))
        heads.append(headline(f"further attribute {i}", "watch", 4, before, float(rng.uniform(guess, before)), guess))
    heads = heads[:attributes]
    names = [h.attribute for h in heads]
    pairs = []
    for a in names:
        for b in names:
            if a != b:
                left = float(rng.uniform(0.7, 1.0) if (a, b) != ("sex", "speaker") else 0.0)
                pairs.append(Pair(a, b, 2.0, 2.0 * left, left == 0.0))
    centres = rng.normal(size=(classes, 2)) * 3
    who = rng.integers(0, classes, points)
    before = centres[who] + rng.normal(size=(points, 2)) * 0.5
    after = rng.normal(size=(points, 2)) * 1.5
    return Report(
        verdict=Verdict(
            level,  # type: ignore[arg-type]
            "Who speaks cannot be read from these records"
            if level == "holds"
            else "speaker can still be read from these records",
            (
                "No attacker that we trained reads speaker or sex better than by guessing.",
                "word stays readable: 95 % of what could be read before.",
            ),
        ),
        policy={"suppress": ("speaker", "sex"), "preserve": ("word",), "watch": tuple(names[3:])},
        headlines=tuple(heads),
        findings=tuple(f for h in heads for f in findings_of(h, rng)),
        pretrained=(
            PretrainedFinding("speaker", "suppress", 0.97, 0.11, 0.098, 2.4, 900),
            PretrainedFinding("word", "preserve", 0.95, 0.71, 0.112, 0.8, 900),
        ),
        exact=(
            ExactFinding(("speaker",), (), "fitted", 0.131, 0.098, 0.128, 0.135, 2700),
            ExactFinding(("speaker",), (), "unseen", 0.171, 0.098, 0.166, 0.177, 900),
            ExactFinding(("speaker", "sex"), ("word",), "unseen", 0.402, 0.151, 0.309, 0.331, 900),
        ),
        person=tuple(
            PersonFinding("speaker", "speaker", k, knows, "A", 1.0, after, 0.1, (after - 0.1) / 0.9, after - 0.15, after,
                          (after - 0.05, after + 0.05), "speaker 03", after + 0.1, "speaker 03", after + 0.1, 10, 2000, 900)
            for knows, figures in (("draws", (0.1, 0.11, 0.12, 0.1)), ("channel", (0.11, 0.2, 0.41, 0.8)))
            for k, after in zip((1, 10, 50, 0), figures, strict=True)
        ),
        queries=(
            QueryFinding("speaker", 5, "fresh", 5, "averaged", 0.98, 0.11, 0.31, 0.1, 0.24, 0.2, 0.28, (0.28, 0.34), 900),
            QueryFinding("speaker", 5, "one", 1, "one", 0.98, 0.11, 0.11, 0.1, 0.01, -0.02, 0.04, (0.09, 0.13), 900),
        ),
        linkage=(
            LinkageFinding("standardised", "unseen", 0.002, 0.0005, 0.006, 1 / 900, 430.0, 900, "speaker", 0.12, 0.1),
            LinkageFinding("channel", "fitted", 0.04, 0.03, 0.05, 1 / 2000, 28.0, 2000),
        ),
        verification=(VerificationFinding("speaker", "discriminant", 0.04, 0.49, (0.03, 0.05), (0.46, 0.5), 10, 20000),),
        flaws=(
            Flaw("row-order", "note", "The released rows stand in the order of the original rows.", None, None),
            Flaw("label-column", "leak", "A column beside the records decides speaker.", "speaker", "clip"),
            Flaw("not-finite", "broken", "3 released records hold NaN; they were left out.", None, "x"),
        ),
        entanglement=Entanglement(
            tuple(pairs),
            {"word": 0.874},
            {"speaker": 0.031, "sex": None},
            ("speaker decides sex: whoever knows the speaker knows the sex.",),
        ),
        cloud=Cloud(
            tuple(map(tuple, before.round(5).tolist())),
            tuple(map(tuple, after.round(5).tolist())),
            {
                "speaker": tuple(who.tolist()),
                "word": tuple(rng.integers(-1, 10, points).tolist()),
            },
            {"speaker": tuple(f"speaker {i:02d}" for i in range(classes)), "word": tuple(f"word {i}" for i in range(10))},
            "First two principal components of the original records",
        ),
        distortion={"mean squared error": 0.0412, "relative": 0.31},
        table={"source": "voices.parquet", "records": 3600, "train": 2700, "test": 900, "shape": [64, 40]},
        modifier={
            "method": "mass",
            "fields": {"epochs": 200, "learning_rate": 0.0005, "budget": None, "hidden": [256, 256]},
            "fit": {"epochs": 200, "seconds": 41.2, "loss": 0.213},
            "weights": "9b1f" * 16,
            "versions": {"python": "3.11.9", "torch": "2.9.1", "sordine": "0.1.0"},
        },
        made={
            "command": "sordine audit voices.parquet released.parquet -s speaker,sex -p word --modifier filter/ -o report.html",
            "seeds": [0, 1, 2],
            "attackers": {"linear": "logistic regression", "mlp": "two hidden layers of 256, early stopping"},
            "versions": {"sordine": "0.1.0", "torch": "2.9.1"},
            "released_sha256": "ab" * 32,
            "notes": ["column 'age' is left out: it holds decimal numbers, not classes"],
        },
        max_leakage=0.1,
        passed=level == "holds",
    )  # fmt: skip


COLOURS = {"red": (230, 60, 50), "green": (60, 190, 80), "blue": (60, 90, 230)}
SHAPES = ("square", "stripe")


def squares(n: int = 48, size: int = 16, seed: int = 3) -> Table:
    """Pictures of a coloured square or stripe: (n, 3, size, size) uint8; attributes colour and shape, a quarter unseen."""
    rng = np.random.default_rng(seed)
    colour, shape = np.arange(n) % 3, np.arange(n) // 3 % 2
    x = rng.integers(0, 40, (n, 3, size, size), dtype=np.uint8)
    low, high = size // 4, size - size // 4
    for i in range(n):
        ink = np.array(list(COLOURS.values())[colour[i]], np.uint8)[:, None, None]
        x[i, :, low:high, low if shape[i] == 0 else 0 : high if shape[i] == 0 else size] = ink
    return Table.of(
        x,
        {"colour": [list(COLOURS)[c] for c in colour], "shape": [SHAPES[s] for s in shape]},
        ids=[f"p{i:03d}" for i in range(n)],
        split=["test" if i % 4 == 0 else "train" for i in range(n)],
    )


def png(pixels: np.ndarray) -> str:
    """(c, h, w) uint8 -> a base64 PNG."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1))).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def with_pictures() -> Report:
    """The example with a sheet of pictures and what two attackers rebuild."""
    x = squares(size=64).x
    grey = np.broadcast_to(x.mean(1, keepdims=True), x.shape).astype(np.uint8)
    rows = tuple((png(x[i]), png(grey[i]), png(255 - x[i])) for i in range(4))
    names = tuple(f"speaker {i}\nword <{i}>" for i in range(4))
    return replace(
        example(),
        sheets=(
            Sheet("What becomes of the pictures", ("original", "filtered", "released"), rows, names, "Four of them."),
        ),
        reconstruction=(
            ReconstructionFinding("decoder", 18.31, 0.612, 14.04, 0.301, 0.44, None, 900),
            ReconstructionFinding("white-box", 13.02, 0.2, 14.04, 0.301, None, 0.21, 900, "on 100 records"),
        ),
    )
