"""The runner: one or several releases, what is shared between them, and how the remaining time is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sordine.attacks.base import Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.mlp import MLP
from sordine.attacks.runner import attack_originals, attack_releases, cache_key, run_attacks, seconds_left, tasks_of
from sordine.attacks.scenarios import AttackData
from sordine.attacks.trees import Trees, distinct_records, trees_on_distinct
from sordine.data.table import Table
from sordine.run import Run

FAST = Budget(families=("logistic", "neighbours"))


def people(n: int = 320, seed: int = 0) -> Table:
    """Records in which the speaker moves the first half of the columns and the word the second."""
    rng = np.random.default_rng(seed)
    speaker, word = rng.integers(0, 3, n), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:, :4] += 3 * np.eye(4)[speaker]
    x[:, 4:] += 3 * np.eye(4)[word]
    split = np.where(np.arange(n) % 4 == 0, "test", "train")
    return Table.of(x, {"speaker": speaker, "word": word, "room": ["a", "b"] * (n // 2)}, split=split)


def scene(table: Table, x: Any = None) -> AttackData:
    names = ("speaker", "word")
    assert table.split is not None
    return AttackData(
        table.flat() if x is None else x,
        table.ids,
        {a: table.y[a] for a in names},
        {a: len(table.classes[a]) for a in names},
        table.split,
    )


def releases(table: Table) -> list[np.ndarray]:
    """Three releases: little noise, much noise, and copies of a few records."""
    rng = np.random.default_rng(1)
    flat = table.flat()
    copies = flat[:40][rng.integers(0, 40, len(flat))]
    return [flat + s * rng.normal(size=flat.shape).astype(np.float32) for s in (0.5, 2.0)] + [copies]


def test_classes_with_few_records_give_no_warning(recwarn: pytest.WarningsRecorder) -> None:
    n = 90
    data = replace(scene(people(n)), labels={"who": np.arange(n) * 2 // 3}, classes={"who": 60})
    attack_releases(data, [data], ["who"], Budget(families=("logistic", "boosting"), settings=("A",)))
    assert not [str(w.message) for w in recwarn if issubclass(w.category, UserWarning)]


@pytest.mark.slow
def test_several_releases_give_the_same_predictions_as_each_alone() -> None:
    table = people(160)
    budget = Budget(families=("logistic", "neighbours", "trees", "mlp"), settings=("A", "B"), folds=2)
    before, after = scene(table), [scene(table, x) for x in releases(table)]
    memory: dict[Any, Any] = {}
    made = attack_releases(before, after, ["speaker", "word"], budget, memory=memory)
    every = tasks_of(["speaker", "word"], budget, (8,))
    alone = [run_attacks(one, every, budget) for one in (before, *after)]
    for found, own in zip(made, alone[1:], strict=True):
        for piece in every:
            assert (found[0, piece].predicted == alone[0][piece].predicted).all()
            assert (found[1, piece].rows == own[piece].rows).all()
            same = (found[1, piece].predicted == own[piece].predicted).mean()
            if piece.attacker == "mlp":
                assert same > 0.98, "perceptrons are the same up to rounding"
            elif piece.attacker == "trees":
                assert same == 1 or own is alone[3], "only trees on copies are grown in another way"
            else:
                assert same == 1
    # What was read of the originals is read once.
    assert set(memory) == {cache_key(before, budget, piece) for piece in every}


def test_the_originals_are_attacked_once() -> None:
    table = people()
    before, memory = scene(table), {}
    first = attack_originals(before, ["speaker"], FAST, memory=memory)
    marked = {key: replace(found, predicted=found.predicted + 7) for key, found in memory.items()}
    again = attack_releases(before, [scene(table, x) for x in releases(table)], ["speaker"], FAST, memory=marked)
    for found in again:
        for (side, task), predictions in found.items():
            if side == 0:
                assert np.array_equal(predictions.predicted, first[0, task].predicted + 7)
    assert set(marked) == set(memory)


def test_releases_of_different_shapes_are_attacked_together() -> None:
    table = people()
    before, narrow = scene(table), scene(table, table.flat()[:, :4])
    budget = Budget(families=("mlp",), settings=("A",))
    both = attack_releases(before, [narrow, before], ["speaker"], budget)
    (task,) = tasks_of(["speaker"], budget, (8,))
    assert np.array_equal(both[0][1, task].predicted, run_attacks(narrow, [task], budget)[task].predicted)
    assert np.array_equal(both[1][1, task].predicted, both[1][0, task].predicted)


def test_progress_counts_every_job_and_short_work_has_no_estimate() -> None:
    table, steps, lines = people(), [], []
    run = Run(workers=2, log=lines.append, progress=lambda what, done, total: steps.append((what, done, total)))
    attack_releases(scene(table), [scene(table, table.flat() + 1)], ["speaker", "word"], FAST, run)
    assert steps == [("attacks", i, 12) for i in range(1, 13)]
    assert lines == []


def test_the_time_left_is_estimated_family_by_family() -> None:
    measured = [("trees", 100.0, 5.0), ("trees", 300.0, 15.0), ("logistic", 10.0, 1.0)]
    assert seconds_left(measured, [("trees", 200.0), ("logistic", 20.0), ("trees", 20.0)]) == pytest.approx(13.0)
    assert seconds_left(measured, []) == 0


def test_perceptrons_of_several_tables_are_those_of_each() -> None:
    table = people()
    rows = np.arange(320)
    trial = Split(rows[:160], rows[160:220], rows[220:])
    secrets = [Target(table.y[a], len(table.classes[a])) for a in ("speaker", "word")]
    tables = releases(table)
    together = MLP().fit_predict_releases(tables, trial, secrets)
    for x, found in zip(tables, together, strict=True):
        for one, alone in zip(found, MLP().fit_predict(x, trial, secrets), strict=True):
            assert (one == alone).mean() > 0.98
    assert (together[0][0] == table.y["speaker"][220:]).mean() > 0.9
    assert (together[2][0] == table.y["speaker"][220:]).mean() < 0.6


def test_trees_on_distinct_records_read_as_well_as_trees_on_copies() -> None:
    rng = np.random.default_rng(0)
    pool = rng.normal(size=(150, 6)).astype(np.float32)
    which = rng.integers(0, 150, 1500)
    tells = np.where(rng.random(1500) < 0.6, (pool[which, 0] > 0).astype(np.int64), rng.integers(0, 2, 1500))
    secrets = [Target(tells, 2), Target(rng.integers(0, 5, 1500), 5), Target(np.full(1500, -1), 2)]
    trial = Split(np.arange(600), np.arange(600, 800), np.arange(800, 1500))
    x = pool[which]
    assert len(distinct_records(x)[0]) == 150
    assert (distinct_records(x)[0][distinct_records(x)[1]] == x).all()
    for secret, one, other in zip(
        secrets, trees_on_distinct(x, trial, secrets), Trees().fit_predict(x, trial, secrets), strict=True
    ):
        truth = secret.labels[800:]
        assert abs((one == truth).mean() - (other == truth).mean()) < 0.05
        assert (one == other).mean() > 0.85
