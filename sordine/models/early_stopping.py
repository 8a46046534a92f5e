"""Training with early stopping, for one network or for several networks whose weights are stacked.

The attacks train their networks with it. It is a game of one player (see `sordine.models.training`) with three
additions: a learning rate that follows one cycle, a validation score after each epoch, and the weights of the best
epoch at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from sordine.models.training import MakeOptimiser, MakeSchedule, Move, Player, play

LOSS_SHARE = 1e-6  # weight of the validation loss in a score: it decides between equal accuracies
LARGEST_LOSS = 100.0  # a larger validation loss counts as this one


@dataclass(frozen=True)
class EarlyStopping:
    """Options of training with early stopping.

    Parameters
    ----------
    rate
        Highest learning rate of the cycle (`OneCycleLR`, AdamW).
    steps
        Number of optimiser steps to make, as far as `epochs` permits.
    epochs
        Fewest and most passes over the training records.
    patience
        Number of epochs without a better score after which training stops.
    batch
        Records in a batch; all records where there are fewer.
    decay
        Weight decay of AdamW.
    warm_up
        Share of the steps in which the learning rate rises, between 0 and 1.
    """

    rate: float
    steps: int
    epochs: tuple[int, int]
    patience: int
    batch: int
    decay: float = 0.0
    warm_up: float = 0.2

    def length(self, rounds: int) -> int:
        """Return the number of epochs, at most, where an epoch has `rounds` steps."""
        fewest, most = self.epochs
        return min(max(-(-self.steps // rounds), fewest), most)

    def optimiser(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of some weights. Its learning rate is set by the cycle."""
        return torch.optim.AdamW(weights, lr=self.rate, weight_decay=self.decay, fused=True)


