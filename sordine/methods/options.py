"""A weight, or a choice, for each attribute: one for all, in the policy's order, or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from sordine.errors import SordineError, nearest


def read(value: Any) -> Any:
    """A field as it stands on a command line: "1,2" is a tuple, "speaker:5,sex:1" a mapping by attribute."""
    if not isinstance(value, str):
        return value
    if ":" in value:
        return {name.strip(): given.strip() for name, _, given in (part.rpartition(":") for part in value.split(","))}
    return tuple(value.split(",")) if "," in value else value


def read_widths(value: Any) -> Any:
    """The same for widths, of which there may be one."""
    found = read(value)
    return (found,) if isinstance(found, str | int) and not isinstance(found, bool) else found


Weight = Annotated[float | tuple[float, ...] | Mapping[str, float], BeforeValidator(read)]
Widths = Annotated[tuple[int, ...], BeforeValidator(read_widths)]


def each(value: Any) -> tuple[Any, ...]:
    """All the values that a weight or a choice holds."""
    if isinstance(value, Mapping):
        return tuple(value.values())
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def choices_of(choice: Any, names: Sequence[str], default: Any, what: str) -> dict[str, Any]:
    """One choice for each name: `choice` itself, or where it is a mapping its value, else `default`.

    Raises SordineError where a mapping names what is not among `names`.
    """
    if not isinstance(choice, Mapping):
        return dict.fromkeys(names, choice)
    _check(choice, names, what)
    return {name: choice.get(name, default) for name in names}


def _check(given: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    for name in given:
        if name not in names:
            raise SordineError(f"{what} names {name!r}, which the policy does not; {nearest(name, names)}")


def weights_of(weight: Weight | None, names: Sequence[str], what: str) -> dict[str, float]:
    """One weight for each name; a sequence's last value is repeated. `what` names the field in an error message.

    Raises SordineError where there is no weight at all or a mapping's names are not `names`.
    """
    if isinstance(weight, Mapping):
        _check(weight, names, what)
        for name in names:
            if name not in weight:
                raise SordineError(f"{what} has no value for {name!r}")
        return {name: float(weight[name]) for name in names}
    values = each(weight)
    if not values or values[0] is None:
        raise SordineError(f"{what} has no value")
    return {name: float(values[min(i, len(values) - 1)]) for i, name in enumerate(names)}
