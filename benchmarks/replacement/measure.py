"""Measure one unit: fit, release, the paper's measures, the reversal attack and the basic audit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmarks.harness import Store, Unit, basic_audit
from benchmarks.paper_measures import attribute_correlation, privacy_loss, success, utility_score_plane
from benchmarks.replacement.cases import DATA, PICTURE_FIELDS, PLANE_FIELDS, STARTS, Fit, Plane, load, plane_of
from benchmarks.replacement.reversal import reverse
from sordine.attacks import resnet as pictures
from sordine.attacks.base import Split, Target
from sordine.attacks.logistic import Logistic
from sordine.attacks.mlp import TRAINING, Task, train_together
from sordine.attacks.principal_axes import principal_axes
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.methods.replacement.modifier import ReplacementModifier
from sordine.metrics.accuracy import accuracy, majority
from sordine.metrics.nag import wilson
from sordine.models.picture_classifier import (
    PictureClassifier,
    PictureOptions,
    picture_outputs,
    train_picture_classifier,
)
from sordine.policy import Policy
from sordine.run import Run

STORE = Store("replacement")
SEED = 0
FIXED_EPOCHS = 10
VALIDATION = 4
SHOWN = 8  # records on a sheet
POINTS = 600  # of a scatter
COMMON = basic_audit(families=("logistic", "resnet"), settings=("A",))


def unit_of(what: Plane | Fit | str) -> Unit:
    """Return the store of a unit's figures."""
    return STORE.unit(what if isinstance(what, str) else what.name)


def keep(what: Plane | Fit | str, found: dict[str, Any]) -> None:
    """Store a unit's figures."""
    unit_of(what).write(found)


def own_rows(table: Table) -> Split:
    """Return the attacker's records: the training side, every fourth for validation; the others are the test side."""
    assert table.split is not None
    own = np.flatnonzero(table.split)
    held = np.arange(len(own)) % VALIDATION == VALIDATION - 1
    return Split(own[~held], own[held], np.flatnonzero(~table.split))


def interval(share: float, records: int) -> dict[str, float]:
    """Return a share with its 95 % interval."""
    low, high = wilson(share * records, records)
    return {"share": share, "low": low, "high": high, "records": records}


# ---------------------------------------- the plane


def measure_plane(what: Plane) -> dict[str, Any]:
    """Measure both criteria on the Gaussians of one run: retrained attackers on f (likelihood), f and g after f."""
    table, key = plane_of(what.run), Key.of_seed(what.run)
    trial = own_rows(table)
    policy = Policy(("secret",), (), ())
    found: dict[str, Any] = {"epsilon": what.epsilon, "run": what.run}
    if what.epsilon == 0.1:
        found["original"] = read_plane(np.asarray(table.x), table, trial)
    shown: dict[str, Any] = {}
    for criterion in ("likelihood", "entropy"):
        variant = "filter" if criterion == "likelihood" else "both"
        start = time.process_time()
        settings = {**PLANE_FIELDS, "criterion": criterion, "variant": variant, "epsilon": what.epsilon}
        modifier = fit(table, policy, make("replacement", settings), run=Run(seed=what.run, key=key))
        seconds = time.process_time() - start
        assert isinstance(modifier, ReplacementModifier)
        x_filtered, x_new, drawn = released_by(modifier, table, key)
        releases = {criterion: x_filtered} | ({"ours": x_new} if variant == "both" else {})
        for name, x in releases.items():
            found[name] = read_plane(x, table, trial) | {
                "utility": utility_score_plane(np.asarray(table.x)[trial.test], x[trial.test]),
                "distance": float(np.linalg.norm(x - table.x, axis=1)[trial.test].mean()),
                "cpu_seconds": seconds,
            }
            shown[name] = x[trial.test][:POINTS].round(3).tolist()
        if variant == "both":
            # The best fixed classifier of the originals is the line x0 = x1.
            read = (x_new[trial.test, 0] > x_new[trial.test, 1]).astype(np.int64)
            found["ours"]["success"] = success(read, drawn[trial.test, 0])
    if what.run == 0 and what.epsilon == 2.0:
        shown["original"] = np.asarray(table.x)[trial.test][:POINTS].round(3).tolist()
        found["shown"] = shown | {"secret": table.y["secret"][trial.test][:POINTS].tolist()}
    return found


def read_plane(x: np.ndarray, table: Table, trial: Split) -> dict[str, Any]:
    """Return the better of a retrained perceptron and logistic regression, by the attacker's own records."""
    labels = table.y["secret"]
    (perceptron,) = train_together(
        x, [Task(labels, 2, trial.train, trial.validation, SEED)], options=dataclasses.replace(TRAINING, steps=1500)
    )
    line = LogisticRegression(max_iter=500).fit(x[trial.train], labels[trial.train])
    reads: dict[str, Callable[[np.ndarray], np.ndarray]] = {"mlp": perceptron, "logistic": line.predict}
    best = max(reads, key=lambda name: accuracy(labels[trial.validation], reads[name](x[trial.validation])))
    share = privacy_loss(labels[trial.test], reads[best](x[trial.test]))
    return interval(share, len(trial.test)) | {"attacker": best}


