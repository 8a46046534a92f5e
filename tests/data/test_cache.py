"""The cache is private, bounded, listed and cleared."""

from __future__ import annotations

import os

import numpy as np
import pytest

from sordine.cli.app import main
from sordine.data.cache import clear, entries, make_room, open_cache, scratch
from sordine.data.mapped_array import MappedArray
from sordine.errors import SordineError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def array(number: int) -> MappedArray:
    made = MappedArray.of({"number": number}, (1000,), np.dtype(np.float32))
    made.make(lambda x: x.fill(number))
    return made


def test_nobody_else_can_open_it(folder, tmp_path, monkeypatch):
    path = array(1).path
    assert [p.stat().st_mode & 0o777 for p in (folder, path)] == [0o700, 0o600]
    monkeypatch.delenv("SORDINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "sordine").mkdir(mode=0o755)  # as an earlier version made it
    assert open_cache().stat().st_mode & 0o777 == 0o700


def test_the_least_recently_used_goes_first(folder, monkeypatch):
    paths = [array(i).path for i in range(3)]
    for path, used in zip(paths, (300, 100, 200), strict=True):
        os.utime(path, (used, used))
    monkeypatch.setenv("SORDINE_CACHE_LIMIT", str(3 * 4032))
    make_room(4032)
    assert [p.exists() for p in paths] == [True, False, True]
    make_room(1 << 30)
    assert [p.exists() for p in paths] == [False] * 3
    monkeypatch.setenv("SORDINE_CACHE_LIMIT", "much")
    with pytest.raises(SordineError, match="SORDINE_CACHE_LIMIT"):
        make_room(1)


def test_the_command_lists_and_clears_what_is_ours(folder, capsys):
    array(1)
    (folder / "mine.txt").write_text("not of Sordine")
    left = folder / ".table-1.x.12345678.part"
    left.mkdir()
    (left / "half").write_bytes(bytes(10))
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "4.0 KB  copy of a table: " in shown
    assert "10 bytes  unfinished: " in shown
    assert "mine" not in shown
    with scratch() as used:
        assert main(["cache", "--clear"]) == 0
        assert used.exists()
    assert "removed 2 entries" in capsys.readouterr().out
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]
    assert clear() == entries() == []
