"""Flow: witnesses and steps on worked examples, data with known truth, and the choice of a space."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.alignment.network import Aligned
from sordine.methods.alignment.space import Alignment, explained_variance, held_out_probabilities, learnable, monge
from sordine.methods.fit import fit
from sordine.methods.flow.method import STANDARDISED, Flow, groupings_of
from sordine.methods.flow.modifier import FlowModifier, gridded
from sordine.methods.flow.neighbours import (
    FAR,
    KernelNeighbours,
    bandwidth_of,
    distances,
    kernel_mean,
    neighbourhood_size,
)
from sordine.methods.flow.space_selection import (
    Candidate,
    Selection,
    choose,
    correct,
    correct_of_fit,
    counted,
    expected_best,
    first_within,
    inferred,
    splits_of,
)
from sordine.methods.flow.witness import Witnesses, heights, stepped, waves, witness
from sordine.methods.registry import load, make
from sordine.models.fingerprints import fingerprints
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(0)
FAST = {"space": "standardised", "size": 8, "rounds": 60, "features": 200, "parts": 1}  # about the inside of one map


def test_a_witness_worked_out_by_hand():
    # One feature, +1 for the two records of class 0 and -1 for those of class 1: slope = (1/2) / (1 + ridge).
    features = torch.tensor([[3.0], [3.0], [1.0], [1.0]])  # centred +1 and -1
    codes = torch.tensor([0, 0, 1, 1])
    assert torch.allclose(witness(features, codes, 2, 0.25), torch.tensor([[0.4, -0.4]]), atol=1e-6)
    # What does not depend on the class has no witness.
    assert witness(torch.tensor([[3.0], [1.0], [3.0], [1.0]]), codes, 2, 0.25).abs().max() < 1e-6


def test_the_gradient_of_a_witness_is_its_derivative():
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 3, generator=generator, requires_grad=True)
    directions, phases = torch.randn(3, 7, generator=generator), torch.rand(7, generator=generator)
    slopes, told = torch.randn(7, 2, generator=generator), torch.rand(5, 2, generator=generator)
    mean = torch.rand(7, generator=generator)
    height, gradient = heights(z @ directions + phases, directions, mean, slopes, told)
    by_hand = (told * ((waves(z @ directions + phases) - mean) @ slopes)).sum(1)
    assert torch.allclose(height, by_hand)
    (wanted,) = torch.autograd.grad(height.sum(), z)
    assert torch.allclose(gradient, wanted, atol=1e-5)


def test_a_step_worked_out_by_hand():
    z, gradient = torch.tensor([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]), torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 0.0]])
    height = torch.tensor([1.0, -1.0, 1.0])
    # 0.5 * 1 / (4 + 1) * 2 = 0.2, down where the height is above 0 and up where it is below; where it is flat a record
    # stays.
    found = stepped(z, height, gradient, 0.5, torch.tensor(1.0))
    assert torch.allclose(found, torch.tensor([[0.8, 1.0], [1.2, 1.0], [1.0, 1.0]]))


def test_the_map_between_covariances_worked_out_by_hand():
    # One axis: a deviation of 2 goes to one of 6, threefold. Two that share no axes: symmetric, and the covariance
    # asked.
    assert torch.allclose(monge(torch.tensor([[4.0]]), torch.tensor([[36.0]])), torch.tensor([[3.0]]), atol=1e-5)
    covariance = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    target = torch.tensor([[1.0, -0.5], [-0.5, 4.0]], dtype=torch.float64)
    found = monge(torch.stack([covariance, target]), target)
    assert torch.allclose(found, found.mT)
    assert torch.allclose(found[0] @ covariance @ found[0], target)
    assert torch.allclose(found[1], torch.eye(2, dtype=torch.float64))


def test_classes_that_differ_by_their_covariance_alone_are_brought_together():
    """Correlations of +.9 and -.9 in two classes with equal means and deviations; a kernel machine infers them."""
    rng = np.random.default_rng(0)
    secret = torch.arange(2000) % 2
    first, second = rng.standard_normal((2, 2000, 2)).astype(np.float32)
    sign = np.where(secret[:, None] == 0, 0.9, -0.9)
    x = torch.from_numpy(np.concatenate([first, sign * first + np.sqrt(1 - 0.81) * second], 1).astype(np.float32))
    table = clusters(2000)

    def code(covariances: bool, x: torch.Tensor, secret: torch.Tensor) -> torch.Tensor:
        space = Alignment(size=4, axes=4, rounds=0, covariances=covariances).learn(
            table, Policy(("sex",)), Run(key=KEY), x, secret, torch.zeros(len(x), dtype=torch.long)
        )
        member = torch.nn.functional.one_hot(secret, int(secret.max()) + 1).float()
        return space.code(space.components(space.ranks(x), member), member)

    def read(z: torch.Tensor) -> float:
        return SVC().fit(z[:1000].numpy(), secret[:1000]).score(z[1000:].numpy(), secret[1000:])

    assert read(code(False, x, secret)) > 0.9
    made = code(True, x, secret)
    assert read(made) < 0.6
    apart = [torch.cov(made[secret == s].T) for s in (0, 1)]
    # Not wholly: four records of all are counted with the thousand of a class, whose least axis varies by a tenth.
    assert (apart[0] - apart[1]).abs().max() < 0.06
    few = torch.cat([secret[:400], torch.tensor([2, 2])])
    assert code(True, x[:402], few).isfinite().all()


def test_groupings_are_the_partitions_that_differ():
    secret = torch.tensor([0, 0, 1, 2, 2])
    person, sex = np.array([7, 7, 8, 9, 9]), np.array([1, 1, 0, 1, 1])
    assert groupings_of([person, sex], secret).tolist() == [[0, 1, 2], [0, 1, 0]]
    assert groupings_of([person], secret).tolist() == [[0, 1, 2]]


def test_steps_taken_again_are_those_that_were_learnt():
    generator = torch.Generator().manual_seed(1)
    z, secret = torch.randn(80, 4, generator=generator), torch.arange(80) % 2
    z[secret == 1] += 0.5
    told = torch.nn.functional.one_hot(secret, 2).float()
    steps = Witnesses(20, 4, 30, 2, 1, 0.3)
    steps.groupings = torch.tensor([[0, 1]])
    steps.draw(generator)
    moved = z
    for r in range(20):
        moved = steps.learn(r, moved, secret, told, 0.01)
    again = z
    for r in range(20):
        again = steps.take(r, again, told)
    assert torch.allclose(again, moved, atol=1e-5)
    apart = lambda at: float((at[secret == 0].mean(0) - at[secret == 1].mean(0)).norm())  # noqa: E731
    assert apart(moved) < 0.5 * apart(z)


def test_a_vote_worked_out_by_hand():
    # Voters at squared distances 0 and 2 ln 3, width 1: heard 3 to 1. Worth 1 and -1: mean 1/2; in the slope 3/4 (1 -
    # 1/2), 1/4 (-1 - 1/2).
    apart, worth = torch.tensor([[0.0, 2 * math.log(3)]]), torch.tensor([[1.0, -1.0]])
    mean, slope = kernel_mean(apart, worth, torch.tensor(1.0))
    assert torch.allclose(mean, torch.tensor([0.5]))
    assert torch.allclose(slope, torch.tensor([[0.375, -0.375]]))
    # Who has no vote is not heard.
    assert torch.allclose(kernel_mean(torch.tensor([[FAR, 2.0]]), worth, torch.tensor(1.0))[0], torch.tensor([-1.0]))
    assert torch.allclose(distances(torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 6.0]])), torch.tensor([[25.0]]))


def polled(step: float = 0.2) -> tuple[KernelNeighbours, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Forty records of two classes, thirty of which have voted once."""
    generator = torch.Generator().manual_seed(3)
    z, secret = torch.randn(40, 3, generator=generator).half().float(), torch.arange(40) % 2
    z[secret == 1] += 0.5
    told = torch.nn.functional.one_hot(secret, 2).float()
    votes, prints = KernelNeighbours(1, 30, 3, step), torch.arange(40)
    moved = votes.learn(0, z, secret, told, torch.tensor([0, 1]), prints, torch.arange(30))
    return votes, z, told, prints, moved


