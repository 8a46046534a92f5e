"""No byte or decoded value of a release contains an original id, file name or unreleased class."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from sordine.attacks.budget import Budget
from sordine.data.media.folder import read_metadata
from sordine.data.media.kinds import Media
from sordine.data.table import Table
from sordine.data.table_io import feature_array, feature_type
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.release_checks import contents, match, names_and_order
from sordine.evaluation.report import Flaw, Report
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.verdict import judge
from sordine.keys import Key
from sordine.policy import Policy
from sordine.workflow.release.manifest import MANIFEST
from sordine.workflow.release.media import METADATA, DrawnFrom, release_media, release_pictures
from sordine.workflow.release.table import TABLE, release

KEY = Key.of_seed(1)
POLICY = Policy(("speaker",), ("word",), ("mood",))
SPEAKERS, MOODS = ("annika", "boris", "cyrille"), ("cheerful", "sorrowful")
BUDGET = Budget(families=("logistic",), settings=("A",), seeds=(0,), folds=2)
BESIDE = ("duplicate", "missing", "extra", "finite", "telling-id")


def names(records: int) -> list[str]:
    return [f"{SPEAKERS[i % 3]}-orig-{i:05d}" for i in range(records)]


def original(x: np.ndarray) -> Table:
    n = len(x)
    labels = {
        "speaker": [SPEAKERS[i % 3] for i in range(n)],
        "word": [("yes", "no")[i // 3 % 2] for i in range(n)],
        "mood": [MOODS[i // 6 % 2] for i in range(n)],
    }
    made = Table.of(x, {k: np.array(v) for k, v in labels.items()}, ids=names(n))
    return replace(made, split=np.arange(n) % 4 > 0)


def working(path: Path, x: np.ndarray, ids: list[str], method: str) -> Path:
    """What `transform --keep` writes, with columns beside the records that repeat ids and file names."""
    n = len(x)
    columns = {
        "id": pa.array(ids),
        "split": pa.array(["train" if i % 4 else "test" for i in range(n)]),
        "word": pa.array([("yes", "no")[i // 3 % 2] for i in range(n)]).dictionary_encode(),
        "file_name": pa.array([f"{i}.png" for i in ids]),
        "clip": pa.array([f"faces/{i}.png" for i in ids]),
        "take": pa.array(ids).dictionary_encode(),
    }
    policy = {role: list(found) for role, found in POLICY.roles()}
    note = {"method": method, "policy": policy, "key": KEY.fingerprint, "kept": ["word", "file_name", "clip", "take"]}
    kind = feature_type(x.shape[1:], x.dtype)
    schema = pa.schema(
        [*((k, c.type) for k, c in columns.items()), ("x", kind)], metadata={"sordine.transform": json.dumps(note)}
    )
    pq.write_table(pa.table([*columns.values(), feature_array(x)], schema=schema), path)
    return path


def flawed(before: Table, after: np.ndarray) -> Report:
    """Return an audit of a release with missing, new, repeated and non-finite records: every flaw with an id."""
    released = replace(before, x=np.asarray(after, np.float32).reshape(before.x.shape).copy())
    released.x[11].flat[0] = np.nan
    found = audit(before, released, POLICY, budget=BUDGET, options=AuditOptions(pretrained=False))
    ids = released.ids.copy()
    ids[2], ids[5] = ids[3], "new-orig-77777"
    odd = replace(released, ids=ids)
    rows = match(before, odd)
    more = [*rows.flaws, *contents(before, odd, rows).flaws, *names_and_order(before, odd, rows, POLICY, final=True)]
    flaws = (*found.flaws, *more)
    verdict, passed = judge(found.headlines, flaws, (), POLICY.suppress, 0.05)
    report = from_json(to_json(replace(found, flaws=flaws, verdict=verdict, passed=passed, max_leakage=0.05)))
    assert set(BESIDE) <= {f.code for f in report.flaws if f.example is not None}
    return report


def everything(folder: Path) -> str:
    """All that a receiver can read of a folder: names, raw bytes, and values, metadata and statistics decoded."""
    found = [str(p.relative_to(folder)) for p in folder.rglob("*")]
    for path in (p for p in folder.rglob("*") if p.is_file()):
        found.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".parquet":
            table, about = pq.read_table(path), pq.ParquetFile(path)
            assert not any(pa.types.is_dictionary(f.type) for f in table.schema)
            found += [str(table.drop_columns(["x"]).to_pydict()), str(table.schema), str(about.metadata.to_dict())]
        elif path.suffix == ".png":
            with Image.open(path) as picture:
                found.append(str(picture.info))
        elif path.suffix == ".json":
            found.append(str(json.loads(path.read_text(encoding="utf-8"))))
    return "\n".join(found)


def search(folder: Path, ids: list[str]) -> None:
    text = everything(folder)
    assert "yes" in text, "what is released is found, so the search can fail"
    assert "new-orig-77777" not in text
    left = [s for s in (*ids, *SPEAKERS, *MOODS, "orig-", "faces/") if s in text]
    assert left == []


@pytest.fixture(params=["no report", "flaws", "flaws of an earlier version"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def given(how: str, before: Table, after: np.ndarray) -> dict:
    if how == "no report":
        return {}
    report = flawed(before, after)
    assert {f.message for f in report.flaws if f.code == "missing"} <= set(report.verdict.sentences)
    if how == "flaws of an earlier version":
        old = {f.message: earlier(f) for f in report.flaws if f.example is not None}
        flaws = tuple(replace(f, message=old.get(f.message, f.message), example=None) for f in report.flaws)
        said = tuple(old.get(s, s) for s in report.verdict.sentences)
        report = replace(report, flaws=flaws, verdict=replace(report.verdict, sentences=said))
    return {"report": report, "force_leaky": True}


def earlier(flaw: Flaw) -> str:
    """The message of a flaw as it once was, with the id in it."""
    if flaw.code == "telling-id":
        return flaw.message.replace("`speaker`", f"`speaker` (such as {flaw.example!r})")
    return flaw.message.replace(";", f" (the first: {flaw.example!r});", 1)


def test_a_released_table_has_no_id_and_no_hidden_class(tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(0)
    before = original(rng.normal(size=(120, 5)).astype(np.float32))
    after = rng.normal(size=(120, 5)).astype(np.float32)
    source = working(tmp_path / "t.parquet", after, names(120), "noise")
    more = given(how, before, after)
    done = release(source, tmp_path / "out", key=KEY, **more)
    search(done.folder, names(120))
    assert done.columns == ("id", "split", "word", "x")
    assert set(done.dropped) == {"file_name", "clip", "take"}
    sentences = done.manifest["audit"]["verdict"]["sentences"] if more else []
    assert len(sentences) == (len(more["report"].verdict.sentences) if more else 0)
    assert (done.folder / TABLE).exists()


def picture_folder(folder: Path, x: np.ndarray) -> Media:
    """Files named after their person, with a comment that names the person too."""
    folder.mkdir()
    files = [f"{name}.png" for name in names(len(x))]
    for i, (name, pixels) in enumerate(zip(files, x, strict=True)):
        comment = PngImagePlugin.PngInfo()
        comment.add_text("Comment", f"{SPEAKERS[i % 3]} {name}")
        Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / name, pnginfo=comment)
    rows = [(name, SPEAKERS[i % 3], MOODS[i // 6 % 2]) for i, name in enumerate(files)]
    with open(folder / METADATA, "w", newline="") as file:
        csv.writer(file).writerows([("file_name", "speaker", "mood"), *rows])
    return Media(folder, "image", read_metadata(folder))


def test_a_released_folder_of_media_has_no_id_and_no_hidden_class(tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (48, 3, 8, 8)).astype(np.uint8)
    media = picture_folder(tmp_path / "faces", x)
    flat = x.reshape(48, -1).astype(np.float32)
    drawn = flat[rng.integers(0, 48, 48)]
    schema = pa.schema([("id", pa.string()), ("x", feature_type(flat.shape[1:]))])
    pq.write_table(pa.table([pa.array(media.ids), feature_array(flat)], schema=schema), tmp_path / "faces.parquet")
    source = working(tmp_path / "t.parquet", drawn, list(media.ids), "substitution")
    more = given(how, replace(original(flat), ids=np.array(media.ids, dtype=object)), drawn)
    done = release_media(source, DrawnFrom(media, tmp_path / "faces.parquet"), tmp_path / "out", key=KEY, **more)
    search(done.folder, [*names(48), *media.ids, *media.files])
    assert (done.folder / MANIFEST).exists()


def test_released_pictures_have_no_id_and_no_hidden_class(tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (48, 3, 8, 8)).astype(np.uint8)
    source = working(tmp_path / "t.parquet", x, names(48), "replacement")
    more = given(how, original(rng.normal(size=(48, 192)).astype(np.float32)), x)
    done = release_pictures(source, tmp_path / "out", key=KEY, **more)
    search(done.folder, names(48))


def test_the_owner_still_sees_which_record(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    report = flawed(original(rng.normal(size=(120, 5)).astype(np.float32)), rng.normal(size=(120, 5)))
    missing = next(f for f in report.flaws if f.code == "missing")
    assert missing.example == names(120)[2]
    assert missing.example not in missing.message
    assert missing.example in to_html(report)


def test_a_column_of_other_words_is_released(tmp_path: Path) -> None:
    x = np.zeros((40, 2), np.float32)
    source = working(tmp_path / "t.parquet", x, [str(i) for i in range(40)], "noise")
    table = pq.read_table(source)
    few = pa.array([str(i % 4) for i in range(40)])  # equals the id in four rows by chance
    table = table.set_column(table.column_names.index("take"), "take", few)
    pq.write_table(table, source)
    done = release(source, tmp_path / "out", key=KEY)
    assert "take" in done.columns
