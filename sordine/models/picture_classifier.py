"""A classifier of one attribute of pictures: a residual network.

It serves as a *fixed classifier* (trained on originals, never retrained; its failure is never called privacy) and as a
task classifier that is trained on released pictures. It takes pictures in the table's own scale, 0 to 255.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.data.table import Table
from sordine.errors import SordineError, check_number
from sordine.models.checkpoints import checkpoint_file
from sordine.models.classifier import Prepare, outputs
from sordine.models.networks.resnet import RESNET10, ResNet, Stem
from sordine.models.training import Draw, SinglePlayer, adamw, fit_batch, seed_for, seeded, train
from sordine.run import Run

WHITE = 255.0
SHIFT = 2  # pixels by which a training batch is shifted, at most
PUBLISHED_SIDE = 96  # pixels from which on the published stem is used
BLOCK = 256
Loss = Callable[[Tensor, Tensor], dict[str, Tensor]]


def picture_shape(table: Table) -> tuple[int, int, int]:
    """Return (channels, height, width) of a table of pictures.

    Raises
    ------
    SordineError
        Where the records are not pictures of bytes, 0 to 255.
    """
    if len(table.shape) != 3 or table.shape[0] not in (1, 3):
        raise SordineError(
            f"{table.source}: records of shape {table.shape} are not pictures; "
            "make a table of pictures with: sordine extract --extractor pictures"
        )
    if table.x.dtype != np.uint8:
        raise SordineError(
            f"{table.source}: records are {table.x.dtype} numbers, not pictures of bytes (0 to 255); "
            "make a table of pictures with: sordine extract --extractor pictures"
        )
    channels, height, width = table.shape
    return channels, height, width


def stem_for(size: Sequence[int]) -> Stem:
    """Return the stem for pictures of (height, width): the published one from 96 pixels on."""
    return "imagenet" if min(size) >= PUBLISHED_SIDE else "small"


def mixed_precision(device: str | torch.device) -> contextlib.AbstractContextManager[Any]:
    """Compute in bfloat16 on a GPU; do nothing on a CPU, where bfloat16 is slower."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16) if kind == "cuda" else contextlib.nullcontext()


