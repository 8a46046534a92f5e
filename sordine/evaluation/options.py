"""Options of an audit, and the layer that still accepts them as separate keywords."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ParamSpec, TypeVar

from sordine.data.table import Table

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class AuditOptions:
    """What an audit looks at beside the attacks of its budget.

    Parameters
    ----------
    max_leakage
        Limit on leakage (NAG), 0 to 1. None: the verdict uses 5 % and nothing passes or fails.
    person
        Attribute that names the person of a record. None: see `sordine.evaluation.sections.sample.unit_of`.
    match_by_order
        Whether row i of both tables is the same record where a table has no ids.
    kept
        Columns that the optimal attack has beside the record. None: the preserved attributes that are released.
    originals
        Whether the report may show original records.
    pretrained
        Whether to measure classifiers that are never retrained.
    final
        Whether the table is released as it is, with its ids and its order.
    sections
        Names of the report sections to run. None runs all of them.
    more
        Labelled originals that the attacker alone holds. They need the modifier.
    memory
        Cache of predictions on the originals, for further audits of the same table.
    source
        Facts about the inputs that the report repeats in its part `made`.
    """

    max_leakage: float | None = None
    person: str | None = None
    match_by_order: bool = False
    kept: Sequence[str] | None = None
    originals: bool = True
    pretrained: bool = True
    final: bool = False
    sections: Sequence[str] | None = None
    more: Table | None = None
    memory: MutableMapping[Any, Any] | None = None
    source: Mapping[str, Any] | None = None


OPTION_NAMES = tuple(field.name for field in fields(AuditOptions))


def accepts_option_keywords(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function that takes `options` also accept the fields of `AuditOptions` as keywords.

    The keywords of version 0.1 work for one version, with a deprecation warning.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        given = {name: kwargs.pop(name) for name in OPTION_NAMES if name in kwargs}
        if given:
            words = ", ".join(given)
            warnings.warn(
                f"{function.__name__}: {words} as keywords are deprecated; use options=AuditOptions({words}=...)",
                DeprecationWarning,
                stacklevel=2,
            )
            options = kwargs.get("options") or AuditOptions()
            kwargs["options"] = replace(options, **given)  # type: ignore[type-var]
        return function(*args, **kwargs)

    return wrapper