def test_the_gradient_of_a_vote_is_its_derivative():
    votes, z, told, prints, _ = polled()
    z = z.double().requires_grad_()
    height, gradient = votes.excess(0, z, told.double(), torch.tensor([0, 1]), prints)
    (wanted,) = torch.autograd.grad(height.sum(), z)
    assert torch.allclose(gradient, wanted, atol=1e-6)


def test_a_record_does_not_hear_itself_and_steps_are_taken_again_alike():
    votes, z, told, prints, moved = polled()
    grouping = torch.tensor([0, 1])
    assert torch.allclose(votes.take(0, z, told, grouping, prints), moved, atol=1e-6)
    near = votes.apart(0, z, prints)
    assert (near.diagonal() == FAR).all()  # the first thirty vote
    assert (near < FAR).sum() == 40 * 30 - 30
    # A stranger who stands where one of them does hears him.
    assert (votes.apart(0, z, prints + 100).diagonal() < 1e-3).all()
    higher, _ = votes.excess(0, z[:30], told[:30], grouping, prints[:30] + 100)
    lower, _ = votes.excess(0, z[:30], told[:30], grouping, prints[:30])
    assert (higher > lower).all()  # his class is the record's own


def test_records_have_the_same_fingerprint_only_where_they_are_the_same():
    x = torch.randn(500, 7, generator=torch.Generator().manual_seed(0))
    assert len(fingerprints(x).unique()) == 500
    assert torch.equal(fingerprints(x.reshape(500, 7, 1))[3:5], fingerprints(x[3:5]))
    other = x.clone()
    other[:, 2] = torch.nextafter(other[:, 2], torch.tensor(9.0))
    assert (fingerprints(other) != fingerprints(x)).all()


