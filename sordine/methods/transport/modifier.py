"""The modifier of transport: the aligned space, the codebook with its dual potentials, and an output for each entry."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sordine.errors import SordineError
from sordine.methods.alignment.network import Aligned
from sordine.models.classifier import Classifier
from sordine.models.modifier import Modifier, Release


class TransportModifier(Modifier):
    """x -> code z(x) -> P(j | x) over the entries of the codebook -> the output that stands for a drawn entry.

    Parameters
    ----------
    space
        The aligned space.
    readers
        A classifier of each preserved attribute.
    cells, strata, outputs
        M entries of the codebook, V joint preserved classes, and outputs.
    softness
        Temperature of P(j | x), in units of the mean squared distance between codes and entries.
    """

    codes: Tensor  # (M, size) the codebook
    prices: Tensor  # (S, M) dual potentials
    stratum: Tensor  # (M,) joint preserved class of an entry
    strata: Tensor  # (V, preserved attributes) class codes of each joint preserved class
    flow: Tensor  # (S, V, V) probability that a record of class s, predicted as v, moves to each joint preserved class
    scale: Tensor  # mean squared distance of codes to entries: the unit of the temperature
    substitutes: Tensor  # (M * records, width) outputs

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
        self.register_buffer("substitutes", torch.zeros(outputs, width))

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return z(x) and P(s | x): (b, *shape) -> (b, size), (b, S)."""
        ranks = self.space.ranks(x)
        member = self.space.class_probabilities(ranks)
        return self.space.code(self.space.components(ranks, member), member), member

    def predicted_stratum(self, x: Tensor) -> Tensor:
        """Return the joint preserved class that the classifiers predict: (b, *shape) -> (b,)."""
        total = torch.zeros(len(x), len(self.strata), device=x.device)
        for column, reader in zip(self.strata.T, self.readers, strict=True):
            total = total + reader(x).log_softmax(1)[:, column]
        return total.argmax(1)

    def output_distribution(self, x: Tensor) -> Tensor:
        """Return P(j | x): (b, *shape) -> (b, outputs).

        Within the predicted preserved class it follows codes and dual potentials. It is uniform over the entries of
        another class that a record moves to, so that all classes fill those alike.
        """
        code, member = self.code(x)
        score = member @ self.prices - torch.cdist(code, self.codes).square() / (self.scale * self.softness)
        if len(self.readers):
            predicted = self.predicted_stratum(x)
            inside = score.masked_fill(predicted[:, None] != self.stratum, -torch.inf).softmax(1)
            goes = torch.einsum("bs,sbv->bv", member, self.flow[:, predicted])  # (b, V)
            stays = goes.gather(1, predicted[:, None])
            uniform = goes / torch.bincount(self.stratum, minlength=len(self.strata))
            p = torch.where(predicted[:, None] == self.stratum, stays * inside, uniform[:, self.stratum])
        else:
            p = score.softmax(1)
        outputs = len(self.substitutes) // len(self.codes)
        return p.repeat_interleave(outputs, 1) / outputs

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return an output for each record: the inverse of the cumulated P(j | x) at one uniform draw, noise (b, 1)."""
        cumulated = self.output_distribution(x).double().cumsum(1)
        if not torch.isfinite(cumulated[:, -1]).all():
            raise SordineError(
                "transport: the probabilities of a record's outputs are not finite; check the record and the modifier "
                "for NaN, infinite or very large values"
            )
        index = (cumulated < noise.double() * cumulated[:, -1:]).sum(1).clamp_max(len(self.substitutes) - 1)
        return Release(self.substitutes[index].reshape(x.shape), index)


def uneven(modifier: TransportModifier, x: Tensor, secret: Tensor) -> float:
    """Return the total variation between the outputs of a suppressed class and their mean, for the worst class.

    Parameters
    ----------
    modifier
        The modifier.
    x, secret
        (n, *shape) records and (n,) suppressed class codes.

    Returns
    -------
    float
        0 (all classes fill the outputs alike) to 1 (a class has outputs of its own).
    """
    with torch.no_grad():
        p = torch.cat([modifier.output_distribution(part) for part in x.split(2048)])
    share = torch.stack([p[secret == s].mean(0) for s in range(len(modifier.prices))])
    return float((share - share.mean(0)).abs().sum(1).max() / 2)
