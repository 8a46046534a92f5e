"""Registry: classes by name, made from options that a user gives as text or values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import pydantic

from sordine.errors import SordineError, nearest

T = TypeVar("T")


class Registry(Mapping[str, type[T]], Generic[T]):
    """A mapping from name to class, for one kind of thing (a method, an attack, an extractor).

    Parameters
    ----------
    kind
        What the classes are, for error messages: "method".
    classes
        Name to class. Each class is a dataclass whose fields are its options.
    option
        What a field is called in error messages.
    has_options
        Whether the classes have options. Without them, a class need not be a dataclass.
    """

    def __init__(
        self, kind: str, classes: Mapping[str, type[T]], option: str = "option", has_options: bool = True
    ) -> None:
        self.kind = kind
        self.option = option
        self.has_options = has_options
        self._classes = dict(classes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._classes:
            raise KeyError(name)
        return self._classes[name]

    def find(self, name: str) -> type[T]:
        """Return the class of that name.

        Raises
        ------
        SordineError
            Where there is none; the message names the nearest one.
        """
        if name not in self._classes:
            raise SordineError(f"unknown {self.kind} {name!r}; {nearest(name, self._classes)}")
        return self._classes[name]

    def register(self, name: str, cls: type[T]) -> type[T]:
        """Add a class from outside the package, or replace one of that name.

        Raises
        ------
        SordineError
            Where the name is not text, or is empty; and for something that is not a class, or not a dataclass although
            the classes have options.
        """
        if not isinstance(name, str) or not name.strip():
            raise SordineError(f"a {self.kind} needs a name, not {name!r}")
        if not isinstance(cls, type):
            raise SordineError(f"{self.kind} {name!r}: register a class, not {cls!r}")
        if self.has_options and not dataclasses.is_dataclass(cls):
            raise SordineError(f"{self.kind} {name!r}: {cls.__name__} is not a dataclass; decorate it with @dataclass")
        self._classes[name] = cls
        return cls

    def unregister(self, name: str) -> None:
        """Remove a class that was added."""
        self._classes.pop(name, None)

    def options(self, name: str) -> tuple[str, ...]:
        """Return the names of a class's options, in the order of its fields.

        Raises
        ------
        SordineError
            For an unknown name.
        """
        fields = dataclasses.fields(self.find(name)) if self.has_options else ()  # type: ignore[arg-type]
        return tuple(field.name for field in fields if field.init)

    def make(self, name: str, options: Mapping[str, Any] | None = None) -> T:
        """Return an instance with some options set. Text is parsed by the type of the field.

        Raises
        ------
        SordineError
            For an unknown name or option (the message names the nearest one), and for a value that does not fit.
        """
        cls = self.find(name)
        known = self.options(name)
        for given in options or {}:
            if given not in known:
                hint = nearest(given, known) if known else "it has none"
                raise SordineError(f"{self.kind} {name!r} has no {self.option} {given!r}; {hint}")
        if not self.has_options:
            return cls()
        try:
            return pydantic.TypeAdapter(cls).validate_python(dict(options or {}))
        except pydantic.ValidationError as error:
            place, wrong = wrong_value(error, options or {})
            raise SordineError(f"{self.kind} {name!r}: {'.'.join(place) or self.option} = {wrong}") from None


def wrong_value(error: pydantic.ValidationError, given: Any) -> tuple[list[str], str]:
    """Return where a value is wrong, and the value with the reason.

    Parameters
    ----------
    error
        The error of pydantic.
    given
        What was validated: a mapping of options, or the value of one.

    Returns
    -------
    place
        Keys and positions that lead to the value, such as ["widths", "1"]; without the names of types, which pydantic
        puts between them where several types are allowed.
    wrong
        Such as "'wide': Input should be a valid integer". Of several types, that of the deepest error fits best.
    """
    closest = max(error.errors(), key=lambda found: len(found["loc"]))
    place, inside = [], given
    for part in closest["loc"]:
        known = isinstance(inside, Mapping) and part in inside
        if known or isinstance(part, int) or closest["type"] == "missing":
            place.append(str(part))
            inside = inside[part] if known else None
    return place, f"{closest['input']!r}: {closest['msg'].removeprefix('Value error, ')}"
