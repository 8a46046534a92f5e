"""The audit as a whole: leakage that is there is found at its size, leakage that is not there is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sordine.attacks.budget import Budget
from sordine.data.synthetic.gaussians import channel
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import Headline, Report
from sordine.evaluation.report_json import from_json, to_json
from sordine.keys import Key
from sordine.metrics.nag import wilson
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run

POLICY = Policy(("speaker",), ("word",))
# Attacks on single records alone; other sections have tests of their own.
ALONE: dict[str, Any] = {"person": (), "risks": False, "utility": False, "known": (), "tail": False}
FAST = Budget(families=("logistic", "neighbours"), permutations=5, cloud=50, **ALONE)


def table(n: int = 600, seed: int = 0, labelled: float = 1.0) -> Table:
    """Records around centres: the speaker in three columns, the word in three others, and a mood."""
    rng = np.random.default_rng(seed)
    y = {"speaker": rng.integers(0, 4, n), "word": rng.integers(0, 3, n), "mood": rng.integers(0, 2, n)}
    x = rng.standard_normal((n, 8)).astype(np.float32)
    x[:, :3] += (3 * rng.standard_normal((4, 3)))[y["speaker"]]
    x[:, 3:6] += (3 * rng.standard_normal((3, 3)))[y["word"]]
    x[:, 6] += 4 * y["mood"]
    for codes in y.values():
        codes[rng.random(n) > labelled] = -1
    ids = [f"{rng.integers(1 << 60):015x}" for _ in range(n)]
    return Table.of(x, y, ids=ids, split=np.where(np.arange(n) % 4 < 2, "train", "test"))


def release(original: Table, x: np.ndarray | None = None) -> Table:
    """What leaves: these numbers, and the preserved column."""
    return replace(original, x=original.x.copy() if x is None else x, y={"word": original.y["word"]})


def noise(original: Table, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(original.x.shape).astype(np.float32)


def headline(report: Report, name: str) -> Headline:
    return next(h for h in report.headlines if h.attribute == name)


@pytest.mark.slow
def test_what_is_released_in_another_unit_is_read_alike() -> None:
    t, one = table(300), replace(FAST, families=("logistic",))
    leaks = [
        headline(audit(t, release(t, t.x * np.float32(unit)), POLICY, budget=one), "speaker") for unit in (1, 1e-13)
    ]
    assert leaks[1].after == pytest.approx(leaks[0].after, abs=0.02)
    assert (leaks[1].nag or 0) > 0.9


@pytest.mark.slow
def test_nothing_changed() -> None:
    t = table()
    found = audit(t, release(t), POLICY, budget=FAST, options=AuditOptions(max_leakage=0.05))
    for name, role in (("speaker", "suppress"), ("word", "preserve"), ("mood", "watch")):
        h = headline(found, name)
        assert h.role == role
        assert h.nag == pytest.approx(1)
        assert h.low is not None
        assert h.high is not None
        assert h.low <= 1 <= h.high
        assert not h.at_chance
    assert found.verdict.level == "leaks"
    assert "`speaker`" in found.verdict.title
    assert found.passed is False
    assert len(found.findings) == 3 * 2 * 3
    assert found.distortion == {"l2": 0.0, "mean_absolute": 0.0, "relative_rms": 0.0}
    assert [f.code for f in found.flaws] == ["untouched", "own-copy"]
    assert all(p.before > 0.9 and p.after == p.before for p in found.pretrained)
    assert len(found.pretrained) == 3
    assert from_json(to_json(found)) == from_json(to_json(from_json(to_json(found))))


@pytest.mark.slow
def test_nothing_left() -> None:
    t = table(1200)
    found = audit(t, release(t, noise(t)), POLICY, budget=FAST, options=AuditOptions(max_leakage=0.2, pretrained=False))
    h = headline(found, "speaker")
    assert h.nag is not None
    assert h.resolvable is not None
    assert abs(h.nag) < 0.12
    assert h.at_chance
    assert found.verdict.level == "unclear", "so few records show no small leak"
    assert found.passed is True
    assert "baseline" in h.sentence
    assert headline(found, "word").nag < 0.12  # type: ignore[operator]


def test_one_attribute_removed_the_other_kept() -> None:
    t = table()
    x = t.x.copy()
    x[:, :3] = noise(t)[:, :3]
    found = audit(t, release(t, x), POLICY, budget=FAST, options=AuditOptions(pretrained=False))
    assert headline(found, "speaker").at_chance
    assert headline(found, "word").nag == pytest.approx(1, abs=0.05)
    assert found.passed is None


class Leaky(Modifier):
    """Noise, but for the records it was fitted on, which keep their first columns."""

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        return Release(x)


def leaky(t: Table, key: Key) -> Leaky:
    modifier = Leaky()
    modifier.card = Card("leaky", {}, {}, {"shape": list(t.shape)}, key=key.fingerprint)
    assert t.split is not None
    modifier.fitted = key.digest("fitted", t.ids[t.split], 8)
    return modifier


@pytest.mark.slow
def test_a_leak_of_fitted_records_only_is_caught_by_setting_c() -> None:
    t = table(800)
    key = Key.of_seed(3)
    modifier = leaky(t, key)
    x = noise(t)
    assert t.split is not None
    x[t.split, :3] = t.x[t.split, :3]
    blind, split = replace(t, split=None), t.split
    found = audit(
        blind,
        replace(release(blind, x), split=None),
        POLICY,
        modifier=modifier,
        key=key,
        budget=FAST,
        options=AuditOptions(pretrained=False),
    )
    assert found.made["fitted_known_by"] == "the modifier"
    assert found.made["fitted"] == split.sum()
    by = {(f.setting, f.attacker): f for f in found.findings if f.attribute == "speaker"}
    assert by["C", "logistic"].nag > 0.9  # type: ignore[operator]
    assert abs(by["B", "logistic"].nag) < 0.15  # type: ignore[operator]
    assert headline(found, "speaker").setting == "C"
    assert headline(found, "word").setting == "A"
    assert found.verdict.level == "leaks"
    other = audit(
        t,
        release(t, x),
        POLICY,
        modifier=modifier,
        key=Key.of_seed(4),
        budget=FAST,
        options=AuditOptions(pretrained=False),
    )
    assert "key" in {f.code for f in other.flaws}
    assert "split" in other.made["fitted_known_by"]


def test_a_modifier_of_other_records_is_noticed() -> None:
    t, key = table(800), Key.of_seed(3)
    renamed = replace(t, ids=np.array([f"other-{i}" for i in t.ids], dtype=object))
    found = audit(
        renamed,
        release(renamed, noise(t)),
        POLICY,
        modifier=leaky(t, key),
        key=key,
        budget=FAST,
        options=AuditOptions(pretrained=False),
    )
    (flaw,) = [f for f in found.flaws if f.code == "modifier"]
    assert "fitted on none of these records" in flaw.message


@pytest.mark.slow
@pytest.mark.parametrize(("leakage", "settings"), [(0.0, "A"), (0.2, "AC"), (0.6, "A")])
def test_the_best_attacker_comes_near_the_exact_best_and_never_passes_it(leakage: float, settings: str) -> None:
    best = 0.25 + leakage * 0.75
    known = channel(4000, 4, 24, best, seed=1)
    fitted = np.arange(4000) % 4 < 3
    t = replace(known.table, split=fitted)
    # A turn of the space: reading it takes more than looking at one column. The originals tell all.
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((24, 24)))[0]
    original = t.with_x(np.eye(4, dtype=np.float32)[t.y["secret"]])
    released = replace(t, x=(t.x @ turn).astype(np.float32), y={})
    found = audit(
        original,
        released,
        Policy(("secret",)),
        budget=Budget(settings=tuple(settings), person=()),
        options=AuditOptions(pretrained=False),
    )
    # What the best rule reads of the very records that are tried: without the luck of the draw.
    rule = known.conditional.argmax(0)[t.x.argmax(1)] == t.y["secret"]
    for setting in settings:
        rows = ~fitted if setting == "A" else fitted
        read, n = max(f.after for f in found.findings if f.setting == setting), int(rows.sum())
        low, high = wilson(read * n, n, 0.99)
        assert rule[rows].mean() - 0.02 - (leakage == 0) * 0.03 < read < rule[rows].mean() + 0.02, (setting, read)
        assert low <= rule[rows].mean() <= high or leakage == 0, (setting, read)
    h = headline(found, "secret")
    assert h.before == 1
    assert h.low is not None
    assert h.high is not None
    assert h.low <= leakage + 0.04
    assert h.high >= leakage
    assert h.at_chance == (leakage == 0)


class Drawn(Modifier):
    """Releases one of M substitutes, drawn from a table of probabilities by the record's first column."""

    discrete = True

    def __init__(self, p: np.ndarray) -> None:
        super().__init__()
        self.p = torch.tensor(p, dtype=torch.float32)

    def output_distribution(self, x: Tensor) -> Tensor:
        return self.p[x[:, 0].long()]


