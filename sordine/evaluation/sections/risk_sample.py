"""The records on which attacks with a control attack run: a keyed sample of both sides, and what made their release."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sordine.attacks.output_distribution import accepts, output_distribution
from sordine.attacks.principal_axes import WIDEST, Axes, principal_axes
from sordine.attacks.risk import Space
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.evaluation.sections.sample import Unit, person_of
from sordine.keys import Key
from sordine.models.modifier import Modifier

MOST = 2000  # records on each side of the split
LINKED = 600  # records on each side that are matched with each other
RELEASES = 2048  # that an attacker makes itself, of records of both sides together: one block of a modifier
WIDE_RELEASES = 1024  # of records of more than `WIDEST` numbers
EACH = 3  # releases of each record, where the modifier draws


@dataclass(frozen=True)
class RiskSample:
    """A keyed sample of at most `MOST` records on each side of the split.

    Parameters
    ----------
    before
        Originals (n records). `before.split` is True for records of the fit.
    released
        (n, *shape) released records, float32.
    modifier, key
        What made the release, where it is known.
    person
        Attribute that the caller named as the person.
    whole
        Whether these are all records under attack.
    """

    before: Table
    released: np.ndarray
    modifier: Modifier | None = None
    key: Key | None = None
    person: str | None = None
    whole: bool = True

    @classmethod
    def of(
        cls,
        table: Table,
        released: np.ndarray,
        modifier: Modifier | None,
        key: Key | None,
        person: str | None,
    ) -> RiskSample:
        """Return the sample of a table with its split and its released records (n, *shape)."""
        assert table.split is not None
        sides = [np.flatnonzero(side) for side in (table.split, ~table.split)]
        rows = np.sort(np.concatenate([sample(Key.of_seed(0), "risks", table.ids, MOST, side) for side in sides]))
        return cls(table.take(rows), released[rows], modifier, key, person, len(rows) == len(table))

    def numbers(self, records: np.ndarray) -> np.ndarray:
        """Return the numbers of records (m, *shape): (m, d) float32, on principal axes where records are wide.

        Records of the shape of the originals are projected on the axes of the originals, others on their own.
        """
        if np.prod(records.shape[1:]) <= WIDEST:
            return np.asarray(records, np.float32).reshape(len(records), -1)
        return (self._axes if records.shape[1:] == self.before.shape else principal_axes(records))(records)

    def flat(self, releases: np.ndarray) -> np.ndarray:
        """Return `numbers` of several releases (times, m, *shape): (times, m, e)."""
        found = self.numbers(releases.reshape(-1, *releases.shape[2:]))
        return found.reshape(*releases.shape[:2], -1)

    @cached_property
    def _axes(self) -> Axes:
        return principal_axes(np.asarray(self.before.x, np.float32))

    @cached_property
    def x(self) -> np.ndarray:
        """(n, d) float32: originals."""
        return self.numbers(np.asarray(self.before.x))

    @cached_property
    def after(self) -> np.ndarray:
        """(n, e) float32: released records."""
        return self.numbers(self.released)

    @property
    def fitted(self) -> np.ndarray:
        """(n,) bool: which records the modifier was fitted on."""
        assert self.before.split is not None
        return self.before.split

    @property
    def comparable(self) -> bool:
        """Whether originals and released records have the same numbers."""
        return self.before.shape == self.released.shape[1:]

    @cached_property
    def space(self) -> Space:
        """Where originals are compared."""
        return Space(self.x)

    @cached_property
    def spaces(self) -> tuple[Space, Space]:
        """Spaces on the scale of the originals, and on that of the released records."""
        return self.space, Space(self.after)

    @cached_property
    def persons(self) -> Unit | None:
        """Name, codes (n,) and names of persons or groups; None where they are not known."""
        return person_of(self.before, self.person)

    @property
    def known(self) -> Modifier | None:
        """The modifier, where it takes these records."""
        return self.modifier if accepts(self.modifier, self.before) else None

    @cached_property
    def distributions(self) -> np.ndarray | None:
        """P(output | x) (n, M) of a modifier with discrete output; None for others."""
        if self.known is None or not self.known.discrete:
            return None
        return self.known.output_distributions(self.before.x)

    @cached_property
    def outputs(self) -> tuple[np.ndarray, np.ndarray] | None:
        """P(output | x) (n, M), where equal outputs are one, and the output that each release is (n,)."""
        if self.known is None or not self.known.discrete:
            return None
        return output_distribution(self.known, self.before, self.released, self.key)

    def rows(self, side: np.ndarray, most: int) -> np.ndarray:
        """Return at most `most` positions of a side (n,) bool, the first ones in keyed order."""
        return sample(Key.of_seed(0), "risks, some", self.before.ids, most, np.flatnonzero(side))

    @cached_property
    def own(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Positions (m,), and releases (times, m, *shape) that the attacker makes of them; None without a modifier.

        A modifier that draws nothing gives one release. Draws depend on key and id. So other ids under one key draw as
        other keys do, and all releases are made at once, in one block.
        """
        if self.known is None:
            return None
        times = EACH if self.known.noise else 1
        most = (WIDE_RELEASES if np.prod(self.before.shape) > WIDEST else RELEASES) // (2 * times)
        rows = np.sort(np.concatenate([self.rows(side, most) for side in (self.fitted, ~self.fitted)]))
        x, ids = np.asarray(self.before.x)[rows], self.before.ids[rows]
        names = np.array([f"{time} {name}" for time in range(times) for name in ids])
        made = self.known.release(np.concatenate([x] * times), names, Key.of_seed(90_000), workers=1)[0]
        return rows, np.asarray(made, np.float32).reshape(times, len(rows), *made.shape[1:])
