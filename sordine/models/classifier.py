"""Models learnt on original records: one for an attribute (MaSS B.2), and one for no attribute in particular (MaSS B.1).

Methods use them as fixed judges, the audit as *pretrained classifiers*, which are never retrained and whose failure is
never called privacy. Both standardise their input themselves and take records in the table's own scale.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.files import atomic
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.models.checkpoints import read_sealed, resume_game, save_game, write_sealed
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, Game, Move, Player, play

See = Callable[[Tensor], Tensor]  # (b, *shape) -> (b, *shape): what a model is shown of a record
Progress = Callable[[str, int, int], None]

BLOCK = 4096
HIDDEN = (512, 256)  # B.2
SAVE_EPOCHS, SAVE_SECONDS = 5, 10.0
DIGEST_BYTES = 1 << 26  # of a table that is larger, evenly spaced records stand for all


def as_it_is(x: Tensor) -> Tensor:
    """The default `see`: a model is shown the whole record."""
    return x


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


class Classifier(nn.Module):
    """B.2: d-512-256-classes, batch norm and ReLU between the layers. `features` is F (z of eq. 2), `forward` P(F)."""

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


def train_classifier(
    table: Table,
    attribute: str,
    *,
    seed: int,
    epochs: int = 100,
    batch: int = 256,
    lr: float = 0.01,
    weight_decay: float = 0.05,
    device: str = "cpu",
    see: See = as_it_is,
    folder: Path | None = None,
    log: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Classifier:
    """A classifier of `attribute` learnt on the labelled records of `table` (B.2: AdamW, cosine schedule, cross-entropy).

    see: what it is shown of a record. folder: where unfinished work is kept; the same call then goes on where it was,
    or returns at once. A table of fewer than 8 batches is cut into 8. Raises SordineError for an attribute that is
    unknown or has fewer than two labelled records.
    """
    if attribute not in table.y:
        raise SordineError(f"{table.source}: no attribute {attribute!r} to learn")
    known = table.take(table.y[attribute] >= 0)
    if len(known) < 2:
        raise SordineError(f"{table.source}: attribute {attribute!r} has {len(known)} labelled records; two are needed")
    fields = {"epochs": epochs, "batch": batch, "lr": lr, "weight_decay": weight_decay, "seed": seed}
    with seeded(seed, f"classifier {attribute}"):
        model = Classifier(table.width, len(table.classes[attribute]))
        _measure(model.standardise, known, see, device)
        game = Alone(model.to(device), AdamW(lr, weight_decay), epochs)

        def read(draw: Draw) -> dict[str, Tensor]:
            records = draw()
            return {"cross_entropy": functional.cross_entropy(model(see(records.x)), records.y[attribute])}

        game.terms = read
        draw = Draw(known, fit_batch(len(known), batch), (attribute,), seed=_seed_of(seed, "draw"), device=device)
        file = checkpoint(folder, "classifier", {**fields, "attribute": attribute}, known, (attribute,), see, device)
        history = train(game, draw, epochs, what=f"classifier of {attribute}", file=file, progress=progress)
    if log and history:
        log(f"pretrained classifier of {attribute}: cross-entropy {history[-1]['model/cross_entropy']:.3f}")
    return model.eval()


@torch.no_grad()
def outputs(model: See, x: Any, *, see: See = as_it_is, device: str | torch.device = "cpu") -> np.ndarray:
    """What a model (in eval mode) says of many records: (n, *shape) in the table's scale -> (n, outputs) float32."""
    parts = []
    for start in range(0, len(x), BLOCK):
        block = torch.from_numpy(np.array(x[start : start + BLOCK], dtype=np.float32)).to(device)
        parts.append(model(see(block)).cpu().numpy())
    return np.concatenate(parts)


def accuracy_of(logits: np.ndarray, labels: np.ndarray) -> float:
    """Share of the labelled records whose largest logit (n, classes) is at their label (n,); NaN where none is labelled."""
    known = labels >= 0
    return float((logits[known].argmax(1) == labels[known]).mean()) if known.any() else float("nan")


# --------------------------------------------------------------------------------------------- training, resumed


def AdamW(lr: float, weight_decay: float) -> Callable[..., torch.optim.Optimizer]:
    """AdamW for a `Player`."""
    return lambda weights: torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay)


def SGD(lr: float, momentum: float, weight_decay: float) -> Callable[..., torch.optim.Optimizer]:
    """Stochastic gradient descent for a `Player`."""
    return lambda weights: torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay)


class Alone:
    """The game of one player; `terms` gives a round's loss terms."""

    moves = ("model",)
    terms: Callable[[Draw], dict[str, Tensor]]

    def __init__(self, model: nn.Module, optimiser: Callable[..., torch.optim.Optimizer], epochs: int) -> None:
        self.players = {"model": Player(model, optimiser, lambda o: CosineAnnealingLR(o, epochs))}

    def round(self, draw: Draw) -> Iterator[Move]:
        yield "model", self.terms(draw)


