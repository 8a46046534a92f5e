"""FaceNet: a picture of a face as 512 numbers of norm 1, by an Inception-ResNet-v1 trained on 8,631 people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from sordine.data.media.cache import Decoder
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind
from sordine.errors import SordineError
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.models.networks.inception_resnet import SIDE, WIDTH
from sordine.models.pretrained import FACENET_MIDDLE, FACENET_SPREAD, Frozen, facenet
from sordine.run import Run

BATCH = 16


@dataclass(frozen=True)
class FaceNet(NetworkExtractor):
    """512 numbers a picture. The whole picture is resized to 160 x 160: crop to the face before.

    Pixels are (v - 127.5) / 128, the fixed standardisation of facenet-pytorch for these weights. (MaSS's appendix A
    mentions FaceNet's mean and standard deviation without the numbers; FaceNet's earlier weights used each picture's.)

    Parameters
    ----------
    weights
        A file with the keys of 20180402-114759-vggface2.pt; by default that file in torch's cache.
    """

    weights: Path | None = None

    accepts: ClassVar[tuple[SourceKind, ...]] = ("image",)
    version: ClassVar[int] = 1
    block: ClassVar[int] = 4 * BATCH

    def decoder(self, kind: Kind) -> Decoder:
        """Return a decoder to colour pictures of 160 x 160."""
        if kind != "image":
            raise SordineError(f"facenet takes pictures, not {kind}")
        return Pictures(SIDE, SIDE)

    def open(self, kind: Kind, run: Run) -> Encode:
        """Load the network. Raises SordineError where its weights are missing; the message names where to get them."""
        net = facenet(self.weights)
        net.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            return net(((x.float() - FACENET_MIDDLE) / FACENET_SPREAD).contiguous(memory_format=torch.channels_last))

        return Frozen(embed, WIDTH, BATCH, run.device)
