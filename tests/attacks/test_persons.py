"""Several records of one person: what adds up is read at its size, and where nothing is there nothing is read."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.attacks.base import Split
from sordine.attacks.person_attacks import evidence, with_modifier, without_modifier
from sordine.attacks.persons import Evidence, Pooled, Scores, Units, compare, draw, pooled, sums

COUNTS = (1, 10, 40, 0)
PEOPLE, OUTPUTS = 4, 12


def split(n: int, seed: int = 0) -> Split:
    order = np.random.default_rng(seed).permutation(n)
    return Split(order[: n // 2], order[n // 2 : n * 5 // 8], order[n * 5 // 8 :])


def people(n: int = 1600, seed: int = 0) -> tuple[np.ndarray, Units]:
    who = np.random.default_rng(seed).integers(0, PEOPLE, n)
    names = [f"p{i}" for i in range(PEOPLE)]
    return who, Units.of("speaker", who, names, who, names)


def outputs(who: np.ndarray, tell: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return a channel that favours, by `tell`, a third of outputs of the person: P(j | x), and three draws."""
    rng = np.random.default_rng(seed)
    p = np.full((PEOPLE, OUTPUTS), (1 - tell) / OUTPUTS)
    for s in range(PEOPLE):
        p[s, s::PEOPLE] += tell * PEOPLE / OUTPUTS
    each = p[who] * rng.dirichlet(np.full(OUTPUTS, 50.0), len(who)) * OUTPUTS
    each /= each.sum(1, keepdims=True)
    drawn = np.stack([(each.cumsum(1) < rng.random((len(who), 1))).sum(1) for _ in range(3)], 1)
    return each.astype(np.float32), np.minimum(drawn, OUTPUTS - 1)


def best(tell: float, k: int, groups: int = 4000) -> float:
    """What the best attacker reads from k outputs: Bayes' rule with the true P(j | s), by simulation."""
    rng = np.random.default_rng(5)
    p = np.full((PEOPLE, OUTPUTS), (1 - tell) / OUTPUTS)
    for s in range(PEOPLE):
        p[s, s::PEOPLE] += tell * PEOPLE / OUTPUTS
    right = 0
    for _ in range(groups):
        s = rng.integers(PEOPLE)
        told = np.log(p)[:, rng.choice(OUTPUTS, k, p=p[s])].sum(1)
        right += rng.choice(np.flatnonzero(told >= told.max() - 1e-9)) == s
    return right / groups


def shares(found: Evidence, units: Units) -> dict[int, float]:
    read = {k: pooled(found, units, k) for k in COUNTS}
    return {k: float(p.by_unit.mean()) for k, p in read.items() if p is not None}


@pytest.mark.slow
def test_one_who_knows_the_channel_reads_what_bayes_rule_reads() -> None:
    who, units = people(3200)
    p, index = outputs(who, 0.12)
    found = evidence([split(3200)], units, COUNTS, with_modifier(p, index, units, PEOPLE))
    read = shares(found, units)
    for k in (1, 10, 40):
        assert read[k] == pytest.approx(best(0.12, k), abs=0.07), (k, read)
    assert read[1] < 0.45 < read[40]
    assert read[0] > 0.9


def test_where_nothing_is_told_nothing_adds_up() -> None:
    who, units = people()
    for seed in range(3):
        p, index = outputs(who, 0.0, seed)
        found = evidence([split(1600, seed)], units, COUNTS, with_modifier(p, index, units, PEOPLE))
        now = {k: pooled(found, units, k) for k in (1, 10)}
        for k, read in now.items():
            assert read is not None
            assert read.by_unit.mean() == pytest.approx(0.25, abs=0.1), (seed, k)


