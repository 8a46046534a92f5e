"""Limits hold before memory is taken, and hostile text is shown as text."""

from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc

import pytest
import torch
from torch import nn

from sordine.cli.app import main
from sordine.data.hostile import JSON_BYTES, parse_json, read_limited, read_tensors
from sordine.errors import SordineError, visible
from sordine.models.allocation import limited_allocation
from sordine.models.pretrained import read_state
from sordine.workflow.job import read_job

LAUGHS = "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}' if i else 'x'] * 9)}]\n" for i in range(10))
JOBS = {
    "aliases": LAUGHS,
    "merged aliases": LAUGHS.replace("a9: &a9 [", "a9: &a9\n <<: [").replace("[*", "[{<<: {}}, *"),
    "an alias of itself": "source: &a [*a]\n",
    "depth": "[" * 2000,
    "depth of mappings": "{a: " * 500,
    "a date": "source: 2020-13-45\n",
    "a tag": "source: !!int abc\n",
    "digits": f"seed: {'9' * 5000}\n",
    "NUL": 'source: "a\\0b"\n',
    "a surrogate": 'source: "\\ud800"\n',
    "a set": "source: !!set [1]\n",
    "an object": "source: !!python/object:os.system x\n",
    "size": f"source: '{'x' * 2_000_000}'\n",
}


@pytest.mark.parametrize("what", JOBS)
def test_a_hostile_job_is_one_line(tmp_path, what, capsys):
    (tmp_path / "job.yaml").write_text(JOBS[what])
    tracemalloc.start()
    with pytest.raises(SordineError):
        read_job(tmp_path / "job.yaml")
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert main(["run", str(tmp_path / "job.yaml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_alias_is_not_refused(tmp_path):
    (tmp_path / "t.csv").write_text("x,a,b\n1,2,3\n")
    (tmp_path / "job.yaml").write_text(
        "source: t.csv\npolicy: {suppress: &names [a], watch: *names}\n".replace("watch", "preserve")
    )
    with pytest.raises(SordineError, match="'a'"):  # understood: one attribute with two roles
        read_job(tmp_path / "job.yaml")


@pytest.mark.parametrize(
    "text",
    ["[" * 200_000, '{"a":' * 100 + "1" + "}" * 100, "1" * 5000, '"\\ud800"', '"\\u0000"', "[" + "1," * JSON_BYTES],
)
def test_hostile_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - any message
        parse_json(text)
    assert parse_json('{"a": [1, 2.5, null, "\\u00e9"]}') == {"a": [1, 2.5, None, "é"]}


def test_a_large_file_is_not_loaded(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(1 << 40)  # a hole: no block of the disk
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than"):
        read_limited(tmp_path / "a", 1000)
    with pytest.raises(ValueError, match="more than"):
        read_tensors(tmp_path / "a", "")
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_a_long_header_of_weights_is_refused(tmp_path):
    data = (1 << 40).to_bytes(8, "little") + b"{}"
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(ValueError, match="header"):
        read_tensors(tmp_path / "a", hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(50_000, 50_000),
        lambda: torch.zeros((10**6, 10**6)),
        lambda: torch.ones(10**6, 10**6),
        lambda: nn.Sequential(*(nn.Linear(300, 300) for _ in range(1000))),
    ],
)
def test_a_card_cannot_ask_for_more_memory_than_its_weights_need(make):
    with pytest.raises(ValueError, match="larger network"), limited_allocation(1 << 26):
        make()
    with limited_allocation(1 << 26):
        assert nn.Linear(100, 100)(torch.zeros(3, 100)).shape == (3, 100)


HOSTILE = "\x1b[31m\x9b0m\u202egnp.exe\u2066\r<script>alert(1)</script>"


def test_names_are_shown_as_text(tmp_path, capsys):
    shown = visible(HOSTILE)
    assert shown == "\\x1b[31m\\x9b0m\\u202egnp.exe\\u2066\\x0d<script>alert(1)</script>"
    assert visible("é ü 中 שלום 😀\n\t") == "é ü 中 שלום 😀\n\t"
    assert main(["fit", str(tmp_path / f"{HOSTILE}.parquet"), "-s", "a", "-o", str(tmp_path / "m")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "\\x1b[31m" in line
    assert line.isascii()
    table = tmp_path / "t.csv"
    table.write_text(f"x,{json.dumps(HOSTILE.replace(chr(13), ''))},b\n" + "1,2,3\n2,3,4\n" * 30)
    main(["inspect", str(table), "--no-measure"])
    out = capsys.readouterr().out
    assert "\\u202e" in out
    assert not set(out) & set("\x1b\x9b\u202e\u2066")


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize("zipped", [False, True])
def test_weights_run_no_code(tmp_path, suffix, zipped):
    path = tmp_path / f"w{suffix}"
    if zipped:
        torch.save({"a": Runs(tmp_path / "ran")}, path)
    else:
        path.write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    with pytest.raises(SordineError, match="not a file of weights"):
        read_state(path)
    assert not (tmp_path / "ran").exists()
