"""Media out of the house: copies of the drawn files, under pseudonyms, with nothing of their past."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from sordine.cli.app import main
from sordine.data.files import sha256
from sordine.data.media.folder import read_metadata
from sordine.data.media.kinds import Media
from sordine.data.record_digests import digests, owners
from sordine.data.table_io import feature_array, feature_type
from sordine.errors import SordineError
from sordine.evaluation.report import Report, Verdict
from sordine.keys import Key
from sordine.run import Run
from sordine.workflow.release.manifest import MANIFEST, Released, links_beside
from sordine.workflow.release.media import DATA, METADATA, DrawnFrom, release_media

KEY, OTHER = Key.of_seed(1), Key.of_seed(2)
PEOPLE = ("annika", "boris", "cyrille")
NOTE = {
    "method": "substitution",
    "policy": {"suppress": ["who"], "preserve": ["word"], "watch": []},
    "key": KEY.fingerprint,
    "modifier": "5" * 64,
    "kept": ["word"],
}


def pixels(row: int) -> np.ndarray:
    """An 8 x 8 picture that no other record has."""
    rng = np.random.default_rng(row)
    return rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)


def picture_folder(folder: Path, records: int = 24) -> Media:
    """A folder of PNG files, each with a comment that names its person."""
    folder.mkdir()
    names, who, word = [], [], []
    for i in range(records):
        names.append(f"{PEOPLE[i % 3]}-{i:02d}.png")
        who.append(PEOPLE[i % 3])
        word.append(["yes", "no"][i // 3 % 2])
        metadata = PngImagePlugin.PngInfo()
        metadata.add_text("Comment", f"secret-of-{PEOPLE[i % 3]}")
        Image.fromarray(pixels(i)).save(folder / names[-1], pnginfo=metadata)
    with open(folder / METADATA, "w", newline="") as file:
        csv.writer(file).writerows([("file_name", "who", "word"), *zip(names, who, word, strict=True)])
    return Media(folder, "image", read_metadata(folder))


def vectors(media: Media) -> np.ndarray:
    return np.stack([pixels(i).reshape(-1).astype(np.float32) for i in range(len(media))])


def table_of(media: Media, path: Path) -> Path:
    x = vectors(media)
    columns = {"id": pa.array(media.ids), "who": media.records["who"], "word": media.records["word"]}
    schema = pa.schema([*((n, c.type) for n, c in columns.items()), ("x", feature_type(x.shape[1:]))])
    pq.write_table(pa.table([*columns.values(), feature_array(x)], schema=schema), path)
    return path


def transformed_of(media: Media, path: Path, drawn: list[int], note: dict | None = NOTE, **more: Any) -> Path:
    """A file as sordine transform leaves it: each record has the vector of the record that was drawn for it."""
    words: list[str | None] = list(media.records["word"].to_pylist())
    words[5] = None
    columns = {
        "id": pa.array(media.ids),
        "split": pa.array(["train" if i % 4 else "test" for i in range(len(media))]),
        "word": pa.array(words),
        **{name: pa.array(values) for name, values in more.items()},
    }
    x = vectors(media)[drawn]
    schema = pa.schema(
        [*((n, c.type) for n, c in columns.items()), ("x", feature_type(x.shape[1:]))],
        metadata={} if note is None else {"sordine.transform": json.dumps(note)},
    )
    pq.write_table(pa.table([*columns.values(), feature_array(x)], schema=schema), path)
    return path


DRAWN = [int(i) for i in np.random.default_rng(4).integers(0, 12, 24)]


@pytest.fixture
def media(tmp_path: Path) -> Media:
    return picture_folder(tmp_path / "clips")


@pytest.fixture
def table(media: Media, tmp_path: Path) -> Path:
    return table_of(media, tmp_path / "table.parquet")


@pytest.fixture
def transformed(media: Media, tmp_path: Path) -> Path:
    return transformed_of(media, tmp_path / "transformed.parquet", DRAWN)


@pytest.fixture
def done(media: Media, table: Path, transformed: Path, tmp_path: Path) -> Released:
    return release_media(transformed, DrawnFrom(media, table), tmp_path / "out", key=KEY)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / METADATA, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -------------------------------------------------------------------------------------------------- vectors to files


def test_a_vector_is_found_by_its_bits_alone() -> None:
    x = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    ids = [f"r{i}" for i in range(50)]
    drawn = np.array([3, 3, 49, 0])
    known = digests([x[:20], x[20:]])
    assert owners(digests([x[drawn]]), known, ids).tolist() == drawn.tolist()
    nearly = np.nextafter(x[drawn], np.float32(np.inf))
    assert owners(digests([nearly]), known, ids).tolist() == [-1] * 4
    assert digests([x.reshape(50, 7, 1)]) == known  # the shape is the caller's affair


def test_of_the_same_vectors_the_first_by_name_is_taken() -> None:
    x = np.ones((3, 2), np.float32)
    assert owners(digests([x]), digests([x]), ["c", "a", "b"]).tolist() == [1, 1, 1]


# ----------------------------------------------------------------------------------------------------- what is made


def test_each_record_leaves_as_a_copy_of_the_drawn_picture(media: Media, done: Released) -> None:
    pseudonyms = KEY.pseudonyms(media.ids)
    rows = rows_of(done.folder)
    order = KEY.order("release order", media.ids).tolist()
    words = media.records["word"].to_pylist()
    assert [r["file_name"] for r in rows] == [f"{DATA}/{pseudonyms[i]}.png" for i in order]
    assert [r["word"] for r in rows] == ["" if i == 5 else words[i] for i in order]
    assert [r["split"] for r in rows] == ["train" if i % 4 else "test" for i in order]
    assert order != list(range(len(order)))
    for row, i in zip(rows, order, strict=True):
        released = np.asarray(Image.open(done.folder / row["file_name"]))
        np.testing.assert_array_equal(released, pixels(DRAWN[i]))
    assert read_metadata(done.folder).num_rows == done.rows == 24  # a media folder again


def test_nothing_in_the_directory_tells_the_original(media: Media, done: Released) -> None:
    assert {p.name for p in done.folder.iterdir()} == {DATA, METADATA, MANIFEST}
    files = [p for p in done.folder.rglob("*") if p.is_file()]
    blob = b"".join(p.read_bytes() for p in files) + "".join(str(p.relative_to(done.folder)) for p in files).encode()
    for secret in ("secret-of", *PEOPLE, "Comment", "clips", KEY.fingerprint, KEY.secret.hex()):
        assert secret.encode() not in blob, secret
    assert len({p.stat().st_mtime_ns for p in (done.folder / DATA).iterdir()}) == 1


def test_manifest_tells_the_truth(media: Media, table: Path, transformed: Path, tmp_path: Path) -> None:
    report = Report(Verdict("holds", "It is so", ()), {}, (), (), made={"released_sha256": sha256(transformed)})
    done = release_media(transformed, DrawnFrom(media, table), tmp_path / "out", key=KEY, report=report)
    manifest = json.loads((done.folder / MANIFEST).read_text())
    assert manifest == done.manifest
    for name, entry in manifest["files"].items():
        assert entry == {"sha256": sha256(done.folder / name), "bytes": (done.folder / name).stat().st_size}
    there = {p.relative_to(done.folder).as_posix() for p in done.folder.rglob("*") if p.is_file()}
    assert there == {*manifest["files"], MANIFEST}
    assert list(manifest["files"]) == [METADATA, *(r["file_name"] for r in rows_of(done.folder))]
    assert (manifest["rows"], manifest["media"], manifest["different_files"]) == (24, "image", len(set(DRAWN)))
    assert manifest["columns"] == {"file_name": "string", "split": "string", "word": "string"}
    assert manifest["method"] == "substitution"
    assert manifest["audit"]["verdict"]["level"] == "holds"


def test_link_table_names_the_substitute_and_stays_beside(media: Media, done: Released) -> None:
    assert done.links == links_beside(done.folder)
    assert stat.S_IMODE(done.links.stat().st_mode) == 0o600
    links = pq.read_table(done.links).to_pydict()
    assert links["id"] == media.ids
    assert links["pseudonym"] == KEY.pseudonyms(media.ids)
    assert links["substitute"] == [media.files[i] for i in DRAWN]


def everything(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_release_twice_whatever_the_workers(
    media: Media, table: Path, transformed: Path, done: Released, tmp_path: Path
) -> None:
    again = release_media(transformed, DrawnFrom(media, table), tmp_path / "again", key=KEY, run=Run(workers=1))
    assert everything(again.folder) == everything(done.folder)
    other = release_media(transformed, DrawnFrom(media, table), tmp_path / "other", key=OTHER)
    assert not {r["file_name"] for r in rows_of(other.folder)} & {r["file_name"] for r in rows_of(done.folder)}


def test_the_log_states_what_is_released(media: Media, table: Path, transformed: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    moves: list[tuple[str, int, int]] = []
    release_media(
        transformed,
        DrawnFrom(media, table),
        tmp_path / "out",
        key=OTHER,
        run=Run(log=lines.append, progress=lambda *move: moves.append(move)),
    )
    messages = "\n".join(lines)
    for word in (
        f"{len(set(DRAWN))} real pictures",
        "in the pool",
        "record's own word",
        "not audited",
        "another",
    ):
        assert word in messages
    assert moves[-1] == ("release", 24, 24)


def test_a_pool_of_other_people_may_be_named(media: Media, tmp_path: Path) -> None:
    """The substitutes' folder and table need not hold the transformed records."""
    people = picture_folder(tmp_path / "other", 30)
    x_of = table_of(people, tmp_path / "other.parquet")
    note = transformed_of(people, tmp_path / "t.parquet", [29] * 30)
    renamed = pq.read_table(note)
    renamed = renamed.set_column(0, "id", pa.array([f"ours-{i}" for i in range(30)]))
    pq.write_table(renamed, note)
    done = release_media(note, DrawnFrom(people, x_of), tmp_path / "out", key=KEY)
    assert len({entry["sha256"] for name, entry in done.manifest["files"].items() if name != METADATA}) == 1


