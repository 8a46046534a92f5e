"""Networks that look at pictures: readers of an attribute, a verification network, and a perceptual one.

Readers serve as *fixed classifiers* (learnt on originals, never retrained, whose failure is never called privacy) and as
task classifiers that are trained on what is released. All take pictures in the table's own scale, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.data.table import Table
from sordine.metrics.pictures import cosine_each
from sordine.models.classifier import Progress, seeded
from sordine.models.losses import unit
from sordine.models.networks.inception_resnet import WIDTH, InceptionResnet
from sordine.models.networks.resnet import RESNET10, ResNet
from sordine.models.picture_classifier import SCALE, _learn, _unit_range, labelled, outputs, picture_shape, stem_for
from sordine.models.pretrained import FACENET_MIDDLE, FACENET_SPREAD, FACENET_URL, load, read_state, weights_file

EMBEDDING = 64


class Verification(nn.Module):
    """C of the inversion paper, OpenFace's role: pictures in 0 to 255 -> a unit vector that says whose face it is.

    people: how many it was trained to tell apart.
    """

    def __init__(self, shape: Sequence[int], people: int, blocks: Sequence[int] = RESNET10, width: int = 16) -> None:
        super().__init__()
        self.net = ResNet(blocks, EMBEDDING, channels=shape[0], width=width, stem=stem_for(shape[1:]))
        self.people = nn.Linear(EMBEDDING, people, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 64) of norm 1: what the feature-level attack (eq. 10) rebuilds."""
        return unit(self.net(_unit_range(x)))

    def third_layer(self, x: Tensor) -> Tensor:
        """The deep features of face similarity, "layer 3": the third stage's, (b, d)."""
        return self.net.until(_unit_range(x), "conv4").flatten(1)

    def classify(self, x: Tensor) -> Tensor:
        """Scaled cosines with each person's own vector: logits (b, people)."""
        return SCALE * self(x) @ unit(self.people.weight).T


class LoadedVerification(nn.Module):
    """FaceNet with published weights in the same role; pictures of any size in 0 to 255 are brought to 160 x 160."""

    def __init__(self, net: InceptionResnet) -> None:
        super().__init__()
        self.net = net

    def _prepared(self, x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1)
        return (
            functional.interpolate(x, (160, 160), mode="bilinear", antialias=True) - FACENET_MIDDLE
        ) / FACENET_SPREAD

    def forward(self, x: Tensor) -> Tensor:
        """(b, 512) of norm 1."""
        return unit(self.net(self._prepared(x)))

    def third_layer(self, x: Tensor) -> Tensor:
        """The embedding itself: the masking paper's face similarity is FaceNet's cosine."""
        return self(x)


def load_verification(weights: Path | None = None) -> LoadedVerification:
    """FaceNet from a file, or from torch's cache. Raises SordineError, saying where to get it, where it is not here."""
    path = weights_file("facenet", weights, FACENET_URL)
    with torch.device("meta"):
        net = InceptionResnet()
    load(net, read_state(path), path, unused=("logits.",))
    assert net.last_bn.num_features == WIDTH
    return LoadedVerification(net.eval().requires_grad_(False))


def train_verification(
    table: Table,
    person: str,
    *,
    seed: int,
    epochs: int = 20,
    batch: int = 64,
    lr: float = 2e-3,
    weight_decay: float = 1e-3,
    blocks: Sequence[int] = RESNET10,
    width: int = 16,
    device: str = "cpu",
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """A verification network learnt on the identities `person` of `table`: cross-entropy over scaled cosines.

    Raises SordineError as `train_reader` does.
    """
    shape = picture_shape(table)
    known = labelled(table, person)
    with seeded(seed, f"verification {person}"):
        model = Verification(shape, len(table.classes[person]), blocks, width)

        def read(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"cross_entropy": functional.cross_entropy(model.classify(x), y)}

        fields = {"blocks": list(blocks), "width": width, "lr": lr, "weight_decay": weight_decay, "verify": True}
        what = f"verification network on {person}"
        last = _learn(model, read, known, person, what, fields, seed, epochs, batch, device, folder, progress)
    if log and last is not None:
        log(f"{what}: cross-entropy {last:.3f}")
    return model.eval()


def face_similarity(
    network: Verification | LoadedVerification, one: Any, other: Any, *, device: str = "cpu"
) -> np.ndarray:
    """The cosine of the verification network's deep features of two sets of pictures (n, c, h, w), record by record: (n,).

    Of a network trained here, the third stage: the inversion paper's measure ("Privacy Metric", layer 3 of C). Of FaceNet's
    published weights, the embedding: the masking paper's (section III.B).
    """
    return cosine_each(*(outputs(network.third_layer, x, device=device) for x in (one, other)))
