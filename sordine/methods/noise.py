"""Noise: Gaussian noise on features, the baseline that every paper compares with (MaSS, table 5 and section D)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from sordine.data.statistics import moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import input_of
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run


class NoiseModifier(Modifier):
    """x' = x + scale * e, e standard normal, independent in every number. scale: (width,) in the table's own units."""

    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.noise = width
        self.register_buffer("scale", torch.zeros(width))

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """(b, *shape), noise (b, width) uniform -> (b, *shape)."""
        return Release(x + (self.scale * torch.special.ndtri(noise)).reshape(x.shape))


@dataclass(frozen=True)
class Noise:
    """Zero-mean Gaussian noise.

    sigma: its standard deviation, at least 0. unit: what sigma counts in: `standard` (each column's own standard
    deviation among the training records) or `raw` (the table's own scale, as in MaSS's table 5).
    """

    sigma: float = 1.0
    unit: Literal["standard", "raw"] = "standard"

    suppresses: ClassVar[bool] = False
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 <= self.sigma <= 1e6:
            raise SordineError(f"noise: sigma is {self.sigma}; it must be at least 0 and at most a million")

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Measure each column's spread; nothing is trained."""
        modifier = NoiseModifier(table.width)
        spread = moments(table.x)[1] if self.unit == "standard" else np.ones(table.width)
        modifier.scale = torch.from_numpy((self.sigma * spread).astype(np.float32))
        modifier.card = Card("noise", asdict(self), {r: list(n) for r, n in policy.roles()}, input_of(table))
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """See `recipe.Method`."""
        return NoiseModifier(len(tensors["scale"]))
