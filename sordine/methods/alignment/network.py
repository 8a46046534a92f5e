"""The aligned space: ranks, standardising by class and linear maps make records of different classes comparable."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 257
ROWS = 2048  # records whose codes under every class are in memory at a time
SPREAD = 0.1  # added to the deviation of a class, so that a feature that is constant in one class does not diverge


class Ranks(nn.Module):
    """Replace each number by the normal quantile of its rank among the records of the fit: (b, *shape) -> (b, width).

    The buffer `knots` (width, KNOTS) holds sorted quantiles of each column.
    """

    knots: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("knots", torch.zeros(width, KNOTS))

    def learn(self, x: Tensor) -> None:
        """Set the knots to quantiles of x (n, width)."""
        at = torch.linspace(0, 1, KNOTS)
        columns = max(1, (1 << 24) // max(len(x), 1))  # at a time, to limit memory
        parts = [torch.quantile(x[:, i : i + columns].float(), at, dim=0).T for i in range(0, x.shape[1], columns)]
        self.knots = torch.cat(parts).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """Return normal quantiles; ties take the middle of their ranks, values beyond the fit the outermost rank."""
        columns = x.reshape(len(x), -1).T.contiguous()
        below = torch.searchsorted(self.knots, columns)
        upto = torch.searchsorted(self.knots, columns, right=True)
        low, high = (self.knots.gather(1, (below - i).clamp(0, KNOTS - 1)) for i in (1, 0))
        part = ((columns - low) / (high - low).clamp_min(1e-30)).clamp(0, 1)
        place = torch.where(upto > below, (below + upto - 1) / 2, below - 1 + part).clamp(0, KNOTS - 1)
        return torch.special.ndtri((place + 0.5) / KNOTS).T


class Aligned(nn.Module):
    """The code z(x) = sum over classes s of P(s | x) maps[s]^T (principal axes of the standardised ranks).

    Ranks are standardised by the means and deviations of the classes, mixed by P(s | x).

    Parameters
    ----------
    width
        Numbers of a record.
    classes
        S, joint suppressed classes.
    first
        a, principal axes of the ranks, from which P(s | x) is predicted.
    axes
        b, principal axes of the standardised ranks.
    size
        Numbers of a code.
    """

    mean: Tensor  # (S, width) of the ranks of each class
    spread: Tensor  # (S, width)
    first: Tensor  # (width, a) principal axes of the ranks
    reader: Tensor  # (a + 1, S) logistic regression on them
    offset: Tensor  # (width,)
    axes: Tensor  # (width, b)
    maps: Tensor  # (S, b, size)

    def __init__(self, width: int, classes: int, first: int, axes: int, size: int) -> None:
        super().__init__()
        self.ranks = Ranks(width)
        self.register_buffer("mean", torch.zeros(classes, width))
        self.register_buffer("spread", torch.ones(classes, width))
        self.register_buffer("first", torch.zeros(width, first))
        self.register_buffer("reader", torch.zeros(first + 1, classes))
        self.register_buffer("offset", torch.zeros(width))
        self.register_buffer("axes", torch.zeros(width, axes))
        self.register_buffer("maps", torch.zeros(classes, axes, size))

    def class_probabilities(self, ranks: Tensor) -> Tensor:
        """Return P(s | x) from the record alone: ranks (b, width) -> (b, S)."""
        logits: Tensor = ranks @ self.first @ self.reader[:-1] + self.reader[-1]
        return logits.softmax(1)

    def components(self, ranks: Tensor, member: Tensor) -> Tensor:
        """Return the axes of ranks (b, width), standardised with class probabilities `member` (b, S): (b, axes)."""
        return ((ranks - member @ self.mean) / (member @ self.spread) - self.offset) @ self.axes

    def code(self, components: Tensor, member: Tensor) -> Tensor:
        """Return z: components (b, axes), class probabilities (b, S) -> (b, size)."""
        classes, axes, size = self.maps.shape
        every = self.maps.transpose(0, 1).reshape(axes, -1)  # the maps of all classes side by side
        parts = [
            (m[:, None] @ (c @ every).reshape(len(c), classes, size))[:, 0]
            for c, m in zip(components.split(ROWS), member.split(ROWS), strict=True)
        ]
        return torch.cat(parts)
