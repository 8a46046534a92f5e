"""Nothing: the control. Records leave as they came; whatever an audit finds here, the audit itself brought along."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sordine.data.table import Table
from sordine.methods.base import input_of
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run


class Identity(Modifier):
    """x' = x."""

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """(b, *shape) -> the same records."""
        return Release(x.clone())


@dataclass(frozen=True)
class Nothing:
    """The control method: it has no field and changes nothing."""

    suppresses: ClassVar[bool] = False
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = False

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """An identity for records of the table's shape."""
        modifier = Identity()
        modifier.card = Card("nothing", {}, {r: list(n) for r, n in policy.roles()}, input_of(table))
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """See `recipe.Method`."""
        return Identity()
