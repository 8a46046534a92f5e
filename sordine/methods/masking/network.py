"""The masking paper's predictor: four convolutional blocks, a dense layer, a classification layer (section III.B).

The paper gives no kernel, stride or padding of the convolutions: 3 x 3, one and one are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from sordine.errors import SordineError


class ConvNet(nn.Module):
    """Pictures (b, channels, h, w) in [0, 1] -> logits (b, classes).

    Four times convolution, batch normalisation, ReLU and 2 x 2 max pooling; a dense layer with batch normalisation and
    ReLU; a dense layer. widths: channels of the four. Raises SordineError for sides under 16.
    """

    def __init__(self, channels: int, classes: int, widths: Sequence[int], dense: int, size: tuple[int, int]) -> None:
        super().__init__()
        if min(size) < 2 ** len(widths):
            raise SordineError(
                f"{len(widths)} poolings need pictures of at least {2 ** len(widths)} pixels a side, not {size}"
            )
        layers: list[nn.Module] = []
        for i, o in pairwise([channels, *widths]):
            layers += [nn.Conv2d(i, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        left = (size[0] >> len(widths)) * (size[1] >> len(widths))
        self.blocks = nn.Sequential(*layers, nn.Flatten())
        self.dense = nn.Sequential(nn.Linear(widths[-1] * left, dense, bias=False), nn.BatchNorm1d(dense), nn.ReLU())
        self.last = nn.Linear(dense, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.dense(self.blocks(x)))
