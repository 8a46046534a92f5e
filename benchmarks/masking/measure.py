"""Measure one row on one data set: face similarity, task accuracy and retrained attackers."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import MutableMapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Store, Unit, basic_audit
from benchmarks.masking.cases import FIELDS, SEED, Case, Row, load
from sordine.data.media.image import read_picture, resize
from sordine.data.media.obscure.styles import Block, BlurCentre
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.masking.method import MaskingModifier
from sordine.methods.registry import load as load_modifier
from sordine.methods.registry import make
from sordine.metrics.accuracy import majority
from sordine.models.picture_classifier import (
    PictureClassifier,
    PictureOptions,
    picture_outputs,
    train_picture_classifier,
)
from sordine.models.pretrained import FACENET_URL, weights_file
from sordine.models.verification import (
    LoadedVerification,
    Verification,
    face_similarity,
    load_verification,
    train_verification,
)
from sordine.policy import Policy
from sordine.run import Run

STORE = Store("masking")
KEY = Key.of_seed(SEED)
READER = {"epochs": 6, "width": 16}  # trained on originals, never retrained
RETRAINED = {"epochs": 8, "width": 8}  # trained on released records
VERIFICATION = {"epochs": 12, "width": 16}
AUDITED = 1000  # records on each side for attackers
FAMILIES = ("logistic", "resnet")
SHOWN = 6  # records of a contact sheet


def unit_of(case: Case, row: Row | str) -> Unit:
    """Return the store of a row's figures on a data set."""
    name = row if isinstance(row, str) else row.name
    made = "" if isinstance(row, str) or row.kind != "masking" else repr(sorted(FIELDS.items()))
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in name)
    return STORE.unit(f"{case.name}--{plain}-{hashlib.blake2b((name + made).encode(), digest_size=3).hexdigest()}")