# -------------------------------------------------------------------------------------------------------- refusals

Refuses = Callable[..., None]


@pytest.fixture
def refused(tmp_path: Path, media: Media) -> Refuses:
    """A release that must be refused in one line and leave nothing."""

    def run(words: str, transformed: Path, table: Path, media: Media = media, name: str = "out", **more: Any) -> None:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SordineError, match=words) as caught:
            release_media(transformed, DrawnFrom(media, table), tmp_path / name, key=KEY, **more)
        assert "\n" not in str(caught.value)
        assert sorted(tmp_path.rglob("*")) == before

    return run


def test_vectors_of_nobody_are_refused(media: Media, table: Path, tmp_path: Path, refused: Refuses) -> None:
    path = transformed_of(media, tmp_path / "t.parquet", DRAWN)
    written = pq.read_table(path)
    x = vectors(media)[DRAWN]
    x[7, 0] += 0.5
    changed = written.set_column(written.schema.names.index("x"), written.schema.field("x"), feature_array(x))
    pq.write_table(changed, path)
    refused("vectors, not copies of pictures", path, table)
    refused("1 of 24", path, table)


def test_what_was_not_replaced_is_refused(media: Media, table: Path, tmp_path: Path, refused: Refuses) -> None:
    own = transformed_of(media, tmp_path / "t.parquet", list(range(24)))
    refused("nothing was substituted", own, table)


