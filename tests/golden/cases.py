"""The cases of the golden test, and what is measured of each."""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.numpy import load_file
from threadpoolctl import threadpool_info, threadpool_limits  # type: ignore[import-untyped]

from .canonical import numbers, rounded, states
from .surface import (
    METHODS,
    Budget,
    Key,
    Modifier,
    Policy,
    Run,
    Table,
    audit,
    extract,
    faces,
    fit,
    gaussians,
    load,
    make,
    release,
    to_json,
    transform,
    transform_file,
    voices,
)

KEY = Key.of_seed(20)
SEED = 3
SEX = Policy(("sex",), ("word",))
TWO = Policy(("sex", "accent"), ("word",))
SECRET = Policy(("secret",), ("utility",))
SECRET_ALONE = Policy(("secret",))
EXPRESSION = Policy((), ("expression",))
# Of these, a release on another processor differs by rounding alone: mean and spread are compared there too.
CLOSED_FORM = frozenset({"leace", "noise", "nothing"})


@dataclass(frozen=True)
class Case:
    """A method with some fields, fitted on a table under a policy. pool: the table whose records may be released."""

    method: str
    table: str
    policy: Policy
    fields: Mapping[str, Any] = field(default_factory=dict)
    pool: str | None = None


_MASS = {"epochs": 4, "classifier_epochs": 4, "agnostic_epochs": 4, "hidden": (32, 16, 32)}
_SUBSTITUTION = {"epochs": 20, "batch": 64, "hidden": 32, "size": 16}
_TRANSPORT = {"cells": 16, "size": 6, "rounds": 3}
_FLOW = {"space": "standardised", "size": 6, "rounds": 8, "features": 40}
_INVERSION = {"encoder": "resnet10", "width": 8, "fc": 8, "hidden": 8, "steps": 4, "batch": 16}
_MASKING = {"widths": (4, 4, 8), "predictor_widths": (4, 4, 4, 4), "dense": 8, "steps": 3}

CASES = {
    "transport": Case("transport", "gaussians", SECRET_ALONE, _TRANSPORT),
    "transport, a task": Case("transport", "gaussians", SECRET, {**_TRANSPORT, "parts": 2}),
    "transport, two suppressed and a task": Case("transport", "voices", TWO, {**_TRANSPORT, "parts": 2}),
    "transport, one map": Case("transport", "gaussians", SECRET, {**_TRANSPORT, "parts": 1, "smooth": 0}),
    "transport, soft": Case("transport", "gaussians", SECRET_ALONE, {**_TRANSPORT, "softness": 0.3}),
    "flow": Case("flow", "voices", SEX, _FLOW),
    "flow, circles": Case("flow", "voices", SEX, {**_FLOW, "circles": True}),
    "flow, noise": Case("flow", "voices", SEX, {**_FLOW, "noise": 0.1}),
    "flow, matched": Case("flow", "gaussians", SECRET, {**_FLOW, "space": "matched", "size": 2}),
    "substitution": Case("substitution", "voices", SEX, _SUBSTITUTION),
    "substitution, a pool": Case("substitution", "voices", SEX, _SUBSTITUTION, pool="other voices"),
    "substitution, not itself": Case("substitution", "gaussians", SECRET, {**_SUBSTITUTION, "itself": False}),
    "leace": Case("leace", "voices", SEX),
    "leace, two suppressed": Case("leace", "voices", TWO),
    "mass": Case("mass", "voices", SEX, _MASS),
    "mass, two suppressed": Case("mass", "voices", TWO, _MASS),
    "mass, information": Case("mass", "voices", SEX, {**_MASS, "form": "information", "noise": 8}),
    "noise": Case("noise", "voices", SEX, {"sigma": 2.0}),
    "noise, raw": Case("noise", "gaussians", SECRET, {"sigma": 0.5, "unit": "raw"}),
    "nothing": Case("nothing", "gaussians", SECRET),
    "nothing, pictures": Case("nothing", "faces", EXPRESSION),
    "replacement": Case("replacement", "gaussians", SECRET, {"epochs": 2, "hidden": (16, 16)}),
    "replacement, likelihood": Case(
        "replacement",
        "gaussians",
        SECRET,
        {"epochs": 2, "hidden": (16, 16), "criterion": "likelihood", "synthetic": "data"},
    ),
    "replacement, generator": Case(
        "replacement", "gaussians", SECRET, {"epochs": 2, "hidden": (16, 16), "variant": "generator"}
    ),
    "inversion": Case("inversion", "faces", EXPRESSION, _INVERSION),
    "inversion, attacked": Case("inversion", "faces", EXPRESSION, {**_INVERSION, "lambda2": 1.0}),
    "masking": Case("masking", "faces", EXPRESSION, _MASKING),
    "masking, soft": Case("masking", "faces", EXPRESSION, {**_MASKING, "release": "soft", "adversarial": False}),
}


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch, BLAS and OpenMP on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def signature() -> dict[str, Any]:
    """What the last bits of a computation depend on, beside the code."""
    libraries = [lib for lib in threadpool_info() if lib["user_api"] == "blas"]
    # OpenCV brings a library of its own, which computes none of these numbers and is there once cv2 is imported.
    blas = {str(lib.get("architecture")) for lib in libraries if "opencv" not in lib["filepath"]}
    return {
        **{name: version(name) for name in ("torch", "numpy", "scipy", "scikit-learn")},
        "machine": platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "blas": sorted(blas),
        "vendor": _vendor(),
        "threads": 1,
    }