def drawn(p: np.ndarray, n: int = 1200) -> tuple[Table, Table, Drawn]:
    rng = np.random.default_rng(0)
    y = {"speaker": rng.integers(0, 4, n), "sex": rng.integers(0, 2, n), "word": rng.integers(0, 3, n)}
    x = np.stack([y["speaker"], y["sex"], y["word"]], 1).astype(np.float32)
    original = Table.of(x, y, ids=[f"{rng.integers(1 << 60):x}" for _ in range(n)])
    j = np.array([rng.choice(p.shape[1], p=p[s]) for s in y["speaker"]])
    modifier = Drawn(p)
    modifier.card = Card("drawn", {}, {}, {"shape": [3]})
    modifier.fitted = np.zeros((0, 8), np.uint8)
    released = replace(original, x=np.eye(p.shape[1], dtype=np.float32)[j], y={"word": original.y["word"]})
    return original, released, modifier


@pytest.mark.slow
def test_exact_findings() -> None:
    p = np.full((4, 8), 0.5 / 8)
    p[np.arange(4), np.arange(4)] += 0.5
    original, released, modifier = drawn(p)
    policy = Policy(("speaker", "sex"), ("word",))
    found = audit(original, released, policy, modifier=modifier, budget=FAST, options=AuditOptions(max_leakage=0.1))
    exact = {(f.attributes, f.kept, f.on): f for f in found.exact}
    joint, kept = ("speaker", "sex"), ("word",)
    assert set(exact) == {
        (a, k, on) for a in (("speaker",), ("sex",), joint) for k in ((), kept) for on in ("fitted", "unseen")
    }
    one = exact[("speaker",), (), "unseen"]
    assert one.accuracy == pytest.approx(0.5 + 0.5 / 4, abs=0.03)
    assert one.permuted_high < 0.35
    assert exact[("sex",), (), "unseen"].accuracy < 0.56
    assert exact[joint, (), "unseen"].accuracy < one.accuracy
    assert found.verdict.level == "leaks"
    assert any("optimal attacker" in s for s in found.verdict.sentences)
    assert found.pretrained == (), "a released record of another width cannot be shown to it"
    quiet = audit(*drawn(np.full((4, 8), 1 / 8))[:2], policy, modifier=drawn(np.full((4, 8), 1 / 8))[2], budget=FAST)
    assert all(f.accuracy <= f.permuted_high + 0.02 for f in quiet.exact)


