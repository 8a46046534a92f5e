"""Attackers that know a part of the classes find what evenness gives away, and nothing where there is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from sordine.attacks.partial_knowledge import (
    Inferred,
    Known,
    Numbers,
    Outputs,
    Reading,
    class_sums,
    infer,
    remainder,
    views,
)
from sordine.attacks.persons import Units
from sordine.metrics.nag import wilson

N, CLASSES, OUTPUTS = 600, 3, 20
IDS = np.array([f"r{i}" for i in range(N)])


def units(secret: np.ndarray) -> Units:
    names = [f"c{c}" for c in range(CLASSES)]
    return Units.of("secret", secret, names, secret, names)


def balanced(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes and outputs of records, where each class uses each output equally often."""
    rng = np.random.default_rng(seed)
    secret = np.repeat(np.arange(CLASSES), N // CLASSES)
    index = np.concatenate([rng.permutation(N // CLASSES) % OUTPUTS for _ in range(CLASSES)])
    order = rng.permutation(N)
    return secret[order], index[order]


def one(source: Outputs | Numbers, secret: np.ndarray, share: float = 0.9, k: int = 1) -> Inferred:
    return infer([source], secret, units(secret), (k,), Known.of(IDS, secret, share))[k]


@dataclass(frozen=True)
class Straight(Outputs):
    """The reading by class alone."""

    def readings(self, known: np.ndarray, secret: np.ndarray) -> Iterator[tuple[str, Reading]]:
        return (pair for pair in super().readings(known, secret) if pair[0].startswith("class"))


@pytest.mark.parametrize("modifier", [False, True])
def test_outputs_that_say_nothing_look_useless_to_the_attacker_too(modifier: bool) -> None:
    # Every record has an output of its own. A known record that counts as unknown must not stand out by its absence.
    rng = np.random.default_rng(0)
    secret = rng.permutation(np.arange(N) % CLASSES)
    source = Outputs(np.arange(N), np.full((N, N), 1 / N, np.float32) if modifier else None)
    telling = Numbers("a view", (np.eye(CLASSES) - 1 / CLASSES)[secret] + 0.8 * rng.standard_normal((N, CLASSES)))
    found = infer([source, telling], secret, units(secret), (1,), Known.of(IDS, secret, 0.9))[1]
    assert found.readings[0] == "means, a view"
    assert found.accuracy > 0.5


def test_what_is_balanced_over_all_records_gives_away_the_rest() -> None:
    secret, index = balanced(0)
    found = one(Outputs(index), secret)
    assert found.readings[0].startswith(("remainder", "least likely"))
    assert wilson(found.accuracy * N, N)[0] > found.guess + 0.1
    assert one(Straight(index), secret).accuracy < found.guess
    assert one(Outputs(index), secret, k=10).accuracy > 0.9
    weaker = one(Outputs(index), secret, share=0.5)
    assert found.guess < weaker.accuracy < found.accuracy


def test_the_modifier_gives_away_more_than_the_outputs() -> None:
    rng = np.random.default_rng(0)
    secret = rng.permutation(np.arange(N) % CLASSES)
    p = rng.dirichlet(np.full(OUTPUTS, 0.3), N)
    for _ in range(30):  # every class uses each output alike
        for c in range(CLASSES):
            p[secret == c] *= (N / CLASSES / OUTPUTS) / p[secret == c].sum(0)
        p /= p.sum(1, keepdims=True)
    index = (p.cumsum(1) < rng.random((N, 1))).sum(1).clip(max=OUTPUTS - 1)
    with_modifier = one(Outputs(index, p.astype(np.float32)), secret)
    assert with_modifier.readings[0].startswith(("remainder", "least likely"))
    assert with_modifier.accuracy > max(with_modifier.guess + 0.05, one(Outputs(index), secret).accuracy)


def test_a_plain_leak_is_found_by_class() -> None:
    rng = np.random.default_rng(0)
    secret = rng.integers(0, CLASSES, N)
    index = np.where(rng.random(N) < 0.3, secret, rng.integers(0, OUTPUTS, N))
    found = one(Outputs(index), secret, share=0.5)
    assert found.readings[0].startswith("class")
    assert found.accuracy > found.guess + 0.1
    x = rng.standard_normal((N, 12)) + 0.8 * np.eye(12)[secret]
    assert min(one(view, secret, share=0.5).accuracy for view in views(x)[:1]) > found.guess + 0.1


@pytest.mark.slow
def test_without_a_leak_the_attacker_is_at_the_baseline() -> None:
    above: dict[str, int] = {"outputs": 0, "modifier": 0, "numbers": 0}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        secret, index = rng.integers(0, CLASSES, N), rng.integers(0, OUTPUTS, N)
        p = rng.dirichlet(np.ones(OUTPUTS), N).astype(np.float32)
        drawn = (p.cumsum(1) < rng.random((N, 1))).sum(1).clip(max=OUTPUTS - 1)
        x = rng.standard_normal((N, 10)).astype(np.float32)
        for name, sources in (("outputs", [Outputs(index)]), ("modifier", [Outputs(drawn, p)]), ("numbers", views(x))):
            found = infer(sources, secret, units(secret), (1,), Known.of(IDS, secret, 0.9))[1]
            above[name] += wilson(found.accuracy * N / 2, N / 2)[0] > found.guess  # as the section decides
    assert all(count <= 1 for count in above.values()), above


def test_means_that_are_balanced_give_away_the_rest() -> None:
    rng = np.random.default_rng(1)
    secret = rng.permutation(np.arange(N) % CLASSES)
    x = rng.standard_normal((N, 40))
    for c in range(CLASSES):
        x[secret == c] -= x[secret == c].mean(0)
    found = infer(views(x), secret, units(secret), (1,), Known.of(IDS, secret, 0.9))[1]
    assert wilson(found.accuracy * N, N)[0] > found.guess + 0.1
    assert found.readings[0].startswith(("means of the remainder", "least likely"))


@pytest.mark.parametrize("modifier", [False, True])
def test_a_hidden_record_is_scored_as_if_it_were_unknown(modifier: bool) -> None:
    secret, index = balanced(3)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, 6))
    use = np.zeros((N, OUTPUTS), np.float32)
    use[np.arange(N), index] = 1.0
    known = rng.random(N) < 0.6
    numbers = Numbers("all", x - x.mean(0), rng.standard_normal((N, 6)) if modifier else None)
    for source in (Outputs(index, use if modifier else None), numbers):
        for record in np.flatnonzero(known)[:5]:
            without = known.copy()
            without[record] = False
            fresh = dict(source.readings(without, secret))
            for name, reading in source.readings(known, secret):
                hidden, unknown = reading.hidden(np.array([record])), fresh[name].unknown(np.array([record]))
                # The share of an output, and what an output has at least, move a little with the record.
                assert hidden - hidden.mean() == pytest.approx(unknown - unknown.mean(), abs=0.1), name


def test_every_record_is_unknown_equally_often() -> None:
    secret = np.random.default_rng(0).integers(0, CLASSES, N)
    for share, parts in ((0.5, 2), (2 / 3, 3), (0.9, 10)):
        choices = Known.of(IDS, secret, share).choices
        assert len(choices) % parts == 0
        assert all(choice.sum() == pytest.approx(share * N, abs=1) for choice in choices)
        assert np.unique(np.sum([~choice for choice in choices], axis=0)).tolist() == [len(choices) // parts]
        for choice in choices:
            assert np.bincount(secret[choice]) == pytest.approx(share * np.bincount(secret), abs=2)
    for share in (0.05, 0.6, 0.99):
        assert (~np.array(Known.of(IDS[:7], secret[:7], share).choices)).any(0).all()


def test_records_of_one_group_are_known_together() -> None:
    group = np.arange(N) // 10
    secret = group % 2
    for choice in Known.of(IDS, secret, 0.9, group).choices:
        assert np.unique(group[choice]).size + np.unique(group[~choice]).size == 60
        assert choice.sum() == pytest.approx(0.9 * N, abs=10)
    # A class with one group cannot be known and unknown: then records are chosen.
    assert any(np.isin(group[~c], group[c]).any() for c in Known.of(IDS, (group == 0).astype(int), 0.9, group).choices)


def test_groups_that_are_predicted_alike_count_once() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(N) // 20
    sex = group % 2
    x = (3 * rng.standard_normal((30, 8)))[group] + rng.standard_normal((N, 8))
    names = [f"p{i}" for i in range(30)]
    of = Units.of("person", group, names, sex, ["a", "b"])
    apart = infer(views(x), sex, of, (1,), Known.of(IDS, sex, 0.5, group), group)[1]
    together = infer(views(x), sex, of, (1,), Known.of(IDS, sex, 0.5))[1]
    assert together.accuracy > 0.6, "other records of the same persons are known"
    assert apart.accuracy < 0.65
    assert apart.groups < 200


def test_the_remainder_is_what_is_left() -> None:
    secret, index = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    known = np.array([True, False, True, False])
    assert remainder(np.eye(2)[index], known, secret, np.array([0.5, 0.5])).tolist() == [[0, 1], [0, 1]]
    assert class_sums(np.eye(2)[index], np.array([0, 0, -1, 1]), 3).tolist() == [[1, 1], [0, 1], [0, 0]]


def test_units_of_a_person_weigh_alike() -> None:
    _, index = balanced(0)
    who = np.arange(N) % 30
    sex = who % 2
    found = infer(
        [Outputs(index)],
        sex,
        Units.of("person", who, [f"p{i}" for i in range(30)], sex, ["a", "b"]),
        (1, 5, 0, 100),
        Known.of(IDS, sex, 0.5),
    )
    assert set(found) == {1, 5, 0}
    assert (found[5].units, found[5].guess) == (30, 0.5)
    assert 30 <= found[5].groups <= 120
    assert found[0].groups == 30
