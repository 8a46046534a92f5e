"""Declare the options of a command as a dataclass."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import typer

OptionsOfCommand = TypeVar("OptionsOfCommand", bound="WithNotes")


@dataclass(frozen=True)
class Renamed:
    """Marks an option that had another name in version 0.1. The old name works, is hidden, and logs a note.

    Parameters
    ----------
    old
        The old name, such as "--set".
    new
        The new name, such as "--option".
    """

    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class WithNotes:
    """Base of the options of every command. `notes` are lines to log at the start; they are no option."""

    notes: tuple[str, ...] = ()

    def around(self) -> contextlib.AbstractContextManager[object]:
        """Return the block in which the command runs."""
        return contextlib.nullcontext()


def takes(
    options: type[OptionsOfCommand],
) -> Callable[[Callable[[OptionsOfCommand], int | None]], Callable[..., int | None]]:
    """Give a command the options that a dataclass declares.

    Parameters
    ----------
    options
        A dataclass whose fields are annotated with Typer parameters. Help lists the fields of a class before those of
        its bases. The field `notes` receives the notes on renamed options.

    Returns
    -------
    callable
        A decorator for a function of one options object. The result has the signature that Typer needs.
    """
    parameters = list(_parameters(options))
    renamed = {p.name: mark for p in parameters if (mark := _renamed(p.annotation)) is not None}
    hidden = [_old_parameter(name, mark, _annotation(parameters, name)) for name, mark in renamed.items()]

    def decorate(body: Callable[[OptionsOfCommand], int | None]) -> Callable[..., int | None]:
        @functools.wraps(body)
        def command(**values: Any) -> int | None:
            notes = []
            for name, mark in renamed.items():
                old = values.pop(_old_name(name))
                if old:
                    notes.append(f"{mark.old} is deprecated; use {mark.new}")
                    values[name] = [*(values[name] or ()), *old]
            given = options(**values, notes=tuple(notes))
            with given.around():
                return body(given)

        every = [*parameters, *hidden]
        command.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in every}
        del command.__wrapped__  # Typer would take the signature of the body
        return command

    return decorate


def _parameters(options: type[Any]) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(options, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(options)}
    order = [name for cls in options.__mro__ for name in vars(cls).get("__annotations__", {}) if name in fields]
    for name in dict.fromkeys(order):
        if name == "notes":
            continue
        default = fields[name].default
        yield inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if default is dataclasses.MISSING else default,
            annotation=hints[name],
        )


def _annotation(parameters: list[inspect.Parameter], name: str) -> Any:
    return next(p.annotation for p in parameters if p.name == name)


def _renamed(annotation: Any) -> Renamed | None:
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Renamed)), None)


def _old_name(name: str) -> str:
    return f"{name}_by_old_name"


def _old_parameter(name: str, mark: Renamed, annotation: Any) -> inspect.Parameter:
    kind = get_args(annotation)[0]
    return inspect.Parameter(
        _old_name(name),
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, typer.Option(mark.old, hidden=True)],
    )
