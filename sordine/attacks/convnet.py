"""Attack by a small convolutional network on shaped records: channels along time, or pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional

from sordine.attacks.base import Attack, Split, Target, choose_candidate, class_shares, majority_predictions, pick_class
from sordine.models.early_stopping import EarlyStopping, Shuffle, score_of, train_early_stopped
from sordine.run import Run

LEAST = 8  # numbers along an axis that is convolved
WIDTHS = {1: (32, 64, 128), 2: (16, 32, 64)}  # channels of the convolutions along one axis, and along two
TRAINING = EarlyStopping(rate=3e-3, steps=900, epochs=(8, 30), patience=8, batch=64, decay=0.02)
_BLOCK = 512


def is_ordered(shape: Sequence[int]) -> bool:
    """Whether records of this shape can be convolved: two or more axes, the last at least 8 long."""
    return len(shape) >= 2 and shape[-1] >= LEAST


def arrangements(shape: Sequence[int]) -> list[tuple[int, ...]]:
    """Return possible shapes: (channels, length), (1, height, width) or (channels, height, width).

    Two axes may be channels along time or one plane, so both are returned. Of three or more axes, the last two are a
    plane where both are long enough, else the last is time; the others are channels.
    """
    if len(shape) == 2:
        plane = [(1, *shape)] if min(shape) >= LEAST else []
        return [(shape[0], shape[1]), *plane]
    if min(shape[-2:]) >= LEAST:
        return [(math.prod(shape[:-2]), shape[-2], shape[-1])]
    return [(math.prod(shape[:-1]), shape[-1])]


@dataclass(frozen=True)
class ConvNet(Attack):
    """One small convolutional network for each target, on records (n, *shape).

    Of several arrangements of a record's axes, the one with the best validation score counts.
    """

    input_form = "records"
    shares_work = False
    budgets = ("paranoid",)
    run_time = 25

    @classmethod
    def accepts(cls, shape: Sequence[int]) -> bool:
        return is_ordered(shape)

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        run = run or Run()
        device = torch.device(run.device)
        predictions = []
        for target in targets:
            train, held_out = target.labelled(split.train), target.labelled(split.validation)
            if not target.has_two_classes(train):
                predictions.append(majority_predictions(target, split.train, split.test))
                continue
            shapes = arrangements(x.shape[1:])
            networks = [_Network(x, target, train, held_out, shape, run.seed, device) for shape in shapes]
            best = max(networks, key=lambda network: network.validated)
            shares = class_shares(target, train)
            held, found = (softmax(best.logits(x, rows), axis=1) for rows in (held_out, split.test))
            _, least = choose_candidate([held], shares, target, held_out)
            predictions.append(pick_class(found, shares, least))
        return predictions


class _Network:
    """A trained network and its validation score. It standardises each channel by its training records."""

    def __init__(
        self,
        x: np.ndarray,
        target: Target,
        train: np.ndarray,
        held: np.ndarray,
        shape: tuple[int, ...],
        seed: int,
        device: torch.device,
    ) -> None:
        self.shape, self.device, self.classes = shape, device, target.classes
        self.mean, self.scale = _channels(x, train, shape)
        random = torch.Generator().manual_seed(1_000_003 * (seed + 1))
        self.net = _blocks(shape, target.classes, random).to(device)
        self.x, self.labels, self.train, self.held = x, target.labels, train, held
        draw = Shuffle(len(train), TRAINING.batch, random)
        self.validated = float(train_early_stopped(self, draw, TRAINING))

    def _inputs(self, x: np.ndarray, rows: np.ndarray) -> Tensor:
        z = (np.asarray(x[rows], np.float32).reshape(len(rows), *self.shape) - self.mean) / self.scale
        return torch.as_tensor(z, device=self.device)

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        """The cross-entropy of a batch: a scalar."""
        rows = np.sort(self.train[positions.numpy()])
        truth = torch.as_tensor(self.labels[rows], device=self.device)
        return functional.cross_entropy(self.net(self._inputs(self.x, rows)), truth)

    def score(self, active: Tensor) -> Tensor:
        """The validation score: (1,)."""
        logits = torch.from_numpy(self.logits(self.x, self.held))
        return score_of(logits, torch.as_tensor(self.labels[self.held]))

    @torch.no_grad()
    def logits(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return logits of the records at some positions: (m, classes) float32."""
        self.net.eval()
        parts = [self.net(self._inputs(x, rows[s : s + _BLOCK])).cpu().numpy() for s in range(0, len(rows), _BLOCK)]
        return np.concatenate(parts) if parts else np.zeros((0, self.classes), np.float32)


class _Pooled(nn.Module):
    """The mean and the largest value of each channel, side by side: (b, c, *sides) -> (b, 2 c)."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return torch.cat([flat.mean(2), flat.amax(2)], 1)


def _blocks(shape: tuple[int, ...], classes: int, random: torch.Generator) -> nn.Sequential:
    """Return three convolutions with batch norm and ReLU; long axes are halved between them, and pooled at the end."""
    plane = len(shape) == 3
    layers: list[nn.Module] = []
    channels, sides = shape[0], list(shape[1:])
    widths = WIDTHS[len(sides)]
    for i, width in enumerate(widths):
        if plane:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        else:
            layers += [nn.Conv1d(channels, width, 5, padding=2, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        if i < len(widths) - 1 and min(sides) >= 4:
            layers.append(nn.MaxPool2d(2) if plane else nn.MaxPool1d(2))
            sides = [side // 2 for side in sides]
        channels = width
    layers += [_Pooled(), nn.Linear(2 * channels, classes)]
    # A generator of its own: attacks run side by side, and would share the global one.
    with torch.no_grad():
        for module in layers:
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=random)
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=random)
                module.bias.zero_()
    return nn.Sequential(*layers)


def _channels(x: np.ndarray, rows: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    # Mean and scale of each channel over some records, in two passes: (c, 1[, 1]) float32.
    axes = tuple(range(2, 1 + len(shape)))
    total, square = np.zeros(shape[0]), np.zeros(shape[0])
    low, high = np.full(shape[0], np.inf), np.full(shape[0], -np.inf)
    parts = [rows[s : s + _BLOCK] for s in range(0, len(rows), _BLOCK)]
    for part in parts:
        z = np.asarray(x[part], np.float32).reshape(len(part), *shape)
        total += z.mean(axes, dtype=np.float64).sum(0)
        low, high = np.minimum(low, z.min((0, *axes))), np.maximum(high, z.max((0, *axes)))
    mean = (total / len(rows)).reshape(-1, *[1] * (len(shape) - 1))
    for part in parts:
        z = np.asarray(x[part], np.float32).reshape(len(part), *shape)
        square += np.square(z - mean).mean(axes).sum(0)
    scale = np.where(high > low, np.sqrt(square / len(rows)), 1.0).astype(np.float32)
    return mean.astype(np.float32), np.where(scale > 0, scale, np.float32(1)).reshape(mean.shape)
