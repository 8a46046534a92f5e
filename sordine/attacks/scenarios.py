"""Scenarios A, B and C: which records an attacker learns from, and which ones it is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Literal

import numpy as np

from sordine.attacks.base import Split, rescaled
from sordine.attacks.principal_axes import WIDEST, principal_axes
from sordine.data.splits import group_parts, keyed_ranks, stratified_parts
from sordine.keys import Key

Setting = Literal["A", "B", "C"]

SETTINGS: dict[str, str] = {
    "A": "trained on released records of the fit, tested on released records that the fit never used",
    "B": "cross-validated within released records that the fit never used",
    "C": "cross-validated within released records of the fit",
}
VALIDATION = 4  # one in so many of an attacker's own records chooses its hyperparameters
FEWEST = 20  # labelled records on either side, below which no attack is made
_computing_axes = Lock()


@dataclass(frozen=True)
class AttackData:
    """The records that attacks are made on, with their labels.

    Parameters
    ----------
    x
        (n, *shape) float32 or uint8.
    ids
        (n,) unique ids.
    labels
        For each attribute (n,) class codes, -1 unlabelled.
    classes
        For each attribute its number of classes.
    fitted
        (n,) bool: the records that the modifier was fitted on.
    group
        (n,) codes; records of one group stay together in a split. None: no groups.
    extra
        (n,) bool: records that only the attacker has; None: there are none. In scenarios A and B they are always
        training records, and never validation or test records; in C they take no part. `fitted` is False for them.
    """

    x: np.ndarray
    ids: np.ndarray
    labels: Mapping[str, np.ndarray]
    classes: Mapping[str, int]
    fitted: np.ndarray
    group: np.ndarray | None = None
    extra: np.ndarray | None = None

    @cached_property
    def auxiliary(self) -> np.ndarray:
        """(n,) bool: the records that only the attacker has."""
        return np.zeros(len(self.fitted), bool) if self.extra is None else self.extra

    @property
    def is_wide(self) -> bool:
        """Whether `numbers` are principal axes."""
        return int(np.prod(self.x.shape[1:])) > WIDEST

    @cached_property
    def scaled(self) -> np.ndarray:
        """(n, *shape): the records, with numbers of an unusual range rescaled (`rescaled`)."""
        return rescaled(self.x)

    def flat(self) -> np.ndarray:
        """Return every number of each record, rescaled: (n, d) float32."""
        return np.asarray(self.scaled, np.float32).reshape(len(self.x), -1)

    def numbers(self) -> np.ndarray:
        """Return the numbers of each record: (n, d) float32.

        Wide records are projected on the principal axes of all records here; no label is used for that.
        """
        if not self.is_wide:
            return self.flat()
        with _computing_axes:
            return self._on_axes

    @cached_property
    def _on_axes(self) -> np.ndarray:
        return principal_axes(self.scaled)(self.scaled)

    @cached_property
    def digest(self) -> str:
        """Text that is equal for data on which attacks predict the same."""
        hashed = hashlib.blake2b(digest_size=16)
        for part in (self.x, self.fitted, self.group, self.extra, *self.labels.values()):
            hashed.update(b"-" if part is None else np.ascontiguousarray(part).data)
        hashed.update("\0".join([*map(str, self.ids), *self.labels, str((self.x.shape, self.x.dtype))]).encode())
        return hashed.hexdigest()


def splits(data: AttackData, attribute: str, setting: Setting, seed: int, folds: int) -> list[Split] | str:
    """Return the splits of one attribute in one scenario, or a sentence with the reason why there are none.

    A has one split; B and C have one a fold. They are stratified over all attributes, in an order that depends on ids
    and seed only. Groups stay whole, unless a fold would then have classes that the attacker cannot learn. Records that
    only the attacker has are training records of every split in A and B.
    """
    labels = data.labels[attribute]
    unseen = ~data.fitted & ~data.auxiliary
    sides = {"A": (data.fitted, unseen), "B": (unseen,), "C": (data.fitted,)}[setting]
    extra = np.flatnonzero(data.auxiliary & (setting != "C"))
    for rows, purpose in zip(sides, ("learn from", "test on"), strict=False):
        count = int((rows & (labels >= 0)).sum())
        if count < FEWEST:
            return f"{count} labelled records to {purpose}; at least {FEWEST} are needed"
        if len(np.unique(labels[rows & (labels >= 0)])) < 2:
            return f"all labelled records to {purpose} belong to one class"
    if setting == "A":
        own, test = (np.flatnonzero(rows) for rows in sides)
        if not np.isin(labels[test][labels[test] >= 0], labels[np.concatenate([own, extra])]).any():
            return (
                "no class is on both sides of the split, so an attacker cannot name the classes of the test records; "
                "verification measures whether it can recognise that two records belong together"
            )
        return [_split(data, own, test, labels, seed, extra)]
    rows = np.flatnonzero(sides[0])
    counts = np.bincount(labels[rows][labels[rows] >= 0])
    if (counts >= folds).sum() < 2:
        return f"fewer than two classes have {folds} records or more"
    fold = _deal(data, rows, labels, folds, f"folds {seed}")
    return [
        _split(data, rows[fold != k], rows[fold == k], labels, seed, extra) for k in range(folds) if (fold == k).any()
    ]


def unknown_classes(data: AttackData, attribute: str) -> str | None:
    """Return a sentence where some, not all, test classes of scenario A are unknown to the attacker; else None.

    A record of such a class is always predicted wrong, before and after alike.
    """
    labels = data.labels[attribute]
    test = labels[~data.fitted & ~data.auxiliary & (labels >= 0)]
    new = ~np.isin(test, labels[data.fitted | data.auxiliary])
    if not new.any() or new.all():
        return None
    return (
        f"in scenario A, {len(np.unique(test[new]))} of the {len(np.unique(test))} classes of `{attribute}` have no "
        f"record to learn from, so no attacker can predict them: {int(new.sum()):,} of {len(test):,} test records "
        "belong to them"
    )


def _split(
    data: AttackData, own: np.ndarray, test: np.ndarray, labels: np.ndarray, seed: int, extra: np.ndarray
) -> Split:
    # One part of the attacker's own records is for validation. Records that only the attacker has are for training.
    part = _deal(data, own, labels, VALIDATION, f"validation {seed}")
    for_training = part != 0
    parts = np.concatenate([part[for_training], np.full(len(extra), -1), part[~for_training]])
    return Split(np.concatenate([own[for_training], extra]), own[~for_training], test, parts)


def _deal(data: AttackData, rows: np.ndarray, labels: np.ndarray, parts: int, purpose: str) -> np.ndarray:
    # A part number for each row: (m,). By whole groups where every class of a part is in another part too.
    rank = keyed_ranks(Key.of_seed(0), purpose, data.ids[rows])
    if data.group is not None:
        dealt = _deal_groups(data.group[rows], rank, parts)
        if dealt is not None and not _has_lone_class(dealt, labels[rows], parts):
            return dealt
    strata = [data.labels[a][rows] for a in data.labels]
    return stratified_parts(rank, list(reversed(strata)), parts)


def _deal_groups(group: np.ndarray, rank: np.ndarray, parts: int) -> np.ndarray | None:
    count = len(np.unique(group))
    return None if count < 2 * parts or count == len(group) else group_parts(rank, group, parts)


def _has_lone_class(part: np.ndarray, labels: np.ndarray, parts: int) -> bool:
    # Whether some part has a class that no other part has, or is empty.
    return any(
        not np.isin(labels[(part == k) & (labels >= 0)], labels[part != k]).all() or not (part == k).any()
        for k in range(parts)
    )
