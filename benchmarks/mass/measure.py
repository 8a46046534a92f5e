"""Measure one row on one data set: fit or obscure, then the paper's protocol and retrained attackers."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from benchmarks.harness import Store, Unit, basic_audit
from benchmarks.mass.cases import Case, folder_of, paths, views_of
from benchmarks.mass.paper import Config, Raw
from benchmarks.paper_measures import cmap, mean_square
from sordine.data.layouts.registry import open_media
from sordine.data.media.obscure.folder import obscure_folder
from sordine.data.statistics import identity
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.features.extract import ExtractOptions, extract
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.metrics.accuracy import majority, prediction_entropy
from sordine.metrics.distortion import l2_distance
from sordine.models.classifier import accuracy_of, outputs, train_classifier
from sordine.models.training import Views
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

STORE = Store("mass")
SEED = 0
SUBSTITUTION = "substitution"


def unit_of(case: Case, what: Config | Raw | str) -> Unit:
    """Return the store of a row's figures on a data set; rows of the same fit share them."""
    name = what if isinstance(what, str) else what.name
    # File names cannot contain asterisks and similar characters; two rows never share one.
    plain = "".join(c if c.isalnum() or c in "-._" else "-" for c in name)
    return STORE.unit(f"{case.name}--{plain}-{hashlib.blake2b(name.encode(), digest_size=3).hexdigest()}")


def original(case: Case, table: Table, key: Key) -> Table:
    """Return the table with its split: the data set's own, else 75/25, stratified over its first three attributes."""
    return table if table.split is not None else table.with_split(Policy(case.all[:2], case.all[2:3], ()), key)


def fitted(case: Case, what: Config | str, table: Table, work: Path, key: Key) -> tuple[Any, Table, float]:
    """Return a modifier (MaSS in the row's configuration, or substitution), its release and the seconds of the fit."""
    start = time.perf_counter()
    folder = work / f"{case.name}-pretrained"
    folder.mkdir(parents=True, exist_ok=True)
    for unfinished in folder.glob("mass-*"):
        unfinished.unlink()  # every row is fitted from its start; only the pretrained models are shared
    if isinstance(what, str):
        policy = dataclasses.replace(case.policy(_suppressed(case), ()), preserve=case.keeps, watch=())
        policy = dataclasses.replace(policy, watch=tuple(a for a in case.all if a not in policy.named))
        modifier = fit(table, policy, make(what, dict(case.substitution)), run=Run(seed=SEED, key=key))
    else:
        settings: dict[str, Any] = {"preset": case.preset, **case.fields, **what.fields}
        if not what.agnostic:
            settings["w_agnostic"] = 0.0
        run = Run(seed=SEED, key=key, folder=folder)
        views = _lazily(case, work) if what.agnostic else None
        method = make("mass", settings)
        modifier = fit(table, case.policy(what.suppress, what.preserve), method, raw_views=views, run=run)
    return modifier, transform(modifier, table, key), time.perf_counter() - start


def _suppressed(case: Case) -> tuple[str, ...]:
    return ("s",) if "s" in case.slots else ("s1",)


def _lazily(case: Case, work: Path) -> Any:
    def views(table: Table) -> Views:
        made = views_of(case, work)
        assert made is not None
        return made(table)

    return None if case.name == "pa_hmdb" else views


def obscured(case: Case, what: Raw | str, table: Table, work: Path, key: Key) -> Table:
    """Return a baseline's table: noisy vectors, or obscured media (or an anonymiser's) extracted as the originals."""
    if isinstance(what, Raw) and what.how == "noise":
        modifier = fit(
            table, case.policy(_suppressed(case), ()), make("noise", {**what.options, "unit": "raw"}), run=Run(key=key)
        )
        return transform(modifier, table, key)
    media = open_media(folder_of(case), case.layout, dict(case.layout_options))
    if isinstance(what, Raw):
        folder = work / f"{case.name}-{what.name.replace(' ', '-')}"
        if not folder.exists():
            obscure_folder(media, folder, what.how, what.options, key=key)
        labels = True
    else:
        folder, labels = Path((paths().get("left_behind") or {})[what]), False
    after = folder.with_name(f"{folder.name}.parquet")
    if not after.exists():
        learnt = work / f"{case.name}.{case.extractor}.safetensors"
        weights = learnt if learnt.exists() else (paths().get("weights") or {}).get(case.extractor)
        options = ExtractOptions(options=dict(case.options), weights=weights, labels=labels, skip_bad=True)
        extract(folder, case.extractor, after, options)
    found = Table.read(after)
    place = {name: i for i, name in enumerate(found.ids)}
    lost = [name for name in table.ids if name not in place]
    if lost:
        raise SordineError(f"{folder} lacks {lost[0]} ({len(lost)} of {len(table)}): a row needs every record")
    x = np.asarray(found.x)[[place[name] for name in table.ids]]
    return dataclasses.replace(table, x=x, y={}, classes={}, group=None)