class Bench:
    """A case with its table, and the networks for all of its rows, each trained once and stored in `work`."""

    def __init__(self, case: Case, work: Path) -> None:
        self.case, self.work = case, work / case.name
        self.work.mkdir(parents=True, exist_ok=True)
        self.table = load(case, work)
        self.train, self.test = self.table.part("train"), self.table.part("test")
        self.memory: MutableMapping[Any, Any] = {}

    def reader(self, task: str) -> PictureClassifier:
        """Return the task's fixed classifier, trained on original training pictures."""
        return train_picture_classifier(
            self.train, task, PictureOptions(**READER), run=Run(seed=SEED, folder=self.work)
        )

    @cached_property
    def verification(self) -> Verification | LoadedVerification | None:
        """Return FaceNet where it has weights, else a network of the case's people; None without identities."""
        if not self.case.identity:
            return None
        try:
            weights_file("facenet", None, FACENET_URL)
        except SordineError:
            return train_verification(
                self.train,
                self.case.identity,
                PictureOptions(**VERIFICATION),
                run=Run(seed=SEED, folder=self.work),
            )
        return load_verification()

    # ---------------------------------------- treatments

    def modifier(self, row: Row) -> MaskingModifier:
        """Return the fitted masker of a row, from `work` where it has been fitted."""
        folder = self.work / unit_of(self.case, row).name
        if not folder.exists():
            method = make("masking", {**FIELDS, **row.fields})
            table = dataclasses.replace(self.table, y={row.task: self.table.y[row.task]})
            made = fit(table, Policy((), (row.task,)), method, run=Run(seed=row.seed, key=KEY))
            made.save(folder)
        found = load_modifier(folder)
        assert isinstance(found, MaskingModifier)
        return found

    def released(self, row: Row, modifier: MaskingModifier | None) -> np.ndarray:
        """Return every picture of the table after the row's treatment: (n, c, h, w) uint8."""
        x = np.asarray(self.table.x)
        if modifier is not None:
            return modifier.release(x, self.table.ids, KEY, workers=1)[0]
        if row.kind == "folder":
            return np.stack([self.left_behind(Path(row.folder), name) for name in self.table.ids])
        if row.kind == "original":
            return x
        tool = (Block if row.kind == "block" else BlurCentre)(**row.fields)
        return np.stack([np.moveaxis(tool.apply(np.moveaxis(p, 0, -1), lambda n: np.zeros(n)), -1, 0) for p in x])

    def left_behind(self, folder: Path, name: str) -> np.ndarray:
        """Return an anonymiser's picture of this record, at the table's size: (c, h, w)."""
        channels, height, width = self.table.shape
        picture = np.moveaxis(resize(read_picture(folder / name), height, width), -1, 0)
        return picture if channels == 3 else picture.mean(0, keepdims=True).round().astype(np.uint8)

    # ---------------------------------------- measurements

    def tasks(self, row: Row) -> tuple[str, ...]:
        """Return the tasks of a row: its own, or all of the case."""
        return (row.task,) if row.task else tuple(self.case.tasks)

    def judge(self, row: Row, x: np.ndarray) -> dict[str, Any]:
        """Return face similarity and task accuracies of unseen records, by fixed and retrained classifiers."""
        unseen, known = x[~self.split], x[self.split]
        out: dict[str, Any] = {"tasks": {}}
        for task in self.tasks(row):
            y = self.test.y[task]
            after = dataclasses.replace(self.train, x=known)
            retrained = train_picture_classifier(after, task, PictureOptions(**RETRAINED), run=Run(seed=SEED + 1))
            out["tasks"][task] = {
                "fixed": accuracy(self.reader(task), unseen, y),
                "retrained": accuracy(retrained, unseen, y),
                "guess": majority(y),
                "records": len(y),
            }
        if self.verification is not None:
            embedded = [picture_outputs(self.verification, p) for p in (self.test.x, unseen)]
            out["similarity"] = mean_cosine(*embedded)
            third = face_similarity(self.verification, self.test.x, unseen)
            out["similarity_layer3"] = float(third.mean())
        return out

    @cached_property
    def split(self) -> np.ndarray:
        """(n,) bool: training records."""
        assert self.table.split is not None
        return self.table.split

    def attacked(self, x: np.ndarray) -> dict[str, Any]:
        """Run the basic audit of the audited attributes."""
        told = dataclasses.replace(self.table, y={a: self.table.y[a] for a in self.case.audited})
        released = dataclasses.replace(self.table, x=x, y={}, classes={}, group=None)
        report = audit(
            told,
            released,
            Policy(),
            budget=basic_audit(families=FAMILIES, settings=("A",), max_records=AUDITED, cloud=0),
            options=AuditOptions(pretrained=False, memory=self.memory),
            run=Run(workers=1),
        )
        made = {k: report.made[k] for k in ("fitted", "unseen")}
        return {"headlines": [dataclasses.asdict(h) for h in report.headlines], **made}

    def measure(self, row: Row) -> None:
        """Measure all figures of a row, and write them to the store and the pictures of a contact sheet to `work`.

        Both releases of a masker are measured; attackers get the hard one.
        """
        start = time.process_time()
        modifier = self.modifier(row) if row.kind == "masking" else None
        fitted = time.process_time() - start
        figures: dict[str, Any] = {"case": self.case.name, "what": row.name}
        if modifier is None:
            x = self.released(row, None)
            figures |= self.judge(row, x)
        else:
            figures["mask"] = {k: modifier.card.fit[k] for k in ("mask_kept", "mask_withheld", "predictor_accuracy")}
            figures["terms"] = {k: v[-1] for k, v in modifier.card.fit["terms"].items()}
            for release in ("soft", "hard"):
                modifier.hard = release == "hard"
                x = self.released(row, modifier)
                figures[release] = self.judge(row, x)
                figures[release]["own"] = own_accuracy(modifier, x[~self.split], row.task, self.test.y[row.task])
                np.save(self.shown(row, release), x[~self.split][:SHOWN])
            modifier.hard = False
            with torch.no_grad():
                masks = modifier.pictures(self.test.batch(slice(0, SHOWN)), torch.zeros(SHOWN, 0))
            np.save(self.shown(row, "mask"), masks["mask"].numpy())
        if row.kind != "masking":
            np.save(self.shown(row, "soft"), x[~self.split][:SHOWN])
        if row.audited:
            figures["audit"] = self.attacked(x)
        figures |= {"records": [len(self.train), len(self.test)], "fit_seconds": round(fitted, 1)}
        figures["seconds"] = round(time.process_time() - start, 1)
        unit_of(self.case, row).write(figures)

    def shown(self, row: Row, what: str) -> Path:
        """Return the file of a row's first unseen pictures, for the contact sheets."""
        return self.work / f"{unit_of(self.case, row).name}.{what}.npy"

    def reference(self) -> dict[str, Any]:
        """Return the scale of face similarity: different people, the same person and black pictures.

        It includes the accuracy of the verification network for the people of unseen pictures.
        """
        assert self.verification is not None
        network, x = self.verification, np.asarray(self.test.x)
        y = self.test.y[self.case.identity]
        order = np.random.default_rng(SEED).permutation(len(x))
        out: dict[str, Any] = {}
        for name, say in (("similarity", network), ("similarity_layer3", network.third_layer)):
            here = picture_outputs(say, x)
            same = y == y[order]
            out[name] = {
                "others": mean_cosine(here[~same], here[order][~same]),
                "same person": mean_cosine(here[same], here[order][same]),
                "black": mean_cosine(here, picture_outputs(say, np.zeros_like(x[:1])).repeat(len(x), 0)),
            }
        if isinstance(network, Verification):
            out["knows"] = float((picture_outputs(network.classify, x).argmax(1) == y).mean())
        out["network"] = type(network).__name__
        return out


def accuracy(reader: PictureClassifier, x: np.ndarray, y: np.ndarray) -> float:
    """Return a classifier's accuracy on the labelled pictures."""
    known = y >= 0
    return float((picture_outputs(reader, x[known]).argmax(1) == y[known]).mean())


def own_accuracy(modifier: MaskingModifier, x: np.ndarray, task: str, y: np.ndarray) -> float:
    """Return the accuracy of the method's own predictor on released records."""
    said = picture_outputs(lambda v: modifier.predict(v)[task], x)
    return float((said.argmax(1) == y)[y >= 0].mean())


def mean_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean over records of the cosine of two sets of features (n, d)."""
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(norms, 1e-12)).mean())


def figures(case: Case, row: Row | str) -> dict[str, Any] | None:
    """Return the measured figures; None where there are none."""
    unit = unit_of(case, row)
    return unit.read() if unit.exists() else None
