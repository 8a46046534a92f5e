"""Networks of the inversion paper: the task network, which is cut in two, and decoders that mirror its encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sordine.models.networks.resnet import CUTS, RESNET10, RESNET18, RESNET50, ResNet, Stem

BLOCKS = {"resnet10": RESNET10, "resnet18": RESNET18, "resnet50": RESNET50}


class TaskNetwork(nn.Module):
    """Enc and f: a residual network that is cut at z, and two dense layers with a group of outputs for each attribute.

    Parameters
    ----------
    encoder
        One of BLOCKS.
    classes
        Attribute of the task to its number of classes.
    channels, width, stem
        As in `ResNet`.
    fc, hidden
        Widths of the network's last layer, and of the dense layer after it.
    cut
        One of `resnet.CUTS`.
    """

    def __init__(
        self,
        encoder: str,
        classes: Mapping[str, int],
        *,
        channels: int,
        width: int,
        fc: int,
        hidden: int,
        cut: str,
        stem: Stem,
    ) -> None:
        super().__init__()
        self.cut, self.classes = cut, dict(classes)
        deep = encoder == "resnet50"
        self.net = ResNet(BLOCKS[encoder], fc, channels=channels, width=width, bottleneck=deep, stem=stem)
        self.head = nn.Sequential(nn.Linear(fc, hidden), nn.ReLU(), nn.Linear(hidden, sum(classes.values())))

    def encode(self, x: Tensor) -> Tensor:
        """Return z of Enc for pictures (b, c, h, w) in [0, 1]: (b, d) or (b, c, h, w)."""
        return self.net.until(x.contiguous(memory_format=torch.channels_last), self.cut)

    def classify(self, z: Tensor) -> list[Tensor]:
        """Return the logits of f for z: (b, classes) of each attribute, in the task's order."""
        return list(self.head(self.net.after(z, self.cut)).split(list(self.classes.values()), 1))


class PictureDecoder(nn.Module):
    """The mirror of a `ResNet` up to a cut (figure 6): representation z -> pictures (b, channels, h, w) in [-1, 1].

    From `fc`: dense to the pooled width, ReLU; dense to the last feature map, ReLU. Then, for every stage, a 3 x 3
    transposed convolution that undoes the stride of the stage and its pooling, with batch normalisation and ReLU; the
    last one has tanh instead. From an earlier cut, the mirror of the stages before it.

    Parameters
    ----------
    shapes
        Of the output of every stage, `conv1` to the cut.
    picture
        (channels, h, w).
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], picture: tuple[int, int, int]) -> None:
        super().__init__()
        maps = [picture, *(s for s in shapes if len(s) == 3)]
        dense: list[nn.Module] = []
        flat = [s[0] for s in shapes if len(s) == 1]  # average pool, fc
        if len(flat) == 2:
            dense += [nn.Linear(flat[1], flat[0]), nn.ReLU(inplace=True)]
        if flat:
            c, h, w = maps[-1]
            dense += [nn.Linear(flat[0], c * h * w), nn.ReLU(inplace=True), nn.Unflatten(1, (c, h, w))]
        layers: list[nn.Module] = []
        for inner, outer in pairwise(reversed(maps)):
            strides = (-(-outer[1] // inner[1]), -(-outer[2] // inner[2]))
            # Of a stride n, a 3 x 3 kernel with padding 1 needs n - 1 more rows to give n times the side.
            extra = (outer[1] - (inner[1] - 1) * strides[0] - 1, outer[2] - (inner[2] - 1) * strides[1] - 1)
            last = outer is maps[0]
            layers.append(nn.ConvTranspose2d(inner[0], outer[0], 3, strides, 1, extra, bias=last))
            layers += [nn.Tanh()] if last else [nn.BatchNorm2d(outer[0]), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*dense, *layers)

    def forward(self, z: Tensor) -> Tensor:
        """Return pictures in [-1, 1] for z, (b, d) or (b, c, h, w)."""
        return self.layers(z)


def shapes_until(net: ResNet, cut: str, picture: tuple[int, int, int]) -> list[tuple[int, ...]]:
    """Return the shape of each stage's output for one picture (channels, h, w), `conv1` to the cut."""
    was = net.training
    net.eval()
    with torch.no_grad():
        x = next(net.parameters()).new_zeros(1, *picture)
        shapes = [tuple(net.until(x, name).shape[1:]) for name in CUTS[: CUTS.index(cut) + 1]]
    net.train(was)
    return shapes


def decoder_of(net: ResNet, cut: str, picture: tuple[int, int, int]) -> PictureDecoder:
    """Return the decoder that mirrors a network behind a cut."""
    return PictureDecoder(shapes_until(net, cut, picture), picture)
