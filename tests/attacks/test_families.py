"""The stronger families: each reads what simpler ones miss, by its own choices, and nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from sordine.attacks import convnet as convolution
from sordine.attacks import mlp_ensemble as ensemble
from sordine.attacks import svm
from sordine.attacks.base import Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.convnet import ConvNet, arrangements
from sordine.attacks.registry import ATTACKS, accepts
from sordine.attacks.runner import AttackTask, grouped, run_attacks, tasks_of
from sordine.attacks.scenarios import AttackData

STRONGER = ("features", "svm", "boosting", "wide", "ensemble", "convolution")


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that learn for a second."""
    monkeypatch.setattr(ensemble, "TRAINING", replace(ensemble.TRAINING, epochs=(8, 8)))
    monkeypatch.setattr(convolution, "TRAINING", replace(convolution.TRAINING, epochs=(10, 10)))


def cut(n: int) -> Split:
    rows = np.random.default_rng(7).permutation(n)
    return Split(rows[: n // 2], rows[n // 2 : 2 * n // 3], rows[2 * n // 3 :])


def share(family: str, x: np.ndarray, labels: np.ndarray, classes: int = 2) -> float:
    """What a family reads of the records tried."""
    trial = cut(len(x))
    predicted = ATTACKS[family]().fit_predict(x, trial, [Target(labels, classes)])[0]
    return float((predicted == labels[trial.test]).mean())


def rings(n: int = 750) -> tuple[np.ndarray, np.ndarray]:
    """Two classes around the same centre, one nearer to it than the other; no line tells them apart."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 4))
    x *= ((1 + 1.5 * labels) / np.linalg.norm(x, axis=1))[:, None]
    return (x + 0.15 * rng.standard_normal(x.shape)).astype(np.float32), labels


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("family", ["features", "svm", "boosting", "wide", "ensemble"])
def test_reads_what_no_line_tells_apart(family: str) -> None:
    x, labels = rings()
    assert share("logistic", x, labels) < 0.62
    assert share(family, x, labels) > 0.9
    assert abs(share(family, x, np.random.default_rng(2).permutation(labels)) - 0.5) < 0.1


@pytest.mark.slow
def test_the_support_vector_machine_adds_up_what_is_faint_in_every_direction() -> None:
    """Return classes that differ in the signs of pairwise correlations: linear attacks fail, trees nearly so."""
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, 1500)
    x = rng.standard_normal((1500, 120)).astype(np.float32)
    x[:, 60:] = np.where(labels, 0.35, -0.35)[:, None] * x[:, :60] + 0.94 * x[:, 60:]
    # Turned, so that no number has a part of its own.
    x = x @ np.linalg.qr(rng.standard_normal((120, 120)))[0].astype(np.float32)
    assert share("logistic", x, labels) < 0.57
    assert share("svm", x, labels) > max(share("trees", x, labels), share("features", x, labels)) + 0.05
    assert abs(share("svm", x, rng.permutation(labels)) - 0.5) < 0.07


def test_the_support_vector_machine_learns_from_so_many_records_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = rings()
    monkeypatch.setattr(svm, "MOST", 60)
    few = share("svm", x, labels)
    assert few > 0.8
    assert few == share("svm", x, labels)


def motif(n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Noise in (2 channels, 40 times) with a short rise or the same fall of the first channel, somewhere."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, n)
    x = 0.5 * rng.standard_normal((n, 2, 40)).astype(np.float32)
    for i, at in enumerate(rng.integers(0, 35, n)):
        ramp = np.linspace(-2, 2, 5, dtype=np.float32)
        x[i, 0, at : at + 5] += ramp if labels[i] else ramp[::-1]
    return x, labels


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_convolution_finds_a_motif_wherever_it_is() -> None:
    x, labels = motif()
    assert share("logistic", x.reshape(len(x), -1), labels) < 0.65
    assert share("convolution", x, labels) > 0.9
    assert abs(share("convolution", x, np.random.default_rng(4).permutation(labels)) - 0.5) < 0.13


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_convolution_reads_planes_that_are_one_record_or_a_picture() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, 400)
    x = rng.integers(0, 80, (400, 12, 14)).astype(np.uint8)
    for i, (down, right) in enumerate(rng.integers(0, 8, (400, 2))):  # a stroke that lies or stands
        for k in range(4):
            x[i, down + (0 if labels[i] else k), right + (k if labels[i] else 0)] = 255
    assert share("convolution", x, labels) > 0.9
    assert share("convolution", x[:, None], labels) > 0.9


def opposed(n: int = 900) -> tuple[np.ndarray, np.ndarray, Split]:
    """Three clusters. In training, each has two of three classes; elsewhere, it has the third one alone."""
    rng = np.random.default_rng(4)
    cluster = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 3)).astype(np.float32)
    x[np.arange(n), cluster] += 6
    trial = cut(n)
    labels = (cluster + 2) % 3
    labels[trial.train] = (cluster[trial.train] + rng.integers(0, 2, len(trial.train))) % 3
    return x, labels, trial


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("family", ["features", "svm", "convolution"])
def test_the_least_likely_class_is_picked_where_validation_records_show_it(family: str) -> None:
    x, labels, trial = opposed()
    attack = ATTACKS[family]()
    if attack.input_form == "records":
        x = np.repeat(np.repeat(x[:, None, None, :], 3, 3), 9, 2)
    predicted = attack.fit_predict(x, trial, [Target(labels, 3)])[0]
    assert (predicted == labels[trial.test]).mean() > 0.6


def test_who_reads_what() -> None:
    for shape, shaped in (((64,), False), ((3, 7), False), ((6, 50), True), ((1, 8, 8), True), ((2, 3, 3, 9), True)):
        assert accepts("convolution", shape) is shaped
        assert accepts("features", shape)
    assert arrangements((6, 50)) == [(6, 50)], "six rows are no plane"
    assert arrangements((20, 50)) == [(20, 50), (1, 20, 50)]
    assert arrangements((3, 16, 16)) == [(3, 16, 16)]
    assert arrangements((2, 3, 3, 9)) == [(18, 9)]
    every = Budget.paranoid()
    assert "convolution" not in {p.attacker for p in tasks_of(["s"], every, (64,))}
    assert {p.attacker for p in tasks_of(["s"], every, (6, 50))} == set(ATTACKS) - {"resnet"}
    assert {p.attacker for p in tasks_of(["s"], every, (3, 8, 8))} == set(ATTACKS)
    for group in grouped(tasks_of(["s", "t"], every, (3, 8, 8))):
        assert len(group) == (2 if ATTACKS[group[0].attacker].shares_work else 1)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("family", STRONGER)
def test_a_reading_is_its_own_whatever_is_drawn_elsewhere(family: str) -> None:
    x, labels = motif(120)
    other = np.random.default_rng(6).integers(0, 3, 120)
    ids = np.array([f"r{i}" for i in range(120)], dtype=object)
    scene = AttackData(x, ids, {"a": labels, "b": other}, {"a": 2, "b": 3}, np.arange(120) % 2 == 0)
    both = [AttackTask(name, family, "B", 0) for name in ("a", "b")]
    torch.manual_seed(1)
    found = run_attacks(scene, both, Budget(folds=2))
    for piece in both:
        torch.manual_seed(2)
        assert np.array_equal(run_attacks(scene, [piece], Budget(folds=2))[piece].predicted, found[piece].predicted)


@pytest.mark.usefixtures("brief")
def test_convolution_survives_one_class_constant_channels_and_missing_labels() -> None:
    x = np.zeros((12, 2, 9), np.float32)
    trial = Split(np.arange(6), np.arange(6, 9), np.arange(9, 12))
    given = (np.zeros(12, np.int64), np.arange(12) % 2, np.full(12, -1))
    one, two, nobody = ConvNet().fit_predict(x, trial, [Target(y, 2) for y in given])
    assert (one == 0).all()
    assert len(two) == len(nobody) == 3
    x, labels = motif(400)
    some = labels.copy()
    some[::3] = -1
    trial = cut(400)
    read = ConvNet().fit_predict(x, trial, [Target(some, 2)])[0]
    assert (read == labels[trial.test]).mean() > 0.8


@pytest.mark.usefixtures("brief")
def test_the_validation_rows_weigh_the_members() -> None:
    x, labels = rings(600)
    trial = cut(600)
    secret = Target(labels, 2)
    given = (
        x,
        secret,
        trial.train,
        trial.validation,
        ensemble.Plan((32,), ensemble.OF_SEVERAL),
        0,
        torch.device("cpu"),
    )
    said = ensemble._Members(*given)
    weights = said.weights(ensemble.PICKS)
    assert weights.sum() == pytest.approx(1)
    truth = labels[trial.validation]

    def loss(w: np.ndarray) -> float:
        p = said.probabilities(x[trial.validation], w)
        assert np.allclose(p.sum(1), 1, atol=1e-5)
        return float(-np.log(p[np.arange(len(truth)), truth]).mean())

    alone = [loss(np.eye(len(weights))[i]) for i in range(len(weights))]
    assert loss(weights) <= min(alone) + 1e-6
    # A member that says nothing is not picked.
    with torch.no_grad():
        for parameter in said.net.parameters():
            parameter[0] = 0
    assert said.weights(ensemble.PICKS)[0] == 0
    chosen = said.weights(1)
    right = [(said.probabilities(x[trial.validation], np.eye(6)[i]).argmax(1) == truth).mean() for i in range(6)]
    assert right[int(chosen.argmax())] == max(right)
