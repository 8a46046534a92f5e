"""Samples of an audit: the right files under the right names, small, and none that must not be shown."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from jsonschema import Draft202012Validator
from PIL import Image

from sordine.cli.app import main
from sordine.data.media.folder import read_metadata
from sordine.data.media.kinds import Media
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report import Gallery, Sample
from sordine.evaluation.report_json import from_json, json_schema, read_report, to_json
from sordine.evaluation.sections.gallery import gallery
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.report_example import example

POLICY = Policy(("who",), ("word",), ())
WHO, WORD = ("annika", "boris", "cyrille"), ("yes", "no", "maybe", "never")
N = 48
UNSEEN = range(12, 24)  # of every word three


def shade(row: int) -> tuple[int, int, int]:
    """A colour that no other record has, and that a compressed thumbnail still tells."""
    return (5 * row, 255 - 5 * row, 40 * (row % 3))


def labels() -> dict[str, list[str]]:
    return {"who": [WHO[i % 3] for i in range(N)], "word": [WORD[i // 3 % 4] for i in range(N)]}


def write_metadata(folder: Path, names: list[str]) -> Media:
    rows = zip(names, *labels().values(), strict=True)
    with open(folder / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file_name", *labels()), *rows])
    return Media(folder, "image" if names[0].endswith("png") else "audio", read_metadata(folder))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Media:
    folder = tmp_path_factory.mktemp("pictures")
    names = [f"p{i:02d}.png" for i in range(N)]
    for i, name in enumerate(names):
        Image.new("RGB", (24, 24), shade(i)).save(folder / name)
    return write_metadata(folder, names)


@pytest.fixture(scope="module")
def blurred(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """What an anonymiser made of `pictures`: all grey, one file lost, one added, no metadata."""
    folder = tmp_path_factory.mktemp("blurred")
    names = [f"p{i:02d}.png" for i in range(1, N)] + ["new.png"]
    for name in names:
        Image.new("RGB", (24, 24), (128, 128, 128)).save(folder / name)
    return Media(folder, "image", pa.table({"file_name": names}))


def table_of(media: Media, split: bool = True) -> Table:
    x = np.random.default_rng(0).normal(size=(N, 6)).astype(np.float32)
    side = ["test" if i in UNSEEN else "train" for i in range(N)] if split else None
    return Table.of(x, labels(), ids=media.ids, split=side)


def substituted(table: Table, drawn: np.ndarray) -> Table:
    """The table as substitution leaves it, its rows in another order."""
    after = replace(table, x=table.x[drawn], y={"word": table.y["word"]}, classes={"word": table.classes["word"]})
    return after.take(np.arange(N)[::-1])


def colour(mime: str, data: str | None) -> np.ndarray:
    assert data is not None
    assert mime.startswith("image/")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).reshape(-1, 3).mean(0)


def row_of(mime: str, data: str | None) -> int:
    """Which of `pictures` a thumbnail shows."""
    found = colour(mime, data)
    return int(np.abs(np.array([shade(i) for i in range(N)]) - found).sum(1).argmin())


DRAWN = np.random.default_rng(5).integers(0, N, N)
DRAWN[np.arange(N) == DRAWN] = 0


# ------------------------------------------------------------------------------------------------------ what is shown


def test_substitution_shows_the_record_and_what_took_its_place(pictures: Media) -> None:
    table = table_of(pictures)
    made = gallery(POLICY, table, substituted(table, DRAWN), pictures)
    assert made is not None
    assert made.kind == "image"
    assert len(made.samples) == 8
    for sample in made.samples:
        own, other = row_of(sample.mime_before, sample.before), row_of(sample.mime_after, sample.after)
        assert DRAWN[own] == other
        assert sample.caption_before == f"who {WHO[own % 3]}\nword {WORD[own // 3 % 4]}"
        assert sample.caption_after == f"substitute: who {WHO[other % 3]}\nlabel: word {WORD[own // 3 % 4]}"
    assert "real pictures" in made.note
    assert "for the owner" in made.note


def test_the_preserved_classes_are_shown_alike_and_unseen_records_first(pictures: Media) -> None:
    table = table_of(pictures)
    made = gallery(POLICY, table, substituted(table, DRAWN), pictures)
    assert made is not None
    rows = [row_of(s.mime_before, s.before) for s in made.samples]
    assert Counter(WORD[r // 3 % 4] for r in rows) == dict.fromkeys(WORD, 2)
    assert set(rows) <= set(UNSEEN)
    more = gallery(POLICY, table, substituted(table, DRAWN), pictures, records=20)
    assert more is not None
    rows = [row_of(s.mime_before, s.before) for s in more.samples]
    assert set(rows[:12]) == set(UNSEEN)
    assert len(set(rows)) == 20
    other = gallery(POLICY, table, substituted(table, DRAWN), pictures, run=Run(seed=1))
    assert other != made


def test_a_release_that_was_split_by_the_key_counts_too(pictures: Media) -> None:
    table = table_of(pictures, split=False)
    after = substituted(table_of(pictures), DRAWN)
    made = gallery(POLICY, table, after, pictures)
    assert made is not None
    assert {row_of(s.mime_before, s.before) for s in made.samples} <= set(UNSEEN)


def test_an_anonymisers_files_are_found_by_name(pictures: Media, blurred: Media) -> None:
    table = table_of(pictures)
    after = Table.of(np.zeros((N, 6), np.float32), {}, ids=table.ids)
    made = gallery(POLICY, table, after, pictures, blurred, records=N)
    assert made is not None
    rows = [row_of(s.mime_before, s.before) for s in made.samples]
    assert sorted(rows) == list(range(1, N))  # the first has no namesake
    for sample, row in zip(made.samples, rows, strict=True):
        assert np.abs(colour(sample.mime_after, sample.after) - 128).max() < 3
        assert sample.caption_after == f"word {WORD[row // 3 % 4]}"
    assert "Substitute" not in made.note


def test_without_originals_nothing_of_them_is_shown(pictures: Media) -> None:
    table = table_of(pictures)
    made = gallery(POLICY, table, substituted(table, DRAWN), pictures, originals=False)
    assert made is not None
    for sample in made.samples:
        assert (sample.before, sample.mime_before, sample.caption_before) == (None, "", "")
        assert sample.after
    assert "left out" in made.note
    page = to_html(replace(example(), gallery=made))
    part = page[page.index('id="gallery"') : page.index('id="flaws"')]
    assert part.count("<figure>") == 8
    assert '"when">before' not in part


def test_vectors_of_nobody_have_no_gallery(pictures: Media) -> None:
    table = table_of(pictures)
    messages: list[str] = []
    noisy = replace(table, x=table.x + 1)
    assert gallery(POLICY, table, noisy, pictures, run=Run(log=messages.append)) is None
    assert "not pictures" in messages[0]
    wide = replace(table, x=np.ones((N, 9), np.float32))
    assert gallery(POLICY, table, wide, pictures) is None


def test_frames_have_no_gallery() -> None:
    frames = Media(Path("there"), "video", pa.table({"file_name": ["a.mp4"] * N, "frame": list(range(N))}))
    messages: list[str] = []
    table = table_of(frames)
    assert gallery(POLICY, table, table, frames, run=Run(log=messages.append)) is None
    assert "frames" in messages[0]


def test_another_folder_is_refused(pictures: Media) -> None:
    table = table_of(pictures)
    with pytest.raises(SordineError, match="is a file of") as caught:
        gallery(POLICY, replace(table, ids=np.array([f"r{i}" for i in range(N)], object)), table, pictures)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path: Path) -> None:
    names = [f"p{i:02d}.png" for i in range(N)]
    for i, name in enumerate(names):
        Image.new("RGB", (24, 24), shade(i)).save(tmp_path / name)
    media = write_metadata(tmp_path, names)
    table = table_of(media)
    drawn = np.full(N, 7)
    first = gallery(POLICY, table, substituted(table, drawn), media)
    assert first is not None
    bad = row_of(first.samples[0].mime_before, first.samples[0].before)
    (tmp_path / names[bad]).write_bytes(b"no picture")
    messages: list[str] = []
    made = gallery(POLICY, table, substituted(table, drawn), media, run=Run(log=messages.append))
    assert made is not None
    assert len(made.samples) == 8
    assert any(names[bad] in line for line in messages)
    assert bad not in [row_of(s.mime_before, s.before) for s in made.samples]


def test_a_record_that_was_drawn_for_itself_says_so(pictures: Media) -> None:
    table = table_of(pictures)
    made = gallery(POLICY, table, substituted(table, np.arange(N)), pictures)
    assert made is not None
    for sample in made.samples:
        assert sample.caption_after.startswith("substitute: the record itself, who ")
        assert sample.after == sample.before


def test_what_is_not_released_beside_is_not_called_kept(pictures: Media) -> None:
    table = table_of(pictures)
    alone = replace(substituted(table, DRAWN), y={}, classes={})
    made = gallery(POLICY, table, alone, pictures)
    assert made is not None
    assert all(s.caption_after.startswith("substitute: who ") and "\n" not in s.caption_after for s in made.samples)
    assert "Label" not in made.note


def test_unlabelled_records_say_so(pictures: Media) -> None:
    table = table_of(pictures)
    none = np.full(N, -1)
    made = gallery(POLICY, replace(table, y={"who": none, "word": none}), substituted(table, DRAWN), pictures)
    assert made is not None
    assert made.samples[0].caption_before == "who not labelled\nword not labelled"


# ----------------------------------------------------------------------------------------------------------- the page


def test_the_page_and_the_json_hold_it(pictures: Media) -> None:
    table = table_of(pictures)
    made = gallery(POLICY, table, substituted(table, DRAWN), pictures)
    report = replace(example(), gallery=made)
    assert from_json(to_json(report)) == report
    assert list(Draft202012Validator(json_schema()).iter_errors(json.loads(to_json(report)))) == []
    page = to_html(report)
    assert page.count('<img alt="before: who ') == 8
    assert page.count('<img alt="after: substitute: who ') == 8
    assert (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data:\""
        in page
    )
    without = to_html(replace(report, gallery=None))
    assert "data:" not in without
    assert 'id="gallery"' not in without


@pytest.mark.parametrize(("mime", "tag"), [("audio/flac", "audio"), ("video/mp4", "video"), ("image/gif", "img")])
def test_each_kind_has_its_player_and_names_are_escaped(mime: str, tag: str) -> None:
    evil = '<b>"x"</b>'
    sample = Sample(evil, evil, mime, mime, "QUJD", "QUJD")
    page = to_html(replace(example(), gallery=Gallery("video", (sample,), evil)))
    assert page.count(f"<{tag} ") == 2
    assert page.count(f'src="data:{mime};base64,QUJD"') == 2
    assert "<b>&#34;x" not in page
    assert evil not in page
    for word in ("autoplay", "onload", "onerror"):
        assert word not in page


@pytest.mark.slow
def test_a_page_with_long_clips_stays_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"c{i:02d}.wav" for i in range(N)]
    for name in names:
        soundfile.write(tmp_path / name, rng.normal(size=5 * 44100).astype(np.float32) * 0.2, 44100)
    media = write_metadata(tmp_path, names)
    table = table_of(media)
    made = gallery(POLICY, table, substituted(table, DRAWN), media)
    assert made is not None
    assert made.kind == "audio"
    assert len(made.samples) == 8
    for sample in made.samples:
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(sample.after or "")))
        assert sample.mime_after.startswith("audio/")
        assert 0.5 < len(wave) / rate < 6
    page = to_html(replace(example(attributes=30, points=600, classes=100), gallery=made))
    assert len(page.encode()) < 2_000_000


# ------------------------------------------------------------------------------------------------- the command line

QUICK = ["--family", "logistic", "--setting", "A", "--no-pretrained", "--quiet"]


def people(folder: Path, grey: bool = False) -> Path:
    """Pictures whose left half tells who, and whose right half tells the word; grey: the left half is gone."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    names, n = [], 160
    who, word = rng.integers(0, 3, n), rng.integers(0, 2, n)
    for i in range(n):
        x = rng.integers(0, 60, (16, 16, 3))
        x[:, :8, who[i]] += 0 if grey else 150
        x[:, 8:, word[i]] += 150
        names.append(f"{i:03d}.png")
        Image.fromarray(x.astype(np.uint8)).save(folder / names[-1])
    if not grey:
        rows = zip(names, [WHO[w] for w in who], [WORD[w] for w in word], strict=True)
        with open(folder / "metadata.csv", "w", newline="") as file:
            csv.writer(file).writerows([("file_name", "who", "word"), *rows])
    return folder


