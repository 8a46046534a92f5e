"""Networks that look at pictures: readers of an attribute, a verification network, and a perceptual one.

Readers serve as *fixed classifiers* (learnt on originals, never retrained, whose failure is never called privacy) and as
task classifiers that are trained on what is released. All take pictures in the table's own scale, 0 to 255.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.data.table import Table
from sordine.errors import SordineError, check_number
from sordine.keys import numpy_rng
from sordine.models.classifier import AdamW, Alone, Progress, checkpoint, fit_batch, seeded, train
from sordine.models.networks.resnet import RESNET10, ResNet, Stem
from sordine.models.training import Draw

WHITE = 255.0
SHIFT = 2  # pixels by which a batch is moved while a reader learns
SCALE = 16.0  # of cosines to logits in the verification network (NormFace's s; ours)


def picture_shape(table: Table) -> tuple[int, int, int]:
    """(channels, h, w). Raises SordineError where the table's records are not pictures of bytes, 0 to 255."""
    if len(table.shape) != 3 or table.shape[0] not in (1, 3):
        raise SordineError(
            f"{table.source}: records of shape {table.shape} are not pictures; make some with sordine extract --extractor pictures"
        )
    if table.x.dtype != np.uint8:
        raise SordineError(
            f"{table.source}: records are {table.x.dtype} numbers, not pictures of bytes (0 to 255); make some with sordine extract"
        )
    channels, height, width = table.shape
    return channels, height, width


def stem_for(size: Sequence[int]) -> Stem:
    """The stem that suits pictures of (h, w): the published one from 96 pixels on."""
    return "imagenet" if min(size) >= 96 else "small"


def mixed(device: str | torch.device) -> contextlib.AbstractContextManager[Any]:
    """Half-width numbers (bfloat16) where a GPU computes; on CPUs, where they are slower, nothing."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16) if kind == "cuda" else contextlib.nullcontext()


class Reader(nn.Module):
    """A ResNet that reads one attribute of pictures (b, c, h, w) in 0 to 255: `forward` gives logits (b, classes)."""

    def __init__(self, shape: Sequence[int], classes: int, blocks: Sequence[int] = RESNET10, width: int = 16) -> None:
        super().__init__()
        self.net = ResNet(blocks, classes, channels=shape[0], width=width, stem=stem_for(shape[1:]))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(_unit_range(x))

    def activations(self, x: Tensor) -> list[Tensor]:
        """What the five convolutional stages say: (b, c, h, w) each."""
        return self.net.activations(_unit_range(x))


def train_reader(
    table: Table,
    attribute: str,
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
) -> Reader:
    """A reader of `attribute` learnt on the labelled pictures of `table` (AdamW, cosine schedule, cross-entropy), each batch
    moved by up to two pixels. folder: where unfinished work is kept, to go on.

    Raises SordineError where the records are no pictures, and as `labelled` does.
    """
    shape = picture_shape(table)
    known = labelled(table, attribute)
    with seeded(seed, f"reader {attribute}"):
        model = Reader(shape, len(table.classes[attribute]), blocks, width)

        def read(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"cross_entropy": functional.cross_entropy(model(x), y)}

        fields = {"blocks": list(blocks), "width": width, "lr": lr, "weight_decay": weight_decay}
        last = _learn(
            model,
            read,
            known,
            attribute,
            f"reader of {attribute}",
            fields,
            seed,
            epochs,
            batch,
            device,
            folder,
            progress,
        )
    if log and last is not None:
        log(f"classifier of {attribute} on original pictures: cross-entropy {last:.3f}")
    return model.eval()


def labelled(table: Table, attribute: str) -> Table:
    """The records of `table` that a network can learn `attribute` on: those with a label of it.

    Raises SordineError where the attribute is unknown, fewer than two records have a label, or all have the same.
    """
    if attribute not in table.y:
        raise SordineError(f"{table.source}: no attribute {attribute!r} to learn")
    known = table.take(table.y[attribute] >= 0)
    if len(known) < 2:
        raise SordineError(f"{table.source}: attribute {attribute!r} has {len(known)} labelled records; two are needed")
    found = np.unique(known.y[attribute])
    if len(found) < 2:
        only = table.classes[attribute][int(found[0])]
        raise SordineError(
            f"{table.source}: all {len(known):,} records to learn {attribute!r} on are of {only!r}: a network that tells "
            "apart needs two at least"
        )
    return known


def _learn(
    model: nn.Module,
    read: Callable[[Tensor, Tensor], dict[str, Tensor]],
    table: Table,
    attribute: str,
    what: str,
    fields: dict[str, Any],
    seed: int,
    epochs: int,
    batch: int,
    device: str,
    folder: Path | None,
    progress: Progress | None,
) -> float | None:
    for name, value, low, high in (
        ("epochs", epochs, 1, 1e9),
        ("batch", batch, 2, 1e9),
        ("lr", fields["lr"], 1e-12, 100),
    ):
        check_number(f"{what}: {name}", value, low, high)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    game = Alone(model, AdamW(fields["lr"], fields["weight_decay"]), epochs)

    def round_of(draw: Draw) -> dict[str, Tensor]:
        records = draw()
        with mixed(device):
            return read(moved(records.x, draw.generator), records.y[attribute])

    game.terms = round_of
    start = int(numpy_rng(seed, "draw").integers(2**31))
    draw = Draw(table, fit_batch(len(table), batch), (attribute,), seed=start, device=device)
    made = {**fields, "epochs": epochs, "batch": batch, "seed": seed, "attribute": attribute}
    file = checkpoint(folder, "pictures", made, table, (attribute,), device=device)
    history = train(game, draw, epochs, what=what, file=file, progress=progress)
    return history[-1]["model/cross_entropy"] if history else None


def moved(x: Tensor, random: torch.Generator, most: int = SHIFT) -> Tensor:
    """A batch of pictures moved by the same few pixels up or down, left or right; edges are repeated."""
    down, right = torch.randint(0, 2 * most + 1, (2,), generator=random).tolist()
    height, width = x.shape[-2:]
    padded = functional.pad(x, (most, most, most, most), mode="replicate")
    return padded[..., down : down + height, right : right + width]


def _unit_range(x: Tensor) -> Tensor:
    return (x.float() / WHITE).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def outputs(say: Callable[[Tensor], Tensor], x: Any, *, block: int = 256, device: str = "cpu") -> np.ndarray:
    """What a network says of many pictures (n, c, h, w) in 0 to 255: (n, ...) float32."""
    parts = []
    for start in range(0, len(x), block):
        part = torch.from_numpy(np.array(x[start : start + block], dtype=np.float32)).to(device)
        parts.append(say(part).float().cpu().numpy())
    return np.concatenate(parts)
