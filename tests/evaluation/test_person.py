"""The harder questions on one release: which are asked, of whom, and what the report says of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sordine.attacks.budget import Budget
from sordine.attacks.output_distribution import drawn_outputs, output_distribution, redrawn, released_under
from sordine.attacks.results import LinkageFinding, PersonFinding, VerificationFinding
from sordine.cli.console import Console
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.page.page import to_html
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.sections.base import AuditData
from sordine.evaluation.sections.linkability import linkage_sentence
from sordine.evaluation.sections.person import contribution, pooling_sentence, sentences
from sordine.evaluation.sections.registry import findings
from sordine.evaluation.sections.sample import unit_of
from sordine.evaluation.sections.verification import Verifications, is_clear, verification_sentence
from sordine.evaluation.verdict import judge_contributions
from sordine.keys import Key
from sordine.methods.noise import NoiseModifier
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run
from tests.fixtures.report_example import example, headline

POLICY = Policy(("speaker",), ("word",), ())
KEY = Key.of_seed(3)
ASKED = Budget(
    families=("logistic",), settings=("A", "B"), permutations=5, cloud=20, person=(1, 10, 0), known=(), tail=False
)
PARANOID = replace(ASKED, queries=3, linkage=True)


class Drawn(Modifier):
    """Releases one of M substitutes, leaning by `tell` towards those of the speaker, which the first column says."""

    noise = 1
    discrete = True
    substitutes: Tensor

    def __init__(self, substitutes: np.ndarray, tell: float, speakers: int = 4) -> None:
        super().__init__()
        m = len(substitutes)
        p = np.full((speakers, m), (1 - tell) / m)
        for s in range(speakers):
            p[s, s::speakers] += tell / len(range(s, m, speakers))
        self.p = torch.tensor(p, dtype=torch.float32)
        self.register_buffer("substitutes", torch.from_numpy(substitutes))

    def output_distribution(self, x: Tensor) -> Tensor:
        return self.p[x[:, 0].round().long().clamp(0, len(self.p) - 1)]

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        index = (self.output_distribution(x).cumsum(1) < noise).sum(1).clamp_max(len(self.substitutes) - 1)
        return Release(self.substitutes[index], index)


def table(n: int = 800, seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    y = {"speaker": rng.integers(0, 4, n), "word": rng.integers(0, 2, n)}
    x = rng.standard_normal((n, 4)).astype(np.float32)
    x[:, 0] = y["speaker"]
    ids = [f"{rng.integers(1 << 60):015x}" for _ in range(n)]
    return Table.of(x, y, ids=ids, split=np.where(np.arange(n) % 2, "train", "test"))


def drawn(tell: float, n: int = 800) -> tuple[Table, Table, Drawn]:
    t = table(n)
    modifier = Drawn(np.random.default_rng(1).standard_normal((16, 4)).astype(np.float32), tell)
    modifier.card = Card("drawn", {}, {}, {"shape": [4]}, key=KEY.fingerprint)
    modifier.fitted = np.zeros((0, 8), np.uint8)
    x, _ = modifier.release(t.x, t.ids, KEY)
    return t, replace(t, x=x, y={"word": t.y["word"]}), modifier


def noisy(sigma: float) -> tuple[Table, np.ndarray, NoiseModifier]:
    t = table()
    modifier = NoiseModifier(4)
    modifier.scale = torch.full((4,), sigma)
    modifier.card = Card("noise", {}, {}, {"shape": [4]})
    return t, modifier.release(t.x, t.ids, KEY)[0], modifier


def attacked(before: Table, after: np.ndarray, budget: Budget, policy: Policy = POLICY, **more: Any) -> SimpleNamespace:
    """The findings and notes of the four sections on one release."""
    released = before.with_x(after)
    data = AuditData(before, released, before, after, policy, budget, AuditOptions(), Run(), **more)
    found = findings(data, ("person", "queries", "linkability", "verification"))
    return SimpleNamespace(notes=data.notes, **found)


def person(found: Any, knows: str, k: int, setting: str = "A") -> PersonFinding:
    return next(f for f in found.person if (f.knows, f.k, f.setting) == (knows, k, setting))


# ------------------------------------------------------------------------------------------------ the report


@pytest.mark.slow
def test_what_adds_up_is_said_beside_what_one_record_gives_away() -> None:
    t, r, modifier = drawn(0.25, 1600)
    plain = audit(
        t, r, POLICY, modifier=modifier, budget=replace(ASKED, person=()), options=AuditOptions(pretrained=False)
    )
    found = audit(t, r, POLICY, modifier=modifier, budget=PARANOID, options=AuditOptions(pretrained=False))
    assert plain.person == plain.queries == plain.linkage == plain.verification == ()
    assert found.verdict.level == plain.verdict.level == "leaks"
    assert found.verdict.title == plain.verdict.title, "what leaks of one record says enough"
    assert found.headlines == plain.headlines
    more = [s for s in found.verdict.sentences if s not in plain.verdict.sentences]
    assert len(more) == 1
    assert "Several records of one person" in more[0]
    assert "`speaker`" in more[0]
    one, ten, every = (person(found, "channel", k) for k in (1, 10, 0))
    assert one.after < 0.5 < ten.after < every.after
    assert one.unit == "speaker"
    assert (one.units, one.guess) == (4, 0.25)
    assert one.low is not None
    assert one.high is not None
    assert ten.low is not None
    assert one.low < one.nag < one.high < ten.low  # type: ignore[operator]
    assert ten.worst_class_after >= ten.after
    assert {f.attacker for f in found.linkage} == {
        "standardised",
        "whitened",
        "standardised apart",
        "whitened apart",
        "learnt",
        "channel",
    }
    assert [(q.keys, q.distinct) for q in found.queries] == [("fresh", 3), ("one", 1)]
    assert from_json(to_json(found)) == found
    page = to_html(found)
    parts = [f'id="{name}"' for name in ("person", "queries", "linkability")]
    assert all(part in page for part in parts)
    assert not any(part in to_html(plain) for part in parts)


@pytest.mark.slow
def test_pooled_records_of_a_person_decide_the_verdict() -> None:
    t, r, modifier = drawn(0.15, 2400)
    limit = {"modifier": modifier, "options": AuditOptions(pretrained=False, max_leakage=0.2)}
    plain = audit(t, r, POLICY, budget=replace(ASKED, person=()), **limit)  # type: ignore[arg-type]
    found = audit(t, r, POLICY, budget=ASKED, **limit)  # type: ignore[arg-type]
    assert (plain.verdict.level, plain.passed) == ("unclear", True), "no leak was planted"
    assert (found.verdict.level, found.verdict.adds_up, found.passed) == ("leaks", False, False)
    assert found.verdict.title.startswith("The release still gives away `speaker` from ")
    assert "records of one person" in found.verdict.title
    assert found.verdict.not_excluded is not None
    assert found.verdict.not_excluded >= max(f.high for f in found.person if f.k != 1 and f.high is not None)
    assert from_json(to_json(found)) == found
    page = to_html(found)
    assert "Holds for single records" not in page
    assert "This counts for the verdict" in page
    assert "<b>Unclear</b>" in to_html(plain)


def test_what_pooled_records_add_to_the_verdict() -> None:
    one = PersonFinding("sex", "speaker", 1, "draws", "A", 0.9, 0.52, 0.5, 0.05, -0.05, 0.15, units=40, records=900)
    more = replace(one, k=50, after=0.8, nag=0.75, low=0.4, high=0.9)
    nothing = replace(one, k=50, after=0.5, nag=0.0, low=-0.02, high=0.03)
    head = replace(headline("sex", "suppress", 2, 0.9, 0.5, 0.5), low=-0.01, high=0.02, resolvable=0.02)

    def judged(*found: PersonFinding, limit: float = 0.05, persons: bool = True) -> tuple[str, str, tuple[str, ...]]:
        verdict, passed = judge_contributions([head], [contribution(found, [head], limit, persons)], ("sex",), limit)
        assert passed == (verdict.level != "leaks")
        return verdict.level, verdict.title, verdict.sentences

    level, title, _ = judged(one, more)
    assert (level, title) == (
        "leaks",
        "The release still gives away `sex` from 50 records of one person: a leakage of 75.0 %",
    )
    assert (
        "all records of one person to an attacker that has the modifier"
        in judged(replace(more, k=0, knows="channel"))[1]
    )
    # Of equal leakages, the title states the one that needs fewest records.
    assert "from 10 records" in judged(more, replace(more, k=10))[1]
    # What is above the limit counts where it belongs to a person, and only from several records.
    assert judged(one, nothing)[0] == "holds"
    assert judged(one, more, persons=False)[0] == "holds"
    assert judged(one)[0] == "holds"
    assert judged(one, more, limit=0.95)[0] == "holds"
    # What cannot be excluded leaves the verdict open, and the number of persons is stated.
    level, title, sentences_ = judged(one, replace(nothing, high=0.3))
    assert level == "unclear"
    assert title.endswith(": a leakage of up to 30.0 % of `sex` from 50 records of one person cannot be excluded")
    assert any("40 classes of `speaker`" in s for s in sentences_)
    unknown = replace(more, nag=None, low=None, high=None, after=0.5, after_interval=(0.4, 0.6))
    assert judged(one, unknown)[0] == "unclear"
    # The luckiest of many figures does not count.
    lucky = replace(more, low=0.2)
    assert judged(one, lucky)[0] == "leaks"
    assert judged(one, *[replace(nothing, k=k, nag=0.0, low=-0.1) for k in range(2, 20)], lucky)[0] == "unclear"


def test_what_one_record_tells_must_be_known_for_several_to_tell_more() -> None:
    one = PersonFinding("sex", "speaker", 1, "draws", "A", 0.9, 0.52, 0.5, None, None, None)
    more = replace(one, k=50, after=0.8, nag=0.75, low=0.4, high=0.9)
    known = headline("sex", "suppress", 2, 0.9, 0.52, 0.5)
    for high, clear in ((0.2, True), (0.6, False), (None, False)):
        heads = (replace(known, high=high),)
        assert bool(sentences([one, more], heads, True)) == clear
    assert sentences([one, more], (), True) == []


def test_too_few_persons_never_support_that_it_holds() -> None:
    tight = PersonFinding("sex", "speaker", 50, "draws", "A", 0.9, 0.4, 0.5, -0.2, -0.3, 0.02, units=40, records=4000)
    assert not contribution([tight], (), 0.05, True).unclear
    few = contribution([replace(tight, units=7)], (), 0.05, True)
    assert few.unclear
    assert any("7 classes of `speaker`" in s for s in few.sentences)
    assert contribution(
        [replace(tight, nag=None, low=None, high=None, after_interval=(0.3, 0.45))], (), 0.05, True
    ).unclear
    assert not contribution([replace(tight, units=7)], (), 0.05, False).unclear, "they are no persons"


def gives(*found: PersonFinding) -> bool:
    return bool(contribution(found, (), 0.05, True).gives)


def test_an_interval_without_width_is_clear_only_where_enough_groups_were_read() -> None:
    one = PersonFinding("sex", "speaker", 1, "draws", "A", 0.9, 0.6, 0.5, 0.2, 0.1, 0.3, units=4, records=400)
    sure = replace(one, k=0, before=1.0, after=1.0, nag=1.0, low=1.0, high=1.0)
    assert not gives(one, sure), "four speakers may be predicted correctly by chance"
    assert gives(one, replace(sure, units=40))
    # Where the secret is the unit itself, groups that share no record are counted.
    own = [replace(f, attribute="speaker", guess=0.2) for f in (one, replace(sure, k=10))]
    assert gives(*own)
    assert not gives(own[0], replace(own[1], k=400))


def test_matching_is_one_line_on_the_console(capsys: pytest.CaptureFixture[str]) -> None:
    t, r, modifier = drawn(0.15, 400)
    budget = replace(ASKED, person=(), linkage=True, settings=("A",))
    found = audit(t, r, POLICY, modifier=modifier, budget=budget, options=AuditOptions(pretrained=False))
    assert found.linkage
    Console().verdict(found)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "have the originals" in line]
    assert "the right `speaker` for" in line
    Console().verdict(replace(found, linkage=()))
    assert "the right `speaker`" not in capsys.readouterr().out


def test_what_matching_says() -> None:
    f = LinkageFinding("learnt", "unseen", 0.5, 0.4, 0.6, 0.01, 3.0, 100, "speaker", 0.8, 0.2)
    for figure in ("100 originals", "50.0 %", "unseen", "1.0 %", "`speaker` for 80.0 %", "20.0 %", "This matters"):
        assert figure in linkage_sentence((f,))
    few = replace(f, unit_top1=0.4, unit_records=10)  # of ten whose unit is known, four may be luck; of a hundred, not
    assert ["chance can explain" in linkage_sentence((g,)) for g in (few, replace(few, unit_records=None))] == [
        True,
        False,
    ]
    blind = replace(f, top1=0.01, low=0.0, unit_top1=0.22)
    sentence = linkage_sentence((blind,))
    assert "better than by chance" in sentence
    assert "22.0 %" in sentence
    assert "This matters" not in sentence
    assert "`" not in linkage_sentence((replace(f, unit=None, unit_top1=None, unit_guess=None),))


@pytest.mark.slow
def test_clear_recognition_of_suppressed_persons_cannot_hold() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(30), 10)
    x = (2 * rng.standard_normal((30, 5))[who] + rng.standard_normal((300, 5))).astype(np.float32)
    t = Table.of(x, {"speaker": who, "word": np.arange(300) % 3}, split=np.where(who < 18, "train", "test"))
    section = Verifications()
    for policy, after, added in (
        (Policy(("speaker",), ("word",)), x, True),
        (Policy(("word",), (), ("speaker",)), x, False),
        (Policy(("speaker",), ("word",)), rng.standard_normal(x.shape).astype(np.float32), False),
    ):
        data = AuditData(
            t, t.with_x(after), t, after, policy, replace(ASKED, person=(10,)), AuditOptions(), Run(), modifier=None
        )
        found = section.run(data)
        assert len(found) == 4
        contribution = section.contribution(found, data)
        assert (contribution is not None) == added
        if contribution is not None:
            assert contribution.unclear
            assert contribution.over
            assert not contribution.leaks
            assert is_clear(found[0])
            measured = found[0].after_measures
            assert measured is not None
            assert measured.equal_error_corrected == found[0].after_corrected
            wide = replace(measured, equal_error_corrected=(0.1, 0.46))
            assert not is_clear(replace(found[0], after_measures=wide)), "the best of four attackers is corrected"
    few = tuple(replace(f, units=7) for f in found)
    assert not any(map(is_clear, few))
    assert "Only 7 persons" in verification_sentence(few)


def test_a_failed_verification_is_no_proof() -> None:
    f = VerificationFinding("speaker", "discriminant", 0.04, 0.47, (0.03, 0.05), (0.45, 0.5), 10, 20000)
    clear = replace(f, space="standardised", after=0.31, after_interval=(0.29, 0.33))
    failed, found = verification_sentence((f,)), verification_sentence((f, clear))
    # The attack that is best on the release may be the worst on originals.
    weak = replace(clear, before=0.42, units=6)
    assert "best attack on originals 4.0 %" in verification_sentence((f, weak))
    (line,) = Verifications().risk_lines((f, weak), example())
    assert "best attack on originals: 4.0 %)" in line
    assert "Only 6 persons" in line
    assert "Only" not in Verifications().risk_lines((f, clear), example())[0]
    assert "did not recognise" in failed
    assert "47.0 %" in failed
    assert "These attacks recognise" in found
    assert "31.0 %" in found
    assert verification_sentence(()) == ""


@pytest.mark.slow
def test_a_channel_that_tells_nothing_adds_nothing() -> None:
    t, r, modifier = drawn(0.0)
    found = audit(t, r, POLICY, modifier=modifier, budget=ASKED, options=AuditOptions(pretrained=False))
    for f in found.person:
        if f.k != 0:
            assert f.after == pytest.approx(0.25, abs=0.17), f
            assert f.low is not None
            assert f.low < 0.1, f
    assert not any("Several records" in s for s in found.verdict.sentences)
    assert not found.verdict.adds_up
    assert "did not help" in pooling_sentence(found.person)


def test_what_so_few_groups_cannot_settle_is_not_called_nothing() -> None:
    few: dict[str, Any] = {
        "unit": "sex",
        "setting": "B",
        "before": 1.0,
        "guess": 0.5,
        "units": 2,
        "groups": 4,
        "records": 40,
    }
    one = PersonFinding(
        "sex", k=1, knows="channel", after=0.73, nag=0.5, low=0.1, high=0.8, after_interval=(0.6, 0.8), **few
    )
    ten = replace(one, k=10, after=0.945, nag=None, low=None, high=None, after_interval=(0.7, 1.0))
    sentence = pooling_sentence((one, ten))
    assert "too few" in sentence
    assert "94.5" in sentence
    open_ = pooling_sentence((one, replace(ten, after_interval=(0.4, 1.0))))
    assert open_.startswith("Only from one record is an attack clearly above the baseline")
    assert "also has the modifier" in open_
    assert "too few classes of `sex`" in open_
    assert "no more than one record" in pooling_sentence((one, replace(ten, nag=0.1, low=-0.2, high=0.7)))
    assert "without the modifier" not in pooling_sentence((replace(one, knows="draws"),))
    assert "did not help" in pooling_sentence((replace(ten, after_interval=(0.4, 1.0)),))


@pytest.mark.slow
def test_readings_of_the_originals_are_kept() -> None:
    t, r, modifier = drawn(0.15, 400)
    memory: dict[object, object] = {}
    given = {"modifier": modifier, "budget": ASKED, "pretrained": False, "memory": memory}
    first = audit(t, r, POLICY, **given)  # type: ignore[arg-type]
    size = len(memory)
    again = audit(t, r, POLICY, **given)  # type: ignore[arg-type]
    assert first.person == again.person
    assert len(memory) == size
    assert person(first, "draws", 10) != person(first, "channel", 10)


@pytest.mark.slow
def test_one_who_simulates_is_played_where_the_output_is_not_discrete() -> None:
    t, x, modifier = noisy(2.0)
    found = attacked(t, x, PARANOID, modifier=modifier, key=KEY)
    assert {f.knows for f in found.person} == {"draws", "channel"}
    assert person(found, "channel", 10).after > person(found, "channel", 1).after + 0.12
    assert person(found, "channel", 1).before > 0.9
    assert all(f.attacker != "channel" for f in found.linkability)
    fresh, once = found.queries
    assert once.after == once.one == fresh.one
    blind = attacked(t, x, ASKED)
    assert {f.knows for f in blind.person} == {"draws"}
    still = NoiseModifier(4)
    still.noise = 0
    still.card = modifier.card
    steady = attacked(t, x, PARANOID, modifier=still)
    assert steady.queries == ()
    assert any("Repeated releases" in n for n in steady.notes)


# ------------------------------------------------------------------------------------------------ who, and the channel


def test_who_a_record_is_of() -> None:
    t = replace(table(60), group=np.repeat(np.arange(20), 3))
    assert unit_of(t, POLICY, "word")[0] == "word"  # type: ignore[index]
    name, codes, names = unit_of(t, POLICY, None)  # type: ignore[misc]
    assert (name, len(names), codes[3]) == ("group", 20, 1)
    alone = replace(t, group=np.arange(60))
    assert unit_of(alone, POLICY, None)[0] == "speaker"  # type: ignore[index]
    assert unit_of(alone, Policy(("word", "speaker")), None)[0] == "speaker"  # type: ignore[index]
    # Who speaks is a person; what is sentence is none, though it alone is suppressed.
    assert unit_of(alone, Policy(("word",)), None)[0] == "speaker"  # type: ignore[index]
    assert unit_of(alone, Policy((), ("word",)), None) is None
    with pytest.raises(SordineError, match="did you mean 'speaker'"):
        audit(t, t, POLICY, options=AuditOptions(person="speakers"))
    unlabelled = replace(t, y={**t.y, "word": np.full(60, -1)})
    with pytest.raises(SordineError, match="'word' labels no record"):
        unit_of(unlabelled, POLICY, "word")


def test_the_output_is_found_by_its_bits_or_by_the_key() -> None:
    t, _, modifier = drawn(0.3, 200)
    x, index = modifier.release(t.x, t.ids, KEY)
    assert drawn_outputs(modifier, t, x, None)[0].tolist() == index.tolist()  # type: ignore[union-attr]
    # Two outputs that are the same numbers cannot be distinguished.
    modifier.substitutes[5] = modifier.substitutes[2]
    x, index = modifier.release(t.x, t.ids, KEY)
    p, found = output_distribution(modifier, t, x, None)  # type: ignore[misc]
    assert p.shape == (200, 15)
    assert p.sum(1) == pytest.approx(1, abs=1e-5)
    whole = modifier.output_distributions(t.x)
    merged = found[(index == 2) | (index == 5)]
    assert len(set(merged.tolist())) == 1
    assert p[:, merged[0]] == pytest.approx(whole[:, 2] + whole[:, 5])
    assert output_distribution(modifier, t, x + 1, None) is None
    assert output_distribution(modifier, t, x + 1, KEY) is None
    del modifier.substitutes
    modifier.substitutes = torch.from_numpy(x[:16, :3].copy())  # of another width: no outputs
    modifier.forward = lambda x, noise: Release(x + 1, (noise[:, 0] * 4).long())  # type: ignore[method-assign]
    assert drawn_outputs(modifier, t, t.x + 1, KEY)[0] is not None
    assert drawn_outputs(modifier, t, t.x + 1, Key.of_seed(9))[0] is not None, (
        "this release is the same under every key"
    )
    assert drawn_outputs(modifier, t, t.x + 2, KEY)[0] is None


def test_redrawn_outputs_follow_the_channel() -> None:
    p = np.tile(np.array([[0.7, 0.0, 0.3]], np.float32), (3000, 1))
    drawn = redrawn(p, np.ones(3000, np.int64))
    assert (drawn[:, 0] == 1).all(), "the release's own first"
    share = np.bincount(drawn[:, 1:].ravel(), minlength=3) / drawn[:, 1:].size
    assert share == pytest.approx([0.7, 0.0, 0.3], abs=0.01)
    assert share[1] == 0


def test_releases_under_several_keys() -> None:
    t, _, modifier = noisy(1.0)
    a, b, c = released_under(modifier, t, [Key.of_seed(1), Key.of_seed(2), Key.of_seed(1)])
    assert np.array_equal(a, c)
    assert not np.array_equal(a, b)


@pytest.mark.slow
def test_people_whom_the_modifier_never_saw_are_verified() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(24), 12)
    x = (3 * rng.standard_normal((24, 5))[who] + rng.standard_normal((288, 5))).astype(np.float32)
    t = Table.of(x, {"speaker": who, "sex": who % 2}, split=np.where(who < 12, "train", "test"), group=who)
    policy = Policy(("speaker", "sex"), (), ())
    quick = replace(ASKED, person=(10,))
    kept = attacked(t, x, quick, policy)
    assert {f.space for f in kept.verification} == {"standardised", "discriminant", "plda", "ignorant"}
    assert all(f.before == f.after < 0.2 for f in kept.verification)
    gone = attacked(t, rng.standard_normal(x.shape).astype(np.float32), quick, policy)
    assert all(f.after > 0.4 for f in gone.verification)
    assert any("`speaker` in scenario A" in n for n in kept.notes)
    sex = next(f for f in kept.person if f.attribute == "sex" and f.k == 10)
    assert (sex.unit, sex.units, sex.guess) == ("group", 12, 0.5)
    assert all(f.new_to_fit for f in kept.verification)
    shared = replace(t, split=np.arange(288) % 2 == 0)
    result = attacked(shared, x, quick, policy)
    assert result.verification == (), "the unit is the group, which is not suppressed"
    result = attacked(replace(shared, group=None), x, quick, policy)
    assert {(f.unit, f.units, f.new_to_fit) for f in result.verification} == {("speaker", 12, False)}


def test_sentences_need_an_interval_above_that_of_one_record() -> None:
    one = PersonFinding("sex", "speaker", 1, "channel", "A", 0.9, 0.55, 0.5, 0.12, 0.05, 0.2)
    more = replace(one, k=50, after=0.8, nag=0.75, low=0.4, high=0.9)
    (sentence,) = sentences([one, more], (), True)
    assert sentence.startswith("Several records of one person ")
    for figure in ("50 released records with the same `speaker` in 80.0 %", "one record in 55.0 %"):
        assert figure in sentence
    assert sentences([one, more], (), False)[0].startswith("Several records with the same `speaker` ")
    assert sentences([one, replace(more, low=0.19)], (), True) == []
    assert sentences([one, replace(more, knows="draws")], (), True) == []


@pytest.mark.slow
def test_records_that_share_only_the_secret_are_no_person() -> None:
    t, r, modifier = drawn(0.15, 2400)
    classes = {"emotion": t.classes["speaker"], "word": t.classes["word"]}
    t = replace(t, y={"emotion": t.y["speaker"], "word": t.y["word"]}, classes=classes)
    r = replace(r, classes={"word": r.classes["word"]})
    given = {"modifier": modifier, "budget": ASKED, "pretrained": False, "max_leakage": 0.2}
    policy = Policy(("emotion",), ("word",), ())
    alone = audit(t, r, policy, **given)  # type: ignore[arg-type]
    assert alone.person[0].unit == "emotion"
    assert contribution(alone.person, alone.headlines, 0.2, True).gives
    assert (alone.verdict.level, alone.verdict.adds_up) == ("unclear", False), "no leak was planted"
    assert "records belong" not in alone.verdict.title
    assert not any("one person" in s for s in alone.verdict.sentences)
    named = audit(t, r, policy, options=AuditOptions(person="emotion"), **given)  # type: ignore[arg-type]
    assert named.verdict.level == "leaks", "a named person is known to own several records"


def test_names_are_escaped_on_the_page() -> None:
    t, r, modifier = drawn(0.15, 400)
    found = audit(
        t, r, POLICY, modifier=modifier, budget=replace(ASKED, settings=("A",)), options=AuditOptions(pretrained=False)
    )
    evil = "<script>alert(1)</script>"
    named = tuple(replace(f, attribute=evil, unit=evil, worst_class=evil, worst_unit=evil + "2") for f in found.person)
    page = to_html(replace(found, person=named))
    assert "alert(1)" in page
    assert "<script>alert" not in page
