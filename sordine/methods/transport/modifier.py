"""What transport ships: the aligned space, the cells and their prices, and what stands for each cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordine.errors import SordineError
from sordine.methods.alignment.network import Aligned
from sordine.models.classifier import Classifier
from sordine.models.modifier import Modifier, Release


class TransportModifier(Modifier):
    """Holds the aligned space, the cells' codes, a price for every class and cell, and what stands for each cell."""

    codes: Tensor  # (M, size)
    prices: Tensor  # (S, M)
    stratum: Tensor  # (M,) which joint preserved class a cell is of
    strata: Tensor  # (V, preserved attributes) class codes of each joint preserved class
    flow: Tensor  # (S, V, V) to which joint preserved class a record of s, read as v, goes
    weight: Tensor  # (M,) of how many records a cell's mean is, in effect
    scale: Tensor  # mean squared distance of codes to cells: the unit of softness
    substitutes: Tensor  # (M * records, width)

    noise, discrete = 1, True

    def __init__(
        self, space: Aligned, readers: list[Classifier], cells: int, strata: int, outputs: int, softness: float
    ) -> None:
        super().__init__()
        self.space, self.readers, self.softness = space, nn.ModuleList(readers), softness
        width, classes = len(space.offset), len(space.mean)
        size = space.maps.shape[2]
        self.register_buffer("codes", torch.zeros(cells, size))
        self.register_buffer("prices", torch.zeros(classes, cells))
        self.register_buffer("stratum", torch.zeros(cells, dtype=torch.long))
        self.register_buffer("strata", torch.zeros(strata, len(readers), dtype=torch.long))
        self.register_buffer("flow", torch.eye(strata).repeat(classes, 1, 1))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("weight", torch.ones(cells))
        self.register_buffer("substitutes", torch.zeros(outputs, width))

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """z(x) and P(s | x): (b, *shape) -> (b, size), (b, S)."""
        ranks = self.space.ranks(x)
        member = self.space.told(ranks)
        return self.space.code(self.space.components(ranks, member), member), member

    def read(self, x: Tensor) -> Tensor:
        """The joint preserved class that the classifiers read: (b, *shape) -> (b,)."""
        total = torch.zeros(len(x), len(self.strata), device=x.device)
        for column, reader in zip(self.strata.T, self.readers, strict=True):
            total = total + reader(x).log_softmax(1)[:, column]
        return total.argmax(1)

    def output_distribution(self, x: Tensor) -> Tensor:
        """P(j | x): (b, *shape) -> (b, outputs). Within the class read by codes and prices; evenly over the cells of a class
        that a record is sent to, so that classes are filled alike."""
        code, member = self.code(x)
        score = member @ self.prices - torch.cdist(code, self.codes).square() / (self.scale * self.softness)
        if len(self.readers):
            read = self.read(x)
            inside = score.masked_fill(read[:, None] != self.stratum, -torch.inf).softmax(1)
            goes = torch.einsum("bs,sbv->bv", member, self.flow[:, read])  # (b, V)
            stays = goes.gather(1, read[:, None])
            even = goes / torch.bincount(self.stratum, minlength=len(self.strata))
            p = torch.where(read[:, None] == self.stratum, stays * inside, even[:, self.stratum])
        else:
            p = score.softmax(1)
        each = len(self.substitutes) // len(self.codes)
        return p.repeat_interleave(each, 1) / each

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Inverse of the cumulated channel at one uniform draw."""
        cumulated = self.output_distribution(x).double().cumsum(1)
        if not torch.isfinite(cumulated[:, -1]).all():
            raise SordineError(
                "transport: a record's cell cannot be told; the modifier or the record holds odd numbers"
            )
        index = (cumulated < noise.double() * cumulated[:, -1:]).sum(1).clamp_max(len(self.substitutes) - 1)
        return Release(self.substitutes[index].reshape(x.shape), index)


def uneven(modifier: TransportModifier, x: Tensor, secret: Tensor) -> float:
    """How unlike suppressed classes fill the cells on these records: half the summed difference of P(j | s) to the mean over
    classes, of the class that differs most. 0 is balance, 1 are cells of their own."""
    with torch.no_grad():
        p = torch.cat([modifier.output_distribution(part) for part in x.split(2048)])
    share = torch.stack([p[secret == s].mean(0) for s in range(len(modifier.prices))])
    return float((share - share.mean(0)).abs().sum(1).max() / 2)