class Shuffle:
    """Batches of positions 0 to n - 1, in a new random order for each pass.

    Parameters
    ----------
    records
        How many positions there are, n.
    batch
        Positions in a batch, at most n.
    generator
        Source of the order.
    carry
        Whether positions that fill no batch at the end of a pass start the next one. Otherwise they are left out.
    """

    def __init__(self, records: int, batch: int, generator: torch.Generator, *, carry: bool = False) -> None:
        self.records, self.generator, self.carry = records, generator, carry
        self.size = min(batch, records)
        self.rounds = max(1, records // self.size)
        self._order = torch.empty(0, dtype=torch.long)

    def __call__(self) -> Tensor:
        """Return the next batch of positions: (batch,) int64 on the CPU."""
        while len(self._order) < self.size:
            order = torch.randperm(self.records, generator=self.generator)
            self._order = torch.cat([self._order, order]) if self.carry else order
        positions, self._order = self._order[: self.size], self._order[self.size :]
        return positions


class Learner(Protocol):
    """What is trained: a network, its loss on a batch and its score on the validation records.

    `active` holds the positions of the parts that still learn; it is [0] for a single network.
    """

    @property
    def net(self) -> nn.Module: ...

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        """Return the loss of a batch of training records: a scalar, summed over the active parts."""
        ...

    def score(self, active: Tensor) -> Tensor:
        """Return the validation score of each active part, larger is better: (active,)."""
        ...


class _Training:
    """The game of one player for a `Learner`; a learning-rate step follows each move."""

    moves = ("model",)

    def __init__(self, learner: Learner, parts: int, optimiser: MakeOptimiser, schedule: MakeSchedule) -> None:
        self.learner = learner
        self.player = Player(learner.net, optimiser, schedule, each_move=True)
        self.players = {"model": self.player}
        device = self.player.weights[0].device
        self.active = torch.arange(parts, device=device)
        self.waited = torch.zeros(parts, device=device)

    def drop(self, on: Tensor) -> None:
        """Leave only some of the active parts in the network and in the optimiser's moments."""
        optimiser, net = self.player.optimiser, self.player.module
        for name, weight in list(net.named_parameters()):
            fewer = nn.Parameter(weight.detach()[on])
            state = optimiser.state.pop(weight)
            optimiser.state[fewer] = {key: value[on] if value.ndim else value for key, value in state.items()}
            _set(net, name, fewer)
        self.player.weights = list(net.parameters())
        optimiser.param_groups[0]["params"] = self.player.weights
        self.active, self.waited = self.active[on], self.waited[on]

    def round(self, draw: Shuffle) -> Iterator[Move]:
        yield "model", {"loss": self.learner.loss(draw(), self.active)}


def train_early_stopped(
    learner: Learner,
    draw: Shuffle,
    options: EarlyStopping,
    *,
    parts: int | None = None,
    stop_together: bool = False,
    optimiser: MakeOptimiser | None = None,
) -> Tensor:
    """Train a network, stop when its validation score no longer improves, and restore its best weights.

    Parameters
    ----------
    learner
        The network, its loss and its score. The network is changed in place and is in evaluation mode at the end.
    draw
        Batches of training records.
    options
        Learning rate, length and patience.
    parts
        How many independent networks are stacked in `learner.net` along the first axis of each weight. Each part keeps
        its own best weights. None means one network that is not stacked.
    stop_together
        Whether stacked parts go on until none of them improves. Otherwise a part that stops leaves the computation.
    optimiser
        Makes the optimiser of some weights; the default is that of the options.

    Returns
    -------
    Tensor
        The best score of each part: (parts,), or (1,) for a single network; -inf where no score was a number.
    """
    length = options.length(draw.rounds)
    total = draw.rounds * length + 1

    def cycle(of: torch.optim.Optimizer) -> LRScheduler:
        return OneCycleLR(of, options.rate, total_steps=total, pct_start=options.warm_up)

    game = _Training(learner, parts or 1, optimiser or options.optimiser, cycle)
    best = _Best(learner.net, parts)
    # A loss that is not finite ends nothing here: the best weights before it are restored.
    for _ in play(game, draw, length, check_finite=False):
        better = best.update(learner.net, learner.score(game.active), game.active)
        game.waited = torch.where(better.any() if stop_together else better, 0, game.waited + 1)
        on = game.waited < options.patience
        if not bool(on.any()):
            break
        if not bool(on.all()):
            game.drop(on)
    best.restore(learner.net)
    learner.net.eval()
    return best.score


class _Best:
    """The best score of each part, and the weights and buffers that had it."""

    def __init__(self, net: nn.Module, parts: int | None) -> None:
        self.stacked = parts is not None
        self.values = [value.clone() for value in self._of(net)]
        device = next(net.parameters()).device
        self.score = torch.full((parts or 1,), -math.inf, dtype=torch.float64, device=device)

    def _of(self, net: nn.Module) -> list[Tensor]:
        # Weights and buffers with the parts along the first axis: views, not copies.
        return [value.detach() if self.stacked else value.detach()[None] for value in net.state_dict().values()]

    def update(self, net: nn.Module, now: Tensor, active: Tensor) -> Tensor:
        """Keep the weights of the active parts whose score is better; return which these are."""
        better = now > self.score[active]
        self.score[active] = torch.where(better, now.double(), self.score[active])
        for stored, value in zip(self.values, self._of(net), strict=True):
            stored[active[better]] = value[better]
        return better

    def restore(self, net: nn.Module) -> None:
        """Put the weights back, of all parts where parts were dropped."""
        state = dict(zip(net.state_dict(), self.values, strict=True))
        if self.stacked:
            for name in dict(net.named_parameters()):
                _set(net, name, nn.Parameter(state[name]))
        else:
            net.load_state_dict({name: value[0] for name, value in state.items()})


def validation_score(right: Tensor, loss: Tensor) -> Tensor:
    """Return a score that orders by accuracy, and equal accuracies by loss.

    Parameters
    ----------
    right
        Share of the validation records that are predicted correctly, of any shape.
    loss
        Mean cross-entropy of the same records, of the same shape.
    """
    return right - LOSS_SHARE * loss.clamp(max=LARGEST_LOSS)


def score_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the `validation_score` of one network as (1,) float64; 0 where there is no record.

    Parameters
    ----------
    logits
        Outputs of the network: (n, classes).
    labels
        Class codes of the records: (n,), none of them -1.
    """
    if not len(labels):
        return torch.zeros(1, dtype=torch.float64)
    right = (logits.argmax(1) == labels).double().mean()
    return validation_score(right, functional.cross_entropy(logits, labels).double())[None]


def _set(net: nn.Module, name: str, weight: nn.Parameter) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(net.get_submodule(parent), leaf, weight)