def families(number: int, members: int = 20) -> Table:
    """Return families of near records of one class, anywhere on the first number, whose sign is not named."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((number, 30)), members, 0) + 0.8 * rng.standard_normal((number * members, 30))
    x[:, 0] *= 3
    secret = np.repeat(rng.integers(0, 2, number), members)
    return Table.of(x, {"secret": [f"s{c}" for c in secret], "side": ["left" if v < 0 else "right" for v in x[:, 0]]})


@pytest.mark.slow
def test_what_only_neighbours_tell_is_gone_after_votes_and_not_without():
    table = families(50)
    settings = {"space": "standardised", "size": 30, "noise": 0.0, "features": 100, "rounds": 150}

    def alike(x):
        nearest = NearestNeighbors(n_neighbors=2).fit(x).kneighbors(x, return_distance=False)[:, 1]
        return float((table.y["secret"][nearest] == table.y["secret"]).mean())

    read, kept = {}, {}
    for votes in (0, 5):
        method = make("flow", settings | {"votes": votes})
        released = transform(fit(table, Policy(("secret",)), method, run=Run(key=KEY)), table, KEY)
        read[votes] = alike(released.x)
        model = LogisticRegression(max_iter=500).fit(released.x[::2], table.y["side"][::2])
        kept[votes] = model.score(released.x[1::2], table.y["side"][1::2])
    assert read[0] > 0.8
    assert abs(read[5] - 0.5) < 0.15, read
    assert kept[5] > 0.8


@pytest.mark.parametrize(("rounds", "votes", "after"), [(10, 5, [4, 9]), (7, 3, [3, 6]), (4, 0, []), (3, 9, [])])
def test_votes_are_spread_over_the_rounds(rounds, votes, after):
    times = rounds // votes if votes else 0
    modifier = FlowModifier(Aligned(5, 2, 4, 4, 3), rounds, 6, 1, 0.2, times, 4)
    assert [r for r in range(rounds) if modifier.neighbour_step_after(r) is not None] == after
    assert [t for r in range(rounds) if (t := modifier.neighbour_step_after(r)) is not None] == list(range(times))


@pytest.fixture(scope="module")
def table():
    return clusters(1200)


@pytest.fixture(scope="module")
def flown(table):
    return fit(table, Policy(("person", "sex")), make("flow", FAST), run=Run(key=KEY))


@pytest.mark.slow
def test_what_is_suppressed_is_read_before_and_not_after(table, flown):
    released = transform(flown, table, KEY)
    split = table.with_split(Policy(("person", "sex")), KEY).split
    read: dict[str, list[float]] = {}
    for name in ("person", "sex", "word"):
        for x in (table.x, released.x):
            model = SVC(C=3).fit(x[split], table.y[name][split])
            read.setdefault(name, []).append(model.score(x[~split], table.y[name][~split]))
    guess = {name: np.bincount(table.y[name]).max() / len(table) for name in read}
    assert read["person"][0] > 0.9
    assert read["person"][1] < guess["person"] + 0.1
    assert read["sex"][1] < guess["sex"] + 0.1
    assert read["word"][1] > 0.9  # which nobody named


@pytest.mark.slow
def test_without_noise_a_record_is_released_alike_every_time_and_after_loading(table, tmp_path):
    flown = fit(table, Policy(("person", "sex")), make("flow", FAST | {"noise": 0.0}), run=Run(key=KEY))
    first = transform(flown, table, KEY)
    assert (transform(flown, table, Key.of_seed(5)).x == first.x).all()
    flown.save(tmp_path / "m")
    assert (transform(load(tmp_path / "m"), table, KEY).x == first.x).all()
    assert not flown.discrete
    assert "deterministic" in flown.card.notes[0]
    # Of as many numbers as the code has, in every direction of x.
    assert np.linalg.matrix_rank(first.x - flown.record[-1].numpy(), tol=1e-3) <= FAST["size"]


def test_noise_is_what_is_added_to_the_code(table, flown):
    x = torch.from_numpy(table.x)
    code = flown.code(x)
    assert flown.noise == FAST["size"]
    # The median draw adds nothing; that of 0.8413 (one standard deviation) adds sigma to every number.
    half = torch.full(code.shape, 0.5)
    assert torch.equal(flown.drawn(code, half), code)
    one = flown.drawn(code, torch.full(code.shape, 0.84134475)) - code
    assert torch.allclose(one, torch.full_like(one, 0.1), atol=1e-3)  # twice that where classes are matched
    assert (Flow().noise_in("matched"), Flow(noise=0.0).noise_in("matched")) == (0.2, 0.0)
    # In units of the code's own numbers before they moved.
    space = flown.space
    ranks = space.ranks(x)
    before = (
        space.code(space.components(ranks, space.class_probabilities(ranks)), space.class_probabilities(ranks))
        / flown.unit
    )
    assert 0.8 < float(before.std()) < 1.2
    assert "average the noise away" in flown.card.notes[0]


def test_products_with_the_code_are_exact_in_any_order(flown, table):
    """So that a record's bits do not hang on its place in a block."""
    code, slopes = flown.code(torch.from_numpy(table.x)), flown.record[:-1].double()
    forward = sum(code[:, i, None] * slopes[i] for i in range(flown.size))
    back = sum(code[:, i, None] * slopes[i] for i in reversed(range(flown.size)))
    assert torch.equal(forward, back)
    assert torch.equal(forward, code @ slopes)


@pytest.mark.slow
def test_what_is_shown_to_quick_attackers_is_as_far_apart_as_what_is_released(flown, table):
    x = torch.from_numpy(table.x)
    noise = torch.rand(len(x), flown.size, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6)
    released = flown(x, noise).x.double()
    released /= released.std(0, correction=0)
    apart = torch.cdist(released[:50], released[50:100])
    found = torch.cdist(flown.compressed(x, noise)[:50], flown.compressed(x, noise)[50:100])
    assert torch.allclose(found, apart, rtol=1e-3)  # codes in single precision


