"""Errors that a user can cause or resolve, and helpers for their messages."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import Any


class SordineError(Exception):
    """The input or the call is wrong.

    The message is one line: what is wrong, where, and what to do. The command line exits with code 2.
    """


class WriteError(SordineError):
    """An output cannot be written: no permission, or the disk is full."""


# What the machine lacks, whichever file is being processed: space, memory, handles, permission to write.
OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EROFS}
)


def pass_on(error: BaseException) -> None:
    """Raise an error again where the machine is its cause, so that no file is called bad for it."""
    if getattr(error, "errno", None) in OF_THE_MACHINE or isinstance(error, MemoryError | WriteError):
        raise error


# Control characters, and marks that change the order in which a line is shown: each is shown as its escape sequence.
_ESCAPED = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (
        *(c for c in range(0x20) if chr(c) not in "\n\t"),
        *range(0x7F, 0xA0),
        *(0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A), 0xFEFF),
    )
}


def visible(text: str) -> str:
    """Return text as it may be shown: control characters and marks of direction as escape sequences such as \\x1b."""
    return text.translate(_ESCAPED)


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
