"""UNet (Ronneberger et al., 2015) as in the replacement paper (appendix A.1), with noise and a class at the bottom."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.errors import SordineError

EMBEDDING = 128  # of a class (A.1)


def convolutions(inputs: int, outputs: int) -> nn.Sequential:
    """Return two times 3 x 3 convolution, batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for i in (inputs, outputs):
        layers += [nn.Conv2d(i, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Pictures (b, channels, h, w) in [0, 1] -> (b, outputs, h, w) in (0, 1), by a sigmoid.

    Down: blocks with 2 x 2 max pooling between them. Up: nearest upsampling, concatenation with the output of the same
    level, and a block. At the bottom, noise is projected to as many channels as there are, and the embedding of a
    class to one channel; both are concatenated.

    Parameters
    ----------
    channels, outputs
        Of a picture, and of the output.
    widths
        Channels of the blocks on the way down.
    size
        (h, w): multiples of 2^(len(widths) - 1).
    noise
        Width of the noise; 0 for none.
    classes
        Number of classes; 0 for none.

    Raises
    ------
    SordineError
        Where a side is not such a multiple.
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        widths: Sequence[int],
        size: tuple[int, int],
        *,
        noise: int = 0,
        classes: int = 0,
    ) -> None:
        super().__init__()
        halvings = 2 ** (len(widths) - 1)
        if any(side % halvings or side < halvings for side in size):
            raise SordineError(
                f"a UNet of {len(widths)} levels needs sides that are multiples of {halvings}, not {size}"
            )
        self.waist = (size[0] // halvings, size[1] // halvings)
        self.noise, self.classes = noise, classes
        self.down = nn.ModuleList(convolutions(i, o) for i, o in pairwise([channels, *widths]))
        cells = self.waist[0] * self.waist[1]
        if noise:
            self.from_noise = nn.Linear(noise, widths[-1] * cells)
        if classes:
            self.embedding = nn.Embedding(classes, EMBEDDING)
            self.from_class = nn.Linear(EMBEDDING, cells)
        below = widths[-1] * (2 if noise else 1) + (1 if classes else 0)
        up = []
        for width in reversed(widths[:-1]):
            up.append(convolutions(below + width, width))
            below = width
        self.up = nn.ModuleList(up)
        self.last = nn.Conv2d(widths[0], outputs, 1)

    def forward(self, x: Tensor, noise: Tensor | None = None, s: Tensor | None = None) -> Tensor:
        """Return (b, outputs, h, w) for x (b, channels, h, w), standard normal noise (b, noise) and classes s (b,)."""
        x = x.contiguous(memory_format=torch.channels_last)
        levels = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            levels.append(x)
        beside = [levels.pop()]
        if self.noise and noise is not None:
            beside.append(self.from_noise(noise).reshape(len(x), -1, *self.waist))
        if self.classes and s is not None:
            beside.append(self.from_class(self.embedding(s)).reshape(len(x), 1, *self.waist))
        x = torch.cat(beside, 1)
        for block in self.up:
            x = block(torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), levels.pop()], 1))
        return torch.sigmoid(self.last(x))
