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

from sordine import classifiers, losses
from sordine.classifiers import AdamW, Alone, Progress
from sordine.errors import SordineError
from sordine.features.facenet import MIDDLE, SPREAD, URL, WIDTH
from sordine.features.found import load, read_state, weights_file
from sordine.game import Draw
from sordine.keys import numpy_rng
from sordine.nets.inception_resnet import InceptionResnet
from sordine.nets.resnet import RESNET10, ResNet, Stem
from sordine.picture_metrics import cosine_each
from sordine.table import Table
from sordine.weights import check_number

WHITE = 255.0
SHIFT = 2  # pixels by which a batch is moved while a reader learns
SCALE = 16.0  # of cosines to logits in the verification network (NormFace's s; ours)
EMBEDDING = 64
# torchvision's vgg16: channels of the convolutions, a pooling after each of the five groups.
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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
        return losses.unit(self.net(_unit_range(x)))

    def third_layer(self, x: Tensor) -> Tensor:
        """The deep features of face similarity, "layer 3": the third stage's, (b, d)."""
        return self.net.until(_unit_range(x), "conv4").flatten(1)

    def classify(self, x: Tensor) -> Tensor:
        """Scaled cosines with each person's own vector: logits (b, people)."""
        return SCALE * self(x) @ losses.unit(self.people.weight).T


class LoadedVerification(nn.Module):
    """FaceNet with published weights in the same role; pictures of any size in 0 to 255 are brought to 160 x 160."""

    def __init__(self, net: InceptionResnet) -> None:
        super().__init__()
        self.net = net

    def _prepared(self, x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1)
        return (functional.interpolate(x, (160, 160), mode="bilinear", antialias=True) - MIDDLE) / SPREAD

    def forward(self, x: Tensor) -> Tensor:
        """(b, 512) of norm 1."""
        return losses.unit(self.net(self._prepared(x)))

    def third_layer(self, x: Tensor) -> Tensor:
        """The embedding itself: the masking paper's face similarity is FaceNet's cosine."""
        return self(x)


def load_verification(weights: Path | None = None) -> LoadedVerification:
    """FaceNet from a file, or from torch's cache. Raises SordineError, saying where to get it, where it is not here."""
    path = weights_file("facenet", weights, URL)
    with torch.device("meta"):
        net = InceptionResnet()
    load(net, read_state(path), path, unused=("logits.",))
    assert net.last_bn.num_features == WIDTH
    return LoadedVerification(net.eval().requires_grad_(False))


class Perceptual(nn.Module):
    """g of the inversion paper: what a fixed network's stages say of pictures (b, c, h, w) in [-1, 1]."""

    mean: Tensor
    deviation: Tensor
    scales: Tensor

    def __init__(self, stages: nn.ModuleList, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.stages = stages
        self.register_buffer("scales", torch.ones(len(stages)))
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(1, -1, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """conv1 to conv5: (b, c, h, w) each."""
        x = ((x + 1) / 2).expand(-1, self.mean.shape[1], -1, -1)
        x = (x - self.mean) / self.deviation
        said = []
        for stage, scale in zip(self.stages, self.scales, strict=True):
            x = stage(x)
            said.append(x * scale)
        return said

    @torch.no_grad()
    def even(self, x: Tensor) -> Perceptual:
        """Scale every stage so that over these pictures (n, c, h, w), in [-1, 1], it varies as much as any other and all
        together as much as the pixels: a distance by g is then of the size of one by pixels, whatever the network."""
        self.scales.fill_(1.0)
        varies = torch.stack([v.var(0, correction=0).mean() for v in self(x)])
        pixels = x.var(0, correction=0).mean()
        self.scales.copy_((pixels / len(varies) / varies.clamp_min(1e-12)).sqrt())
        return self

    def train(self, mode: bool = True) -> Perceptual:
        """It always evaluates."""
        return super().train(False)


def vgg16(weights: Path | None = None) -> Perceptual:
    """VGG-16's conv1 to conv5 with torchvision's published weights, from a file or torch's cache.

    Raises SordineError, saying where to get them, where they are not here.
    """
    path = weights_file("vgg16", weights, VGG16_URL)
    layers: list[nn.Module] = []
    ends = []
    inputs = 3
    for group in VGG16:
        for width in group:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        ends.append(len(layers))
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers)
    whole = nn.Module()
    whole.features = features
    load(whole, read_state(path), path, unused=("classifier.",))
    # Each stage ends before the pooling, which begins the next.
    starts = [0, *ends[:-1]]
    stages = nn.ModuleList(features[a:b] for a, b in zip(starts, ends, strict=True))
    return Perceptual(stages, IMAGENET_MEAN, IMAGENET_DEVIATION)


class _FirstStage(nn.Module):
    """A residual network's conv1 as a stage of its own."""

    def __init__(self, net: ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1 = net.conv1, net.bn1

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn1(self.conv1(x)))


def perceptual_of(model: Reader | Verification) -> Perceptual:
    """A perceptual network out of one that was trained here: its conv1 to conv5."""
    net = model.net
    stages = nn.ModuleList(
        [_FirstStage(net), nn.Sequential(net.maxpool, net.layer1), net.layer2, net.layer3, net.layer4]
    )
    # A residual network here sees 2 x - 1 of [0, 1].
    middle = (0.5,) * net.conv1.in_channels
    return Perceptual(stages, middle, middle)


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
    with classifiers.seeded(seed, f"reader {attribute}"):
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
    with classifiers.seeded(seed, f"verification {person}"):
        model = Verification(shape, len(table.classes[person]), blocks, width)

        def read(x: Tensor, y: Tensor) -> dict[str, Tensor]:
            return {"cross_entropy": functional.cross_entropy(model.classify(x), y)}

        fields = {"blocks": list(blocks), "width": width, "lr": lr, "weight_decay": weight_decay, "verify": True}
        what = f"verification network on {person}"
        last = _learn(model, read, known, person, what, fields, seed, epochs, batch, device, folder, progress)
    if log and last is not None:
        log(f"{what}: cross-entropy {last:.3f}")
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
    draw = Draw(table, classifiers.fit_batch(len(table), batch), (attribute,), seed=start, device=device)
    made = {**fields, "epochs": epochs, "batch": batch, "seed": seed, "attribute": attribute}
    file = classifiers.checkpoint(folder, "pictures", made, table, (attribute,), device=device)
    history = classifiers.train(game, draw, epochs, what=what, file=file, progress=progress)
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


def face_similarity(
    network: Verification | LoadedVerification, one: Any, other: Any, *, device: str = "cpu"
) -> np.ndarray:
    """The cosine of the verification network's deep features of two sets of pictures (n, c, h, w), record by record: (n,).

    Of a network trained here, the third stage: the inversion paper's measure ("Privacy Metric", layer 3 of C). Of FaceNet's
    published weights, the embedding: the masking paper's (section III.B).
    """
    return cosine_each(*(outputs(network.third_layer, x, device=device) for x in (one, other)))
