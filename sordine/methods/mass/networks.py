"""The networks of MaSS: the unit sphere that records are put on, and the residual modifier on it (eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sordine.methods.mass.losses import modify
from sordine.models.losses import unit
from sordine.models.networks.mlp import mlp


class Sphere(nn.Module):
    """The unit vectors that stand for records: `onto` goes there, `back` returns to the table's own scale.

    mean, scale: (d,) of the training records. radius: their mean norm after standardising. A record's own norm is given
    up on the way: it would leak past the modifier. A column that never changes (scale 0) stays as it is.
    """

    mean: Tensor
    scale: Tensor
    radius: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("radius", torch.ones(()))

    def standardised(self, x: Tensor) -> Tensor:
        """(b, *shape) in the table's scale -> (b, d), 0 where a column never changes."""
        live = self.scale > 0
        return torch.where(live, (x.flatten(1) - self.mean) / torch.where(live, self.scale, 1.0), 0.0)

    def onto(self, x: Tensor) -> Tensor:
        """(b, *shape) in the table's scale -> (b, d) of norm 1 (0 for a record that is exactly the mean)."""
        return unit(self.standardised(x))

    def back(self, v: Tensor) -> Tensor:
        """(b, d) -> (b, d) in the table's scale, with the one radius that all records share."""
        return v * (self.radius * self.scale) + self.mean

    def forward(self, x: Tensor) -> Tensor:
        """The record as the sphere can express it: (b, *shape) -> the same, its norm replaced by the radius."""
        return self.back(self.onto(x)).reshape(x.shape)


class Step(nn.Module):
    """The learnt map on the sphere. Eq. 1, residual: v' = n(v + n(MLP(v))). Otherwise v' = n(MLP([v, noise])), which can
    leave out what the sum in eq. 1 always carries along: the record itself.

    width, hidden: the MLP's widths are d, *hidden, d. noise: how many standard normal numbers a record takes.
    live: (d,), 0 where a column never changes.
    """

    live: Tensor

    def __init__(self, width: int, hidden: Sequence[int], noise: int = 0, residual: bool = True) -> None:
        super().__init__()
        self.noise, self.residual = noise, residual
        self.mlp = mlp([width + noise, *hidden, width])
        self.register_buffer("live", torch.ones(width))

    def forward(self, v: Tensor, normal: Tensor) -> Tensor:
        """v: (b, d) unit vectors; normal: (b, noise) -> (b, d) unit vectors."""
        change = self.mlp(torch.cat([v, normal], 1) if self.noise else v) * self.live
        return modify(v, change) if self.residual else unit(change)
