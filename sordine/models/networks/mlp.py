"""Multi-layer perceptrons: one, and many of the same widths at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.errors import SordineError


def _check_widths(widths: Sequence[int]) -> None:
    if len(widths) < 2 or any(w < 1 for w in widths):
        raise SordineError(f"mlp: widths must name an input and an output of at least 1, not {list(widths)}")


class Unit(nn.Module):
    """Every row divided by its L2 norm: (..., d) -> (..., d)."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x, dim=-1)


def mlp(
    widths: Sequence[int],
    *,
    batch_norm: bool = False,
    activation: Callable[[], nn.Module] = nn.ReLU,
    dropout: float = 0.0,
    normalise_last: bool = False,
) -> nn.Sequential:
    """Return a perceptron: (B, widths[0]) -> (B, widths[-1]).

    For each hidden width: linear, batch normalisation (optional), activation, dropout (optional); then linear.

    Parameters
    ----------
    widths
        Of the input, the hidden layers and the output.
    batch_norm, activation, dropout
        Of the hidden layers.
    normalise_last
        Whether each output row is divided by its L2 norm.

    Raises
    ------
    SordineError
        For fewer than two widths.
    """
    _check_widths(widths)
    layers: list[nn.Module] = []
    for i in range(len(widths) - 1):
        layers.append(nn.Linear(widths[i], widths[i + 1]))
        if i == len(widths) - 2:
            break
        if batch_norm:
            layers.append(nn.BatchNorm1d(widths[i + 1]))
        layers.append(activation())
        if dropout > 0:
            layers.append(nn.Dropout(dropout))
    if normalise_last:
        layers.append(Unit())
    return nn.Sequential(*layers)


class BatchedMLP(nn.Module):
    """N independent ReLU perceptrons of the same widths, run as one: (N, B, in) -> (N, B, out).

    An audit trains dozens of small networks; stacking their weights into (N, in, out) turns dozens of small products
    into one. The sum of the parts' losses trains each part as if alone, as they share no weight.

    Parameters
    ----------
    parts
        Number of perceptrons, N.
    widths
        Of the input, the hidden layers and the output.
    generator
        Source of the first weights; by default PyTorch's global one.

    Raises
    ------
    SordineError
        For fewer than two widths, or no part.
    """

    def __init__(self, parts: int, widths: Sequence[int], generator: torch.Generator | None = None) -> None:
        super().__init__()
        _check_widths(widths)
        if parts < 1:
            raise SordineError(f"mlp: at least one part is needed, not {parts}")
        self.parts = parts
        self.widths = tuple(widths)
        weights, biases = [], []
        for i in range(len(widths) - 1):
            # As nn.Linear starts: both weight and bias uniform within 1 / sqrt(inputs).
            bound = 1 / math.sqrt(widths[i])
            weight = torch.empty(parts, widths[i], widths[i + 1]).uniform_(-bound, bound, generator=generator)
            bias = torch.empty(parts, 1, widths[i + 1]).uniform_(-bound, bound, generator=generator)
            weights.append(nn.Parameter(weight))
            biases.append(nn.Parameter(bias))
        self.weights = nn.ParameterList(weights)
        self.biases = nn.ParameterList(biases)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, B, in) -> (N, B, out)."""
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x if i == 0 else x.relu(), weight)
        return x

    def part(self, i: int) -> nn.Sequential:
        """A copy of the i-th perceptron as an ordinary `mlp`, on the same device."""
        if not 0 <= i < self.parts:
            raise SordineError(f"mlp: there is no part {i}; parts are 0 to {self.parts - 1}")
        copy = mlp(self.widths).to(self.weights[0])
        linears = [layer for layer in copy if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            for linear, weight, bias in zip(linears, self.weights, self.biases, strict=True):
                linear.weight.copy_(weight[i].T)
                linear.bias.copy_(bias[i, 0])
        return copy
