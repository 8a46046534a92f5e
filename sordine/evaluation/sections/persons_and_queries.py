"""Harder questions than what one released record tells: about a person, by many queries, by matching records; each
played on one release, as findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from sordine.attacks.base import Split
from sordine.attacks.budget import Budget
from sordine.attacks.linkability import link, verify
from sordine.attacks.output_distribution import channel, redrawn, releases, takes
from sordine.attacks.person_attackers import drawn_only, evidence, knows_channel
from sordine.attacks.persons import Evidence, Units, compare, pooled
from sordine.attacks.repeated_queries import knowledge, query
from sordine.attacks.results import LinkageFinding, PersonFinding, QueryFinding, VerificationFinding
from sordine.attacks.scenarios import AttackData, splits
from sordine.data.table import Table
from sordine.errors import SordineError, nearest
from sordine.keys import Key
from sordine.metrics.information import joint
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import silent

Named = tuple[str, np.ndarray, tuple[str, ...]]  # who records are of: see `unit_of`

SIMULATED = 4  # releases of its own records that an attacker draws under keys of its own
MOST = 5000  # records of a side, by id
LINKED = 2000  # records of a side that are matched with each other, by id
PASSED = 40_000  # records sent through the modifier for one question, at most

Knows = Literal["draws", "channel"]
Setting = Literal["A", "B"]
SETTINGS: tuple[Setting, ...] = ("A", "B")
PEOPLE = (
    "person",
    "speaker",
    "subject",
    "identity",
    "participant",
    "patient",
    "user",
)  # attributes that say whose a record is


@dataclass(frozen=True)
class Harder:
    """What was found, and notes on what was left out. Fields as in `Report`. people: whether the units of `person` are people or the
    table's groups, not merely the classes of a suppressed attribute."""

    person: tuple[PersonFinding, ...] = ()
    queries: tuple[QueryFinding, ...] = ()
    linkage: tuple[LinkageFinding, ...] = ()
    verification: tuple[VerificationFinding, ...] = ()
    people: bool = False
    notes: tuple[str, ...] = ()

    @property
    def findings(self) -> dict[str, Any]:
        """The fields of a `Report` that it fills."""
        return {name: getattr(self, name) for name in ("person", "queries", "linkage", "verification")}


@dataclass(frozen=True)
class _Sides:
    # One release, cut to what is asked about: originals with their split, released numbers, what was drawn.
    before: Table
    after: np.ndarray
    modifier: Modifier | None
    key: Key | None
    budget: Budget
    device: str
    notes: list[str] = field(default_factory=list)

    def scene(self, x: np.ndarray, labels: Mapping[str, np.ndarray]) -> AttackData:
        """The scene of some numbers (n, *shape), under labels of the secret and of units."""
        assert self.before.split is not None
        count = {name: int(codes.max(initial=0)) + 1 for name, codes in labels.items()}
        return AttackData(
            x=x,
            ids=self.before.ids,
            labels=labels,
            classes=count,
            fitted=self.before.split,
            group=self.before.group,
        )

    def stochastic(self) -> bool:
        """Whether another key gives another release of these records."""
        return takes(self.modifier, self.before) and self.modifier is not None and self.modifier.noise > 0


