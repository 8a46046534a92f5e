"""Measure one unit, an encoder and one decoder against it, and every other attack on the encoder once."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Store, Unit, basic_audit
from benchmarks.inversion.cases import (
    ATTACK,
    BASE,
    FIELDS,
    OURS,
    PERCEPTUAL,
    SEE,
    SEED,
    TRIED,
    Attack,
    Case,
    Fit,
    more,
)
from benchmarks.paper_measures import lda_score, mean_matthews, within_between
from sordine.attacks.reconstruction.decoder import DecoderOptions, judge, rebuild, train_decoder
from sordine.attacks.reconstruction.feature_attack import train_feature_attack
from sordine.attacks.reconstruction.white_box import invert
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.inversion.method import Inversion, InversionModifier
from sordine.methods.registry import load, make
from sordine.metrics.accuracy import majority
from sordine.metrics.pictures import cosine_similarity
from sordine.models.perceptual import Perceptual
from sordine.models.picture_classifier import PictureOptions, picture_outputs
from sordine.models.verification import Verification, face_similarity, train_verification
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

STORE = Store("inversion")
KEY = Key.of_seed(SEED)
SHOWN = 8
WHITE_BOX = 64


def unit_of(case: Case, what: Fit, attack: Attack | str) -> Unit:
    """Return the store of a unit's figures; `attack` can name another measurement of the encoder."""
    return STORE.unit(f"{case.name}--{what.name}--{attack if isinstance(attack, str) else attack.name}")


class Bench:
    """A data set with all that its units share: the public records, C, and the fitted encoders."""

    def __init__(self, case: Case, table: Table, work: Path) -> None:
        self.case, self.table, self.work = case, table, work
        self.train, test = table.part("train"), table.part("test")
        some = np.sort(KEY.order("tried", test.ids)[:TRIED])
        self.test = test.take(some)
        own = Inversion(**{k: v for k, v in FIELDS.items() if k == "public_share"})
        self.private, self.public = own.sides(self.train, Run(key=KEY))
        self.mean = np.asarray(self.public.x, np.float32).mean(0)
        self.network: Verification | None = None
        if case.identity is not None:
            self.network = train_verification(
                self.train,
                case.identity,
                PictureOptions(epochs=12),
                run=Run(seed=SEED, folder=self._folder("networks")),
            )
        self.memory: dict[Any, Any] = {}

    def _folder(self, name: str) -> Path:
        folder = self.work / self.case.name / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def task_of(self, what: Fit) -> tuple[str, ...]:
        return (str(self.case.single),) if what.single else self.case.task

    def modifier(self, what: Fit) -> InversionModifier:
        """Return the encoder of a fit, from its directory where it was fitted before."""
        folder = self.work / self.case.name / "encoders" / what.name
        if folder.exists():
            found = load(folder)
        else:
            table, pool = self.table, None
            if what.more:
                # X1 as before; X2 and the new pictures together.
                others = more(self.work)
                joined = np.concatenate([self.public.x, others.x])
                names = [*self.public.ids, *others.ids]
                pool = Table.of(joined, {}, ids=names, source="X2 and more faces")
                rows = np.isin(table.ids, np.concatenate([self.private.ids, table.part("test").ids]))
                table = table.take(rows)
            watched = tuple(a for a in table.y if a not in self.task_of(what))
            policy = Policy(preserve=self.task_of(what), watch=watched)
            start = time.process_time()
            method = make("inversion", {**FIELDS, **what.fields})
            run = Run(seed=what.seed, key=KEY, folder=self._folder("networks"))
            found = fit(table, policy, method, pool=pool, run=run)
            found.card.fit["seconds"] = time.process_time() - start
            found.save(folder)
        assert isinstance(found, InversionModifier)
        return found

    def perceptual(self) -> Perceptual:
        """Return g, public as VGG is: the network that the encoders of table 2 were trained with."""
        own = Inversion(**{**FIELDS, **SEE, "mu2": PERCEPTUAL}).settled()
        run = Run(seed=SEED, key=KEY, folder=self._folder("networks"))
        found = own.perceptual(self.private, Policy(preserve=self.case.task), run)
        assert found is not None
        return found

    def released(self, modifier: InversionModifier, table: Table) -> np.ndarray:
        return modifier.release(np.asarray(table.x), table.ids, KEY, workers=1)[0]


def measure_encoder(bench: Bench, what: Fit) -> None:
    """Measure task, feature-level attack and scatter of identities, which do not depend on a decoder."""
    unit = unit_of(bench.case, what, "encoder")
    if unit.exists():
        return
    modifier = bench.modifier(what)
    z, tried = bench.released(modifier, bench.public), bench.released(modifier, bench.test)
    said = modifier.predict(torch.from_numpy(tried))
    task = bench.task_of(what)
    truths, guesses = [bench.test.y[a] for a in task], [said[a].argmax(1).numpy() for a in task]
    figures: dict[str, Any] = {
        "fields": modifier.card.fields,
        "shape": list(modifier.output_shape),
        "mcc": mean_matthews(truths, guesses),
        "mcc_each": {a: mean_matthews([t], [g]) for a, t, g in zip(task, truths, guesses, strict=True)},
        "fit": modifier.card.fit,
        "records": {"private": len(bench.private), "public": len(bench.public), "tried": len(bench.test)},
        "seed": what.seed,
    }
    if bench.network is not None and bench.case.identity is not None:
        c, wanted = (picture_outputs(bench.network, t.x) for t in (bench.public, bench.test))
        attack = train_feature_attack(z, c, steps=ATTACK["steps"], run=Run(seed=what.seed))
        figures["feature_similarity"] = cosine_similarity(picture_outputs(attack, tried), wanted)
        figures["feature_baseline"] = cosine_similarity(np.broadcast_to(c.mean(0), wanted.shape), wanted)
        people = bench.test.y[bench.case.identity]
        within, between = within_between(tried.reshape(len(tried), -1), people)
        figures |= {"within": within, "between": between, "lda": lda_score(tried.reshape(len(tried), -1), people)}
        pixels = np.asarray(bench.test.x, np.float32).reshape(len(people), -1)
        figures["lda_pixels"] = lda_score(pixels, people)
        right = picture_outputs(bench.network.classify, bench.test.x).argmax(1) == people
        figures["verification_accuracy"] = float(right.mean())
    if tried.ndim == 2:
        np.savez_compressed(bench._folder("shown") / f"{what.name}.z.npz", z=tried)
    unit.write(figures)


