"""What the owner of a copy tells, on releases whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.data.record_digests import digests, owners
from sordine.data.table import Table
from sordine.evaluation.audit import audit
from sordine.evaluation.exact_copies import copied
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.policy import Policy

POLICY = Policy(("who",), ("what",), ())


def table(n: int = 600, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    who, what = rng.integers(0, 4, n), rng.integers(0, 3, n)
    x = rng.normal(size=(n, 6)) + 3 * np.eye(6)[who] + 3 * np.eye(6)[3 + what % 3]
    made = Table.of(x.astype(np.float32), {"who": who.astype(str), "what": what.astype(str)})
    return made.with_split(POLICY, Key.of_seed(0))


def drawn(whole: Table, own_class: float, own_copy: float = 0.0, seed: int = 1) -> Table:
    """Every record gets a copy: of itself with `own_copy`, of its own class with `own_class`, else of anyone."""
    rng = np.random.default_rng(seed)
    who, n = whole.y["who"], len(whole)
    anyone = rng.integers(0, n, n)
    alike = np.array([rng.choice(np.flatnonzero(who == c)) for c in who])
    rows = np.where(rng.random(n) < own_class, alike, anyone)
    rows = np.where(rng.random(n) < own_copy, np.arange(n), rows)
    return replace(whole, x=whole.x[rows], y={}, classes={})


def flaws_of(whole: Table, after: Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for flaw in copied(whole, whole, after.x, whole.split, POLICY):
        found.setdefault(flaw.code, []).append(flaw.message)
    return found


def test_an_independent_draw_is_no_flaw() -> None:
    whole = table()
    wrong = sum(bool(flaws_of(whole, drawn(whole, 0.0, seed=s))) for s in range(20))
    assert wrong <= 2


def test_a_draw_from_ones_own_class_is_a_leak_on_both_sides() -> None:
    whole = table()
    found = flaws_of(whole, drawn(whole, 0.4))
    assert list(found) == ["own-class"]
    assert len(found["own-class"]) == 2
    assert "unseen" in found["own-class"][1]


def test_records_that_leave_as_they_came_are_a_leak() -> None:
    whole = table()
    found = flaws_of(whole, drawn(whole, 0.0, own_copy=0.1))
    assert "own-copy" in found
    assert "own-copy" not in flaws_of(whole, drawn(whole, 0.0, own_copy=0.01))


def test_vectors_that_are_nobodys_say_nothing() -> None:
    whole = table()
    after = replace(whole, x=whole.x + np.float32(1e-3), y={}, classes={})
    assert flaws_of(whole, after) == {}
    narrow = replace(whole, x=whole.x[:, :3], y={}, classes={})
    assert flaws_of(whole, narrow) == {}


def test_the_audit_says_leaks_where_attackers_have_too_little_to_learn_from() -> None:
    whole = table(150)
    after = drawn(whole, 0.5)
    report = audit(
        whole,
        after,
        POLICY,
        budget=Budget.named("quick", families=("logistic",), settings=("A",), cloud=0),
        options=AuditOptions(pretrained=False),
    )
    assert report.verdict.level == "leaks"
    assert any(f.code == "own-class" and f.attribute == "who" for f in report.flaws)


def test_of_equal_vectors_the_first_id_is_the_owner() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]], np.float32)
    known = digests([x])
    assert owners(digests([x[::-1]]), known, ["b", "c", "a"]).tolist() == [2, 1, 2]
    assert owners(digests([x + 1]), known, ["b", "c", "a"]).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_bits_are_compared_as_float32(dtype: type) -> None:
    x = np.arange(6, dtype=dtype).reshape(3, 2)
    assert digests([x]) == digests([x.astype(np.float32)])
