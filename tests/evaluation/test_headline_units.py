"""Headlines of records that belong to persons: what counts as a record, and what an interval of few persons says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.attacks.runner import AttackTask, Predictions, Readings, run_attacks, tasks_of
from sordine.attacks.scenarios import AttackData, splits, units_apart
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.headlines import figures
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import Headline
from sordine.evaluation.verdict import judge_contributions
from sordine.metrics.design_effect import effective_records
from sordine.policy import Policy

BUDGET = replace(Budget.quick(), families=("logistic",), permutations=2, cloud=20)
NULLS = 40
RECORDS = 24  # records of one person
CLASSES = {"sex": ["f", "m"]}


def people(
    seed: int, persons: int, tested: int, *, leak: float = 0.0, varies: bool = False, spread: float = 2.0
) -> tuple[AttackData, AttackData]:
    """Originals that reveal the sex, and a release that reveals the person, and by so much the sex."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(persons), RECORDS)
    n = len(person)
    sex = rng.integers(0, 2, n) if varies else rng.permutation(np.arange(persons) % 2)[person]
    body = spread * rng.standard_normal((persons, 5))[person] + rng.standard_normal((n, 5))
    body[:, 0] += 2 * leak * (sex - 0.5)
    x = np.column_stack([body, 8 * (sex - 0.5) + rng.standard_normal(n)]).astype(np.float32)
    released = np.column_stack([body, rng.standard_normal(n)]).astype(np.float32)
    ids = np.array([f"{rng.integers(1 << 60):015x}" for _ in range(n)], dtype=object)
    before = AttackData(x, ids, {"sex": sex}, {"sex": 2}, person >= tested, person)
    return before, replace(before, x=released)


def headline(data: tuple[AttackData, AttackData], *, counted: bool = True) -> Headline:
    tasks = tasks_of(["sex"], BUDGET)
    readings: Readings = {}
    for side, some in enumerate(data):
        readings |= {(side, task): made for task, made in run_attacks(some, tasks, BUDGET).items()}
    before, units = data[0], {}
    for scenario in BUDGET.settings if counted else ():
        plan = splits(before, "sex", scenario, 0, BUDGET.folds)  # type: ignore[arg-type]
        assert before.group is not None
        unit = None if isinstance(plan, str) else units_apart(before, "sex", plan, [before.group])
        if unit is not None:
            units["sex", scenario] = unit
    return figures(readings, {"sex": "suppress"}, CLASSES, BUDGET, units)[1][0]


def level(head: Headline) -> str:
    return judge_contributions([head], [], ("sex",), None)[0].level


@pytest.mark.slow
def test_few_persons_that_a_release_keeps_apart_are_no_leak() -> None:
    heads = [headline(people(seed, 20, 5)) for seed in range(NULLS)]
    assert sum(level(h) == "leaks" for h in heads) <= 0.06 * NULLS
    assert all(h.units is not None and h.units <= 15 for h in heads)
    alone = [level(headline(people(seed, 20, 5), counted=False)) for seed in range(20)]
    assert alone.count("leaks") >= 4, "the simulation is one that records alone get wrong"


@pytest.mark.slow
def test_a_leak_across_persons_is_found() -> None:
    heads = [headline(people(seed, 60, 20, leak=1.5, spread=0.5)) for seed in range(5)]
    assert [level(h) for h in heads] == ["leaks"] * 5


def test_persons_do_not_count_where_the_attribute_varies_within_them() -> None:
    data = people(0, 20, 5, leak=0.8, varies=True, spread=0.5)
    head, alone = headline(data), headline(data, counted=False)
    assert level(head) == level(alone) == "leaks"
    assert head.independent is not None
    assert head.independent[0] > 0.4 * head.records


def test_without_shared_persons_nothing_changes() -> None:
    before, released = people(0, 20, 5)
    single = np.arange(len(before.ids))
    every_one = tuple(replace(side, group=single) for side in (before, released))
    without = tuple(replace(side, group=None) for side in (before, released))
    assert headline(every_one) == headline(without, counted=False)  # type: ignore[arg-type]
    assert headline(every_one).units is None  # type: ignore[arg-type]


