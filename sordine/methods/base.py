"""What every method offers: its options, what it needs, and a fit."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Protocol

from torch import Tensor

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

LARGEST_FIELD = 1e6


class Method(Protocol):
    """A dataclass whose fields are its configuration. `fit` is given the TRAINING records only, and a resolved policy.

    suppresses: it needs at least one suppressed attribute. preserves: it needs a preserved one, its task. stochastic: two
    keys give two releases.
    """

    suppresses: ClassVar[bool]
    preserves: ClassVar[bool]
    stochastic: ClassVar[bool]

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier: ...

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """An empty modifier of the right sizes, ready for `load_state_dict(tensors)`."""
        ...


def check_fields(
    method: str, fields: Mapping[str, Any], may_be_0: Collection[str] = (), words: Collection[str] = ()
) -> None:
    """Raise SordineError where a number among a method's fields is none, not finite, above a million, below 0, or 0 where it may
    not be. words: the fields that are no numbers; true and false may be given for numbers."""
    for name, value in fields.items():
        if name in words or isinstance(value, bool):
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise SordineError(f"{method}: {name} is {value}; it must be a number")
        if value > LARGEST_FIELD:
            said = value if isinstance(value, int) else f"{value:g}"
            raise SordineError(f"{method}: {name} is {said}; it must be at most {LARGEST_FIELD:.0f}")
        if value < 0 and name in may_be_0:
            raise SordineError(f"{method}: {name} is {value}; it must be at least 0")
        if value <= 0 and name not in may_be_0:
            raise SordineError(f"{method}: {name} is {value}; it must be above 0")


def input_of(table: Table) -> dict[str, Any]:
    """The input schema for a modifier's card. dtype: "uint8" of pictures, whose x' then is uint8 pictures too."""
    dtype = "uint8" if table.pictures else "float32"
    return {"shape": list(table.shape), "dtype": dtype, "features": list(table.features)}
