"""How tables are read where their file does not say it: the options of `--read`."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from sordine.errors import SordineError, nearest

# What pandas and Arrow take for a missing value.
NULL_WORDS = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None", "NaN", "nan", "-NaN", "-nan"),
    *("-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"),
)
_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "pipe": "|"}


@dataclass(frozen=True)
class ReadOptions:
    """How a table is read.

    Parameters
    ----------
    separator
        Between two values of a CSV file: one character, or comma, semicolon, tab, pipe or space. None detects it.
    decimal
        The decimal point of a CSV file, "." or ",". None detects it.
    encoding
        Of a CSV file, such as "latin-1". None detects it.
    nulls
        Words that mean a missing value in a CSV file, beside the empty value. None takes the usual words.
    rename
        (old, new) names of columns. It also gives a column a reserved meaning, or takes it away.
    multi_label
        Text columns with several labels in one value; each label becomes an attribute.
    label_separator
        Between two labels of such a value.
    normalise_labels
        Whether labels that differ only in case or blanks become one class.

    Raises
    ------
    SordineError
        Where a value cannot be used.
    """

    separator: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    nulls: tuple[str, ...] | None = None
    rename: tuple[tuple[str, str], ...] = ()
    multi_label: tuple[str, ...] = ()
    label_separator: str = "|"
    normalise_labels: bool = False

    def __post_init__(self) -> None:
        if self.separator is not None:
            object.__setattr__(self, "separator", _SEPARATORS.get(self.separator, self.separator))
            if len(str(self.separator)) != 1 or not str(self.separator).isascii() or str(self.separator) in '"\r\n':
                raise SordineError(f"the separator is {self.separator!r}; give one character, or comma, tab or space")
        if self.decimal not in (None, ".", ","):
            raise SordineError(f"the decimal point is {self.decimal!r}; give . or ,")
        if self.decimal is not None and self.decimal == self.separator:
            raise SordineError(f"{self.decimal!r} is both the separator and the decimal point; change one")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, TypeError):
                raise SordineError(f"unknown encoding {self.encoding!r}; examples: utf-8, latin-1, utf-16") from None
        if not self.label_separator:
            raise SordineError("the label separator is empty; give the text between two labels, such as |")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ReadOptions:
        """Return the options given as text, such as `{"nulls": "NA,?", "rename": "sex:gender"}`.

        Raises
        ------
        SordineError
            For an unknown name or a wrong value.
        """
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise SordineError(f"--read: unknown option {name!r}; {nearest(name, known)}")
        made: dict[str, Any] = dict(given)
        for name in ("nulls", "multi_label"):
            if isinstance(made.get(name), str):
                made[name] = tuple(word.strip() for word in made[name].split(",") if word.strip())
        if isinstance(made.get("rename"), str):
            pairs = [pair.rpartition(":") for pair in made["rename"].split(",")]
            if not all(old and new.strip() for old, _, new in pairs):
                raise SordineError(f"--read rename={made['rename']}: give old and new names, as OLD:NEW")
            made["rename"] = tuple((old.strip(), new.strip()) for old, _, new in pairs)
        if isinstance(made.get("normalise_labels"), str):
            words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            if made["normalise_labels"].lower() not in words:
                raise SordineError(f"--read normalise_labels={made['normalise_labels']}: give true or false")
            made["normalise_labels"] = words[made["normalise_labels"].lower()]
        return cls(**made)

    def given(self) -> dict[str, str]:
        """Return the options that differ from their defaults, as the text that `of` takes."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        text = {}
        for name, value in found.items():
            if isinstance(value, tuple):
                value = ",".join(":".join(v) if isinstance(v, tuple) else v for v in value)
            text[name] = "true" if value is True else value
        return text


_DEFAULT = ReadOptions()
_current: contextvars.ContextVar[ReadOptions] = contextvars.ContextVar("sordine_read_options", default=_DEFAULT)


def current() -> ReadOptions:
    """Return the options of the innermost `reading` block."""
    return _current.get()


@contextlib.contextmanager
def reading(options: ReadOptions | None = None, /, **given: Any) -> Iterator[ReadOptions]:
    """Read every table of the block with these options.

    Parameters
    ----------
    options
        The options.
    given
        Or their fields, such as `separator=";"`.
    """
    token = _current.set(options if options is not None else ReadOptions.of(given))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
