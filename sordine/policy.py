"""Policy: which attributes to suppress, to preserve and to watch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sordine.errors import SordineError, nearest

ALL_OTHERS: Literal["all others"] = "all others"


@dataclass(frozen=True)
class Policy:
    """Which attributes to suppress, to preserve and to watch.

    Parameters
    ----------
    suppress
        Attributes that must not be inferable from released records.
    preserve
        Attributes that must stay useful. A method may use their labels.
    watch
        Attributes hidden from the method and attacked by the audit. `ALL_OTHERS` (the default) means every attribute
        of the table that is neither suppressed nor preserved.

    Raises
    ------
    SordineError
        If an attribute is named twice, or something else than a name is given.
    """

    suppress: tuple[str, ...] = ()
    preserve: tuple[str, ...] = ()
    watch: tuple[str, ...] | Literal["all others"] = ALL_OTHERS

    def __post_init__(self) -> None:
        for role in ("suppress", "preserve", "watch"):
            names = getattr(self, role)
            if names == ALL_OTHERS:
                continue
            names = (names,) if isinstance(names, str) or not isinstance(names, Iterable) else tuple(names)
            if wrong := [name for name in names if not isinstance(name, str)]:
                raise SordineError(f"policy: {role} has {wrong[0]!r}, which is no name of an attribute; give names")
            object.__setattr__(self, role, names)
        roles: dict[str, str] = {}
        for role, names in self.roles():
            for name in names:
                if name in roles:
                    where = f"twice in {role}" if roles[name] == role else f"in {roles[name]} and in {role}"
                    raise SordineError(f"policy: attribute {name!r} is {where}; name it once")
                roles[name] = role

    def roles(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return (role, attribute names) of the three roles; `ALL_OTHERS` gives no names."""
        watch = () if self.watch == ALL_OTHERS else self.watch
        return [("suppress", self.suppress), ("preserve", self.preserve), ("watch", tuple(watch))]

    @property
    def named(self) -> tuple[str, ...]:
        """All attributes that the policy names."""
        return tuple(name for _, names in self.roles() for name in names)

    def resolve(self, attributes: Iterable[str]) -> Policy:
        """Return the policy for a table with these attributes, with `ALL_OTHERS` replaced by names.

        Raises
        ------
        SordineError
            If the table lacks an attribute. The message suggests the nearest name.
        """
        known = list(attributes)
        for role, names in self.roles():
            for name in names:
                if name not in known:
                    raise SordineError(f"policy: there is no attribute {name!r} to {role}; {nearest(name, known)}")
        if self.watch != ALL_OTHERS:
            return self
        named = {*self.suppress, *self.preserve}
        return Policy(self.suppress, self.preserve, tuple(a for a in known if a not in named))
