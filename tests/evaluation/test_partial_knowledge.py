"""The section on an attacker that knows a part of the classes: its figures, the verdict, the page and the JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sordine import Policy, Report, Table, audit
from sordine.attacks.budget import Budget
from sordine.errors import SordineError
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.sections.partial_knowledge import PartialKnowledgeFinding, contribution
from sordine.evaluation.sections.sample import ReleaseSample
from sordine.evaluation.verdict import judge_contributions
from sordine.methods.noise import NoiseModifier
from sordine.models.modifier import Card
from tests.fixtures.report_example import headline

N, UNSEEN, OUTPUTS = 800, 40, 20
BUDGET = Budget(families=("neighbours",), settings=("C",), person=(1, 10), cloud=0, known=(0.9,), tail=False)


def report(even: bool, name: str = "speaker", budget: Budget = BUDGET, **more: Any) -> Report:
    """An audit of outputs that every class uses alike over the fitted records, or just at random."""
    rng = np.random.default_rng(0)
    secret = np.concatenate([np.arange(N) % 4, rng.integers(0, 4, UNSEEN)])
    evenly = np.tile(np.arange(OUTPUTS).repeat(4), N // OUTPUTS // 4)
    fitted = evenly if even else rng.integers(0, OUTPUTS, N)
    released = rng.standard_normal((OUTPUTS, 5))[np.concatenate([fitted, rng.integers(0, OUTPUTS, UNSEEN)])]
    x = np.concatenate([np.eye(4)[secret], rng.standard_normal((len(secret), 2))], 1)
    original, after = tables(x, {name: secret}, released)
    return audit(original, after, Policy((name,)), budget=budget, options=AuditOptions(pretrained=False), **more)


def tables(x: np.ndarray, y: dict[str, np.ndarray], released: np.ndarray) -> tuple[Table, Table]:
    ids = [f"r{i}" for i in range(len(x))]
    split = ["train"] * (len(x) - UNSEEN) + ["test"] * UNSEEN
    return Table.of(x.astype(np.float32), y, ids=ids, split=split), Table.of(released.astype(np.float32), {}, ids=ids)


@pytest.fixture(scope="module")
def even() -> Report:
    return report(True)


def finding(found: Report, k: int = 1) -> PartialKnowledgeFinding:
    return next(f for f in found.sections["partial_knowledge"] if f.k == k)


def test_evenness_makes_the_verdict_leak(even: Report) -> None:
    assert {f.knows for f in even.sections["partial_knowledge"]} == {"outputs"}
    one, ten = finding(even), finding(even, 10)
    assert one.low_corrected is not None
    assert one.low is not None
    assert 0.05 < one.low_corrected < one.low
    assert ten.after > one.after
    assert ten.is_person
    assert not one.at_chance
    assert even.verdict.level == "leaks"
    assert "knows it for 90.0 % of the fitted records" in even.verdict.title
    assert sum("of the fitted records" in s for s in even.verdict.sentences) == 2


@pytest.mark.slow
def test_without_evenness_nothing_is_found() -> None:
    found = report(False)
    assert finding(found).at_chance
    assert found.verdict.level != "leaks"
    assert finding(found).high is not None


def test_it_is_shown_and_stored(even: Report) -> None:
    again = from_json(to_json(even))
    assert again.sections["partial_knowledge"] == even.sections["partial_knowledge"]
    page = to_html(again)
    assert 'id="partial_knowledge"' in page
    assert "for 90.0 % of the fitted records" in page.replace("\u00a0", " ")


def test_records_of_one_class_without_a_person_do_not_count_together() -> None:
    found = report(True, "emotion")
    assert [f.counts for f in found.sections["partial_knowledge"]] == [True, False]
    assert finding(found, 10).unit == "emotion"
    assert "pools" not in found.verdict.title
    assert "No person is known here" in to_html(found)


def test_an_attacker_with_the_modifier_releases_its_records_again() -> None:
    rng = np.random.default_rng(0)
    secret = rng.permutation(np.arange(200) % 2)
    x = rng.standard_normal((200, 4)) + 4 * secret[:, None]
    original, after = tables(x, {"speaker": secret}, x + 4 * rng.standard_normal(x.shape))
    modifier = NoiseModifier(4)
    modifier.card = Card("noise", {}, {}, {"shape": [4]})
    given = {"budget": replace(BUDGET, person=()), "options": AuditOptions(pretrained=False)}
    found = audit(original, after, Policy(("speaker",)), modifier=modifier, **given)  # type: ignore[arg-type]
    assert {(f.knows, f.k) for f in found.sections["partial_knowledge"]} == {("outputs", 1), ("modifier", 1)}
    assert all(f.after > 0.7 for f in found.sections["partial_knowledge"])


def test_an_attacker_with_a_discrete_modifier_also_compares_released_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each record has an output of its own, so the output distributions say nothing; outputs of one class are close.
    rng = np.random.default_rng(0)
    n = 200
    secret = rng.permutation(np.arange(n) % 2)
    x = rng.standard_normal((n, 4)) + 4 * secret[:, None]
    original, after = tables(x, {"speaker": secret}, x + rng.standard_normal(x.shape))
    fitted = n - UNSEEN
    distributions = (np.full((fitted, fitted), 1 / fitted, np.float32), np.arange(fitted)), None
    monkeypatch.setattr(ReleaseSample, "outputs", lambda _: distributions)
    budget = replace(BUDGET, person=())
    found = audit(original, after, Policy(("speaker",)), budget=budget, options=AuditOptions(pretrained=False))
    accuracy = {f.knows: f.after for f in found.sections["partial_knowledge"]}
    assert accuracy["outputs"] > 0.9
    assert accuracy["modifier"] >= accuracy["outputs"]


@pytest.mark.parametrize("known", [(0.0,), (0.5, 1.0), (-0.1,)])
def test_shares_lie_between_nothing_and_everything(known: tuple[float, ...]) -> None:
    with pytest.raises(SordineError):
        Budget(known=known)
    assert Budget.quick().known == ()


def test_no_such_attacker_without_shares() -> None:
    assert "partial_knowledge" not in report(True, budget=replace(BUDGET, known=())).sections


def test_what_it_adds_to_the_verdict() -> None:
    f = PartialKnowledgeFinding(
        "a", 0.5, "outputs", 1, "a", True, 1.0, 0.5, 0.5, 0.0, -0.01, 0.02, -0.02, True, (0.49, 0.51), 900, 900, "class"
    )
    head = replace(headline("a", "suppress", 2, 0.9, 0.5, 0.5), low=-0.01, high=0.02, resolvable=0.02)
    many = replace(f, k=10, nag=0.6, low=0.3, high=0.8, low_corrected=0.2, at_chance=False)
    for found, level in (
        ((f,), "holds"),
        ((f, replace(f, k=10, high=0.3)), "unclear"),
        ((f, many), "leaks"),
        ((f, replace(many, is_person=False)), "holds"),
        ((replace(f, nag=None, low=None, high=None, low_corrected=None, at_chance=False),), "leaks"),
    ):
        given = contribution(found, 0.05)
        assert given is not None
        verdict, passed = judge_contributions([head], [given], ("a",), 0.05)
        assert (verdict.level, passed) == (level, level != "leaks"), found
    # The stated attacker is the surest one; another one may leave more open.
    surest, wider = replace(f, k=10, low_corrected=0.0, high=0.164), replace(f, k=0, low_corrected=-0.1, high=0.398)
    given = contribution((f, surest, wider), 0.05)
    assert given is not None
    assert "from 10 records" in given.sentences[1]
    assert "39.8 %, of `a` to an attacker that knows it for 50.0 % of the fitted" in given.sentences[1]
    assert "pools all records of one person" in given.sentences[1]
    assert "largest leakage" not in given.sentences[0]
    # Without a leakage, the title states the share of what is missing to certainty.
    unknown = replace(f, after=0.6, nag=None, low=None, high=None, low_corrected=None, at_chance=False)
    given = contribution((unknown,), 0.05)
    assert given is not None
    assert given.gives[0][0] == pytest.approx(0.2)
    assert contribution((replace(many, is_person=False),), 0.05) is None
