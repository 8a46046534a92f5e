"""The probing attack as a pure map over pieces (attribute, attacker, setting, seed); nothing is shared between pieces.

`attack` of several pieces at once gives what it gives for each alone: that they share work is a detail of execution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from threading import Lock
from typing import Any, Literal, get_args

import numpy as np

from sordine.attacks.base import Family, Secret, Trial, at_scale
from sordine.attacks.neighbours import neighbours
from sordine.attacks.principal_axes import WIDEST, principal_axes
from sordine.attacks.random_features import random_features
from sordine.attacks.registry import ALONE, FAMILIES, ON_PICTURES, ON_SHAPES, reads
from sordine.attacks.resnet import Size, resnet
from sordine.attacks.results import Setting
from sordine.attacks.svm import svm
from sordine.errors import SordineError, nearest
from sordine.keys import Key

VALIDATION = 4  # every fourth of an attacker's own records chooses its hyperparameters
FEWEST = 20  # labelled records on either side, below which nothing can be said
GROWN = 1 << 29  # bytes of records up to which trees are grown on every number of wide ones, not on their axes
_working = Lock()

Level = Literal["quick", "standard", "paranoid"]


@dataclass(frozen=True)
class Budget:
    """How hard the audit tries. `Budget()` is the standard one; `quick` and `paranoid` try less and more.

    families, settings: which attackers and settings; `resnet` takes part where records are pictures, `convolution` where they
    are no flat vectors. seeds: each runs everything once more. folds: of the cross-validation.
    max_records: on each side of the split, sampled by id where there are more. permutations: of the exact attack's labels.
    cloud: how many records the report's picture shows. pictures: the size of `resnet`: a narrow ResNet-10, or a ResNet-18
    as the replacement paper's h_f, whose final attacker is not named (some hundred times the work: on a GPU).
    person: how many released records of one person are pooled, 0 for all of them; empty: not tried. queries: releases of
    each record, under as many keys, that are put together; 0: not tried. linkage: whether to match released records with
    originals. name: which of the three it was made from.

    Raises SordineError for a family, setting or size that there is not, and for numbers that leave nothing to try.
    """

    families: tuple[str, ...] = ("logistic", "neighbours", "trees", "mlp", "resnet")
    settings: tuple[str, ...] = ("A", "B", "C")
    seeds: tuple[int, ...] = (0,)
    folds: int = 3
    max_records: int = 20000
    permutations: int = 20
    cloud: int = 600
    pictures: Size = "small"
    person: tuple[int, ...] = (1, 10, 50, 0)
    queries: int = 0
    linkage: bool = False
    name: Level = "standard"

    @classmethod
    def quick(cls) -> Budget:
        """Two fast families, nothing but single records: a first look, whose silence says little."""
        return cls(families=("logistic", "neighbours"), person=(), name="quick")

    @classmethod
    def standard(cls) -> Budget:
        """What an audit does where nothing else is asked."""
        return cls()

    @classmethod
    def paranoid(cls) -> Budget:
        """Every family, five folds (attackers of settings B and C learn from more), many queries, linkage."""
        return cls(families=tuple(FAMILIES), folds=5, queries=5, linkage=True, name="paranoid")

    @classmethod
    def named(cls, name: str, **changes: Any) -> Budget:
        """A budget by its name, with some fields changed. Raises SordineError for a name that there is not."""
        made = {"quick": cls.quick, "standard": cls.standard, "paranoid": cls.paranoid}
        if name not in made:
            raise SordineError(f"audit: no budget {name!r}; {nearest(name, made)}")
        return replace(made[name](), **changes)

    def __post_init__(self) -> None:
        for what, known in (("families", FAMILIES), ("settings", dict.fromkeys("ABC"))):
            for name in getattr(self, what):
                if name not in known:
                    raise SordineError(f"audit: no {what} {name!r}; {nearest(name, known)}")
        for what in ("families", "settings", "seeds"):
            if not getattr(self, what):
                raise SordineError(f"audit: {what} is empty: nothing would be tried")
        if any(not 0 <= s < 2**32 for s in self.seeds):
            raise SordineError("audit: a seed must be a whole number from 0 to 4,294,967,295")
        if self.pictures not in get_args(Size):
            raise SordineError(f"audit: no pictures {self.pictures!r}; {nearest(self.pictures, get_args(Size))}")
        if self.folds < 2 or self.max_records < FEWEST:
            raise SordineError(f"audit: at least 2 folds and {FEWEST} records are needed")
        if any(k < 0 for k in self.person):
            raise SordineError(f"audit: person: {min(self.person)} records cannot be pooled; 0 stands for all")
        if self.queries < 0 or self.queries == 1:
            raise SordineError(
                "audit: queries: one release of a record has nothing to be compared with; 0, or 2 or more"
            )


@dataclass(frozen=True)
class Piece:
    """One attack: which secret, by whom, in which setting, by which seed."""

    attribute: str
    attacker: str
    setting: Setting
    seed: int


@dataclass(frozen=True)
class Reading:
    """What an attack read: positions of the records tried, their classes, the classes named."""

    rows: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Scene:
    """All that attacks are made on: records (n, *shape) float32 or uint8, their ids, labels by attribute and class counts, which of them
    the modifier was fitted on, and groups of records that are not torn apart (None: each its own).

    extra: (n,) bool, records that the attacker alone holds: in settings A and B they are always learnt from, never chosen by
    and never tried; in C they take no part (None: there are none). `fitted` is False for them.
    """

    x: np.ndarray
    ids: np.ndarray
    labels: Mapping[str, np.ndarray]
    classes: Mapping[str, int]
    fitted: np.ndarray
    group: np.ndarray | None = None
    extra: np.ndarray | None = None

    @cached_property
    def held(self) -> np.ndarray:
        """(n,) bool: the records that only the attacker holds."""
        return np.zeros(len(self.fitted), bool) if self.extra is None else self.extra

    @property
    def is_wide(self) -> bool:
        """Whether `numbers` are principal axes."""
        return int(np.prod(self.x.shape[1:])) > WIDEST

    @cached_property
    def scaled(self) -> np.ndarray:
        """(n, *shape): the records, with numbers of odd spans brought to a usual one (`at_scale`)."""
        return at_scale(self.x)

    def flat(self) -> np.ndarray:
        """(n, d) float32: every number of each record, scaled."""
        return np.asarray(self.scaled, np.float32).reshape(len(self.x), -1)

    def numbers(self) -> np.ndarray:
        """(n, d) float32: every number of each record; of wide ones where they lie on the principal axes of all records
        here (their labels take no part)."""
        if not self.is_wide:
            return self.flat()
        with _working:
            return self._on_axes

    @cached_property
    def _on_axes(self) -> np.ndarray:
        return principal_axes(self.scaled)(self.scaled)

    @cached_property
    def digest(self) -> str:
        """Two scenes of the same digest give the same readings."""
        hashed = hashlib.blake2b(digest_size=16)
        for part in (self.x, self.fitted, self.group, self.extra, *self.labels.values()):
            hashed.update(b"-" if part is None else np.ascontiguousarray(part).data)
        hashed.update("\0".join([*map(str, self.ids), *self.labels, str((self.x.shape, self.x.dtype))]).encode())
        return hashed.hexdigest()


def trials(scene: Scene, attribute: str, setting: Setting, seed: int, folds: int) -> list[Trial] | str:
    """The trials of one attribute in one setting; or why there are none, in words.

    A: one trial. B and C: one a fold. Stratified over all attributes, in an order that depends on ids and seed only.
    Groups stay whole, unless that would ask attackers for classes they have never seen. What the attacker alone holds is
    learnt from in every trial of A and B.
    """
    labels = scene.labels[attribute]
    unseen = ~scene.fitted & ~scene.held
    sides = {"A": (scene.fitted, unseen), "B": (unseen,), "C": (scene.fitted,)}[setting]
    more = np.flatnonzero(scene.held & (setting != "C"))
    for rows, name in zip(sides, ("learn from", "try on"), strict=False):
        count = int((rows & (labels >= 0)).sum())
        if count < FEWEST:
            return f"{count} labelled records to {name}; at least {FEWEST} are needed"
        if len(np.unique(labels[rows & (labels >= 0)])) < 2:
            return f"one class only among the records to {name}"
    if setting == "A":
        own, tried = (np.flatnonzero(rows) for rows in sides)
        if not np.isin(labels[tried][labels[tried] >= 0], labels[np.concatenate([own, more])]).any():
            return (
                "no class of it is on both sides of the split: those to try on are all new, and nobody who learnt from "
                "others can name them; whether two records are of the same one is another question (verification)"
            )
        return [Trial(*_held_back(scene, own, labels, seed, more), tried)]
    rows = np.flatnonzero(sides[0])
    counts = np.bincount(labels[rows][labels[rows] >= 0])
    if (counts >= folds).sum() < 2:
        return f"fewer than two classes have {folds} records or more"
    fold = _deal(scene, rows, labels, folds, f"folds {seed}")
    return [
        Trial(*_held_back(scene, rows[fold != k], labels, seed, more), rows[fold == k])
        for k in range(folds)
        if (fold == k).any()
    ]


def _held_back(
    scene: Scene, rows: np.ndarray, labels: np.ndarray, seed: int, more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # Rows to learn from, those that the attacker alone holds among them, and rows to choose by.
    part = _deal(scene, rows, labels, VALIDATION, f"validation {seed}")
    return np.concatenate([rows[part != 0], more]), rows[part == 0]


def strangers(scene: Scene, attribute: str) -> str | None:
    """A sentence where some, not all, of the classes that setting A tries are new to its attacker; None elsewhere.

    A record of such a class is always read wrong, before and after alike.
    """
    labels = scene.labels[attribute]
    tried = labels[~scene.fitted & ~scene.held & (labels >= 0)]
    new = ~np.isin(tried, labels[scene.fitted | scene.held])
    if not new.any() or new.all():
        return None
    return (
        f"in setting A, {len(np.unique(tried[new]))} of the {len(np.unique(tried))} classes of `{attribute}` are new to "
        f"the attacker, who cannot name them: {int(new.sum()):,} of {len(tried):,} records tried are theirs"
    )


def _deal(scene: Scene, rows: np.ndarray, labels: np.ndarray, parts: int, purpose: str) -> np.ndarray:
    # A part number for each row: (m,). By whole groups where every class of a part is in another part too.
    key = Key.of_seed(0)
    rank = np.empty(len(rows), np.int64)
    rank[key.order(purpose, scene.ids[rows])] = np.arange(len(rows))
    if scene.group is not None:
        dealt = _deal_groups(scene.group[rows], rank, parts)
        if dealt is not None and not _strange(dealt, labels[rows], parts):
            return dealt
    strata = [scene.labels[a][rows] for a in scene.labels]
    dealt = np.empty(len(rows), np.int64)
    dealt[np.lexsort((rank, *reversed(strata)))] = np.arange(len(rows)) % parts
    return dealt


def _deal_groups(group: np.ndarray, rank: np.ndarray, parts: int) -> np.ndarray | None:
    count = len(np.unique(group))
    return None if count < 2 * parts or count == len(group) else deal_whole(group, rank, parts)


def deal_whole(group: np.ndarray, rank: np.ndarray, parts: int) -> np.ndarray:
    """A part number for each row, whole groups together and parts of about one size: (m,), ranks (m,) that break ties -> (m,)."""
    codes, counts = np.unique(group, return_inverse=True, return_counts=True)[1:]
    first = np.full(len(counts), len(group))
    np.minimum.at(first, codes, rank)
    load = np.zeros(parts)
    part = np.empty(len(counts), np.int64)
    for g in np.lexsort((first, -counts)):  # the largest first, each to the part that has least
        part[g] = load.argmin()
        load[part[g]] += counts[g]
    return part[codes]


def _strange(part: np.ndarray, labels: np.ndarray, parts: int) -> bool:
    # Whether some part has a class that no other part has.
    return any(
        not np.isin(labels[(part == k) & (labels >= 0)], labels[part != k]).all() or not (part == k).any()
        for k in range(parts)
    )


def pieces(attributes: Sequence[str], budget: Budget, shape: Sequence[int] | None = None) -> list[Piece]:
    """Every attack of an audit, in the order in which they are made. shape: of one record; attackers that cannot read
    records of it are left out (None: none is)."""
    return [
        Piece(attribute, attacker, setting, seed)  # type: ignore[arg-type]
        for setting in budget.settings
        for seed in budget.seeds
        for attacker in budget.families
        for attribute in attributes
        if shape is None or reads(attacker, shape)
    ]


def _shown(scene: Scene, attacker: str, size: Size) -> tuple[Family, np.ndarray]:
    # An attacker, and the records in the form in which it takes them.
    if attacker in ON_PICTURES:
        return partial(resnet, size=size), scene.x
    if attacker in ON_SHAPES:
        return FAMILIES[attacker], scene.x
    if scene.is_wide and attacker == "neighbours":
        return partial(neighbours, alike=True), scene.numbers()
    if scene.is_wide and attacker == "features":
        return partial(random_features, alike=True), scene.numbers()
    if scene.is_wide and attacker == "svm":
        return partial(svm, alike=True), scene.numbers()
    # What stands in one number only is lost on the axes; trees find it.
    if attacker == "trees" and 4 * scene.x.size <= GROWN:
        return FAMILIES[attacker], scene.flat()
    return FAMILIES[attacker], scene.numbers()


def attack(
    scene: Scene, some: Sequence[Piece], folds: int, device: str = "cpu", pictures: Size = "small"
) -> dict[Piece, Reading]:
    """Make these attacks; those that `trials` says cannot be made are left out. Pure: the same scene and piece give the
    same reading, whichever others are made beside it (perceptrons: up to rounding). pictures: the size of `resnet`."""
    plans = {p: trials(scene, p.attribute, p.setting, p.seed, folds) for p in some}
    shared: dict[tuple[str, int, bytes], list[tuple[Piece, Trial]]] = {}
    for piece, plan in plans.items():
        for trial in plan if not isinstance(plan, str) else []:
            same = trial.train.tobytes() + b"|" + trial.validation.tobytes() + b"|" + trial.tried.tobytes()
            shared.setdefault((piece.attacker, piece.seed, same), []).append((piece, trial))
    parts: dict[Piece, list[tuple[np.ndarray, np.ndarray]]] = {}
    for (attacker, seed, _), members in shared.items():
        secrets = [Secret(scene.labels[p.attribute], scene.classes[p.attribute]) for p, _ in members]
        trial = members[0][1]
        family, x = _shown(scene, attacker, pictures)
        for (piece, _), predicted in zip(members, family(x, trial, secrets, seed, device), strict=True):
            parts.setdefault(piece, []).append((trial.tried, predicted))
    readings = {}
    for piece, read in parts.items():
        rows = np.concatenate([r for r, _ in read])
        predicted = np.concatenate([p for _, p in read])
        truth = scene.labels[piece.attribute][rows]
        known = np.argsort(rows, kind="stable")
        known = known[truth[known] >= 0]
        readings[piece] = Reading(rows[known], truth[known], predicted[known].astype(np.int64))
    return readings


def together(some: Sequence[Piece]) -> Iterator[list[Piece]]:
    """The pieces in groups that share work: those of one attacker, setting and seed; of attackers that share none, each
    is alone."""
    groups: dict[tuple[str, str, int, str], list[Piece]] = {}
    for piece in some:
        alone = piece.attribute if piece.attacker in ALONE else ""
        groups.setdefault((piece.attacker, piece.setting, piece.seed, alone), []).append(piece)
    yield from groups.values()
