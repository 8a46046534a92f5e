"""Raw views from the command line: MaSS's agnostic model on the files that a table was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sordine.cli.app import main
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.features.augmentation.raw_views import raw_views
from sordine.features.extract import extract
from sordine.models.training import Batch


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    folder, rng = tmp_path / "faces", np.random.default_rng(0)
    folder.mkdir()
    lines = ["file_name,who,light"]
    for i in range(80):
        who, light = i % 4, i // 4 % 2
        picture = rng.integers(0, 60, (20, 20, 3)) + 60 * light
        picture[5 * who : 5 * who + 5] += 90
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"p{i:02d}.png")
        lines.append(f"p{i:02d}.png,{'abcd'[who]},{'on' if light else 'off'}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def table_of(faces: Path, name: str = "t.parquet", extractor: str = "pixels") -> Path:
    path = faces.parent / name
    extract(faces, extractor, path, options={"size": "16", "components": "20"})
    return path


def test_views_are_two_vectors_of_the_same_records(faces: Path) -> None:
    path = table_of(faces)
    table = Table.read(path)
    some = table.take(np.array([7, 3, 70]))
    views = raw_views(path, faces, count=3)(some)
    batch = Batch(torch.from_numpy(np.array(some.x[[2, 0]])), {}, torch.tensor([2, 0]))
    one, other = views(batch, torch.Generator().manual_seed(0))
    assert one.shape == other.shape == (2, 20)
    assert not torch.equal(one, other)
    # A view is nearer to its own record than the other record's is, on the whole.
    own = torch.nn.functional.cosine_similarity(one, batch.x).mean()
    crossed = torch.nn.functional.cosine_similarity(one, batch.x.flip(0)).mean()
    assert own > crossed


def test_mass_is_fitted_on_raw_views(faces: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = table_of(faces)
    settings = [f"--set={f}=2" for f in ("epochs", "classifier_epochs", "agnostic_epochs")]
    arguments = ["fit", str(path), "-s", "who", "-m", "mass", "--views", str(faces), *settings]
    assert main([*arguments, "-o", str(faces.parent / "mute")]) == 0
    assert (faces.parent / "mute" / "modifier.json").is_file()
    assert main([*arguments[:7], str(faces.parent), *settings, "-o", str(faces.parent / "other")]) == 2
    assert not (faces.parent / "other").exists()


def test_what_is_missing_is_one_line(faces: Path) -> None:
    path = table_of(faces)
    path.with_name("t.pixels.safetensors").unlink()
    with pytest.raises(SordineError, match=r"t\.pixels\.safetensors is missing"):
        raw_views(path, faces)
    again = table_of(faces, "again.parquet")
    table = Table.read(again)
    (faces / "metadata.csv").write_text("file_name,who,light\np00.png,a,off\n")
    with pytest.raises(SordineError, match=r"79 records.*'p01\.png'"):
        raw_views(again, faces)(table)
    columns = faces.parent / "c.parquet"
    table.write(columns)
    with pytest.raises(SordineError, match="raw views need"):
        raw_views(columns, faces)
