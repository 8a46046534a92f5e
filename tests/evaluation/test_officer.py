"""The top of the page for the person who signs: grade, risks and attackers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, ClassVar

import pytest

from sordine.evaluation.grade import PROTECTION, grade, grade_of
from sordine.evaluation.page.charts import clipped
from sordine.evaluation.page.page import to_html
from sordine.evaluation.page.risks import (
    ADVICE,
    FORECAST,
    RISKS,
    advice,
    attacker_rows,
    intruder_sentences,
    plain_sentences,
    release_notes,
    risk_headings,
)
from sordine.evaluation.report import OTHER_RISKS, Report, Verdict
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.sections.base import Section
from sordine.evaluation.sections.partial_knowledge import PartialKnowledgeFinding, phrase
from sordine.evaluation.sections.registry import SECTIONS, sections
from sordine.metrics.percent import percent
from tests.fixtures.report_example import example

VOID = {"meta", "input", "br", "img"}


class Officer(HTMLParser):
    """The text and the links of each risk, the text of each row of the table of attackers, and all anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.risks: dict[str, str] = {}
        self.links: dict[str, list[str]] = {}
        self.rows: list[str] = []
        self.ids: set[str] = set()
        self.grade = ""
        self._open: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        self.grade = given.get("data-grade") or self.grade
        inside = self._open[-1][1] if self._open else ""
        if name := given.get("data-risk"):
            inside = f"risk {name}"
            self.risks[name], self.links[name] = "", []
        elif given.get("id") == "attackers":
            inside = "attackers"
        if tag == "a" and inside.startswith("risk "):
            self.links[inside[5:]].append(given.get("href") or "")
        if tag == "tr" and inside == "attackers":
            self.rows.append("")
        if tag not in VOID:
            self._open.append((tag, inside))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        inside = self._open[-1][1] if self._open else ""
        if inside.startswith("risk "):
            self.risks[inside[5:]] += data.replace("\u00a0", " ")
        elif inside == "attackers" and self.rows:
            self.rows[-1] += data


def officer(report: Report) -> Officer:
    found = Officer()
    found.feed(to_html(report))
    return found


def bare() -> Report:
    """A report in which nothing but attacks on single records was made."""
    return replace(example(), exact=(), person=(), queries=(), linkage=(), verification=(), flaws=())


# ----------------------------------------------------------------------------------------------------------- grade


@pytest.mark.parametrize(
    ("level", "figure", "options", "wanted"),
    [
        ("holds", 0.05, {}, "strong"),
        ("holds", 0.051, {}, "moderate"),
        ("holds", 0.2, {}, "moderate"),
        ("holds", 0.201, {}, "weak"),
        ("holds", 0.6, {}, "not established"),
        ("holds", None, {}, "not established"),
        ("holds", 0.01, {"trial": True}, "not established"),
        ("holds", 0.01, {"flawed": True}, "none"),
        ("unclear", 0.01, {}, "moderate"),
        ("unclear", 0.3, {}, "weak"),
        ("unclear", 0.51, {}, "not established"),
        ("unclear", None, {}, "not established"),
        ("leaks", 0.08, {}, "weak"),
        ("leaks", 0.51, {}, "none"),
        ("leaks", None, {}, "none"),
        ("leaks", 0.08, {"trial": True}, "weak"),
        ("leaks", 0.01, {"flawed": True}, "none"),
        ("broken", 0.01, {}, "not established"),
    ],
)
def test_grade_of_a_verdict(level: Any, figure: float | None, options: dict[str, bool], wanted: str) -> None:
    assert grade_of(Verdict(level, "", (), not_excluded=figure), **options) == wanted


def test_a_verdict_on_single_records_only_is_weak() -> None:
    assert grade_of(Verdict("holds", "", (), adds_up=True, not_excluded=0.01)) == "weak"


@pytest.mark.parametrize(
    ("level", "figure", "wanted"),
    [
        ("holds", 0.01, "moderate"),
        ("holds", 0.3, "weak"),
        ("unclear", 0.01, "moderate"),
        ("holds", 0.6, "not established"),
    ],
)
def test_another_risk_makes_a_verdict_moderate_at_best(level: Any, figure: float, wanted: str) -> None:
    title = f"Nothing is inferred{OTHER_RISKS}singling out, linkability"
    assert grade_of(Verdict(level, title, (), not_excluded=figure)) == wanted


@pytest.mark.parametrize("level", ["holds", "unclear", "leaks", "broken"])
@pytest.mark.parametrize("figure", [None, 0.0, 0.05, 0.1, 0.3, 0.9])
def test_a_grade_is_never_above_the_verdict(level: Any, figure: float | None) -> None:
    best = {
        "holds": set(PROTECTION),
        "unclear": {"moderate", "weak", "not established"},
        "leaks": {"weak", "none"},
        "broken": {"not established"},
    }
    assert grade_of(Verdict(level, "", (), not_excluded=figure)) in best[level]


