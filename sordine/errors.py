"""Errors that a user can cause or resolve, and helpers for their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class SordineError(Exception):
    """The input or the call is wrong.

    The message is one line: what is wrong, where, and what to do. The command line exits with code 2.
    """


class WriteError(SordineError):
    """An output cannot be written: no permission, or the disk is full."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the known name nearest to `name`, or all known names."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + (", ".join(names) if names else "none")


def check_number(what: str, value: Any, low: float, high: float) -> None:
    """Raise SordineError where a value is no number from `low` to `high`; None, "not set", passes."""
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (known and low <= value <= high):
        raise SordineError(f"{what} must be a number from {low:g} to {high:g}, not {value!r}")
