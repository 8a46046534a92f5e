"""Draws and splits of records: independent of the order of rows, with the documented classes and groups."""

from __future__ import annotations

import numpy as np
import pytest

from sordine.data.splits import group_parts, keyed_ranks, public_rows, sample, stratified_parts, whole_groups
from sordine.errors import SordineError
from sordine.keys import Key

KEY = Key.of_seed(3)
IDS = np.array([f"r{i}" for i in range(120)], dtype=object)


@pytest.fixture
def order() -> np.ndarray:
    return np.random.default_rng(0).permutation(len(IDS))


def test_a_sample_is_sorted_and_the_same_for_every_order_of_rows(order: np.ndarray) -> None:
    drawn = sample(KEY, "a", IDS, 20)
    assert drawn.tolist() == sorted(set(drawn.tolist()))
    assert set(IDS[drawn]) == set(IDS[order][sample(KEY, "a", IDS[order], 20)])
    assert set(drawn) != set(sample(KEY, "b", IDS, 20))
    assert set(sample(KEY, "a", IDS, 10)) < set(drawn)  # a smaller sample is part of a larger one
    assert len(sample(KEY, "a", IDS, 999)) == len(IDS)


def test_a_sample_among_some_rows_is_their_first_part_in_keyed_order() -> None:
    among = np.arange(0, 120, 3)
    ranks = keyed_ranks(KEY, "a", IDS)
    expected = among[np.argsort(ranks[among])[:7]]
    assert sample(KEY, "a", IDS, 7, among).tolist() == sorted(expected)


def test_stratified_parts_have_their_share_of_every_class(order: np.ndarray) -> None:
    labels = np.arange(120) % 5
    part = stratified_parts(keyed_ranks(KEY, "a", IDS), [labels], 4)
    for c in range(5):
        assert np.bincount(part[labels == c], minlength=4).tolist() == [6, 6, 6, 6]
    again = stratified_parts(keyed_ranks(KEY, "a", IDS[order]), [labels[order]], 4)
    assert (again == part[order]).all()


def test_group_parts_keep_groups_together_and_sizes_similar(order: np.ndarray) -> None:
    group = np.repeat(np.arange(8), [40, 20, 20, 10, 10, 10, 5, 5])
    part = group_parts(keyed_ranks(KEY, "a", IDS), group, 2)
    assert all(len(set(part[group == g])) == 1 for g in range(8))
    assert np.bincount(part).tolist() == [60, 60]
    assert (group_parts(keyed_ranks(KEY, "a", IDS[order]), group[order], 2) == part[order]).all()


@pytest.mark.parametrize("size", [1, 12])
def test_whole_groups_reach_the_wanted_number_and_leave_one_out(size: int, order: np.ndarray) -> None:
    group = np.arange(120) // size
    chosen = whole_groups(KEY, "a", IDS, group, 30)
    assert 30 <= chosen.sum() < 30 + size
    assert not set(group[chosen]) & set(group[~chosen])
    assert (whole_groups(KEY, "a", IDS[order], group[order], 30) == chosen[order]).all()
    assert 0 < (~whole_groups(KEY, "a", IDS, group, 999)).sum() == size
    with pytest.raises(SordineError, match="only one group"):
        whole_groups(KEY, "a", IDS, np.zeros(120, int), 30)


def test_many_groups_do_not_depend_on_the_order_of_rows() -> None:
    ids = np.array([f"r{i}" for i in range(3000)], dtype=object)
    group = np.arange(3000) // 2
    order = np.random.default_rng(1).permutation(3000)
    chosen = whole_groups(KEY, "split", ids, group, 750)
    assert (whole_groups(KEY, "split", ids[order], group[order], 750) == chosen[order]).all()


def test_public_rows_are_records_without_groups_and_whole_groups_with_them() -> None:
    assert public_rows(KEY, IDS, None, 0.25).sum() == 30
    assert public_rows(KEY, IDS, np.zeros(120, int), 0.25).sum() == 30
    group = np.arange(120) // 8
    chosen = public_rows(KEY, IDS, group, 0.25)
    assert chosen.sum() == 32
    assert not set(group[chosen]) & set(group[~chosen])
