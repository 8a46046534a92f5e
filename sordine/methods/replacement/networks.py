"""The networks of replacement: filter and generator with their draws, their discriminators, and StarGAN's critic.

All take records in *working units*: pictures in [0, 1], vectors standardised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.models.networks.mlp import mlp
from sordine.models.networks.resnet import ResNet
from sordine.models.networks.unet import UNet

EDGE = 0.01  # pixels nearer than this to black or white count as that far
SLOPE = 0.01  # of StarGAN's leaky ReLU


class Retouch(nn.Module):
    """A UNet whose picture u changes x instead of replacing it: x' = xu / (xu + (1 - x)(1 - u)), odds times odds.

    Its last layer starts at 0: u is then a half everywhere, and x' is x. This is ours: the network does not first have
    to learn to copy.
    """

    def __init__(self, net: UNet) -> None:
        super().__init__()
        self.net, self.noise, self.classes = net, net.noise, net.classes
        for weight in net.last.parameters():
            nn.init.zeros_(weight)

    def forward(self, x: Tensor, noise: Tensor | None = None, s: Tensor | None = None) -> Tensor:
        """Return changed pictures; see `UNet.forward`."""
        u = self.net(x, noise, s).float()
        x = x.clamp(EDGE, 1 - EDGE)  # so that black and white can change
        both = x * u
        return both / (both + (1 - x) * (1 - u)).clamp_min(1e-12)


class Perceptron(nn.Module):
    """A perceptron in place of a `UNet`, for vectors: (b, d) -> (b, d), MLP(x, noise, one-hot s), tanh and dropout.

    Parameters
    ----------
    width, hidden, dropout
        Sizes of the layers, and the dropout rate.
    noise, classes
        Normal numbers, and classes of s; 0 for none.
    residual
        Whether x is added to the output.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        dropout: float,
        *,
        noise: int = 0,
        classes: int = 0,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.noise, self.classes, self.residual = noise, classes, residual
        self.net = mlp([width + noise + classes, *hidden, width], activation=nn.Tanh, dropout=dropout)

    def forward(self, x: Tensor, noise: Tensor | None = None, s: Tensor | None = None) -> Tensor:
        """Return (b, d) of x (b, d), noise (b, noise) standard normal and s (b,) int64."""
        parts = [x]
        if self.noise and noise is not None:
            parts.append(noise)
        if self.classes and s is not None:
            parts.append(functional.one_hot(s, self.classes).to(x.dtype))
        made = self.net(torch.cat(parts, 1))
        return x + made if self.residual else made


class Stage(nn.Module):
    """The replacement of one attribute: x' = f(x, z1) and x'' = g(x', s', z2), in working units.

    Parameters
    ----------
    filter, generator
        f and g; either may be None.
    classes
        Number of classes. The buffer `shares` (classes,) is p(s').
    noise
        Normal numbers of z1.
    """

    shares: Tensor

    def __init__(self, filter: nn.Module | None, generator: nn.Module | None, classes: int, noise: int) -> None:
        super().__init__()
        self.filter, self.generator, self.classes = filter, generator, classes
        self.widths = (noise if filter is not None else 0, getattr(generator, "noise", 0))  # of z1 and z2
        self.register_buffer("shares", torch.full((classes,), 1 / classes))

    @property
    def noise(self) -> int:
        """Number of uniform draws for a record: z1, z2 and, with a generator, one for s'."""
        return sum(self.widths) + (self.generator is not None)

    def filtered(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return x' = f(x, z1), or x without a filter; noise (b, self.noise) is uniform in (0, 1)."""
        if self.filter is None:
            return x
        return self.filter(x, torch.special.ndtri(noise[:, : self.widths[0]])).float()

    def generated(self, x: Tensor, s: Tensor, noise: Tensor) -> Tensor:
        """Return x'' = g(x', s', z2) of the filtered x', or x' without a generator."""
        if self.generator is None:
            return x
        first = self.widths[0]
        return self.generator(x, torch.special.ndtri(noise[:, first : first + self.widths[1]]), s).float()

    def drawn(self, noise: Tensor) -> Tensor:
        """Return s' ~ p(s') from the last uniform draw, by the inverse of the distribution function: (b,) int64."""
        ends = self.shares.double().cumsum(0)
        drawn = torch.searchsorted(ends / ends[-1], noise[:, -1].double().contiguous(), right=True)
        # A draw next to 1 must not give a class whose share is 0.
        return drawn.clamp_max(int(torch.nonzero(self.shares).max()))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return the released x'' (x' without a generator)."""
        x = self.filtered(x, noise)
        return x if self.generator is None else self.generated(x, self.drawn(noise), noise)


class Critic(nn.Module):
    """StarGAN's discriminator: whether patches are real, and the class; without batch norm.

    Pictures (b, channels, h, w) in [0, 1] -> judgements (b, patches) and logits (b, classes). Convolutions 4 x 4 of
    stride 2, twice as many channels each, until a side is 2 pixels or there have been six.
    """

    def __init__(self, channels: int, classes: int, width: int, size: Sequence[int]) -> None:
        super().__init__()
        depth = max(1, min(6, int(math.log2(min(size))) - 1))
        layers: list[nn.Module] = []
        for i, o in pairwise([channels, *(width * 2**k for k in range(depth))]):
            layers += [nn.Conv2d(i, o, 4, 2, 1), nn.LeakyReLU(SLOPE)]
        self.body = nn.Sequential(*layers)
        last = width * 2 ** (depth - 1)
        self.source = nn.Conv2d(last, 1, 3, 1, 1, bias=False)
        self.domain = nn.Conv2d(last, classes, (size[0] >> depth, size[1] >> depth), bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(2 * x - 1)
        return self.source(hidden).flatten(1), self.domain(hidden).flatten(1)


class VectorCritic(nn.Module):
    """StarGAN's discriminator for vectors: (b, d) -> judgements (b, 1) and logits (b, classes)."""

    def __init__(self, width: int, classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.net = mlp([width, *hidden, 1 + classes], activation=nn.Tanh)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.net(x)
        return hidden[:, :1], hidden[:, 1:]


def painter(
    shape: Sequence[int],
    widths: Sequence[int],
    hidden: Sequence[int],
    dropout: float,
    noise: int,
    classes: int,
    residual: bool,
) -> nn.Module:
    """Return a filter (classes 0) or a generator: a UNet for pictures (shapes of 3 axes), else a perceptron.

    With `residual` it changes x; otherwise it makes x anew.
    """
    if len(shape) == 3:
        net = UNet(shape[0], shape[0], widths, (shape[1], shape[2]), noise=noise, classes=classes)
        return Retouch(net) if residual else net
    return Perceptron(math.prod(shape), hidden, dropout, noise=noise, classes=classes, residual=residual)


def discriminator(
    shape: Sequence[int], classes: int, blocks: Sequence[int], width: int, hidden: Sequence[int], dropout: float
) -> nn.Module:
    """Return h_f or h_g with logits (b, classes): a residual network for pictures, else a tanh perceptron."""
    if len(shape) == 3:
        return ResNet(
            blocks, classes, channels=shape[0], width=width, stem="imagenet" if min(shape[1:]) >= 96 else "small"
        )
    return mlp([math.prod(shape), *hidden, classes], activation=nn.Tanh, dropout=dropout)


def critic(shape: Sequence[int], classes: int, width: int, hidden: Sequence[int]) -> nn.Module:
    """Return StarGAN's discriminator for records of this shape."""
    if len(shape) == 3:
        return Critic(shape[0], classes, width, shape[1:])
    return VectorCritic(math.prod(shape), classes, hidden)