def judged(case: Case, see: Any, table: Table, released: Table, work: Path) -> dict[str, Any]:
    """Run the paper's protocol: classifiers of original training records, never retrained, on the other records."""
    train, test, after = table.part("train"), table.part("test"), released.part("test")
    out: dict[str, Any] = {}
    for name in case.all:
        judge = train_classifier(train, name, prepare=see, run=Run(seed=SEED, folder=work / f"{case.name}-pretrained"))
        before, now = (outputs(judge, t.x, prepare=s) for t, s in ((test, see), (after, identity)))
        known = test.y[name] >= 0
        out[name] = {
            "before": accuracy_of(before, test.y[name]),
            "after": accuracy_of(now, test.y[name]),
            "guess": majority(test.y[name][known]),
            "records": int(known.sum()),
            "entropy_before": prediction_entropy(softmax(before[known], 1)),
            "entropy_after": prediction_entropy(softmax(now[known], 1)),
            "_scores": (before, now),
        }
    return out


def together(case: Case, found: Mapping[str, Any], test: Table) -> dict[str, float]:
    """Return cMAP over all classes of the suppressed attributes: before, after, and the baseline of random scores."""
    columns = {}
    for which in (0, 1):
        truth, scores = [], []
        for name in case.attributes(_suppressed(case)):
            codes, logits = test.y[name], found[name]["_scores"][which]
            probable = softmax(logits, 1)
            classes = range(logits.shape[1]) if logits.shape[1] > 2 else (1,)
            truth += [np.where(codes < 0, -1, codes == c) for c in classes]
            scores += [probable[:, c] for c in classes]
        columns["before" if which == 0 else "after"] = cmap(np.stack(truth, 1), np.stack(scores, 1))
        columns["guess"] = float(np.mean([(t == 1).sum() / (t >= 0).sum() for t in truth if (t == 1).any()]))
    return columns


def measure(
    case: Case, what: Config | Raw | str, table: Table, work: Path, memory: MutableMapping[Any, Any]
) -> dict[str, Any]:
    """Measure all figures of a row on a data set, and write them to the store."""
    key = Key.of_seed(SEED)
    table = original(case, table, key)
    modifier, seconds = None, 0.0
    if isinstance(what, Config) or what == SUBSTITUTION:
        modifier, released, seconds = fitted(case, what, table, work, key)  # type: ignore[arg-type]
    else:
        released = obscured(case, what, table, work, key)
    see = getattr(modifier, "sphere", identity)
    test = table.part("test")
    found = judged(case, see, table, released, work)
    kept = {"cmap": together(case, found, test)} if "s" in case.slots else {}
    if "origin" in table.y:
        first = table.classes["origin"].index("vispr test")
        rows = test.y["origin"] == first
        for side in (rows, ~rows):
            part = {a: v | {"_scores": tuple(s[side] for s in v["_scores"])} for a, v in found.items()}
            kept["cmap_vispr" if side is rows else "cmap"] = together(case, part, test.take(side))
    for figures in found.values():
        del figures["_scores"]
    before, after = np.asarray(test.x, np.float32), np.asarray(released.part("test").x, np.float32)
    start = time.perf_counter()
    told = case.policy(what.suppress, what.preserve) if isinstance(what, Config) else case.policy(_suppressed(case), ())
    report = audit(
        dataclasses.replace(table, y={a: table.y[a] for a in case.all}),
        released,
        told,
        modifier=modifier,
        key=key if modifier is not None else None,
        budget=basic_audit(
            settings=("A", "B", "C") if what == SUBSTITUTION else ("A",), max_records=case.max_records, cloud=0
        ),
        options=AuditOptions(pretrained=False, memory=memory),
    )
    figures = {
        "case": case.name,
        "what": what if isinstance(what, str) else what.name,
        "judged": found,
        **kept,
        "l2": l2_distance(before, after),
        "mean_square": mean_square(before, after),
        "headlines": [dataclasses.asdict(h) for h in report.headlines],
        "exact": [dataclasses.asdict(e) for e in report.exact],
        "made": {k: report.made.get(k) for k in ("fitted", "unseen", "sampled")},
        "seed": SEED,
        "fit_seconds": seconds,
        "audit_seconds": time.perf_counter() - start,
    }
    unit_of(case, what).write(figures)
    return figures


def threads(number: int) -> None:
    """Set the number of cores."""
    torch.set_num_threads(number)
