"""Membership, singling out, matching and reconstruction: near 1 where it is known, the control where nothing leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest

from sordine.attacks import matching, membership, singling_out
from sordine.attacks.reconstruction.regression import Goal, attempts, infer, reconstruct
from sordine.attacks.risk import Attempt, RiskFinding, Space, findings, squared_distances
from sordine.metrics.risk import Share

SEEDS = range(20)


def records(n: int, seed: int, width: int = 8) -> np.ndarray:
    turn = np.random.default_rng(0).standard_normal((width, width))
    return (np.random.default_rng([seed, 1]).standard_normal((n, width)) @ turn + 2).astype(np.float32)


def noise(n: int, seed: int, width: int = 8) -> np.ndarray:
    return np.random.default_rng([seed, 2]).standard_normal((n, width)).astype(np.float32)


def candidates(n: int, seed: int = 0) -> membership.Candidates:
    order = np.random.default_rng([seed, 3]).permutation(n)
    return membership.Candidates(order % 3 > 0, order // 3 % 2 == 0, order // 6 % 2 == 0)


def covered(attack: Callable[[int], Iterable[Attempt]]) -> dict[tuple[str, str], int]:
    """Of 20 seeds, how often the interval of each risk covers 0, by attacker and measure."""
    counts: dict[tuple[str, str], int] = {}
    for seed in SEEDS:
        for f in findings(list(attack(seed))):
            assert f.risk_interval is not None
            name = (f.knows if f.measure in ("auc", "found") else f.attack, f.measure)
            counts[name] = counts.get(name, 0) + (f.risk_interval[0] <= 0 <= f.risk_interval[1])
            assert not f.clear
    return counts


# --------------------------------------------------------------------------------------------------------- membership


def by_release(x: np.ndarray, released: np.ndarray, some: membership.Candidates) -> list[Attempt]:
    return membership.attack(membership.scores_of_release(x, released, Space(x)), "release", some)


def test_a_release_of_copies_gives_membership_away() -> None:
    x, some = records(600, 0), candidates(600)
    area, found = findings(by_release(x, x[some.member], some))
    assert area.success > 0.99
    assert found.success > 0.99
    assert area.risk > 0.98
    assert found.risk > 0.95
    assert area.clear
    assert found.clear
    assert area.control == pytest.approx(0.5, abs=0.15)
    assert found.control < 0.05


def test_a_release_of_copies_in_other_units_gives_membership_away() -> None:
    x, some = records(600, 0), candidates(600)
    area, _ = findings(by_release(x, (9 * x[some.member] + 3).astype(np.float32), some))
    assert area.success > 0.7
    assert area.clear


def test_noise_does_not_give_membership_away() -> None:
    def attack(seed: int) -> list[Attempt]:
        x = records(600, seed)
        return by_release(x, noise(400, seed), candidates(600, seed))

    assert min(covered(attack).values()) >= 19


def test_persons_that_differ_do_not_look_like_members() -> None:
    """12 persons on each side, far apart, and a release of noise: intervals count persons, not records."""

    def attack(seed: int) -> list[Attempt]:
        rng = np.random.default_rng([seed, 4])
        member = np.arange(480) % 2 == 0
        person = np.where(member, 0, 12) + rng.integers(0, 12, 480)
        x = (3 * rng.standard_normal((24, 5))[person] + rng.standard_normal((480, 5))).astype(np.float32)
        some = membership.Candidates(member, person % 2 == 0, person // 2 % 2 == 0, person)
        return by_release(x, noise(240, seed, 5), some)

    assert min(covered(attack).values()) >= 18


def test_membership_from_the_outputs_of_a_modifier() -> None:
    """Each member is the sole record of its output: the likeliest output is the record itself."""
    x, some = records(300, 0), candidates(300)
    centres = x[some.member]
    nearest = squared_distances(x, centres)
    p = np.exp(-nearest / nearest.mean() * 4)
    p = (p / p.sum(1, keepdims=True)).astype(np.float32)
    scores = membership.scores_of_outputs(x, p, centres, Space(x))
    area, _ = findings(membership.attack(scores, "modifier", some))
    assert area.success > 0.99
    without = membership.scores_of_outputs(x, p, None, Space(x))
    assert set(without) < set(scores)


def test_membership_from_releases_that_the_attacker_makes() -> None:
    """A modifier that returns its own records unchanged, and moves others."""
    x, some = records(400, 0), candidates(400)
    moved = x + np.where(some.member[:, None], 0, 1) * noise(400, 5)
    several = np.stack([moved, moved])
    assert findings(membership.attack(membership.scores_of_releases(x, several, Space(x)), "modifier", some))[0].clear
    narrow = membership.scores_of_releases(x, several[:, :, :3], Space(x))
    assert set(narrow) == {"distance of the release from the mean", "spread of several releases"}


def test_the_score_is_turned_round_where_members_have_less() -> None:
    some = candidates(300)
    scores = {"a": -1.0 * some.member + noise(300, 1)[:, 0] / 3, "b": noise(300, 2)[:, 0]}
    name, score = membership.best(list(membership.scored(scores, some)), some, membership.area)
    assert score[some.member].mean() > score[~some.member].mean()
    assert name in ("a", membership.COMBINED)


def test_each_measure_has_its_own_score() -> None:
    """One score finds a fifth of the members surely and says nothing of the others; another one ranks all a little."""
    some = candidates(2000)
    sure = noise(2000, 1)[:, 0] + 9 * (some.member & (np.arange(2000) % 5 == 0))
    little = noise(2000, 2)[:, 0] + 0.6 * some.member
    ranked, found = membership.attack({"sure": sure, "little": little}, "release", some)
    every = [membership.Scored(n, s[some.known], s) for n, s in (("sure", sure), ("little", little))]
    assert membership.best(every, some, membership.area)[0] == "little"
    assert membership.best(every, some, membership.found_share)[0] == "sure"
    assert findings([found])[0].success > 0.15
    assert findings([ranked])[0].success > 0.62


def test_an_attacker_without_a_release_sees_that_the_sides_differ() -> None:
    some = candidates(600)
    x = records(600, 0)
    same, apart = (
        findings(membership.attack(membership.scores_of_record(z, Space(z)), "record", some))[0]
        for z in (x, x + some.member[:, None] * 3)
    )
    assert not same.clear
    assert apart.clear


# -------------------------------------------------------------------------------------------------------- singling out


def test_copies_are_singled_out() -> None:
    x, other = records(300, 0), records(300, 1)
    found = {f.attack: f for f in findings(singling_out.attempts(x, x, other, (Space(x), Space(x))))}
    assert len(found) == 13
    for f in found.values():
        assert f.success > 0.99, f
        assert f.risk > 0.97, f
        assert f.clear, f


def test_copies_in_other_units_are_singled_out_as_copies_are() -> None:
    x, other = records(300, 0), records(300, 1)
    scale = np.abs(np.linspace(-9, 9, 8))
    units = [(9 * part + 3).astype(np.float32) for part in (x, other)]
    mixed = [(scale * part + 3).astype(np.float32) for part in (x, other)]
    for own, others in (units, mixed):
        spaces = Space(x), Space(own)
        found = {f.attack: f for f in findings(singling_out.attempts(x, own, others, spaces))}
        again = [f for name, f in found.items() if singling_out.OWN_SCALE in name]
        assert len(again) == 6
        for f in again:
            assert f.success > 0.99, f
            assert f.risk > 0.97, f
            assert f.clear, f
        alike = found["all numbers: the neighbourhood of a released record"]
        assert not alike.clear, "on the scale of the originals, no neighbourhood holds an original"


def test_noise_does_not_single_out() -> None:
    def attack(seed: int) -> list[Attempt]:
        x, released = records(200, seed), noise(200, seed)
        return singling_out.attempts(x, released, noise(200, seed + 100), (Space(x), Space(released)))

    assert min(covered(attack).values()) >= 19


def test_statements_by_hand() -> None:
    """Largest and smallest of the first number: 9 and 1; of the originals, 10 alone is above, and two are below."""
    released = np.array([[9.0], [5.0], [1.0]], np.float32)
    originals = np.array([[10.0], [4.0], [0.0], [0.5]], np.float32)
    assert singling_out.extremes(originals, released) == singling_out.Isolated(1, 2)
    assert singling_out.rare_values(np.array([[5.0], [1.0], [1.0]]), released) == singling_out.Isolated(1, 3)
    # Half of the distances to the next released record: 9 +- 2, 5 +- 2, 1 +- 2.
    assert singling_out.neighbourhoods(originals, released) == singling_out.Isolated(2, 3)
    assert singling_out.intervals(originals, released) == singling_out.Isolated(2, 3)
    assert singling_out.cells(originals, released) == singling_out.Isolated(2, 3)


def test_equal_records_make_no_statement() -> None:
    same = np.ones((30, 4), np.float32)
    spaces = Space(records(30, 0, 4)), Space(same)
    assert singling_out.attempts(records(30, 0, 4), same, same, spaces) == []


# ------------------------------------------------------------------------------------------------------------ matching


def test_copies_are_matched_and_noise_is_not() -> None:
    x = records(200, 0)
    for f in findings(matching.attempts(matching.to_originals(x, x, (Space(x), Space(x)), None, None), "unseen")):
        assert (f.success, f.control) == (1.0, 0.0)
        assert f.risk == 1
        assert f.clear

    def attack(seed: int) -> list[Attempt]:
        z, released = records(200, seed), noise(200, seed)
        return matching.attempts(matching.to_originals(z, released, (Space(z), Space(released)), None, None), "unseen")

    assert min(covered(attack).values()) >= 19


def test_copies_in_other_units_are_matched_as_copies_are() -> None:
    x = records(200, 0)
    mixed = (np.abs(np.linspace(-9, 9, 8)) * x + 3).astype(np.float32)
    for released in ((9 * x + 3).astype(np.float32), mixed):
        scores = matching.to_originals(x, released, (Space(x), Space(released)), None, None)
        found = {f.attack: f for f in findings(matching.attempts(scores, "unseen"))}
        for name in ("standardised", "whitened"):
            f = found[f"nearest original, numbers {name} on each side"]
            assert (f.success, f.control, f.clear) == (1.0, 0.0, True)
            assert found[f"nearest original, {name} numbers"].success < 0.2


def test_some_exact_copies_among_wild_records_are_matched_on_the_scale_of_the_originals() -> None:
    x = records(200, 0)
    released = 50 * noise(200, 0) ** 3
    released[::4] = x[::4]
    scores = matching.to_originals(x, released, (Space(x), Space(released)), None, None)
    found = {f.attack: f for f in findings(matching.attempts(scores, "unseen"))}
    assert found["nearest original, standardised numbers"].success >= 0.25
    assert found["nearest original, standardised numbers"].clear
    assert found["nearest original, numbers standardised on each side"].success < 0.1


def test_an_attacker_with_the_modifier_matches_by_outputs_or_by_its_own_releases() -> None:
    x = records(60, 0)
    even = np.full((60, 4), 0.25, np.float32)
    name = ("original with the highest probability of this output", "modifier")
    scores = matching.to_originals(
        x, noise(60, 0), (Space(x), Space(noise(60, 0))), (even, np.zeros(60, np.int64)), None
    )
    assert matching.attempts({name: scores[name]}, "unseen")[0].finding(1).success == pytest.approx(1 / 60)
    turned = x[:, ::-1].copy()  # far from its original, near to the attacker's own releases
    spaces = Space(x), Space(turned)
    scores = matching.to_originals(x, turned, spaces, None, turned[None] + 0.01 * noise(60, 1))
    own = [f for f in findings(matching.attempts(scores, "unseen")) if f.knows == "modifier"]
    assert [f.success for f in own] == [1.0, 1.0]


def test_two_releases_are_linked_where_records_stay_together() -> None:
    x = records(200, 0)
    small = [x + 0.01 * noise(200, seed) for seed in (1, 2)]
    assert all(f.clear for f in findings(matching.attempts(matching.two_releases(*small), "fitted")))
    large = [noise(200, seed) for seed in (1, 2)]
    assert not any(f.clear for f in findings(matching.attempts(matching.two_releases(*large), "fitted")))


def test_pairs_of_outputs_by_hand() -> None:
    """In the population, outputs 0 and 1 go together, and 2 and 3."""
    population = np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    first, second = np.array([0, 2]), np.array([1, 3])
    blank = np.zeros((2, 3), np.float32)
    scores = matching.two_releases(blank, blank, population, (first, second))
    assert scores["most frequent pair of outputs", "modifier"] == pytest.approx(np.array([[2.0, 0.0], [0.0, 2.0]]))


# ------------------------------------------------------------------------------------------------------ reconstruction


def reconstruction(x: np.ndarray, after: np.ndarray) -> list[Attempt]:
    own, test = np.arange(200), np.arange(200, len(x))
    goal = Goal.of(x, own, test)
    return attempts(goal, reconstruct(goal, after[own], after[test]))


def reconstructed(x: np.ndarray, after: np.ndarray) -> tuple[RiskFinding, ...]:
    return findings(reconstruction(x, after))


def test_a_linear_map_is_undone_and_noise_is_not() -> None:
    x = records(400, 0)
    turn = np.linalg.qr(noise(8, 3))[0]
    linear, kernel = reconstructed(x, x @ turn)
    assert linear.risk > 0.98
    assert kernel.risk > 0.6
    assert linear.clear
    assert linear.control < 0.05


def test_noise_does_not_reconstruct() -> None:
    for name, count in covered(lambda seed: reconstruction(records(300, seed), noise(300, seed))).items():
        assert count >= 19, name


def test_one_of_four_independent_numbers_is_a_quarter_of_the_variance() -> None:
    x = noise(3000, 0, 4)
    linear, _ = reconstructed(x, x[:, :1])
    assert linear.success == pytest.approx(0.25, abs=0.03)
    assert linear.success_interval[1] - linear.success_interval[0] < 0.05


def test_a_square_is_undone_by_the_kernel_alone() -> None:
    x = noise(800, 0, 2)
    angle = np.arctan2(x[:, 1], x[:, 0])
    after = np.stack([np.cos(2 * angle), np.sin(2 * angle), np.abs(x).sum(1)], axis=1).astype(np.float32)
    x[angle < 0] *= -1
    linear, kernel = reconstructed(x, after)
    assert kernel.success > linear.success + 0.1


def test_a_classifier_of_originals_reads_what_is_reconstructed() -> None:
    """The first of two numbers is released. It decides one attribute; the other number decides another one."""
    x = noise(900, 0, 2)
    own, test = np.arange(400), np.arange(400, 900)
    goal = Goal.of(x, own, test)
    predicted = reconstruct(goal, x[own, :1], x[test, :1])[0].predicted
    shown, hidden = (
        infer(goal, predicted, name, (labels[own], labels[test]), 0.95)
        for name, labels in (("a", (x[:, 0] > 0).astype(int)), ("b", (x[:, 1] > 0).astype(int)))
    )
    assert shown.after > 0.9
    assert shown.low > 0.8
    assert hidden.before > 0.95
    assert hidden.low < 0.1
    assert infer(goal, predicted, "c", (np.zeros(400, int), np.zeros(500, int)), 0.95) is None
    assert infer(goal, predicted, "c", (np.arange(400) % 2, np.full(500, -1)), 0.95) is None


def test_a_classifier_counts_persons_whose_records_are_predicted_alike() -> None:
    """Released records tell persons apart, and nothing of their class. The attacker has no record of tested persons."""
    clear = {True: 0, False: 0}
    runs = 60
    for seed in range(runs):
        rng = np.random.default_rng([seed, 9])
        owner = np.repeat(np.arange(40), 25)
        label = rng.permutation(np.arange(40) % 2)[owner]
        own, test = np.flatnonzero(owner < 20), np.flatnonzero(owner >= 20)
        x = np.stack([label + 0.1 * rng.standard_normal(1000), rng.standard_normal(1000)], 1).astype(np.float32)
        goal = Goal.of(x, own, test)
        alike = rng.standard_normal(40)[owner[test]][:, None] * np.ones((1, goal.own.shape[1]), np.float32)
        for known in (True, False):
            unit = owner[test] if known else None
            found = infer(goal, alike, "a", (label[own], label[test]), 0.95, unit)
            assert found is not None
            clear[known] += found.low is not None and found.low > 0.05
    assert clear[False] > runs * 0.1, "each record counted as independent"
    assert clear[True] <= runs * 0.05


# ------------------------------------------------------------------------------------------------------------ findings


def test_more_attacks_make_a_clear_risk_harder() -> None:
    def at(confidence: float) -> tuple[Share, Share]:
        from sordine.metrics.risk import share

        return share(16, 100, confidence), share(2, 200, confidence)

    attempt = Attempt("a", "release", "both", "share", at, 100, 200)
    one, many = attempt.finding(1), attempt.finding(50)
    assert one.risk_interval == many.risk_interval
    assert one.least == pytest.approx(one.risk_interval[0])
    assert many.least < one.least
    assert one.clear
    assert not many.clear


def test_a_control_that_always_succeeds_leaves_no_risk() -> None:
    sure = Share(1.0, 0.9, 1.0)
    found = Attempt("a", "release", "both", "share", lambda confidence: (sure, sure), 10, 10).finding(1)
    assert (found.risk, found.risk_interval, found.least, found.clear) == (None, None, None, False)
