"""The jobs of the papers' own data sets, each to the end on a made folder of that layout, with small networks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from sordine.cli.app import main
from tests.fixtures.paths import ROOT

JOBS = ROOT / "examples" / "papers"
# What makes a fit short; everything else is as the job has it.
SMALL: dict[str, dict[str, Any]] = {
    "replacement": {"preset": "small", "epochs": 1, "widths": [4, 8], "discriminator_width": 4, "noise": 2},
    "masking": {
        "preset": "small", "steps": 4, "widths": [4, 8], "predictor_widths": [4, 8, 8, 8], "dense": 8,
    },
    "inversion": {"preset": "small", "steps": 4, "encoder": "resnet10", "width": 4, "fc": 8, "hidden": 8},
}  # fmt: skip
CELEBA = yaml.safe_load((JOBS / "inversion-celeba.yaml").read_text(encoding="utf-8"))["policy"]["preserve"]


def picture(path: Path, side: int, rng: np.random.Generator, mode: str = "RGB") -> None:
    """Random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (side, side, 3)).astype(np.uint8)).convert(mode).save(path)


def celeba(root: Path, records: int = 64) -> None:
    """The text form, with all 40 attributes; of four hair colours exactly one."""
    rng = np.random.default_rng(0)
    hairs = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"]
    lines, parts = [str(records), " ".join(CELEBA)], []
    for i in range(records):
        name = f"{i + 1:06d}.jpg"
        picture(root / "img_align_celeba" / name, 24, rng)
        values = [1 if (a in hairs and hairs.index(a) == i % 4) else -1 for a in CELEBA]
        values = [int(rng.choice([-1, 1])) if a not in hairs else v for a, v in zip(CELEBA, values, strict=True)]
        lines.append(" ".join([name, *map(str, values)]))
        parts.append(f"{name} {0 if i < records * 3 // 4 else 2}")
    (root / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def ferplus(root: Path, records: int = 60) -> None:
    """Votes of one mind."""
    rng, lines = np.random.default_rng(0), []
    for i in range(records):
        usage, folder = ("Training", "FER2013Train") if i < records * 3 // 4 else ("PrivateTest", "FER2013Test")
        votes = [10 * (i % 3 == k) for k in range(3)] + [0] * 7
        lines.append(",".join([usage, f"fer{i:07d}.png", *map(str, votes)]))
        picture(root / "data" / folder / f"fer{i:07d}.png", 48, rng, "L")
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    root.mkdir(exist_ok=True)
    (root / "fer2013new.csv").write_text("\n".join([head, *lines]) + "\n")


@pytest.mark.parametrize("name", ["replacement-celeba", "masking-celeba", "masking-ferplus", "inversion-celeba"])
def test_a_papers_job_goes_to_the_end(name: str, tmp_path: Path) -> None:
    job = yaml.safe_load((JOBS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert (job["settings"]["preset"], job["device"]) == ("paper", "cuda")
    {"celeba": celeba, "ferplus": ferplus}[job["source"]](tmp_path / job["source"])
    size = 32 if job["method"] == "inversion" else 16
    job |= {"device": "cpu", "audit": False, "release": False, "options": {"size": size}}
    job["settings"] |= SMALL[job["method"]]
    path = tmp_path / f"{name}.yaml"
    path.write_text(yaml.safe_dump(job))
    assert main(["run", str(path)]) == 0
    out = tmp_path / f"{name}-out"
    card = json.loads((out / "modifier" / "modifier.json").read_text())
    assert card["policy"]["suppress"] == job["policy"].get("suppress", [])
    assert card["policy"]["preserve"] == job["policy"].get("preserve", [])
    assert pq.read_table(out / "transformed.parquet").num_rows == (60 if job["source"] == "ferplus" else 64)