def harder(
    before: Table,
    after: np.ndarray,
    policy: Policy,
    budget: Budget,
    *,
    modifier: Modifier | None = None,
    key: Key | None = None,
    person: str | None = None,
    memory: MutableMapping[Any, Any] | None = None,
    device: str = "cpu",
    log: Callable[[str], None] = silent,
) -> Harder:
    """Play the attackers that the budget's `person`, `queries` and `linkage` ask for.

    before: originals, `split` True where the modifier was fitted on them. after: (n, *shape) float32, what became of each.
    modifier: what made it; without one nobody knows a channel and no further release can be drawn. key: that of the release, where
    known. person: the attribute that says who a record is of (default: see `unit_of`). memory: keeps what is read of the
    originals. Raises SordineError where `person` is no attribute.
    """
    counts = tuple(getattr(budget, "person", ()))
    queries, linkage = int(getattr(budget, "queries", 0)), bool(getattr(budget, "linkage", False))
    unit_of(before, policy, person)
    if not policy.suppress or not (counts or queries or linkage) or len(before) < 2:
        return Harder()
    some = _some(before, MOST)
    sides = _Sides(before.take(some), after[some], modifier, key, budget, device)
    named = unit_of(sides.before, policy, person)
    found: list[PersonFinding] = []
    asked: list[QueryFinding] = []
    if counts and named is not None:
        log(f"audit: {_list(counts)} records of one {named[0]} together")
        found = _person(sides, policy, named, counts, {} if memory is None else memory)
    if queries > 1:
        asked = _queries(sides, policy, queries)
    linked: list[LinkageFinding] = []
    verified: list[VerificationFinding] = []
    if linkage:
        linked = _linkage(sides, named)
    if (counts or linkage) and named is not None:
        verified = _verification(sides, named)
    notes = tuple(dict.fromkeys(sides.notes))
    return Harder(
        tuple(found), tuple(asked), tuple(linked), tuple(verified), _whose(sides.before, person) is not None, notes
    )


def unit_of(table: Table, policy: Policy, person: str | None) -> Named | None:
    """Who each record is of: a name, codes (n,) with -1 for nobody known, and what the codes are called.

    The attribute `person`; else the table's groups, where they hold two records and more on average; else an attribute that is
    called as people are (`person`, `speaker`, `subject` ...); else the suppressed attribute of most classes.
    None where nothing is suppressed. Raises SordineError for an unknown `person`.
    """
    whose = _whose(table, person)
    if not policy.suppress:
        return None
    if whose is not None:
        return whose
    most = max(policy.suppress, key=lambda name: len(table.classes[name]))
    return most, table.y[most], table.classes[most]


def _whose(table: Table, person: str | None) -> Named | None:
    # As `unit_of`, but for the suppressed attribute, which says of no record whose it is.
    if person is not None:
        if person not in table.y:
            raise SordineError(f"{table.source}: no attribute {person!r} for a person; {nearest(person, table.y)}")
        if not (table.y[person] >= 0).any():
            raise SordineError(f"{table.source}: attribute {person!r} says of no record whose it is")
        return person, table.y[person], table.classes[person]
    if table.group is not None:
        names, codes = np.unique(table.group, return_inverse=True)
        if 2 <= len(names) <= len(table) / 2:
            return "group", codes.ravel().astype(np.int64), tuple(f"group {g}" for g in names)
    called = next((name for name in PEOPLE if name in table.y), None)
    return None if called is None else (called, table.y[called], table.classes[called])


def _some(before: Table, most: int) -> np.ndarray:
    # At most so many records of each side, by id: positions.
    assert before.split is not None
    rank = np.empty(len(before), np.int64)
    rank[Key.of_seed(0).order("harder questions", before.ids)] = np.arange(len(before))
    rows = [np.flatnonzero(side) for side in (before.split, ~before.split)]
    return np.sort(np.concatenate([own[np.argsort(rank[own])[:most]] for own in rows]))


def _list(counts: Sequence[int]) -> str:
    return ", ".join("all" if k == 0 else str(k) for k in counts)


# ------------------------------------------------------------------------------------------------ a person


