"""Budgets: the named ones, their errors, and the former name of a field."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest

from sordine.attacks.budget import Budget
from sordine.attacks.registry import ATTACKS
from sordine.errors import SordineError
from sordine.workflow.job import AuditPart
from sordine.workflow.job_runner import budget_of


def test_the_three_budgets() -> None:
    quick, standard, paranoid = Budget.quick(), Budget.standard(), Budget.paranoid()
    assert standard == Budget() == Budget.named("standard")
    both = ("logistic", "neighbours", "trees", "mlp", "resnet")
    assert tuple(f for f in standard.families if "standard" not in ATTACKS[f].released_only) == both
    added = ("discriminant", "screening", "kernel", "boosting", "wide")
    assert set(standard.families) == {*both, *added}
    assert (quick.plants, standard.plants, paranoid.plants) == (0, 20, 20)
    assert standard.settings == ("A", "B", "C")
    assert (standard.folds, standard.queries, standard.linkage, standard.person) == (3, 0, False, (1, 10, 50, 0))
    assert set(quick.families) < set(standard.families) < set(paranoid.families) == set(ATTACKS)
    assert (quick.person, quick.queries, quick.linkage) == ((), 0, False)
    assert (paranoid.person, paranoid.queries, paranoid.linkage) == ((1, 10, 50, 0), 5, True)
    assert Budget.named("quick", folds=4) == replace(quick, folds=4)
    assert Budget.named("paranoid").name == "paranoid"


def test_a_budget_refuses_what_makes_no_sense() -> None:
    with pytest.raises(SordineError, match="did you mean 'paranoid'"):
        Budget.named("paranoit")
    with pytest.raises(SordineError, match="person has -1"):
        Budget(person=(-1,))
    with pytest.raises(SordineError, match="queries is 1"):
        Budget(queries=1)
    with pytest.raises(SordineError, match="seed -1 is out of range"):
        Budget(seeds=(-1,))
    with pytest.raises(SordineError, match="families is empty"):
        Budget.named("quick", families=())


def test_the_old_name_of_the_resnet_size_is_accepted_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="resnet_size"):
        old = Budget(pictures="paper")  # type: ignore[call-arg]
    assert old == Budget(resnet_size="paper")
    with pytest.warns(DeprecationWarning, match="resnet_size"):
        assert old.pictures == "paper"  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert replace(old, folds=4) == Budget(resnet_size="paper", folds=4)


def test_a_budget_refuses_what_it_does_not_know() -> None:
    with pytest.raises(SordineError, match="did you mean 'logistic'"):
        Budget(families=("logistics",))
    with pytest.raises(SordineError, match="known: A, B, C"):
        Budget(settings=("D",))
    with pytest.raises(SordineError, match="seeds is empty"):
        Budget(seeds=())
    with pytest.raises(SordineError, match="did you mean 'paper'"):
        Budget(resnet_size="papers")  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "known"), [(None, (0.5, 0.9)), ([], ()), ([0.25], (0.25,))])
def test_a_job_says_which_classes_an_attacker_knows(given: list[float] | None, known: tuple[float, ...]) -> None:
    part = AuditPart() if given is None else AuditPart(known=tuple(given))
    assert budget_of(part).known == known


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({}, ()),
        ({"known": ()}, ("attackers that know classes of fitted records",)),
        ({"known": (0.25,)}, ("attackers that know more than 25.0 % of the classes of fitted records",)),
        ({"known": (0.9,)}, ()),
        ({"families": ("logistic", "mlp")}, ("7 of 9 attacks",)),
        ({"settings": ("A",), "tail": False}, ("scenarios B and C", "the tail")),
        ({"settings": ("A", "B")}, ("scenario C",)),
        ({"person": (1,), "risks": False}, ("attackers that pool records of one person", "risks besides inference")),
    ],
)
def test_what_a_budget_leaves_out_of_the_standard_one(changes: dict[str, Any], left_out: tuple[str, ...]) -> None:
    assert Budget.named("standard", **changes).left_out((8,)) == left_out


def test_a_trial_leaves_out_all_but_single_records() -> None:
    assert Budget.quick().left_out((8,)) == ("7 of 9 attacks", "all but single records, in a trial")


def test_the_paranoid_budget_leaves_nothing_out() -> None:
    assert Budget.paranoid().left_out((8,)) == ()
    assert Budget.paranoid().left_out((3, 32, 32)) == ()
