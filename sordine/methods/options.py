"""Types of options with their ranges, options that differ by attribute, and presets."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, get_type_hints

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from sordine.data.registry import wrong_value
from sordine.errors import SordineError, nearest

LARGEST = 1_000_000_000
SMALLEST_RATE, LARGEST_RATE = 1e-12, 1000  # a larger learning rate exceeds single precision

Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, le=0.999999)]
Rate = Annotated[float, Field(ge=SMALLEST_RATE, le=LARGEST_RATE)]
Count = Annotated[int, Field(ge=1, le=LARGEST)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST)]
Recognised = Annotated[float, Field(gt=0.5, le=1)]  # area under the curve of a test of two alternatives
SmallPositive = Annotated[float, Field(gt=0, le=1_000_000)]  # a larger number would exhaust memory or time
SmallNonNegative = Annotated[float, Field(ge=0, le=1_000_000)]
SmallCount = Annotated[int, Field(ge=1, le=1_000_000)]
SmallCountOrZero = Annotated[int, Field(ge=0, le=1_000_000)]
Parts = Annotated[int, Field(ge=1, le=50)]  # maps of a cross-fitted method
BatchSize = Annotated[int, Field(ge=2, le=LARGEST)]  # batch norm needs at least two records


def read(value: Any) -> Any:
    """Parse an option of a command line: "1,2" -> a tuple, "speaker:5,sex:1" -> a mapping by attribute."""
    if not isinstance(value, str):
        return value
    if ":" in value:
        return {name.strip(): given.strip() for name, _, given in (part.rpartition(":") for part in value.split(","))}
    return tuple(value.split(",")) if "," in value else value


def read_widths(value: Any) -> Any:
    """Parse widths as `read` does; a single number is one width."""
    found = read(value)
    return (found,) if isinstance(found, str | int) and not isinstance(found, bool) else found


def one_of(known: Collection[str]) -> AfterValidator:
    """Return a validator that accepts these names only; its message names the nearest one."""

    def check(value: str) -> str:
        if value not in known:
            raise ValueError(f"unknown; {nearest(value, known)}")
        return value

    return AfterValidator(check)


Weight = Annotated[NonNegative | tuple[NonNegative, ...] | Mapping[str, NonNegative], BeforeValidator(read)]
Widths = Annotated[tuple[Count, ...], Field(min_length=1), BeforeValidator(read_widths)]


_CACHE: dict[type, dict[str, pydantic.TypeAdapter[Any]]] = {}


def _adapters(cls: Any) -> dict[str, pydantic.TypeAdapter[Any]]:
    if cls not in _CACHE:
        hints = get_type_hints(cls, include_extras=True)
        _CACHE[cls] = {f.name: pydantic.TypeAdapter(hints[f.name]) for f in dataclasses.fields(cls) if f.init}
    return _CACHE[cls]


def check_options(options: Any, name: str) -> None:
    """Check the fields of a frozen dataclass against their types and ranges, and set their parsed values.

    Raises
    ------
    SordineError
        Where a value does not fit; the message names method and option.
    """
    for option, adapter in _adapters(type(options)).items():
        value = getattr(options, option)
        try:
            parsed = adapter.validate_python(value)
        except pydantic.ValidationError as error:
            place, wrong = wrong_value(error, value)
            raise SordineError(f"method {name!r}: {'.'.join([option, *place])} = {wrong}") from None
        object.__setattr__(options, option, parsed)


class Presets:
    """Mixin of a method with presets: an option that is None takes the value of the preset.

    Class Attributes
    ----------------
    presets
        Name of a preset -> option -> value.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset: str | None

    def preset_values(self) -> Mapping[str, Any]:
        """Return the values of the chosen preset."""
        return self.presets[str(self.preset)]

    def settled(self) -> Self:
        """Return the same options with the values of the preset in place of None."""
        values = self.preset_values()
        missing = {option: value for option, value in values.items() if getattr(self, option) is None}
        return dataclasses.replace(self, **missing)  # type: ignore[type-var]

    def number(self, option: str) -> float:
        """Return a settled option that is a number."""
        return float(getattr(self, option))


def choices_of(choice: Any, names: Sequence[str], default: Any, what: str) -> dict[str, Any]:
    """Return one choice for each attribute.

    Parameters
    ----------
    choice
        The same choice for all attributes, or a mapping by attribute.
    names
        The attributes.
    default
        Choice of an attribute that a mapping does not name.
    what
        Method and option, for error messages: "mass: similarity".

    Raises
    ------
    SordineError
        Where the mapping names another attribute.
    """
    if not isinstance(choice, Mapping):
        return dict.fromkeys(names, choice)
    _check_names(choice, names, what)
    return {name: choice.get(name, default) for name in names}


def weights_of(weight: Any, names: Sequence[str], what: str) -> dict[str, float]:
    """Return one weight for each attribute.

    Parameters
    ----------
    weight
        One number for all attributes, a sequence in the order of `names` whose last value is repeated, or a mapping.
    names
        The attributes.
    what
        Method and option, for error messages: "mass: w_s".

    Raises
    ------
    SordineError
        Where there is no weight, or the names of a mapping are not `names`.
    """
    if isinstance(weight, Mapping):
        _check_names(weight, names, what)
        for name in names:
            if name not in weight:
                raise SordineError(f"{what} has no value for {name!r}; add one")
        return {name: float(weight[name]) for name in names}
    values = tuple(weight) if isinstance(weight, tuple | list) else (weight,)
    if not values or values[0] is None:
        raise SordineError(f"{what} has no value; set it")
    return {name: float(values[min(i, len(values) - 1)]) for i, name in enumerate(names)}


def _check_names(given: Mapping[str, Any], names: Sequence[str], what: str) -> None:
    for name in given:
        if name not in names:
            raise SordineError(f"{what} names {name!r}, which the policy does not name; {nearest(name, names)}")
