"""Small budgets of `make chaos` and `make fuzz`, and that both find what is wrong."""

from __future__ import annotations

import random

import pytest

from benchmarks.harness import Store
from benchmarks.robustness import child
from benchmarks.robustness import page as page_module
from benchmarks.robustness.chaos import chaos
from benchmarks.robustness.fuzz import fuzz
from benchmarks.robustness.mutations import mutated_bytes, mutated_plain
from benchmarks.robustness.page import write_page
from sordine.data import unfinished
from sordine.evaluation import report_json
from sordine.evaluation.page import page


@pytest.fixture(scope="module", autouse=True)
def imported():
    child.ready()


def test_a_few_faults_leave_nothing_wrong(tmp_path, monkeypatch):
    store = Store("robustness", tmp_path)
    assert chaos(8, 0, ("fit", "release"), store) == 0
    assert sum(unit.read()["hit"] for unit in store.units("chaos--")) >= 4
    assert fuzz({"modifiers": 10, "jobs": 10, "reports": 10, "keys": 5}, 0, store) == 0
    assert sum(sum(unit.read()["codes"].values()) for unit in store.units("fuzz--")) == 35
    monkeypatch.setattr(page_module, "PAGE", tmp_path / "robustness.md")
    write_page(store)
    text = (tmp_path / "robustness.md").read_text()
    assert "| modifiers | 10 |" in text
    assert "`fit`, `release`" in text


@pytest.mark.slow
def test_more_faults_leave_nothing_wrong():
    assert chaos(24, 1, ("fit", "transform", "extract", "release", "run")) == 0


@pytest.mark.slow
def test_more_mutated_inputs_end_as_documented():
    assert fuzz({"modifiers": 150, "jobs": 150, "reports": 150, "keys": 50}, 1) == 0


def test_leftovers_are_found(monkeypatch, capsys):
    monkeypatch.setattr(unfinished, "mend", lambda target: None)
    assert chaos(8, 0, ("fit",)) > 0
    assert "left after the next run" in capsys.readouterr().out


def test_faults_of_the_program_are_found(monkeypatch, capsys):
    monkeypatch.setattr(report_json, "read_report", lambda path: 1 / 0)
    assert fuzz({"reports": 3}, 0) == 3
    assert "code 3" in capsys.readouterr().out


def test_live_text_is_found(monkeypatch, capsys):
    monkeypatch.setattr(page, "visible", lambda text: text + "\x1b")
    assert fuzz({"reports": 20}, 0) > 0
    assert "is live in again.html" in capsys.readouterr().out


def test_mutations_repeat():
    data, plain = bytes(range(200)), {"a": [1, {"b": "c"}], "d": None}
    for seed in range(50):
        assert mutated_bytes(data, random.Random(seed)) == mutated_bytes(data, random.Random(seed))
        assert repr(mutated_plain(plain, random.Random(seed))) == repr(mutated_plain(plain, random.Random(seed)))
    assert plain == {"a": [1, {"b": "c"}], "d": None}
    assert len({mutated_bytes(data, random.Random(seed)) for seed in range(50)}) > 30
