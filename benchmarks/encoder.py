"""docs/results/encoder.md: what a linear reader finds in `encoder`'s vectors, beside those of `pixels` and `logmel`.

    SORDINE_DATA=... python -m benchmarks.encoder [--only yale_b,emodb,avletters,utkface] [--labels] [--fresh]

Every data set is kept in benchmarks/results/encoder.jsonl as soon as it is measured; a second call measures only
what is missing and writes the page. `--labels` adds the column learnt with labels, five trainings a data set.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.harness import Store
from sordine.data.media.audio import read_clip
from sordine.data.media.cache import decode
from sordine.data.media.folder import read_metadata
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind, Media
from sordine.data.media.video import Clips
from sordine.features.base import Encode
from sordine.features.encoder.extractor import Encoder
from sordine.features.logmel import LogMel
from sordine.features.pixels import Pixels
from sordine.run import Run

HOME = Path(__file__).parent
STORE = Store("encoder")
PAGE = HOME.parent / "docs" / "results" / "encoder.md"
FOLDS, INNER = 5, 3
PROBED = 3000  # records that are read at most; all are learnt from
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of the logistic regression
SEED = 0


@dataclass(frozen=True)
class Case:
    """A folder, the attributes that are read, and what is measured beside `encoder`."""

    kind: Kind
    attributes: tuple[str, ...]
    preserved: str
    encoder: Encoder = field(default_factory=Encoder)


CASES = {
    "yale_b": Case("image", ("person", "light_side"), "light_side"),
    "emodb": Case("audio", ("speaker", "emotion"), "emotion", Encoder(seconds=2.0)),
    "avletters": Case("video", ("speaker", "letter"), "letter"),
    "utkface": Case("image", ("gender", "race", "age_group"), "gender"),
}


def folds(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The five stratified folds of an attribute, the same for every extractor: (learning rows, tried rows)."""
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels))


def probe(x: np.ndarray, labels: np.ndarray, learn: np.ndarray, tried: np.ndarray) -> float:
    """Accuracy of logistic regression on standardised features, C chosen inside the learning part."""
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    inner = StratifiedKFold(INNER, shuffle=True, random_state=SEED + 1)
    chosen = GridSearchCV(reader, {"logisticregression__C": PENALTIES}, cv=inner).fit(x[learn], labels[learn])
    return float(chosen.score(x[tried], labels[tried]))


