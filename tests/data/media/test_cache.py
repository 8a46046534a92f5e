"""Decoded media: order, bad files, the cache and what may go wrong with it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest

from sordine.data.files import cache_folder
from sordine.data.media.cache import NotInstalled, blocks, decode
from sordine.data.media.folder import read_metadata
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind, Media
from sordine.data.media.video import Clips, by_frame
from sordine.errors import SordineError
from sordine.run import Run
from tests.fixtures.paths import ROOT

DATA = os.environ.get("SORDINE_DATA")


@dataclass(frozen=True)
class Numbers:
    """A file holds one number; its record is that number `width` times. calls: every file decoded, in any order."""

    width: int = 3

    kinds: ClassVar[tuple[Kind, ...]] = ("image", "audio")
    version: ClassVar[int] = 1
    calls: ClassVar[list[str]] = []

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.width,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float32)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        self.calls.append(path.name)
        text = path.read_text()
        if not text.isdecimal():
            raise SordineError(f"{path} holds no number")
        time.sleep(0.001 * (int(text) % 3))  # the later ones are often ready first
        return np.full(self.width, int(text) + 1000 * (frame or 0), np.float32), int(text)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    Numbers.calls.clear()
    return tmp_path / "cache"


def folder(root: Path, texts: list[str], kind: Kind = "image", **columns: list[Any]) -> Media:
    root.mkdir(exist_ok=True)
    names = [f"{i:04d}.png" for i in range(len(texts))]
    for name, text in zip(names, texts, strict=True):
        (root / name).write_text(text)
    return Media(root, kind, pa.table({"file_name": names, **columns}))


def contents(cache: Path) -> list[str]:
    return sorted(p.name for p in cache.iterdir()) if cache.exists() else []


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_records_keep_the_folders_order_whatever_the_workers(tmp_path, workers):
    texts = [str((7 * i) % 100) for i in range(100)]
    found = decode(folder(tmp_path / "m", texts), Numbers(), run=Run(workers=workers))
    assert isinstance(found.x, np.memmap)
    assert found.x.shape == (100, 3)
    np.testing.assert_array_equal(found.x[:, 1], [int(t) for t in texts])
    np.testing.assert_array_equal(found.lengths, [int(t) for t in texts])
    np.testing.assert_array_equal(found.rows, np.arange(100))
    assert (found.bad, found.kind, len(found)) == ((), "image", 100)
    with pytest.raises(ValueError, match="read-only"):
        found.x[0] = 0


def test_rows_of_one_file_are_told_apart_by_their_frames(tmp_path):
    media = folder(tmp_path / "m", ["5"])
    records = pa.table({"file_name": ["0000.png"] * 3, "frame": [2, 0, 1]})
    np.testing.assert_array_equal(decode(Media(media.root, "image", records), Numbers()).x[:, 0], [2005, 5, 1005])
    np.testing.assert_array_equal(decode(media, Numbers()).x[:, 0], [5])


def test_bad_files_are_named_and_left_out_only_when_told(tmp_path, cache):
    media = folder(tmp_path / "m", ["1", "bad", "3", "worse", "5"])
    for _ in range(2):  # decoded, then found
        with pytest.raises(SordineError) as caught:
            decode(media, Numbers())
        assert str(caught.value) == (
            f"{tmp_path / 'm' / '0001.png'} holds no number (2 bad files of 5); use --skip-bad to leave bad files out"
        )
    lines: list[str] = []
    found = decode(media, Numbers(), skip_bad=True, run=Run(log=lines.append))
    assert len(Numbers.calls) == 5
    np.testing.assert_array_equal(found.x, np.repeat([[1], [3], [5]], 3, axis=1))
    assert found.rows.tolist() == [0, 2, 4]
    assert found.lengths.tolist() == [1, 3, 5]
    assert [name for name, _ in found.bad] == ["0001.png", "0003.png"]
    assert lines == ["Left out 2 bad files of 5: 0001.png, 0003.png"]


def test_a_folder_of_nothing_but_bad_files_is_refused_and_not_remembered(tmp_path, cache):
    media = folder(tmp_path / "m", ["bad", "bad"])
    for skip in (False, True):
        with pytest.raises(SordineError, match=r"0000\.png holds no number \(2 bad files of 2\)$"):
            decode(media, Numbers(), skip_bad=skip)
    assert contents(cache) == []


def test_a_missing_or_unreadable_file_is_a_bad_one_until_it_is_there(tmp_path):
    media = folder(tmp_path / "m", ["1", "2", "3"])
    (media.root / "0001.png").unlink()
    found = decode(media, Numbers(), skip_bad=True)
    assert found.rows.tolist() == [0, 2]
    assert "0001.png cannot be read: No such file" in found.bad[0][1]
    (media.root / "0001.png").write_text("2")
    assert len(decode(media, Numbers())) == 3


def test_a_decoder_that_is_not_installed_makes_no_file_bad(tmp_path, cache, monkeypatch):
    def missing(self: Numbers, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        raise NotInstalled("install it")

    media = folder(tmp_path / "m", ["1", "2"])
    with monkeypatch.context() as without:
        without.setattr(Numbers, "decode", missing)
        with pytest.raises(NotInstalled):
            decode(media, Numbers(), skip_bad=True)
        with pytest.raises(NotInstalled):
            next(blocks(media, Numbers(), 2))
    assert contents(cache) == []
    assert len(decode(media, Numbers())) == 2


def test_a_second_time_nothing_is_decoded(tmp_path, cache):
    media = folder(tmp_path / "m", [str(i) for i in range(20)])
    seen: list[tuple[int, int]] = []
    first = decode(media, Numbers(), run=Run(progress=lambda what, done, of: seen.append((done, of))))
    assert seen[-1] == (20, 20)
    assert len(Numbers.calls) == 20
    seen.clear()
    second = decode(media, Numbers(), run=Run(workers=1, progress=lambda what, done, of: seen.append((done, of))))
    assert seen == [(20, 20)]
    assert len(Numbers.calls) == 20
    np.testing.assert_array_equal(first.x, second.x)
    assert len(contents(cache)) == 1


def test_what_changes_is_decoded_anew(tmp_path, cache, monkeypatch):
    media = folder(tmp_path / "m", ["1", "2"])
    assert decode(media, Numbers()).x[1, 0] == 2
    (media.root / "0001.png").write_text("7")
    os.utime(media.root / "0001.png", ns=(1, 1))  # the same size, another time
    assert decode(media, Numbers()).x[1, 0] == 7
    (media.root / "0001.png").write_text("17")
    os.utime(media.root / "0001.png", ns=(1, 1))  # the same time, another size
    assert decode(media, Numbers()).x[1, 0] == 17
    assert decode(media, Numbers(width=5)).x.shape == (2, 5)
    monkeypatch.setattr(Numbers, "version", 2)
    decode(media, Numbers())
    reversed_rows = Media(media.root, "image", media.records.take([1, 0]))
    assert decode(reversed_rows, Numbers()).x[0, 0] == 17
    assert len(contents(cache)) == 6
    assert len(Numbers.calls) == 12


def test_another_kind_and_an_empty_folder_are_refused(tmp_path):
    media = folder(tmp_path / "m", ["1"])
    for call in (decode, lambda m, d: blocks(m, d, 4)):
        with pytest.raises(SordineError, match="contains video"):
            call(Media(media.root, "video", media.records), Numbers())
        with pytest.raises(SordineError, match="no records"):
            call(Media(media.root, "image", media.records.slice(0, 0)), Numbers())
    assert len(decode(Media(media.root, "audio", media.records), Numbers())) == 1


@pytest.mark.parametrize("stop", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_decode_leaves_nothing(tmp_path, cache, stop):
    media = folder(tmp_path / "m", [str(i) for i in range(600)])

    def interrupt(what: str, done: int, of: int) -> None:
        raise stop

    with pytest.raises(stop):
        decode(media, Numbers(), run=Run(progress=interrupt))
    assert contents(cache) == []
    assert len(decode(media, Numbers())) == 600


def test_a_fault_in_a_decoder_is_no_bad_file(tmp_path, cache, monkeypatch):
    media = folder(tmp_path / "m", ["1"])
    monkeypatch.setattr(Numbers, "decode", lambda self, path, frame: (np.zeros(2, np.float32), 2))
    with pytest.raises(AssertionError):
        decode(media, Numbers(), skip_bad=True)
    assert contents(cache) == []


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    media = folder(tmp_path / "m", ["1"])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(SordineError, match=r"^cannot write .*: (File exists|Not a directory)"):
        decode(media, Numbers())


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, cache):
    media = folder(tmp_path / "m", ["1", "2", "3"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(SordineError, match=r"^cannot write .*: File too large$"):
            decode(media, Numbers(width=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(cache) == []


@pytest.mark.parametrize("damage", ["x", "lengths.npy", "bad.json"])
def test_a_damaged_cache_is_made_again(tmp_path, cache, damage):
    media = folder(tmp_path / "m", ["1", "2"])
    expected = decode(media, Numbers()).x.tolist()
    path = next(cache.iterdir()) / damage
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", bytes(len(whole)), bytes(255 - b for b in whole), None):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        assert decode(media, Numbers()).x.tolist() == expected
        assert path.read_bytes() == whole
    assert [p.stat().st_mode & 0o77 for p in (path.parent, *path.parent.iterdir())] == [0] * 6


def test_who_comes_second_takes_what_the_first_has_made(tmp_path, cache, monkeypatch):
    media = folder(tmp_path / "m", ["1", "2"])
    both, real = threading.Barrier(2), Numbers.decode

    def together(self: Numbers, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        if path.name == "0000.png":
            both.wait(20)
        return real(self, path, frame)

    monkeypatch.setattr(Numbers, "decode", together)
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(decode(media, Numbers(), run=Run(workers=1)).x.tolist())
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[1] * 3, [2] * 3]] * 2
    assert len(contents(cache)) == 1


PROCESS = """
import sys, time
from pathlib import Path
import pyarrow as pa
from sordine.data.media.kinds import Media
from sordine.data.media.cache import decode
from tests.data.media.test_cache import Numbers

