"""Small inputs for all commands, the same for the same seed, in one folder."""

from __future__ import annotations

import shutil
import wave
from pathlib import Path

import numpy as np
import yaml

from benchmarks.robustness.child import Ended, cache_in, command
from sordine.data.table import Table
from sordine.keys import Key

RECORDS, CLIPS, RATE = 160, 24, 8000
AUDIT = ("--attack", "logistic", "--scenario", "A", "--budget", "quick", "--seed", "0")
JOB = {
    "source": "t.parquet",
    "policy": {"suppress": ["speaker"], "preserve": ["word"]},
    "method": "leace",
    "key": "job.key",
    "audit": {"budget": "quick", "families": ["logistic"], "settings": ["A"], "seeds": [0]},
    "despite_findings": True,
    "out": "out",
}
STEPS: dict[str, tuple[object, ...]] = {
    "extract": ("extract", "clips", "--extractor", "logmel", "-o", "v.parquet"),
    "fit": ("fit", "t.parquet", "-s", "speaker", "-p", "word", "-m", "leace", "-o", "m"),
    "transform": ("transform", "m", "t.parquet", "-o", "x.parquet"),
    "audit": ("audit", "t.parquet", "x.parquet", "--modifier", "m", "-o", "r.html", "--json", "r.json", *AUDIT),
    "release": ("release", "x.parquet", "--modifier", "m", "--report", "r.json", "--despite-findings", "-o", "rel"),
    "report": ("report", "r.json", "-o", "again.html"),
    "run": ("run", "job.yaml"),
    "protect": ("protect", "t.parquet", "-s", "speaker", "-p", "word", "-m", "leace", "--budget", "quick", "-o", "p"),
    "sweep": ("sweep", "t.parquet", "-s", "speaker", "-p", "word", "-m", "noise", "--values", "scale=0.5,1"),
}
OUTPUTS: dict[str, tuple[str, ...]] = {
    "extract": ("v.parquet",),
    "fit": ("m", "m.key"),
    "transform": ("x.parquet",),
    "audit": ("r.html", "r.json"),
    "release": ("rel", "rel.links.parquet"),
    "report": ("again.html",),
    "run": ("out",),
    "protect": ("p",),
}
OF_REPORT = ("fit", "transform", "audit")
NEEDS = {
    "transform": ("fit",),
    "audit": ("fit", "transform"),
    "release": OF_REPORT,
    "report": ("fit", "transform", "audit"),
}


def make_inputs(folder: Path, seed: int = 0) -> None:
    """Write a table, a folder of clips, a key and a job."""
    rng = np.random.default_rng(seed)
    speaker, word = rng.integers(0, 2, RECORDS), rng.integers(0, 2, RECORDS)
    x = rng.normal(size=(RECORDS, 6)).astype(np.float32)
    x[:, 0] += 2 * speaker
    x[:, 1] += 2 * word
    names = {"speaker": np.array(["ann", "bob"])[speaker], "word": np.array(["yes", "no"])[word]}
    Table.of(x, names, ids=[f"r{i}" for i in range(RECORDS)]).write(folder / "t.parquet")
    (folder / "clips").mkdir()
    for i in range(CLIPS):
        with wave.open(str(folder / "clips" / f"{i:02}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes(rng.integers(-9999, 9999, RATE // 4).astype("<i2").tobytes())
    lines = ["file_name,speaker", *(f"{i:02}.wav,{'ab'[i % 2]}" for i in range(CLIPS))]
    (folder / "clips" / "metadata.csv").write_text("\n".join(lines) + "\n")
    Key.of_seed(seed).write(folder / "job.key")
    (folder / "job.yaml").write_text(yaml.safe_dump(JOB))


def step(folder: Path, name: str, *, force: bool = False) -> list[object]:
    """Return the words of a command, with the paths of a folder."""
    known = {path.name for path in folder.iterdir()} | {n for names in OUTPUTS.values() for n in names}
    words = [folder / str(word) if word in known else word for word in STEPS[name]]
    return [*words, "--force"] if force else words


def prepare(folder: Path, name: str) -> None:
    """Do the steps before a command."""
    for before in NEEDS.get(name, ()):
        found = run(folder, before)
        assert found.code == 0, found


def run(folder: Path, name: str) -> Ended:
    """Do one step without a fault, with a cache in the folder."""
    with cache_in(folder / "cache"):
        return command(step(folder, name))


def copy(source: Path, target: Path) -> Path:
    """Copy a folder in place of another."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target