@pytest.mark.slow
def test_audit_with_media_shows_the_drawn_pictures(tmp_path: Path) -> None:
    clips = people(tmp_path / "clips")
    t, m, x = str(tmp_path / "t.parquet"), str(tmp_path / "m"), str(tmp_path / "x.parquet")
    media = Media(clips, "image", read_metadata(clips))
    x_of = np.stack([np.asarray(Image.open(clips / n), np.float32).reshape(-1) for n in media.files])
    Table.of(x_of, {a: media.records[a].to_pylist() for a in ("who", "word")}, ids=media.ids).write(t)
    fit = ["fit", t, "-s", "who", "-p", "word", "-m", "substitution", "--set", "epochs=2", "-o", m, "--quiet"]
    assert main(fit) == 0
    assert main(["transform", m, t, "-o", x, "--quiet"]) == 0
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    words = ["audit", t, x, "--modifier", m, *QUICK, "--media", str(clips), "-o", str(page), "--json", str(data)]
    assert main(words) == 0
    found = read_report(data)
    assert found.gallery is not None
    assert len(found.gallery.samples) == 8
    assert "--media clips" in found.made["command"]
    assert "<img" in page.read_text()


@pytest.mark.slow
def test_audit_of_two_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, grey, data = people(tmp_path / "clips"), people(tmp_path / "grey", grey=True), tmp_path / "r.json"
    (grey / "000.png").rename(grey / "alien.png")
    words = [
        "audit",
        str(clips),
        str(grey),
        "-s",
        "who",
        "-p",
        "word",
        "-e",
        "pixels",
        "--set",
        "components=8",
        *QUICK[:-1],
        "--json",
        str(data),
    ]
    assert main(words) == 0
    messages = capsys.readouterr().out
    assert "1 file of clips left out" in messages
    assert "'000.png'" in messages
    assert "1 file of grey left out" in messages
    assert "'alien.png'" in messages
    assert ".parquet" not in messages
    report = read_report(data)
    who, word = report.headlines
    assert who.before > 0.9
    assert who.at_chance
    assert word.after > 0.9
    assert report.table["records"] == 159
    assert any("'000.png'" in note for note in report.table["notes"])
    assert report.gallery is not None
    assert len(report.gallery.samples) == 8
    assert "--extractor pixels --option=components=8" in report.made["command"]
    assert "released_sha256" not in report.made
    assert not [f for f in report.flaws if f.severity != "note"]
    assert "sordine release" not in json.dumps([f.message for f in report.flaws])


def test_audit_refuses_what_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, table = people(tmp_path / "clips"), tmp_path / "t.parquet"
    Table.of(np.ones((4, 2), np.float32), {"who": ["a", "b"] * 2}).write(table)
    (tmp_path / "other").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "other" / "no.png")
    before = sorted(tmp_path.rglob("*"))

    def refused(*words: object) -> str:
        capsys.readouterr()
        assert main(["audit", *map(str, words), "-s", "who", "--json", str(tmp_path / "r.json")]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before
        return line

    assert "t.parquet" in refused(clips, table)
    assert "t.parquet" in refused(table, clips)
    assert "--extractor" in refused(clips, tmp_path / "other")
    assert "is a file" in refused(clips, table, "-e", "pixels")
    assert "does not exist" in refused(clips, tmp_path / "none", "-e", "pixels")
    assert "--modifier" in refused(clips, tmp_path / "other", "-e", "pixels", "--modifier", tmp_path)
    assert "same name" in refused(clips, tmp_path / "other", "-e", "pixels")
    assert "steady" in refused(clips, tmp_path / "other", "-e", "encoder", "--set", "steady=mirror")
    assert "--media" in refused(table, table, "--media-after", clips)