def test_the_page_grades_as_the_json() -> None:
    report = bare()
    report = replace(report, verdict=replace(report.verdict, grade=grade(report)))
    raw = json.loads(to_json(report))
    assert officer(report).grade == raw["verdict"]["grade"] == "strong"
    assert from_json(to_json(report)) == report


def test_a_quick_audit_establishes_nothing() -> None:
    report = bare()
    assert grade(replace(report, made={**report.made, "budget": "quick"})) == "not established"


def test_a_suppressed_attribute_without_a_figure_leaves_the_grade_open() -> None:
    report = bare()
    assert grade(replace(report, headlines=report.headlines[1:])) == "not established"


# ----------------------------------------------------------------------------------------------------------- risks


def test_each_risk_has_a_heading_and_links_to_sections_of_the_page() -> None:
    found = officer(example())
    assert list(found.risks) == [*RISKS, "motivated intruder"]
    for name, text in found.risks.items():
        assert text.strip().startswith(RISKS[name][0] if name in RISKS else "Motivated intruder")
    links = [link for name in found.links for link in found.links[name]]
    assert links
    assert all(link[0] == "#" and link[1:] in found.ids for link in links)


def test_figures_are_those_of_the_json() -> None:
    report = example()
    raw = json.loads(to_json(report))
    found = officer(report).risks
    for h in raw["headlines"]:
        if h["role"] == "suppress":
            assert f"infers {h['attribute']} correctly for {percent(h['after'])}" in found["inference"]
            assert percent(h["after_interval"][1]) in found["inference"]
    worst = max(raw["linkage"], key=lambda f: f["top1"] - f["chance"])
    assert percent(worst["top1"]) in found["linkability"]
    assert percent(worst["high"]) in found["linkability"]
    person = max(raw["person"], key=lambda f: f["after"])
    assert f"{percent(person['after'])} of cases" in found["inference"]


def test_of_many_figures_of_a_section_the_first_stand_at_the_top() -> None:
    report = example()
    worst = report.headlines[0]
    many = tuple(replace(worst, attribute=f"secret {i}") for i in range(7))
    text = officer(replace(report, headlines=many)).risks["inference"]
    assert "infers secret 2 correctly" in text
    assert "infers secret 3 correctly" not in text
    assert "4 more figures are in the section" in text


def test_knowledge_beyond_one_record_is_stated_in_plain_words() -> None:
    report = example()
    wider = replace(report, verdict=replace(report.verdict, not_excluded=0.42))
    assert len(plain_sentences(wider)) == len(plain_sentences(report)) + 1
    assert "42.0 %" in plain_sentences(wider)[-1]


def test_what_does_not_apply_is_not_listed_as_untested() -> None:
    vectors = bare()
    pictures = replace(vectors, table={**vectors.table, "shape": [3, 8, 8]})
    assert "--reconstruct" in officer(pictures).risks["inference"]
    assert "--reconstruct" not in officer(vectors).risks["inference"]
    assert len(officer(pictures).rows) == len(officer(vectors).rows) + 1


def test_what_did_not_run_is_not_tested() -> None:
    found = officer(bare())
    wanted = sum(s.risk == "linkability" for s in sections())
    assert found.risks["linkability"].count("Not tested") == wanted >= 2
    assert found.links["linkability"] == []
    assert "--budget paranoid" in found.risks["linkability"]
    assert all("Not tested" in text for text in found.risks.values())


@pytest.mark.parametrize(
    ("made", "risk", "section", "wanted"),
    [
        ({"budget": "quick", "families": ["logistic"], "known": []}, "inference", "Planted leaks", "budget `standard`"),
        ({"budget": "quick", "known": []}, "inference", "Known classes", "budget `standard`"),
        ({"budget": "quick"}, "inference", "Several records", "budget `standard`"),
        ({"budget": "quick"}, "linkability", "Verification", "budget `standard`"),
        ({"budget": "standard", "families": ["logistic"]}, "inference", "Planted leaks", "`screening`"),
        ({"budget": "standard", "known": []}, "inference", "Known classes", "Leave out `--known none`"),
        ({"budget": "standard", "known": [0.5]}, "inference", "Known classes", "at least 40 fitted records"),
        ({"budget": "standard"}, "membership", "Membership", "It needs 40 records of the fit"),
        ({"budget": "standard", "left_out": ["risks besides inference"]}, "membership", "Membership", "Use the budget"),
    ],
)
def test_what_was_not_tested_names_what_this_audit_left_out(
    made: dict[str, Any], risk: str, section: str, wanted: str
) -> None:
    headings = risk_headings(replace(bare(), made=made, sections={}), sections())
    how = next(m.how for h in headings if h.name == risk for m in h.missing if m.title == section)
    assert wanted in how
    assert ("budget" in how) == ("budget" in wanted)


