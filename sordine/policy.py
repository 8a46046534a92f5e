"""Policy: what must become unreadable, what must stay readable, and what the audit watches besides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sordine.errors import SordineError, nearest

ALL_OTHERS: Literal["all others"] = "all others"


@dataclass(frozen=True)
class Policy:
    """Which attributes to suppress, to preserve and to watch.

    suppress: attributes that an attacker must not read from released records.
    preserve: attributes that must stay readable; a method may use their labels.
    watch: attributes hidden from the method and read by the audit; `ALL_OTHERS` (the default) means every attribute
        of the table that is neither suppressed nor preserved.

    Raises SordineError where an attribute stands in two places, or twice in one.
    """

    suppress: tuple[str, ...] = ()
    preserve: tuple[str, ...] = ()
    watch: tuple[str, ...] | Literal["all others"] = ALL_OTHERS

    def __post_init__(self) -> None:
        for role in ("suppress", "preserve", "watch"):
            names = getattr(self, role)
            if names == ALL_OTHERS:
                continue
            if isinstance(names, str):
                names = (names,)
            object.__setattr__(self, role, tuple(names))
        seen: dict[str, str] = {}
        for role, names in self.roles():
            for name in names:
                if name in seen:
                    where = f"twice under {role}" if seen[name] == role else f"under {seen[name]} and under {role}"
                    raise SordineError(f"policy: attribute {name!r} stands {where}")
                seen[name] = role

    def roles(self) -> list[tuple[str, tuple[str, ...]]]:
        """(role, attribute names) for the three roles; an unresolved watch is empty."""
        watch = () if self.watch == ALL_OTHERS else self.watch
        return [("suppress", self.suppress), ("preserve", self.preserve), ("watch", tuple(watch))]

    @property
    def named(self) -> tuple[str, ...]:
        """Every attribute that the policy names."""
        return tuple(name for _, names in self.roles() for name in names)

    def resolve(self, attributes: Iterable[str]) -> Policy:
        """This policy on a table that has `attributes`: unknown names are refused, `ALL_OTHERS` is filled in.

        Raises SordineError naming the unknown attribute and the nearest known one.
        """
        known = list(attributes)
        for role, names in self.roles():
            for name in names:
                if name not in known:
                    raise SordineError(f"policy: the table has no attribute {name!r} to {role}; {nearest(name, known)}")
        if self.watch != ALL_OTHERS:
            return self
        named = {*self.suppress, *self.preserve}
        return Policy(self.suppress, self.preserve, tuple(a for a in known if a not in named))