class PictureClassifier(nn.Module):
    """A residual network for an attribute of pictures (b, c, h, w) in 0 to 255: `forward` gives logits (b, classes)."""

    def __init__(self, shape: Sequence[int], classes: int, blocks: Sequence[int] = RESNET10, width: int = 16) -> None:
        super().__init__()
        self.net = ResNet(blocks, classes, channels=shape[0], width=width, stem=stem_for(shape[1:]))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(unit_range(x))

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the outputs of the five convolutional stages: (b, c, h, w) each."""
        return self.net.activations(unit_range(x))


@dataclass(frozen=True)
class PictureOptions:
    """How a network for pictures is made and trained: AdamW, cosine schedule, each batch shifted by up to two pixels.

    Parameters
    ----------
    epochs, batch, lr, weight_decay
        Length and rate of the training.
    blocks
        Residual blocks of each stage.
    width
        Channels of the first stage.
    """

    epochs: int = 20
    batch: int = 64
    lr: float = 2e-3
    weight_decay: float = 1e-3
    blocks: Sequence[int] = RESNET10
    width: int = 16


def train_picture_classifier(
    table: Table, attribute: str, options: PictureOptions | None = None, *, run: Run | None = None
) -> PictureClassifier:
    """Train a classifier of `attribute` on the labelled pictures of `table` (cross-entropy).

    Parameters
    ----------
    table
        The training pictures.
    attribute
        What is predicted.
    options
        The network, and length and rate of the training.
    run
        Seed, device and progress. In `run.folder` the training is saved and resumed.

    Raises
    ------
    SordineError
        Where the records are not pictures, and as `labelled` does.
    """
    options, run = options or PictureOptions(), run or Run()
    shape = picture_shape(table)
    known = labelled(table, attribute)
    with seeded(run.seed, f"reader {attribute}"):
        model = PictureClassifier(shape, len(table.classes[attribute]), options.blocks, options.width)

        def loss(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"cross_entropy": functional.cross_entropy(model(x), y)}

        last = fit_pictures(model, loss, known, attribute, options, f"classifier of {attribute}", run)
    if last is not None:
        run.log(f"classifier of {attribute} on original pictures: cross-entropy {last:.3f}")
    return model.eval()


def labelled(table: Table, attribute: str) -> Table:
    """Return the records of `table` with a label of `attribute`.

    Raises
    ------
    SordineError
        Where the attribute is unknown, fewer than two records have a label, or all have the same one.
    """
    if attribute not in table.y:
        raise SordineError(f"{table.source}: there is no attribute {attribute!r} to train a classifier on")
    known = table.take(table.y[attribute] >= 0)
    if len(known) < 2:
        raise SordineError(
            f"{table.source}: attribute {attribute!r} has {len(known)} labelled records; "
            "training a classifier needs at least two"
        )
    found = np.unique(known.y[attribute])
    if len(found) < 2:
        only = table.classes[attribute][int(found[0])]
        raise SordineError(
            f"{table.source}: all {len(known):,} labelled records of {attribute!r} belong to class {only!r}; "
            "at least two classes are needed"
        )
    return known


def fit_pictures(
    model: nn.Module,
    loss: Loss,
    table: Table,
    attribute: str,
    options: PictureOptions,
    what: str,
    run: Run,
    marks: Mapping[str, Any] | None = None,
) -> float | None:
    """Train a network on shifted pictures, in place, on `run.device`.

    Parameters
    ----------
    model
        The network.
    loss
        Pictures (b, c, h, w) in 0 to 255 and class codes (b,) to the terms of the loss.
    table
        The training pictures, all with a label of `attribute`.
    attribute
        What is predicted.
    options
        Length and rate of the training.
    what
        Name of the work, for progress and messages.
    run
        Seed, device, folder and progress.
    marks
        Plain data that identifies the checkpoint of this network.

    Returns
    -------
    float or None
        The cross-entropy of the last epoch; None where it is not known.
    """
    for name, value, low, high in (
        ("epochs", options.epochs, 1, 1e9),
        ("batch", options.batch, 2, 1e9),
        ("lr", options.lr, 1e-12, 100),
    ):
        check_number(f"{what}: {name}", value, low, high)
    model.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    game = SinglePlayer(model, adamw(options.lr, options.weight_decay), options.epochs)

    def terms(draw: Draw) -> dict[str, Tensor]:
        records = draw()
        with mixed_precision(run.device):
            return loss(shifted(records.x, draw.generator), records.y[attribute])

    game.terms = terms
    batch = fit_batch(len(table), options.batch)
    draw = Draw(table, batch, (attribute,), seed=seed_for(run.seed, "draw"), device=run.device)
    made = {**vars(options), "blocks": list(options.blocks), "seed": run.seed, "attribute": attribute, **(marks or {})}
    file = checkpoint_file(run.folder, "pictures", made, table, (attribute,), device=run.device)
    history = train(game, draw, options.epochs, what=what, file=file, run=run)
    return history[-1]["model/cross_entropy"] if history else None


def shifted(x: Tensor, random: torch.Generator, most: int = SHIFT) -> Tensor:
    """Return a batch of pictures, all shifted by the same few pixels down and right; edges are repeated."""
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=random).tolist()
    height, width = x.shape[-2:]
    padded = functional.pad(x, (most, most, most, most), mode="replicate")
    return padded[..., down : down + height, right : right + width]


def unit_range(x: Tensor) -> Tensor:
    """Return pictures of 0 to 255 as 0 to 1, channels last in memory."""
    return (x.float() / WHITE).contiguous(memory_format=torch.channels_last)


def picture_outputs(model: Prepare, x: Any, *, block: int = BLOCK, device: str = "cpu") -> np.ndarray:
    """Return the outputs of a network for many pictures (n, c, h, w) in 0 to 255: (n, ...) float32."""
    return outputs(model, x, block=block, device=device)
