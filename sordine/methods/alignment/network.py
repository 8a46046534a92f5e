"""A space in which records of different classes lie side by side: ranks, class by class standardised, linear maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

KNOTS = 257
SPREAD = 0.1  # added to a class's deviation, so that a feature constant in one class does not blow up


class Ranks(nn.Module):
    """Each number replaced by the normal quantile of its rank among the records of the fit: (b, *shape) -> (b, width)."""

    knots: Tensor  # (width, KNOTS), sorted

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("knots", torch.zeros(width, KNOTS))

    def learn(self, x: Tensor) -> None:
        """x: (n, width)."""
        at = torch.linspace(0, 1, KNOTS)
        some = max(1, (1 << 24) // max(len(x), 1))  # columns at a time
        parts = [torch.quantile(x[:, i : i + some].float(), at, dim=0).T for i in range(0, x.shape[1], some)]
        self.knots = torch.cat(parts).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        """What is tied takes the middle of its ranks; beyond the records of the fit, the last rank."""
        columns = x.reshape(len(x), -1).T.contiguous()
        below = torch.searchsorted(self.knots, columns)
        upto = torch.searchsorted(self.knots, columns, right=True)
        low, high = (self.knots.gather(1, (below - i).clamp(0, KNOTS - 1)) for i in (1, 0))
        part = ((columns - low) / (high - low).clamp_min(1e-30)).clamp(0, 1)
        place = torch.where(upto > below, (below + upto - 1) / 2, below - 1 + part).clamp(0, KNOTS - 1)
        return torch.special.ndtri((place + 0.5) / KNOTS).T


class Aligned(nn.Module):
    """z(x) = sum over classes s of P(s | x) * maps[s]^T (principal axes of the ranks, standardised once, by the means and
    spreads of the classes that the record may be of, mixed by P(s | x)).

    width: numbers of a record. classes: of what is suppressed, jointly. axes: principal axes; of the ranks (`reading`, from
    which the class is told) and of the standardised ranks. size: of the code.
    """

    mean: Tensor  # (S, width) of each class's ranks
    spread: Tensor
    first: Tensor  # (width, a): axes of the ranks
    reader: Tensor  # (a + 1, S): logistic regression on them
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

    def told(self, ranks: Tensor) -> Tensor:
        """P(s | x): (b, width) ranks -> (b, S), from the record alone."""
        logits: Tensor = ranks @ self.first @ self.reader[:-1] + self.reader[-1]
        return logits.softmax(1)

    def components(self, ranks: Tensor, member: Tensor) -> Tensor:
        """(b, width), (b, S) -> (b, axes): standardised as the classes that the record may be of."""
        return ((ranks - member @ self.mean) / (member @ self.spread) - self.offset) @ self.axes

    def code(self, components: Tensor, member: Tensor) -> Tensor:
        """(b, axes), (b, S) -> (b, size)."""
        return torch.einsum("bs,ba,sad->bd", member, components, self.maps)
