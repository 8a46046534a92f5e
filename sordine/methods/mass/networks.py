"""The networks of MaSS: the unit sphere on which records are placed, and the residual modifier on it (eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sordine.methods.mass.losses import modify
from sordine.models.losses import unit
from sordine.models.networks.mlp import mlp


class Sphere(nn.Module):
    """Unit vectors in place of records: `onto` maps records to them, `back` returns to the scale of the table.

    The norm of a record is lost, since it would leak past the modifier. A column that never changes (scale 0) is kept.
    The buffers are `mean` and `scale` (d,) of the training records, and `radius`, their mean norm after standardising.
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
        """Return standardised records (b, d) of (b, *shape) in the scale of the table; 0 in a constant column."""
        live = self.scale > 0
        return torch.where(live, (x.flatten(1) - self.mean) / torch.where(live, self.scale, 1.0), 0.0)

    def onto(self, x: Tensor) -> Tensor:
        """Return unit vectors: (b, *shape) in the scale of the table -> (b, d) of norm 1 (0 for the mean record)."""
        return unit(self.standardised(x))

    def back(self, v: Tensor) -> Tensor:
        """Return records in the scale of the table, all with the common radius: (b, d) -> (b, d)."""
        return v * (self.radius * self.scale) + self.mean

    def forward(self, x: Tensor) -> Tensor:
        """Return the record as the sphere represents it: (b, *shape) with the common radius in place of its norm."""
        return self.back(self.onto(x)).reshape(x.shape)


class Step(nn.Module):
    """The learned map on the sphere: v' = n(v + n(MLP(v))), or without the residual v' = n(MLP([v, noise])).

    The second can omit the record itself, which the sum in eq. 1 always contains.

    Parameters
    ----------
    width, hidden
        The widths of the MLP are d, *hidden, d.
    noise
        Standard normal numbers for a record.
    residual
        Whether the change is added to the record. The buffer `live` (d,) is 0 where a column never changes.

    References
    ----------
    - MaSS (2022), eq. 1: with `residual`.
    """

    live: Tensor

    def __init__(self, width: int, hidden: Sequence[int], noise: int = 0, residual: bool = True) -> None:
        super().__init__()
        self.noise, self.residual = noise, residual
        self.mlp = mlp([width + noise, *hidden, width])
        self.register_buffer("live", torch.ones(width))

    def forward(self, v: Tensor, normal: Tensor) -> Tensor:
        """Return unit vectors (b, d) of unit vectors v (b, d) and normal numbers (b, noise)."""
        change = self.mlp(torch.cat([v, normal], 1) if self.noise else v) * self.live
        return modify(v, change) if self.residual else unit(change)
