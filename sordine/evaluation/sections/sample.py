"""The records on which the attacks on persons, repeated releases and links to originals run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sordine.attacks.budget import Budget
from sordine.attacks.output_distribution import accepts, output_distribution, released_under
from sordine.attacks.scenarios import AttackData
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.errors import SordineError, nearest
from sordine.keys import Key
from sordine.models.modifier import Modifier
from sordine.policy import Policy

Unit = tuple[str, np.ndarray, tuple[str, ...]]  # name, codes (n,) with -1 for unknown, names of the codes

MOST = 5000  # records on each side of the split, chosen by id
PASSED = 40_000  # records sent through the modifier for one question, at most
SIMULATED = 4  # releases of its own records that an attacker makes under keys of its own
# Attributes that say which person a record belongs to.
PERSONS = ("person", "speaker", "subject", "identity", "participant", "patient", "user")


@dataclass(frozen=True)
class ReleaseSample:
    """At most `MOST` records on each side of the split, originals and released, and what made the release.

    Parameters
    ----------
    before
        Originals (n records). `before.split` is True for records of the fit.
    after
        Released records (n, *shape), float32.
    policy, budget
        As in the audit.
    modifier, key
        What made the release, where it is known.
    person
        Attribute that the caller named as the person.
    device
        Device of the attacks.
    """

    before: Table
    after: np.ndarray
    policy: Policy
    budget: Budget
    modifier: Modifier | None = None
    key: Key | None = None
    person: str | None = None
    device: str = "cpu"

    @property
    def unit(self) -> Unit | None:
        """The unit whose records are pooled: see `unit_of`."""
        return unit_of(self.before, self.policy, self.person)

    @property
    def units_are_persons(self) -> bool:
        """Whether units are persons or the table's groups, not merely classes of a suppressed attribute."""
        return person_of(self.before, self.person) is not None

    def attack_data(self, x: np.ndarray, labels: Mapping[str, np.ndarray]) -> AttackData:
        """Return attack data of the records x (n, *shape) under these labels (n,)."""
        assert self.before.split is not None
        return AttackData(
            x=x,
            ids=self.before.ids,
            labels=labels,
            classes={name: int(codes.max(initial=0)) + 1 for name, codes in labels.items()},
            fitted=self.before.split,
            group=self.before.group,
        )

    def draws(self) -> bool:
        """Whether another key gives another release of these records."""
        return accepts(self.modifier, self.before) and self.modifier is not None and self.modifier.noise > 0

    def releases(self, keys: Sequence[Key]) -> np.ndarray:
        """Return releases of these records (len(keys), n, *shape), one for each key."""
        assert self.modifier is not None
        return released_under(self.modifier, self.before, keys)

    @cached_property
    def simulated(self) -> np.ndarray | None:
        """Further releases of these records under keys of an attacker: (keys, n, *shape); None without randomness."""
        if not self.draws():
            return None
        count = min(SIMULATED, max(1, PASSED // len(self.before)))
        return self.releases([Key.of_seed(90_000 + r) for r in range(count)])

    def outputs(self) -> tuple[tuple[np.ndarray, np.ndarray] | None, str | None]:
        """Return P(output | x) (n, outputs) with the output of each record (n,), and why it is missing where it is.

        Both are None where the modifier has no discrete output.
        """
        m = self.modifier
        if m is None or not m.discrete or not accepts(m, self.before):
            return None, None
        found = output_distribution(m, self.before, self.after, self.key)
        if found is not None:
            return found, None
        return None, (
            "Skipped the attacker that knows the modifier: these records were not made by this modifier with this key."
        )


def sample_rows(before: Table, most: int = MOST) -> np.ndarray:
    """Return rows of at most `most` records on each side of the split, chosen by id, in ascending order."""
    assert before.split is not None
    sides = [np.flatnonzero(side) for side in (before.split, ~before.split)]
    drawn = [sample(Key.of_seed(0), "harder questions", before.ids, most, rows) for rows in sides]
    return np.sort(np.concatenate(drawn))


def unit_of(table: Table, policy: Policy, person: str | None) -> Unit | None:
    """Return the unit whose records an attacker may pool: its name, a code for each record, and the codes' names.

    It is the attribute `person`. Without one it is the table's groups, if they hold two or more records on average.
    Else it is an attribute named like a person (`PERSONS`), or the suppressed attribute with the most classes.
    None where nothing is suppressed, or continuous attributes only.

    Raises
    ------
    SordineError
        If `person` is no attribute or labels no record.
    """
    found = person_of(table, person)
    if not policy.suppress:
        return None
    if found is not None:
        return found
    named = [name for name in policy.suppress if name not in table.targets]
    if not named:
        return None
    most = max(named, key=lambda name: len(table.classes[name]))
    return most, table.y[most], table.classes[most]


def person_of(table: Table, person: str | None) -> Unit | None:
    """Return `unit_of` without its last resort.

    A suppressed attribute does not say which person a record belongs to.
    """
    if person is not None:
        if person not in table.y:
            raise SordineError(
                f"{table.source}: there is no attribute {person!r} to use as the person; {nearest(person, table.y)}"
            )
        if not (table.y[person] >= 0).any():
            raise SordineError(
                f"{table.source}: attribute {person!r} labels no record; choose another attribute as the person"
            )
        return person, table.y[person], table.classes[person]
    if table.group is not None:
        names, codes = np.unique(table.group, return_inverse=True)
        if 2 <= len(names) <= len(table) / 2:
            return "group", codes.ravel().astype(np.int64), tuple(f"group {g}" for g in names)
    named = next((name for name in PERSONS if name in table.y), None)
    return None if named is None else (named, table.y[named], table.classes[named])