def test_a_table_of_another_folder_is_refused(
    media: Media, table: Path, transformed: Path, tmp_path: Path, refused: Refuses
) -> None:
    other = picture_folder(tmp_path / "few", 6)
    refused("does not hold", transformed, table, other)
    narrow = pq.read_table(table).drop_columns(["x"]).append_column("x", feature_array(np.ones((24, 2), np.float32)))
    pq.write_table(narrow, tmp_path / "narrow.parquet")
    refused("another table", transformed, tmp_path / "narrow.parquet")


def test_frames_of_videos_are_refused(table: Path, transformed: Path, refused: Refuses) -> None:
    frames = pa.table({"file_name": ["a.mp4"] * 2, "frame": [0, 1]})
    refused("frames of videos", transformed, table, Media(Path("there"), "video", frames))


def test_what_a_release_refuses_is_refused(
    media: Media, table: Path, transformed: Path, done: Released, tmp_path: Path, refused: Refuses
) -> None:
    leaking = Report(Verdict("leaks", "It leaks", ()), {}, (), ())
    refused("--despite-findings", transformed, table, name="new", report=leaking)
    refused("out exists; use --force", transformed, table)
    refused("other files", transformed, table, name="clips", force=True)
    plain = transformed_of(media, tmp_path / "plain.parquet", DRAWN, note=None)
    refused("not written by sordine transform", plain, table, name="new")
    telling = transformed_of(media, tmp_path / "telling.parquet", DRAWN, who=["annika", "boris"] * 12)
    refused("suppressed column 'who'", telling, table, name="new")


