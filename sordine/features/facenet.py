"""FaceNet: a picture of a face as 512 numbers of norm 1, by an Inception-ResNet-v1 that learnt 8,631 people apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.features.found import Frozen, load, read_state, weights_file
from sordine.features.layout import Encode, Work
from sordine.media.image import Pictures
from sordine.media.source import Kind, Media
from sordine.media.store import Decoded, Decoder
from sordine.nets.inception_resnet import SIDE, WIDTH, InceptionResnet

URL = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt"
MIDDLE, SPREAD = 127.5, 128.0
BATCH = 16


@dataclass(frozen=True)
class FaceNet:
    """512 numbers a picture. The whole picture is resized to 160 x 160: crop to the face beforehand.

    Pixels are (v - 127.5) / 128, the fixed standardisation that facenet-pytorch feeds these weights. (MaSS's appendix A
    names FaceNet's mean and standard deviation without the numbers; FaceNet's earlier weights took each picture's own.)
    weights: a file with the names of 20180402-114759-vggface2.pt; by default that one in torch's cache.
    """

    weights: Path | None = None

    reads: ClassVar[tuple[Kind, ...]] = ("image",)
    version: ClassVar[int] = 1
    block: ClassVar[int] = 4 * BATCH
    learns: ClassVar[bool] = False

    def decoder(self, kind: Kind) -> Decoder:
        """Colour pictures of 160 x 160."""
        if kind != "image":
            raise SordineError(f"facenet reads pictures, not {kind}")
        return Pictures(SIDE, SIDE)

    def open(self, kind: Kind, work: Work) -> Encode:
        """Load the network. Raises SordineError, saying where its weights are to be had, where they are not here."""
        path = weights_file("facenet", self.weights, URL)
        with torch.device("meta"):
            net = InceptionResnet()
        load(net, read_state(path), path, unused=("logits.",))
        net.to(work.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            return net(((x.float() - MIDDLE) / SPREAD).contiguous(memory_format=torch.channels_last))

        return Frozen(embed, WIDTH, BATCH, work.device)

    def fit(self, decoded: Decoded, media: Media, work: Work) -> Encode:
        """The same as `open`: it learns nothing here."""
        return self.open(decoded.kind, work)
