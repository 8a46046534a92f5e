"""The contract that every attack meets, and an attack that is added from outside the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, is_dataclass, replace

import numpy as np
import pytest

from sordine import Policy, audit
from sordine.attacks import convnet, mlp_ensemble, resnet
from sordine.attacks.base import Attack, Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.calibration import calibrated_scores
from sordine.attacks.registry import ATTACKS, attacks_in, suited
from sordine.attacks.runner import AttackTask, grouped, run_attacks
from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.options import AuditOptions
from sordine.run import Run

SHAPES = {"vector": (8,), "series": (2, 16), "picture": (1, 12, 12)}


def records(shape: tuple[int, ...], n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Records whose class moves the first number of every row."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    x = rng.standard_normal((n, *shape)).astype(np.float32)
    x[..., 0] += 3 * labels.reshape(-1, *[1] * (len(shape) - 1))
    return x, labels


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are trained for few epochs: accuracy is tested elsewhere."""
    for module in (resnet, mlp_ensemble, convnet):
        monkeypatch.setattr(module, "TRAINING", replace(module.TRAINING, epochs=(2, 2)))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_meets_the_contract(name: str) -> None:
    cls = ATTACKS[name]
    assert is_dataclass(cls)
    assert ATTACKS.make(name) == cls(), "its options have defaults"
    assert set(cls.budgets) <= {"quick", "standard", "paranoid"}
    assert "paranoid" in cls.budgets
    kinds = [kind for kind, shape in SHAPES.items() if cls.accepts(shape)]
    assert kinds, "it accepts records of some shape"
    if cls.input_form != "records":
        assert kinds == list(SHAPES)
    shape = SHAPES[kinds[0]]
    x, labels = records(shape)
    other = np.where(np.arange(150) % 3 == 0, -1, np.arange(150) // 2 % 2)
    ids = np.array([f"r{i}" for i in range(150)], dtype=object)
    data = AttackData(x, ids, {"a": labels, "b": other}, {"a": 3, "b": 2}, np.arange(150) % 2 == 0)
    tasks = [AttackTask(attribute, name, "A", 0) for attribute in ("a", "b")]
    assert [len(group) for group in grouped(tasks)] == ([2] if cls.shares_work else [1, 1])
    original = x.copy()
    found = run_attacks(data, tasks)
    assert np.array_equal(x, original), "records are not written to"
    for task in tasks:
        predictions = found[task]
        assert np.array_equal(predictions.truth, data.labels[task.attribute][predictions.rows])
        assert not data.fitted[predictions.rows].any()
        assert (predictions.truth >= 0).all()
        assert set(predictions.predicted) <= set(range(data.classes[task.attribute]))
        alone = run_attacks(data, [task])[task]
        assert (alone.predicted == predictions.predicted).mean() > 0.97, "other targets change nothing but rounding"
    again = run_attacks(data, tasks)
    assert all(np.array_equal(again[t].predicted, found[t].predicted) for t in tasks)


@pytest.mark.parametrize("name", [name for name in ATTACKS if ATTACKS[name].gives_probabilities])
def test_probabilities_are_calibrated(name: str) -> None:
    x, labels = records((8,), 400)
    split = Split(np.arange(150), np.arange(150, 220), np.arange(220, 400))
    found = calibrated_scores(x, split, Target(labels, 4), (name,), Run())
    assert found is not None
    for own, test in found:
        assert (own.shape, test.shape) == ((70, 4), (180, 4))
        assert (test.argmax(1) == labels[220:]).mean() > 0.6
        assert (test[:, 3] < -1e5).all(), "a class without records is impossible"


def test_budgets_hold_the_attacks_that_name_them() -> None:
    assert attacks_in("quick") == ("logistic", "neighbours")
    assert set(attacks_in("quick")) < set(attacks_in("standard")) < set(ATTACKS)
    assert attacks_in("paranoid") == tuple(ATTACKS)


def test_pictures_need_an_attack_that_takes_them_as_such() -> None:
    assert suited(("logistic",), (8,))
    assert not suited(("logistic", "trees"), (1, 12, 12))
    assert suited(("logistic", "convolution"), (1, 12, 12))


@dataclass(frozen=True)
class NearestMean(Attack):
    """The class with the nearest mean."""

    scale: float = 1.0

    budgets = ("paranoid",)

    @classmethod
    def accepts(cls, shape: Sequence[int]) -> bool:
        return len(shape) == 1

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        found = []
        for target in targets:
            own = target.labelled(split.own)
            present = np.unique(target.labels[own])
            means = np.stack([x[own][target.labels[own] == c].mean(0) for c in present])
            distance = self.scale * ((x[split.test][:, None] - means[None]) ** 2).sum(2)
            found.append(present[distance.argmin(1)])
        return found


@pytest.fixture
def registered() -> Iterator[str]:
    ATTACKS.register("nearest mean", NearestMean)
    yield "nearest mean"
    ATTACKS.unregister("nearest mean")


def test_an_attack_from_outside_takes_part_in_an_audit(registered: str) -> None:
    x, labels = records((8,), 240)
    split = np.where(np.arange(240) % 2 == 0, "train", "test")
    table = Table.of(x, {"who": labels}, ids=[f"r{i}" for i in range(240)], split=split)
    released = replace(table, y={})
    budget = Budget(families=(registered, "logistic"), settings=("A", "B"), cloud=0, person=())
    report = audit(table, released, Policy(("who",), (), ()), budget=budget, options=AuditOptions(pretrained=False))
    own = [finding for finding in report.findings if finding.attacker == registered]
    assert {finding.setting for finding in own} == {"A", "B"}
    assert all(finding.before == finding.after > 0.8 for finding in own)
    assert report.made["families"] == [registered, "logistic"]
    assert registered in Budget.paranoid().families
    assert registered not in Budget.standard().families


def test_an_attack_that_is_taken_away_is_unknown(registered: str) -> None:
    ATTACKS.unregister(registered)
    with pytest.raises(SordineError, match="unknown attack 'nearest mean'"):
        Budget(families=(registered,))
