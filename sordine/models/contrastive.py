"""A representation that is trained without labels, for no attribute in particular (MaSS, appendix B.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.statistics import identity
from sordine.data.table import Table
from sordine.models.checkpoints import checkpoint_file
from sordine.models.classifier import Prepare, Standardise, outputs
from sordine.models.losses import simclr
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, SinglePlayer, Views, fit_batch, seed_for, seeded, sgd, train
from sordine.run import Run

PROJECTION = 128


class Agnostic(nn.Module):
    """B.1: an encoder of two layers as wide as the input, and a projector, d-128-128 (these widths are ours)."""

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


@dataclass(frozen=True)
class AgnosticOptions:
    """How the attribute-agnostic model is trained: NT-Xent between two views of a record, SGD, cosine schedule (B.1).

    Parameters
    ----------
    dropout
        Share of a record's numbers that a default view replaces by their mean.
    noise
        Gaussian noise of a default view, in standard deviations.
    epochs, batch, lr, weight_decay
        Length and rate of the training. A table of fewer than 8 batches is cut into 8.
    momentum
        B.1 names SGD only; 0.9 is customary for SimCLR.
    tau
        Temperature of NT-Xent.
    """

    dropout: float = 0.2
    noise: float = 0.3
    epochs: int = 100
    batch: int = 256
    lr: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    tau: float = 0.07


def train_agnostic(
    table: Table,
    options: AgnosticOptions | None = None,
    *,
    views: Views | None = None,
    prepare: Prepare = identity,
    run: Run | None = None,
) -> Agnostic:
    """Train the attribute-agnostic model of MaSS B.1 (SimCLR, without labels).

    Parameters
    ----------
    table
        The training records.
    options
        Views, length and rate of the training.
    views
        Gives two views of a batch in the table's scale, for instance two augmentations of the raw media. By default, a
        view replaces some numbers by their mean and adds noise.
    prepare
        What is done to records before the model gets them.
    run
        Seed, device and progress. In `run.folder` the training is saved and resumed.
    """
    options, run = options or AgnosticOptions(), run or Run()
    fields = {"views": getattr(views, "fingerprint", views is not None), **asdict(options), "seed": run.seed}
    with seeded(run.seed, "agnostic"):
        model = Agnostic(table.width)
        mean, deviation = model.standardise.fit(table, prepare, run.device)
        default = _noisy_views(mean.to(run.device), deviation.to(run.device), options)
        game = SinglePlayer(
            model.to(run.device), sgd(options.lr, options.momentum, options.weight_decay), options.epochs
        )

        def contrast(draw: Draw) -> dict[str, Tensor]:
            records = draw()
            if views is not None:
                one, other = (prepare(v) for v in views(records, draw.generator))
            else:
                x = prepare(records.x)
                one, other = default(x, draw.generator), default(x, draw.generator)
            # One pass for both views, so that batch normalisation gets them together.
            first, second = model(torch.cat([one.flatten(1), other.flatten(1)])).chunk(2)
            return {"nt_xent": simclr(first, second, options.tau)}

        game.terms = contrast
        draw = Draw(table, fit_batch(len(table), options.batch), seed=seed_for(run.seed, "draw"), device=run.device)
        file = checkpoint_file(run.folder, "agnostic", fields, table, (), prepare, run.device)
        history = train(game, draw, options.epochs, what="attribute-agnostic model", file=file, run=run)
    if history:
        run.log(f"attribute-agnostic model: NT-Xent {history[-1]['model/nt_xent']:.3f}")
    return model.eval()


def _noisy_views(
    mean: Tensor, deviation: Tensor, options: AgnosticOptions
) -> Callable[[Tensor, torch.Generator], Tensor]:
    def view(x: Tensor, random: torch.Generator) -> Tensor:
        flat = x.flatten(1)
        unchanged = torch.rand(flat.shape, generator=random).to(flat.device) >= options.dropout
        noisy = flat + options.noise * deviation * torch.randn(flat.shape, generator=random).to(flat.device)
        return torch.where(unchanged, noisy, mean)

    return view


class PretrainedOutputs:
    """Outputs of pretrained models for the original records: computed once where the table is in memory.

    Parameters
    ----------
    models
        Name to model.
    table
        The original records.
    prepare
        What is done to records before a model gets them.
    device
        Where the models are.
    """

    def __init__(
        self, models: Mapping[str, Prepare], table: Table, prepare: Prepare, device: str | torch.device
    ) -> None:
        self.models = models
        self.known: dict[str, Tensor] = {}
        if type(table.x) is np.ndarray:
            for name, model in models.items():
                self.known[name] = torch.from_numpy(outputs(model, table.x, prepare=prepare, device=device)).to(device)

    def __call__(self, name: str, x: Tensor, rows: Tensor) -> Tensor:
        """Return a model's outputs for records x (b, *shape) at positions `rows` (b,) of the table: (b, ...)."""
        if name in self.known:
            return self.known[name].index_select(0, rows.to(x.device))
        with torch.no_grad():
            return self.models[name](x)
