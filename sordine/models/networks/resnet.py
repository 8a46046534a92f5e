"""Residual networks (He et al., 2016) for pictures: ResNet-10, -18 and -50 at any width, cut open at any stage.

Modules have torchvision's names (`conv1`, `bn1`, `layer1.0.conv1`, ..., `fc`), so that its published weights fit a
network of the same blocks and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from sordine.errors import SordineError, nearest

Stem = Literal["imagenet", "small"]
CUTS = (  # He et al., table 1: conv2 is layer1, conv5 layer4
    "conv1",
    "conv2",
    "conv3",
    "conv4",
    "conv5",
    "avgpool",
    "fc",
)

RESNET10, RESNET18, RESNET50 = (1, 1, 1, 1), (2, 2, 2, 2), (3, 4, 6, 3)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., fig. 5 left)."""

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = _shortcut(inputs, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions and a shortcut; four times `planes` come out (He et al., fig. 5 right).

    The stride is the 3 x 3 convolution's, as in torchvision (in the paper it is the first 1 x 1's).
    """

    def __init__(self, inputs: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * planes)
        self.downsample = _shortcut(inputs, 4 * planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Projection(nn.Sequential):
    """A 1 x 1 convolution of every `stride`-th pixel, and batch norm.

    The pixels are selected before: on CPUs, the backward pass of torch 2.13 for a strided 1 x 1 convolution of fewer
    than 8 channels, channels last, writes outside its memory.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[..., :: self.stride, :: self.stride])


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Identity() if inputs == outputs and stride == 1 else Projection(inputs, outputs, stride)


class ResNet(nn.Module):
    """A residual network: pictures (b, channels, h, w) in [0, 1] -> (b, classes), logits or a representation.

    Parameters
    ----------
    blocks
        Number of blocks of each of the four stages.
    classes
        Width of the output.
    channels
        Of a picture.
    width
        Channels of the first stage; 64 as published.
    bottleneck
        Whether blocks have three convolutions, as in ResNet-50.
    stem
        `imagenet`: 7 x 7 of stride 2 and a pooling, which leave 1/32 of a side at the end. `small`, for pictures of 64
        pixels and less: 3 x 3 of stride 2 without a pooling, which leaves 1/16.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(
        self,
        blocks: Sequence[int],
        classes: int,
        *,
        channels: int = 3,
        width: int = 64,
        bottleneck: bool = False,
        stem: Stem = "imagenet",
    ) -> None:
        super().__init__()
        big = stem == "imagenet"
        self.conv1 = nn.Conv2d(channels, width, 7 if big else 3, 2, 3 if big else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if big else nn.Identity()
        made = Bottleneck if bottleneck else BasicBlock
        inputs = width
        for stage, count in enumerate(blocks, 1):
            planes = width * 2 ** (stage - 1)
            outputs = 4 * planes if bottleneck else planes
            strides = [2 if stage > 1 else 1] + [1] * (count - 1)
            layers = [made(inputs if at == 0 else outputs, planes, s) for at, s in enumerate(strides)]
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
            inputs = outputs
        self.fc = nn.Linear(inputs, classes)
        self.width = inputs  # of the average pool
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x, None)

    def until(self, x: Tensor, cut: str) -> Tensor:
        """Return the output of the stage `cut` (one of `CUTS`): (b, c, h, w), or (b, d) from the average pool on.

        `conv1` is taken before the pooling.
        """
        return self._through(x, 0, _place(cut) + 1)

    def after(self, z: Tensor, cut: str | None) -> Tensor:
        """Return the output of the network for z, the output of a cut; None is the whole network: (b, classes)."""
        return self._through(z, 0 if cut is None else _place(cut) + 1, len(CUTS))

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the output of every convolutional stage, conv1 to conv5: (b, c, h, w) each."""
        stages = []
        for at in range(5):
            x = self._through(x, at, at + 1)
            stages.append(x)
        return stages

    def _through(self, x: Tensor, first: int, end: int) -> Tensor:
        for at in range(first, end):
            if at == 0:
                x = torch.relu(self.bn1(self.conv1(2 * x - 1)))
            elif at == 1:
                x = self.layer1(self.maxpool(x))
            elif at < 5:
                x = getattr(self, f"layer{at}")(x)
            elif at == 5:
                x = x.mean((2, 3))
            else:
                x = self.fc(x)
        return x


def _place(cut: str) -> int:
    if cut not in CUTS:
        raise SordineError(f"resnet: unknown cut {cut!r}; {nearest(cut, CUTS)}")
    return CUTS.index(cut)