def _vendor() -> str:
    """The maker of the processor: the matrix products of torch take other ways on each."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("vendor_id")), "")


def sha(array: Any) -> str:
    """SHA-256 of an array's bytes, shape and dtype."""
    array = np.ascontiguousarray(array)
    head = f"{array.dtype.str} {array.shape}".encode()
    return hashlib.sha256(head + b"\0" + array.tobytes()).hexdigest()


@cache
def table(name: str) -> Table:
    """A small synthetic table, by name, its split decided."""
    if name == "gaussians":
        return gaussians(400, SEED)
    if name == "faces":
        return faces(96, SEED, size=16, people=4)
    clips, seed = {"voices": (288, SEED), "other voices": (144, SEED + 1)}[name]
    with tempfile.TemporaryDirectory() as folder:
        voices(f"{folder}/voices", clips=clips, seed=seed)
        extract(f"{folder}/voices", "logmel", f"{folder}/x.parquet", options={"bands": "8", "slices": "4"}, workers=1)
        read = Table.read(f"{folder}/x.parquet")
        x, labels = np.array(read.x), {a: [read.classes[a][c] for c in read.y[a]] for a in SPOKEN}
    ids = [f"{name} {i}" for i in read.ids]
    return Table.of(x, labels, ids=ids, source=name).with_split(TWO, KEY)


SPOKEN = ("speaker", "word", "sex", "accent")


@cache
def fitted(name: str) -> Modifier:
    """The modifier of a case."""
    case = CASES[name]
    run = Run(key=KEY, seed=SEED, pool=None if case.pool is None else table(case.pool))
    return fit(table(case.table), case.policy, make(case.method, dict(case.fields)), run=run)


def released(name: str) -> Table:
    """What a case releases of its table."""
    return transform(fitted(name), table(CASES[name].table), KEY, workers=1)


def measure(name: str) -> dict[str, Any]:
    """All that is recorded of a case: hashes and moments of released records, tensors by name, and the card."""
    before, after = table(CASES[name].table), released(name)
    assert before.split is not None
    with tempfile.TemporaryDirectory() as folder:
        fitted(name).save(f"{folder}/m")
        tensors = load_file(f"{folder}/m/modifier.safetensors")
        card = json.loads(Path(f"{folder}/m/modifier.json").read_text(encoding="utf-8"))
    card = {k: v for k, v in card.items() if k not in ("versions", "weights", "notes")}
    return {
        "input": sha(before.x),
        "released": {
            side: {
                "sha256": sha(after.x[rows]),
                "shape": list(after.x[rows].shape),
                "dtype": str(after.x.dtype),
                "mean": rounded(float(after.x[rows].mean(dtype=np.float64))),
                "deviation": rounded(float(after.x[rows].std(dtype=np.float64))),
            }
            for side, rows in (("fitted", before.split), ("unseen", ~before.split))
        },
        "tensors": {key: sha(value)[:32] for key, value in sorted(tensors.items())},
        "card": numbers(card),
    }


