"""Report sections: one from outside the package is run, written, read and shown, and nothing else is edited for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.registry import SECTIONS, sections
from sordine.evaluation.verdict import Contribution
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.report_example import example

POLICY = Policy(("speaker",), ("word",))
BUDGET = Budget(families=("logistic",), settings=("A",), person=(), cloud=0)


@dataclass(frozen=True)
class Loudness:
    """How much of a record's sum of absolute numbers is left."""

    column: str
    left: float


class LoudnessSection(Section):
    title = "Loudness of records"
    finding = tuple[Loudness, ...]
    template = (
        "{% for s in sentences %}<p>{{ s|sentence }}</p>{% endfor %}<b>{{ found[0].column }}</b>: {{ left|percent }}"
    )

    def run(self, data: AuditData) -> tuple[Loudness, ...]:
        left = float(np.abs(data.after).sum() / np.abs(data.before.x).sum())
        return (Loudness("<all>", left),)

    def sentences(self, found: tuple[Loudness, ...]) -> list[str]:
        return [f"`Loudness` is {100 * found[0].left:.1f} %."]

    def contribution(self, found: tuple[Loudness, ...], data: AuditData) -> Contribution:
        return Contribution(closing=tuple(self.sentences(found)), broken=found[0].left < 0.01)

    def view(self, found: Any, report: Report) -> dict[str, Any] | None:
        return {"left": found[0].left} if found else None


@pytest.fixture
def loudness() -> Iterator[None]:
    SECTIONS.register("loudness", LoudnessSection)
    yield
    SECTIONS.unregister("loudness")


def tables(factor: float) -> tuple[Table, Table]:
    rng = np.random.default_rng(0)
    labels = {"speaker": rng.integers(0, 2, 200), "word": rng.integers(0, 2, 200)}
    split = np.where(np.arange(200) % 2, "train", "test")
    original = Table.of(rng.standard_normal((200, 4)).astype(np.float32), labels, split=split)
    return original, replace(original, x=original.x * np.float32(factor), y={"word": original.y["word"]})


def test_a_section_from_outside_is_in_the_json_the_page_and_the_verdict(loudness: None) -> None:
    report = audit(*tables(0.5), POLICY, budget=BUDGET, options=AuditOptions(pretrained=False))
    (found,) = report.sections["loudness"]
    assert found == Loudness("<all>", pytest.approx(0.5))
    assert "`Loudness` is 50.0 %." in report.verdict.sentences
    text = to_json(report)
    assert json.loads(text)["sections"]["loudness"] == [{"column": "<all>", "left": found.left}]
    assert from_json(text) == report
    page = to_html(report)
    assert '<section id="loudness">\n<h2>Loudness of records</h2>' in page
    assert '<a href="#loudness">Loudness of records</a>' in page
    assert "<b>Loudness</b> is 50.0\u00a0%." in page
    assert "<b>&lt;all&gt;</b>: 50.0\u00a0%" in page


def test_a_section_from_outside_can_decide_the_verdict(loudness: None) -> None:
    report = audit(*tables(0.001), POLICY, budget=BUDGET, options=AuditOptions(pretrained=False, max_leakage=0.9))
    assert report.verdict.level == "broken"
    assert report.passed is False


class WaitsForTheOther(Section):
    """Ends only once another section of its kind runs at the same time."""

    title = "Waits"
    runs_beside = True
    both = threading.Barrier(2)

    def run(self, data: AuditData) -> list[str]:
        data.note("Both sections note this.")
        position = self.both.wait(timeout=30)
        data.note(f"A note of `{self.name}`.")
        return [str(position)]


def test_sections_run_beside_each_other_and_their_notes_keep_the_order_of_the_page() -> None:
    names = ["waits", "waits too"]
    for name in names:
        SECTIONS.register(name, WaitsForTheOther)
    try:
        report = audit(*tables(0.5), POLICY, budget=BUDGET, options=AuditOptions(pretrained=False), run=Run(workers=2))
    finally:
        for name in names:
            SECTIONS.unregister(name)
    assert sorted(report.sections[name][0] for name in names) == ["0", "1"]
    notes = [note for note in report.made["notes"] if "note" in note]
    assert notes == ["Both sections note this.", "A note of `waits`.", "A note of `waits too`."]


def test_a_report_with_an_unknown_section_is_read_and_mentioned() -> None:
    report = replace(example(), sections={"<other>": {"share": 0.5}})
    again = from_json(to_json(report))
    assert again == report
    page = to_html(again)
    assert "<b>&lt;other&gt;</b>" in page
    assert "<other>" not in page


def test_a_report_without_external_sections_has_the_keys_of_version_0_1() -> None:
    keys = json.loads(to_json(example())).keys()
    assert "sections" not in keys
    assert {section.key for section in sections() if section.key} <= keys


def test_only_the_named_sections_run() -> None:
    options = AuditOptions(pretrained=False, sections=("flaws",))
    report = audit(*tables(0.5), POLICY, budget=BUDGET, options=options)
    assert (report.proved, report.entanglement, report.distortion) == ((), None, {})
    assert report.findings
    with pytest.raises(SordineError, match="did you mean 'flaws'"):
        audit(*tables(0.5), POLICY, budget=BUDGET, options=AuditOptions(sections=("flawz",)))


def test_options_as_keywords_are_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="max_leakage, pretrained"):
        old = audit(*tables(0.5), POLICY, budget=BUDGET, max_leakage=0.3, pretrained=False)  # type: ignore[call-arg]
    new = audit(*tables(0.5), POLICY, budget=BUDGET, options=AuditOptions(max_leakage=0.3, pretrained=False))
    assert (old.headlines, old.verdict, old.passed) == (new.headlines, new.verdict, new.passed)
