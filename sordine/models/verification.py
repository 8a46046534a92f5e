"""Verification networks: pictures of faces to unit vectors, close to each other where the person is the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from sordine.data.table import Table
from sordine.metrics.pictures import cosine_each
from sordine.models.losses import unit
from sordine.models.networks.inception_resnet import SIDE, InceptionResnet
from sordine.models.networks.resnet import RESNET10, ResNet
from sordine.models.picture_classifier import (
    PictureOptions,
    fit_pictures,
    labelled,
    picture_outputs,
    picture_shape,
    stem_for,
    unit_range,
)
from sordine.models.pretrained import FACENET_MIDDLE, FACENET_SPREAD, facenet
from sordine.models.training import seeded
from sordine.run import Run

SCALE = 16.0  # of cosines to logits (NormFace's s; the value is ours)
EMBEDDING = 64


class Verification(nn.Module):
    """C of the inversion paper, in OpenFace's role: pictures in 0 to 255 to a unit vector that identifies the person.

    Parameters
    ----------
    shape
        (channels, height, width) of a picture.
    people
        Number of people in the training pictures.
    blocks, width
        Residual blocks of each stage, and channels of the first one.
    """

    def __init__(self, shape: Sequence[int], people: int, blocks: Sequence[int] = RESNET10, width: int = 16) -> None:
        super().__init__()
        self.net = ResNet(blocks, EMBEDDING, channels=shape[0], width=width, stem=stem_for(shape[1:]))
        self.people = nn.Linear(EMBEDDING, people, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 64) of norm 1: the target of the feature-level attack (eq. 10)."""
        return unit(self.net(unit_range(x)))

    def third_layer(self, x: Tensor) -> Tensor:
        """Return the features of face similarity, "layer 3" of the paper: those of the third stage, (b, d)."""
        return self.net.until(unit_range(x), "conv4").flatten(1)

    def classify(self, x: Tensor) -> Tensor:
        """Return scaled cosines with each person's vector: logits (b, people)."""
        return SCALE * self(x) @ unit(self.people.weight).T


class LoadedVerification(nn.Module):
    """FaceNet with published weights in the same role; pictures of any size in 0 to 255 are resized to 160 x 160."""

    def __init__(self, net: InceptionResnet) -> None:
        super().__init__()
        self.net = net

    def _prepared(self, x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1)
        return (
            functional.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=True) - FACENET_MIDDLE
        ) / FACENET_SPREAD

    def forward(self, x: Tensor) -> Tensor:
        """(b, 512) of norm 1."""
        return unit(self.net(self._prepared(x)))

    def third_layer(self, x: Tensor) -> Tensor:
        """Return the embedding: the face similarity of the masking paper is FaceNet's cosine."""
        return self(x)


def load_verification(weights: Path | None = None) -> LoadedVerification:
    """Return FaceNet with weights from a file, or from torch's cache.

    Raises
    ------
    SordineError
        Where the weights are missing; the message names where to get them.
    """
    return LoadedVerification(facenet(weights))


def train_verification(
    table: Table, person: str, options: PictureOptions | None = None, *, run: Run | None = None
) -> Verification:
    """Train a verification network on the identities of `table`: cross-entropy over scaled cosines.

    Parameters
    ----------
    table
        The training pictures.
    person
        The attribute that holds the identities.
    options
        The network, and length and rate of the training.
    run
        Seed, device and progress. In `run.folder` the training is saved and resumed.

    Raises
    ------
    SordineError
        As `train_picture_classifier` does.
    """
    options, run = options or PictureOptions(), run or Run()
    shape = picture_shape(table)
    known = labelled(table, person)
    what = f"verification network on {person}"
    with seeded(run.seed, f"verification {person}"):
        model = Verification(shape, len(table.classes[person]), options.blocks, options.width)

        def loss(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"cross_entropy": functional.cross_entropy(model.classify(x), y)}

        last = fit_pictures(model, loss, known, person, options, what, run, {"verify": True})
    if last is not None:
        run.log(f"{what}: cross-entropy {last:.3f}")
    return model.eval()


def face_similarity(
    network: Verification | LoadedVerification, one: Any, other: Any, *, device: str = "cpu"
) -> np.ndarray:
    """Return the cosine of the deep features of two sets of pictures, record by record.

    The features of a network trained here are its third stage (the inversion paper's "Privacy Metric", layer 3 of C).
    Those of FaceNet's published weights are the embedding (the masking paper, section III.B).

    Parameters
    ----------
    network
        The verification network.
    one, other
        Pictures: (n, c, h, w) in 0 to 255.
    device
        Where the network is.

    Returns
    -------
    numpy.ndarray
        (n,), from -1 to 1.
    """
    return cosine_each(*(picture_outputs(network.third_layer, x, device=device) for x in (one, other)))
