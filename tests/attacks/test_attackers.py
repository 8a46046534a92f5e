"""Attacks on vectors: their accuracy alone and side by side; and the splits of the scenarios."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sordine.attacks.base import Split, Target, moments, rescaled
from sordine.attacks.budget import Budget
from sordine.attacks.mlp import Task, train_together
from sordine.attacks.principal_axes import principal_axes
from sordine.attacks.registry import ATTACKS, accepts
from sordine.attacks.runner import AttackTask, grouped, run_attacks, tasks_of
from sordine.attacks.scenarios import AttackData, splits

VECTORS = [name for name in ATTACKS if accepts(name, (8,))]


def blobs(n: int, classes: int, width: int, apart: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Records around one centre a class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    centres = rng.standard_normal((classes, width)) * apart
    return (centres[labels] + rng.standard_normal((n, width))).astype(np.float32), labels


def cut(n: int, seed: int = 0) -> Split:
    rows = np.random.default_rng(seed).permutation(n)
    return Split(rows[: n // 2], rows[n // 2 : 2 * n // 3], rows[2 * n // 3 :])


def scene(n: int = 400, *, group: np.ndarray | None = None, fitted: np.ndarray | None = None) -> AttackData:
    x, labels = blobs(n, 3, 6, 2.0)
    ids = np.array([f"id-{i}" for i in range(n)], dtype=object)
    split = np.arange(n) % 2 == 0 if fitted is None else fitted
    return AttackData(x, ids, {"secret": labels}, {"secret": 3}, split, group)


@pytest.mark.parametrize("family", VECTORS)
def test_predicts_a_target_but_not_noise(family: str) -> None:
    x, labels = blobs(600, 4, 8, 2.0)
    noise = np.random.default_rng(9).integers(0, 4, 600)
    trial = cut(600)
    there, nothing = ATTACKS[family]().fit_predict(x, trial, [Target(labels, 4), Target(noise, 4)])
    assert (there == labels[trial.test]).mean() > 0.94
    assert abs((nothing == noise[trial.test]).mean() - 0.25) < 0.11


@pytest.mark.parametrize(("family", "width"), [("logistic", 600), ("trees", 8)])
def test_predictions_that_are_always_wrong_are_inverted(family: str, width: int) -> None:
    """Every record has a neighbour of another class in training, so the likeliest class is always wrong."""
    rng = np.random.default_rng(0)
    place = rng.standard_normal((300, width))
    x = np.concatenate([place, place + 1e-3 * rng.standard_normal(place.shape)]).astype(np.float32)
    first = rng.integers(0, 2, 300)
    labels = np.concatenate([first, 1 - first])
    trial = Split(np.arange(300), np.arange(300, 400), np.arange(400, 600))
    read = ATTACKS[family]().fit_predict(x, trial, [Target(labels, 2)])[0]
    assert (read == labels[trial.test]).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("family", VECTORS)
def test_unlabelled_records_take_no_part(family: str) -> None:
    x, labels = blobs(600, 3, 8, 2.0)
    trial = cut(600)
    some = labels.copy()
    some[trial.train[::3]] = -1
    some[trial.validation[::3]] = -1
    spoiled = x.copy()
    read = ATTACKS[family]().fit_predict(x, trial, [Target(some, 3)])[0]
    assert (read == labels[trial.test]).mean() > 0.95
    assert set(np.unique(read)) <= {0, 1, 2}
    assert np.array_equal(x, spoiled), "records are not written to"


@pytest.mark.parametrize("family", VECTORS)
def test_survives_one_class_constant_columns_and_few_records(family: str) -> None:
    x = np.zeros((12, 3), np.float32)
    trial = Split(np.arange(6), np.arange(6, 9), np.arange(9, 12))
    one = np.zeros(12, np.int64)
    two = np.arange(12) % 2
    nobody = np.full(12, -1)
    found = ATTACKS[family]().fit_predict(x, trial, [Target(one, 1), Target(two, 2), Target(nobody, 2)])
    assert [len(f) for f in found] == [3, 3, 3]
    assert (found[0] == 0).all()


@pytest.mark.parametrize("family", VECTORS)
def test_wide_tables_are_attacked(family: str) -> None:
    rng = np.random.default_rng(0)
    x, labels = blobs(300, 3, 20, 2.0)
    wide = (x @ rng.standard_normal((20, 2500))).astype(np.float32)
    s = replace(scene(300), x=wide, labels={"secret": labels})
    assert s.is_wide
    assert s.numbers().shape == (300, 20), "no more axes than there are directions"
    piece = AttackTask("secret", family, "A", 0)
    found = run_attacks(s, [piece])[piece]
    assert (found.predicted == found.truth).mean() > 0.95


def test_principal_axes_are_those_of_all_columns_alike() -> None:
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6)) * [1, 1, 1e3, 1, 1e-3, 1] + 7).astype(np.float32)
    x[:, 5] = 2.0
    z = (x - x.mean(0)) / np.where(x.std(0) > 1e-5, x.std(0), 1)
    axes = principal_axes(x, 2)
    assert np.allclose(axes.along.T @ axes.along, np.eye(2), atol=1e-3)
    assert np.allclose(axes(x).var(0), np.linalg.svd(z, compute_uv=False)[:2] ** 2 / 200, rtol=1e-3)
    assert principal_axes(x, 9).along.shape == (6, 5)


def test_trees_see_a_single_number_of_a_wide_record() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    wide = rng.integers(0, 256, (400, 3, 30, 30)).astype(np.uint8)
    wide[:, 1, 4, 5:25] = 255 * labels[:, None]
    s = replace(scene(400), x=wide, labels={"secret": labels}, classes={"secret": 2})
    piece = AttackTask("secret", "trees", "A", 0)
    found = run_attacks(s, [piece])[piece]
    assert (found.predicted == found.truth).mean() > 0.9


@pytest.mark.parametrize("family", VECTORS)
@pytest.mark.parametrize("size", [1e-13, 1e-30])
def test_a_secret_in_numbers_that_hardly_vary_is_read(family: str, size: float) -> None:
    labels = np.random.default_rng(1).integers(0, 2, 240)
    x = np.random.default_rng(0).standard_normal((240, 4)).astype(np.float32)
    x[:, 3] = labels * size
    told = AttackData(x, np.arange(240).astype(str), {"secret": labels}, {"secret": 2}, np.arange(240) % 2 == 0)
    read = run_attacks(told, [AttackTask("secret", family, "A", 0)])[AttackTask("secret", family, "A", 0)]
    assert (read.predicted == read.truth).mean() > 0.95


def test_a_column_is_constant_only_where_it_does_not_vary() -> None:
    rng = np.random.default_rng(0)
    usual = (rng.standard_normal((90, 3)) * [1, 1e-3, 1e6]).astype(np.float32)
    assert rescaled(usual) is usual, "nothing to scale, nothing copied"
    side = rng.integers(0, 2, 90)
    odd = np.stack([usual[:, 0], side * 1e-13, side * 1e-40, side * 1e30, np.full(90, 0.1)], 1).astype(np.float32)
    scaled = rescaled(odd)
    assert np.array_equal(scaled[:, [0, 4]], odd[:, [0, 4]])
    assert np.all((np.ptp(scaled[:, 1:4], 0) >= 1) & (np.ptp(scaled[:, 1:4], 0) < 2))
    mean, scale = moments(odd, np.arange(90))
    z = (odd - mean) / scale
    assert np.allclose(z[:, [0, 1, 3]].std(0), 1)
    assert not z[:, 4].any()
    near = np.float32(1e-6) + side * np.spacing(np.float32(1e-6))  # by rounding around a mean
    assert np.allclose(((near - near.mean()) / moments(near[:, None], np.arange(90))[1]).std(), 1, atol=0.1)
    axes = principal_axes(np.stack([usual[:, 0], (side - 0.5) * 1e-13], 1).astype(np.float32))
    assert axes.scale[1] < 1e-12
    assert axes.along.shape == (2, 2)


def test_faint_pictures_are_measured() -> None:
    from sordine.attacks import convnet as convolution
    from sordine.attacks import resnet as pictures
    from sordine.attacks.reconstruction import decoder

    x = np.random.default_rng(0).random((20, 2, 8, 8)).astype(np.float32)
    x[:, 1] = 0.1
    rows, half = np.arange(20), np.float32(2.0**-44)
    for size in (np.float32(1), half):
        own = x * size
        found = [
            convolution._channels(own, rows, (2, 8, 8))[1].ravel(),
            pictures._channels(own, rows, torch.device("cpu"))[1].numpy().ravel(),
            decoder.moments_of_input(own, True)[1].numpy(),
        ]
        for scale in found:
            assert scale[1] == 1
            assert scale[0] == pytest.approx(0.288 * size, rel=0.05)


def test_perceptrons_learn_the_same_together_and_alone() -> None:
    x, labels = blobs(500, 5, 10, 0.8)
    rng = np.random.default_rng(1)
    other = np.where(rng.random(500) < 0.5, labels % 2, rng.integers(0, 2, 500))
    trial = cut(500)
    tasks = [
        Task(labels, 5, trial.train, trial.validation, 0),
        Task(other, 2, trial.train, trial.validation, 0),
        Task(labels, 5, trial.train, trial.validation, 1),
    ]
    for task, beside in zip(tasks, train_together(x, tasks), strict=True):
        alone = train_together(x, [task])[0]
        assert (alone(x[trial.test]) == beside(x[trial.test])).mean() > 0.98


def test_settings_try_the_right_records() -> None:
    s = scene()
    fitted, unseen = set(np.flatnonzero(s.fitted)), set(np.flatnonzero(~s.fitted))
    (a,) = splits(s, "secret", "A", 0, 3)
    assert set(a.test) == unseen
    assert {*a.train, *a.validation} == fitted
    for setting, side in (("B", unseen), ("C", fitted)):
        plan = splits(s, "secret", setting, 0, 3)  # type: ignore[arg-type]
        assert len(plan) == 3
        assert sorted(np.concatenate([t.test for t in plan])) == sorted(side)
        for t in plan:
            assert {*t.train, *t.validation, *t.test} == side
            assert len({*t.train} & {*t.validation}) == len({*t.train, *t.validation} & {*t.test}) == 0


def test_folds_are_stratified_and_do_not_depend_on_row_order() -> None:
    s = scene()
    plan = splits(s, "secret", "C", 0, 4)
    for c in range(3):
        counts = [(s.labels["secret"][t.test] == c).sum() for t in plan]
        assert max(counts) - min(counts) <= 1
    turn = np.random.default_rng(0).permutation(400)
    turned = AttackData(s.x[turn], s.ids[turn], {"secret": s.labels["secret"][turn]}, s.classes, s.fitted[turn])
    for one, other in zip(plan, splits(turned, "secret", "C", 0, 4), strict=True):
        assert set(s.ids[one.test]) == set(turned.ids[other.test])
    assert any(set(a.test) != set(b.test) for a, b in zip(plan, splits(s, "secret", "C", 1, 4), strict=True))


def test_groups_stay_whole_unless_they_hold_a_class_of_their_own() -> None:
    group = np.arange(400) // 5
    s = scene(group=group)
    for t in splits(s, "secret", "C", 0, 3):
        own = np.concatenate([t.train, t.validation])
        assert not np.isin(group[t.test], group[own]).any()
    alone = AttackData(s.x, s.ids, s.labels, s.classes, s.fitted, s.labels["secret"])
    for t in splits(alone, "secret", "C", 0, 3):
        assert np.isin(s.labels["secret"][t.test], s.labels["secret"][t.train]).all()


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (np.full(400, -1), "0 labelled records to learn from"),
        (np.zeros(400, np.int64), "one class"),
        (np.where(np.arange(400) % 2 == 0, np.arange(400) // 2 % 2, 2 + np.arange(400) // 2 % 2), "both sides"),
    ],
)
def test_says_why_there_is_nothing_to_try(labels: np.ndarray, why: str) -> None:
    s = scene()
    s = AttackData(s.x, s.ids, {"secret": labels}, {"secret": 4}, s.fitted)
    assert why in splits(s, "secret", "A", 0, 3)


@pytest.mark.slow
def test_an_attack_is_pure() -> None:
    s = scene()
    s = AttackData(
        s.x, s.ids, {**s.labels, "other": (s.x[:, 0] > 0).astype(np.int64)}, {"secret": 3, "other": 2}, s.fitted
    )
    every = tasks_of(["secret", "other"], Budget(families=("logistic", "neighbours", "trees"), settings=("A", "C")))
    assert len(every) == 12
    found = run_attacks(s, every)
    for piece in every[::3]:
        alone = run_attacks(s, [piece])[piece]
        assert np.array_equal(alone.predicted, found[piece].predicted)
        assert np.array_equal(alone.truth, s.labels[piece.attribute][alone.rows])
    assert [len(g) for g in grouped(every)] == [2] * 6


def test_scenes_differ_by_digest() -> None:
    s = scene()
    other = AttackData(s.x + 1, s.ids, s.labels, s.classes, s.fitted)
    assert s.digest == scene().digest != other.digest
    shaped = replace(s, x=s.x.reshape(400, 2, 3))
    assert shaped.digest != s.digest
