"""The forecast of a fit, on data whose truth is known, and the search for a strength that keeps it under a limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.models.cross_fitted import CrossFitted
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.leakage_limit import NotMet
from sordine.workflow.records_per_person import fit_for_persons

KEY, POLICY = Key.of_seed(0), Policy(("speaker",))
FAST = {"cells": 24, "size": 6, "rounds": 3, "parts": 4}


def records(n: int, speakers: int = 3, seed: int = 0) -> Table:
    """Speakers in three numbers, and four words in three others."""
    rng = np.random.default_rng(seed)
    speaker, word = np.arange(n) % speakers, rng.integers(0, 4, n)
    x = rng.standard_normal((n, 8))
    x[:, :3] += 3 * np.random.default_rng(9).standard_normal((speakers, 3))[speaker]
    x[:, 3:6] += 3 * np.random.default_rng(10).standard_normal((4, 3))[word]
    return Table.of(x.astype(np.float32), {"speaker": speaker, "word": word}, ids=[f"r{i}" for i in range(n)])


def test_a_release_of_the_originals_is_forecast_to_leak_nearly_all() -> None:
    modifier = fit(records(600), POLICY, "nothing", run=Run(key=KEY))
    (found,) = modifier.card.fit["forecast"]
    assert found["attribute"] == "speaker"
    assert found["classes"] == 3
    assert found["leakage"]["10"] > 0.95
    assert found["needed"] is None


def test_more_records_of_each_class_leave_less() -> None:
    shares = []
    for n in (300, 3000):
        modifier = fit(records(n), POLICY, make("transport", FAST), run=Run(key=KEY))
        (found,) = modifier.card.fit["forecast"]
        assert found["leakage"]["1"] <= found["leakage"]["10"] <= found["leakage"]["50"]
        assert all(found["leakage"][k] <= found["upper"][k] <= found["highest"][k] for k in found["leakage"])
        shares.append(found["highest"]["10"])
    assert shares[1] < shares[0] / 2


def test_records_of_the_fit_count_only_where_maps_are_cross_fitted() -> None:
    table = records(600)
    used = []
    for parts in (1, 4):
        modifier = fit(table, POLICY, make("transport", {**FAST, "parts": parts}), run=Run(key=KEY))
        used.append(modifier.card.fit["forecast"][0]["records"])
    assert used[1] > 3 * used[0]


def test_the_notes_say_how_many_records_would_be_needed() -> None:
    modifier = fit(records(300), POLICY, make("transport", {**FAST, "softness": 0.005}), run=Run(key=KEY))
    (found,) = modifier.card.fit["forecast"]
    assert found["needed"] > found["fitted"]
    assert any(f"{found['needed']:,} records of each class" in note for note in modifier.card.notes)


def test_a_class_without_unseen_records_has_no_forecast() -> None:
    table = records(400)
    speaker = np.where(np.arange(400) < 8, 3, table.y["speaker"])
    table = replace(
        table, y={**table.y, "speaker": speaker}, classes={**table.classes, "speaker": ("a", "b", "c", "d")}
    )
    split = np.arange(400) % 4 != 0
    split[:8] = True
    modifier = fit(replace(table, split=split), POLICY, make("transport", {**FAST, "parts": 1}), run=Run(key=KEY))
    assert modifier.card.fit["forecast"][0]["classes"] == 3


def test_more_records_of_a_person_need_a_more_private_strength() -> None:
    chosen = []
    for count in (1, 50):
        modifier = fit_for_persons(records(900), POLICY, "transport", count, Run(key=KEY), limit=0.4, settings=FAST)
        found = modifier.card.fit["records_per_person"]
        assert found["records"] == count
        assert found["forecast"] <= 0.4
        chosen.append(found["value"])
    assert chosen[1] > chosen[0]


def test_the_promise_is_for_records_of_the_fit_too() -> None:
    options = {name: value for name, value in FAST.items() if name != "parts"}
    modifier = fit_for_persons(records(900), POLICY, "transport", 5, Run(key=KEY), limit=0.4, settings=options)
    assert isinstance(modifier, CrossFitted)
    assert not any("Records of the fit" in note for note in modifier.card.notes)
    noisy = fit(records(300), POLICY, make("noise", {"sigma": 5.0}), run=Run(key=KEY))
    assert any("Records of the fit can give away much more" in note for note in noisy.card.notes)


def test_where_no_strength_suffices_the_best_is_named() -> None:
    with pytest.raises(NotMet, match="50 records of one person"):
        fit_for_persons(records(120), POLICY, "transport", 50, Run(key=KEY), limit=0.001, settings=FAST)


@pytest.mark.parametrize(("count", "limit"), [(0, 0.1), (-1, 0.1), (5, 0.0), (5, 1.0)])
def test_numbers_out_of_range_are_refused(count: int, limit: float) -> None:
    with pytest.raises(SordineError, match="records per person"):
        fit_for_persons(records(120), POLICY, "transport", count, Run(key=KEY), limit=limit)
