"""Sections on risks beside inference, and on utility: in the audit, the JSON, the page and the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sordine import Policy, Report, Table, audit, fit, read_report, transform, write_report
from sordine.attacks.budget import Budget
from sordine.attacks.reconstruction.regression import ReaderFinding
from sordine.attacks.risk import RiskFinding
from sordine.data.synthetic.gaussians import gaussians
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.sections.linking import LinkingFinding
from sordine.evaluation.sections.membership import MembershipFinding
from sordine.evaluation.sections.power import Power
from sordine.evaluation.sections.registry import SECTIONS, sections
from sordine.evaluation.verdict import judge_contributions
from sordine.keys import Key
from sordine.methods.registry import make
from sordine.run import Run

NAMES = ("membership", "singling_out", "linking", "reconstruction_of_x", "utility")
POLICY = Policy(("secret",), ("utility",))
BUDGET = Budget(families=("logistic",), settings=("A",), person=(), cloud=0)
OPTIONS = AuditOptions(pretrained=False, sections=NAMES)
KEY = Key.of_seed(3)


@pytest.fixture(scope="module", autouse=True)
def covered() -> Iterator[None]:
    """These audits plant no leaks. Judge them as if they had found every kind of leak."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Power, "judges_when_left_out", False)
        yield


@cache
def table() -> Table:
    return gaussians(600, 1).with_split(POLICY, KEY)


@cache
def report(method: str, known: bool = True) -> Report:
    modifier = fit(table(), POLICY, make(method), run=Run(key=KEY))
    released = transform(modifier, table(), KEY)
    about = {"modifier": modifier, "key": KEY} if known else {}
    return audit(table(), released, POLICY, budget=BUDGET, options=OPTIONS, **about)


def noise(columns: int | None = None) -> Table:
    width = columns or table().shape[0]
    x = np.random.default_rng(5).standard_normal((600, width)).astype(np.float32)
    return Table.of(x, {}, ids=table().ids, split=_split())


def _split() -> list[str]:
    assert table().split is not None
    return ["train" if s else "test" for s in table().split]


def test_copies_are_found_in_every_way_and_the_title_names_it() -> None:
    found = report("nothing", known=False)
    got = found.sections
    assert set(got) == set(NAMES)
    assert {f.knows for f in got["membership"].clear} == {"release"}
    assert len(got["singling_out"].clear) == len(got["singling_out"].rows)
    assert all(f.risk == 1 for f in got["linking"].originals)
    assert got["linking"].releases == ()
    assert got["reconstruction_of_x"].rows[0].risk > 0.95
    assert got["reconstruction_of_x"].readers[0].low > 0.8
    assert all(f.value > 0.99 for f in got["utility"])
    assert found.verdict.level == "leaks"  # because of the attributes: these risks do not change the level
    assert any("single out the originals" in s for s in found.verdict.sentences)


def test_an_attribute_that_is_inferred_from_reconstructed_records_leaks() -> None:
    section = SECTIONS.make("reconstruction_of_x")
    found = report("nothing", known=False).sections["reconstruction_of_x"]
    data: Any = SimpleNamespace(limit=0.05)
    added = section.contribution(found, data)
    assert added is not None
    assert [what for _, what in added.gives] == ["`secret` from reconstructed records"]
    assert added.gives[0][0] > 0.8
    verdict, passed = judge_contributions((), (added,), ("secret",), 0.05)
    assert (verdict.level, passed) == ("leaks", False)
    vague = replace(found, readers=tuple(replace(r, low=0.04) for r in found.readers))
    assert section.contribution(vague, data) is None


def test_reconstruction_counts_persons_that_are_new_to_the_attacker() -> None:
    persons = np.repeat(np.arange(60), 10)

    def reader(group: np.ndarray, split: np.ndarray) -> ReaderFinding:
        y = {"secret": np.arange(60)[group] % 2, "utility": np.arange(600) % 3}
        x = np.random.default_rng(0).standard_normal((600, 4)).astype(np.float32)
        x[:, 0] += 3 * y["secret"]
        t = Table.of(x, y, split=np.where(split, "train", "test"), group=group)
        found = audit(t, t.with_x(x), POLICY, budget=BUDGET, options=replace(OPTIONS, match_by_order=True))
        return found.sections["reconstruction_of_x"].readers[0]

    new, shared = reader(persons, persons < 30), reader(persons, np.arange(600) % 2 == 0)
    assert new.after > 0.85
    assert np.ptp(new.after_interval) > 2 * np.ptp(shared.after_interval)
    assert new.low is not None
    assert new.low > 0.3


def test_a_modifier_that_draws_nothing_is_linked_to_itself() -> None:
    found = report("nothing").sections["linking"]
    assert found.repeats
    assert all(f.success == 1 for f in found.releases)
    assert any("draws nothing" in s for s in SECTIONS.make("linking").sentences(found))


