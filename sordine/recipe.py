"""Recipe: what every method is given, and what it must offer."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.game import Batch
from sordine.keys import Key
from sordine.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.table import Table

LARGEST_FIELD = 1e6
MOST_SEEDS = 2**32 - 1  # what NumPy and scikit-learn take
Views = Callable[[Batch, torch.Generator], tuple[Tensor, Tensor]]  # two views of a batch, each (b, *shape)


def silent(message: str) -> None:
    """The default log: says nothing."""


@dataclass(frozen=True)
class Run:
    """The circumstances of a fit: nothing in it changes what a method is.

    device: where tensors live. seed: of training (weights, shuffles). key: of released draws and of the split.
    log: takes one line for people. progress: (what, done, of). folder: where unfinished work is kept, to resume.
    pool: another table whose records may be released in place of the owner's own (substitution).
    raw_views: for training records, what gives two views of a batch made from the raw media (MaSS, B.1); None where there
    are no raw media: views are then made of the vectors themselves.
    """

    device: str = "cpu"
    seed: int = 0
    key: Key = field(default_factory=lambda: Key.of_seed(0))
    log: Callable[[str], None] = silent
    progress: Callable[[str, int, int], None] | None = None
    folder: Path | None = None
    pool: Table | None = None
    raw_views: Callable[[Table], Views] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MOST_SEEDS:
            raise SordineError(f"seed is {self.seed}; it must be a whole number from 0 to {MOST_SEEDS}")


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