@pytest.mark.parametrize("given", [True, False])
def test_the_modifier_is_asked_for_only_where_it_was_not_given(given: bool) -> None:
    report = replace(bare(), made={"budget": "standard", "known": [0.5]}, modifier={} if given else None, sections={})
    hows = [r.attacker.how for r in attacker_rows(report, sections()) if r.attacker.has.endswith("and the modifier")]
    hows += [m.how for h in risk_headings(report, sections()) for m in h.missing if m.title == "Several releases"]
    assert len(hows) == 3
    assert all(("ive the modifier" in how) != given for how in hows)


def test_the_secret_key_is_no_attacker() -> None:
    rows = attacker_rows(example(), sections())
    assert f"of the {len(rows) - 1} attackers" in intruder_sentences(rows)[1]


def test_a_section_from_outside_fills_its_heading() -> None:
    class Outside(Section):
        title: ClassVar[str] = "Outside"
        risk = "re-identification"
        attacker = "a telephone book"
        how_to_test = "Give a `book`."
        template = "<p>{{ sentences[0] }}</p>"

        def sentences(self, found: Any) -> list[str]:
            return [f"{found['share']} are named."]

    SECTIONS.register("outside", Outside)
    try:
        report = bare()
        missing = officer(report)
        assert "Not tested: outside. Give a book." in re.sub(r"\s+", " ", missing.risks["re-identification"])
        report = replace(report, sections={"outside": {"share": 3}})
        (heading,) = (h for h in risk_headings(report, sections()) if h.name == "re-identification")
        assert [line.text for line in heading.lines] == ["3 are named."]
        assert any(
            r.attacker.has == "a telephone book" and r.attacker.tested for r in attacker_rows(report, sections())
        )
    finally:
        SECTIONS.unregister("outside")


# ------------------------------------------------------------------------------------------------------- attackers


def test_the_table_says_of_each_attacker_whether_it_was_tested() -> None:
    def untested(report: Report) -> int:
        return sum("not tested" in row for row in officer(report).rows)

    rows = officer(example()).rows
    assert len(rows) == 1 + len(attacker_rows(example(), sections()))
    assert untested(bare()) > untested(example()) >= 2


def test_the_number_of_labels_is_that_of_the_audit() -> None:
    report = replace(bare(), made={**bare().made, "fitted": 2700, "unseen": 900, "folds": 3})
    text = " ".join(officer(report).rows)
    assert "2,700 released records" in text
    assert "600 released records" in text
    assert "1,800 released records" in text


# ------------------------------------------------------------------------------------------------------------ advice


@pytest.mark.parametrize("level", ["holds", "unclear", "leaks", "broken"])
def test_the_page_says_what_each_verdict_means_for_a_release(level: Any) -> None:
    report = replace(bare(), verdict=Verdict(level, "A title", ()))
    assert advice(report) == [ADVICE[level]]
    assert ADVICE[level] in to_html(report)
    assert advice(replace(report, policy={"suppress": []})) == []


def test_a_verdict_with_a_condition_does_not_simply_allow_the_release() -> None:
    assert advice(replace(bare(), verdict=Verdict("holds", "A title", (), adds_up=True))) != [ADVICE["holds"]]


def test_advice_states_what_the_attacker_of_the_title_finds_without_the_modifier() -> None:
    def known(knows: str, share: float) -> PartialKnowledgeFinding:
        return PartialKnowledgeFinding(
            "speaker",
            0.9,
            knows,
            1,
            "speaker",
            True,
            0.9,
            0.5,
            0.1,
            share,
            share,
            share,
            share,
            False,
            (0.4, 0.6),
            99,
            9,
            "own",
        )

    found = (known("modifier", 0.7), known("outputs", 0.123))
    verdict = Verdict("leaks", f"It gives away {phrase(found[0])}: a leakage", ())
    report = replace(bare(), verdict=verdict, sections={"partial_knowledge": found})
    assert clipped(0.123) in advice(report)[-1]
    assert advice(replace(report, verdict=replace(verdict, title="Another attacker"))) == [ADVICE["leaks"]]


def test_notes_of_the_modifier_are_above_and_a_forecast_only_where_nothing_was_measured() -> None:
    forecast = f"{FORECAST}`speaker`: a leakage."
    report = replace(bare(), modifier={"method": "substitution", "notes": ["It copies 7 real records.", forecast]})
    assert release_notes(report) == ["It copies 7 real records."]
    page = to_html(report)
    assert page.count("It copies 7 real records.") == 1
    assert page.count("a leakage.</dd>") == 1
