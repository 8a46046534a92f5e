"""The control method `nothing`: records are released unchanged, so that its audit shows errors of the audit itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sordine.data.table import Table
from sordine.methods.base import Method
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run


class Identity(Modifier):
    """x' = x."""

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return the records (b, *shape) unchanged."""
        return Release(x.clone())


@dataclass(frozen=True)
class Nothing(Method):
    """The control: no option, no change."""

    name: ClassVar[str] = "nothing"
    suppresses: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    takes_continuous: ClassVar[bool] = True
    guarantee: ClassVar[str] = "Nothing is hidden: this is the control."

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Return an identity for records of the table's shape."""
        modifier = Identity()
        modifier.card = self.card(policy, table)
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an identity; see `Method.build`."""
        return Identity()
