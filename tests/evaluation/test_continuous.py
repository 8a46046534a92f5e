"""Continuous attributes in an audit: known shares, chance, linear erasure, verdict, page and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sordine import Key, Policy, Run, Table, audit, fit, transform
from sordine.attacks.base import Split
from sordine.attacks.budget import Budget
from sordine.attacks.scenarios import AttackData
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.sections.base import AuditData
from sordine.evaluation.sections.continuous import Continuous, ContinuousFinding, state_of, worst_of
from sordine.evaluation.sections.continuous import _predicted as predicted_side
from sordine.methods.base import Method
from sordine.methods.registry import METHODS, make

AGE = Policy(("age",), (), ())
FAST = Budget(families=("logistic",), settings=("A",), person=(), cloud=0)
KEY = Key.of_seed(1)


def people(n: int = 900, seed: int = 0, noise: float = 0.1) -> Table:
    rng = np.random.default_rng(seed)
    age = rng.standard_normal(n)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    x[:, 0] = age + noise * rng.standard_normal(n)
    split = np.where(np.arange(n) % 3 > 0, "train", "test")
    table = Table.of(x, {"word": rng.integers(0, 3, n)}, ids=[f"p{i}" for i in range(n)], split=split)
    return table.with_continuous({"age": 50 + 10 * age})


def found_on(
    table: Table, after: np.ndarray, policy: Policy = AGE, budget: Budget = FAST
) -> tuple[ContinuousFinding, ...]:
    data = AuditData(table, table.with_x(after), table, after.astype(np.float32), policy, budget, AuditOptions(), Run())
    return Continuous().run(data)


def test_noise_leaves_the_share_that_theory_says() -> None:
    table = people(3000)
    rng = np.random.default_rng(5)
    after = table.x.copy()
    after[:, 0] = table.targets["age"] / 10 - 5 + rng.standard_normal(3000)
    (f,) = found_on(table, after)
    assert f.before == pytest.approx(1 / 1.01, abs=0.02)
    assert f.after == pytest.approx(0.5, abs=0.06)
    assert f.after_interval[0] < 0.5 < f.after_interval[1]
    assert f.share is not None
    assert f.low is not None
    assert f.high is not None
    assert f.share == pytest.approx(f.after / f.before)
    assert f.low < f.share < f.high
    # Spearman's correlation of normal numbers with Pearson's r = sqrt(1/2): 6 / pi asin(r / 2).
    assert f.rank_after == pytest.approx(6 / np.pi * np.arcsin(np.sqrt(0.5) / 2), abs=0.05)
    assert f.rank_after_interval[0] < f.rank_after < f.rank_after_interval[1]
    assert f.chance == pytest.approx(1.645**2 / 1000, rel=0.3)
    assert state_of(f, 0.05)[0] == "leaks"
    assert not f.at_chance


@pytest.mark.slow
def test_independent_releases_hold_in_19_of_20_cases() -> None:
    states, chances = [], 0
    for seed in range(20):
        table = people(900, seed)
        after = np.random.default_rng(100 + seed).standard_normal(table.x.shape)
        found = found_on(table, after, budget=replace(FAST, settings=("A", "B", "C")))
        assert len(found) == 3
        (worst,) = worst_of(found)
        states.append(state_of(worst, 0.05)[0])
        chances += all(f.at_chance for f in found)
        assert states[-1] != "leaks"
    assert chances >= 19
    assert states.count("holds") >= 19


def test_the_smallest_share_that_can_be_shown_grows_with_fewer_records_and_with_groups() -> None:
    many, few = people(2000), people(200)
    after = [np.random.default_rng(1).standard_normal(t.x.shape) for t in (many, few)]
    (big,), (small,) = found_on(many, after[0]), found_on(few, after[1])
    assert big.resolvable is not None
    assert small.resolvable is not None
    assert small.resolvable > 4 * big.resolvable
    assert small.not_excluded >= small.resolvable
    person = np.arange(2000) // 25
    rng = np.random.default_rng(0)
    age = rng.standard_normal(80)[person]
    x = rng.standard_normal((2000, 6)).astype(np.float32)
    x[:, 0] = age + 0.1 * rng.standard_normal(2000)
    split = np.where(person % 3 > 0, "train", "test")
    table = Table.of(x, {}, split=split, group=person).with_continuous({"age": age})
    (f,) = found_on(table, after[0])
    assert f.groups == 27
    assert f.resolvable is not None
    assert f.resolvable > 5 * big.resolvable


def test_linear_erasure_leaves_no_linear_dependence_and_a_kernel_finds_the_rest() -> None:
    rng = np.random.default_rng(0)
    n = 1500
    hidden = rng.standard_normal(n)
    age = hidden**2 + 0.5 * hidden
    x = np.stack([hidden, *rng.standard_normal((4, n))], 1).astype(np.float32)
    split = np.where(np.arange(n) % 3 > 0, "train", "test")
    table = Table.of(x, {"sex": hidden > 0}, split=split).with_continuous({"age": age})
    policy = Policy(("age", "sex"), (), ())
    modifier = fit(table, policy, "leace", run=Run(key=KEY))
    assert modifier.card.notes
    assert not any("binned" in note for note in modifier.card.notes)
    own = table.part("train")
    after = transform(modifier, own, KEY).x
    for z in (own.targets["age"], own.y["sex"]):
        covariance = (after - after.mean(0)).T @ (z - z.mean()) / len(own)
        assert np.abs(covariance).max() < 1e-3
    # A release in which hidden stays and its linear relation to age is removed by hand.
    even = np.stack([hidden, *rng.standard_normal((4, n))], 1)
    target = table.with_continuous({"age": hidden**2})
    erased = transform(fit(target, AGE, "leace", run=Run(key=KEY)), target.with_x(even.astype(np.float32)), KEY).x
    (f,) = found_on(target, erased)
    others = {kind: now for kind, _, now in f.others}
    assert f.attacker_after in ("kernel", "trees")
    assert f.after > 0.6
    assert others["ridge"] is not None
    assert others["ridge"] < 0.05


def test_methods_that_need_classes_get_quantile_classes_and_say_so() -> None:
    takes = {name for name in METHODS if METHODS.find(name).takes_continuous}
    assert {"leace", "noise", "nothing"} <= takes
    assert not {"transport", "flow", "substitution"} & takes
    table = people(400)
    modifier = fit(table, AGE, make("transport", {"size": 6}), run=Run(key=KEY))
    assert any("`age` is continuous" in note and "10 classes" in note for note in modifier.card.notes)
    assert isinstance(make("leace"), Method)


@pytest.mark.slow
def test_an_audit_judges_by_the_numbers_and_shows_them() -> None:
    table = people(900).with_continuous({"voice": np.random.default_rng(3).standard_normal((900, 2))})
    policy = Policy(("age",), ("word",), ("voice",))
    budget = Budget(families=("logistic",), person=(), cloud=0)
    leaking = audit(table, table.with_x(table.x), policy, budget=budget, options=AuditOptions(pretrained=False))
    assert leaking.verdict.level == "leaks"
    assert "`age`" in leaking.verdict.title
    assert {(f.attribute, f.role) for f in leaking.sections["continuous"]} == {("age", "suppress"), ("voice", "watch")}
    assert any("quantile classes" in h.sentence for h in leaking.headlines if h.attribute == "age")
    again = from_json(to_json(leaking))
    assert isinstance(again, Report)
    assert again.sections["continuous"] == leaking.sections["continuous"]
    assert json.loads(to_json(leaking))["sections"]["continuous"][0]["attribute"] == "age"
    page = to_html(leaking)
    assert 'id="continuous"' in page
    assert "Attacks on voice" in page
    noise = np.random.default_rng(8).standard_normal(table.x.shape).astype(np.float32)
    released = replace(table.with_x(noise), y={"word": table.y["word"]}, targets={})
    silent = audit(table, released, policy, budget=budget, options=AuditOptions(pretrained=False))
    assert silent.verdict.level in ("holds", "unclear")
    quick = audit(table, released, policy, budget=Budget.quick(), options=AuditOptions(pretrained=False))
    assert "continuous" not in quick.sections


def test_numbers_that_classes_hide_are_found() -> None:
    """Within every quantile class the release still orders the records: attacks on classes need not see that."""
    contribution = Continuous().contribution
    table = people(900)
    data = AuditData(table, table, table, table.x, AGE, FAST, AuditOptions(), Run())
    found = Continuous().run(data)
    added = contribution(found, data)
    assert added is not None
    ((share, what),) = added.gives
    assert share == pytest.approx(1)
    assert "`age`" in what
    assert added.over
    watched = tuple(replace(f, role="watch") for f in found)
    assert contribution(watched, data) is None


def test_a_suppressed_number_beside_the_release_is_a_leak(tmp_path: Path) -> None:
    table = people(300)
    released = replace(
        Table.of(np.random.default_rng(0).standard_normal((300, 6)), {}, ids=table.ids, split=None),
        extra={"age": table.targets["age"].astype(float), "weight": table.targets["age"] * 2.0},
    )
    report = audit(table, released, AGE, budget=FAST, options=AuditOptions(pretrained=False))
    assert {f.code for f in report.flaws if f.severity == "leak"} == {"suppressed-column", "telling-column"}
    assert report.verdict.level == "leaks"


def test_few_groups_are_unclear() -> None:
    table = people(900)
    (f,) = found_on(table, table.x)
    assert state_of(replace(f, groups=5), 0.05)[0] == "unclear"
    unknown = replace(f, share=None, low=None, high=None, low_corrected=None, resolvable=None)
    assert state_of(unknown, 0.05)[0] == "leaks"
    nothing = replace(unknown, after=0.0, after_interval=(-0.02, 0.01), at_chance=True)
    assert state_of(nothing, 0.05)[0] == "holds"
    assert state_of(replace(nothing, after_interval=(-0.02, 0.2)), 0.05)[0] == "unclear"


def test_the_lower_end_is_corrected_for_the_number_of_scenarios() -> None:
    table = people(900)
    after = table.x.copy()
    after[:, 0] += 2 * np.random.default_rng(2).standard_normal(900).astype(np.float32)
    (alone,) = found_on(table, after)
    first = found_on(table, after, budget=replace(FAST, settings=("A", "B", "C")))[0]
    for f in (alone, first):
        assert f.low is not None
        assert f.low_corrected is not None
        assert f.after_low_corrected is not None
    assert (alone.low_corrected, alone.after_low_corrected) == (alone.low, alone.after_interval[0])
    assert first.low == alone.low
    assert first.low_corrected < first.low
    assert first.after_low_corrected < first.after_interval[0]
    between = (first.low_corrected + first.low) / 2
    assert state_of(alone, between)[0] == "leaks"
    assert state_of(first, between)[0] == "unclear"
    assert state_of(replace(first, low_corrected=None), between)[0] == "leaks", "a report of an earlier version"


def test_a_scenario_that_leaks_decides_before_one_that_is_unclear() -> None:
    table = people(900)
    (f,) = found_on(table, table.x)
    clear = replace(f, setting="A", share=0.4, low=0.3, high=0.5, low_corrected=0.25)
    vague = replace(f, setting="B", share=0.6, low=-0.1, high=1.2, low_corrected=-0.2)
    data = AuditData(table, table, table, table.x, AGE, FAST, AuditOptions(), Run())
    added = Continuous().contribution((vague, clear), data)
    assert added is not None
    assert added.gives == ((0.4, "`age`"),)
    assert max(added.leakage) == 1.2
    assert not added.unclear


def test_each_fold_chooses_its_attack_on_its_own_validation_records() -> None:
    """Noise: chance decides which attack is best. A fold must not depend on the choice in another one."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 60)).astype(np.float32)
    target = rng.standard_normal((300, 1))
    side = AttackData(x, np.arange(300), {"age": np.zeros(300, int)}, {"age": 1}, np.zeros(300, bool))
    parts = np.array_split(rng.permutation(300), 3)
    folds = []
    for i in range(3):
        own = np.concatenate([parts[j] for j in range(3) if j != i])
        folds.append(Split(own[:150], own[150:], parts[i]))
    together = predicted_side(x, side, target, "age", folds)
    alone = [predicted_side(x, side, target, "age", [fold]) for fold in folds]
    assert len({one.attacker for one in alone}) > 1, "the folds choose differently"
    for one, predicted in zip(alone, np.split(together.predicted, 3), strict=True):
        assert predicted == pytest.approx(one.predicted)
    assert together.others == {}
