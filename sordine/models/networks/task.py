"""A task network cut in two (inversion paper): an encoder whose output is released, and a classifier of that output."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sordine.models.networks.resnet import RESNET10, RESNET18, RESNET50, ResNet, Stem

BLOCKS = {"resnet10": RESNET10, "resnet18": RESNET18, "resnet50": RESNET50}


class Task(nn.Module):
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

    def read(self, z: Tensor) -> list[Tensor]:
        """Return the logits of f for z: (b, classes) of each attribute, in the task's order."""
        return list(self.head(self.net.after(z, self.cut)).split(list(self.classes.values()), 1))
