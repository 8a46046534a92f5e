"""docs/results/encoder.md: accuracy of a linear classifier on the vectors of `encoder`, `pixels` and `logmel`.

    SORDINE_DATA=... python -m benchmarks.encoder [--only yale_b,emodb,avletters,utkface] [--labels] [--fresh]

Every data set is stored in benchmarks/results/encoder.jsonl as soon as it is measured. A second call measures the
missing data sets and writes the page. `--labels` adds the column trained with labels, five trainings per data set.
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

from benchmarks.harness import Store, table_row
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
PROBED = 3000  # largest number of records of the classifier; extractors are trained on all
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # C of the logistic regression
SEED = 0


@dataclass(frozen=True)
class Case:
    """A folder, its attributes, the preserved one and the options of `encoder`."""

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
    """Return the five stratified folds of an attribute, the same for every extractor: (training, test) rows."""
    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels))


def probe(x: np.ndarray, labels: np.ndarray, learn: np.ndarray, tried: np.ndarray) -> float:
    """Return the accuracy of logistic regression on standardised features, C chosen in the training part."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300, tol=1e-3))
    inner = StratifiedKFold(INNER, shuffle=True, random_state=SEED + 1)
    chosen = GridSearchCV(classifier, {"logisticregression__C": PENALTIES}, cv=inner).fit(x[learn], labels[learn])
    return float(chosen.score(x[tried], labels[tried]))


def measured(x: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return the accuracy of every attribute in every fold."""
    return {a: [probe(x, y, *fold) for fold in folds(y)] for a, y in labels.items()}


def vectors(tool: Any, media: Media) -> tuple[np.ndarray, dict[str, float]]:
    """Return the vectors of an extractor for a folder, and the seconds of training and encoding."""
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
    """Return the vectors of `logmel` at 16 kHz."""
    tool = LogMel(rate=16000)
    return np.stack([tool.clip(*read_clip(media.path(row))) for row in range(len(media))])


def flat(media: Media) -> np.ndarray:
    """Return small pictures: grey values of 32 x 32 pixels, or of 16 x 16 pixels in all 16 frames of a clip."""
    if media.kind == "image":
        return decode(media, Pictures(32, 32, grey=True)).x.reshape(len(media), -1) / np.float32(255)
    return decode(media, Clips(16, 16)).x.mean(axis=2, dtype=np.float32).reshape(len(media), -1) / 255


def opened(name: str) -> tuple[Case, Media, dict[str, np.ndarray], np.ndarray]:
    """Return a case, its folder, the labels of every record, and the rows of the classifier."""
    case, folder = CASES[name], Path(os.environ["SORDINE_DATA"]) / name
    media = Media(folder, case.kind, read_metadata(folder))
    labels = {a: np.array([str(v) for v in media.records[a].to_pylist()]) for a in case.attributes}
    return case, media, labels, np.sort(np.random.default_rng(SEED).permutation(len(media))[:PROBED])


def measure(name: str) -> dict[str, Any]:
    """Measure one data set without labels, as plain data."""
    case, media, labels, rows = opened(name)
    found: dict[str, Any] = {"records": len(media), "kind": case.kind, "threads": torch.get_num_threads()}
    found["classes"] = {a: len(np.unique(y)) for a, y in labels.items()}
    found["majority"] = {a: float(np.unique(y, return_counts=True)[1].max() / len(y)) for a, y in labels.items()}
    known_labels = {a: y[rows] for a, y in labels.items()}
    found["probed"] = len(rows)
    x, found["seconds"] = vectors(case.encoder, media)
    found["accuracy"] = {"encoder": measured(x[rows], known_labels)}
    untrained, _ = vectors(replace(case.encoder, epochs=0), media)
    found["accuracy"]["encoder, untrained"] = measured(untrained[rows], known_labels)
    if case.kind == "audio":
        found["accuracy"]["logmel"] = measured(log_mel(media)[rows], known_labels)
    else:
        found["accuracy"]["pixels"] = measured(vectors(Pixels(), media)[0][rows], known_labels)
        found["accuracy"]["flat"] = measured(flat(media)[rows], known_labels)
    return found


def with_labels(name: str) -> dict[str, list[float]]:
    """Measure `encoder` trained with the preserved attribute's labels, on each fold's training part alone."""
    case, media, labels, rows = opened(name)
    known_labels = {a: y[rows] for a, y in labels.items()}
    found: dict[str, list[float]] = {}
    for learn, tried in folds(known_labels[case.preserved]):
        side = np.where(np.isin(np.arange(len(media)), rows[learn]), "train", "test")
        known = replace(media, records=media.records.append_column("split", pa.array(side)))
        x = vectors(replace(case.encoder, labels=case.preserved), known)[0][rows]
        for attribute, y in known_labels.items():
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
    """Return the page as Markdown."""
    columns = [c for c in TITLES if any(c in r["accuracy"] for r in results.values())]
    head = ["data set", "attribute", "classes", "largest class", *(TITLES[c] for c in columns)]
    top = TOP + LABELLED * ("encoder, labels" in columns)
    lines = [top, table_row(head), table_row(["---"] * len(head))]
    for name, found in results.items():
        for attribute in found["classes"]:
            cells = [name, attribute, str(found["classes"][attribute]), f"{found['majority'][attribute]:.3f}"]
            for column in columns:
                folds = found["accuracy"].get(column, {}).get(attribute)
                star = "*" if column == "encoder, labels" and attribute == found.get("preserved") else ""
                cells.append(f"{np.mean(folds):.3f}{star} ({np.std(folds):.3f})" if folds else "")
            lines.append(table_row(cells))
    lines += [COST, "| data set | records | training, s | encoding, s |", "| --- | --- | --- | --- |"]
    for name, found in results.items():
        lines.append(f"| {name} | {found['records']:,} | {found['seconds']['fit']} | {found['seconds']['encode']} |")
    return "\n".join(lines) + "\n"


TOP = """# Accuracy of a linear classifier on `encoder`

Made by `SORDINE_DATA=... python -m benchmarks.encoder`, from `benchmarks/results/encoder.jsonl`. Accuracy of
logistic regression on standardised features: mean over five stratified folds (and deviation between them). C is
chosen inside each training part from the same five values for all extractors. The classifier uses at most 3,000
records; the extractor is trained on all. Folds are random, so a person's or a speaker's records are on both sides.
The figures describe the vectors; they are not accuracies for new people.

- `encoder`, `pixels`: trained **without labels on the whole folder**, the test records included.
- untrained: `encoder` with `epochs=0`, that is the same blocks of a network with random weights, on the same
  components. The difference is the effect of training.
- `logmel`: at 16 kHz. flat pixels: the grey values of 32 x 32 pixels, or of 16 x 16 pixels in all 16 frames.
"""
LABELLED = """\
- `encoder`, labels: network and components trained on each fold's training part alone, with the labels of the
  attribute marked \\*.
"""
COST = """
Seconds on one thread of two cores with other work running: upper bounds. Training includes components.
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
    """Write the page, for all that has been measured."""
    results = {name: STORE.unit(name).read() for name in CASES if STORE.unit(name).exists()}
    PAGE.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
