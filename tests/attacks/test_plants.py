"""A planted leak has the size that was asked for, under the best attack on it, and changes nothing else."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

from sordine.attacks import plants
from sordine.attacks.plants import KINDS, OutOfReach, Planter, plant
from sordine.errors import SordineError

N, WIDTH, SIZE = 8_000, 4, 0.3
TEETH = 64

Codes = Callable[[np.ndarray, int], list[np.ndarray]]  # records, classes -> class codes that an attacker may try


def bins(column: np.ndarray, classes: int) -> np.ndarray:
    return np.argsort(np.argsort(column)) * classes // len(column)


def sums(count: int) -> Codes:
    return lambda x, c: [
        sum(bins(x[:, j], c) for j in columns) % c for columns in combinations(range(x.shape[1]), count)
    ]


def combs(x: np.ndarray, classes: int) -> list[np.ndarray]:
    return [np.floor(column / (4 / TEETH / classes)).astype(int) % classes for column in x.T]


def last_bits(x: np.ndarray, classes: int) -> list[np.ndarray]:
    bits = int(classes - 1).bit_length()
    return [column.copy().view(np.uint32).astype(int) % 2**bits % classes for column in x.T]


MESSAGES: dict[str, Codes] = {
    "combination of two numbers": sums(2),
    "combination of three numbers": sums(3),
    "fine intervals of one number": combs,
    "last bits of one number": last_bits,
}


def records(classes: int, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, WIDTH)).astype(np.float32), rng.permutation(np.arange(n) % classes)


def leakage(predicted: np.ndarray, labels: np.ndarray) -> float:
    baseline = np.bincount(labels).max() / len(labels)
    return float(((predicted == labels).mean() - baseline) / (1 - baseline))


@pytest.mark.parametrize(("kind", "classes"), product(MESSAGES, (2, 3)))
def test_a_message_is_as_often_right_as_asked(kind: str, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plants, "CODED", (TEETH, TEETH))
    monkeypatch.setattr(plants, "LOWEST", 0)
    x, labels = records(classes)
    planted = plant(x, labels, classes, kind, SIZE, 1)
    if kind == "fine intervals of one number":  # its teeth are those of standardised numbers
        planted = (planted - x.mean(0)) / x.std(0)
    assert max(leakage(code, labels) for code in MESSAGES[kind](planted, classes)) == pytest.approx(SIZE, abs=0.03)


@pytest.mark.parametrize("kind", ["mean of one number", "mean of all numbers", "scale of one number", "covariance"])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_moved_distribution_leaks_as_much_as_asked(kind: str, classes: int) -> None:
    x, labels = records(classes)
    x = plant(x, labels, classes, kind, SIZE, 1)
    best = LinearDiscriminantAnalysis() if kind.startswith("mean") else QuadraticDiscriminantAnalysis()
    assert leakage(best.fit(x, labels).predict(x), labels) == pytest.approx(SIZE, abs=0.03)


def test_few_records_show_their_class_openly() -> None:
    x, labels = records(2)
    planted = plant(x, labels, 2, "few records", SIZE)
    shown = (np.abs(planted) > np.abs(x).max()).any(1)
    assert shown.mean() == pytest.approx(SIZE, abs=0.02)
    assert len(np.unique(labels[shown][planted[shown].max(1) > planted[shown].max() - 0.5])) == 1
    assert np.array_equal(planted[~shown], x[~shown])


def test_near_copies_are_of_their_class() -> None:
    x, labels = records(2, 400)
    planted = plant(x, labels, 2, "near copies", SIZE)
    moved = np.flatnonzero((planted != x).any(1))
    assert len(moved) / 400 == pytest.approx(SIZE / 2, abs=0.02)  # one of each pair is moved
    near = [int(((x - planted[i]) ** 2).sum(1).argmin()) for i in moved]
    assert (labels[near] == labels[moved]).mean() > 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_a_plant_is_reproducible_and_leaves_unlabelled_records_alone(kind: str) -> None:
    x, labels = records(2, 300)
    labels[:40] = -1
    original = x.copy()
    planted = plant(x.reshape(300, 2, 2), labels, 2, kind, 0.5, 3)
    assert planted.shape == (300, 2, 2)
    assert planted.dtype == np.float32
    assert np.array_equal(planted, plant(x.reshape(300, 2, 2), labels, 2, kind, 0.5, 3))
    assert np.array_equal(x, original)
    flat = planted.reshape(300, -1)
    assert np.array_equal(flat[:40], x[:40])
    assert not np.array_equal(flat, x)
    if KINDS[kind].moves:
        assert np.array_equal(np.unique(flat, axis=0), np.unique(x, axis=0)), "records keep their values"
    elif kind != "near copies":
        assert (flat == x).all(0).sum() == WIDTH - 1, "one number changes"


def test_wrong_kinds_and_sizes_are_refused() -> None:
    x, labels = records(2, 50)
    with pytest.raises(SordineError, match=r"unknown kind 'combs'.*fine intervals"):
        plant(x, labels, 2, "combs", 0.1)
    with pytest.raises(SordineError, match=r"size is 1\.5; it must lie between 0 and 1"):
        plant(x, labels, 2, "fine intervals of one number", 1.5)


@pytest.mark.parametrize("kind", [kind for kind, about in KINDS.items() if about.moves])
def test_a_plant_among_few_outputs_leaks_no_more_than_asked(kind: str) -> None:
    # Records are copies of 40 outputs. The best attack names the most frequent class of each output.
    rng = np.random.default_rng(3)
    output = rng.integers(0, 40, N)
    labels = rng.permutation(np.arange(N) % 2)
    x = rng.standard_normal((40, WIDTH)).astype(np.float32)[output]
    planted = plant(x, labels, 2, kind, 0.1, 1)
    _, which = np.unique(planted, axis=0, return_inverse=True)
    counts = np.bincount(2 * which.ravel() + labels, minlength=80).reshape(-1, 2)
    assert 0.04 < 2 * counts.max(1).sum() / N - 1 < 0.1 + 0.05  # 40 largest counts of two are a little high by chance


def test_labels_may_move_instead_of_records() -> None:
    x, labels = records(3, 300)
    labels[:30] = -1
    planter = Planter(x, labels, 3)
    made = planter.plant("mean of one number", 0.5, 2)
    assert made.labels is not None
    assert made.order is not None
    assert np.array_equal(np.bincount(made.labels[30:]), np.bincount(labels[30:]))
    assert np.array_equal(made.labels[:30], labels[:30])
    moved = planter.planted("mean of one number", 0.5, 2)
    by_label = {tuple(row): label for row, label in zip(x, made.labels, strict=True)}
    assert all(by_label[tuple(row)] == label for row, label in zip(moved, labels, strict=True))


@pytest.mark.parametrize("kind", ["mean of one number", "scale of one number"])
@pytest.mark.parametrize("uneven", [False, True])
def test_a_plant_among_many_classes_has_its_size(kind: str, uneven: bool) -> None:
    classes, size = 24, 0.2
    shares = np.full(classes, 0.2 / (classes - 1)) if uneven else np.full(classes, 1 / classes)
    if uneven:
        shares[3] = 0.8
    rng = np.random.default_rng(0)
    labels = rng.choice(classes, 40_000, p=shares)
    x = rng.standard_normal((len(labels), 1)).astype(np.float32)
    planted = plant(x, labels, classes, kind, size, 1)[:, 0]
    # The best attack looks at one number: the most frequent class in each of many intervals of it.
    interval = bins(planted, 400)
    counts = np.bincount(interval * classes + labels, minlength=400 * classes).reshape(400, classes)
    baseline = np.bincount(labels).max() / len(labels)
    assert (counts.max(1).sum() / len(labels) - baseline) / (1 - baseline) == pytest.approx(size, abs=0.05)


def test_pairs_of_near_copies_have_the_share_that_was_asked() -> None:
    x, labels = records(2, 2000)
    planted = plant(x, labels, 2, "near copies", 0.2, 1)
    near = np.sort(np.linalg.norm(planted[:, None] - planted, axis=2) + 9 * np.eye(len(x)), axis=1)[:, 0] < 0.06
    assert near.mean() == pytest.approx(0.2, abs=0.03)


def test_what_cannot_be_planted_is_refused() -> None:
    x, labels = records(2, 300)
    with pytest.raises(OutOfReach):
        plant(x, labels, 2, "scale of one number", 1.0)