def train(
    game: Game,
    draw: Draw,
    epochs: int,
    *,
    what: str,
    file: Path | None = None,
    progress: Progress | None = None,
    watch: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """Play a game to its end, going on from `file` where it has been begun there: the mean loss terms of every epoch.

    Saved every 5 epochs, or 10 seconds, and at the end; an interruption loses what came after. watch: called with every
    epoch's number, to look at what there is by then.
    """
    history: list[dict[str, float]] = []
    done = 0
    if file is not None:
        done = resume_game(file, game, draw)
        with contextlib.suppress(FileNotFoundError):
            history = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))[:done]
    saved = time.monotonic()
    for epoch in play(game, draw, epochs, start=done):
        history.append(epoch.terms)
        late = time.monotonic() - saved > SAVE_SECONDS
        if file is not None and (late or epoch.number % SAVE_EPOCHS == 0 or epoch.number == epochs):
            with atomic(file.with_suffix(".json")) as temporary:
                temporary.write_text(json.dumps(history), encoding="utf-8")
            save_game(file, game, draw, epoch.number)
            saved = time.monotonic()
        if progress:
            progress(what, epoch.number, epochs)
        if watch:
            watch(epoch.number)
    return history


def fit_batch(records: int, batch: int) -> int:
    """A batch size that leaves at least 8 rounds an epoch where it can: batch, or less down to 16, or all there is."""
    return min(records, batch, max(16, records // 8))


@contextlib.contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Global random numbers (weights' start) that depend on the seed and the purpose alone; the caller's go on untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(_seed_of(seed, purpose))
        yield


def _seed_of(seed: int, purpose: str) -> int:
    return int(numpy_rng(seed, purpose).integers(2**31))


def moments(table: Table, see: See = as_it_is, device: str = "cpu") -> tuple[Tensor, Tensor, bool]:
    """Mean and standard deviation of every number as shown (each (d,) float32), and whether every record has norm 1."""

    def shown(start: int) -> Tensor:
        return see(table.batch(slice(start, start + BLOCK)).to(device)).flatten(1).cpu().double()

    total = torch.zeros(table.width, dtype=torch.float64)
    squares, unit = total.clone(), True
    origin = shown(0).mean(0)  # near the mean: no cancellation
    for start in range(0, len(table), BLOCK):
        x = shown(start)
        unit = unit and bool((torch.linalg.vector_norm(x, dim=1) - 1).abs().max() < 1e-3)
        total += (x - origin).sum(0)
        squares += (x - origin).square().sum(0)
    mean = total / len(table)
    deviation = (squares / len(table) - mean.square()).clamp_min(0).sqrt()
    deviation[deviation < 1e-6 * deviation.max()] = 0
    return (mean + origin).float(), deviation.float(), unit


def _measure(standardise: Standardise, table: Table, see: See, device: str) -> tuple[Tensor, Tensor]:
    """Fill in the standardisation (left as identity for unit vectors) and return mean and deviation."""
    mean, deviation, unit = moments(table, see, device)
    if not unit:
        standardise.mean.copy_(mean)
        standardise.scale.copy_(torch.where(deviation > 0, deviation, 1.0))
    return mean, deviation


def kept(file: Path | None) -> dict[str, Tensor] | None:
    """What a checkpoint's file holds; None where there is none, or one that is not as `keep` wrote it: it is made again."""
    found = None if file is None else read_sealed(file)
    return None if found is None else found[0]


def keep(file: Path | None, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint's file, where there is to be one."""
    if file is not None:
        write_sealed(file, tensors, {})


def checkpoint(
    folder: Path | None,
    what: str,
    fields: dict[str, Any],
    table: Table,
    attributes: tuple[str, ...],
    see: See = as_it_is,
    device: str = "cpu",
) -> Path | None:
    """The file of this very training in `folder`: named by a hash of fields, records, labels and what is shown of them."""
    if folder is None:
        return None
    state = hashlib.blake2b(json.dumps(fields, sort_keys=True, default=str).encode(), digest_size=10)
    for name in table.ids:
        state.update(name.encode() + b"\0")
    for attribute in attributes:
        state.update(attribute.encode() + table.y[attribute].tobytes())
    step = max(1, len(table) * table.width * 4 // DIGEST_BYTES)
    for start in range(0, len(table), BLOCK * step):
        state.update(table.batch(slice(start, start + BLOCK * step, step)).numpy().tobytes())
    state.update(see(table.batch(slice(0, 64)).to(device)).cpu().contiguous().numpy().tobytes())
    return Path(folder) / f"{what}-{state.hexdigest()}.safetensors"
