"""The section on the tail: what averages hide decides the verdict, and the scores of records stay with the owner."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sordine import Policy, Report, Table, audit
from sordine.attacks.budget import Budget
from sordine.attacks.tail import TailRecords
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.charts import span
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.sections.power import Power
from sordine.evaluation.sections.tail import SHOWN, Tail, TailFinding, _share_of, _shortened

PERSONS, EACH = 20, 40
BUDGET = Budget(families=("neighbours", "discriminant"), settings=("A",), person=(), cloud=0, known=())


@pytest.fixture(scope="module", autouse=True)
def covered() -> Iterator[None]:
    """These audits plant no leaks. Judge them as if they had found every kind of leak."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Power, "judges_when_left_out", False)
        yield


def report(readable: bool, sink: list[TailRecords] | None = None, **changes: Any) -> Report:
    """An audit of noise, in which one person of 20 is readable."""
    rng = np.random.default_rng(0)
    who = np.tile(np.arange(PERSONS), EACH)
    shown = rng.standard_normal((len(who), 4)).astype(np.float32)
    released = rng.standard_normal((len(who), 4)).astype(np.float32)
    if readable:
        released[who == 3] += 9
    x = np.concatenate([np.eye(PERSONS, dtype=np.float32)[who], shown], 1)
    y = {"speaker": who, "word": rng.integers(0, 3, len(who))}
    split = np.where(np.arange(len(who)) < len(who) // 2, "train", "test")
    original = Table.of(x, y, ids=[f"r{i}" for i in range(len(who))], split=split)
    after = Table.of(released, {"word": y["word"]}, ids=original.ids)
    options = AuditOptions(pretrained=False, sections=("tail",), tail=sink, **changes)
    return audit(original, after, Policy(("speaker",), ("word",)), budget=BUDGET, options=options)


@pytest.fixture(scope="module")
def sink() -> list[TailRecords]:
    return []


@pytest.fixture(scope="module")
def found(sink: list[TailRecords]) -> Report:
    return report(True, sink, max_leakage=0.2)


def test_one_readable_person_makes_the_verdict_leak(found: Report) -> None:
    (tail,) = found.sections["tail"]
    assert tail.clear["person"] == 1
    assert tail.counted["person"] == PERSONS
    assert tail.parts[0].name == "3"
    assert tail.parts[0].leakage > 0.8
    assert tail.worst.low > 0.2
    assert found.headlines[0].low is not None
    assert found.headlines[0].low < 0.2, "the average hides her"
    assert (found.verdict.level, found.passed) == ("leaks", False)
    assert "`speaker` of 1 of 20 persons" in found.verdict.title


@pytest.mark.parametrize("leaks", [True, False])
def test_a_rare_class_that_leaks_entirely_is_mentioned(leaks: bool) -> None:
    rng = np.random.default_rng(0)
    n, rare = 800, 4
    secret = rng.integers(0, 3, n)
    secret[: 2 * rare] = 3
    x = np.concatenate([np.eye(4)[secret], rng.standard_normal((n, 4))], 1).astype(np.float32)
    released = rng.standard_normal((n, 4)).astype(np.float32)
    if leaks:
        released[: 2 * rare] += 9
    split = np.where(np.arange(n) % 2 == 0, "train", "test")
    original = Table.of(x, {"secret": secret}, ids=[f"r{i}" for i in range(n)], split=split)
    options = AuditOptions(pretrained=False, sections=("tail",))
    made = audit(
        original, Table.of(released, {}, ids=original.ids), Policy(("secret",)), budget=BUDGET, options=options
    )
    (tail,) = made.sections["tail"]
    assert tail.counted["class"] == 3
    assert (tail.rare.classes, tail.rare.inferred) == (1, int(leaks))
    assert (tail.rare.right, tail.rare.records) == ((rare, rare) if leaks else (0, 0))
    assert any("1 of 1 are inferred beyond chance" in s for s in made.verdict.sentences) == leaks
    assert from_json(to_json(made)).sections["tail"] == made.sections["tail"]


def test_without_her_nothing_is_found() -> None:
    none = report(False, max_leakage=0.2)
    (tail,) = none.sections["tail"]
    assert not any(tail.clear.values())
    assert tail.inferred < 0.02 * tail.tested
    assert none.verdict.level == "holds"


def test_it_is_shown_and_stored_without_ids(found: Report) -> None:
    text = to_json(found)
    assert from_json(text).sections["tail"] == found.sections["tail"]
    page = to_html(found)
    assert 'id="tail"' in page
    assert "person: speaker 3" in page
    assert not any(f'"r{i}"' in text or f">r{i}<" in page for i in range(PERSONS * EACH))


def test_the_page_states_intervals_and_what_chance_gives(found: Report) -> None:
    (tail,) = found.sections["tail"]
    low, high = tail.inferred_interval
    assert low < tail.inferred / tail.tested < high
    assert high - low > 0.02, "400 tested records"
    assert tail.expected < 0.3 * tail.inferred, "this person is sure to be inferred; chance would give one in 20"
    page = to_html(found)
    assert span(low, high) in page
    assert span(tail.worst.low, tail.worst.high) in page
    (none,) = report(False, max_leakage=0.2).sections["tail"]
    assert none.inferred <= none.expected + 3 * max(none.expected, 1) ** 0.5 + 1


def test_inferred_records_of_one_person_are_no_independent_ones() -> None:
    hit = np.repeat([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], 50).astype(bool)
    alone, together = _share_of(hit, None), _share_of(hit, np.repeat(np.arange(10), 50))
    assert together[1] - together[0] > 3 * (alone[1] - alone[0])
    assert _share_of(hit[:0], None) == (0.0, 1.0)


def test_scores_of_records_go_to_the_owner_alone(found: Report, sink: list[TailRecords]) -> None:
    (records,) = sink
    assert records.attribute == "speaker"
    assert len(records.ids) == PERSONS * EACH
    assert set(records.label[records.person]) == {"3"}
    assert records.person.sum() == EACH, "all of her records, also those that were not tested"
    assert records.record[records.person].sum() >= 0.4 * EACH
    assert records.record[~records.person].mean() < 0.02
    assert np.isnan(records.score).sum() == PERSONS * EACH // 2


def test_what_it_adds_to_the_verdict(found: Report) -> None:
    (tail,) = found.sections["tail"]
    section = Tail()
    data: Any = None
    quiet: TailFinding = replace(
        tail, parts=tuple(replace(p, clear=False, p=1.0) for p in tail.parts), clear={"person": 0}, worst=None
    )
    given = section.contribution((quiet,), data)
    assert given is not None
    assert not given.unclear
    assert given.gives == given.leakage == given.sentences == ()
    # What is significant, but not clearly above the limit, leaves the verdict open.
    some = replace(quiet, parts=(replace(tail.parts[0], clear=False, p=0.01, high=0.4),))
    given = section.contribution((some,), data)
    assert given is not None
    assert given.unclear
    assert given.leakage == (0.4,)
    assert given.about.startswith("`speaker` of one person (")
    assert given.sentences[-1] == f"A leakage of up to 40.0 % of {given.about} cannot be excluded."
    assert section.sentences((quiet,))[0].startswith("`speaker` is not clearly inferred for any person or subgroup")
    untested = replace(quiet, parts=(), counted={}, clear={}, tests=0)
    assert len(section.sentences((untested,))) == 1


def test_classes_that_are_too_small_are_noted() -> None:
    rng = np.random.default_rng(0)
    secret = np.where(np.arange(400) < 6, 2, rng.integers(0, 2, 400))  # three tested records of class 2
    x = np.concatenate([np.eye(3)[secret], rng.standard_normal((400, 2))], 1).astype(np.float32)
    split = np.where(np.arange(400) % 2 > 0, "train", "test")
    table = Table.of(x, {"secret": secret}, ids=[f"r{i}" for i in range(400)], split=split)
    options = AuditOptions(pretrained=False, sections=("tail",))
    whole = audit(table, table, Policy(("secret",)), budget=BUDGET, options=options)
    assert whole.sections["tail"][0].counted == {"class": 2}
    assert any("1 of the 3 classes of `secret`" in note for note in whole.made["notes"])


def test_each_kind_that_is_clear_keeps_a_part() -> None:
    """Nine classes are inferred entirely, and so are the subgroups: more than the report shows."""
    rng = np.random.default_rng(0)
    secret, word = rng.integers(0, 9, 1800), rng.integers(0, 12, 1800)
    x = np.concatenate([np.eye(9)[secret], 0.1 * rng.standard_normal((1800, 2))], 1).astype(np.float32)
    split = np.where(np.arange(1800) % 2 > 0, "train", "test")
    table = Table.of(x, {"secret": secret, "word": word}, ids=[f"r{i}" for i in range(1800)], split=split)
    options = AuditOptions(pretrained=False, sections=("tail",))
    whole = audit(table, table, Policy(("secret",), ("word",)), budget=BUDGET, options=options)
    (tail,) = whole.sections["tail"]
    assert tail.clear == {"class": 9, "subgroup": 12}
    assert len(tail.parts) == SHOWN
    assert {part.kind for part in tail.parts if part.clear} == {"class", "subgroup"}
    section = Tail()
    added = section.contribution((tail,), None)  # type: ignore[arg-type]
    assert added is not None
    assert len(added.gives) == 2
    assert whole.verdict.level == "leaks"


def test_of_each_kind_the_part_that_leaves_most_open_is_kept(found: Report) -> None:
    (tail,) = found.sections["tail"]
    part = replace(tail.parts[0], clear=False, low=0.01, high=0.02, p=0.001)
    wide = replace(part, p=0.01, high=0.4)
    other = replace(part, kind="subgroup", p=0.02, high=0.3)
    data: Any = SimpleNamespace(options=AuditOptions())
    assert _shortened([*[part] * 12, wide, other], data) == (*[part] * 6, wide, other)
    assert len(_shortened([part] * 3, data)) == 3


def test_without_originals_no_class_and_no_person_is_named() -> None:
    sink: list[TailRecords] = []
    shown = report(True, sink, max_leakage=0.2, originals=False)
    (tail,) = shown.sections["tail"]
    assert tail.clear["person"] == 1
    assert {part.name for part in tail.parts} == {""}
    assert "person: speaker 3" not in to_html(shown)
    assert set(sink[0].label[sink[0].person]) == {"3"}, "the owner's file has it"


def test_a_rare_class_that_leaks_entirely_is_found() -> None:
    rng = np.random.default_rng(0)
    rare = np.arange(1600) % 80 == 0
    x = rng.standard_normal((1600, 6)).astype(np.float32)
    released = rng.standard_normal((1600, 6)).astype(np.float32)
    released[rare] += 6
    x[:, 0] += 6 * rare
    ids = [f"r{i}" for i in range(1600)]
    original = Table.of(x, {"illness": np.where(rare, "rare", "none")}, ids=ids)
    options = AuditOptions(pretrained=False, sections=("tail",))
    budget = replace(BUDGET, settings=("C",))
    after = Table.of(released, {}, ids=ids)
    whole = audit(original, after, Policy(("illness",)), budget=budget, options=options)
    (tail,) = whole.sections["tail"]
    assert tail.parts[0].clear
    assert "rare" in {part.name for part in tail.parts if part.clear}
    assert whole.verdict.level == "leaks"


def test_it_is_off_in_a_quick_audit() -> None:
    assert Budget.quick().tail is False
