"""An extractor from outside the package: one class, one call that registers it, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import Field

from sordine.data.media.write import write_wave
from sordine.errors import SordineError
from sordine.features.base import Blocks, SoundExtractor, TableExtractor, TableMap
from sordine.features.extract import extract
from sordine.features.registry import EXTRACTORS


@dataclass(frozen=True)
class Loudness(SoundExtractor):
    """The root mean square of equal parts of a clip."""

    parts: Annotated[int, Field(ge=1, le=8)] = 2

    version: ClassVar[int] = 1

    def names(self) -> tuple[str, ...]:
        return tuple(f"part{i}" for i in range(self.parts))

    def clip(self, wave: np.ndarray, rate: int) -> np.ndarray:
        return np.array([np.sqrt(np.square(part).mean()) for part in np.array_split(wave, self.parts)], np.float32)


@dataclass(frozen=True)
class Squares(TableExtractor):
    """The squares of the columns that are named."""

    version: ClassVar[int] = 3

    def fit_table(self, blocks: Blocks, features: tuple[str, ...], where: str) -> TableMap:
        def encode(block: pa.RecordBatch, row: int) -> np.ndarray:
            return np.stack([block.column(n).to_numpy(zero_copy_only=False) ** 2 for n in features], 1).astype("f4")

        return TableMap(tuple(features), encode, consumed=features, notes=("squared",))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    EXTRACTORS.register("loudness", Loudness)
    EXTRACTORS.register("squares", Squares)
    yield
    for name in ("loudness", "squares"):
        EXTRACTORS.unregister(name)


def test_an_extractor_of_sound_from_outside(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, level in (("a", 0.1), ("b", 0.4)):
        write_wave(np.full(4000, level, np.float32), 8000, folder / f"{name}.wav")
    (folder / "metadata.csv").write_text("file_name,word\na.wav,yes\nb.wav,no\n")
    made = extract(folder, "loudness", tmp_path / "t.parquet", {"parts": "3"})
    table = pq.read_table(tmp_path / "t.parquet")
    assert (made.rows, made.width) == (2, 3)
    np.testing.assert_allclose(table["x"].to_pylist(), [[0.1] * 3, [0.4] * 3], atol=1e-3)
    assert table["word"].to_pylist() == ["yes", "no"]
    note = json.loads(table.schema.metadata[b"sordine.extract"])
    assert (note["extractor"], note["options"], note["names"]) == (
        "loudness",
        {"parts": 3},
        ["part0", "part1", "part2"],
    )


def test_an_extractor_of_tables_from_outside(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"id": ["r", "s"], "v": [2.0, 3.0], "w": [1.0, 0.5], "who": ["a", "b"]}), tmp_path / "i.parquet"
    )
    with pytest.warns(DeprecationWarning, match="features as keywords"):
        made = extract(tmp_path / "i.parquet", "squares", tmp_path / "o.parquet", features=["v", "w"])
    table = pq.read_table(tmp_path / "o.parquet")
    assert made.notes == ("squared",)
    assert table.column_names == ["id", "who", "x"]
    assert table["x"].to_pylist() == [[4.0, 1.0], [9.0, 0.25]]


def test_its_options_are_checked_and_a_folder_it_does_not_take_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,a\nr,1\n")
    for options, wrong in (({"parts": "9"}, "parts = '9'"), ({"part": "1"}, "no option 'part'")):
        with pytest.raises(SordineError, match=wrong):
            extract(tmp_path / "t.csv", "loudness", tmp_path / "o.parquet", options)
    with pytest.raises(SordineError, match="use one of: windows, columns, squares"):
        extract(tmp_path / "t.csv", "loudness", tmp_path / "o.parquet")