def measure(bench: Bench, what: Fit, attack: Attack) -> None:
    """Measure a fresh decoder trained on the attacker's pairs, on T."""
    unit = unit_of(bench.case, what, attack)
    if unit.exists():
        return
    modifier = bench.modifier(what)
    x, z = np.asarray(bench.public.x), bench.released(modifier, bench.public)
    if attack.more:
        others = more(bench.work)
        x, z = np.concatenate([x, others.x]), np.concatenate([z, bench.released(modifier, others)])
    see = bench.perceptual() if attack.mu2 else None
    start = time.process_time()
    decoder = train_decoder(
        z, x, DecoderOptions(attack.mu1, attack.mu2, **ATTACK), perceptual=see, run=Run(seed=what.seed)
    )
    spent = time.process_time() - start
    rebuilt = rebuild(decoder, bench.released(modifier, bench.test))
    found = judge(attack.name, np.asarray(bench.test.x), rebuilt, bench.mean, network=bench.network)
    np.savez_compressed(
        bench._folder("shown") / f"{what.name}--{attack.name}.npz", x=rebuilt[:SHOWN].astype(np.float32)
    )
    figures = {**asdict(found), "pairs": len(x), "seconds": spent, "attack": asdict(attack) | ATTACK}
    figures["face_baseline"] = blind_face(bench)
    unit.write(figures)


def blind_face(bench: Bench) -> float | None:
    """Return the face similarity of the mean picture, the baseline."""
    if bench.network is None:
        return None
    x = np.asarray(bench.test.x)
    return float(face_similarity(bench.network, x, np.broadcast_to(bench.mean, x.shape)).mean())


def measure_labels(bench: Bench) -> None:
    """Measure a decoder of the task's true classes alone, the part that serving the task reveals."""
    unit = STORE.unit(f"{bench.case.name}--labels--plain")
    if unit.exists():
        return

    def hot(table: Table) -> np.ndarray:
        columns = [np.eye(len(table.classes[a]), dtype=np.float32)[table.y[a]] for a in bench.case.task]
        return np.concatenate(columns, 1)

    decoder = train_decoder(hot(bench.public), np.asarray(bench.public.x), DecoderOptions(**ATTACK), run=Run(seed=SEED))
    rebuilt = rebuild(decoder, hot(bench.test))
    figures = asdict(judge("labels", np.asarray(bench.test.x), rebuilt, bench.mean, network=bench.network))
    if bench.network is not None:
        c, wanted = (picture_outputs(bench.network, t.x) for t in (bench.public, bench.test))
        attack = train_feature_attack(hot(bench.public), c, steps=ATTACK["steps"], run=Run(seed=SEED))
        figures["feature_similarity"] = cosine_similarity(picture_outputs(attack, hot(bench.test)), wanted)
    unit.write(figures)


def measure_white_box(bench: Bench, what: Fit) -> None:
    """Measure white-box inversion of a few records, and the decoder on the same ones."""
    unit = unit_of(bench.case, what, "white-box")
    if unit.exists():
        return
    modifier = bench.modifier(what)
    few = bench.test.take(np.arange(WHITE_BOX))
    rebuilt = invert(modifier, bench.released(modifier, few), bench.mean)
    unit.write(asdict(judge("white-box", np.asarray(few.x), rebuilt, bench.mean, network=bench.network)))
    np.savez_compressed(bench._folder("shown") / f"{what.name}--white-box.npz", x=rebuilt[:SHOWN])


def measure_audit(bench: Bench, what: Fit) -> None:
    """Run the basic audit of z: every attribute by attackers trained on released records."""
    unit = unit_of(bench.case, what, "audit")
    if unit.exists():
        return
    modifier = bench.modifier(what)
    released = transform(modifier, bench.table, KEY)
    names = [a for a in (bench.case.identity, *bench.case.task) if a]
    table = replace(bench.table, y={a: bench.table.y[a] for a in names})
    policy = Policy(preserve=bench.case.task, watch=tuple(a for a in names if a not in bench.case.task))
    start = time.process_time()
    report = audit(
        table,
        released,
        policy,
        modifier=modifier,
        key=KEY,
        budget=basic_audit(settings=("A",), max_records=1200, cloud=0),
        options=AuditOptions(pretrained=False, memory=bench.memory),
        run=Run(workers=1),
    )
    figures = {
        "headlines": [asdict(h) for h in report.headlines],
        "made": {k: report.made.get(k) for k in ("fitted", "unseen", "families", "settings", "seeds")},
        "guess": {a: majority(table.y[a]) for a in names},
        "seconds": time.process_time() - start,
    }
    unit.write(figures)


def audited() -> tuple[Fit, Fit]:
    """Return the encoders of the basic audit."""
    return BASE, OURS