@pytest.mark.slow
def test_the_same_twice_and_from_memory() -> None:
    t = table(240)
    r = release(t, t.x + 2 * noise(t))
    budget = Budget(families=("neighbours", "mlp"), settings=("A",), cloud=20, person=())
    memory: dict[Any, Any] = {}
    first = audit(t, r, POLICY, budget=budget, options=AuditOptions(memory=memory))
    size = len(memory)
    again = audit(t, r, POLICY, budget=budget, options=AuditOptions(memory=memory))
    plain = audit(t, r, POLICY, budget=budget, options=AuditOptions(pretrained=False), run=Run(workers=1))
    assert first.findings == again.findings == plain.findings
    assert first.pretrained == again.pretrained
    assert len(memory) == size > 0
    other = audit(
        t, release(t, noise(t, 9)), POLICY, budget=budget, options=AuditOptions(memory=memory, pretrained=False)
    )
    assert [f.before for f in other.findings] == [f.before for f in first.findings]
    turn = np.random.default_rng(0).permutation(240)
    turned = audit(t, r.take(turn), POLICY, budget=budget, options=AuditOptions(pretrained=False))
    assert turned.findings == first.findings


@pytest.mark.slow
def test_seeds_are_averaged_over_the_same_records() -> None:
    t = table(400)
    r = release(t, t.x + 2 * noise(t))
    budget = replace(FAST, seeds=(0, 1), settings=("C",))
    found = audit(t, r, POLICY, budget=budget, options=AuditOptions(pretrained=False))
    each = [
        audit(t, r, POLICY, budget=replace(budget, seeds=(s,)), options=AuditOptions(pretrained=False)).findings
        for s in (0, 1)
    ]
    for both, one, two in zip(found.findings, *each, strict=True):
        assert both.after == pytest.approx((one.after + two.after) / 2)
        assert (both.records, both.seeds, one.records) == (400, 2, 200)


@pytest.mark.slow
def test_unlabelled_records_are_not_tried() -> None:
    t = table(800, labelled=0.6)
    found = audit(t, release(t), POLICY, budget=FAST, options=AuditOptions(pretrained=False))
    h = headline(found, "speaker")
    rows = {"A": ~t.split, "B": ~t.split, "C": t.split}[h.setting]  # type: ignore[operator]
    assert h.records == int((t.y["speaker"][rows] >= 0).sum())
    assert h.nag == pytest.approx(1)


@pytest.mark.parametrize(("name", "wanted"), [("standard", ["discriminant"]), ("quick", [])])
def test_the_audit_states_which_attacks_saw_released_records_alone(name: str, wanted: list[str]) -> None:
    t = table(200)
    budget = replace(FAST, families=("logistic", "discriminant"), settings=("A",), name=name)  # type: ignore[arg-type]
    found = audit(t, release(t), POLICY, budget=budget, options=AuditOptions(pretrained=False))
    assert found.made["released_only"] == wanted
    assert {f.attacker for f in found.findings if f.role == "suppress"} == {"logistic", "discriminant"}
    others = {f.attacker for f in found.findings if f.role != "suppress"}
    assert ("discriminant" in others) == (name == "quick")


