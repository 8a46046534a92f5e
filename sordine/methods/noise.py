"""Noise: Gaussian noise on features, the baseline that the papers compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sordine.data.statistics import moments
from sordine.data.table import Table
from sordine.methods.base import Method, Strength
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run


class NoiseModifier(Modifier):
    """x' = x + scale * e, with e standard normal and independent in every number.

    Parameters
    ----------
    width
        Numbers of a record. The buffer `scale` (width,) is in the units of the table.
    """

    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.noise = width
        self.register_buffer("scale", torch.zeros(width))

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return the records (b, *shape) plus noise; noise (b, width) is uniform in (0, 1)."""
        return Release(x + (self.scale * torch.special.ndtri(noise)).reshape(x.shape))


@dataclass(frozen=True)
class Noise(Method):
    """Zero-mean Gaussian noise.

    Parameters
    ----------
    sigma
        Standard deviation of the noise, 0 to 1e6.
    unit
        Unit of sigma: `standard` (the standard deviation of each column among the training records) or `raw` (the unit
        of the table, as in the paper's table).

    References
    ----------
    - MaSS (2022), table 5: the baseline of additive noise.
    """

    sigma: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    unit: Literal["standard", "raw"] = "standard"

    name: ClassVar[str] = "noise"
    suppresses: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    takes_continuous: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength("sigma", (30.0, 10.0, 5.0, 3.0, 2.0, 1.5, 1.0, 0.7, 0.5, 0.3))
    guarantee: ClassVar[str] = (
        "Nothing is proved of this release: noise of this size bounds what can be inferred from a record only where "
        "the values of records are bounded, and no bound is set here."
    )

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Measure the spread of each column; nothing is trained."""
        modifier = NoiseModifier(table.width)
        spread = moments(table.x)[1] if self.unit == "standard" else np.ones(table.width)
        modifier.scale = torch.from_numpy((self.sigma * spread).astype(np.float32))
        modifier.card = self.card(policy, table)
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        return NoiseModifier(len(tensors["scale"]))
