"""A classifier of one attribute, trained on original records (MaSS, appendix B.2).

Methods use it as a fixed network, and the audit as a *pretrained classifier*: it is never retrained, and its failure is
never called privacy. It standardises its input itself and takes records in the table's own scale.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.data.statistics import identity, prepared_moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.models.checkpoints import checkpoint_file
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, SinglePlayer, adamw, fit_batch, seed_for, seeded, train
from sordine.run import Run

Prepare = Callable[[Tensor], Tensor]  # (b, *shape) -> (b, *shape): what is done to records before a model gets them

BLOCK = 4096
HIDDEN = (512, 256)  # B.2


class Standardise(nn.Module):
    """(b, *shape) -> (b, d): (x - mean) / scale, with mean and scale (d,) of the training records."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.mean) / self.scale

    def fit(self, table: Table, prepare: Prepare, device: str) -> tuple[Tensor, Tensor]:
        """Take mean and scale from a table, unless its records have norm 1; return mean and deviation, (d,) each."""
        mean, deviation, unit = prepared_moments(table, prepare, device)
        if not unit:
            self.mean.copy_(mean)
            self.scale.copy_(torch.where(deviation > 0, deviation, 1.0))
        return mean, deviation


class Classifier(nn.Module):
    """B.2: d-512-256-classes, batch normalisation and ReLU between the layers.

    `features` is F (z of eq. 2), `forward` P(F).
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.standardise = Standardise(width)
        layers = mlp([width, *HIDDEN, classes], batch_norm=True)
        self.extractor, self.projector = layers[:-1], layers[-1]

    def features(self, x: Tensor) -> Tensor:
        """(b, *shape) in the table's scale -> z (b, 256), the last hidden layer (after its ReLU: never negative)."""
        return self.extractor(self.standardise(x))

    def forward(self, x: Tensor) -> Tensor:
        """(b, *shape) in the table's scale -> logits (b, classes)."""
        return self.projector(self.features(x))


@dataclass(frozen=True)
class ClassifierOptions:
    """How a classifier is trained: AdamW on the cross-entropy, cosine schedule. The defaults are those of B.2.

    A table of fewer than 8 batches is cut into 8.
    """

    epochs: int = 100
    batch: int = 256
    lr: float = 0.01
    weight_decay: float = 0.05


def train_classifier(
    table: Table,
    attribute: str,
    options: ClassifierOptions | None = None,
    *,
    prepare: Prepare = identity,
    run: Run | None = None,
) -> Classifier:
    """Train a classifier of `attribute` on the labelled records of `table` (MaSS B.2).

    Parameters
    ----------
    table
        The training records.
    attribute
        What is predicted.
    options
        Length and rate of the training.
    prepare
        What is done to records before the classifier gets them.
    run
        Seed, device and progress. In `run.folder` the training is saved and resumed.

    Raises
    ------
    SordineError
        Where the attribute is unknown or has fewer than two labelled records.
    """
    options, run = options or ClassifierOptions(), run or Run()
    if attribute not in table.y:
        raise SordineError(f"{table.source}: there is no attribute {attribute!r} to train a classifier on")
    known = table.take(table.y[attribute] >= 0)
    if len(known) < 2:
        raise SordineError(
            f"{table.source}: attribute {attribute!r} has {len(known)} labelled records; "
            "training a classifier needs at least two"
        )
    with seeded(run.seed, f"classifier {attribute}"):
        model = Classifier(table.width, len(table.classes[attribute]))
        model.standardise.fit(known, prepare, run.device)
        game = SinglePlayer(model.to(run.device), adamw(options.lr, options.weight_decay), options.epochs)

        def loss(draw: Draw) -> dict[str, Tensor]:
            records = draw()
            return {"cross_entropy": functional.cross_entropy(model(prepare(records.x)), records.y[attribute])}

        game.terms = loss
        batch = fit_batch(len(known), options.batch)
        draw = Draw(known, batch, (attribute,), seed=seed_for(run.seed, "draw"), device=run.device)
        fields = {**asdict(options), "seed": run.seed, "attribute": attribute}
        file = checkpoint_file(run.folder, "classifier", fields, known, (attribute,), prepare, run.device)
        history = train(game, draw, options.epochs, what=f"classifier of {attribute}", file=file, run=run)
    if history:
        run.log(f"pretrained classifier of {attribute}: cross-entropy {history[-1]['model/cross_entropy']:.3f}")
    return model.eval()


@torch.no_grad()
def outputs(
    model: Prepare,
    x: Any,
    *,
    prepare: Prepare = identity,
    block: int = BLOCK,
    device: str | torch.device = "cpu",
) -> np.ndarray:
    """Return the outputs of a model in evaluation mode for many records.

    Parameters
    ----------
    model
        (b, *shape) in the table's scale to (b, ...).
    x
        Records: (n, *shape), an array or memory-mapped.
    prepare
        What is done to records before the model gets them.
    block
        Records in a batch.
    device
        Where the model is.

    Returns
    -------
    numpy.ndarray
        (n, ...) float32.
    """
    parts = []
    for start in range(0, len(x), block):
        records = torch.from_numpy(np.array(x[start : start + block], dtype=np.float32)).to(device)
        parts.append(model(prepare(records)).float().cpu().numpy())
    return np.concatenate(parts)


def accuracy_of(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of logits (n, classes) on the labelled records (n,); NaN where no record is labelled."""
    known = labels >= 0
    return float((logits[known].argmax(1) == labels[known]).mean()) if known.any() else float("nan")
