"""Planted leaks: large ones are found, what is missed is named, and the verdict holds only up to what was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sordine import Policy, Report, Table, audit, read_report, write_report
from sordine.attacks.budget import Budget
from sordine.attacks.plants import KINDS
from sordine.errors import SordineError
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.sections import power
from sordine.evaluation.sections.power import SIZES, Power, PowerFinding

N = 600


def report(leak: bool = False, limit: float | None = None) -> Report:
    rng = np.random.default_rng(0)
    secret = rng.permutation(np.arange(N) % 2)
    shown = rng.standard_normal((N, 6)).astype(np.float32)
    shown[:, 0] += 6 * secret
    original = Table.of(shown, {"secret": np.array(["a", "b"])[secret]}, ids=[f"r{i}" for i in range(N)])
    x = shown if leak else rng.standard_normal((N, 6)).astype(np.float32)
    budget = Budget(families=("neighbours", "discriminant", "screening"), settings=("A",), person=(), cloud=0, plants=5)
    options = AuditOptions(pretrained=False, max_leakage=limit)
    return audit(original, Table.of(x, {}, ids=original.ids), Policy(("secret",)), budget=budget, options=options)


SOME = ("mean of one number", "combination of two numbers", "last bit of one number", "few records")


@pytest.fixture(scope="module")
def found() -> Report:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(power, "SIZES", (0.8, 0.02))
        patch.setattr(power, "KINDS", {kind: KINDS[kind] for kind in SOME})
        return report(limit=0.9)


def test_large_plants_are_found_and_small_ones_are_not(found: Report) -> None:
    findings = {f.kind: f for f in found.sections["power"]}
    assert tuple(findings) == SOME
    assert {f.attribute for f in findings.values()} == {"secret"}
    for kind in SOME:
        assert findings[kind].smallest == 0.8
        assert findings[kind].shares[0] == 1
        assert findings[kind].shares[1] < 1
    assert all(f.records == 150 and f.planted == 5 for f in findings.values())


def test_the_verdict_holds_only_up_to_what_was_found(found: Report) -> None:
    assert found.verdict.level == "holds"
    assert "up to 80.0 % cannot be excluded" in found.verdict.title
    assert any("mean of one number (80.0 %)" in s for s in found.verdict.sentences)


def test_the_page_and_the_json_show_it(found: Report, tmp_path) -> None:
    write_report(found, html=tmp_path / "r.html", json=tmp_path / "r.json")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "Planted leaks" in page
    assert all(kind in page for kind in SOME)
    again = read_report(tmp_path / "r.json")
    assert again.sections["power"] == found.sections["power"]
    assert to_html(again) == page


def test_a_leak_that_is_there_does_not_count_as_a_planted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "SIZES", (0.02,))
    monkeypatch.setattr(power, "KINDS", {kind: KINDS[kind] for kind in SOME})
    leaky = report(leak=True)
    assert leaky.verdict.level == "leaks"
    assert all(f.smallest is None for f in leaky.sections["power"])


def finding(kind: str, smallest: float | None) -> PowerFinding:
    return PowerFinding("secret", kind, smallest, SIZES, (1.0,), 20, ("screening",), "A", 500)


def test_what_is_missed_is_named() -> None:
    some = (finding("fine intervals of one number", None), finding("last bit of one number", 0.1))
    covered, missed = Power().sentences(some)
    assert "last bit of one number (10.0 %)" in covered
    assert missed.startswith("The verdict does not cover")
    assert missed.endswith(": fine intervals of one number.")


@pytest.mark.parametrize(("smallest", "leakage", "unclear"), [(0.05, 0.05, False), (0.1, 0.1, True), (None, 0.2, True)])
def test_what_it_adds_to_the_verdict(smallest: float | None, leakage: float, unclear: bool) -> None:
    class Data:
        limit = 0.05

    added = Power().contribution((finding("fine intervals of one number", smallest),), Data())  # type: ignore[arg-type]
    assert added is not None
    assert added.leakage == (leakage,)
    assert added.unclear is unclear


def test_an_attribute_without_a_covered_kind_makes_the_verdict_unclear() -> None:
    class Data:
        limit = 0.05

    other = replace(finding("fine intervals of one number", None), attribute="other")
    added = Power().contribution((finding("fine intervals of one number", 0.05), other), Data())  # type: ignore[arg-type]
    assert added is not None
    assert added.unclear


def test_too_few_plants_are_refused() -> None:
    with pytest.raises(SordineError, match=r"plants is 3; it must be 0 \(off\) or at least 5"):
        Budget(plants=3)
