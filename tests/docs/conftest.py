"""Data that the commands of the documents run on: made once, small and synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sordine.data.synthetic.faces import write_faces
from sordine.data.synthetic.voices import voices


@pytest.fixture(scope="session")
def document_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips/, faces/, table.parquet, people.csv, survey.csv and motion.parquet."""
    folder = tmp_path_factory.mktemp("documents")
    rng = np.random.default_rng(0)
    voices(folder / "clips", 240)
    write_faces(folder / "faces", 200, 0, size=16, people=5)
    _vectors(folder, rng)
    _survey(folder, rng)
    _motion(folder, rng)
    return folder


def _vectors(folder: Path, rng: np.random.Generator) -> None:
    """300 records of 12 numbers, with a speaker and a word: as Parquet and as CSV."""
    speaker, word = rng.integers(0, 3, 300), rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 12)) + 2 * rng.normal(size=(3, 12))[speaker] + 2 * rng.normal(size=(3, 12))[word]
    columns = {"id": [f"r{i}" for i in range(300)]}
    columns |= {"speaker": [f"s{s}" for s in speaker], "word": [f"w{w}" for w in word]}
    pq.write_table(pa.table(columns | {"x": list(x.astype(np.float32))}), folder / "table.parquet")
    names = [*columns, *(f"f{i:02d}" for i in range(12))]
    rows = [",".join([*(columns[c][i] for c in columns), *(f"{v:.4f}" for v in x[i])]) for i in range(300)]
    (folder / "people.csv").write_text("\n".join([",".join(names), *rows]) + "\n", encoding="utf-8")


def _survey(folder: Path, rng: np.random.Generator) -> None:
    """300 rows of mixed columns, some empty."""
    lines = ["id,age,income,job,region,sex"]
    for i in range(300):
        sex, region, job = rng.integers(0, 2), rng.integers(0, 3), rng.integers(0, 4)
        age, income = 20 + 40 * rng.random() + 3 * sex, rng.lognormal(10 + 0.3 * region + 0.2 * sex)
        lines.append(f"p{i},{age:.0f}.5,{income:.2f},job{job},region{region},{'' if i % 50 == 0 else 'fm'[sex]}")
    (folder / "survey.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _motion(folder: Path, rng: np.random.Generator) -> None:
    """240 windows of three channels of 32 samples."""
    subject, activity = rng.integers(0, 4, 240), rng.integers(0, 3, 240)
    time = np.arange(32)
    waves = np.sin(time * (0.3 + 0.4 * activity[:, None])) * (1 + subject[:, None])
    channels = {f"acc_{axis}": list((waves + rng.normal(size=waves.shape)).astype(np.float32)) for axis in "xyz"}
    columns = {"id": [f"w{i}" for i in range(240)], "subject": [f"p{s}" for s in subject]}
    columns["activity"] = [f"a{a}" for a in activity]
    pq.write_table(pa.table(columns | channels), folder / "motion.parquet")


@pytest.fixture(scope="session")
def videos(document_data: Path) -> Path:
    """A folder of small videos beside the other data."""
    av = pytest.importorskip("av")
    folder = document_data / "videos"
    folder.mkdir()
    rng, lines = np.random.default_rng(1), ["file_name,person"]
    for i in range(24):
        person, name = i % 2, f"v{i:02d}.mp4"
        with av.open(str(folder / name), "w") as file:
            stream = file.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 32
            for _ in range(8):
                picture = rng.integers(0, 90, (32, 32, 3), dtype=np.uint8) + np.uint8(120 * person)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode(None))
        lines.append(f"{name},p{person}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