def test_noise_is_no_risk() -> None:
    found = audit(table(), noise(), POLICY, budget=BUDGET, options=OPTIONS)
    got = found.sections
    assert got["membership"].clear == got["singling_out"].clear == ()
    assert not any(f.clear for f in got["linking"].rows)
    assert not any(f.clear for f in got["reconstruction_of_x"].rows)
    assert all(f.low - 0.02 <= f.chance <= f.high + 0.02 for f in got["utility"])
    assert "Other risks" not in found.verdict.title
    assert "did not recognise" in SECTIONS.make("membership").sentences(got["membership"])[0]


def test_membership_states_why_an_attack_does_not_count() -> None:
    section = SECTIONS.make("membership")
    record = RiskFinding(
        "a", "record", "both", "auc", 0.577, (0.52, 0.64), 0.42, (0.3, 0.5), 0.27, (0.1, 0.4), 0.0, 9, 9
    )
    modifier = replace(record, knows="modifier", success=0.633, success_interval=(0.572, 0.69), least=0.17)
    found = MembershipFinding((record, modifier), "same", "person", False)
    (sentence, _) = section.sentences(found)
    assert "63.3 % of the pairs" in sentence
    assert "an attacker without any release reaches 57.7 %" in sentence
    surer = replace(found, rows=(record, replace(modifier, success_interval=(0.58, 0.69))))
    assert surer.clear
    unclear = replace(found, rows=(record, replace(modifier, least=0.0)))
    assert "without any release" not in section.sentences(unclear)[0]


def linking(*knows: str) -> LinkingFinding:
    one = RiskFinding("a", "originals", "unseen", "share", 0.3, (0.2, 0.4), 0.0, (0, 0), 0.3, (0.2, 0.4), 0.2, 99, 99)
    missed = replace(one, success=0.0, least=0.0)
    rows = tuple(replace(one, knows=k) for k in knows)  # type: ignore[arg-type]
    return LinkingFinding((missed, *rows), (missed, replace(one, knows="release")), False)


def test_a_risk_in_the_title_has_its_condition() -> None:
    data: Any = SimpleNamespace(risks=SimpleNamespace(persons=None), policy=POLICY)
    two = "linkability of two releases (under different keys)"
    for knows, named in (
        (("modifier",), ("linkability to originals (with the modifier)", two)),
        (("modifier", "originals"), ("linkability to originals", two)),
        ((), (two,)),
    ):
        given = SECTIONS.make("linking").contribution(linking(*knows), data)
        assert given.risks == named


def test_other_risks_are_in_the_title_and_do_not_change_the_level() -> None:
    """Each record's last number is its own, and says nothing of an attribute."""
    rng = np.random.default_rng(0)
    n = 800
    secret = rng.integers(0, 2, n)
    x = rng.standard_normal((n, 4)).astype(np.float32)
    x[:, 0] += 6 * secret
    original = Table.of(x, {"secret": secret}, ids=[f"r{i}" for i in range(n)], split=_halves(n))
    released = x.copy()
    released[:, 0] = rng.standard_normal(n)
    found = audit(
        original,
        Table.of(released, {}, ids=original.ids),
        Policy(("secret",)),
        budget=BUDGET,
        options=replace(OPTIONS, max_leakage=0.3),
    )
    assert found.verdict.level == "holds"
    assert found.passed
    assert found.verdict.grade == "moderate"
    named = "Other risks were found: singling out, linkability to originals, membership"
    left_out = "Not tested: 8 of 9 attacks, scenarios B and C, attackers that pool records of one person"
    assert found.verdict.title.endswith(f". {named}. {left_out}")
    assert found.verdict.title_lines[1:] == (f"{named}.", f"{left_out}.")
    assert found.made["left_out"] == left_out.removeprefix("Not tested: ").split(", ")
    both = replace(found.verdict, title=f"It holds. However, k records do not. {named}. {left_out}", adds_up=True)
    assert both.title_lines == ("It holds.", "However, k records do not.", f"{named}.", f"{left_out}.")
    assert replace(both, title="It holds. However, k records do not").title_lines[1] == "However, k records do not."
    assert replace(both, title="It holds").title_lines == ("It holds",)


