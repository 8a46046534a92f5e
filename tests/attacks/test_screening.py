"""Leaks that sit in one, two or three numbers, or in covariances: the attacks made for them find their true size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sordine.attacks.base import Split, Target, folds_of
from sordine.attacks.discriminant import Discriminant
from sordine.attacks.principal_axes import WIDEST
from sordine.attacks.scenarios import AttackData, splits
from sordine.attacks.screening import Screening
from sordine.run import Run

N, WIDTH, RIGHT = 1200, 12, 0.8  # a message is right for this share of the records

Leak = Callable[[np.ndarray, np.ndarray], None]  # changes records (n, d) in place, for a message (n,) of 0 and 1


def product_of(count: int) -> Leak:
    def leak(x: np.ndarray, message: np.ndarray) -> None:
        x[:, 0] *= (2 * message - 1) * np.sign(x[:, :count]).prod(1)

    return leak


def comb(x: np.ndarray, message: np.ndarray) -> None:
    tooth = np.floor(x[:, 3] / 0.05)
    x[:, 3] = (tooth + (message - tooth) % 2 + np.linspace(0.01, 0.99, len(x))) * 0.05


def last_bit(x: np.ndarray, message: np.ndarray) -> None:
    bits = x[:, 5].copy().view(np.uint32)
    x[:, 5] = ((bits & ~np.uint32(1)) | message.astype(np.uint32)).view(np.float32)


def last_digit(x: np.ndarray, message: np.ndarray) -> None:
    tens = 2 * np.floor(50 * x[:, 7])
    x[:, 7] = (tens + message) / 100


LEAKS: dict[str, Leak] = {
    "sign of two numbers": product_of(2),
    "sign of three numbers": product_of(3),
    "comb": comb,
    "last bit": last_bit,
    "last decimal digit": last_digit,
}


def trial(rng: np.random.Generator, n: int = N) -> Split:
    order, part = rng.permutation(n), rng.integers(0, 4, n // 2)
    own, held = order[: n // 2], part == 0
    return Split(own[~held], own[held], order[n // 2 :], np.concatenate([part[~held], part[held]]))


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_in_few_numbers_is_found_at_its_size(name: str) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, N)
    x = rng.standard_normal((N, WIDTH)).astype(np.float32)
    LEAKS[name](x, np.where(rng.random(N) < RIGHT, labels, 1 - labels))
    split = trial(rng)
    predicted = Screening().fit_predict(x, split, [Target(labels, 2)])[0]
    assert abs((predicted == labels[split.test]).mean() - RIGHT) < 0.05


def test_a_number_that_tells_one_class_of_many_is_found() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 12, N)
    x = rng.standard_normal((N, WIDTH)).astype(np.float32)
    x[labels == 4, 2] += 9
    split = trial(rng)
    predicted = Screening().fit_predict(x, split, [Target(labels, 12)])[0]
    one = labels[split.test] == 4
    assert (predicted[one] == 4).mean() > 0.95
    assert (predicted[~one] == 4).mean() < 0.05


def test_covariances_that_differ_by_class_are_found_where_no_mean_does() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, N)
    wide = np.where(np.arange(WIDTH) < WIDTH // 2, 1.5, 1 / 1.5)
    x = rng.standard_normal((N, WIDTH)) * np.where(labels[:, None] == 1, wide, 1 / wide)
    x = (x @ np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]).astype(np.float32)
    split = trial(rng)
    predicted = Discriminant().fit_predict(x, split, [Target(labels, 2)])[0]
    assert (predicted == labels[split.test]).mean() > 0.85


def test_cross_validation_within_the_attacker_s_own_records() -> None:
    split = trial(np.random.default_rng(4), 200)
    target = Target(np.arange(200) % 2, 2)
    folds = folds_of(target, split)
    assert [fold.part for fold in folds] == [0, 1, 2, 3]
    assert np.array_equal(folds[0].held, split.validation)
    for fold in folds:
        assert not set(fold.train) & set(fold.held)
        assert set(fold.train) | set(fold.held) == set(split.own)
    assert np.array_equal(np.sort(np.concatenate([fold.held for fold in folds])), np.sort(split.own))
    plain = folds_of(target, Split(split.train, split.validation, split.test))
    assert len(plain) == 1
    assert np.array_equal(plain[0].train, split.train)
    assert np.array_equal(plain[0].held, split.validation)
    assert folds_of(Target(np.zeros(200, np.int64), 2), split) == []
    some = Target(np.where(np.arange(200) % 3 == 0, -1, np.arange(200) % 2), 2)
    assert all(
        (some.labels[fold.train] >= 0).all() and (some.labels[fold.held] >= 0).all() for fold in folds_of(some, split)
    )


@pytest.mark.parametrize("width", [1, 2, 3])
def test_narrow_records_are_screened(width: int) -> None:
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, 400)
    x = rng.standard_normal((400, width)).astype(np.float32)
    x[:, 0] += 4 * labels
    split = trial(rng, 400)
    predicted = Screening().fit_predict(x, split, [Target(labels, 2)])[0]
    assert (predicted == labels[split.test]).mean() > 0.9


def test_two_of_many_classes_are_enough() -> None:
    rng = np.random.default_rng(7)
    labels = rng.choice([3, 11], 400)
    x = rng.standard_normal((400, 4)).astype(np.float32)
    x[:, 0] += 4 * (labels == 3)
    split = trial(rng, 400)
    predicted = Screening().fit_predict(x, split, [Target(labels, 12)])[0]
    assert (predicted == labels[split.test]).mean() > 0.9


def test_of_wide_records_the_numbers_that_vary_most_are_screened() -> None:
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, 300)
    x = 0.1 * rng.standard_normal((300, WIDEST + 200)).astype(np.float32)
    x[:, -1] = 5 * labels + rng.standard_normal(300)
    split = trial(rng, 300)
    predicted = Screening().fit_predict(x, split, [Target(labels, 2)])[0]
    assert (predicted == labels[split.test]).mean() > 0.9


def test_no_group_is_on_both_sides_of_the_cross_validation() -> None:
    n = 300
    group = np.arange(n) // 5
    ids = np.array([f"r{i}" for i in range(n)], dtype=object)
    labels = np.random.default_rng(5).integers(0, 2, n)
    extra = np.arange(n) >= 280
    fitted = (group % 2 == 0) & ~extra
    data = AttackData(np.zeros((n, 3), np.float32), ids, {"a": labels}, {"a": 2}, fitted, group, extra)
    for scenario in ("A", "B"):
        for split in splits(data, "a", scenario, 0, 3):
            folds = folds_of(Target(labels, 2), split)
            assert len(folds) == 4
            for fold in folds:
                assert not set(group[fold.train]) & set(group[fold.held])
                assert not extra[fold.held].any()
                assert set(np.flatnonzero(extra)) <= set(fold.train)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("numbers", [[4], [2, 9], [0, 5, 11]])
def test_replaced_numbers_give_what_a_new_search_gives(numbers: list[int], classes: int) -> None:
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((N, WIDTH)).astype(np.float32)
    target, split = Target(rng.integers(0, classes, N), classes), trial(rng)
    values = rng.standard_normal((N, len(numbers))).astype(np.float32)
    values[:, -1] += 0.4 * (target.labels % 2)
    whole = x.copy()
    whole[:, numbers] = values
    attack = Screening().prepare(x, split, target, Run())
    (found,) = Screening().fit_predict(whole, split, [target])
    assert np.array_equal(attack.replaced(np.array(numbers), values), found)
    (before,) = Screening().fit_predict(x, split, [target])
    assert np.array_equal(attack.relabelled(target.labels), before)