root, me, other = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
real = Numbers.decode

def together(self, path, frame):
    (root.parent / me).touch()
    until = time.monotonic() + 60
    while not (root.parent / other).exists() and time.monotonic() < until:
        time.sleep(0.01)
    return real(self, path, frame)

Numbers.decode = together
names = sorted(p.name for p in root.iterdir())
print(decode(Media(root, "image", pa.table({"file_name": names})), Numbers()).x.sum())
"""


def test_two_processes_at_once(tmp_path, cache):
    folder(tmp_path / "m", [str(i) for i in range(30)])
    here = ROOT
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path / "m"), *names],
            cwd=here,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for names in (("one", "two"), ("two", "one"))
    ]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert (out.strip(), err) == (str(float(3 * sum(range(30)))), "")
    assert len(contents(cache)) == 1


def test_blocks_are_the_folder_in_pieces_and_kept_nowhere(tmp_path, cache):
    texts = [str(i) for i in range(10)]
    texts[3] = texts[4] = texts[9] = "bad"
    media = folder(tmp_path / "m", texts)
    found = list(blocks(media, Numbers(), 4, workers=3))
    assert [b.rows.tolist() for b in found] == [[0, 1, 2], [5, 6, 7], [8]]
    assert [[name for name, _ in b.bad] for b in found] == [["0003.png"], ["0004.png"], ["0009.png"]]
    for block in found:
        np.testing.assert_array_equal(block.x[:, 0], block.rows)
        np.testing.assert_array_equal(block.lengths, block.rows)
    only_bad = list(blocks(folder(tmp_path / "b", ["bad"] * 3), Numbers(), 2))
    assert [b.x.shape for b in only_bad] == [(0, 3), (0, 3)]
    assert contents(cache) == []


def test_a_reader_who_stops_stops_the_decoding(tmp_path, monkeypatch):
    real = Numbers.decode

    def slow(self: Numbers, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        time.sleep(0.05)
        return real(self, path, frame)

    monkeypatch.setattr(Numbers, "decode", slow)
    pieces = blocks(folder(tmp_path / "m", ["1"] * 50), Numbers(), 1, workers=1)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert len(Numbers.calls) <= 4  # of eight that wait


@dataclass(frozen=True)
class Large:
    """Records of 1 MiB; alive: those in memory now and at most."""

    kinds: ClassVar[tuple[Kind, ...]] = ("image",)
    version: ClassVar[int] = 1
    alive: ClassVar[list[int]] = [0, 0]
    lock: ClassVar[threading.Lock] = threading.Lock()

    shape: ClassVar[tuple[int, ...]] = (1 << 20,)
    dtype: ClassVar[np.dtype] = np.dtype(np.uint8)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        with self.lock:
            self.alive[0] += 1
            self.alive[1] = max(self.alive)
        return np.ones(self.shape, np.uint8).view(Counted), 1


class Counted(np.ndarray):
    """An array that says when it goes."""

    def __del__(self) -> None:
        if self.base is not None and self.shape == Large.shape:
            with Large.lock:
                Large.alive[0] -= 1


@pytest.mark.parametrize("workers", [1, 3])
def test_memory_does_not_grow_with_the_folder(tmp_path, workers):
    media = folder(tmp_path / "m", ["1"] * 300)
    Large.alive[:] = 0, 0
    found = decode(media, Large(), run=Run(workers=workers))
    assert int(found.x[:, -1].sum()) == 300
    assert Large.alive[1] <= 8 * workers + 3
    Large.alive[:] = 0, 0
    pieces = blocks(media, Large(), 10, workers=workers)
    next(pieces)
    assert Large.alive[1] <= 8 * workers + 10 + 3
    pieces.close()  # type: ignore[attr-defined]


def test_the_cache_is_where_it_is_told_to_be(tmp_path, cache):
    decode(folder(tmp_path / "m", ["1"]), Numbers())
    assert cache_folder() == cache
    (home,) = cache.iterdir()
    assert sorted(p.name for p in home.iterdir()) == ["bad.json", "checksum", "lengths.npy", "rows.npy", "x"]


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_real_folders_decode(tmp_path):
    root = Path(str(DATA)) / "utkface"
    faces = decode(Media(root, "image", read_metadata(root).slice(0, 20)), Pictures(32, 24))
    assert faces.x.shape == (20, 3, 32, 24)
    assert faces.x.reshape(20, -1).std(axis=1).min() > 5
    pytest.importorskip("av")
    root = Path(str(DATA)) / "avletters"
    records = read_metadata(root).slice(0, 4)
    frames = by_frame(Media(root, "video", records))
    assert len(frames) == sum(int(n) for n in records["n_frames"].to_pylist())
    clips = decode(frames, Clips(16, 20, frames=4))
    assert clips.x.shape == (len(frames), 4, 3, 16, 20)
