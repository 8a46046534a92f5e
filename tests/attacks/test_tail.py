"""The tail: one person, class or subgroup that is inferred is found; chance is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sordine.attacks.tail import BOUND, Part, by_class, by_person, by_rare_class, by_subgroup, holm, surest, worst


def found(parts: list[Part], limit: float = 0.05) -> list[int]:
    """The codes of the parts that are clearly inferred, corrected for their number."""
    p = holm([part.p for part in parts])
    confidence = 1 - 0.05 / len(parts)
    return [part.code for part, q in zip(parts, p, strict=True) if q <= 0.05 and part.ends(confidence)[0] > limit]


@pytest.mark.parametrize(("persons", "each"), [(20, 30), (50, 20)])
def test_one_person_who_is_inferred_entirely_is_found(persons: int, each: int) -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(persons), each)
    predicted = rng.integers(0, persons, len(truth))
    assert found(list(by_class(truth, predicted, "speaker", None))) == []
    predicted[truth == 7] = 7
    assert found(list(by_class(truth, predicted, "speaker", None))) == [7]
    (she,) = [part for part in by_class(truth, predicted, "speaker", None) if part.code == 7]
    assert she.leakage > 0.9
    assert she.ends(0.95)[0] > 0.7


def test_a_rare_class_that_leaks_is_found_though_accuracy_hides_it() -> None:
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.repeat([0, 1], [1980, 20]))
    predicted = np.zeros(2000, np.int64)
    predicted[truth == 1] = rng.random(20) < 0.8
    assert 1 in found(list(by_class(truth, predicted, "illness", None)))
    predicted = (rng.random(2000) < 0.01).astype(np.int64)
    assert found(list(by_class(truth, predicted, "illness", None))) == []


def test_rare_classes_are_tested_exactly_and_by_person() -> None:
    truth, few = np.repeat([0, 1, 2], [295, 3, 2]), np.array([1, 2, 3])
    predicted = np.where(truth == 1, 1, 0)
    one, two = by_rare_class(truth, predicted, few, None)  # no record of class 3
    assert (one.code, one.records, one.right, one.expected) == (1, 3, 3, pytest.approx(0.03))
    assert one.p == pytest.approx(1 / math.comb(300, 3))
    assert (two.code, two.right, two.p) == (2, 0, 1.0)
    # The three records are of one of 100 persons, so there is one lucky hit in 100.
    alike, _ = by_rare_class(truth, predicted, few, np.r_[np.arange(98).repeat(4)[:295], 98, 98, 98, 99, 99])
    assert (alike.records, alike.right) == (1, 1)
    assert alike.p == pytest.approx(1 / len(np.unique(np.r_[np.arange(98).repeat(4)[:295], 98, 99])))


def test_rare_classes_are_not_inferred_by_chance() -> None:
    false = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth, predicted = rng.integers(0, 150, 300), rng.integers(0, 150, 300)
        found = list(by_rare_class(truth, predicted, np.arange(150), None))
        false += bool((holm([rare.p for rare in found]) <= 0.05).any())
    assert false <= 6


def test_chance_is_no_tail() -> None:
    false = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth, predicted = rng.integers(0, 12, 600), rng.integers(0, 12, 600)
        group = rng.integers(0, 8, 600)
        parts = [*by_class(truth, predicted, "a", None), *by_subgroup(truth, predicted, "b", group, None)]
        false += bool((holm([part.p for part in parts]) <= 0.05).any())
    assert false <= 4


def test_persons_who_are_predicted_alike_by_chance_are_not_inferred() -> None:
    false = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        owner = np.repeat(np.arange(30), 20)
        sex = (np.arange(30) % 2)[owner]
        predicted = rng.integers(0, 2, 30)[owner]  # each person entirely right or entirely wrong
        group = rng.integers(0, 3, len(owner))
        parts = [
            *by_class(sex, predicted, "sex", owner),
            *by_person(sex, predicted, "person", owner),
            *by_subgroup(sex, predicted, "word", group, owner),
        ]
        assert {part.kind for part in parts} == {"class", "person", "subgroup"}
        false += bool(found(parts))
    assert false <= 1
    owner = np.repeat(np.arange(30), 40)
    sex = (np.arange(30) % 2)[owner]
    predicted = np.random.default_rng(0).integers(0, 2, len(owner))
    predicted[owner == 4] = sex[owner == 4]
    assert found(list(by_person(sex, predicted, "person", owner))) == [4]


def test_the_interval_of_a_person_allows_for_how_much_persons_differ() -> None:
    """Persons are predicted alike by chance: some shares are far from the mean of all, although nothing is inferred."""
    above = tested = 0
    owner = np.repeat(np.arange(30), 40)
    sex = (np.arange(30) % 2)[owner]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        predicted = (rng.random(len(owner)) < rng.beta(5, 5, 30)[owner]).astype(np.int64)
        parts = list(by_person(sex, predicted, "person", owner))
        tested += len(parts)
        above += sum(part.ends(0.9)[0] > 0 for part in parts)
    assert tested == 300
    assert above <= 0.05 * tested


def test_a_subgroup_that_is_inferred_is_found() -> None:
    rng = np.random.default_rng(0)
    truth, predicted, group = (rng.integers(0, 3, 900) for _ in range(3))
    own = group == 1
    predicted[own] = np.where(rng.random(own.sum()) < 0.6, truth[own], predicted[own])
    assert found(list(by_subgroup(truth, predicted, "word", group, None))) == [1]


def test_few_records_and_one_class_are_not_tested() -> None:
    truth = np.array([0] * 30 + [1] * 3)
    assert [part.code for part in by_class(truth, truth, "a", None)] == [0]
    assert list(by_class(np.zeros(30, int), np.zeros(30, int), "a", None)) == []
    assert list(by_subgroup(truth, truth, "b", np.array([0] * 30 + [-1] * 3), None)) == []
    assert list(by_person(np.arange(40) % 2, np.zeros(40, int), "p", np.arange(40) // 10)) == []


def test_holm() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.9]).tolist() == [1, 1]


def test_the_surest_records_are_chosen_on_the_other_half() -> None:
    rng = np.random.default_rng(0)
    n = 2000
    ids = np.array([f"r{i}" for i in range(n)])
    truth = rng.integers(0, 5, n)
    chance = {f"attack {a}": rng.integers(0, 5, n) for a in range(6)}
    nothing = surest(np.arange(n), ids, truth, chance)
    assert (nothing.score > BOUND).mean() < 0.005
    low, high = worst(nothing).ends(0.95)
    assert low < 0 < high
    # One attack predicts class 3 for one record in ten, and is right about it.
    told = rng.random(n) < 0.1
    truth[told] = 3
    chance["attack 0"] = np.where(told, 3, rng.integers(0, 3, n))
    some = surest(np.arange(n), ids, truth, chance)
    assert worst(some).accuracy == 1
    assert worst(some).ends(0.95)[0] > 0.9
    assert (some.score[told] > 0.8).all()
    assert some.right[told].all()
    assert (some.score[~told] > BOUND).mean() < 0.02