@pytest.mark.parametrize(("secret", "level"), [("person", "unclear"), ("secret", "holds")])
def test_a_clear_match_excludes_that_the_verdict_holds_where_the_person_is_suppressed(secret: str, level: str) -> None:
    """All numbers but the first ones are released as they are. They say nothing of an attribute."""
    rng = np.random.default_rng(1)
    n = 900
    codes = rng.integers(0, 3, n)
    x = rng.standard_normal((n, 7)).astype(np.float32)
    x[:, :3] += 6 * np.eye(3)[codes]
    original = Table.of(x, {secret: codes}, ids=[f"r{i}" for i in range(n)], split=_halves(n))
    released = x.copy()
    released[:, :3] = rng.standard_normal((n, 3))
    options = AuditOptions(pretrained=False, max_leakage=0.3, sections=("linking",))
    policy = Policy((secret,), (), ())
    found = audit(original, Table.of(released, {}, ids=original.ids), policy, budget=BUDGET, options=options)
    assert any(f.clear for f in found.sections["linking"].originals)
    assert (found.verdict.level, found.passed) == (level, True)


def _halves(n: int) -> list[str]:
    return ["train" if i % 2 else "test" for i in range(n)]


@pytest.mark.slow
def test_a_discrete_modifier_is_attacked_by_its_outputs_and_another_one_by_its_releases() -> None:
    for method, words in (("transport", "output"), ("noise", "release")):
        got = report(method).sections
        assert {f.knows for f in got["membership"].rows} == {"record", "release", "modifier"}
        assert any(words in f.attack for f in got["linking"].originals if f.knows == "modifier")
        assert {f.on for f in got["linking"].releases} == {"fitted", "unseen"}


def test_the_page_and_the_json_show_every_section(tmp_path) -> None:
    found = report("transport")
    write_report(found, html=tmp_path / "r.html", json=tmp_path / "r.json")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for section in sections(NAMES):
        assert f'<section id="{section.name}">' in page
        assert section.title in page.replace("&#39;", "'")
    again = read_report(tmp_path / "r.json")
    assert again.sections == found.sections
    assert to_html(again) == page


def test_a_quick_budget_leaves_them_out() -> None:
    found = audit(table(), noise(), POLICY, budget=Budget.named("quick"), options=AuditOptions(pretrained=False))
    assert not set(NAMES) & set(found.sections)


def test_records_with_other_numbers_are_linked_by_the_modifier_alone_and_not_singled_out() -> None:
    found = audit(table(), noise(columns=3), POLICY, budget=BUDGET, options=OPTIONS)
    assert "singling_out" not in found.sections
    assert "linking" not in found.sections
    assert {f.knows for f in found.sections["membership"].rows} == {"record"}
    assert found.sections["reconstruction_of_x"].rows
    assert any("other numbers" in note for note in found.made["notes"])


def test_without_unseen_records_membership_is_not_attacked() -> None:
    every = replace(table(), split=np.ones(600, bool))
    released = replace(noise(), split=np.ones(600, bool))
    found = audit(every, released, POLICY, budget=replace(BUDGET, settings=("C",)), options=OPTIONS)
    assert "membership" not in found.sections
    assert any("Membership is not attacked" in note for note in found.made["notes"])
    assert found.sections["singling_out"].others == "fitted"
    assert found.sections["reconstruction_of_x"].on == "fitted"
    assert {f.on for f in found.sections["reconstruction_of_x"].rows} == {"fitted"}
    assert not found.sections["singling_out"].clear


@pytest.mark.parametrize("shared", [True, False])
def test_it_is_noted_whether_the_sides_hold_the_same_persons(shared: bool) -> None:
    rng = np.random.default_rng(0)
    n, fitted = 600, np.arange(600) % 2 == 0
    person = rng.integers(0, 12, n) if shared else np.where(fitted, 0, 12) + rng.integers(0, 12, n)
    # Persons differ by far: without persons in the control, their difference would look like membership.
    x = (rng.standard_normal((24, 5))[person] * 3 + rng.standard_normal((n, 5))).astype(np.float32)
    labels = {"person": [f"p{c}" for c in person], "secret": rng.integers(0, 2, n)}
    original = Table.of(x, labels, split=["train" if f else "test" for f in fitted], ids=[f"r{i}" for i in range(n)])
    released = Table.of(rng.standard_normal((n, 5)).astype(np.float32), {}, ids=original.ids)
    options = replace(OPTIONS, sections=("membership",))
    found = audit(original, released, Policy(("secret",)), budget=BUDGET, options=options).sections["membership"]
    assert (found.persons, found.unit) == ("same" if shared else "different", "person")
    assert found.clear == ()
    about = SECTIONS.make("membership").sentences(found)[-1]
    assert ("same `person`" in about) is shared


def test_the_top_of_the_page_has_the_figures_under_the_names_of_the_risks() -> None:
    found = report("transport")
    by = {s.name: s.risk_lines(s.of(found), found) for s in sections(NAMES) if s.risk}
    assert set(by) == set(NAMES) - {"utility"}
    for lines in by.values():
        assert any("interval" in line for line in lines)
    linkability = next(s for s in sections(("linkability",)))
    assert linkability.tested((), found)
