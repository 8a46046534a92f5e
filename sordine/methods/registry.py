"""Methods: recipes that fit a modifier. `METHODS` names them; `fit` runs one on a table under a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from sordine.errors import SordineError, nearest
from sordine.methods.base import Method
from sordine.methods.flow.method import Flow
from sordine.methods.identity import Nothing
from sordine.methods.inversion.method import Inversion
from sordine.methods.leace import Leace
from sordine.methods.masking.method import Masking
from sordine.methods.mass.method import Mass
from sordine.methods.noise import Noise
from sordine.methods.replacement.method import Replacement
from sordine.methods.substitution.method import Substitution
from sordine.methods.transport.method import Transport
from sordine.models.modifier import Modifier, open_modifier
from sordine.policy import Policy

METHODS: dict[str, Any] = {
    "mass": Mass,
    "substitution": Substitution,
    "transport": Transport,
    "flow": Flow,
    "inversion": Inversion,
    "masking": Masking,
    "replacement": Replacement,
    "leace": Leace,
    "noise": Noise,
    "nothing": Nothing,
}


def default_method(policy: Policy, *, copies: bool = False) -> str:
    """The method that holds best: transport, whether the tasks to come are named or not (docs/results/unknown-task.md).

    copies: whether what leaves must be copies of real records (another table's, or files of media): then substitution.
    """
    return "substitution" if copies else "transport"


def make(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """A method by name with some of its fields set (strings are parsed by the field's type).

    Raises SordineError naming the nearest known method or field, or the field whose value does not fit.
    """
    if name not in METHODS:
        raise SordineError(f"no method {name!r}; {nearest(name, METHODS)}")
    kind = METHODS[name]
    known = [f.name for f in dataclasses.fields(kind)]
    for field in settings or {}:
        if field not in known:
            raise SordineError(f"method {name!r} has no field {field!r}; {nearest(field, known)}")
    try:
        method: Method = pydantic.TypeAdapter(kind).validate_python(dict(settings or {}))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SordineError(f"method {name!r}: {where} = {first['input']!r}: {first['msg']}") from None
    return method


def load(folder: str | Path) -> Modifier:
    """Read a modifier's directory. Raises SordineError for one that is missing, damaged or of another version."""

    def build(card: Any, tensors: Any) -> Modifier:
        if card.method not in METHODS:
            raise SordineError(f"{folder}: made by the method {card.method!r}, which this version does not know")
        made: Modifier = METHODS[card.method].build(card, tensors)
        return made

    return open_modifier(folder, build)
