"""The arithmetic of the masking paper's results, and its tables."""

from __future__ import annotations

import pytest

from benchmarks.masking import checks
from benchmarks.masking.cases import CASES, COMPARED, SWEEP, rows_of
from benchmarks.masking.measure import unit_of
from benchmarks.masking.page import pace, rates
from benchmarks.masking.paper import TABLES


def test_a_baseline_is_read_at_equal_similarity_by_straight_lines() -> None:
    points = [(0.2, 0.5), (0.6, 0.7), (1.0, 0.9)]
    assert checks.at(points, 0.3) == pytest.approx(0.55)
    assert checks.at(points, 0.8) == pytest.approx(0.8)
    assert checks.at(points, 0.05) == 0.5  # beyond its end: what it has there
    # Two standard errors of a difference: sqrt((.5 x .5 + .9 x .1) / 100) = .0583.
    assert checks.noise(0.5, 0.9, 100) == pytest.approx(0.1166, abs=1e-4)


def test_every_row_of_the_results_has_a_file_of_its_own() -> None:
    for case in CASES.values():
        rows = rows_of(case)
        assert len({unit_of(case, row).name for row in rows}) == len(rows)
        assert {row.kind for row in rows} == {"original", "block", "blur", "masking"}
    compared = checks.compared(CASES["faces"])
    assert {(r.fields["keep"], r.seed) for r in compared if r.adversarial} == {
        *((keep, 0) for keep in SWEEP),
        *((COMPARED, seed) for seed in (1, 2)),
    }
    assert sum(r.adversarial for r in compared) * 2 == len(compared)


def test_the_papers_tables_stand_as_their_captions_say() -> None:
    # Section III.C swaps the two: hair colour is the one of 89.01 on originals.
    assert TABLES["II"].title.startswith("hair")
    assert TABLES["II"].rows["Original Image"] == (1.0, 89.01)
    for table in TABLES.values():
        ours, plain = table.rows["Our Method"], table.rows["Our Method - Non-Adversarial"]
        assert ours[0] < plain[0]
        assert 0 < plain[1] - ours[1] < 1.5


def test_steps_of_the_results_are_whole_epochs() -> None:
    assert pace(3000) == (2, 558, 186)  # the results' 450
    assert pace(1286) == (4, 480, 160)
    assert rates(4) == "1, 0.85, 0.5, 0.15"