def test_what_comes_back_tells_a_white_box_attacker_the_way(flown, table):
    x = torch.from_numpy(table.x[:5]).requires_grad_()
    flown(x, torch.full((5, flown.noise), 0.5)).x.square().sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("settings", [{}, {"space": "standardised", "size": 3}])
def test_records_that_do_not_vary_within_their_classes_are_refused(settings):
    table = clusters(60)
    vectors = np.random.default_rng(0).standard_normal((4, table.width)).astype(np.float32)
    table.x[:] = vectors[table.y["person"] % 4]
    with pytest.raises(SordineError, match="do not vary within the classes of person"):
        fit(table, Policy(("person",)), make("flow", settings), run=Run(key=KEY))


@pytest.mark.parametrize("fields", [{"noise": "loud"}, {"rounds": float("nan")}, {"features": None}])
def test_what_is_no_number_is_refused(fields):
    (option,) = fields
    with pytest.raises(SordineError, match=f"'flow': {option} = "):
        Flow(**fields)


def test_a_folder_holds_the_steps_whatever_the_noise(table, tmp_path, monkeypatch):
    policy = Policy(("person",))
    made = [fit(table, policy, make("flow", FAST), run=Run(key=KEY, folder=tmp_path))]
    monkeypatch.setattr(Witnesses, "learn", None)  # nothing is learnt any more
    made.append(fit(table, policy, make("flow", FAST | {"noise": 0.5}), run=Run(key=KEY, folder=tmp_path)))
    one, other = (m.state_dict() for m in made)
    assert all(torch.equal(one[k], other[k]) for k in one if k != "sigma")
    assert float(made[1].sigma) == 0.5


@pytest.mark.slow
def test_what_is_preserved_by_name_changes_nothing(table, flown):
    """`flow` does not use it, so that records without that label are learnt from too."""
    named = fit(
        table.with_split(Policy(("person", "sex")), KEY),
        Policy(("person", "sex"), ("word",)),
        make("flow", FAST),
        run=Run(key=KEY),
    )
    assert (transform(named, table, KEY).x == transform(flown, table, KEY).x).all()
    assert named.card.policy["preserve"] == ["word"]


def test_records_are_told_apart_by_readers_that_have_not_seen_them():
    """With labels that mean nothing, a reader that saw them knows them; one that did not is at chance."""
    table = clusters(300)
    rng = np.random.default_rng(99)
    table.y["person"][:] = rng.integers(0, 2, 300)
    _, x, secret = learnable(table, Policy(("person",)), 0, "flow")
    space = Alignment(size=4, axes=4, rounds=0).learn(
        table, Policy(("person",)), Run(key=KEY), x, secret, torch.zeros(300, dtype=torch.long)
    )
    ranks = space.ranks(x)
    told = held_out_probabilities(space, ranks, secret, 0)
    right = lambda p: float((p.argmax(1) == secret).float().mean())  # noqa: E731
    assert torch.allclose(told.sum(1), torch.ones(300), atol=1e-4)
    assert right(told) < 0.6
    assert right(told) < right(space.class_probabilities(ranks)) - 0.02


def test_what_is_held_back_is_of_classes_that_have_enough():
    secret = torch.tensor([0] * 20 + [1] * 12 + [2])
    splits = splits_of(secret, 0)
    assert len(splits) == 4
    assert sorted(np.concatenate([b for _, b in splits]).tolist()) == list(range(32))  # each in turn, but the lone one
    for a, b in splits:
        assert sorted([*a, *b]) == list(range(33))
    assert splits_of(torch.arange(9), 0) == []
    assert len(splits_of(torch.zeros(4000, dtype=torch.long), 0)) == 1


