"""Inception-ResNet-v1 for faces (Szegedy et al., 2016; FaceNet's published weights): a picture to 512 numbers.

The names and shapes of the weights are those of the VGGFace2 file that facenet-pytorch publishes
(20180402-114759-vggface2.pt), so that it loads key by key.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, SIDE = 512, 160
EPSILON = 1e-3  # of every batch norm: the published weights were trained with it


class Convolution(nn.Module):
    """Convolution without bias, batch norm, ReLU: (b, channels, h, w) -> (b, out, h', w')."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class Branches(nn.Module):
    """Maps of one input, concatenated along the channels; `branch0`, `branch1`, ... in this order."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        for i, branch in enumerate(branches):
            self.add_module(f"branch{i}", branch)
        self.count = len(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.get_submodule(f"branch{i}")(x) for i in range(self.count)], dim=1)


class Residual(Branches):
    """x + scale * conv(branches(x)), then ReLU unless it is the last block; the shape is unchanged.

    joined: channels of the branches together. channels: of x.
    """

    def __init__(
        self, branches: Sequence[nn.Module], joined: int, channels: int, scale: float, last: bool = False
    ) -> None:
        super().__init__(branches)
        self.conv2d = nn.Conv2d(joined, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale * self.conv2d(super().forward(x))
        return x if self.last else functional.relu(x)


def block35() -> Residual:
    """Inception-A on 256 channels (17 x 17 for a 160 x 160 picture)."""
    branches = [
        Convolution(256, 32, 1),
        nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, padding=1)),
        nn.Sequential(Convolution(256, 32, 1), Convolution(32, 32, 3, padding=1), Convolution(32, 32, 3, padding=1)),
    ]
    return Residual(branches, 96, 256, 0.17)


def block17() -> Residual:
    """Inception-B on 896 channels (8 x 8)."""
    wide, tall = Convolution(128, 128, (1, 7), padding=(0, 3)), Convolution(128, 128, (7, 1), padding=(3, 0))
    branches = [Convolution(896, 128, 1), nn.Sequential(Convolution(896, 128, 1), wide, tall)]
    return Residual(branches, 256, 896, 0.10)


def block8(scale: float = 0.20, last: bool = False) -> Residual:
    """Inception-C on 1,792 channels (3 x 3)."""
    wide, tall = Convolution(192, 192, (1, 3), padding=(0, 1)), Convolution(192, 192, (3, 1), padding=(1, 0))
    branches = [Convolution(1792, 192, 1), nn.Sequential(Convolution(1792, 192, 1), wide, tall)]
    return Residual(branches, 384, 1792, scale, last)


class InceptionResnet(nn.Module):
    """(b, 3, 160, 160), standardised -> (b, 512), not normalised.

    classes: with a number, the network also has the classifier `logits` of the embedding (8,631 people in VGGFace2).
    """

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.conv2d_1a = Convolution(3, 32, 3, stride=2)
        self.conv2d_2a = Convolution(32, 32, 3)
        self.conv2d_2b = Convolution(32, 64, 3, padding=1)
        self.conv2d_3b = Convolution(64, 80, 1)
        self.conv2d_4a = Convolution(80, 192, 3)
        self.conv2d_4b = Convolution(192, 256, 3, stride=2)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = Branches(
            [
                Convolution(256, 384, 3, stride=2),
                nn.Sequential(
                    Convolution(256, 192, 1), Convolution(192, 192, 3, padding=1), Convolution(192, 256, 3, stride=2)
                ),
                nn.MaxPool2d(3, stride=2),
            ]
        )
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        self.mixed_7a = Branches(
            [
                nn.Sequential(Convolution(896, 256, 1), Convolution(256, 384, 3, stride=2)),
                nn.Sequential(Convolution(896, 256, 1), Convolution(256, 256, 3, stride=2)),
                nn.Sequential(
                    Convolution(896, 256, 1), Convolution(256, 256, 3, padding=1), Convolution(256, 256, 3, stride=2)
                ),
                nn.MaxPool2d(3, stride=2),
            ]
        )
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, last=True)
        self.dropout = nn.Dropout(0.6)
        self.last_linear = nn.Linear(1792, WIDTH, bias=False)
        self.last_bn = nn.BatchNorm1d(WIDTH, eps=EPSILON)
        self.logits = None if classes is None else nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = self.conv2d_3b(functional.max_pool2d(x, 3, stride=2))
        x = self.repeat_1(self.conv2d_4b(self.conv2d_4a(x)))
        x = self.repeat_2(self.mixed_6a(x))
        x = self.block8(self.repeat_3(self.mixed_7a(x)))
        return self.last_bn(self.last_linear(self.dropout(x.mean(dim=(2, 3)))))

    def classify(self, x: Tensor) -> Tensor:
        """Return logits (b, classes) for (b, 3, 160, 160), of a network that was made with `classes`."""
        assert self.logits is not None
        return self.logits(self.forward(x))
