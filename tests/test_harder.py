"""The harder questions on one release: which are asked, of whom, and what the report says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from sordine.attackers.channel import channel, drawn_index, redrawn, releases
from sordine.attackers.plan import Budget
from sordine.audit import audit
from sordine.errors import SordineError
from sordine.findings import Report
from sordine.harder import Harder, harder, sentences, unit_of
from sordine.harder_findings import PersonFinding
from sordine.keys import Key
from sordine.methods.noise import NoiseModifier
from sordine.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.report import from_json, to_html, to_json
from sordine.report.harder import view
from sordine.table import Table

POLICY = Policy(("speaker",), ("word",), ())
KEY = Key.of_seed(3)
ASKED = Budget(families=("logistic",), settings=("A", "B"), permutations=5, cloud=20, person=(1, 10, 0))
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

    def channel(self, x: Tensor) -> Tensor:
        return self.p[x[:, 0].round().long().clamp(0, len(self.p) - 1)]

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        index = (self.channel(x).cumsum(1) < noise).sum(1).clamp_max(len(self.substitutes) - 1)
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


def person(found: Harder | Report, knows: str, k: int, setting: str = "A") -> PersonFinding:
    return next(f for f in found.person if (f.knows, f.k, f.setting) == (knows, k, setting))


# ------------------------------------------------------------------------------------------------ the report


def test_what_adds_up_is_said_and_does_not_decide_the_verdict() -> None:
    t, r, modifier = drawn(0.15)
    plain = audit(t, r, POLICY, modifier=modifier, budget=replace(ASKED, person=()), pretrained=False)
    found = audit(t, r, POLICY, modifier=modifier, budget=PARANOID, pretrained=False)
    assert plain.person == plain.queries == plain.linkage == plain.verification == ()
    assert (found.verdict.level, found.verdict.title) == (plain.verdict.level, plain.verdict.title)
    assert found.headlines == plain.headlines
    more = [s for s in found.verdict.sentences if s not in plain.verdict.sentences]
    assert len(more) == 1
    assert "Several records of one person tell more than one" in more[0]
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
    assert {f.attacker for f in found.linkage} == {"standardised", "whitened", "learnt", "channel"}
    assert [(q.keys, q.distinct) for q in found.queries] == [("fresh", 3), ("one", 1)]
    assert from_json(to_json(found)) == found
    page = to_html(found)
    assert "Trying harder" in page
    assert "Many queries" in page
    assert view(plain) is None
    assert "Trying harder" not in to_html(plain)


def test_a_channel_that_tells_nothing_adds_nothing() -> None:
    t, r, modifier = drawn(0.0)
    found = audit(t, r, POLICY, modifier=modifier, budget=ASKED, pretrained=False)
    for f in found.person:
        if f.k != 0:
            assert f.after == pytest.approx(0.25, abs=0.17), f
            assert f.low is not None
            assert f.low < 0.1, f
    assert not any("Several records" in s for s in found.verdict.sentences)
    assert "nothing was found that adds up" in view(found)["person_says"]  # type: ignore[index]


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


def test_one_who_simulates_is_played_where_the_output_is_not_discrete() -> None:
    t, x, modifier = noisy(2.0)
    found = harder(t, x, POLICY, PARANOID, modifier=modifier, key=KEY)
    assert {f.knows for f in found.person} == {"draws", "channel"}
    assert person(found, "channel", 10).after > person(found, "channel", 1).after + 0.12
    assert person(found, "channel", 1).before > 0.9
    assert all(f.attacker != "channel" for f in found.linkage)
    fresh, once = found.queries
    assert once.after == once.one == fresh.one
    blind = harder(t, x, POLICY, ASKED)
    assert {f.knows for f in blind.person} == {"draws"}
    still = NoiseModifier(4)
    still.noise = 0
    still.card = modifier.card
    steady = harder(t, x, POLICY, PARANOID, modifier=still)
    assert steady.queries == ()
    assert any("draws nothing" in n for n in steady.notes)


# ------------------------------------------------------------------------------------------------ who, and the channel


def test_who_a_record_is_of() -> None:
    t = replace(table(60), group=np.repeat(np.arange(20), 3))
    assert unit_of(t, POLICY, "word")[0] == "word"  # type: ignore[index]
    name, codes, names = unit_of(t, POLICY, None)  # type: ignore[misc]
    assert (name, len(names), codes[3]) == ("group", 20, 1)
    alone = replace(t, group=np.arange(60))
    assert unit_of(alone, POLICY, None)[0] == "speaker"  # type: ignore[index]
    assert unit_of(alone, Policy(("word", "speaker")), None)[0] == "speaker"  # type: ignore[index]
    # Who speaks is a person; what is said is none, though it alone is suppressed.
    assert unit_of(alone, Policy(("word",)), None)[0] == "speaker"  # type: ignore[index]
    assert unit_of(alone, Policy((), ("word",)), None) is None
    with pytest.raises(SordineError, match="did you mean 'speaker'"):
        audit(t, t, POLICY, person="speakers")
    nobody = replace(t, y={**t.y, "word": np.full(60, -1)})
    with pytest.raises(SordineError, match="'word' says of no record whose it is"):
        unit_of(nobody, POLICY, "word")


def test_the_output_is_found_by_its_bits_or_by_the_key() -> None:
    t, _, modifier = drawn(0.3, 200)
    x, index = modifier.release(t.x, t.ids, KEY)
    assert drawn_index(modifier, t, x, None)[0].tolist() == index.tolist()  # type: ignore[union-attr]
    # Two outputs that are the same numbers cannot be told apart, by anyone.
    modifier.substitutes[5] = modifier.substitutes[2]
    x, index = modifier.release(t.x, t.ids, KEY)
    p, found = channel(modifier, t, x, None)  # type: ignore[misc]
    assert p.shape == (200, 15)
    assert p.sum(1) == pytest.approx(1, abs=1e-5)
    whole = modifier.channel_of(t.x)
    merged = found[(index == 2) | (index == 5)]
    assert len(set(merged.tolist())) == 1
    assert p[:, merged[0]] == pytest.approx(whole[:, 2] + whole[:, 5])
    assert channel(modifier, t, x + 1, None) is None
    assert channel(modifier, t, x + 1, KEY) is None
    del modifier.substitutes
    modifier.substitutes = torch.from_numpy(x[:16, :3].copy())  # of another width: no outputs
    modifier.forward = lambda x, noise: Release(x + 1, (noise[:, 0] * 4).long())  # type: ignore[method-assign]
    assert drawn_index(modifier, t, t.x + 1, KEY)[0] is not None
    assert drawn_index(modifier, t, t.x + 1, Key.of_seed(9))[0] is not None, "this release is the same under every key"
    assert drawn_index(modifier, t, t.x + 2, KEY)[0] is None


def test_redrawn_outputs_follow_the_channel() -> None:
    p = np.tile(np.array([[0.7, 0.0, 0.3]], np.float32), (3000, 1))
    drawn = redrawn(p, np.ones(3000, np.int64))
    assert (drawn[:, 0] == 1).all(), "the release's own first"
    share = np.bincount(drawn[:, 1:].ravel(), minlength=3) / drawn[:, 1:].size
    assert share == pytest.approx([0.7, 0.0, 0.3], abs=0.01)
    assert share[1] == 0


def test_releases_under_several_keys() -> None:
    t, _, modifier = noisy(1.0)
    a, b, c = releases(modifier, t, [Key.of_seed(1), Key.of_seed(2), Key.of_seed(1)])
    assert np.array_equal(a, c)
    assert not np.array_equal(a, b)


def test_people_whom_the_modifier_never_saw_are_verified() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(24), 12)
    x = (3 * rng.standard_normal((24, 5))[who] + rng.standard_normal((288, 5))).astype(np.float32)
    t = Table.of(x, {"speaker": who, "sex": who % 2}, split=np.where(who < 12, "train", "test"), group=who)
    policy = Policy(("speaker", "sex"), (), ())
    quick = replace(ASKED, person=(10,))
    kept = harder(t, x, policy, quick)
    assert {f.space for f in kept.verification} == {"standardised", "discriminant"}
    assert all(f.before == f.after < 0.2 for f in kept.verification)
    gone = harder(t, rng.standard_normal(x.shape).astype(np.float32), policy, quick)
    assert all(f.after > 0.4 for f in gone.verification)
    assert any("nobody's `speaker` is pooled in setting A" in n for n in kept.notes)
    sex = next(f for f in kept.person if f.attribute == "sex" and f.k == 10)
    assert (sex.unit, sex.units, sex.guess) == ("group", 12, 0.5)
    seen = harder(replace(t, split=np.arange(288) % 2 == 0), x, policy, quick)
    assert seen.verification == ()


def test_sentences_need_an_interval_above_that_of_one_record() -> None:
    one = PersonFinding("sex", "speaker", 1, "channel", "A", 0.9, 0.55, 0.5, 0.12, 0.05, 0.2)
    more = replace(one, k=50, after=0.8, nag=0.75, low=0.4, high=0.9)
    (said,) = sentences([one, more])
    assert "50 released records of one `speaker` in 80.0 % of groups, from one record in 55.0 %" in said
    assert sentences([one, replace(more, low=0.19)]) == []
    assert sentences([one, replace(more, knows="draws")]) == []
    assert sentences([replace(one, nag=None), more]) == []


def test_names_are_escaped_on_the_page() -> None:
    t, r, modifier = drawn(0.15, 400)
    found = audit(t, r, POLICY, modifier=modifier, budget=replace(ASKED, settings=("A",)), pretrained=False)
    evil = "<script>alert(1)</script>"
    named = tuple(replace(f, attribute=evil, unit=evil, worst_class=evil, worst_unit=evil + "2") for f in found.person)
    page = to_html(replace(found, person=named))
    assert "alert(1)" in page
    assert "<script>alert" not in page