class Fixed:
    """A made-up flow: what it releases tells the class as loudly as it is asked to."""

    size = 2

    def __init__(self, loud: float, secret: torch.Tensor, x: torch.Tensor) -> None:
        self.loud, self.secret, self.x = loud, secret, x

    def compressed(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return torch.special.ndtri(noise) + self.loud * x[:, :1]


def chosen(loud: dict[int, float]) -> tuple[Candidate, dict]:
    secret = torch.arange(600) % 2
    x = secret[:, None].float() + 0.01
    candidates = [Candidate("standardised", s) for s in loud]
    return choose(
        candidates, lambda c, rows: Fixed(loud[c.size], secret, x), Selection(x, [secret], secret), 0.05, Run(key=KEY)
    )


@pytest.mark.slow
def test_the_first_space_that_holds_is_chosen():
    candidate, found = chosen({64: 3.0, 40: 0.0, 24: 0.0})
    assert candidate.size == 40
    assert found["held"]
    assert found["tried"]["64 numbers, standardised"] > 0.5
    _, found = chosen({64: 0.0, 40: 0.0, 24: 0.0})
    assert set(found["tried"]) == {"64 numbers, standardised"}, "the others are not tried"


@pytest.mark.slow
def test_where_no_space_holds_the_one_that_tells_least_is_chosen():
    candidate, found = chosen({64: 4.0, 40: 3.0, 24: 1.0})
    assert candidate.size == 24
    assert not found["held"]
    assert found["held_back"] == min(found["tried"].values()) > 0.05


@pytest.mark.slow
def test_every_attribute_that_can_be_read_is_held_to_the_limit():
    """An attribute that nobody can read excuses nothing, and one of a single class is no obstacle."""
    secret = torch.arange(600) % 2
    x = secret[:, None].float() + 0.01
    idle = torch.from_numpy(np.random.default_rng(3).integers(0, 3, 600))
    lone = torch.zeros(600, dtype=torch.long)
    candidates = [Candidate("standardised", 8), Candidate("standardised", 4)]
    made = lambda c, rows: Fixed({8: 2.0, 4: 0.0}[c.size], secret, x)  # noqa: E731
    candidate, found = choose(candidates, made, Selection(x, [idle, secret, lone], secret), 0.05, Run(key=KEY))
    assert candidate.size == 4
    assert found["tried"]["8 numbers, standardised"] > 0.3
    candidate, found = choose(candidates, made, Selection(x * 0, [idle], idle), 0.05, Run(key=KEY))
    assert (candidate.size, found["held"]) == (8, None)


def test_whole_groups_are_held_back_where_classes_allow_it():
    secret, group = torch.arange(400) % 2, np.arange(400) // 10
    for a, b in splits_of(secret, 0, group):
        assert not set(group[a]) & set(group[b])
    for groups in (4, 6):  # fewer than sixteenths: quarters
        few = np.arange(600) % groups
        splits = splits_of(torch.arange(600) // 10 % 2, 0, few)
        assert len(splits) == 4
        assert all(not set(few[a]) & set(few[b]) for a, b in splits)
    own = secret.numpy()  # a class is a group: none can be held back whole
    assert splits_of(secret, 0, own)[0][1].tolist() == splits_of(secret, 0)[0][1].tolist()


@pytest.mark.slow
def test_a_shared_folder_holds_no_space_of_another_policy(table, tmp_path):
    """Transport matches within what is preserved, flow does not: neither may take the other's space."""
    policy, run = Policy(("person",), ("word",)), Run(key=KEY, folder=tmp_path)
    settings = FAST | {"space": "matched", "size": 12, "rounds": 3}
    fit(table, policy, make("transport", {"cells": 24}), run=run)
    shared = fit(table, policy, make("flow", settings), run=run)
    alone = fit(table, policy, make("flow", settings), run=Run(key=KEY))
    assert torch.equal(shared.space.maps, alone.space.maps)


@pytest.mark.slow
@pytest.mark.parametrize("records", [12, 30, 50])
def test_few_records_are_enough_to_choose_by(records):
    modifier = fit(clusters(records), Policy(("sex",)), make("flow", {"rounds": 3, "features": 20}), run=Run(key=KEY))
    assert 1 <= modifier.card.fit["size"] <= max(1, records // 4)
    assert modifier.card.fit["tried"] or modifier.card.fit["held"] is None


def test_few_records_are_held_back_a_sixteenth_at_a_time_where_every_class_has_them():
    secret = torch.arange(400) % 2
    splits = splits_of(secret, 0)
    assert len(splits) == 16
    assert all(len(a) == 375 and len(b) == 25 for a, b in splits)
    assert len(splits_of(torch.tensor([0] * 300 + [1] * 7), 0)) == 4
    assert len(splits_of(torch.arange(1200) % 2, 0)) == 4


def test_attackers_learn_from_every_class_however_rare():
    y = np.zeros(6000, np.int64)
    y[[17, 5000]] = 1
    truth = np.array([0, 1] * 10)
    x = np.random.default_rng(0).standard_normal((6000, 2))
    assert correct(x, y, x[:20], truth).shape == (8, 20)


def test_columns_of_very_different_scales_are_all_released():
    generator = torch.Generator().manual_seed(0)
    record = torch.randn(5, 3, generator=generator) * torch.tensor([1e12, 1.0, 1e-20])
    made = gridded(record)
    assert torch.allclose(made, record, rtol=1e-5, atol=0)
    # On a grid: so many binary digits below the largest of the column.
    top = record[:-1].double().abs().amax(0).log2().ceil()
    places = made[:-1].double() / 2.0 ** (top - 24)
    assert torch.equal(places, places.round())


def test_covariances_can_be_left_as_they_are(table):
    policy, small = Policy(("person",)), FAST | {"rounds": 2}
    one, other = (fit(table, policy, make("flow", small | {"covariances": c}), run=Run(key=KEY)) for c in (0, 1))
    assert not torch.equal(one.space.maps, other.space.maps)
    assert torch.equal(one.space.maps[0], one.space.maps[1])


def test_steps_that_were_cut_short_are_learnt_again(table, tmp_path):
    policy, small = Policy(("person",)), make("flow", FAST | {"rounds": 2})
    made = fit(table, policy, small, run=Run(key=KEY, folder=tmp_path))
    (file,) = tmp_path.glob("flow-*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    again = fit(table, policy, small, run=Run(key=KEY, folder=tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(made.buffers(), again.buffers(), strict=True))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_refused(seed):
    with pytest.raises(SordineError, match="it must be a whole number from 0 to"):
        Run(seed=seed)


@pytest.mark.slow
def test_a_fit_says_which_space_it_chose(table):
    said: list[str] = []
    small = FAST | {"space": "chosen", "size": 5, "rounds": 10, "limit": 1e-6}
    modifier = fit(
        table.take(np.arange(300)), Policy(("person",)), make("flow", small), run=Run(key=KEY, log=said.append)
    )
    tried = modifier.card.fit["tried"]
    assert tried
    assert f"{modifier.card.fit['size']} numbers, {modifier.card.fit['space']}" in tried
    assert set(tried) <= {"5 numbers, standardised", "5 numbers, matched"}
    assert sum("NAG from records" in line for line in said) == len(tried)


def test_the_matched_space_is_tried_early_where_classes_share_their_axes():
    names = lambda shared: [str(c) for c in make("flow").candidates(400, shared)]  # noqa: E731
    standardised = [f"{n} numbers, standardised" for n in (256, 192, 128, 96, 64, 40, 24)]
    assert names(0.5) == [standardised[0], "12 numbers, matched", *standardised[1:]]
    assert names(0.3) == [*standardised, "12 numbers, matched"]
    assert [str(c) for c in make("flow").candidates(50)][:2] == ["40 numbers, standardised", "24 numbers, standardised"]
    assert [str(c) for c in make("flow").candidates(10)] == ["10 numbers, standardised", "10 numbers, matched"]
    assert str(make("flow", {"size": 50}).candidates(60)[0]) == "50 numbers, standardised"


def test_the_share_that_a_code_holds():
    """Axes of equal variance: 2 of 4 hold a half, all of them everything."""
    table, secret = clusters(300), torch.arange(300) % 2
    x = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    for size, share in ((2, 0.5), (4, 1.0)):
        space = Alignment(size=size, axes=4, rounds=0).learn(
            table, Policy(("sex",)), Run(key=KEY), x, secret, torch.zeros(300, dtype=torch.long)
        )
        assert explained_variance(space, space.ranks(x), secret) == pytest.approx(share, abs=0.06)


def test_too_few_records_to_choose_by_is_said(table):
    few = table.take(np.concatenate([np.flatnonzero(table.y["person"] == p)[:2] for p in range(4)]))
    with pytest.raises(SordineError, match=r"hold out .*size=2"):
        make("flow", {}).fit(few, Policy(("person",)), Run(key=KEY))


def test_too_few_records_of_every_group_to_choose_by_is_said(table):
    few = replace(table.take(np.arange(8)), group=np.arange(8))
    few.y["person"][:] = [0, 0, 0, 1, 1, 1, 2, 2]
    with pytest.raises(SordineError, match=r"hold out .*size=2"):
        make("flow", {}).fit(few, Policy(("person",)), Run(key=KEY))


@pytest.mark.parametrize(("records", "same"), [(60, 50), (60, 57), (7, 5)])
def test_records_that_are_the_same_have_no_vote_on_each_other(records, same):
    table = clusters(records, people=2)
    table.x[:same] = table.x[0]
    table.y["person"][:] = np.arange(records) % 2
    settings = {"space": "standardised", "size": 2, "rounds": 10, "features": 20, "parts": 1}
    try:
        modifier = fit(table, Policy(("person",)), make("flow", settings), run=Run(key=KEY))
    except SordineError as refused:
        assert "do not vary" in str(refused) or "too few" in str(refused)  # noqa: PT017
        return
    assert float(modifier.votes.width.max() if len(modifier.votes.width) else 0) < 100
    assert np.isfinite(transform(modifier, table, KEY).x).all()


def test_how_far_one_is_heard_worked_out_by_hand():
    apart = torch.tensor([[1.0, 3.0, 9.0], [2.0, 10.0, FAR], [5.0, FAR, FAR]])
    # Between the nearest and the farthest that has a vote: 8 and 8; the last record hears one alone.
    assert float(bandwidth_of(apart, 20)) == pytest.approx(2**0.5)
    assert float(bandwidth_of(apart[2:], 20)) == 1.0
    # Of the first two alone: 2 and 8.
    assert float(bandwidth_of(apart[:2], 2)) == pytest.approx((2 / 4) ** 0.5)


def test_a_narrow_and_a_wide_circle_are_heard_by_turns():
    assert [neighbourhood_size(time, 2000, (0.03, 0.1)) for time in range(4)] == [60, 200, 60, 200]
    assert [neighbourhood_size(time, 100, (0.03, 0.1)) for time in range(2)] == [20, 20]


def test_circles_are_heard_where_they_are_asked_for(table):
    small = FAST | {"space": "standardised", "size": 4, "rounds": 12, "votes": 3}
    few, turns = (
        fit(table, Policy(("person",)), make("flow", small | {"circles": circles}), run=Run(key=KEY))
        for circles in (False, True)
    )
    voters = few.votes.voters.shape[1]
    assert round(0.1 * voters) > 20, "more than the 20 nearest"
    assert turns.votes.width[1] > 1.2 * few.votes.width[1]
    assert torch.equal(turns.votes.width[:1], few.votes.width[:1]) == (round(0.03 * voters) <= 20)


def test_a_wide_circle_reaches_farther():
    rng = np.random.default_rng(0)
    z, secret = torch.from_numpy(rng.standard_normal((1200, 2))), torch.from_numpy(rng.integers(0, 2, 1200))
    votes, told = KernelNeighbours(2, 600, 2, 1.0), torch.nn.functional.one_hot(secret, 2).double()
    for time, near in enumerate((20, 60)):
        votes.learn(time, z, secret, told, torch.arange(2), torch.arange(1200), torch.arange(600), near)
    assert votes.width[1] > 1.5 * votes.width[0]


def test_the_best_of_many_that_know_nothing_is_expected_above_the_guess():
    draws = np.random.default_rng(0).standard_normal((20000, 26))
    assert expected_best(26) == pytest.approx(draws.max(1).mean(), abs=0.03)
    for readers in (10, 13, 20):
        assert expected_best(readers) == pytest.approx(draws[:, :readers].max(1).mean(), abs=0.03)


@pytest.mark.slow
def test_of_spaces_that_tell_as_little_as_luck_the_last_is_taken():
    candidate, found = chosen({64: 1.0, 40: 0.45, 24: 0.45, 12: 0.9})
    assert not found["held"]
    assert candidate.size == 24


@pytest.mark.slow
def test_what_records_of_the_fit_tell_by_their_least_likely_class_counts():
    """Records in pairs at one place, one of each class, as steps that overfit leave them."""
    rng = np.random.default_rng(0)
    y, pairs = np.tile([0, 1], 100), np.repeat(np.eye(100), 2, 0)
    seen = correct_of_fit(pairs, y)[0].mean(1)
    assert seen[-1] > 0.65 > 0.35 > seen[0]
    idle = correct_of_fit(rng.standard_normal((900, 3)), np.arange(900) % 3)[0].mean(1)
    assert len(seen) == len(idle) == 5
    assert abs(idle - 1 / 3).max() < 0.06
    # Rare classes are left out, and hide nothing.
    rare, kept = correct_of_fit(np.concatenate([pairs, pairs[:3]]), np.concatenate([y, [2, 3, 4]]))
    assert rare[-1].mean() > 0.65
    assert np.array_equal(np.bincount(kept), [100, 100])
    # Those held back tell nothing, whether or not those of the fit do.
    held, truth = rng.standard_normal((200, 100)), rng.integers(0, 2, 200)
    assert inferred([(pairs, y, held, truth)], 1.0).nag > 0.3
    assert inferred([(rng.standard_normal((200, 100)), y, held, truth)], 1.0).nag < 0.25
    # The guess is that among the classes that are left, so that many rare ones make nothing of noise.
    many = np.concatenate([y, 2 + np.arange(400) // 2])
    rare_ones = inferred([(rng.standard_normal((600, 100)), many, held, truth)], 1.0)
    assert rare_ones.beyond < 0.1


@pytest.mark.slow
def test_the_support_vector_machine_has_a_say_where_it_is_asked():
    """Classes that differ in how far their records lie from the middle of 60 numbers: the machine sees it best."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 1200)
    z = rng.standard_normal((1200, 60)) * np.where(y, 1.2, 1)[:, None]
    side = (z[:800], y[:800], z[800:], y[800:])
    seen = correct(*side)
    assert np.array_equal(counted(seen, True), seen)
    assert np.array_equal(counted(seen, False), seen[[0, 1, 2, 4, 5, 6]])
    assert counted(correct_of_fit(*side[:2])[0], False).shape[0] == 4
    loose, strict = inferred([side], 1.0), inferred([side], 1.0, strict=True)
    assert strict.nag >= strict.machine == loose.machine > 0.4
    assert loose.beyond < strict.beyond
    # Whose say is asked takes nothing from what the others find.
    line = np.where(y[:, None], 0.3, 0.0) + rng.standard_normal((1200, 1))
    plain = (line[:800], y[:800], line[800:], y[800:])
    assert inferred([plain], 1.0, strict=True).beyond >= inferred([plain], 1.0).beyond


@pytest.mark.slow
def test_a_machine_that_reads_more_rules_a_space_out_where_it_is_asked():
    """Records that lie twice as far out in the one class: of two spaces the first tells it by distance alone."""
    secret = torch.from_numpy(np.random.default_rng(0).integers(0, 2, 1200))
    wide = torch.from_numpy(np.random.default_rng(1).standard_normal((1200, 60)))

    class Scaled:
        size = 60

        def __init__(self, by: float) -> None:
            self.by = by

        def compressed(self, x: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            return wide * torch.where(secret == 1, self.by, 1.0)[:, None]

    candidates = [Candidate("standardised", s) for s in (60, 40)]
    made = lambda c, rows: Scaled({60: 1.15, 40: 1.0}[c.size])  # noqa: E731
    x, picked = secret[:, None].float() + 0.01, {}
    for strict in (False, True):
        candidate, _ = choose(candidates, made, Selection(x, [secret], secret), 0.4, Run(key=KEY), strict=strict)
        picked[strict] = candidate.size
    assert picked == {False: 60, True: 40}


@pytest.mark.slow
def test_a_card_says_what_the_machine_read_without_a_say(table):
    small = FAST | {"space": "chosen", "size": 5, "rounds": 10}
    some = table.take(np.arange(300))
    made = [fit(some, Policy(("person",)), make("flow", small | {"strict": s}), run=Run(key=KEY)) for s in (0, 1)]
    for modifier in made:
        words = re.search(r"support vector machine, .*? inferred (\d\.\d\d) NAG", " ".join(modifier.card.notes))
        assert words[1] == f"{max(0, modifier.card.fit['machine']):.2f}"
    assert "does not count" in " ".join(made[0].card.notes)
    assert "which counts" in " ".join(made[1].card.notes)


@pytest.mark.parametrize("space", ["standardised", "matched", "chosen"])
def test_records_that_are_all_one_within_their_classes_are_refused(space):
    table = clusters(40, people=2)
    table.x[:] = 1.0
    table.x[:, 0] = table.y["person"]
    with pytest.raises(SordineError, match="do not vary within the classes of person"):
        fit(table, Policy(("person",)), make("flow", {"space": space, "rounds": 3, "parts": 1}), run=Run(key=KEY))
    with pytest.raises(SordineError, match="do not vary within the classes of person"):
        fit(table, Policy(("person",)), make("transport", {"parts": 1}), run=Run(key=KEY))


@pytest.mark.parametrize("method", ["flow", "transport"])
def test_a_map_that_has_no_records_of_a_class_is_named(method):
    """All records of a class are one record, so that they are in one part."""
    table = clusters(60, people=2)
    table.x[table.y["person"] == 0] = table.x[0]
    options = {"space": "standardised", "size": 4, "rounds": 3} if method == "flow" else {}
    with pytest.raises(SordineError, match=r"in 1 classes; .* map \d of 5, .*--option parts=1"):
        fit(table, Policy(("person",)), make(method, options), run=Run(key=KEY))
    fit(table, Policy(("person",)), make(method, options | {"parts": 1}), run=Run(key=KEY))


@pytest.mark.slow
def test_a_space_that_a_part_of_the_records_will_not_bear_is_left_out():
    """The one record that varies is held back in its turn."""
    table = clusters(60, people=3)
    table.x[:] = np.eye(table.width)[table.y["person"]]
    table.x[0, 0] = 5
    with pytest.raises(SordineError, match="a part of the records"):
        make("flow", {"rounds": 3}).fit(table, Policy(("person",)), Run(key=KEY))


def test_another_file_under_the_name_of_the_steps_is_made_again(table, tmp_path):
    policy, small = Policy(("person",)), make("flow", FAST | {"rounds": 2})
    made = fit(table, policy, small, run=Run(key=KEY, folder=tmp_path))
    (file,) = tmp_path.glob("flow-*.safetensors")
    tensors = safetensors.torch.load_file(file)
    safetensors.torch.save_file({k: v for k, v in tensors.items() if k != "unit"}, file)
    again = fit(table, policy, small, run=Run(key=KEY, folder=tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(made.buffers(), again.buffers(), strict=True))


def test_an_edited_card_does_not_change_how_far_records_step(table):
    method = make("flow", FAST | {"rounds": 4, "noise": 0.0})
    modifier = fit(table, Policy(("person",)), method, run=Run(key=KEY))
    card = replace(modifier.card, fields=modifier.card.fields | {"step": 0.9})
    again = Flow.build(card, modifier.state_dict())
    x, noise = torch.from_numpy(table.x[:9]), torch.zeros(9, 0)
    assert torch.equal(modifier(x, noise).x, again(x, noise).x)


def test_classes_that_are_none_are_refused(table):
    modifier = fit(table, Policy(("person",)), make("flow", FAST | {"rounds": 4}), run=Run(key=KEY))
    for name in ("steps.groupings", "votes.secret"):
        with pytest.raises(ValueError, match="class codes"):
            Flow.build(modifier.card, modifier.state_dict() | {name: modifier.state_dict()[name] + 100})


def test_minus_nought_is_nought():
    x = torch.tensor([[0.0, 1.0], [-0.0, 1.0], [0.0, -1.0]])
    prints = fingerprints(x)
    assert prints[0] == prints[1] != prints[2]


def test_a_space_is_named_that_the_table_can_have():
    rng = np.random.default_rng(0)
    table = Table.of(rng.normal(size=(9, 4)).astype(np.float32), {"person": list("aaabbbccc")}, source="few.csv")
    with pytest.raises(SordineError, match=r"few\.csv: .* --option size=(\d)\)") as told:
        make("flow", {"rounds": 2}).fit(table, Policy(("person",)), Run(key=KEY))
    size = int(str(told.value).split("size=")[1].rstrip(")"))
    method = make("flow", {"rounds": 2, "space": "standardised", "size": size, "parts": 1})
    assert method.fit(table, Policy(("person",)), Run(key=KEY)).size == size


@pytest.mark.parametrize("fits", [256, 192, 128, 96, 64, 40, 24, 0])
@pytest.mark.parametrize("place", [1, 7])
@pytest.mark.parametrize("matched", [True, False])
def test_spaces_are_halved_to_the_largest_within_the_limit(fits, place, matched):
    standardised = [Candidate("standardised", size) for size in STANDARDISED]
    candidates = [*standardised[:place], Candidate("matched", 12), *standardised[place:]]
    tried = []

    def within(candidate):
        tried.append(candidate)
        return candidate.size <= fits if candidate.space == "standardised" else matched

    one_by_one = next((c for c in candidates if within(c)), None)
    tried.clear()
    assert first_within(candidates, within) == one_by_one
    assert len(tried) == len(set(tried)) <= 6
