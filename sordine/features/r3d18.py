"""R3D-18: a clip of 16 frames as 512 numbers of norm 1, by a network trained on 400 actions (Kinetics)."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from sordine.data.media.cache import Decoder
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind
from sordine.data.media.video import Clips
from sordine.errors import SordineError
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.models.pretrained import Frozen, load, read_state, weights_file
from sordine.models.torchvision_loader import load_torchvision
from sordine.run import Run

URL = "https://download.pytorch.org/models/r3d_18-b3b3357e.pth"
HASH = " (its SHA-256 begins with b3b3357e)"
WIDTH, SIDE, FRAMES, STEP, BATCH = 512, 112, 16, 2, 4
# Of red, green and blue from 0 to 1, over Kinetics-400: those of torchvision's transform for these weights.
MEAN, SPREAD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)


@dataclass(frozen=True)
class R3D18(NetworkExtractor):
    """512 numbers a video, a frame or a picture: the network's last pooling for 16 frames of 112 x 112.

    The clip of a video is every other frame from its start; in a short video, the last frame is repeated. The clip of a
    picture is the picture 16 times. Whole frames are resized, without a crop, as in MaSS's appendix A.

    Parameters
    ----------
    level
        "video", or "frame": one record a frame, whose clip is every other frame around it.
    weights
        A file with the keys of r3d_18-b3b3357e.pth; by default that file in torch's cache.
    """

    level: Literal["video", "frame"] = "video"
    weights: Path | None = None

    accepts: ClassVar[tuple[SourceKind, ...]] = ("video", "image")
    version: ClassVar[int] = 1
    block: ClassVar[int] = 4 * BATCH

    @property
    def by_frame(self) -> bool:  # type: ignore[override]
        """Whether each frame of a video is a record."""
        return self.level == "frame"

    def decoder(self, kind: Kind) -> Decoder:
        """Return a decoder to clips of 16 frames, or colour pictures, of 112 x 112."""
        if kind == "image":
            if self.level == "frame":
                raise SordineError("r3d18: level=frame needs videos; remove it for pictures")
            return Pictures(SIDE, SIDE)
        if kind != "video":
            raise SordineError(f"r3d18 takes videos and pictures, not {kind}")
        return Clips(SIDE, SIDE, FRAMES, STEP)

    def open(self, kind: Kind, run: Run) -> Encode:
        """Load the network. Raises SordineError where something is missing; the message explains how to get it."""
        path = weights_file("r3d18", self.weights, URL, HASH)
        load_torchvision()
        with torch.device("meta"):
            net: nn.Module = importlib.import_module("torchvision.models.video").r3d_18(weights=None)
        net.fc = nn.Identity()
        load(net, read_state(path), path, unused=("fc.",))
        net.to(run.device)
        mean, spread = (torch.tensor(v, device=run.device).view(3, 1, 1, 1) for v in (MEAN, SPREAD))

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            clip = x.unsqueeze(1).expand(-1, FRAMES, -1, -1, -1) if kind == "image" else x
            return net((clip.transpose(1, 2).float() / 255 - mean) / spread)

        return Frozen(embed, WIDTH, BATCH, run.device)
