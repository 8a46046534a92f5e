"""Attack by a residual network on pictures, trained anew for every target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn
from torch.nn import functional

from sordine.attacks.base import Attack, Split, Target, choose_candidate, class_shares, majority_predictions, pick_class
from sordine.models.early_stopping import EarlyStopping, Shuffle, score_of, train_early_stopped
from sordine.models.networks.resnet import RESNET10, RESNET18, ResNet
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget

Size = Literal["small", "paper"]

LEAST = 8  # pixels a side
SMALL = 64  # pixels a side below which the stem does not pool
TRAINING = EarlyStopping(rate=4e-3, steps=1000, epochs=(6, 25), patience=8, batch=64, decay=0.02)
SHIFT = 16  # pictures are shifted by at most this fraction of a side
BLOCK = 256


def is_picture(shape: Sequence[int]) -> bool:
    """Whether records of this shape are pictures: (1 or 3 channels, height, width), sides of 8 or more."""
    return len(shape) == 3 and shape[0] in (1, 3) and min(shape[1:]) >= LEAST


@dataclass(frozen=True)
class TrainedResNet:
    """A trained network: pictures (m, c, h, w) in the released scale -> logits.

    mean, scale: (c, 1, 1) of its training records. They bring its input to about 0 to 1, whatever the scale was.
    """

    net: nn.Module
    mean: Tensor
    scale: Tensor

    @torch.no_grad()
    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return logits of pictures (m, c, h, w): (m, classes) float32."""
        self.net.eval()
        parts = [self.net(self.inputs(x[s : s + BLOCK])).cpu().numpy() for s in range(0, len(x), BLOCK)]
        return np.concatenate(parts)

    def inputs(self, x: np.ndarray) -> Tensor:
        """Return the network's input: two standard deviations around the mean become 0 to 1."""
        pictures = torch.as_tensor(np.asarray(x, np.float32), device=self.mean.device)
        return ((pictures - self.mean) / (4 * self.scale) + 0.5).contiguous(memory_format=torch.channels_last)


def train_resnet(
    x: np.ndarray,
    labels: np.ndarray,
    classes: int,
    train: np.ndarray,
    validation: np.ndarray,
    *,
    size: Size = "small",
    run: Run | None = None,
) -> TrainedResNet:
    """Train one network on pictures; the epoch with the best validation score is used.

    AdamW on cross-entropy with one cycle of rates. Pictures are shifted by up to a sixteenth of a side, but not
    mirrored: a target may be a side. The same seed and rows give the same network.

    Parameters
    ----------
    x
        Pictures (n, c, h, w).
    labels
        (n,) class codes of all rows; those of `train` are labelled, with at least two classes.
    classes
        Number of classes.
    train, validation
        Positions of the training and validation records.
    size
        "small": a ResNet-10 of width 16. "paper": a ResNet-18 of width 64, like h_f of the replacement paper, which
        does not name the network of its final attacker.
    run
        Its device and seed are used.

    Returns
    -------
    TrainedResNet
        The network and the standardisation of its input.
    """
    run = run or Run()
    device = torch.device(run.device)
    random = torch.Generator().manual_seed(1_000_003 * (run.seed + 1))
    net = _first(classes, x.shape[1:], size, random).to(device)
    trained = TrainedResNet(net, *_channels(x, train, device))
    held = validation[labels[validation] >= 0]
    draw = Shuffle(len(train), TRAINING.batch, random)
    train_early_stopped(_Learner(trained, x, labels, train, held, random), draw, TRAINING)
    return trained


class _Learner:
    """The training of a `TrainedResNet`."""

    def __init__(
        self,
        trained: TrainedResNet,
        x: np.ndarray,
        labels: np.ndarray,
        train: np.ndarray,
        held: np.ndarray,
        random: torch.Generator,
    ) -> None:
        self.trained, self.net = trained, trained.net
        self.x, self.labels, self.train, self.held, self.random = x, labels, train, held, random

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        rows = np.sort(self.train[positions.numpy()])
        pictures = _shifted(self.trained.inputs(self.x[rows]), self.random)
        return functional.cross_entropy(self.net(pictures), torch.as_tensor(self.labels[rows], device=pictures.device))

    def score(self, active: Tensor) -> Tensor:
        if not len(self.held):
            return torch.zeros(1, dtype=torch.float64)
        blocks = [self.held[start : start + BLOCK] for start in range(0, len(self.held), BLOCK)]
        logits = np.concatenate([self.trained.logits(self.x[rows]) for rows in blocks])
        return score_of(torch.from_numpy(logits), torch.as_tensor(self.labels[self.held]))


