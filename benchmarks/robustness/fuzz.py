"""Mutate modifiers, job files, reports and keys, and run the commands that take them.

The same seed makes the same inputs. Many inputs share a child; a child that ends early names the input that ended it.
Tables and media folders would be further entries of `MAKERS`.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.harness import Store
from benchmarks.robustness import child
from benchmarks.robustness.child import Fault, cache_in, forked
from benchmarks.robustness.mutations import mutated_bytes, mutated_plain, mutated_tensors
from benchmarks.robustness.world import copy, make_inputs, run
from sordine.models.modifier import BOUND, CARD, WEIGHTS, _card_digest

BATCH = 20
SECONDS, BYTES = child.SECONDS, child.BYTES
LIVE = ("<script>alert(", "<img src=x", "\x1b", "\u202e")  # payloads of the mutations that no page may hold raw
WHOLE_JOBS = 25  # of so many accepted jobs, one is run and the others are only checked
Words = list[object]


def fuzz(counts: Mapping[str, int], seed: int = 0, store: Store | None = None) -> int:
    """Mutate inputs and store the counts, a unit for each kind of input. Return the number of violations.

    Parameters
    ----------
    counts
        Kind of input (a key of MAKERS) -> how many.
    seed
        Of the mutations.
    store
        Where the counts go; None stores nothing.
    """
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
        world = Path(folder) / "world"
        world.mkdir()
        make_inputs(world)
        for name in ("fit", "transform", "audit"):
            found = run(world, name)
            assert found.code == 0, found
        for kind, count in counts.items():
            figures = _inputs(kind, count, seed, world)
            wrong += len(figures["violations"])
            for line in figures["violations"]:
                print(f"  {kind}: {line}")
            print(f"{kind}: {count} inputs, codes {figures['codes']}, {len(figures['violations'])} wrong", flush=True)
            if store is not None and count:
                store.put(f"fuzz--{kind}", {"seed": seed, "inputs": count, **figures})
    return wrong


def _inputs(kind: str, count: int, seed: int, world: Path) -> dict[str, Any]:
    """Run all inputs of a kind, a batch in a child at a time."""
    codes: Counter[str] = Counter()
    violations: list[str] = []
    slowest = largest = 0.0
    number = 0
    while number < count:
        lines = world.parent / "lines.jsonl"
        lines.unlink(missing_ok=True)
        last = min(number + BATCH, count)
        place = copy(world, world.parent / "place")
        work = _Batch(kind, range(number, last), seed, place, lines)
        with cache_in(place / "cache"):
            ended = forked(work, Fault())
        done = [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []
        for found in done:
            codes[str(found["code"])] += 1
            slowest, largest = max(slowest, found["seconds"]), max(largest, found["bytes"])
            violations += [f"{found['number']}: {line}" for line in found["wrong"]]
        number += len(done)
        if number < last:
            violations.append(f"{number}: the process ended with {ended.code}: {ended.error[-200:]!r}")
            codes[str(ended.code)] += 1
            number += 1
    return {
        "codes": dict(sorted(codes.items())),
        "seconds": round(slowest, 1),
        "bytes": int(largest),
        "violations": violations,
    }


class _Batch:
    """Runs in a child: make each input, run its command, and write a line about how it ended."""

    def __init__(self, kind: str, numbers: range, seed: int, place: Path, lines: Path) -> None:
        self.kind, self.numbers, self.seed, self.place, self.lines = kind, numbers, seed, place, lines

    def __call__(self) -> int:
        peak = _peak()
        with open(self.lines, "w", encoding="utf-8") as file:
            for number in self.numbers:
                rng = random.Random(f"{self.seed} {self.kind} {number}")
                commands = MAKERS[self.kind](self.place, rng, number)
                for words in commands:
                    found = self._one(words, peak)
                    file.write(json.dumps({"number": number, **found}) + "\n") if words is commands[-1] else None
                    file.flush()
        return 0

    def _one(self, words: Words, peak: int) -> dict[str, Any]:
        from sordine.cli.app import main

        out, error = io.StringIO(), io.StringIO()
        began = time.monotonic()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = main([str(word) for word in words])
        seconds, size = time.monotonic() - began, _peak() - peak
        wrong = _wrong(code, out.getvalue(), error.getvalue(), seconds, size)
        for page in (self.place / "again.html", self.place / "again.md"):
            if page.exists():
                text = page.read_text(encoding="utf-8")
                wrong += [f"{mark!r} is live in {page.name}" for mark in LIVE if mark in text]
                page.unlink()
        return {"code": code, "seconds": seconds, "bytes": size, "wrong": wrong}


def _wrong(code: int, out: str, error: str, seconds: float, size: int) -> list[str]:
    lines = error.strip().splitlines()
    wrong = [] if code in (0, 1, 2) else [f"code {code}: {error[-300:]!r}"]
    if code == 2 and not (len(lines) == 1 and lines[0].startswith("sordine: ")):
        wrong.append(f"not one line: {error[-300:]!r}")
    if "Traceback" in error:
        wrong.append("a traceback")
    if any(mark in out + error for mark in LIVE[2:]):
        wrong.append("a control character reaches the terminal")
    wrong += [f"{seconds:.0f} s"] if seconds > SECONDS else []
    return wrong + ([f"{size:,} bytes"] if size > BYTES else [])


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _modifier(place: Path, rng: random.Random, number: int) -> list[Words]:
    folder = place / "mutated"
    copy(place / "m", folder)
    how = rng.random()
    if how < 0.3:
        path = folder / rng.choice((CARD, WEIGHTS))
        path.write_bytes(mutated_bytes(path.read_bytes(), rng))
    else:
        _bound_again(folder, rng, weights=how > 0.7)
    return [["transform", folder, place / "t.parquet", "-o", place / "y.parquet", "--force", "--key", place / "m.key"]]


def _bound_again(folder: Path, rng: random.Random, *, weights: bool) -> None:
    """Mutate a card, and its weights too, and bind each to the other, so that no digest gives the change away."""
    import hashlib

    import safetensors.torch

    card = mutated_plain(json.loads((folder / CARD).read_text()), rng)
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    if weights:
        tensors = mutated_tensors(tensors, rng)
    with contextlib.suppress(Exception):  # a card that is no mapping has no digest
        blob = safetensors.torch.save(tensors, metadata={BOUND: _card_digest(card)})
        card["weights"] = hashlib.sha256(blob).hexdigest()
        (folder / WEIGHTS).write_bytes(blob)
    (folder / CARD).write_text(json.dumps(card))


def _job(place: Path, rng: random.Random, number: int) -> list[Words]:
    path, text = place / "mutated.yaml", (place / "job.yaml").read_bytes()
    if rng.random() < 0.3:
        path.write_bytes(mutated_bytes(text, rng))
    else:
        found = yaml.safe_load(text)
        found["release"] = rng.random() < 0.5
        with contextlib.suppress(Exception):  # what YAML cannot write stays as it was
            text = yaml.safe_dump(mutated_plain(found, rng), allow_unicode=rng.random() < 0.5).encode()
        path.write_bytes(text)
    import sordine.workflow.job_runner as runner

    if number % WHOLE_JOBS:
        runner._run_stages = lambda job, out, run, force: runner.Outcome(out, None, None)  # type: ignore[assignment]
    elif hasattr(_job, "stages"):
        runner._run_stages = _job.stages
    shutil.rmtree(place / "whole", ignore_errors=True)
    return [["run", path, "-o", place / "whole"]]


def _report(place: Path, rng: random.Random, number: int) -> list[Words]:
    path, text = place / "mutated.json", (place / "r.json").read_bytes()
    if rng.random() < 0.2:
        path.write_bytes(mutated_bytes(text, rng))
    else:
        path.write_text(json.dumps(mutated_plain(json.loads(text), rng)), encoding="utf-8", errors="surrogatepass")
    return [["report", path, "-o", place / "again.html", "--assessment", place / "again.md", "--force"]]


def _key(place: Path, rng: random.Random, number: int) -> list[Words]:
    path = place / "mutated.key"
    path.write_bytes(mutated_bytes((place / "m.key").read_bytes(), rng))
    return [["transform", place / "m", place / "t.parquet", "-o", place / "y.parquet", "--force", "--key", path]]


MAKERS: dict[str, Callable[[Path, random.Random, int], list[Words]]] = {
    "modifiers": _modifier,
    "jobs": _job,
    "reports": _report,
    "keys": _key,
}
