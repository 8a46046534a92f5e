"""The methods by name, the default method, and modifiers from their directories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from sordine.data.registry import Registry
from sordine.errors import SordineError
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
from sordine.models.modifier import Card, Modifier, open_modifier
from sordine.policy import Policy

METHODS: Registry[Method] = Registry(
    "method",
    {
        cls.name: cls
        for cls in (
            Mass,
            Substitution,
            Transport,
            Flow,
            Inversion,
            Masking,
            Replacement,
            Leace,
            Noise,
            Nothing,
        )
    },
)


def default_method(policy: Policy, *, copies: bool = False) -> str:
    """Return the name of the method that is used where none is named.

    Parameters
    ----------
    policy
        What is suppressed and preserved. The default is the same for every policy: transport, with five maps.
    copies
        Whether the release must hold copies of real records, those of another table or media files.
    """
    kind = "copies" if copies else "records"
    return next(name for name, cls in METHODS.items() if cls.default_for == kind)


def make(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """Return a method with some of its options set; text is parsed by the type of the option.

    Raises
    ------
    SordineError
        For an unknown method or option (the message names the nearest one), or for a value that does not fit.
    """
    return METHODS.make(name, settings)


def load(folder: str | Path) -> Modifier:
    """Return the modifier of a directory.

    Raises
    ------
    SordineError
        Where the directory is missing, damaged or of another version, or its method is not registered.
    """

    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        if card.method not in METHODS:
            raise SordineError(
                f"{folder}: made by the method {card.method!r}, which is not known here; install or register that "
                f"method"
            )
        return METHODS[card.method].build(card, tensors)

    return open_modifier(folder, build)
