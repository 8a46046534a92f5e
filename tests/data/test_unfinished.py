"""What killed processes leave is completed or removed, and nothing of a process that runs is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sordine.data import unfinished
from sordine.data.files import atomic, atomic_together
from sordine.errors import SordineError
from sordine.keys import Key

# Writes a.txt and the folder b, and is killed just before the n-th rename in the process.
KILLED = """
import os, signal, sys
from pathlib import Path
from sordine.data.files import atomic_together
left = int(sys.argv[2])
def count(event, arguments):
    global left
    if event == "os.rename" and (left := left - 1) < 0:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
with atomic_together(Path(sys.argv[1]) / "a.txt", Path(sys.argv[1]) / "b") as (a, b):
    a.write_text("new")
    b.mkdir()
    (b / "new").write_text("new")
"""


def killed(folder: Path, renames: int) -> bool:
    """Whether the script was killed before it ended."""
    found = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(renames)], timeout=60)
    assert found.returncode in (0, -signal.SIGKILL)
    return found.returncode != 0


@pytest.mark.parametrize("replace", [False, True])
def test_outputs_that_belong_together_are_there_together_after_the_next_call(tmp_path, replace):
    for renames in range(12):
        place = tmp_path / str(renames)
        place.mkdir()
        if replace:
            (place / "a.txt").write_text("old")
            (place / "b").mkdir()
            (place / "b" / "old").write_text("old")
        ended = not killed(place, renames)
        there = {p.relative_to(place).as_posix() for p in place.rglob("*") if ".part" not in str(p)}
        # Never is a new output beside an old one.
        assert not (there >= {"a.txt", "b"} and ((place / "a.txt").read_text() == "new") != ("b/new" in there)), renames
        unfinished.mend(place / "b")
        unfinished.mend(place / "a.txt")
        whole = {p.relative_to(place).as_posix() for p in place.rglob("*")}
        assert whole in ({"a.txt", "b", "b/new"}, {"a.txt", "b", "b/old"} if replace else set()), renames
        if ended:
            assert "b/new" in whole
            return
    pytest.fail("never ended")


def test_the_folder_of_a_running_process_stays(tmp_path):
    with atomic(tmp_path / "a") as path:
        path.write_text("1")
        unfinished.mend(tmp_path / "a")
        assert path.read_text() == "1"
        assert not unfinished.clear(path.parent)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_what_was_left_is_removed_by_the_next_call_of_the_same_output_alone(tmp_path):
    mine, other = tmp_path / ".a.12345678.part", tmp_path / ".a.b.12345678.part"
    for folder in (mine, other):
        folder.mkdir()
        (folder / "a").write_text("half")
    with atomic(tmp_path / "a") as path:
        path.write_text("whole")
    assert sorted(p.name for p in tmp_path.iterdir()) == [other.name, "a"]


def test_a_foreign_list_moves_nothing_to_another_place(tmp_path):
    """A list in a received folder cannot replace a key, or a file that has no temporary folder beside it."""
    folder, elsewhere = tmp_path / ".a.12345678.part", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (elsewhere / "victim").write_text("mine")
    (folder / "a").write_text("theirs")
    for listed in ([str(folder), str(elsewhere / "victim")], "x", [1], [str(folder), "\0"], [[]] * 9):
        (folder / unfinished.READY).write_text(json.dumps(listed))
        unfinished.mend(tmp_path / "b")
        assert (elsewhere / "victim").read_text() == "mine"
    Key.of_seed(1).write(tmp_path / "a")
    (folder / unfinished.READY).write_text(json.dumps([str(folder)]))
    unfinished.mend(tmp_path / "a")
    assert Key.read(tmp_path / "a") == Key.of_seed(1)
    assert not folder.exists()


def test_a_rename_that_fails_takes_the_others_back(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("old")
    real = os.replace

    def replace(source, target):
        if Path(target) == tmp_path / "b" and Path(source).read_text() == "new":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)

    def write():
        with atomic_together(tmp_path / "a", tmp_path / "b") as both:
            for path in both:
                path.write_text("new")

    with pytest.raises(SordineError, match="No space left"):
        write()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "old", "b": "old"}
