"""Many perceptron attackers at once: their weights are stacked, and one step trains all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sordine.attacks.base import Secret, Trial
from sordine.models.networks.mlp import BatchedMLP

HIDDEN = (256, 128)
BATCH = 128
EPOCHS = (12, 30)  # fewest and most passes over the training records; between them as many as make STEPS steps
STEPS = 900
PATIENCE = 10  # passes without a better validation accuracy after which an attacker stops
RATE = 1e-3
DECAY = 0.02


@dataclass(frozen=True)
class Task:
    """One attacker to train on some rows of a table.

    labels: (n,) class codes of ALL rows, -1 unlabelled. classes: how many. train, validation: positions; the weights kept
    are those of the pass that reads `validation` best. seed: of the first weights.
    """

    labels: np.ndarray
    classes: int
    train: np.ndarray
    validation: np.ndarray
    seed: int = 0


@dataclass(frozen=True)
class Learnt:
    """A trained attacker: standardises records with its training records' mean and scale, then one perceptron."""

    net: torch.nn.Module
    mean: Tensor
    scale: Tensor

    @torch.no_grad()
    def logits(self, x: np.ndarray) -> Tensor:
        """Records (m, d) -> (m, classes)."""
        parts = [
            self.net((torch.as_tensor(x[s : s + 8192], device=self.mean.device) - self.mean) / self.scale)
            for s in range(0, len(x), 8192)
        ]
        return torch.cat(parts)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Records (m, d) -> predicted class codes (m,)."""
        return np.asarray(self.logits(x).argmax(1).cpu())


class _Rows:
    """The tasks that learn from the same rows of one table or of several: they share every batch, so each record is fetched
    once for all of them.

    mean, scale: (tables, 1, d). x, held: (tables, n, d). owner: (tasks,) the table of each task. y, held_y: (tasks, n).
    """

    def __init__(
        self, tables: Sequence[np.ndarray], owner: Sequence[int], tasks: Sequence[Task], device: torch.device
    ) -> None:
        train, validation = tasks[0].train, tasks[0].validation
        values = torch.stack([torch.as_tensor(x[train], device=device) for x in tables])
        self.mean = torch.stack([v.mean(0, keepdim=True) for v in values])
        self.scale = torch.stack([_scale(v) for v in values])
        self.x = (values - self.mean) / self.scale
        held = torch.stack([torch.as_tensor(x[validation], device=device) for x in tables])
        self.held = (held - self.mean) / self.scale
        self.owner = torch.as_tensor(owner, device=device)
        labels = np.stack([t.labels for t in tasks])
        self.y = torch.as_tensor(labels[:, train], device=device)  # (tasks, n)
        self.held_y = torch.as_tensor(labels[:, validation], device=device)
        digest = hashlib.sha256(np.ascontiguousarray(train, np.int64).tobytes()).digest()
        self._random = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))
        self._order = torch.empty(0, dtype=torch.long)

    def next(self, size: int) -> Tensor:
        """Positions of the next `size` records, the rows being shuffled anew when they are used up."""
        while len(self._order) < size:
            more = torch.randperm(self.x.shape[1], generator=self._random)
            self._order = torch.cat([self._order, more])
        rows, self._order = self._order[:size], self._order[size:]
        return rows.to(self.x.device)

    def seen(self, x: Tensor, left: Tensor) -> Tensor:
        """What some tasks are shown of records (tables, b, d): (left, b, d)."""
        return x.expand(len(left), *x.shape[1:]) if len(x) == 1 else x[self.owner[left]]


def _scale(x: Tensor) -> Tensor:
    # Deviations (1, d). A constant column stays at 0, or at a rounding error, instead of dividing by it.
    scale = x.std(0, correction=0, keepdim=True)
    varies = (x.amax(0, keepdim=True) > x.amin(0, keepdim=True)) & (scale > 0)
    return torch.where(varies | (scale > 1e-12), scale, torch.ones_like(scale))


def train_together(
    x: np.ndarray,
    tasks: Sequence[Task],
    *,
    hidden: Sequence[int] = HIDDEN,
    batch: int = BATCH,
    steps: int = STEPS,
    device: str | torch.device = "cpu",
) -> list[Learnt]:
    """Train one perceptron a task, all in the same steps: records (n, d) float32 -> an attacker a task, in their order.

    Every task's weights are its own (AdamW on the sum of their losses acts on each as if alone), and its batches depend on its
    rows only: a task learns the same alone or among others, up to rounding.
    """
    device = torch.device(device)
    groups: dict[bytes, list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault(task.train.tobytes() + b"|" + task.validation.tobytes(), []).append(i)
    learnt: list[Learnt | None] = [None] * len(tasks)
    for members in groups.values():
        rows = _Rows([x], [0] * len(members), [tasks[i] for i in members], device)
        for i, net in zip(members, _train(rows, [tasks[i] for i in members], hidden, batch, steps), strict=True):
            learnt[i] = Learnt(net, rows.mean[0, 0], rows.scale[0, 0])
    return [a for a in learnt if a is not None]


def _train(rows: _Rows, tasks: list[Task], hidden: Sequence[int], batch: int, steps: int) -> list[torch.nn.Module]:
    count, (size, width), outputs = len(tasks), rows.x.shape[1:], max(t.classes for t in tasks)
    net = _first(tasks, (width, *hidden, outputs)).to(rows.x.device)
    # Logits that a task has no class for are pushed out of its softmax.
    spare = torch.zeros(count, 1, outputs, device=rows.x.device)
    for i, task in enumerate(tasks):
        spare[i, :, task.classes :] = -1e9
    batch = min(batch, size)
    each = max(1, size // batch)
    epochs = min(max(-(-steps // each), EPOCHS[0]), EPOCHS[1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2 * RATE, total_steps=each * epochs + 1, pct_start=0.15)
    best = [w.detach().clone() for w in net.parameters()]
    score = torch.full((count,), -torch.inf, device=rows.x.device)
    waited = torch.zeros(count, device=rows.x.device)
    left = torch.arange(count, device=rows.x.device)  # the tasks that still learn: the others cost nothing more
    for _ in range(epochs):
        for _ in range(each):
            picked = rows.next(batch)
            logits = net(rows.seen(rows.x[:, picked], left)) + spare[left]
            loss = _loss(logits, rows.y[left][:, picked])
            optimiser.zero_grad(set_to_none=True)
            loss.sum().backward()
            optimiser.step()
            schedule.step()
        now = _score(net, rows, spare, left)
        better = now > score[left]
        score[left] = torch.where(better, now, score[left])
        waited[left] = torch.where(better, 0, waited[left] + 1)
        with torch.no_grad():
            for i in torch.nonzero(better).flatten().tolist():
                for kept, weight in zip(best, net.parameters(), strict=True):
                    kept[left[i]].copy_(weight[i])
        on = waited[left] < PATIENCE
        if not bool(on.any()):
            break
        if not bool(on.all()):
            _narrow(net, optimiser, on)
            left = left[on]
    net = BatchedMLP(count, (width, *hidden, outputs)).to(rows.x.device)
    with torch.no_grad():
        for kept, weight in zip(best, net.parameters(), strict=True):
            weight.copy_(kept)
    return [_cut(net.part(i), task.classes) for i, task in enumerate(tasks)]


def _narrow(net: BatchedMLP, optimiser: torch.optim.Optimizer, on: Tensor) -> None:
    # Leave out the parts that have stopped, and what the optimiser remembers of them.
    for some in (net.weights, net.biases):
        for i, weight in enumerate(list(some)):
            fewer = torch.nn.Parameter(weight.detach()[on])
            state = optimiser.state.pop(weight)
            optimiser.state[fewer] = {k: v[on] if v.ndim else v for k, v in state.items()}
            some[i] = fewer
    optimiser.param_groups[0]["params"] = list(net.parameters())


def _first(tasks: list[Task], widths: tuple[int, ...]) -> BatchedMLP:
    # Each part starts as its own seed says, whoever else is trained beside it.
    net = BatchedMLP(len(tasks), widths)
    with torch.no_grad():
        for i, task in enumerate(tasks):
            own = (*widths[:-1], task.classes)
            alone = BatchedMLP(1, own, torch.Generator().manual_seed(1_000_003 * (task.seed + 1)))
            for mine, theirs in zip(net.parameters(), alone.parameters(), strict=True):
                mine[i].zero_()
                mine[i][..., : theirs.shape[-1]] = theirs[0]
    return net


def _cut(part: torch.nn.Sequential, classes: int) -> torch.nn.Sequential:
    last = part[-1]
    assert isinstance(last, torch.nn.Linear)
    last.weight = torch.nn.Parameter(last.weight[:classes].detach().clone())
    last.bias = torch.nn.Parameter(last.bias[:classes].detach().clone())
    return part.eval()


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    # Mean over a task's labelled records of its cross-entropy: (tasks,)
    tasks, size, outputs = logits.shape
    each = functional.cross_entropy(
        logits.reshape(-1, outputs), labels.reshape(-1), ignore_index=-1, reduction="none"
    ).view(tasks, size)
    return each.sum(1) / (labels >= 0).sum(1).clamp(min=1)


@torch.no_grad()
def _score(net: BatchedMLP, rows: _Rows, spare: Tensor, left: Tensor) -> Tensor:
    # Share of the labelled validation records read right; the loss tells equal shares apart: (tasks,)
    labels = rows.held_y[left]
    logits = net(rows.seen(rows.held, left)) + spare[left]
    known = labels >= 0
    right = ((logits.argmax(2) == labels) & known).sum(1) / known.sum(1).clamp(min=1)
    return right - 1e-6 * _loss(logits, labels).clamp(max=100)


def perceptron(
    x: np.ndarray, trial: Trial, secrets: Sequence[Secret], seed: int = 0, device: str = "cpu"
) -> list[np.ndarray]:
    """One perceptron a secret, trained together; the pass that reads the validation rows best is kept."""
    tasks = [Task(s.labels, s.classes, trial.train, trial.validation, seed) for s in secrets]
    return [attacker(x[trial.tried]) for attacker in train_together(x, tasks, device=device)]


def perceptrons(
    tables: Sequence[np.ndarray], trial: Trial, secrets: Sequence[Secret], seed: int = 0, device: str = "cpu"
) -> list[list[np.ndarray]]:
    """What `perceptron` gives for each of several tables (n, d) of the same records, up to rounding: all are trained in the
    same steps. Predicted codes of the tried rows, (m,) a secret a table."""
    where = torch.device(device)
    tasks = [Task(s.labels, s.classes, trial.train, trial.validation, seed) for _ in tables for s in secrets]
    owner = [i for i in range(len(tables)) for _ in secrets]
    rows = _Rows(tables, owner, tasks, where)
    nets = _train(rows, tasks, HIDDEN, BATCH, STEPS)
    codes = [
        Learnt(net, rows.mean[i, 0], rows.scale[i, 0])(tables[i][trial.tried])
        for i, net in zip(owner, nets, strict=True)
    ]
    return [codes[i : i + len(secrets)] for i in range(0, len(codes), len(secrets))]
