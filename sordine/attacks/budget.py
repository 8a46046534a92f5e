"""Budget: how many attacks an audit makes."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from sordine.attacks.registry import ATTACKS, accepts, attacks_in
from sordine.attacks.resnet import Size
from sordine.attacks.scenarios import FEWEST, SETTINGS
from sordine.errors import SordineError, nearest
from sordine.metrics.percent import percent
from sordine.run import MOST_SEEDS

Level = Literal["quick", "standard", "paranoid"]
FEWEST_PLANTS = 5


def _standard() -> tuple[str, ...]:
    return attacks_in("standard")


@dataclass(frozen=True)
class Budget:
    """How many attacks an audit makes. `Budget()` is the standard one; `quick` and `paranoid` make fewer and more.

    Parameters
    ----------
    families
        Names of attacks (`sordine.attacks.registry.ATTACKS`). An attack takes part where it accepts the records' shape.
    settings
        Scenarios: "A", "B", "C" (`sordine.attacks.scenarios.SETTINGS`).
    seeds
        Every attack runs once for each seed.
    folds
        Folds of the cross-validation in scenarios B and C, at least 2.
    max_records
        Most records on each side of the split; where there are more, they are sampled by id. At least 20.
    permutations
        Permutations of the labels for the optimal attack on a discrete modifier.
    cloud
        Number of records in the report's projection; 0 for none.
    resnet_size
        Size of the attack `resnet`: "small" (a narrow ResNet-10) or "paper" (a ResNet-18, for a GPU). The former
        name `pictures` works for one more version, with a DeprecationWarning.
    person
        How many released records of one person are pooled, 0 for all of them. Empty: no pooling.
    queries
        How many releases of each record, under as many keys, are combined: 0 (off), or at least 2.
    linkage
        Whether to match released records with originals.
    risks
        Whether to attack by membership, singling out, linking and reconstruction of records, each with a control.
    utility
        Whether to measure utility that needs no attribute: neighbours, similarity and explained variance.
    known
        Shares of the fitted records whose classes an attacker knows, each above 0 and below 1. Empty: no such attack.
    tail
        Whether to look for classes and persons that are inferred although most are not.
    plants
        Planted leaks of each kind and size, by which the audit measures its power; 0: none, else at least 5.
    name
        The budget from which this one was made.

    Raises
    ------
    SordineError
        For an unknown attack, scenario or size, and for numbers out of range.
    """

    families: tuple[str, ...] = field(default_factory=_standard)
    settings: tuple[str, ...] = ("A", "B", "C")
    seeds: tuple[int, ...] = (0,)
    folds: int = 3
    max_records: int = 5000
    permutations: int = 20
    cloud: int = 600
    resnet_size: Size = "small"
    person: tuple[int, ...] = (1, 10, 50, 0)
    queries: int = 0
    linkage: bool = False
    risks: bool = True
    utility: bool = True
    known: tuple[float, ...] = (0.5, 0.9)
    tail: bool = True
    plants: int = 20
    name: Level = "standard"

    @classmethod
    def quick(cls) -> Budget:
        """Return two fast attacks on single records: a first look. Chance accuracy here proves little."""
        families = attacks_in("quick")
        return cls(families, person=(), risks=False, utility=False, known=(), tail=False, plants=0, name="quick")

    @classmethod
    def standard(cls) -> Budget:
        """Return the default budget."""
        return cls()

    @classmethod
    def paranoid(cls) -> Budget:
        """Return every attack, with five folds, five releases of each record, linkability, and planted leaks."""
        return cls(
            families=attacks_in("paranoid"), folds=5, queries=5, linkage=True, max_records=20000, name="paranoid"
        )

    @classmethod
    def named(cls, name: str, **changes: Any) -> Budget:
        """Return a budget by its name, with some fields changed.

        Raises
        ------
        SordineError
            For an unknown name, or a change that the budget does not accept.
        """
        made = {"quick": cls.quick, "standard": cls.standard, "paranoid": cls.paranoid}
        if name not in made:
            raise SordineError(f"audit: unknown budget {name!r}; {nearest(name, made)}")
        return replace(made[name](), **changes)

    def __post_init__(self) -> None:
        _check_names("families", "attack", self.families, ATTACKS)
        _check_names("settings", "scenario", self.settings, SETTINGS)
        _check_names("resnet_size", "size", (self.resnet_size,), get_args(Size))
        if not self.seeds:
            raise SordineError("audit: seeds is empty; give at least one seed")
        for seed in self.seeds:
            if not 0 <= seed <= MOST_SEEDS:
                raise SordineError(f"audit: seed {seed} is out of range; use a whole number from 0 to {MOST_SEEDS:,}")
        for option, value, least in (("folds", self.folds, 2), ("max_records", self.max_records, FEWEST)):
            if value < least:
                raise SordineError(f"audit: {option} is {value}; it must be at least {least}")
        if any(k < 0 for k in self.person):
            raise SordineError(f"audit: person has {min(self.person)}; use positive numbers, or 0 for all records")
        if any(not 0 < share < 1 for share in self.known):
            raise SordineError(f"audit: known has {self.known}; each share must be above 0 and below 1")
        if self.queries < 0 or self.queries == 1:
            raise SordineError(f"audit: queries is {self.queries}; it must be 0 (off) or at least 2")
        if self.plants != 0 and self.plants < FEWEST_PLANTS:
            raise SordineError(f"audit: plants is {self.plants}; it must be 0 (off) or at least {FEWEST_PLANTS}")

    def left_out(self, shape: Sequence[int]) -> tuple[str, ...]:
        """Return what the budget `standard` tests and this one does not, in words.

        Parameters
        ----------
        shape
            Of a record: attacks that do not accept it are left out by every budget.
        """
        full, left = Budget.standard(), []
        wanted = [name for name in full.families if accepts(name, tuple(shape))]
        missing = [name for name in wanted if name not in self.families]
        if missing:
            left.append(f"{len(missing)} of {len(wanted)} attacks")
        if self.name == "quick":
            return (*left, "all but single records, in a trial")
        scenarios = [s for s in full.settings if s not in self.settings]
        if scenarios:
            left.append(f"scenario{'s' if len(scenarios) > 1 else ''} {' and '.join(scenarios)}")
        if not self.known:
            left.append("attackers that know classes of fitted records")
        elif max(self.known) < max(full.known):
            left.append(f"attackers that know more than {percent(max(self.known))} of the classes of fitted records")
        if not set(self.person) - {1}:
            left.append("attackers that pool records of one person")
        left += ["the tail"] if not self.tail else []
        left += ["risks besides inference"] if not self.risks else []
        return tuple(left)

    if not TYPE_CHECKING:

        @property
        def pictures(self) -> Size:
            """Return `resnet_size`, by its name of version 0.1."""
            _warn_of_pictures()
            return self.resnet_size


def _warn_of_pictures() -> None:
    warnings.warn("Budget: pictures is deprecated; use resnet_size", DeprecationWarning, stacklevel=3)


def _accept_pictures(budget: type[Budget]) -> None:
    # Let the constructor accept `pictures`, the name of `resnet_size` in version 0.1.
    init = budget.__init__

    @functools.wraps(init)
    def wrapper(self: Budget, *args: Any, **fields: Any) -> None:
        if "pictures" in fields:
            _warn_of_pictures()
            fields["resnet_size"] = fields.pop("pictures")
        init(self, *args, **fields)

    budget.__init__ = wrapper  # type: ignore[method-assign]


_accept_pictures(Budget)


def _check_names(option: str, kind: str, names: Sequence[str], known: Any) -> None:
    if not names:
        raise SordineError(f"audit: {option} is empty; name at least one {kind}")
    for name in names:
        if name not in known:
            raise SordineError(f"audit: unknown {kind} {name!r}; {nearest(name, known)}")
