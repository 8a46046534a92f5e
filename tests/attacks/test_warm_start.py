"""A model of the originals learns on from few released records, where these still resemble the originals."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sordine import Policy, Table, audit
from sordine.attacks.base import Split, Target
from sordine.attacks.budget import Budget
from sordine.attacks.warm_start import warm_start
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.sections.warm_start import WarmStart, _Tested

N, WIDTH, CLASSES = 800, 12, 4
SPLIT = Split(np.arange(0, 450), np.arange(450, 600), np.arange(600, N))


def records(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(N) % CLASSES)
    return (rng.standard_normal((N, WIDTH)) + 2.5 * np.eye(WIDTH)[labels]).astype(np.float32), labels


def right(predicted: np.ndarray, labels: np.ndarray) -> float:
    return float((predicted == labels[SPLIT.test]).mean())


def test_a_model_of_the_originals_infers_from_what_resembles_them() -> None:
    x, labels = records()
    found = warm_start(x, x + 0.3, Target(labels, CLASSES), SPLIT)
    assert right(found.originals, labels) > 0.75
    assert right(found.untuned, labels) > 0.75
    assert set(found.tuned) == {0.5, 1.0}  # a tenth leaves 15 records to validate on
    assert all(right(predicted, labels) > 0.75 for predicted in found.tuned.values())


def test_it_learns_what_the_release_changed() -> None:
    x, labels = records()
    found = warm_start(x, np.roll(x, 1, axis=1), Target(labels, CLASSES), SPLIT)
    assert right(found.untuned, labels) < 0.4
    assert right(found.tuned[1.0], labels) > 0.6


def test_it_picks_the_least_likely_class_where_that_validates_better() -> None:
    # The release moves the records to learn from away from their own class, and the others to it.
    x, labels = records()
    rng = np.random.default_rng(3)
    place = np.where(np.arange(N) < SPLIT.train[-1] + 1, labels + rng.integers(1, CLASSES, N), labels) % CLASSES
    released = np.roll(np.eye(WIDTH, dtype=np.float32)[place], 1, axis=1) + 0.05 * rng.standard_normal(x.shape)
    found = warm_start(x, released.astype(np.float32), Target(labels, CLASSES), SPLIT)
    assert right(found.tuned[1.0], labels) > 0.6


def test_noise_is_at_chance_and_one_class_is_no_error() -> None:
    x, labels = records()
    noise = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    found = warm_start(x, noise, Target(labels, CLASSES), SPLIT)
    assert all(abs(right(predicted, labels) - 0.25) < 0.12 for predicted in found.tuned.values())
    same = warm_start(x, noise, Target(np.zeros(N, np.int64), 2), SPLIT)
    assert not same.untuned.any()


@pytest.mark.parametrize("leaks", [True, False])
def test_the_report_has_a_section_on_it(leaks: bool) -> None:
    x, labels = records()
    original = Table.of(x, {"secret": np.array(list("abcd"))[labels]}, ids=[f"r{i}" for i in range(N)])
    noise = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)
    budget = Budget(families=("neighbours",), settings=("A",), person=(), known=(), tail=False, plants=0, cloud=0)
    report = audit(
        original,
        Table.of(x if leaks else noise, {}, ids=original.ids),
        Policy(("secret",)),
        budget=budget,
        options=AuditOptions(pretrained=False, sections=("warm_start",)),
    )
    found = report.sections["warm_start"]
    assert {f.share for f in found} >= {0.0, 1.0}
    assert all((f.low_corrected > 0.5) == leaks for f in found)
    assert all(f.at_chance != leaks for f in found)
    assert (report.verdict.level == "leaks") == leaks


def test_intervals_count_persons_that_the_attacker_does_not_know() -> None:
    # Twelve unseen persons of one class each: an attack that is right for eight of them has twelve chances, not 480.
    truth = np.repeat(np.arange(12) % 2, 40)
    after = np.where(np.repeat(np.arange(12) < 8, 40), truth, 1 - truth)
    records = _Tested(truth, truth, 2, None).finding("sex", 1.0, after, 1)
    persons = _Tested(truth, truth, 2, np.repeat(np.arange(12), 40)).finding("sex", 1.0, after, 1)
    assert not records.at_chance
    assert persons.at_chance
    assert persons.after == records.after


def test_without_a_leakage_the_title_states_the_share_of_what_is_missing_to_certainty() -> None:
    truth = np.arange(1000) % 2
    after = np.where(np.arange(1000) < 700, truth, 1 - truth)
    found = _Tested(truth, np.zeros(1000, np.int64), 2, None).finding("sex", 1.0, after, 1)
    assert found.nag is None
    given = WarmStart().contribution((found,), SimpleNamespace(limit=0.05))  # type: ignore[arg-type]
    assert given is not None
    assert given.gives[0][0] == pytest.approx(0.4)