@pytest.mark.slow
def test_more_records_than_the_budget() -> None:
    t = table(600)
    found = audit(t, release(t), POLICY, budget=replace(FAST, max_records=100), options=AuditOptions(pretrained=False))
    assert (found.made["fitted"], found.made["unseen"]) == (100, 100)
    assert found.made["sampled"] == {"fitted": [100, 300], "unseen": [100, 300]}


@pytest.mark.slow
def test_damaged_releases_are_reported_not_refused() -> None:
    t, budget = table(400), replace(FAST, families=("logistic",))
    x = t.x.copy()
    x[7] = np.nan
    found = audit(t, release(t, x), POLICY, budget=budget, options=AuditOptions(max_leakage=1.0, pretrained=False))
    assert found.verdict.level == "broken"
    assert found.passed is False
    assert headline(found, "word").nag == pytest.approx(1)
    ids = np.array([f"other {i}" for i in range(400)], dtype=object)
    with pytest.raises(SordineError, match="none of its ids occurs"):
        audit(t, replace(release(t, noise(t)), ids=ids), POLICY, budget=budget)
    ids[:2] = t.ids[:2]
    others = replace(release(t, noise(t)), ids=ids)
    nothing = audit(t, others, POLICY, budget=budget, options=AuditOptions(pretrained=False))
    assert (nothing.verdict.level, nothing.headlines) == ("broken", ())
    constant = audit(t, release(t, np.ones_like(t.x)), POLICY, budget=budget, options=AuditOptions(pretrained=False))
    assert constant.verdict.level == "broken"
    narrow = audit(t, release(t, t.x[:, :6]), POLICY, budget=budget, options=AuditOptions(pretrained=False))
    assert headline(narrow, "speaker").nag == pytest.approx(1, abs=0.1)
    assert (narrow.distortion, narrow.pretrained) == ({}, ())
    to_json(nothing)
    to_json(narrow)


def test_a_suppressed_column_beside_the_records_fails_even_without_a_limit() -> None:
    t = table(400)
    found = audit(t, replace(release(t, noise(t)), y=t.y), POLICY, budget=FAST, options=AuditOptions(pretrained=False))
    assert found.verdict.level == "leaks"
    assert "suppressed-column" in {f.code for f in found.flaws}


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_tiny_tables(n: int) -> None:
    t = replace(table(max(n, 8)), split=None).take(np.arange(n))
    found = audit(t, release(t), POLICY, budget=FAST)
    assert found.verdict.level in ("unclear", "leaks", "broken")
    to_json(found)


@pytest.mark.slow
def test_one_class_left_and_nobody_labelled() -> None:
    t = table(300)
    for codes in (np.zeros(300, np.int64), np.full(300, -1), np.where(np.arange(300) < 2, 0, -1)):
        odd = replace(t, y={**t.y, "speaker": codes})
        after = release(odd)
        after = replace(after, x=after.x + np.float32(1e-3))  # copies would be a leak of another kind
        found = audit(odd, after, POLICY, budget=FAST, options=AuditOptions(pretrained=False))
        assert "speaker" not in {h.attribute for h in found.headlines}
        assert found.verdict.level == "unclear"
        assert any("speaker" in n for n in found.made["notes"])


@pytest.mark.slow
def test_originals_are_not_shown_where_that_is_asked() -> None:
    t = table(300)
    shown = audit(t, release(t), POLICY, budget=FAST, options=AuditOptions(pretrained=False)).cloud
    hidden = audit(t, release(t), POLICY, budget=FAST, options=AuditOptions(pretrained=False, originals=False)).cloud
    assert shown is not None
    assert hidden is not None
    assert len(shown.before) == len(shown.after) == 50 == len(shown.codes["speaker"])
    assert shown.before == shown.after
    assert hidden.before == ()
    assert len(hidden.after) == 50


@pytest.mark.slow
def test_progress_and_unknown_attributes() -> None:
    t = table(300)
    steps: list[tuple[str, int, int]] = []
    audit(
        t,
        release(t),
        POLICY,
        budget=FAST,
        options=AuditOptions(pretrained=False),
        run=Run(progress=lambda *a: steps.append(a)),
    )
    attacks = [s for s in steps if s[0] == "attacks"]
    assert [s[1] for s in attacks] == list(range(1, len(attacks) + 1))
    assert {s[2] for s in attacks} == {len(attacks)}
    with pytest.raises(SordineError, match="did you mean 'speaker'"):
        audit(t, release(t), Policy(("speakers",)), budget=FAST, options=AuditOptions(pretrained=False))
