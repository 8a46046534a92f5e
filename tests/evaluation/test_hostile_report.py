"""A report from elsewhere becomes a page without live markup and without control characters, or one line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sordine.cli.app import main
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report_json import to_json
from tests.fixtures.report_example import example

HOSTILE = "\x1b[31m\u202e<script>alert(1)</script>"


def test_the_page_shows_names_as_text():
    report = example()
    first = replace(report.headlines[0], attribute=HOSTILE)
    page = to_html(replace(report, headlines=(first, *report.headlines[1:]), made={**report.made, "notes": [HOSTILE]}))
    assert "\\x1b[31m\\u202e&lt;script&gt;" in page
    assert not set(page) & set("\x1b\u202e")
    assert "<script>alert" not in page


@pytest.mark.parametrize("value", [10**400, "[" * 99_999, float("nan"), "\0"])
def test_a_value_that_cannot_be_used_is_one_line(tmp_path, value, capsys):
    raw = json.loads(to_json(example()))
    raw["headlines"][0]["before"] = value
    (tmp_path / "r.json").write_text(json.dumps(raw))
    assert main(["report", str(tmp_path / "r.json"), "-o", str(tmp_path / "r.html")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "r.html").exists()