def test_force_replaces_an_earlier_release(media: Media, table: Path, transformed: Path, done: Released) -> None:
    old = everything(done.folder)
    again = release_media(transformed, DrawnFrom(media, table), done.folder, key=OTHER, force=True)
    assert not set(old) & set(everything(again.folder)) - {METADATA, MANIFEST}


def test_a_file_that_cannot_be_read_leaves_nothing(
    media: Media, table: Path, transformed: Path, refused: Refuses
) -> None:
    drawn = media.files[DRAWN[0]]
    (media.root / drawn).write_bytes((media.root / drawn).read_bytes()[:60])
    refused(drawn, transformed, table)


# ------------------------------------------------------------------------------------------------- the command line


def test_from_a_fit_to_a_folder_of_copies(
    media: Media, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    m, x, out = str(tmp_path / "m"), str(tmp_path / "x.parquet"), tmp_path / "out"
    fit = ["fit", str(table), "-s", "who", "-p", "word", "-m", "substitution", "--set", "epochs=2", "-o", m]
    assert main(fit) == 0
    assert main(["transform", m, str(table), "-o", x]) == 0
    words = ["release", x, "-o", str(out), "--media", str(media.root)]
    assert main(words) == 2
    assert "--table" in capsys.readouterr().err
    assert main([*words, "--table", str(table)]) == 0
    known = [pixels(i).tobytes() for i in range(24)]
    rows = rows_of(out)
    assert len(rows) == 24
    for row in rows:
        assert np.asarray(Image.open(out / row["file_name"])).tobytes() in known
    assert main([*words, "--table", str(table), "--force"]) == 0
    assert main(["release", x, "-o", str(tmp_path / "no"), "--media", m, "--table", str(table)]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert not (tmp_path / "no").exists()


def test_only_what_a_substitution_drew_is_released_even_by_force(
    media: Media, table: Path, tmp_path: Path, refused: Refuses
) -> None:
    made = transformed_of(media, tmp_path / "erased.parquet", DRAWN, {**NOTE, "method": "leace"})
    refused("leace made, not copies", transformed=made, table=table)
    refused("leace made, not copies", transformed=made, table=table, force_leaky=True)


def test_the_transformed_table_is_no_table_of_the_originals(transformed: Path, refused: Refuses) -> None:
    # Its vectors stand beside the ids of the records that were replaced: everybody's own file would leave.
    refused("was transformed itself", transformed=transformed, table=transformed)


def test_a_release_is_not_written_among_the_originals(media: Media, table: Path, transformed: Path) -> None:
    before = sorted(p.name for p in media.root.iterdir())
    with pytest.raises(SordineError, match="within each other"):
        release_media(transformed, DrawnFrom(media, table), media.root / "out", key=KEY)
    assert sorted(p.name for p in media.root.iterdir()) == before