def measured(x: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Accuracy of every attribute in every fold."""
    return {a: [probe(x, y, *fold) for fold in folds(y)] for a, y in labels.items()}


def vectors(tool: Any, media: Media) -> tuple[np.ndarray, dict[str, float]]:
    """What an extractor of decoded media makes of a folder, and the seconds of learning and encoding."""
    decoded = decode(media, tool.decoder(media.kind))
    start = time.monotonic()
    encode: Encode = tool.fit(decoded, media, Run(seed=SEED, log=print))
    learnt = time.monotonic() - start
    start = time.monotonic()
    x = np.concatenate(
        [encode(np.asarray(decoded.x[i : i + 256]), decoded.lengths[i : i + 256]) for i in range(0, len(decoded), 256)]
    )
    return x, {"fit": round(learnt, 1), "encode": round(time.monotonic() - start, 1)}


def log_mel(media: Media) -> np.ndarray:
    """The vectors of `logmel` at 16 kHz."""
    tool = LogMel(rate=16000)
    return np.stack([tool.clip(*read_clip(media.path(row))) for row in range(len(media))])


def flat(media: Media) -> np.ndarray:
    """Small pictures as they are: grey values of 32 x 32 pixels, or of 16 x 16 pixels in all 16 frames of a clip."""
    if media.kind == "image":
        return decode(media, Pictures(32, 32, grey=True)).x.reshape(len(media), -1) / np.float32(255)
    return decode(media, Clips(16, 16)).x.mean(axis=2, dtype=np.float32).reshape(len(media), -1) / 255


def opened(name: str) -> tuple[Case, Media, dict[str, np.ndarray], np.ndarray]:
    """A case, its folder, the labels of every record, and the rows that are read."""
    case, folder = CASES[name], Path(os.environ["SORDINE_DATA"]) / name
    media = Media(folder, case.kind, read_metadata(folder))
    labels = {a: np.array([str(v) for v in media.records[a].to_pylist()]) for a in case.attributes}
    return case, media, labels, np.sort(np.random.default_rng(SEED).permutation(len(media))[:PROBED])


def measure(name: str) -> dict[str, Any]:
    """One data set without labels, as plain data."""
    case, media, labels, rows = opened(name)
    found: dict[str, Any] = {"records": len(media), "kind": case.kind, "threads": torch.get_num_threads()}
    found["classes"] = {a: len(np.unique(y)) for a, y in labels.items()}
    found["majority"] = {a: float(np.unique(y, return_counts=True)[1].max() / len(y)) for a, y in labels.items()}
    read = {a: y[rows] for a, y in labels.items()}
    found["probed"] = len(rows)
    x, found["seconds"] = vectors(case.encoder, media)
    found["accuracy"] = {"encoder": measured(x[rows], read)}
    untrained, _ = vectors(replace(case.encoder, epochs=0), media)
    found["accuracy"]["encoder, untrained"] = measured(untrained[rows], read)
    if case.kind == "audio":
        found["accuracy"]["logmel"] = measured(log_mel(media)[rows], read)
    else:
        found["accuracy"]["pixels"] = measured(vectors(Pixels(), media)[0][rows], read)
        found["accuracy"]["flat"] = measured(flat(media)[rows], read)
    return found


def with_labels(name: str) -> dict[str, list[float]]:
    """`encoder` learnt with the preserved attribute's labels, from each fold's learning part alone."""
    case, media, labels, rows = opened(name)
    read = {a: y[rows] for a, y in labels.items()}
    found: dict[str, list[float]] = {}
    for learn, tried in folds(read[case.preserved]):
        side = np.where(np.isin(np.arange(len(media)), rows[learn]), "train", "test")
        known = replace(media, records=media.records.append_column("split", pa.array(side)))
        x = vectors(replace(case.encoder, labels=case.preserved), known)[0][rows]
        for attribute, y in read.items():
            found.setdefault(attribute, []).append(probe(x, y, learn, tried))
    return found


TITLES = {
    "encoder": "`encoder`",
    "encoder, labels": "`encoder`, labels",
    "encoder, untrained": "untrained",
    "pixels": "`pixels`",
    "logmel": "`logmel`",
    "flat": "flat pixels",
}


def page(results: dict[str, dict[str, Any]]) -> str:
    """The page as Markdown."""
    columns = [c for c in TITLES if any(c in r["accuracy"] for r in results.values())]
    head = ["data set", "attribute", "classes", "largest class", *(TITLES[c] for c in columns)]
    top = TOP + LABELLED * ("encoder, labels" in columns)
    lines = [top, "| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for name, found in results.items():
        for attribute in found["classes"]:
            cells = [name, attribute, str(found["classes"][attribute]), f"{found['majority'][attribute]:.3f}"]
            for column in columns:
                folds = found["accuracy"].get(column, {}).get(attribute)
                star = "*" if column == "encoder, labels" and attribute == found.get("preserved") else ""
                cells.append(f"{np.mean(folds):.3f}{star} ({np.std(folds):.3f})" if folds else "")
            lines.append("| " + " | ".join(cells) + " |")
    lines += [COST, "| data set | records | learning, s | encoding, s |", "| --- | --- | --- | --- |"]
    for name, found in results.items():
        lines.append(f"| {name} | {found['records']:,} | {found['seconds']['fit']} | {found['seconds']['encode']} |")
    return "\n".join(lines) + "\n" + LOST


TOP = """# What a linear reader finds in `encoder`

Made by `SORDINE_DATA=... python -m benchmarks.encoder`, from `benchmarks/results/encoder.jsonl`. Accuracy of logistic
regression on standardised features: mean over five stratified folds (and deviation between them), C chosen inside each
learning part from the same five values for all extractors; at most 3,000 records are read, all are learnt from.
Folds are random, so that a person's or a speaker's records lie on both sides: these figures say what the vectors hold,
not how well an attribute is read in strangers.

- `encoder`, `pixels`: learnt **without labels on the whole folder**, the tried records among them.
- untrained: `encoder` with `epochs=0`, that is the same blocks of a network with random weights, on the same
  components. What training adds is the difference.
- `logmel`: at 16 kHz. flat pixels: the grey values of 32 x 32 pixels, or of 16 x 16 pixels in all 16 frames.
"""
LABELLED = """- `encoder`, labels: network and components learnt from each fold's learning part alone, with the labels of the
  attribute marked \\*.
"""
COST = """
Seconds on one thread of two cores that other work shared: upper bounds. Learning is training and components.
"""
LOST = """
## What was tried and left out

From single runs on these data sets, on the way to the settings above.

- **The trained vector alone** (the last stage, as SimCLR is usually read): behind the blocks of all depths for every
  attribute, and far behind for who it is. It forgets what the views change, and some hundred records teach little else.
- **Pictures without the channel of local contrast, or without shading among the views**: each lowers the person in Yale
  B, whom light hides, and leaves the side of the light within the folds' noise.
- **B.1's own views of sound (one cut, one silenced) for training**: behind pieces of the utterance at another gain for
  the speaker, equal for the emotion.
- **Full whitening**: equal for the person, behind for the side of the light and for emotion, as it makes the smallest
  components as loud as the others. Components that are not rotated come to the same once a reader standardises them.
- **More of a clip** (finer grids, movement of local contrast, means of the middle stages beside the last one's): within
  the folds' noise, for several times the numbers. Movement relative to the clip's own mean, over parts of the clip's
  real length, is what reads letters; averages over the whole time alone do not.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--labels", action="store_true")
    parser.add_argument("--fresh", action="store_true")
    asked = parser.parse_args()
    for name in asked.only.split(","):
        unit = STORE.unit(name)
        old = unit.exists() and not asked.fresh
        found = unit.read() if old else measure(name)
        if asked.labels and "preserved" not in found:
            found["accuracy"]["encoder, labels"], found["preserved"] = with_labels(name), CASES[name].preserved
        unit.write(found)
        means = {e: {a: round(float(np.mean(v)), 3) for a, v in by.items()} for e, by in found["accuracy"].items()}
        print(name, means, found["seconds"], flush=True)
    write_page()


def write_page() -> None:
    """The page, of what has been measured so far."""
    results = {name: STORE.unit(name).read() for name in CASES if STORE.unit(name).exists()}
    PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
