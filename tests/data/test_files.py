from __future__ import annotations

import os

import pytest

from sordine.data.files import atomic, refuse_existing
from sordine.errors import SordineError
from sordine.keys import Key


def test_what_force_never_replaces(tmp_path):
    Key.fresh().write(tmp_path / "m.key")
    kept = (tmp_path / "m.key").read_bytes()
    with pytest.raises(SordineError, match="is a key"), atomic(tmp_path / "m.key", force=True) as path:
        path.write_text("x")
    assert (tmp_path / "m.key").read_bytes() == kept
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SordineError, match="neither a file nor a folder"):
        refuse_existing(tmp_path / "pipe", True)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "modifier.json").write_text("{}")
    with pytest.raises(SordineError, match="inside the modifier"):
        refuse_existing(tmp_path / "m" / "out.parquet", True)


def test_a_block_that_fails_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), atomic(tmp_path / "a") as path:  # noqa: PT012 - the block is what fails
        path.write_text("half")
        raise RuntimeError
    assert (tmp_path / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    for content in ("old", "new"):  # a folder takes the place of a folder
        with atomic(tmp_path / "d") as path:
            path.mkdir()
            (path / content).write_text(content)
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["new"]


def test_a_full_disk_is_one_line(tmp_path):
    with pytest.raises(SordineError, match=r"cannot write .*No space left"), atomic(tmp_path / "a"):
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("force", [False, True])
def test_what_came_meanwhile_is_looked_at_before_it_is_replaced(tmp_path, force):
    def write():
        with atomic(tmp_path / "a", force=force) as path:
            path.write_text("mine")
            Key.fresh().write(tmp_path / "a")

    with pytest.raises(SordineError, match="is a key"):
        write()
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_came_meanwhile_is_not_moved_aside(tmp_path):
    def write():
        with atomic(tmp_path / "a", force=False) as path:
            path.write_text("mine")
            (tmp_path / "a").mkdir()

    with pytest.raises(SordineError, match="exists; use --force"):
        write()
    assert (tmp_path / "a").is_dir()
