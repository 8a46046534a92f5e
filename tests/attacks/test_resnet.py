"""The attack by a residual network on pictures, and audits of tables that contain pictures or do not."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sordine.attacks import resnet
from sordine.attacks.base import Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.registry import ATTACKS
from sordine.attacks.resnet import TRAINING, ResNetAttack, is_picture, train_resnet
from sordine.attacks.runner import AttackTask, run_attacks, tasks_of
from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.headlines import UNSUITED
from sordine.evaluation.options import AuditOptions
from sordine.policy import Policy
from sordine.run import Run

audit_module = importlib.import_module("sordine.evaluation.audit")  # the package's attribute of that name is the verb
POLICY = Policy(("pair",))
QUICK = Budget(families=("logistic", "resnet"), settings=("A",), permutations=2, cloud=20, person=())


def drawn(n: int, side: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gray pictures with two dots, far apart along a row (1) or along a column (0): no pixel alone tells which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    x = rng.integers(0, 60, (n, 1, side, side))
    at = rng.integers(0, side, (n, 2))
    rows = np.arange(n)
    for step in range(3):
        down, right = at[:, 0] + step * (labels == 0), at[:, 1] + step * (labels == 1)
        x[rows, 0, down % side, right % side] = 250
    return x.astype(np.uint8), labels


def trial(n: int) -> Split:
    rows = np.random.default_rng(1).permutation(n)
    return Split(rows[: n // 2], rows[n // 2 : 2 * n // 3], rows[2 * n // 3 :])


def table(n: int = 400) -> Table:
    x, labels = drawn(n)
    split = np.where(np.arange(n) % 2 == 0, "train", "test")
    return Table.of(x, {"pair": labels}, ids=[f"p{i:04d}" for i in range(n)], split=split)


@pytest.mark.slow
def test_predicts_what_no_linear_classifier_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sordine.attacks.resnet.TRAINING", replace(TRAINING, epochs=(18, 18)))
    x, labels = drawn(500)
    nothing = np.random.default_rng(9).integers(0, 2, 500)
    plan = trial(500)
    there, chance = ResNetAttack().fit_predict(x, plan, [Target(labels, 2), Target(nothing, 2)])
    assert (there == labels[plan.test]).mean() > 0.9
    assert abs((chance == nothing[plan.test]).mean() - 0.5) < 0.1
    flat = x.reshape(500, -1).astype(np.float32)
    assert (ATTACKS["logistic"]().fit_predict(flat, plan, [Target(labels, 2)])[0] == labels[plan.test]).mean() < 0.62


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few steps, where it is not the accuracy that is looked at."""
    monkeypatch.setattr("sordine.attacks.resnet.TRAINING", replace(TRAINING, steps=12, epochs=(2, 3)))


@pytest.mark.usefixtures("brief")
def test_the_same_twice_alone_and_whatever_the_scale() -> None:
    x, labels = drawn(200)
    plan = trial(200)
    other = np.random.default_rng(2).integers(0, 3, 200)
    both = ResNetAttack().fit_predict(x, plan, [Target(labels, 2), Target(other, 3)], Run(seed=4))
    for secret, read in zip((Target(labels, 2), Target(other, 3)), both, strict=True):
        assert np.array_equal(ResNetAttack().fit_predict(x, plan, [secret], Run(seed=4))[0], read)
    reader = [
        train_resnet(v, labels, 2, plan.train, plan.validation, run=Run(seed=s)) for v, s in ((x, 4), (x, 4), (x, 5))
    ]
    says = [r.logits(x[plan.test]) for r in reader]
    assert np.array_equal(says[0], says[1])
    assert not np.array_equal(says[0], says[2])
    scaled = x.astype(np.float32) / 4096 - 3
    same = train_resnet(scaled, labels, 2, plan.train, plan.validation, run=Run(seed=4)).logits(scaled[plan.test])
    assert np.allclose(same, says[0], atol=0.02)


@pytest.mark.usefixtures("brief")
def test_survives_one_class_few_records_and_constant_pictures() -> None:
    x = np.zeros((12, 3, 8, 11), np.uint8)
    plan = Split(np.arange(6), np.arange(6, 9), np.arange(9, 12))
    secrets = [Target(np.zeros(12, np.int64), 1), Target(np.arange(12) % 2, 2), Target(np.full(12, -1), 2)]
    few = Target(np.where(np.arange(12) < 2, np.arange(12), -1), 2)
    found = ResNetAttack().fit_predict(x, plan, [*secrets, few])
    assert [len(f) for f in found] == [3, 3, 3, 3]
    assert (found[0] == 0).all()
    assert set(np.concatenate(found)) <= {0, 1}


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_the_paper_s_size_and_wider_pictures() -> None:
    x, labels = drawn(40, side=64)
    plan = trial(40)
    small, paper = (
        train_resnet(x, labels, 2, plan.train, plan.validation, size=size)  # type: ignore[arg-type]
        for size in ("small", "paper")
    )
    count = [sum(w.numel() for w in r.net.parameters()) for r in (small, paper)]
    assert count[0] < 400_000
    assert 11_000_000 < count[1] < 11_300_000, "a ResNet-18 has 11.2 million weights without its thousand classes"
    assert paper.logits(x[:3]).shape == (3, 2)


