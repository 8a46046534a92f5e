"""The command `report`: a page, a PDF and an assessment from a report's JSON."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sordine.cli.app import main
from sordine.evaluation.page.assessment import TEMPLATE, assessment
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report_json import to_json, write_report
from sordine.metrics.percent import percent
from tests.fixtures.paths import ROOT
from tests.fixtures.report_example import example

PLACE = re.compile(r"<[a-z_]+(?:\.[a-z_]+|: [a-z ]+)*>")


def test_a_report_is_written_again(tmp_path: Path) -> None:
    report = example()
    write_report(report, json=tmp_path / "r.json")
    words = ["report", str(tmp_path / "r.json"), "-o", str(tmp_path / "r.html")]
    assert main([*words, "--assessment", str(tmp_path / "a.md")]) == 0
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == to_html(report)
    assert (tmp_path / "a.md").read_text(encoding="utf-8") == assessment(report, to_json(report))


@pytest.mark.parametrize("more", [[], ["-o", "same", "--assessment", "same"]])
def test_outputs_must_be_given_and_differ(more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_report(example(), json="r.json")
    assert main(["report", "r.json", *more]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_an_assessment_is_a_markdown_file(tmp_path: Path) -> None:
    write_report(example(), json=tmp_path / "r.json")
    assert main(["report", str(tmp_path / "r.json"), "--assessment", str(tmp_path / "a.txt")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_an_assessment_has_the_figures_of_the_report_and_no_open_place() -> None:
    report = example()
    text = assessment(report, to_json(report)).replace("\u00a0", " ")
    assert not PLACE.search(text)
    for h in report.headlines:
        assert f"| {h.attribute} | {h.role} | {percent(h.before)} | {percent(h.after)} |" in text
    for value in (report.verdict.title, report.made["provenance"]["original"], report.made["command"]):
        assert value in text
    assert "[name, role, date, signature]" in text
    assert "The limit is 10.0 %" in text
    assert not re.search(r"−\d", text)  # a leakage below 0 is chance
    assert "**Not tested**" in text


def test_what_a_report_does_not_hold_is_not_known() -> None:
    report = replace(example(), made={}, modifier=None, max_leakage=None)
    text = assessment(report, to_json(report))
    assert not PLACE.search(text)
    assert "not known" in text


def test_the_guide_has_the_template() -> None:
    guide = (ROOT / "docs" / "guide" / "assessment.md").read_text(encoding="utf-8")
    assert TEMPLATE.read_text(encoding="utf-8") in guide
