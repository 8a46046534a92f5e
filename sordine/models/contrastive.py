"""Models learnt on original records: one for an attribute (MaSS B.2), and one for no attribute in particular (MaSS B.1).

Methods use them as fixed judges, the audit as *pretrained classifiers*, which are never retrained and whose failure is
never called privacy. Both standardise their input themselves and take records in the table's own scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.table import Table
from sordine.models.classifier import (
    SGD,
    Alone,
    Progress,
    See,
    Standardise,
    _measure,
    _seed_of,
    as_it_is,
    checkpoint,
    fit_batch,
    outputs,
    seeded,
    train,
)
from sordine.models.losses import simclr
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, Views

PROJECTION = 128


class Agnostic(nn.Module):
    """B.1: an encoder of two layers as wide as the input, batch norm and ReLU between; a projector, d-128-128 (ours)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.standardise = Standardise(width)
        self.encoder = mlp([width, width, width], batch_norm=True)
        narrow = min(width, PROJECTION)
        self.projector = mlp([width, narrow, narrow])

    def features(self, x: Tensor) -> Tensor:
        """(b, *shape) in the table's scale -> (b, d)."""
        return self.encoder(self.standardise(x))

    def forward(self, x: Tensor) -> Tensor:
        """(b, *shape) in the table's scale -> p of eqs. 5 and 6, (b, min(d, 128))."""
        return self.projector(self.features(x))


def train_agnostic(
    table: Table,
    *,
    seed: int,
    views: Views | None = None,
    dropout: float = 0.2,
    noise: float = 0.3,
    epochs: int = 100,
    batch: int = 256,
    lr: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    tau: float = 0.07,
    device: str = "cpu",
    see: See = as_it_is,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Agnostic:
    """A representation learnt without labels (B.1: SimCLR's NT-Xent between two views of a record, SGD, cosine schedule).

    views: gives two views of a batch in the table's scale (two augmentations of the raw media, say: `Batch.rows` says
    which records). By default each view replaces a share `dropout` of a record's numbers by their mean and adds Gaussian noise
    of `noise` standard deviations. momentum: B.1 says "SGD" only; .9 is what SimCLR's descendants use.
    """
    fields: dict[str, Any] = {
        "views": getattr(views, "fingerprint", views is not None),
        "dropout": dropout,
        "noise": noise,
        "epochs": epochs,
        "batch": batch,
    }
    fields |= {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "tau": tau, "seed": seed}
    with seeded(seed, "agnostic"):
        model = Agnostic(table.width)
        mean, deviation = (v.to(device) for v in _measure(model.standardise, table, see, device))
        game = Alone(model.to(device), SGD(lr, momentum, weight_decay), epochs)

        def view(x: Tensor, random: torch.Generator) -> Tensor:
            flat = x.flatten(1)
            kept = torch.rand(flat.shape, generator=random).to(device) >= dropout
            shaken = flat + noise * deviation * torch.randn(flat.shape, generator=random).to(device)
            return torch.where(kept, shaken, mean)

        def contrast(draw: Draw) -> dict[str, Tensor]:
            records = draw()
            if views is not None:
                one, other = (see(v) for v in views(records, draw.generator))
            else:
                x = see(records.x)
                one, other = view(x, draw.generator), view(x, draw.generator)
            # One pass for both views: batch norm then sees them together.
            first, second = model(torch.cat([one.flatten(1), other.flatten(1)])).chunk(2)
            return {"nt_xent": simclr(first, second, tau)}

        game.terms = contrast
        draw = Draw(table, fit_batch(len(table), batch), seed=_seed_of(seed, "draw"), device=device)
        file = checkpoint(folder, "agnostic", fields, table, (), see, device)
        history = train(game, draw, epochs, what="attribute-agnostic model", file=file, progress=progress)
    if log and history:
        log(f"attribute-agnostic model: NT-Xent {history[-1]['model/nt_xent']:.3f}")
    return model.eval()


class Originals:
    """What the pretrained models say of the originals, once for all where the table is in memory, else batch by batch."""

    def __init__(self, says: Mapping[str, See], table: Table, see: See, device: str | torch.device) -> None:
        self.says = says
        self.kept: dict[str, Tensor] = {}
        if type(table.x) is np.ndarray:
            for name, say in says.items():
                self.kept[name] = torch.from_numpy(outputs(say, table.x, see=see, device=device)).to(device)

    def __call__(self, name: str, x: Tensor, rows: Tensor) -> Tensor:
        if name in self.kept:
            return self.kept[name].index_select(0, rows.to(x.device))
        with torch.no_grad():
            return self.says[name](x)