def test_what_is_a_picture() -> None:
    assert is_picture((1, 8, 8))
    assert is_picture((3, 32, 24))
    for shape in ((64,), (2, 32, 32), (3, 7, 32), (512, 4, 4), (3, 32)):
        assert not is_picture(shape)


def test_pieces_and_groups_on_pictures_and_elsewhere() -> None:
    budget = Budget(settings=("A",))
    assert {p.attacker for p in tasks_of(["s"], budget, (3, 8, 8))} == set(budget.families)
    assert {p.attacker for p in tasks_of(["s"], budget, (64,))} == set(budget.families) - {"resnet"}


@pytest.mark.usefixtures("brief")
def test_an_attack_on_pictures_is_pure() -> None:
    x, labels = drawn(120)
    other = np.random.default_rng(2).integers(0, 2, 120)
    ids = np.array([f"p{i}" for i in range(120)], dtype=object)
    scene = AttackData(x, ids, {"pair": labels, "other": other}, {"pair": 2, "other": 2}, np.arange(120) % 2 == 0)
    both = ("resnet", "logistic")
    some = [AttackTask(name, attack, "C", 0) for name in ("pair", "other") for attack in both]  # type: ignore[arg-type]
    found = run_attacks(scene, some, Budget(folds=2))
    for piece in some:
        assert np.array_equal(run_attacks(scene, [piece], Budget(folds=2))[piece].predicted, found[piece].predicted)


