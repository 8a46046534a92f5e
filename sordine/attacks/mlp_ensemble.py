"""Attacks by larger perceptrons: a wide one, and an average of several that differ in seed and regularisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.attacks.base import (
    Attack,
    Split,
    Target,
    choose_candidate,
    class_shares,
    majority_predictions,
    moments,
    pick_class,
)
from sordine.models.early_stopping import EarlyStopping, Shuffle, train_early_stopped, validation_score
from sordine.models.networks.mlp import BatchedMLP
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget

WIDE = (1024, 512, 256)
SEVERAL = (256, 128)
# Each member has its own weight decay, so the optimiser has none.
TRAINING = EarlyStopping(rate=2e-3, steps=1200, epochs=(15, 40), patience=10, batch=128, warm_up=0.15)
PICKS = 12  # picks of members, with replacement, that define their weights
_BLOCK = 4096


@dataclass(frozen=True)
class Member:
    """One perceptron: its dropout rate and the decay of its weights."""

    dropout: float
    decay: float


# The wide one is trained with both; the one with the better validation score is used.
OF_WIDE = (Member(0.2, 0.02), Member(0.5, 0.1))
OF_SEVERAL = tuple(Member(dropout, decay) for dropout in (0.0, 0.25, 0.5) for decay in (0.01, 0.3))


@dataclass(frozen=True)
class Plan:
    """Perceptrons to train: widths of their hidden layers, the members, and how they are trained."""

    hidden: tuple[int, ...] = WIDE
    members: tuple[Member, ...] = OF_WIDE
    training: EarlyStopping = TRAINING


SEVERAL_PLAN = Plan(SEVERAL, OF_SEVERAL)
# Four layers, and about a sixth of the steps.
SHORTER_PLAN = Plan((512, 256, 128, 64), (Member(0.2, 0.05),), replace(TRAINING, steps=150, epochs=(6, 12)))


@dataclass(frozen=True)
class WideMLP(Attack):
    """A perceptron of 1024, 512 and 256 units with dropout, of two strengths; validation chooses.

    In the standard budget it has 512, 256, 128 and 64 units, one dropout rate, and fewer steps.
    """

    plan: Plan = Plan()

    shares_work = False
    budgets = ("standard", "paranoid")
    released_only = ("standard",)
    run_time = 15

    @classmethod
    def from_budget(cls, budget: Budget) -> WideMLP:
        return cls(SHORTER_PLAN) if budget.name == "standard" else cls()

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        run = run or Run()
        return [_predict(x, split, target, run, self.plan, picks=1) for target in targets]


@dataclass(frozen=True)
class MLPEnsemble(Attack):
    """A weighted average of the class probabilities of six perceptrons of 256 and 128 units.

    The validation records decide the weights.
    """

    shares_work = False
    budgets = ("paranoid",)
    run_time = 14

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        run = run or Run()
        return [_predict(x, split, target, run, SEVERAL_PLAN, picks=PICKS) for target in targets]


def _predict(
    x: np.ndarray,
    split: Split,
    target: Target,
    run: Run,
    plan: Plan,
    *,
    picks: int,
) -> np.ndarray:
    train, held_out = target.labelled(split.train), target.labelled(split.validation)
    if not target.has_two_classes(train):
        return majority_predictions(target, split.train, split.test)
    trained = _Members(x, target, train, held_out, plan, run.seed, torch.device(run.device))
    weights, shares = trained.weights(picks), class_shares(target, train)
    _, least = choose_candidate([trained.probabilities(x[split.validation], weights)], shares, target, split.validation)
    return pick_class(trained.probabilities(x[split.test], weights), shares, least)


class _Members:
    """Perceptrons of the same widths, trained on the same rows; each has the weights of its best epoch."""

    def __init__(
        self,
        x: np.ndarray,
        target: Target,
        train: np.ndarray,
        held: np.ndarray,
        plan: Plan,
        seed: int,
        device: torch.device,
    ) -> None:
        self.mean, self.scale = moments(x, train)
        self.device, self.training = device, plan.training
        self.random = torch.Generator().manual_seed(1_000_003 * (seed + 1))
        self.net = BatchedMLP(len(plan.members), (x.shape[1], *plan.hidden, target.classes), self.random).to(device)
        self.held, self.truth = x[held], torch.as_tensor(target.labels[held], device=device)
        self.x, self.y = self._inputs(x[train]), torch.as_tensor(target.labels[train], device=device)
        self.drop = torch.tensor([m.dropout for m in plan.members], device=device)[:, None, None]
        self.decay = torch.tensor([m.decay for m in plan.members], device=device)[:, None, None]
        draw = Shuffle(len(train), plan.training.batch, self.random)
        train_early_stopped(
            self, draw, plan.training, parts=len(plan.members), stop_together=True, optimiser=self._optimiser
        )

    def _inputs(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor((x - self.mean) / self.scale, device=self.device)

    def _optimiser(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        # AdamW whose decay differs by member and leaves the biases alone.
        optimiser = self.training.optimiser(weights)

        @torch.no_grad()
        def decay(optimiser: torch.optim.Optimizer, *_: object) -> None:
            for weight in self.net.weights:
                weight.mul_(1 - optimiser.param_groups[0]["lr"] * self.decay)

        optimiser.register_step_pre_hook(decay)
        return optimiser

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        """The sum of the members' cross-entropies on a batch: a scalar."""
        rows = positions.to(self.device)
        logits = self._forward(self.x[rows], self.drop)
        every = self.y[rows].expand(len(active), len(rows))
        return functional.cross_entropy(logits.flatten(0, 1), every.flatten(), reduction="sum") / len(rows)

    def _forward(self, x: Tensor, drop: Tensor) -> Tensor:
        """Return logits of records (b, d) by all members, each with its own dropout: (members, b, classes)."""
        z = x.expand(self.net.parts, *x.shape)
        for i, (weight, bias) in enumerate(zip(self.net.weights, self.net.biases, strict=True)):
            if i:
                # A generator of its own: attacks run side by side, and would share the global one.
                stays = torch.rand(z.shape, generator=self.random).to(self.device) >= drop
                z = z.relu() * stays / (1 - drop)
            z = torch.baddbmm(bias, z, weight)
        return z

    @torch.no_grad()
    def _logits(self, x: np.ndarray) -> Tensor:
        parts = [self._inputs(x[s : s + _BLOCK]) for s in range(0, len(x), _BLOCK)]
        if not parts:
            return torch.zeros(self.net.parts, 0, self.net.widths[-1], device=self.device)
        return torch.cat([self.net(part.expand(self.net.parts, *part.shape)) for part in parts], 1)

    def _losses(self) -> Tensor:
        logits = self._logits(self.held)
        return functional.cross_entropy(
            logits.flatten(0, 1), self.truth.expand(self.net.parts, -1).flatten(), reduction="none"
        ).view(self.net.parts, -1)

    def score(self, active: Tensor | None = None) -> Tensor:
        """The validation score of every member: (members,)."""
        if not len(self.truth):
            return torch.zeros(self.net.parts, device=self.device)
        right = (self._logits(self.held).argmax(2) == self.truth).float().mean(1)
        return validation_score(right, self._losses().mean(1))

    def weights(self, picks: int) -> np.ndarray:
        """Return the weights of the members, (members,), which sum to 1.

        With one pick, the member with the best validation score. With more, members are picked one after the other,
        each time the one that lowers the validation loss of the average most (Caruana et al., "Ensemble selection from
        libraries of models", 2004).
        """
        score = self.score()
        chosen = np.zeros(self.net.parts)
        if picks == 1 or not len(self.truth):
            chosen[int(score.argmax())] = 1
            return chosen
        truth_p = self._logits(self.held).softmax(2)[:, torch.arange(len(self.truth)), self.truth].double()
        total, best, least = torch.zeros_like(truth_p[0]), chosen.copy(), np.inf
        for pick in range(1, picks + 1):
            loss = -((total + truth_p) / pick).clamp(min=1e-12).log().mean(1)
            at = int(loss.argmin())
            total, chosen[at] = total + truth_p[at], chosen[at] + 1
            if float(loss[at]) < least:
                best, least = chosen.copy(), float(loss[at])
        return best / best.sum()

    def probabilities(self, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the averaged class probabilities of records (m, d): (m, classes)."""
        members = self._logits(x).softmax(2).cpu().numpy().astype(np.float64)
        return np.tensordot(weights, members, 1)