def parts_agree(name: str) -> bool:
    """Whether records released a few at a time, and by a modifier that was saved and loaded, have the same bits."""
    before, whole = table(CASES[name].table), released(name).x
    with tempfile.TemporaryDirectory() as folder:
        fitted(name).save(f"{folder}/m")
        again = load(f"{folder}/m")
    some = [np.arange(0, 5), np.arange(len(before) - 1, len(before) // 2, -2)]
    return all((transform(again, before.take(rows), KEY).x == whole[rows]).all() for rows in some)


def drawn() -> dict[str, Any]:
    """What the key gives for a few purposes and ids."""
    ids = ["a", "rec-0001", "clip_00001.wav", "é"]
    purposes = ("fingerprint", "fitted", "pseudonym", "release", "release order", "repeated id", "split")
    many = [f"row-{i:07d}" for i in range(40)]
    return {
        "fingerprint": KEY.fingerprint,
        "digests": {p: [row.tobytes().hex() for row in KEY.digest(p, ids, 8)] for p in purposes},
        "uniform": sha(KEY.uniform("release", many, 5)),
        "normal": [round(float(v), 9) for v in KEY.normal("release", ids, 2).ravel()],
        "orders": {p: [int(i) for i in KEY.order(p, many)] for p in ("release order", "split")},
        "pseudonyms": KEY.pseudonyms(ids),
        "split": _split(many),
        "split by group": _split(many, [i // 4 for i in range(len(many))]),
    }


def _split(ids: list[str], group: list[int] | None = None) -> str:
    """Of each record 1 where it is trained on."""
    split = Table.of(np.eye(len(ids)), {}, ids=ids, group=group).with_split(Policy(), KEY).split
    assert split is not None
    return "".join("01"[int(side)] for side in split)


def released_file() -> dict[str, Any]:
    """A release in files, of records that nothing has changed: pseudonyms, order, links, columns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table("gaussians").take(np.arange(40)).write(folder / "t.parquet")
        transform_file(fitted("nothing"), folder / "t.parquet", folder / "u.parquet", key=KEY)
        made = release(folder / "u.parquet", folder / "r", key=KEY)
        out, links = pq.read_table(folder / "r" / "table.parquet"), pq.read_table(made.links)
        return {
            "columns": list(out.column_names),
            "pseudonyms": out["id"].to_pylist(),
            "split": out["split"].to_pylist(),
            "utility": out["utility"].to_pylist(),
            "x": sha(np.stack(out["x"].to_numpy(zero_copy_only=False))),
            "links": links.to_pydict(),
            "manifest": sorted(made.manifest),
        }


def transformed_in_row_groups(name: str, size: int) -> dict[str, bytes]:
    """The bits of each record of a case, by id, where the table's file holds so many records in a row group."""
    with tempfile.TemporaryDirectory() as folder:
        table(CASES[name].table).write(f"{folder}/t.parquet")
        pq.write_table(pq.read_table(f"{folder}/t.parquet"), f"{folder}/s.parquet", row_group_size=size)
        transform_file(fitted(name), f"{folder}/s.parquet", f"{folder}/u.parquet", key=KEY)
        out = Table.read(f"{folder}/u.parquet")
        return {i: np.array(row).tobytes() for i, row in zip(out.ids, np.array(out.x), strict=True)}


AUDITS: dict[str, dict[str, Any]] = {
    "single records": {"watch": ("speaker",), "pretrained": False, "budget": {}},
    "several records": {
        "watch": (),
        "pretrained": True,
        "budget": {"person": (4,), "queries": 2, "linkage": True, "settings": ("A",)},
    },
}


def audited(name: str) -> dict[str, Any]:
    """The report of a quick audit, without sentences: numbers, and states apart."""
    about, case, whole = AUDITS[name], "substitution", table("voices")
    report = audit(
        whole,
        released(case),
        Policy(SEX.suppress, SEX.preserve, about["watch"]),
        modifier=fitted(case),
        key=KEY,
        budget=Budget.named("quick", seeds=(SEED,), cloud=12, permutations=5, **about["budget"]),
        max_leakage=0.2,
        person="speaker",
        pretrained=about["pretrained"],
    )
    raw = json.loads(to_json(report))
    return {"numbers": numbers(raw, volatile=True), "states": states(raw)}


def everything(seconds: dict[str, float]) -> dict[str, Any]:
    """All golden values, computed now, on one thread. seconds: is given the time that each part took."""

    def timed(name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        start = perf_counter()
        found = compute()
        seconds[name] = perf_counter() - start
        return found

    with one_thread():
        for name in ("gaussians", "faces", "voices"):
            timed(f"table: {name}", partial(_made, name))
        return {
            "signature": signature(),
            "keyed": {"draws": timed("draws", drawn), "release": timed("release", released_file)},
            "cases": {name: timed(name, partial(measure, name)) for name in CASES},
            "audits": {name: timed(f"audit: {name}", partial(audited, name)) for name in AUDITS},
        }


def _made(name: str) -> dict[str, Any]:
    return {"records": len(table(name))}


def methods_without_a_case() -> set[str]:
    """Methods of the registry that no case tries."""
    return set(METHODS) - {case.method for case in CASES.values()}