@pytest.mark.parametrize(("sign", "share"), [(1, 1.0), (-1, 1.0), (0, 0.25)])
def test_the_least_likely_person_is_named_where_that_validates_better(sign: int, share: float) -> None:
    who, units = people()
    rng = np.random.default_rng(2)
    scores = 0.3 * rng.standard_normal((1600, 1, PEOPLE + 1)) + 0.5 * sign * np.eye(PEOPLE + 1)[who][:, None]
    scores[:, :, PEOPLE] = -1e6  # a class without own records
    prior = np.log([*[1 / PEOPLE] * PEOPLE, 1e-12])

    def attack(part: Split, k: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        return {"scores": (scores[part.validation], scores[part.test], prior, np.arange(PEOPLE + 1))}

    found = shares(evidence([split(1600)], units, COUNTS, attack), units)
    assert found[40] == pytest.approx(share, abs=0.12)


def test_what_stands_beside_the_record_is_not_taken_for_a_tell() -> None:
    # Outputs spell the word; by chance the attacker's records of one person hold more of some words.
    rng = np.random.default_rng(3)
    who, units = people()
    word = np.where(rng.random(1600) < 0.3, who, rng.integers(0, 4, 1600))
    trial = split(1600)
    word[trial.test] = rng.integers(0, 4, len(trial.test))  # but not so in what is tried
    p = np.eye(4, dtype=np.float32)[word]
    index = word[:, None]
    both = with_modifier(p, index, units, PEOPLE, word)(trial, 10)
    assert np.ptp(both["classes"][1]) > 0.5
    assert np.abs(both["classes, evened"][1]).max() < 1e-6


def test_draws_alone_are_pooled_by_probability_and_by_moments() -> None:
    rng = np.random.default_rng(0)
    who, units = people(1200)
    away = np.zeros((1200, 6), np.float32)
    away[np.arange(1200), who] = 0.45
    shifted = rng.standard_normal((1200, 6)).astype(np.float32) + away
    wider = rng.standard_normal((1200, 6)).astype(np.float32)
    wider[np.arange(1200), who] *= 1.7
    still = rng.standard_normal((1200, 6)).astype(np.float32)
    read = {}
    for name, x in (("shifted", shifted), ("wider", wider), ("still", still)):
        reader = without_modifier(x, units, ("logistic",), PEOPLE, 100, 1200)
        read[name] = shares(evidence([split(1200)], units, COUNTS, reader), units)
    assert read["shifted"][1] < 0.5
    assert read["shifted"][40] > 0.85
    assert read["wider"][1] < 0.45, "a logistic regression sees no spread"
    assert read["wider"][40] > 0.7, "the moments do"
    assert read["still"][1] == pytest.approx(0.25, abs=0.07)
    assert read["still"][10] == pytest.approx(0.25, abs=0.15)


def test_a_unit_tells_a_secret_that_is_its_own() -> None:
    # Eight people, each with a place of its own; their sex follows no line, so it is read by way of the person.
    rng = np.random.default_rng(1)
    person = rng.integers(0, 8, 1600)
    sex = np.array([0, 1, 1, 0, 1, 0, 0, 1])[person]
    units = Units.of("person", person, [f"p{i}" for i in range(8)], sex, ("f", "m"))
    assert units.classes.tolist() == [0, 1, 1, 0, 1, 0, 0, 1]
    angle = 2 * np.pi * person / 8
    x = (np.stack([np.cos(angle), np.sin(angle)], 1) * 1.5 + rng.standard_normal((1600, 2))).astype(np.float32)
    found = evidence([split(1600)], units, (1, 40), without_modifier(x, units, ("logistic",), 2, 100, 1600))
    several = pooled(found, units, 40)
    assert several is not None
    assert several.by_unit.mean() > 0.95
    assert len(found.scores[40].prior) == 8


def test_a_unit_of_two_classes_counts_once_a_class() -> None:
    units = Units.of("trial", np.array([0, 0, 1, 1, -1, 1]), ("t0", "t1"), np.array([0, 1, 1, 1, 0, -1]), ("f", "m"))
    assert units.names == ("t0 (f)", "t0 (m)", "t1")
    assert units.codes.tolist() == [0, 1, 2, 2, -1, -1]


def test_groups_are_of_one_unit_without_replacement_and_the_same_for_all() -> None:
    rng = np.random.default_rng(0)
    at = draw(rng, 20, 7, 300)
    assert at.shape == (300, 7)
    assert all(len(set(row)) == 7 for row in at.tolist())
    assert np.bincount(at.ravel(), minlength=20).min() > 60
    values = rng.standard_normal((20, 1, 3))
    assert sums(values, at, rng) == pytest.approx(values[at, 0].sum(1))
    who, units = people(400)
    told = Scores(rng.standard_normal((400, 1, PEOPLE)), np.zeros(PEOPLE), np.arange(PEOPLE))
    found = Evidence(np.arange(400), {10: told})
    one, again = pooled(found, units, 10), pooled(found, units, 10)
    assert one is not None
    assert again is not None
    assert (one.by_unit == again.by_unit).all()
    assert (one.resampled == again.resampled).all()
    # Several draws of each record under other keys, with the same scores, form the same groups.
    drawn = Scores(np.repeat(told.values, 5, 1), told.prior, told.stands_for)
    keyed = pooled(Evidence(np.arange(400), {10: drawn}), units, 10)
    assert keyed is not None
    assert (one.by_unit == keyed.by_unit).all()
    assert (one.resampled == keyed.resampled).all()
    assert pooled(Evidence(np.arange(400), {5000: told}), units, 5000) is None
    few = np.flatnonzero((who == 0) | (np.arange(400) < 60))
    alone = pooled(Evidence(few, {50: Scores(told.values[few], told.prior, told.stands_for)}), units, 50)
    assert alone is None, "only one of them has fifty records"


def pooled_of(right: np.ndarray) -> Pooled:
    """Units (u,) whose groups are read right with these shares, without any spread but that of units."""
    return Pooled(right, np.tile(right, (200, 1)), np.arange(len(right)), 8 * len(right), 100)


def test_intervals_widen_with_how_much_units_differ() -> None:
    sex = np.array([0, 1] * 6)
    units = Units("person", np.arange(12), tuple("abcdefghijkl"), sex)
    before = pooled_of(np.full(12, 1.0))
    even = compare(before, pooled_of(np.full(12, 0.7)), units)
    odd = compare(before, pooled_of(np.array([1.0, 1, 1, 1, 1, 1, 1, 0.4, 0, 0.4, 0.6, 0])), units)
    assert even.after == pytest.approx(odd.after)
    assert even.guess == 0.5
    assert even.nag == pytest.approx(0.4)
    assert odd.low is not None
    assert odd.high is not None
    assert odd.low < 0.4 < odd.high
    assert odd.high - odd.low > 0.3
    assert odd.by_unit[8] == 0
    nothing = compare(before, pooled_of(np.zeros(12)), units)
    assert nothing.high is not None
    assert nothing.high > -1, "all wrong in every resample is no certainty"
    assert compare(pooled_of(np.full(12, 0.5)), pooled_of(np.full(12, 0.9)), units).nag is None


def one_class_for_all(exception: float, each: int = 10) -> tuple[Pooled, Pooled, Units]:
    """Twenty persons of two classes. The attacker names class 0 for all, but for one person in some groups."""
    sex = np.array([0, 1] * 10)
    right = np.where(sex == 0, 1.0, 0.0)
    right[1] = exception
    again = np.clip(right + np.random.default_rng(0).normal(0, 0.01, (200, 20)) * (right > 0) * (right < 1), 0, 1)
    after = Pooled(right, again, np.arange(20), 20 * each, 100)
    return pooled_of(np.ones(20)), after, Units("person", np.arange(20), tuple("abcdefghijklmnopqrst"), sex)


@pytest.mark.parametrize("exception", [0.0, 0.05, 0.3])
def test_one_person_that_wobbles_does_not_make_the_interval_short(exception: float) -> None:
    found = compare(*one_class_for_all(exception))
    assert found.high is not None
    assert found.low is not None
    assert found.high > 0.35
    assert found.low < -0.3
    assert found.after_interval[0] < 0.35
    assert found.after_interval[1] > 0.65


def test_the_person_itself_is_not_certified_on_few_groups() -> None:
    # Ten speakers: nine are never recognised, one is nearly always; each has two groups, or is one group.
    units = Units("speaker", np.arange(10), tuple("abcdefghij"), np.arange(10))
    right = np.append(np.full(9, 0.0), 0.95)
    for apart in (10, 20):
        after = Pooled(
            right, np.tile(right, (200, 1)) - np.linspace(0, 0.01, 200)[:, None] * right, np.arange(10), apart, 100
        )
        found = compare(replace_apart(pooled_of(np.ones(10)), apart), after, units)
        assert found.high is not None
        assert found.high > 0.15, apart


def replace_apart(p: Pooled, apart: int) -> Pooled:
    return Pooled(p.by_unit, p.resampled, p.present, apart, p.groups)


def test_accuracy_below_the_baseline_excludes_no_more_than_the_baseline() -> None:
    sex = np.array([0] * 15 + [1] * 5)
    units = Units("person", np.arange(20), tuple("abcdefghijklmnopqrst"), sex)
    found = compare(pooled_of(np.ones(20)), pooled_of(np.where(sex == 0, 0.5, 0.4)), units)
    assert found.guess == 0.75
    assert found.nag is not None
    assert found.high is not None
    assert found.nag < -0.5
    assert found.high > 0.2


def test_clear_leaks_stay_clear() -> None:
    speakers = Units("speaker", np.arange(6), tuple("abcdef"), np.arange(6))
    all_right = replace_apart(pooled_of(np.ones(6)), 6)
    found = compare(all_right, all_right, speakers)
    assert found.low is not None
    assert found.low > 0.4
    twelve = Units("speaker", np.arange(12), tuple("abcdefghijkl"), np.arange(12))
    right = np.array([1.0, 1, 1, 1, 0.9, 1, 0.8, 1, 0.4, 0.5, 0.6, 0.52])
    found = compare(replace_apart(pooled_of(np.ones(12)), 12), replace_apart(pooled_of(right), 12), twelve)
    assert found.after == pytest.approx(0.81)
    assert found.low is not None
    assert found.low > 0.4
    # Many persons that are all a little above the baseline, each by itself: as many groups as they have count.
    sex = np.arange(60) % 2
    many = Units("person", np.arange(60), tuple(map(str, range(60))), sex)
    steady = Pooled(np.full(60, 0.7), np.full((200, 60), 0.7), np.arange(60), 1200, 100)
    found = compare(replace_apart(pooled_of(np.ones(60)), 1200), steady, many)
    assert found.low is not None
    assert found.low > 0.25
