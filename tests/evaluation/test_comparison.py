"""Reports side by side: curves, the undominated, what is sentences of them, the page and the command."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sordine.cli.app import main
from sordine.errors import SordineError
from sordine.evaluation.comparison import compare
from sordine.evaluation.page.tradeoff_plot import comparison_page
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import to_json
from sordine.metrics.utility import UtilityFinding
from tests.evaluation.test_report import read
from tests.fixtures.report_example import headline, with_pictures


def made(
    leakage: float, utility: float, method: str | None = "replacement", role: str = "suppress", **fields: Any
) -> Report:
    """A report of identity (guess 0.1, before 0.9), and of smiling and young, of which the second keeps 0.1 more."""
    report = with_pictures()
    heads = (
        headline("identity", role, 20, 0.9, 0.1 + 0.8 * leakage, 0.1),
        headline("smiling", "preserve", 2, 0.9, 0.5 + 0.4 * (utility - 0.05), 0.5),
        headline("young", "preserve", 2, 0.9, 0.5 + 0.4 * (utility + 0.05), 0.5),
        headline("hair", "watch", 3, 0.8, 0.6, 0.4),
    )
    return replace(
        report,
        headlines=heads,
        policy={role: ("identity",), "preserve": ("smiling", "young")},
        modifier=None if method is None else {"method": method, "fields": fields},
        made={"transformed": "blurred", "families": ["mlp"]},
    )


def five() -> list[tuple[str, Report]]:
    return [
        ("b", made(0.2, 0.7, variant="both", budget=0.03, inner={"seed": 1})),
        ("a", made(0.6, 0.9, variant="both", budget=0.001, inner={"seed": 1})),
        ("c", made(0.3, 0.6, variant="filter", budget=0.03, inner={"seed": 1})),
        ("d", made(0.05, 0.3, "masking", keep=10)),
        ("e", made(0.7, 0.2, None)),
    ]


def test_curves_are_methods_and_their_variants_in_the_order_of_what_varies() -> None:
    found = compare(five())
    assert found.attribute == "identity"
    assert found.utility == ("smiling", "young")
    assert [(c.method, c.varies, [p.name for p in c.points]) for c in found.curves] == [
        ("replacement, variant both", ("budget",), ["a", "b"]),
        ("replacement, variant filter", (), ["c"]),
        ("masking", (), ["d"]),
        ("blurred", (), ["e"]),
    ]
    assert found.curves[0].points[0].settings == {"variant": "both", "budget": 0.001}


def test_leakage_utility_and_the_front() -> None:
    points = {p.name: p for c in compare(five()).curves for p in c.points}
    assert points["b"].leakage == pytest.approx(0.2)
    assert points["b"].utility == pytest.approx(0.7)
    assert points["b"].utilities == pytest.approx({"smiling": 0.65, "young": 0.75})
    assert (points["b"].utility_low, points["b"].utility_high) == pytest.approx((0.67, 0.73))
    assert (points["b"].leakage_low, points["b"].leakage_high) == pytest.approx((0.17, 0.23))
    assert {name for name, p in points.items() if p.front} == {"a", "b", "d"}
    assert points["a"].sheet is not None
    assert len(points["a"].sheet.rows) == 1


def test_what_nobody_can_read_is_no_worse_than_nothing_and_ties_stand_together() -> None:
    found = compare([("a", made(-0.02, 0.5)), ("b", made(0.0, 0.5)), ("c", made(0.0, 0.49))])
    assert {p.name: p.front for c in found.curves for p in c.points} == {"a": True, "b": True, "c": False}


def test_one_utility_may_be_named() -> None:
    found = compare(five(), utility="hair")
    assert found.utility == ("hair",)
    assert all(p.utility == pytest.approx(0.5) for c in found.curves for p in c.points)


def test_a_watched_attribute_is_compared_when_it_is_named() -> None:
    reports = [("a", made(0.2, 0.7)), ("b", made(0.3, 0.8, "masking", role="watch"))]
    with pytest.raises(SordineError, match=r"--attribute \(in all of them: identity, hair\)"):
        compare(reports)
    found = compare(reports, "identity")
    assert any("watched in some of them" in note for note in found.notes)
    assert 'scope="col">NAG of identity' in comparison_page(found)


def test_reports_of_different_tables_are_named() -> None:
    a, b = made(0.2, 0.7, budget=1), made(0.3, 0.8, budget=2)
    assert compare([("a", a), ("b", b)]).notes == ()
    b = replace(b, table={"source": "other.parquet"})
    assert any("different tables: voices.parquet, other.parquet" in n for n in compare([("a", a), ("b", b)]).notes)


@pytest.mark.parametrize(
    ("one", "other", "sentence"),
    [
        ({"families": ["mlp"]}, {"families": ["mlp", "trees"]}, "Other attacks: mlp (a); mlp, trees (b)."),
        ({"settings": ["A", "B"]}, {"settings": ["A"]}, "Other scenarios: A, B (a); A (b)."),
        ({"folds": 3}, {"folds": 5}, "Other folds: 3 (a); 5 (b)."),
        ({"unseen": 900}, {"unseen": 500}, "Other unseen records: 900 (a); 500 (b)."),
        (
            {"held_by_attackers": 90},
            {"held_by_attackers": 0},
            "Other records of the attackers' own: 90 (a); 0 (b).",
        ),
        ({"held_by_attackers": 90}, {"held_by_attackers": 95}, None),
        ({"held_by_attackers": 90}, {}, None),  # a report without this fact
        (
            {"held_by_attackers": 4},
            {"held_by_attackers": 5000},
            "Other records of the attackers' own: 4 (a); 5000 (b).",
        ),
        (
            {"families": ["mlp", "trees"], "settings": ["A", "B"]},
            {"families": ["trees", "mlp"], "settings": ["B", "A"]},
            None,
        ),
        ({"seeds": [0, 1]}, {"seeds": [1, 0]}, None),
        ({"unseen": 900}, {"unseen": 905}, None),
        ({"folds": 3}, {}, None),
        ({"budget": "standard"}, {"budget": "paranoid"}, None),  # a name: its attacks count
    ],
)
def test_audits_with_different_attacks_are_not_ranked(
    one: dict[str, Any],
    other: dict[str, Any],
    sentence: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = (
        replace(made(*at), made={"families": ["mlp"], **how}) for at, how in (((0.2, 0.7), one), ((0.6, 0.6), other))
    )
    found = compare([("a", a), ("b", b)])
    assert found.differ == (() if sentence is None else (sentence,))
    fronts = [p.front for c in found.curves for p in c.points]
    assert any(fronts) == (sentence is None)
    page = comparison_page(found)
    assert ('class="unlike"' in page) == (sentence is not None)
    assert ('class="front"' in page) == (sentence is None)
    for name, report in (("a", a), ("b", b)):
        (tmp_path / f"{name}.json").write_text(to_json(report))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--quiet"]) == 0
    output = capsys.readouterr().out
    assert ("do not rank" in output) == (sentence is not None)
    assert ("\n  * " in output) == (sentence is None)
    assert sentence is None or sentence in output


def test_where_nothing_is_preserved_what_is_watched_is_the_utility(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, report in (("a", made(0.2, 0.7)), ("b", made(0.3, 0.8))):
        heads = [replace(h, role="watch") if h.role == "preserve" else h for h in report.headlines]
        (tmp_path / f"{name}.json").write_text(to_json(replace(report, headlines=tuple(heads))))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 0
    output = capsys.readouterr()
    assert "mean over watched attributes" in output.out + output.err


def test_more_than_from_the_originals_is_no_utility() -> None:
    a, b, c = made(0.2, 0.7), made(0.2, 1.15), made(0.3, 0.6)
    mean = compare([("a", a), ("b", b), ("c", c)])
    assert {p.name: (p.utility is None, p.front) for v in mean.curves for p in v.points} == {
        "a": (False, True),
        "b": (True, False),
        "c": (False, False),
    }
    assert any("too weak" in note and "`smiling` in b; `young` in b" in note for note in mean.notes)
    assert any("table only" in note and note.endswith("unknown: b.") for note in mean.notes)
    # Where all reports have the utility of another attribute, that one is compared.
    heads = tuple(replace(h, nag=0.8, low=0.7, high=0.9) if h.attribute == "young" else h for h in b.headlines)
    half = compare([("a", a), ("b", replace(b, headlines=heads))])
    assert half.utility == ("young",)
    assert any("`smiling` in b." in note for note in half.notes)
    with pytest.raises(SordineError, match=r"too weak.*'smiling' in b, d"):
        compare([("b", b), ("d", b)], utility="smiling")


def test_reports_without_attacks_for_pictures_are_named() -> None:
    a, b = made(0.2, 0.7), made(0.3, 0.8)
    a = replace(a, made={**a.made, "no_attacker_for_pictures": True})
    assert [n for n in compare([("a", a), ("b", b)]).notes if "in a is made for pictures" in n]


def test_what_lies_beyond_100_per_cent_is_on_the_picture() -> None:
    a, b = made(1.45, 0.7), made(0.2, 1.15)
    low = [replace(h, low=0.95) if h.role == "preserve" else h for h in b.headlines]  # perhaps no more than before
    b = replace(b, headlines=tuple(low))
    found = compare([("a", a), ("b", b)])
    page = comparison_page(found)
    spots = [(float(x), float(y)) for x, y in re.findall(r'<svg x="([\d.]+)%" y="([\d.]+)"', page)]
    whole = re.findall(r'<line class="whole" x1="([\d.]+)%" x2="([\d.]+)%" y1="([\d.]+)"', page)
    (_, _, up), (right, _, _) = whole
    assert float(right) < spots[0][0] < 94, "to the right of 100 %, and inside"
    assert 26 < spots[1][1] < float(up), "above 100 %, and inside"
    assert "Beyond 100 %" in page
    # An interval without end does not press the points together: it is cut off.
    head = replace(a.headlines[0], high=60.0)
    wide = comparison_page(compare([("a", replace(a, headlines=(head, *a.headlines[1:]))), ("b", b)]))
    at = float(re.findall(r'<svg x="([\d.]+)%" y="([\d.]+)"', wide)[0][0])
    assert at > 30
    assert 'x2="94.00%"' in wide
    assert 'class="whole"' not in comparison_page(compare(five()))


def test_what_cannot_be_told_is_in_the_table_only() -> None:
    reports = five()
    lost = reports[3][1]
    heads = (replace(lost.headlines[0], nag=None, low=None, high=None), *lost.headlines[1:])
    reports[3] = ("d", replace(lost, headlines=heads))
    found = compare(reports)
    assert any("table only" in note and note.endswith("unknown: d.") for note in found.notes)
    page = comparison_page(found)
    assert page.count('class="whisker"') == 2 * 4
    assert "unknown" in page
    one = (replace(lost.headlines[1], nag=None), *lost.headlines[2:])
    half = compare([("a", reports[0][1]), ("d", replace(lost, headlines=(lost.headlines[0], *one)))])
    assert half.utility == ("young",)
    assert any("`smiling`" in note for note in half.notes)
    with pytest.raises(SordineError, match="no report has both"):
        compare([reports[3], ("f", reports[3][1])])


@pytest.mark.parametrize(
    ("attribute", "utility", "words"),
    [
        ("idenity", None, "a: there is no attack on 'idenity'; all reports have: identity"),
        ("smiling", None, "a: 'smiling' is preserved"),
        (None, "smilng", "did you mean 'smiling'"),
        (None, "identity", "--utility identity"),
    ],
)
def test_other_names_are_refused(attribute: str | None, utility: str | None, words: str) -> None:
    with pytest.raises(SordineError, match=re.escape(words)) as caught:
        compare([("a", made(0.2, 0.7)), ("b", made(0.3, 0.8))], attribute, utility)
    assert "\n" not in str(caught.value)


def test_the_page_holds_every_point_and_every_figure() -> None:
    found = compare(five())
    page = comparison_page(found)
    reader = read(page)
    assert all(a.startswith(("#", "data:image/png;base64,")) for a in reader.addresses)
    assert "<script" not in page
    words = " ".join("".join(reader.words).split())
    for c in found.curves:
        assert c.method in words
        for p in c.points:
            assert f"leakage {100 * (p.leakage or 0):.1f} %, utility {100 * (p.utility or 0):.1f} %" in words
            assert f"baseline {100 * p.guess:.1f} %" in words
    assert page.count('<circle class="front" cx=') == 3
    assert page.count('<line class="join k0" x1="') == 1
    assert page.count("<img alt=") == 5 * 3
    assert words.count("undominated") >= 3
    # To the right is more leakage, upwards more utility.
    spots = re.findall(r'<svg x="([\d.]+)%" y="([\d.]+)"', page)
    (ax, ay), (bx, by) = [(float(x), float(y)) for x, y in spots[:2]]
    assert ax > bx
    assert ay < by


def test_names_are_escaped() -> None:
    evil = "<script>alert(1)</script>\"'&"
    a, b = made(0.2, 0.7, evil, **{evil: 1}), made(0.3, 0.8, evil, **{evil: 2})
    page = comparison_page(compare([(evil, a), ("b", b)]))
    assert "alert(1)" in page
    assert "<script>" not in page
    read(page)


# ------------------------------------------------------------------------------------------------------ the command


def test_compare_writes_lines_and_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = []
    for name, report in five():
        (tmp_path / name).mkdir()
        paths.append(tmp_path / name / "report.json")
        paths[-1].write_text(to_json(report))
    page = tmp_path / "page.html"
    assert main(["compare", *map(str, paths), "-o", str(page)]) == 0
    sentences = capsys.readouterr().out
    assert (
        "* replacement, variant both, budget 0.03: leakage 20.0\u00a0% (17.0 to 23.0\u00a0%), utility 70.0\u00a0%"
        in sentences
    )
    assert "* masking, d: " in sentences  # reports of one name are distinguished by their folders
    assert str(page) in sentences
    read(page.read_text())
    assert str(tmp_path) not in page.read_text()


def test_compare_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, page = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "p.html"
    a.write_text(to_json(made(0.2, 0.7)))
    b.write_text('{"method": "mass"}')
    page.write_text("mine")

    def refused(*words: object) -> str:
        capsys.readouterr()
        assert main(["compare", *map(str, words)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert page.read_text() == "mine"
        return line

    assert "two reports or more" in refused(a)
    assert "given twice" in refused(a, a)
    assert "b.json" in refused(a, b)
    assert "gone.json" in refused(a, tmp_path / "gone.json")
    assert "exists" in refused(a, b, "-o", page)
    other = replace(made(0.2, 0.7), headlines=())
    b.write_text(to_json(other))
    assert "no attribute is suppressed in all reports" in refused(a, b)


# ------------------------------------------------------------------------------------- utility that needs no attribute


def measured(report: Report, kept: float) -> Report:
    """The report with figures of utility that need no attribute."""
    figures = [
        ("neighbours", 10, kept),
        ("neighbours", 20, 0.9),
        ("recall", 10, 0.8),
        ("cka", 0, 0.7),
        ("explained", 0, 0.6),
    ]
    found = tuple(UtilityFinding(name, k, v, v - 0.1, v + 0.1, 0.01, 900) for name, k, v in figures)
    return replace(report, sections={"utility": found})


def test_utility_without_attributes_has_columns() -> None:
    found = compare([("a", measured(made(0.2, 0.7), 0.5)), ("b", made(0.3, 0.8))])
    by = {p.name: p for c in found.curves for p in c.points}
    assert by["a"].geometry == {
        "neighbours kept (k = 10)": pytest.approx((0.5, 0.4, 0.6)),
        "recall@10": pytest.approx((0.8, 0.7, 0.9)),
        "linear CKA": pytest.approx((0.7, 0.6, 0.8)),
        "explained variance": pytest.approx((0.6, 0.5, 0.7)),
    }
    assert by["b"].geometry == {}
    assert by["a"].utility == pytest.approx(0.7)
    page = comparison_page(found)
    assert page.count('<th scope="col">linear CKA</th>') == 1
    assert "70.0 %" in page.replace("\u00a0", " ")
    assert 'scope="col">linear CKA' not in comparison_page(compare(five()))


def test_utility_without_attributes_can_be_the_axis() -> None:
    reports = [("a", measured(made(0.2, 0.7), 0.5)), ("b", measured(made(0.3, 0.8), 0.6))]
    found = compare(reports, utility="neighbours")
    assert found.utility == ("neighbours kept (k = 10)",)
    by = {p.name: p for c in found.curves for p in c.points}
    assert (by["b"].utility, by["b"].utility_low) == (pytest.approx(0.6), pytest.approx(0.5))
    assert "which needs no attribute" in comparison_page(found)
    alone = [(n, replace(r, headlines=r.headlines[:1], policy={"suppress": ("identity",)})) for n, r in reports]
    assert compare(alone).utility == ("neighbours kept (k = 10)",)
    with pytest.raises(SordineError, match="c: this report has no linear CKA"):
        compare([*reports, ("c", made(0.1, 0.2))], utility="cka")