@pytest.mark.slow
def test_a_target_of_pictures_is_predicted_until_pictures_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sordine.attacks.resnet.TRAINING", replace(TRAINING, epochs=(18, 18)))
    t = table(600)
    memory: dict[Any, Any] = {}
    leaky = audit(t, replace(t, y={}), POLICY, budget=QUICK, options=AuditOptions(memory=memory))
    (h,) = leaky.headlines
    assert (h.attacker_before, h.attacker_after) == ("resnet", "resnet")
    assert h.before == h.after > 0.9
    assert leaky.verdict.level == "leaks"
    assert leaky.pretrained[0].before == leaky.pretrained[0].after > 0.9
    assert (leaky.made["families"], leaky.made["pictures"]) == (["logistic", "resnet"], "small")
    size = len(memory)
    fresh = drawn(600, seed=77)[0]
    gone = audit(
        t, replace(t, x=fresh.astype(np.float32), y={}), POLICY, budget=QUICK, options=AuditOptions(memory=memory)
    )
    (g,) = gone.headlines
    assert g.before == h.before
    assert abs(g.after - 0.5) < 0.09
    assert g.at_chance
    assert abs(gone.pretrained[0].after - 0.5) < 0.09
    assert len(memory) == size, "originals were attacked once"


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("shape", [(12,), (20, 4, 4), (3, 16, 16)])
def test_released_records_of_another_shape(shape: tuple[int, ...]) -> None:
    t = table(240)
    code = np.random.default_rng(0).standard_normal((240, *shape)).astype(np.float32)
    code[:, 0] += 3 * t.y["pair"].reshape(-1, *[1] * (len(shape) - 1))
    found = audit(t, replace(t, x=code, y={}), POLICY, budget=QUICK)
    (h,) = found.headlines
    assert h.after > 0.9
    compared = {f.attacker for f in found.findings}
    assert compared == ({"logistic", "resnet"} if is_picture(shape) else {"logistic"})
    assert ("pictures" in found.made) == is_picture(shape)
    assert (found.pretrained, found.distortion) == ((), {})
    assert found.cloud is not None
    assert found.cloud.before == ()
    assert len(found.cloud.after) == 20
    assert {f.code for f in found.flaws} == {"width"}
    back = audit(replace(t, x=code), replace(t, y={}), POLICY, budget=QUICK, options=AuditOptions(pretrained=False))
    assert back.headlines[0].before > 0.9
    assert back.made["families"] == ["logistic", "resnet"]


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_the_best_attack_on_originals_may_not_fit_released_records() -> None:
    t = table(800)
    code = np.random.default_rng(0).standard_normal((800, 5)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sordine.attacks.resnet.TRAINING", replace(TRAINING, epochs=(20, 20)))
        (h,) = audit(
            t, replace(t, x=code, y={}), POLICY, budget=QUICK, options=AuditOptions(pretrained=False)
        ).headlines
    assert (h.attacker_before, h.attacker_after) == ("resnet", "logistic")
    assert h.before > 0.8
    assert h.at_chance


def test_a_budget_without_a_fitting_attack_is_an_error() -> None:
    t = table(60)
    code = replace(t, x=np.zeros((60, 5), np.float32), y={}, source="codes")
    with pytest.raises(SordineError, match=r"codes: .*resnet.*\[5\]"):
        audit(t, code, POLICY, budget=replace(QUICK, families=("resnet",)))


@pytest.mark.usefixtures("brief")
def test_wide_pictures_are_sampled_to_what_memory_holds_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    t = table(400)
    monkeypatch.setattr(audit_module, "HELD", 8 * 512 * 60)  # 60 records a side, before and after, of 256 numbers each
    found = audit(t, replace(t, y={}), POLICY, budget=QUICK, options=AuditOptions(pretrained=False))
    assert found.made["sampled"] == {"fitted": [60, 200], "unseen": [60, 200]}
    assert any("60 records" in note for note in found.made["notes"])
    monkeypatch.setattr(audit_module, "HELD", 8 * 512 * 200)
    whole = audit(
        t,
        replace(t, y={}),
        POLICY,
        budget=replace(QUICK, families=("logistic",)),
        options=AuditOptions(pretrained=False),
    )
    assert (whole.made["sampled"], whole.made["notes"]) == ({}, [])


def test_distortion_of_pictures_is_measured_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    t = table(100)
    moved = t.x.astype(np.float32)
    moved[:, 0, 0, 0] += 4
    budget = replace(QUICK, families=("logistic",), cloud=0)
    whole = audit(
        t, replace(t, x=moved, y={}), POLICY, budget=budget, options=AuditOptions(pretrained=False)
    ).distortion
    assert whole["l2"] == pytest.approx(4)
    assert whole["mean_absolute"] == pytest.approx(4 / 256)
    spread = 4 / t.x[:, 0, 0, 0].astype(np.float64).std()
    assert whole["relative_rms"] == pytest.approx(spread / 16, rel=1e-5)
    monkeypatch.setattr("sordine.metrics.distortion.BLOCK", 256 * 7)
    assert audit(
        t, replace(t, x=moved, y={}), POLICY, budget=budget, options=AuditOptions(pretrained=False)
    ).distortion == pytest.approx(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("brief")
def test_an_audit_of_pictures_notes_the_lack_of_a_picture_attack() -> None:
    t = table(120)
    told = []
    for families in (("logistic",), ("logistic", "resnet"), ("logistic", "convolution")):
        found = audit(
            t,
            replace(t, y={}),
            POLICY,
            budget=replace(QUICK, families=families),
            options=AuditOptions(pretrained=False),
        )
        assert ("no_attacker_for_pictures" in found.made) == (UNSUITED in found.verdict.sentences)
        told.append(UNSUITED in found.verdict.sentences)
    assert told == [True, False, False]
    flat = replace(t, x=t.flat())
    found = audit(
        flat,
        replace(flat, y={}),
        POLICY,
        budget=replace(QUICK, families=("logistic",)),
        options=AuditOptions(pretrained=False),
    )
    assert UNSUITED not in found.verdict.sentences


def test_the_least_likely_class_is_picked_where_validation_records_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network has learned that a bright corner is another class than it is in the records of other sides."""

    class Mistaken:
        def logits(self, x: np.ndarray) -> np.ndarray:
            return np.stack([1 - 9 * x[:, 0, 0, 0], 9 * x[:, 0, 0, 0], np.full(len(x), -30.0)], 1)

    monkeypatch.setattr(resnet, "train_resnet", lambda *args, **given: Mistaken())
    rng = np.random.default_rng(0)
    bright = rng.integers(0, 2, 240)
    x = np.zeros((240, 1, 8, 8), np.float32)
    x[:, 0, 0, 0] = bright
    rows = np.arange(240)
    split = Split(rows[:120], rows[120:160], rows[160:])
    for turned in (True, False):
        labels = bright.copy()
        labels[120:] ^= turned
        predicted = ResNetAttack().fit_predict(x, split, [Target(labels, 3)])[0]
        assert (predicted == labels[160:]).all(), turned