def _person(
    sides: _Sides,
    policy: Policy,
    named: Named,
    counts: tuple[int, ...],
    memory: MutableMapping[Any, Any],
) -> list[PersonFinding]:
    name, codes, names = named
    found: list[PersonFinding] = []
    known_channel = _channel(sides)
    again = None
    if known_channel is not None:
        known_channel = known_channel[0], redrawn(*known_channel)
    elif sides.stochastic():
        count = min(SIMULATED, max(1, PASSED // len(sides.before)))
        again = _releases(sides, [Key.of_seed(90_000 + r) for r in range(count)])
    beside = joint([sides.before.y[a] for a in policy.preserve]) if policy.preserve else None
    for attribute in policy.suppress:
        secret, classes = sides.before.y[attribute], sides.before.classes[attribute]
        units = Units.of(name, codes, names, secret, classes)
        # Folds are stratified over what is kept too: else its shares by class, which chance makes, would drown small tells.
        labels = {attribute: secret, "unit of it": units.codes, **{a: sides.before.y[a] for a in policy.preserve}}
        scenes = [sides.scene(x, labels) for x in (np.asarray(sides.before.x), sides.after)]
        for setting in SETTINGS:
            if setting not in sides.budget.settings:
                continue
            plan = splits(scenes[0], attribute, setting, sides.budget.seeds[0], sides.budget.folds)
            if isinstance(plan, str):
                sides.notes.append(f"nobody's `{attribute}` is pooled in setting {setting}: {plan}")
                continue
            seen = (scenes[0].digest, "person", attribute, name, setting, counts, sides.budget.families)
            if seen not in memory:
                memory[seen] = _draws(sides, scenes[0].numbers(), plan, units, counts, len(classes))
            was: Evidence = memory[seen]
            after = scenes[1].numbers()
            read: dict[Knows, Evidence] = {"draws": _draws(sides, after, plan, units, counts, len(classes))}
            if known_channel is not None:
                reader = knows_channel(*known_channel, units, len(classes), beside)
                read["channel"] = evidence(plan, units, counts, reader)
            elif again is not None:
                read["channel"] = _adaptive(sides, again, scenes[1], plan, units, counts, len(classes))
            for knows, now in read.items():
                found += _findings(attribute, units, classes, counts, knows, setting, was, now, sides.notes)
    return found


def _draws(
    sides: _Sides, x: np.ndarray, plan: list[Split], units: Units, counts: tuple[int, ...], classes: int
) -> Evidence:
    every = np.concatenate([t.test for t in plan])
    every = every[every < len(sides.before)]
    tried = np.bincount(units.codes[every][units.codes[every] >= 0], minlength=1)
    size = int(np.median(tried[tried > 0])) if tried.any() else 1
    families, seed = sides.budget.families, sides.budget.seeds[0]
    return evidence(
        plan, units, counts, drawn_only(x, units, families, classes, size, len(sides.before), seed, sides.device)
    )


def _findings(
    attribute: str,
    units: Units,
    classes: Sequence[str],
    counts: tuple[int, ...],
    knows: Knows,
    setting: Setting,
    was: Evidence,
    now: Evidence,
    notes: list[str],
) -> list[PersonFinding]:
    found = []
    for k in counts:
        before, after = pooled(was, units, k), pooled(now, units, k)
        if before is None or after is None:
            notes.append(
                f"{k or 'all'} records of one {units.name} are not pooled in setting {setting}: too few have so many"
            )
            continue
        share = compare(before, after, units)
        worst_class, worst_unit = (max(by, key=lambda c: by[c]) for by in (share.by_class, share.by_unit))
        found.append(
            PersonFinding(
                attribute=attribute,
                unit=units.name,
                k=k,
                knows=knows,
                setting=setting,
                before=share.before,
                after=share.after,
                guess=share.guess,
                nag=share.nag,
                low=share.low,
                high=share.high,
                after_interval=share.after_interval,
                worst_class=str(classes[worst_class]),
                worst_class_after=share.by_class[worst_class],
                worst_unit=units.names[worst_unit],
                worst_unit_after=share.by_unit[worst_unit],
                units=len(after.present),
                groups=after.groups,
                records=len(now.rows),
            )
        )
    return found


def _channel(sides: _Sides) -> tuple[np.ndarray, np.ndarray] | None:
    m = sides.modifier
    if m is None or not m.discrete or not takes(m, sides.before):
        return None
    found = channel(m, sides.before, sides.after, sides.key)
    if found is None:
        sides.notes.append("nobody who knows the channel is played: what was released is not what this modifier gives")
    return found


def _releases(sides: _Sides, keys: Sequence[Key]) -> np.ndarray:
    assert sides.modifier is not None
    return releases(sides.modifier, sides.before, keys)


def _adaptive(
    sides: _Sides,
    again: np.ndarray,
    scene: AttackData,
    plan: list[Split],
    units: Units,
    counts: tuple[int, ...],
    classes: int,
) -> Evidence:
    # It learns from further releases of its own records, and is tried on the release itself and on others like it.
    n = len(scene.x)
    x = np.concatenate([scene.x, *again])
    many = Units(units.name, np.tile(units.codes, len(again) + 1), units.names, units.classes)
    copies = np.arange(len(again) + 1) * n
    wide = [Split(*(_all(rows, copies) for rows in (t.train, t.validation, t.test))) for t in plan]
    return _draws(sides, sides.scene(x, scene.labels).numbers(), wide, many, counts, classes)


def _all(rows: np.ndarray, copies: np.ndarray) -> np.ndarray:
    return np.asarray((rows + copies[:, None]).ravel())


# ------------------------------------------------------------------------------------------------ queries, linkage


def _queries(sides: _Sides, policy: Policy, count: int) -> list[QueryFinding]:
    if not sides.stochastic():
        if sides.modifier is not None:
            sides.notes.append("further queries are not tried: this modifier draws nothing, every release is the same")
        return []
    count = max(2, min(count, PASSED // len(sides.before)))
    asked = {"fresh": [Key.of_seed(80_000 + r) for r in range(count)], "one": [Key.of_seed(80_000)] * count}
    given = {keys: _releases(sides, under) for keys, under in asked.items()}
    assert sides.modifier is not None
    known = {keys: knowledge(sides.modifier, sides.before, given[keys], under) for keys, under in asked.items()}
    found = []
    for attribute in policy.suppress:
        secret = sides.before.y[attribute]
        scene = sides.scene(np.asarray(sides.before.x), {attribute: secret})
        plan = splits(scene, attribute, "A", sides.budget.seeds[0], sides.budget.folds)
        if isinstance(plan, str):
            sides.notes.append(f"further queries are not tried for `{attribute}`: {plan}")
            continue
        classes, families = len(sides.before.classes[attribute]), sides.budget.families
        for keys in given:
            more = (keys, families, sides.budget.seeds[0], sides.device, known[keys])
            found.append(query(scene, plan[0], attribute, classes, given[keys], *more))  # type: ignore[arg-type]
    return found


def _linkage(sides: _Sides, named: Named | None) -> list[LinkageFinding]:
    some = _some(sides.before, LINKED)
    before, after = sides.before.take(some), sides.after[some]
    known = _channel(_Sides(before, after, sides.modifier, sides.key, sides.budget, sides.device, sides.notes))
    assert before.split is not None
    found: list[LinkageFinding] = []
    for on, side in (("fitted", before.split), ("unseen", ~before.split)):
        rows = np.flatnonzero(side)
        if len(rows) < 4:
            continue
        own = None if known is None else (known[0][rows], known[1][rows])
        who = None if named is None else (named[0], named[1][some[rows]])
        found += link(before.x[rows], after[rows], on, own, who)  # type: ignore[arg-type]
    return found


def _verification(sides: _Sides, named: Named) -> list[VerificationFinding]:
    fitted, codes = sides.before.split, named[1]
    assert fitted is not None
    strangers = np.unique(codes[~fitted & (codes >= 0)])
    if np.isin(codes[fitted], strangers).any():
        return []  # units that the modifier has seen: they are read, not verified
    return verify(np.asarray(sides.before.x), sides.after, codes, fitted, named[0])
