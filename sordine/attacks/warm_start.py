"""Attack that starts from a model of the originals and learns on from few labelled released records.

An attacker often has a model of the originals: trained on public data, or bought. If released records still resemble
their originals, this model needs few labels of released records.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.attacks.base import (
    Split,
    Target,
    accuracy_on,
    choose_candidate,
    class_shares,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.attacks.mlp import Task, train_together
from sordine.keys import numpy_rng
from sordine.models.early_stopping import EarlyStopping, Shuffle, train_early_stopped, validation_score
from sordine.run import Run

SHARES = (0.1, 0.5, 1.0)  # of the labelled released records
FEWEST = 20  # labelled records to learn from, and again to validate on
TUNING = EarlyStopping(rate=5e-4, steps=300, epochs=(6, 30), patience=8, batch=64, decay=0.02, warm_up=0.1)


@dataclass(frozen=True)
class WarmStarted:
    """What a warm start predicts.

    Parameters
    ----------
    originals
        Predicted classes (m,) of the test records' originals, by the model of the originals.
    untuned
        Predicted classes (m,) of the released test records by the same model, before it learns from released records.
    tuned
        Share of the labels -> predicted classes (m,) of the released test records.
    """

    originals: np.ndarray
    untuned: np.ndarray
    tuned: dict[float, np.ndarray]


def warm_start(
    original: np.ndarray,
    released: np.ndarray,
    target: Target,
    split: Split,
    shares: Sequence[float] = SHARES,
    run: Run | None = None,
) -> WarmStarted:
    """Train a perceptron on the attacker's own originals, then on a share of its released records.

    Parameters
    ----------
    original, released
        (n, d) float32: the same records, in the same coordinates.
    target
        The attribute.
    split
        The attacker's own records, and those to predict.
    shares
        Shares of the labelled own records that the attacker has a released record of. A share that leaves too few of
        them is left out.
    run
        Device and seed.
    """
    run = run or Run()
    if not target.has_two_classes(split.train):
        same = majority_predictions(target, split.own, split.test)
        return WarmStarted(same, same, dict.fromkeys(shares, same))
    task = Task(target.labels, target.classes, split.train, split.validation, run.seed)
    (model,) = train_together(original, [task], run=run)
    # Each side is standardised by its own records, as an attacker would.
    mean, scale = moments(released, split.own)
    device = model.mean.device
    z = torch.as_tensor((released - mean) / scale, device=device)
    tuned = {}
    for share in shares:
        some = _some(target, split, share, run.seed)
        if min(len(part) for part in some) >= FEWEST and target.has_two_classes(some[0]):
            tuned[share] = _tuned(model.net, z, target, *some, run).classes(split.test)
    return WarmStarted(model(original[split.test]), _classes(model.net, z[split.test]), tuned)


def _some(target: Target, split: Split, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a random share of the labelled training and validation records."""
    rng = numpy_rng(seed, "warm start")
    parts = [rng.permutation(target.labelled(rows)) for rows in (split.train, split.validation)]
    return tuple(np.sort(rows[: round(share * len(rows))]) for rows in parts)  # type: ignore[return-value]


class _Tuned:
    """A perceptron that learns on: a `Learner`. It predicts the likeliest class, or the least likely one."""

    def __init__(self, net: nn.Module, z: Tensor, target: Target, train: np.ndarray, validation: np.ndarray) -> None:
        self.net, self.z, self.target, self.validation = net, z, target, validation
        self.labels, self.train = (torch.as_tensor(a, device=z.device) for a in (target.labels, train))
        self.shares = class_shares(target, train)

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        rows = self.train[positions.to(self.z.device)]
        return functional.cross_entropy(self.net(self.z[rows]), self.labels[rows])

    @torch.no_grad()
    def score(self, active: Tensor) -> Tensor:
        logits = self.net(self.z[self.validation])
        right = accuracy_on(self.target, self.validation, self._picked(logits, self._least(logits)))
        loss = functional.cross_entropy(logits, self.labels[self.validation])
        return validation_score(torch.tensor([right], device=loss.device), loss[None])

    @torch.no_grad()
    def classes(self, rows: np.ndarray) -> np.ndarray:
        """Return the predicted classes of some records (m,)."""
        return self._picked(self.net(self.z[rows]), self._least(self.net(self.z[self.validation])))

    def _least(self, validated: Tensor) -> bool:
        # Whether the least likely class is more accurate, by logits of the validation records.
        probabilities = validated.softmax(1).cpu().numpy()
        return choose_candidate([probabilities], self.shares, self.target, self.validation)[1]

    def _picked(self, logits: Tensor, least: bool) -> np.ndarray:
        return pick_class(logits.softmax(1).cpu().numpy(), self.shares, least)


def _tuned(net: nn.Module, z: Tensor, target: Target, train: np.ndarray, validation: np.ndarray, run: Run) -> _Tuned:
    learner = _Tuned(copy.deepcopy(net).train(), z, target, train, validation)
    draw = Shuffle(len(train), TUNING.batch, torch.Generator().manual_seed(1_000_003 * (run.seed + 1)))
    train_early_stopped(learner, draw, TUNING)
    learner.net.eval()
    return learner


@torch.no_grad()
def _classes(net: nn.Module, z: Tensor) -> np.ndarray:
    return np.asarray(net(z).argmax(1).cpu())
