"""The report: what stands on the page and in the JSON, and what must not."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sordine.errors import SordineError
from sordine.evaluation.page import charts
from sordine.evaluation.page.page import sentence, to_html
from sordine.evaluation.page.tones import tone
from sordine.evaluation.report import Flaw, Report
from sordine.evaluation.report_json import (
    digest,
    from_json,
    json_schema,
    read_report,
    schema_text,
    to_json,
    write_report,
)
from sordine.metrics.information import Entanglement, Pair
from tests.fixtures.paths import ROOT
from tests.fixtures.report_example import example, headline

SCHEMA_FILE = ROOT / "docs" / "report.schema.json"


class Reader(HTMLParser):
    """Tags balanced, identifiers unique, and the addresses that the page names."""

    VOID = frozenset({"meta", "input", "br", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.headings: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.stack.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.words.append(data)
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.stack
    assert len(set(reader.ids)) == len(reader.ids)
    return reader


# ------------------------------------------------------------------------------------------------------------ JSON


def test_json_round_trip() -> None:
    report = example()
    text = to_json(report)
    assert from_json(text) == report
    assert from_json(text.encode()) == report
    assert to_json(from_json(text)) == text


def test_json_holds_neither_nan_nor_infinity() -> None:
    report = replace(example(), made={"a": float("nan"), "b": [float("inf"), np.float32(0.5), np.int64(3), Path("p")]})
    text = to_json(report)
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["made"] == {
        "a": None,
        "b": [None, 0.5, 3, "p"],
    }


def test_nan_where_a_number_is_needed_is_our_fault() -> None:
    report = example()
    broken = replace(report, headlines=(replace(report.headlines[0], before=float("nan")),))
    with pytest.raises(ValueError, match=r"headlines\.0\.before"):
        to_json(broken)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "not a report"),
        ('{"method": "mass"}', "not a report"),
        ('{"schema": 99, "verdict": {}}', "schema 99"),
        ('{"schema": 1, "verdict": {}}', "damaged: verdict.level"),
        ('{"schema": 1, "verdict": NaN}', "not JSON"),
        ('{"schema": 1, "verdict": 1e999}', "not JSON"),
        ("[" * 200_000, "not JSON"),
    ],
)
def test_other_json_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(SordineError, match=words) as caught:
        from_json(text)
    assert "\n" not in str(caught.value)


def test_schema_file_is_up_to_date() -> None:
    wanted = "run: python -m sordine.evaluation.report_json > docs/report.schema.json"
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), wanted


def test_json_follows_the_schema() -> None:
    Draft202012Validator.check_schema(json_schema())
    assert list(Draft202012Validator(json_schema()).iter_errors(json.loads(to_json(example())))) == []


# ------------------------------------------------------------------------------------------------------------ page


def test_page_says_the_verdict_and_every_attribute() -> None:
    report = example()
    words = " ".join("".join(read(to_html(report)).words).split())  # no-break spaces become spaces
    assert report.verdict.title.replace("`", "") in words
    for text in report.verdict.sentences:
        assert text.replace("`", "") in words
    for h in report.headlines:
        assert h.attribute in words
        assert h.sentence.replace("`", "") in words
    for f in report.flaws:
        assert f.message.replace("`", "") in words
    assert "No measure of privacy: never retrained" in words
    assert "unknown" in words
    assert report.made["command"] in words


@pytest.mark.parametrize("level", ["holds", "leaks", "unclear", "broken"])
def test_page_has_a_word_for_each_level(level: str) -> None:
    page = to_html(example(level=level))
    assert f'<section class="verdict {level}"' in page
    assert f"<b>{'Damaged' if level == 'broken' else level.capitalize()}</b>" in page


def test_page_is_small_and_fetches_nothing() -> None:
    report = example(attributes=30, points=600, classes=100)
    page = to_html(report)
    assert len(page.encode()) < 2_000_000
    reader = read(page)
    assert all(a.startswith("#") for a in reader.addresses)
    assert {a[1:] for a in reader.addresses} <= set(reader.ids)
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert all(h.attribute in page for h in report.headlines)
    assert "92 others" in page


def test_page_shows_numbers_with_one_decimal_and_nag_clipped() -> None:
    assert charts.percent(0.12345) == "12.3\u00a0%"
    assert charts.percent(-0.0001) == "0.0\u00a0%"
    assert charts.percent(None) == "unknown"
    assert charts.clipped(-0.2) == "0.0\u00a0%"
    assert charts.span(-0.1, 0.25) == "0.0 to 25.0\u00a0%"
    page = to_html(example())
    assert 'title="not clipped: −1.1\u00a0%">0.0\u00a0%' in page  # sex: (0.526 - 0.531) / (0.993 - 0.531)


def test_page_escapes_what_users_named() -> None:
    report = example()
    evil = "<script>alert(1)</script>\"'&"
    report = replace(
        report,
        verdict=replace(report.verdict, title=evil, sentences=(evil,)),
        headlines=(
            replace(report.headlines[0], attribute=evil, sentence=evil, attacker_after=evil),
            *report.headlines[1:],
        ),
        findings=(replace(report.findings[0], attribute=evil, attacker=evil),),
        flaws=(Flaw(evil, "leak", evil, evil, evil),),
        exact=(replace(report.exact[0], attributes=(evil,), kept=(evil,)),),
        pretrained=(replace(report.pretrained[0], attribute=evil),),
        entanglement=Entanglement(
            (Pair(evil, "word", 1, 0.2, False), Pair("word", evil, 1, 0.2, False)), {evil: 1}, {}, (evil,)
        ),
        cloud=replace(
            report.cloud,
            codes={evil: report.cloud.codes["speaker"]},
            classes={evil: (evil, *report.cloud.classes["speaker"][1:])},
            how=evil,
        ),
        policy={"suppress": (evil,), "preserve": (), "watch": ()},
        distortion={evil: 0.5},
        table={evil: evil},
        modifier={"method": evil, "fields": {evil: [evil]}},
        made={"command": evil, "notes": [evil], evil: {evil: evil}},
    )  # fmt: skip
    page = to_html(report)
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    read(page)


def test_names_between_backticks_stand_out_and_stay_escaped() -> None:
    assert sentence("`who` & `<b>`: 5 %") == "<b>who</b> &amp; <b>&lt;b&gt;</b>: 5\u00a0%"
    assert sentence("a ` alone") == "a ` alone"


def test_many_classes_are_not_all_named() -> None:
    classes = {"speaker": [f"speaker {i:02d}" for i in range(100)], "sex": ["f", "m"]}
    page = to_html(replace(example(), cloud=None, table={"records": 5, "classes": classes, "notes": ["left out"]}))
    assert "speaker 11 and 88 more" in page
    assert "f, m" in page
    assert "<li>left out</li>" in page


def test_no_originals_leaves_none_on_the_page() -> None:
    report = example()
    page = to_html(replace(report, cloud=replace(report.cloud, before=())))
    assert page.count('class="cloud"') == 2
    assert '<p class="when">original' not in page
    assert "The original records are not shown" in page
    drawn = set(re.findall(r"M(\d+ \d+)", "".join(re.findall(r'class="cloud".*?</svg>', to_html(report), re.S)[0])))
    assert len(drawn) > 100  # the panel of the originals, on the full page
    alone = re.findall(r'<path class="k\d \w+" d="([^"]+)"', page)
    assert len(drawn & set(re.findall(r"M(\d+ \d+)", "".join(alone)))) < len(drawn) / 20


def test_missing_parts_leave_no_heading() -> None:
    full = example()
    bare = Report(full.verdict, full.policy, full.headlines, ())
    page = to_html(bare)
    assert read(page).headings[-3:] == ["Privacy against utility", "How it was made", "Words"]
    for part in ("flaws", "attacks", "optimal", "projection", "entanglement", "pretrained", "distortion"):
        assert f'id="{part}"' not in page
        assert f'href="#{part}"' not in page
    for name in ("Modifier", "Notes", "Audit", "Records"):
        assert f"<h3>{name}</h3>" not in page
    nothing = Report(full.verdict, {"suppress": ()}, (), ())
    assert 'id="tradeoff"' not in to_html(nothing)


def test_a_report_of_one_attribute_and_one_record() -> None:
    report = example(attributes=1, points=1, classes=1)
    read(to_html(report))
    assert from_json(to_json(report)) == report


@pytest.mark.parametrize("utilities", [[1.0] * 30, [0.0] * 30, [0.0, 0.5, 0.51, 1.0], [1.4, -0.3]])
def test_names_beside_the_scatter_never_overlap(utilities: list[float]) -> None:
    worst = headline("who", "suppress", 2, 0.9, 0.6, 0.5)
    others = [replace(headline(f"a{i}", "watch", 2, 0.9, 0.6, 0.5), nag=u) for i, u in enumerate(utilities)]
    picture = str(charts.tradeoff(worst, others))
    at = [float(y) for y in re.findall(r'class="name" x="[\d.]+%" y="([\d.]+)"', picture)]
    height = float(re.search(r'height="(\d+)"', picture)[1])
    assert len(at) == len(utilities)
    assert all(b - a >= 18.9 for a, b in pairwise(at))
    assert 0 < at[0] <= at[-1] < height


def test_every_picture_has_a_title_and_a_scale_within_bounds() -> None:
    page = to_html(example())
    for picture in re.findall(r'<svg[^>]*role="img".*?</svg>', page, re.S):
        assert "<title>" in picture
    assert all(0 <= float(w) <= 100 for w in re.findall(r'width="([\d.]+)%"', page))


# ------------------------------------------------------------------------------------------------------------ files


def test_write_report(tmp_path: Path) -> None:
    report = example()
    html, data = tmp_path / "deep" / "r.html", tmp_path / "r.json"
    write_report(report, html, data)
    assert html.read_text(encoding="utf-8") == to_html(report)
    assert read_report(data) == report
    date = report.made["provenance"]["date"]
    undated = data.read_text(encoding="utf-8").replace(f'"date": "{date}", ', "", 1)
    assert date not in undated
    assert digest(report) == hashlib.sha256(undated.encode()).hexdigest()
    with pytest.raises(SordineError, match=r"r\.html exists; use --force"):
        write_report(report, html)
    write_report(report, html, data, force=True)
    write_report(report)


def test_write_report_writes_both_or_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(report: Report) -> str:
        raise RuntimeError("cut")

    monkeypatch.setattr("sordine.evaluation.report_json.to_json", fail)
    with pytest.raises(RuntimeError):
        write_report(example(), tmp_path / "r.html", tmp_path / "r.json")
    assert list(tmp_path.iterdir()) == []


def test_read_report_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(SordineError, match=r"gone\.json"):
        read_report(tmp_path / "gone.json")
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(SordineError, match=r"odd\.json: this JSON is not a report"):
        read_report(tmp_path / "odd.json")


# ------------------------------------------------------------------------------------------------ weak attackers


def test_a_share_of_more_than_the_originals_is_marked_and_not_shown_as_a_utility() -> None:
    report = example()
    more = replace(report.headlines[2], nag=1.45, low=1.1, high=2.2)
    heads = (*report.headlines[:2], more, *report.headlines[3:])
    assert (more.overtaken, report.headlines[2].overtaken) == (True, False)
    page = to_html(replace(report, headlines=heads))
    words = " ".join("".join(read(page).words).split())
    assert "attacks too weak" in words
    assert page.count('class="tile shaky"') == 1
    assert page.count('class="bar before shaky"') == 1
    assert '<g class="preserve shaky">' in page
    assert 'class="figure" title="not clipped: 145.0' not in page
    plain = to_html(report)
    assert not re.search(r'class="[^"]*shaky"', plain)


def test_pictures_that_nobody_saw_as_pictures_are_marked_on_every_share() -> None:
    report = example()
    page = to_html(replace(report, made={**report.made, "no_attacker_for_pictures": True}))
    words = " ".join("".join(read(page).words).split())
    assert page.count('class="tile shaky"') == 2
    assert page.count('class="bar before shaky"') == len(report.headlines)
    assert '<g class="watch shaky">' in page
    assert "No attack made for pictures took part" in words
    assert "Here the accuracy on originals is 98.1 %, the baseline 9.8 %" in words


@pytest.mark.parametrize(
    ("high", "resolvable", "at_chance", "shade"),
    [
        (0.02, 0.03, True, "good"),
        (0.02, 0.125, True, "unsure"),  # a short interval on few records
        (0.2, 0.03, True, "unsure"),
        (0.2, 0.03, False, "bad"),
        (0.04, 0.03, False, "good"),  # more than guessing, within the limit
    ],
)
def test_the_page_colours_a_suppressed_attribute_by_the_rule_of_the_verdict(
    high: float, resolvable: float, at_chance: bool, shade: str
) -> None:
    report = example()
    old = next(h for h in report.headlines if h.role == "suppress")
    made = replace(old, nag=0.01, low=-0.003, high=high, resolvable=resolvable, at_chance=at_chance)
    assert tone(made, made.at_chance, 0.05) == shade
    reports = [replace(report, headlines=(made,), max_leakage=limit, passed=True) for limit in (0.05, 0.5)]
    certified = ["not certified" not in to_html(r) for r in reports]
    assert certified == [max(high, resolvable) <= 0.05, True]


def tile(page: str, heading: str) -> str:
    """The text of one tile of the page."""
    found = re.search(rf'<div class="tile[^"]*"><h2>{heading}</h2>(.*?)</div>', page, re.DOTALL)
    assert found is not None
    return " ".join(re.sub(r"<[^>]+>", "", found[1]).replace("&nbsp;", " ").split())


def test_the_tiles_state_the_leakage_of_the_title_and_not_that_of_single_records() -> None:
    report = example()
    wide = replace(report, verdict=replace(report.verdict, level="unclear", not_excluded=0.2))
    page = to_html(wide)
    assert max(h.not_excluded for h in report.headlines if h.role == "suppress") < 0.1 == report.max_leakage
    assert "up to 20.0 % cannot be excluded" in tile(page, "Leakage of one record")
    assert tile(page, "Limit on leakage").endswith("not certified.")
    assert tile(to_html(report), "Limit on leakage").endswith("Met.")


def test_a_verdict_that_does_not_hold_certifies_no_limit() -> None:
    report = example()
    open_ = replace(report, verdict=replace(report.verdict, level="unclear", not_excluded=0.04), passed=True)
    assert tile(to_html(open_), "Limit on leakage").endswith("not certified.")


def test_the_page_marks_attacks_that_were_made_on_released_records_alone() -> None:
    report = example()
    marked = replace(report, made={**report.made, "released_only": ["neighbours"]})
    pages = [to_html(r) for r in (report, marked)]
    rows = [set(re.findall(r'<th scope="row">(\w+) <span class="fine">released only</span>', page)) for page in pages]
    assert rows == [set(), {"neighbours"}]
    assert ["Each attack was trained twice" in page for page in pages] == [True, False]


def test_the_scatter_goes_beyond_100_per_cent() -> None:
    worst = replace(headline("who", "suppress", 2, 0.9, 0.6, 0.5), nag=1.8, low=1.2, high=2.4)
    other = replace(headline("a", "watch", 2, 0.9, 0.6, 0.5), nag=1.4, low=1.3, high=1.5)
    picture = str(charts.tradeoff(worst, [other], {"who"}, "bad"))
    level = float(re.search(r'class="level bad shaky" x1="([\d.]+)%"', picture)[1])
    whole = [float(x) for x in re.findall(r'class="whole" x1="([\d.]+)%" x2="\1%"', picture)]
    assert whole[0] < level < 59
    up = float(re.search(r'class="whole" x1="9.0%" x2="59.0%" y1="([\d.]+)"', picture)[1])
    assert 26 < float(re.search(r'class="point" cx="[\d.]+%" cy="([\d.]+)"', picture)[1]) < up