def _first(classes: int, shape: tuple[int, ...], size: Size, random: torch.Generator) -> ResNet:
    net = ResNet(
        RESNET18 if size == "paper" else RESNET10,
        classes,
        channels=shape[0],
        width=64 if size == "paper" else 16,
        stem="small" if min(shape[1:]) < SMALL else "imagenet",
    )
    # A generator of its own: attacks run side by side, and would share the global one.
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=random)
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=math.sqrt(5), generator=random)
                module.bias.zero_()
    return net


def _channels(x: np.ndarray, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    # Mean and scale of each channel over some pictures: two (c, 1, 1) tensors.
    total, square = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    parts = [rows[s : s + BLOCK] for s in range(0, len(rows), BLOCK)]
    for part in parts:
        z = np.asarray(x[part], np.float32)
        total += z.mean((2, 3), dtype=np.float64).sum(0)
        low, high = np.minimum(low, z.min((0, 2, 3))), np.maximum(high, z.max((0, 2, 3)))
    mean = total / len(rows)
    for part in parts:
        away = np.asarray(x[part], np.float32) - mean.astype(np.float32)[:, None, None]
        square += np.square(away).mean((2, 3), dtype=np.float64).sum(0)
    scale = np.where(high > low, np.sqrt(square / len(rows)), 1.0).astype(np.float32)
    pair = (mean.astype(np.float32), np.where(scale > 0, scale, np.float32(1)))
    first, second = (torch.as_tensor(v[:, None, None], device=device) for v in pair)
    return first, second


def _shifted(x: Tensor, random: torch.Generator) -> Tensor:
    # Each picture shifted by whole pixels; its edge is repeated.
    height, width = x.shape[2:]
    most = (height // SHIFT, width // SHIFT)
    down, right = (torch.randint(-m, m + 1, (len(x), 1), generator=random) for m in most)
    rows = (torch.arange(height) + down).clamp(0, height - 1).to(x.device)
    columns = (torch.arange(width) + right).clamp(0, width - 1).to(x.device)
    at = torch.arange(len(x), device=x.device)[:, None, None]
    return x.permute(0, 2, 3, 1)[at, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class ResNetAttack(Attack):
    """One residual network for each target, on pictures (n, c, h, w). Targets share no weights.

    Parameters
    ----------
    size
        "small": a ResNet-10 of width 16. "paper": a ResNet-18 of width 64, about a hundred times the work.
    """

    size: Size = "small"

    input_form = "records"
    shares_work = False
    budgets = ("standard", "paranoid")
    run_time = 30

    @classmethod
    def accepts(cls, shape: Sequence[int]) -> bool:
        return is_picture(shape)

    @classmethod
    def from_budget(cls, budget: Budget) -> ResNetAttack:
        return cls(budget.resnet_size)

    def report_options(self) -> dict[str, Any]:
        return {"pictures": self.size}

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        run = run or Run()
        predictions = []
        for target in targets:
            train = target.labelled(split.train)
            if not target.has_two_classes(train):
                predictions.append(majority_predictions(target, split.train, split.test))
                continue
            rows = (train, split.validation)
            trained = train_resnet(x, target.labels, target.classes, *rows, size=self.size, run=run)
            held = target.labelled(split.validation)
            shares = class_shares(target, train)
            _, least = choose_candidate([_probabilities(trained, x, held, target.classes)], shares, target, held)
            found = _probabilities(trained, x, split.test, target.classes)
            predictions.append(pick_class(found, shares, least))
        return predictions


def _probabilities(trained: TrainedResNet, x: np.ndarray, rows: np.ndarray, classes: int) -> np.ndarray:
    """Return class probabilities of the pictures at some positions: (m, classes)."""
    parts = [trained.logits(x[rows[s : s + BLOCK]]) for s in range(0, len(rows), BLOCK)]
    return softmax(np.concatenate(parts), axis=1) if parts else np.zeros((0, classes), np.float32)