def test_a_person_with_records_on_both_sides_is_no_unit() -> None:
    before, _ = people(0, 20, 5)
    assert before.group is not None
    mixed = replace(before, fitted=np.arange(len(before.ids)) % 2 == 0)
    plan = splits(mixed, "sex", "A", 0, 3)
    assert not isinstance(plan, str)
    assert units_apart(mixed, "sex", plan, [before.group]) is None
    # Where the attacker has no label of any record of most persons, these persons are units.
    unlabelled = np.where(mixed.fitted & (before.group > 3), -1, before.labels["sex"])
    unit = units_apart(replace(mixed, labels={"sex": unlabelled}), "sex", plan, [before.group])
    assert unit is not None
    assert len(np.unique(unit[(before.group == 4) & ~mixed.fitted])) == 1
    assert len(np.unique(unit[(before.group == 3) & ~mixed.fitted])) == RECORDS // 2


def test_an_attribute_that_is_the_person_is_still_cross_validated() -> None:
    before, _ = people(0, 20, 5)
    assert before.group is not None
    named = replace(before, labels={"sex": before.group}, classes={"sex": 20})
    plan = splits(named, "sex", "C", 0, 3)
    assert not isinstance(plan, str)
    assert units_apart(named, "sex", plan, [before.group]) is None


@pytest.mark.parametrize("tested", [4, 5, 7])
def test_a_fold_has_whole_persons_where_the_attribute_follows_from_the_person(tested: int) -> None:
    before, _ = people(1, 24, tested)
    assert before.group is not None
    sex = before.group % 2
    plan = splits(replace(before, labels={"sex": sex}), "sex", "B", 0, 3)
    assert not isinstance(plan, str)
    for split in plan:
        assert not np.isin(before.group[split.test], before.group[split.own]).any()
        assert len(np.unique(sex[split.own])) == 2
    assert np.array_equal(np.sort(np.concatenate([s.test for s in plan])), np.flatnonzero(~before.fitted))
    lone = replace(before, labels={"sex": np.where(before.fitted, sex, (before.group == 0).astype(int))})
    assert isinstance(splits(lone, "sex", "B", 0, 3), str)


def test_a_report_counts_persons() -> None:
    before, released = people(0, 20, 5)
    split = np.where(before.fitted, "train", "test")
    names = {"sex": np.array(["f", "m"])[before.labels["sex"]]}
    original = Table.of(before.x, names, ids=before.ids, split=split, group=before.group)
    options = AuditOptions(pretrained=False, sections=("attacks",))
    after = Table.of(released.x, {}, ids=before.ids)
    whole = audit(original, after, Policy(("sex",)), budget=BUDGET, options=options)
    assert whole.headlines[0].units in (5, 15)
    assert whole.verdict.level == "unclear"
    # A named person counts, too, where the table has no groups.
    assert before.group is not None
    person = np.array([f"p{g}" for g in before.group])
    original = Table.of(before.x, {**names, "who": person}, ids=before.ids, split=split)
    named = audit(
        original,
        after,
        Policy(("sex",)),
        budget=replace(BUDGET, settings=("A",)),
        options=replace(options, person="who"),
    )
    assert named.headlines[0].units == 5


def test_effective_records() -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(20), 30)
    whole, single = np.arange(20) % 2, rng.integers(0, 2, 600)
    guess = rng.integers(0, 2, 600)
    assert effective_records(single, guess, np.arange(600)) == 600
    assert effective_records(single, guess, unit) > 300
    assert effective_records(whole[unit], guess, unit) > 300, "predictions are independent"
    assert effective_records(single, rng.integers(0, 2, 20)[unit], unit) > 300, "truth is independent"
    assert 15 <= effective_records(whole[unit], rng.permutation(whole)[unit], unit) <= 20
    assert effective_records(whole[unit], np.zeros(600, int), unit) <= 20, "one class does not show it"
    flips = np.where(rng.integers(0, 2, 20)[unit] == 1, single, 1 - single)
    assert effective_records(single, flips, unit) < 25, "right for some persons, wrong for others"
    assert effective_records(single, guess, np.zeros(600, int)) >= 1


def test_readings_of_several_seeds_are_averaged() -> None:
    unit = np.repeat(np.arange(10), 20)
    truth = (np.arange(10) % 2)[unit]
    rng = np.random.default_rng(3)
    budget = replace(BUDGET, settings=("A",), seeds=(0, 1))
    readings: Readings = {}
    for seed in budget.seeds:
        task = AttackTask("sex", "logistic", "A", seed)
        for side in (0, 1):
            predicted = truth if side == 0 else rng.integers(0, 2, 10)[unit]
            readings[side, task] = Predictions(np.arange(200), truth, predicted)
    findings, (head,) = figures(readings, {"sex": "suppress"}, CLASSES, budget, {("sex", "A"): unit})
    assert head.independent is not None
    assert head.independent == findings[0].independent
    assert head.units == 10
    assert head.independent[0] < 20
