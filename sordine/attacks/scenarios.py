"""Scenarios A, B and C: which records an attacker learns from, and which ones it is tested on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
FOLLOWS = 0.9  # share of the uncertainty about a class that the group settles, above which the class follows from it
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
    and seed only. Groups stay whole, unless a fold would then have classes that the attacker cannot learn. Where all
    records of a group have one class, and classes are not the groups themselves, folds have whole groups in any case:
    an attacker that has labelled records of a group would recognise the group. Records that only the attacker has are
    training records of every split in A and B.
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
    fold = _folds(data, attribute, rows, folds, seed)
    if isinstance(fold, str):
        return fold
    return [
        _split(data, rows[fold != k], rows[fold == k], labels, seed, extra) for k in range(folds) if (fold == k).any()
    ]


def units_apart(data: AttackData, attribute: str, plan: list[Split], owners: Sequence[np.ndarray]) -> np.ndarray | None:
    """Return the unit of each record that is tested, where records of one unit are not independent tests.

    A unit is a group or person that the attacker has no labelled record of. What the attacker infers of one of its
    records, it may infer of all. Where the attacker has labelled records of the same unit, as where the attribute is
    the person, the record is the unit. A few units that have all their records in one fold by chance do not count.

    Parameters
    ----------
    data
        The records.
    attribute
        The attribute that is inferred.
    plan
        The splits of one scenario.
    owners
        Codes (n,) of what records belong to, -1 for unknown: the smallest units first. A later one counts where it is
        apart from the attacker's records.

    Returns
    -------
    numpy.ndarray or None
        (n,) codes; None where every tested record is a unit.
    """
    unit = np.arange(len(data.ids))
    labelled = data.labels[attribute] >= 0
    tested = np.concatenate([split.test for split in plan])
    tested = tested[labelled[tested]]
    for number, codes in enumerate(owners, 1):
        apart = np.zeros(len(unit), bool)
        for split in plan:
            known = codes[split.own[labelled[split.own]]]
            apart[split.test] = (codes[split.test] >= 0) & ~np.isin(codes[split.test], known)
        if 2 * apart[tested].sum() >= len(tested):
            unit[apart] = number << 40 | codes[apart]
    return None if len(np.unique(unit[tested])) == len(tested) else unit


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


def _folds(data: AttackData, attribute: str, rows: np.ndarray, folds: int, seed: int) -> np.ndarray | str:
    # The fold of each row: (m,), or a sentence with the reason why there are none.
    labels = data.labels[attribute]
    purpose = f"folds {seed}"
    fold = _deal(data, rows, labels, folds, purpose)
    if data.group is None or not _follows_groups(labels, data.group):
        return fold
    group = data.group[rows]
    if _stay_whole(fold, group):
        return fold
    names, first, code = np.unique(group, return_index=True, return_inverse=True)
    owner = np.array([_most_frequent(labels[rows][code.ravel() == g]) for g in range(len(names))])
    counts = np.bincount(owner[owner >= 0], minlength=1)
    if (counts >= 2).sum() < 2:
        return (
            f"records of one group have one class of `{attribute}`, and fewer than two classes have two groups or more "
            "to cross-validate over"
        )
    rank = keyed_ranks(Key.of_seed(0), purpose, data.ids[rows])[first]
    return np.asarray(stratified_parts(rank, [owner], min(folds, int(counts[counts >= 2].min())))[code.ravel()])


def _follows_groups(labels: np.ndarray, group: np.ndarray) -> bool:
    # Whether the class of a record follows from its group, and most records belong to classes of several groups.
    known = (labels >= 0) & (group >= 0)
    if not known.any():
        return False
    table = np.zeros((int(group.max()) + 1, int(labels.max()) + 1))
    np.add.at(table, (group[known], labels[known]), 1)
    total, most = table.sum(), table.sum(0).max()
    follows = table.max(1).sum() - most >= FOLLOWS * (total - most) > 0
    several = (table > 0).sum(0) >= 2
    return bool(follows and 2 * table[:, several].sum() >= total)


def _most_frequent(labels: np.ndarray) -> int:
    known = labels[labels >= 0]
    return int(np.bincount(known).argmax()) if len(known) else -1


def _stay_whole(fold: np.ndarray, group: np.ndarray) -> bool:
    return len(np.unique(np.stack([group, fold]), axis=1).T) == len(np.unique(group))


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