# ---------------------------------------- pictures


@torch.no_grad()
def released_by(modifier: ReplacementModifier, table: Table, key: Key) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x' (of the last filter), x'' and s' of all records, with the noise of a release under this key."""
    noise = np.clip(key.uniform("release", table.ids, modifier.noise), 2.0**-24, 1 - 2.0**-24).astype(np.float32)
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    drawn: list[np.ndarray] = []
    for start in range(0, len(table), modifier.block):
        rows = slice(start, start + modifier.block)
        x, z = table.batch(rows), torch.from_numpy(noise[rows])
        first.append(_as_released(modifier.filtered(x, z), table))
        second.append(_as_released(modifier(x, z).x, table))
        if modifier.every[-1].generator is not None:
            drawn.append(modifier.drawn(z).numpy())
    return np.concatenate(first), np.concatenate(second), np.concatenate(drawn) if drawn else np.zeros((len(table), 0))


def _as_released(x: Tensor, table: Table) -> np.ndarray:
    return np.clip(np.rint(x.numpy()), 0, 255).astype(np.uint8) if table.pictures else x.numpy()


def worst(release: dict[str, Any], line: dict[str, Any]) -> None:
    """Set the privacy loss of an audited release to the accuracy of its best attacker."""
    read = release["retrained"]
    if line["after"] > read["share"]:
        release["retrained"] = interval(line["after"], read["records"]) | {
            "attacker": f"{line['attacker_after']}, audit"
        }


class Bench:
    """A data set with its fixed classifiers and the figures of its originals, made once."""

    def __init__(self, data: str, secret: str, work: Path) -> None:
        loaded = load(data, secret, work)
        if loaded is None:
            raise LookupError(data)
        self.name, self.data, self.secret, self.work, self.table = data, DATA[data], secret, work, loaded
        self.trial = own_rows(loaded)
        self.key = Key.of_seed(SEED)
        self.memory: MutableMapping[Any, Any] = {}
        self.names = (secret, *(a for a in self.data.utility if a != secret))
        if self.data.source == "" and secret != "smiling":
            self.names = (*self.names, "smiling")
        self.work.mkdir(parents=True, exist_ok=True)
        train = loaded.part("train")
        self.fixed: dict[str, PictureClassifier] = {
            name: train_picture_classifier(
                train, name, PictureOptions(epochs=FIXED_EPOCHS), run=Run(seed=SEED, folder=work)
            )
            for name in self.names
        }

    def reference(self) -> dict[str, Any]:
        """Measure the originals: fixed classifiers, and the attacker that is retrained on releases."""
        x, tried = self.table.x, self.trial.test
        y = self.table.y
        read = {name: self.read(name, x[tried]) for name in self.names}
        known = {name: int((y[name][tried] >= 0).sum()) for name in self.names}
        return {
            "sentence": self.data.sentence,
            "records": [len(self.trial.train) + len(self.trial.validation), len(tried)],
            "fixed": {n: interval(accuracy(y[n][tried], p), known[n]) for n, p in read.items()},
            "guess": {n: majority(y[n][tried]) for n in self.names},
            "classes": {n: list(self.table.classes[n]) for n in self.names},
            "retrained": self.retrained(np.asarray(x)),
            # Of the training records, as in table 4.
            "labels": self.correlated({n: y[n][self.table.split] for n in self.names}),
        }

    def read(self, name: str, x: np.ndarray) -> np.ndarray:
        """Return the predictions of a fixed classifier."""
        return picture_outputs(self.fixed[name], x).argmax(1)

    def correlated(self, classes: dict[str, np.ndarray]) -> dict[str, float]:
        """Return Pearson's correlation of the secret with every other attribute.

        For more than two classes it is the largest correlation with one class against the others.
        """
        out = {}
        for name, codes in classes.items():
            if name == self.secret:
                continue
            kinds = range(1, 2) if len(self.table.classes[name]) == 2 else range(len(self.table.classes[name]))
            owns = (
                range(1, 2)
                if len(self.table.classes[self.secret]) == 2
                else range(len(self.table.classes[self.secret]))
            )
            mine = classes[self.secret]
            found = [
                attribute_correlation(np.where(mine < 0, -1, mine == s), np.where(codes < 0, -1, codes == c))
                for s in owns
                for c in kinds
            ]
            out[name] = max(found, key=abs)
        return out

    def retrained(self, x: np.ndarray) -> dict[str, Any]:
        """Return the privacy loss: the better of the audit's residual network and its logistic regression.

        Both are trained on released training records and tested on the other released records.
        """
        y, t, classes = self.table.y[self.secret], self.trial, len(self.table.classes[self.secret])
        own, tried = t.train[y[t.train] >= 0], t.test[y[t.test] >= 0]
        reader = pictures.train_resnet(x, y, classes, own, t.validation, run=Run(seed=SEED + 1))
        trial = Split(t.train, t.validation, tried)
        (line,) = Logistic().fit_predict(principal_axes(x)(x), trial, [Target(y, classes)], Run(seed=SEED))
        read = {"resnet": reader.logits(x[tried]).argmax(1), "logistic": line}
        best = max(read, key=lambda name: privacy_loss(y[tried], read[name]))
        return interval(privacy_loss(y[tried], read[best]), len(tried)) | {"attacker": best}

    def measure(self, what: Fit) -> dict[str, Any]:
        """Measure one fit."""
        settings = {
            **PICTURE_FIELDS,
            "variant": what.variant,
            "epsilon": what.epsilon,
            "epochs": self.data.epochs,
            **STARTS[what.start],
            **what.fields,
        }
        policy = Policy((self.secret,), (), self.names[1:])
        start = time.process_time()
        folder = self.work / what.name
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(seed=what.seed, key=self.key, folder=folder)
        modifier = fit(self.table, policy, make("replacement", settings), run=run)
        seconds = time.process_time() - start
        assert isinstance(modifier, ReplacementModifier)
        modifier.save(folder / "modifier", force=True)
        x_filtered, x_new, drawn = released_by(modifier, self.table, self.key)
        found: dict[str, Any] = {
            "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()},
            "cpu_seconds": seconds,
            "fit": {k: v for k, v in modifier.card.fit.items() if isinstance(v, float)},
            "terms": modifier.card.fit["stages"][self.secret],
        }
        releases = {"filter": x_filtered} if what.variant in ("filter", "both") else {}
        if what.variant != "filter":
            releases[what.variant] = x_new
        for name, x in releases.items():
            found[name] = self.looked_at(x, None if name == "filter" else drawn[:, 0])
        if what.reversed:
            found["reversal"] = self.reversed(x_new)
        if what.audited:
            found["audit"] = self.audited(x_new, policy)
            worst(found[what.variant], found["audit"])
        self.sheet(modifier, what)
        return found

    def looked_at(self, x: np.ndarray, drawn: np.ndarray | None) -> dict[str, Any]:
        """Measure a release: privacy loss, fixed classifiers, success, correlations, distortion (in [0, 1])."""
        tried, y = self.trial.test, self.table.y
        read = {name: self.read(name, x[tried]) for name in self.names}
        moved = (x[tried].astype(np.float32) - self.table.x[tried]) / 255
        out: dict[str, Any] = {
            "retrained": self.retrained(x),
            "fixed": {n: accuracy(y[n][tried], p) for n, p in read.items()},
            "mean_square": float(np.square(moved).mean()),
            "correlations": self.correlated(read),
        }
        out["utility"] = float(np.mean([out["fixed"][n] for n in self.names[1:]]))
        if drawn is not None:
            out["success"] = interval(success(read[self.secret], drawn[tried]), len(tried))
        return out

    def reversed(self, x: np.ndarray) -> dict[str, Any]:
        """Run section 6's attack."""
        attack = reverse(
            self.table.x,
            x,
            self.table.y[self.secret],
            self.trial,
            lambda r: picture_outputs(self.fixed[self.secret], r),
            seed=SEED,
        )
        return {k: v for k, v in dataclasses.asdict(attack).items() if k != "predicted"}

    def audited(self, x: np.ndarray, policy: Policy) -> dict[str, Any]:
        """Return the basic audit's line on the secret."""
        released = dataclasses.replace(self.table, x=x, y={}, classes={})
        report = audit(
            self.table,
            released,
            dataclasses.replace(policy, watch=()),
            budget=COMMON,
            options=AuditOptions(pretrained=False, memory=self.memory),
        )
        (line,) = [h for h in report.headlines if h.attribute == self.secret]
        names = ("before", "after", "guess", "nag", "low", "high", "attacker_before", "attacker_after", "sentence")
        return {n: getattr(line, n) for n in names}

    @torch.no_grad()
    def sheet(self, modifier: ReplacementModifier, what: Fit) -> None:
        """Write a contact sheet of some test records to `work`; only those of synthetic faces go to the page."""
        from sordine.data.media.contact_sheet import contact_sheet

        rows = self.trial.test[:SHOWN]
        x = self.table.batch(rows)
        noise = np.clip(self.key.uniform("release", self.table.ids[rows], modifier.noise), 2.0**-24, 1 - 2.0**-24)
        shown = {"original": x, **modifier.pictures(x, torch.from_numpy(noise.astype(np.float32)))}
        names = self.table.classes[self.secret]
        captions = [c.replace("s' = ", "s'=") if "s' =" not in c else f"s'={names[int(c[-1])]}" for c in shown]
        contact_sheet(self.work / f"{what.name}.png", captions, [v.numpy() for v in shown.values()])
