"""Planted leaks: large ones are found, what is missed is named, and the verdict holds only up to what was found."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from sordine import Policy, Report, Table, audit, read_report, write_report
from sordine.attacks.base import Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.plants import KINDS, Planter
from sordine.attacks.principal_axes import WIDEST
from sordine.errors import SordineError
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import sentence, to_html
from sordine.evaluation.sections import power
from sordine.evaluation.sections.power import SIZES, Power, PowerFinding, in_short

N = 600


def report(
    leak: bool = False, limit: float | None = None, sections: tuple[str, ...] | None = None, width: int = 6
) -> Report:
    rng = np.random.default_rng(0)
    secret = rng.permutation(np.arange(N) % 2)
    shown = rng.standard_normal((N, width)).astype(np.float32)
    shown[:, : width // 6] += 6 * secret[:, None]
    original = Table.of(shown, {"secret": np.array(["a", "b"])[secret]}, ids=[f"r{i}" for i in range(N)])
    x = shown if leak else rng.standard_normal((N, width)).astype(np.float32)
    budget = Budget(families=("neighbours", "discriminant", "screening"), settings=("A",), person=(), cloud=0, plants=5)
    options = AuditOptions(pretrained=False, max_leakage=limit, sections=sections)
    return audit(original, Table.of(x, {}, ids=original.ids), Policy(("secret",)), budget=budget, options=options)


SOME = ("mean of one number", "fine intervals of one number", "last bits of one number", "few records")


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
        assert findings[kind].sizes == (0.8,)  # of 2 % nothing can be found among so few records
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
    assert sentence(str(in_short(found.sections["power"], "secret"))) in page
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
    shares = tuple(1.0 if smallest is not None and size >= smallest else 0.5 for size in SIZES)
    return PowerFinding("secret", kind, smallest, SIZES, shares, 20, ("screening",), "A", 500)


def test_what_is_missed_is_named() -> None:
    some = (finding("fine intervals of one number", None), finding("last bits of one number", 0.1))
    covered, missed = Power().sentences(some)
    assert "last bits of one number (10.0 %)" in covered
    assert "fine intervals of one number (missed at 2.0 % and 5.0 % and 10.0 % and 20.0 %)" in missed


def test_a_kind_is_described_by_the_sizes_that_were_tried() -> None:
    few = replace(finding("few records", None), sizes=(0.2,), shares=(0.5,))
    some = replace(finding("near copies", 0.2), sizes=(0.2,), shares=(1.0,))
    half = replace(finding("covariance", 0.1), sizes=(0.2, 0.1, 0.05), shares=(1.0, 1.0, 0.3))
    alike = replace(few, kind="last bits of one number")
    found = (few, some, half, alike)
    closing = " ".join(Power().contribution(found, Data()).closing)  # type: ignore[arg-type, union-attr]
    assert ": few records, last bits of one number (missed at 20.0 %, smaller leaks not tried); near copies" in closing
    assert "near copies (found at 20.0 %, smaller leaks not tried)." in closing
    assert "covariance (found at 10.0 % and 20.0 %, missed at 5.0 %)" in closing


def test_what_was_found_in_one_sentence() -> None:
    some = (finding("covariance", None), finding("near copies", 0.05), finding("last bits of one number", 0.2))
    begins = "The attacks found planted leaks of"
    assert in_short(some, "secret") == (
        f"{begins} 2 of 3 kinds, from a leakage of 5.0 % to 20.0 %, depending on the kind."
    )
    assert in_short(some[:1], "secret") == "The attacks missed planted leaks of 20.0 % of all 1 kinds."
    assert in_short(some[:2], "secret") == f"{begins} 1 of 2 kinds, from a leakage of 5.0 %."
    assert in_short(some, "other") is None


class Data:
    """An audit with one suppressed attribute, at a limit of 5 %."""

    limit = 0.05
    headlines = (SimpleNamespace(role="suppress", nag=0.0, attribute="secret"),)


CORE = dict.fromkeys(power.CORE, 0.05)


@pytest.mark.parametrize(
    ("found", "leakage", "unclear", "not_covered"),
    [
        ({**CORE, "few records": 0.02}, (0.05,), False, []),
        ({**CORE, "few records": 0.1}, (0.05,), False, ["few records"]),
        ({**CORE, "few records": None}, (0.05,), False, ["few records"]),
        ({**CORE, "covariance": 0.1}, (0.1,), True, ["covariance"]),
        ({**CORE, "covariance": None}, (0.05,), True, ["covariance"]),
        ({"mean of one number": 0.2}, (0.2,), True, ["mean of one number"]),
    ],
)
def test_what_it_adds_to_the_verdict(
    found: dict[str, float | None], leakage: tuple[float, ...], unclear: bool, not_covered: list[str]
) -> None:
    added = Power().contribution(tuple(finding(*some) for some in found.items()), Data())  # type: ignore[arg-type]
    assert added is not None
    assert added.leakage == leakage
    assert added.unclear is unclear
    assert added.closing[-1] == power.OTHERS
    named = [s for s in added.closing if "missed or not tried" in s]
    assert [kind for kind in found if any(kind in s for s in named)] == not_covered


def test_a_caller_that_leaves_the_section_out_gets_no_verdict_that_holds(found: Report) -> None:
    left_out = report(limit=0.9, sections=("attacks",))
    assert "power" not in left_out.sections
    assert (found.verdict.level, left_out.verdict.level) == ("holds", "unclear")
    assert any("planted" in s for s in left_out.verdict.sentences)


def test_without_plants_the_verdict_is_never_that_it_holds() -> None:
    added = Power().contribution((), Data())  # type: ignore[arg-type]
    assert added is not None
    assert added.unclear
    assert "`secret`" in added.closing[0]


@pytest.mark.parametrize(("records", "found"), [(600, False), (20_000, True)])
def test_no_attack_is_made_where_there_are_too_few_records(records: int, found: bool) -> None:
    labels, x = np.arange(records) % 2, np.zeros((records, 1), np.float32)
    split = Split(np.arange(records // 4), np.arange(records // 4, records // 2), np.arange(records // 2, records))
    trial = power.Trial(x, False, np.ones(records, bool), Target(labels, 2), 1.0, split, {}, 27, 0.05)
    assert trial.can_be_found(0.05) is found
    assert trial.can_be_found(0.9)
    assert not replace(trial, revealed=0.01).can_be_found(0.9)


def test_too_few_plants_are_refused() -> None:
    with pytest.raises(SordineError, match=r"plants is 3; it must be 0 \(off\) or at least 5"):
        Budget(plants=3)


def test_what_was_missed_is_said_apart_from_what_was_not_planted() -> None:
    missed, never = "mean of one number", "covariance"
    some = (
        replace(finding(missed, None), sizes=(0.2,), shares=(0.5,)),
        replace(finding(never, None), sizes=(), shares=()),
    )
    data = SimpleNamespace(limit=0.1, headlines=())
    closing = Power().contribution(some, data).closing  # type: ignore[arg-type, union-attr]
    (of_missed,) = [s for s in closing if "the limit (10.0 %) were missed" in s and "cannot be that" in s]
    (of_never,) = [s for s in closing if "no leaks could be planted" in s and "cannot be that" in s]
    assert missed in of_missed
    assert never not in of_missed
    assert never in of_never
    assert missed not in of_never


def test_a_small_part_of_a_large_leak_is_not_enough() -> None:
    labels = np.arange(2000) % 2
    split = Split(np.arange(0), np.arange(0), np.arange(2000))
    trial = power.Trial(np.zeros((2000, 1)), False, labels < 2, Target(labels, 2), 1.0, split, {}, 9, 0.3)
    right = np.where(np.arange(2000) < 1100, labels, 1 - labels)  # 55 % are right: a leakage of 10 %
    assert trial.is_found(right, labels, 0.1)
    assert not trial.is_found(right, labels, 0.5)  # such a verdict could be that the release holds
    assert replace(trial, limit=0.05).is_found(right, labels, 0.5)  # here it could not
    # 15 % cannot be excluded with 99.75 %, but with the 95 % of the verdict.
    assert replace(trial, limit=0.15).is_found(right, labels, 0.15)
    assert not replace(trial, limit=0.15).is_found(right, labels, 0.5)


def test_numbers_of_few_values_are_not_planted() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (800, 30)).astype(np.float32)
    x[:, [4, 9, 17, 20]] = rng.standard_normal((800, 4))
    planter = Planter(x, rng.integers(0, 2, 800), 2)
    assert planter.varied.tolist() == [4, 9, 17, 20]
    for seed in range(5):
        assert set(planter.plant("combination of three numbers", 0.2, seed).numbers) <= {4, 9, 17, 20}


@pytest.mark.slow
def test_leaks_in_few_numbers_of_wide_records_are_planted_in_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = "mean of all numbers", "last bits of one number", "few records"
    monkeypatch.setattr(power, "SIZES", (0.9,))
    monkeypatch.setattr(power, "KINDS", {kind: KINDS[kind] for kind in kinds})
    made = report(width=WIDEST + 50)
    findings = {f.kind: f for f in made.sections["power"]}
    assert findings["mean of all numbers"].attackers == ("neighbours", "discriminant")
    assert findings["last bits of one number"].attackers == ("screening",)
    assert findings["mean of all numbers"].shares == (0,)
    assert all(findings[kind].shares[0] > 0.5 for kind in kinds[1:])
    assert any("principal axes" in note for note in made.made["notes"])
