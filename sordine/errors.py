"""The two ways in which Sordine stops: the user's input is wrong, or there is nothing it could do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class SordineError(Exception):
    """The input or the call is wrong. The message is one line that says what and where; the command line exits with 2."""


class WriteError(SordineError):
    """Something could not be written: the folder is closed, the disk is full. No fault of what was asked for."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known name nearest to `name`, or listing the known ones: ends an error message."""
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
