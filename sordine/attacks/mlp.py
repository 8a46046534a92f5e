"""Attack by a perceptron. The weights of several are stacked, and one step trains all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.nn import functional

from sordine.attacks.base import Attack, LogProbabilities, Split, Target, choose_candidate, class_shares, pick_class
from sordine.models.early_stopping import EarlyStopping, Shuffle, train_early_stopped, validation_score
from sordine.models.networks.mlp import BatchedMLP
from sordine.run import Run

HIDDEN = (256, 128)
TRAINING = EarlyStopping(rate=2e-3, steps=900, epochs=(12, 30), patience=10, batch=128, decay=0.02, warm_up=0.15)
CALIBRATED_HIDDEN = (128, 64)
CALIBRATED = replace(TRAINING, steps=500)


@dataclass(frozen=True)
class Task:
    """One perceptron to train.

    Parameters
    ----------
    labels
        (n,) class codes of all rows, -1 unlabelled.
    classes
        Number of classes.
    train, validation
        Positions. The weights of the epoch with the best validation score are used.
    seed
        Of the first weights.
    """

    labels: np.ndarray
    classes: int
    train: np.ndarray
    validation: np.ndarray
    seed: int = 0


@dataclass(frozen=True)
class TrainedMLP:
    """A trained perceptron, which standardises records by its training records."""

    net: nn.Module
    mean: Tensor
    scale: Tensor

    @torch.no_grad()
    def logits(self, x: np.ndarray) -> Tensor:
        """Return logits of records (m, d): (m, classes)."""
        parts = [
            self.net((torch.as_tensor(x[s : s + 8192], device=self.mean.device) - self.mean) / self.scale)
            for s in range(0, len(x), 8192)
        ]
        return torch.cat(parts)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return predicted class codes of records (m, d): (m,)."""
        return np.asarray(self.logits(x).argmax(1).cpu())


class _Rows:
    """The tasks that learn from the same rows of one or several tables; they share every batch.

    mean, scale: (tables, 1, d). x, held: (tables, n, d) training and validation records. owner: (tasks,) the table of
    each task. y, held_y: (tasks, n) their labels.
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
        # The order of the batches depends on the rows only.
        digest = hashlib.sha256(np.ascontiguousarray(train, np.int64).tobytes()).digest()
        self.random = torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))

    def inputs(self, x: Tensor, left: Tensor) -> Tensor:
        """Return the records (tables, b, d) of some tasks: (left, b, d)."""
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
    options: EarlyStopping = TRAINING,
    run: Run | None = None,
) -> list[TrainedMLP]:
    """Train one perceptron for each task, all in the same steps.

    Every task has its own weights: AdamW on the sum of the losses acts on each as if alone. Its batches depend on its
    rows only. So a task learns the same alone or among others, up to rounding.

    Parameters
    ----------
    x
        Records (n, d) float32.
    tasks
        What to learn.
    hidden
        Widths of the hidden layers.
    options
        Of training.
    run
        Its device is used.

    Returns
    -------
    list of TrainedMLP
        A perceptron for each task, in their order.
    """
    device = torch.device((run or Run()).device)
    groups: dict[bytes, list[int]] = {}
    for i, task in enumerate(tasks):
        groups.setdefault(task.train.tobytes() + b"|" + task.validation.tobytes(), []).append(i)
    trained: list[TrainedMLP | None] = [None] * len(tasks)
    for members in groups.values():
        rows = _Rows([x], [0] * len(members), [tasks[i] for i in members], device)
        for i, net in zip(members, _train(rows, [tasks[i] for i in members], hidden, options), strict=True):
            trained[i] = TrainedMLP(net, rows.mean[0, 0], rows.scale[0, 0])
    return [one for one in trained if one is not None]


class _Stack:
    """One perceptron for each task, trained in the same steps: a `Learner` of as many parts."""

    def __init__(self, rows: _Rows, tasks: Sequence[Task], hidden: Sequence[int]) -> None:
        outputs = max(task.classes for task in tasks)
        self.rows = rows
        self.net = _first(tasks, (rows.x.shape[2], *hidden, outputs)).to(rows.x.device)
        # Logits of classes that a task does not have are pushed out of its softmax.
        self.spare = torch.zeros(len(tasks), 1, outputs, device=rows.x.device)
        for i, task in enumerate(tasks):
            self.spare[i, :, task.classes :] = -1e9

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        positions = positions.to(self.rows.x.device)
        logits = self.net(self.rows.inputs(self.rows.x[:, positions], active)) + self.spare[active]
        return _loss(logits, self.rows.y[active][:, positions]).sum()

    @torch.no_grad()
    def score(self, active: Tensor) -> Tensor:
        labels = self.rows.held_y[active]
        logits = self.net(self.rows.inputs(self.rows.held, active)) + self.spare[active]
        known = labels >= 0
        right = ((logits.argmax(2) == labels) & known).sum(1) / known.sum(1).clamp(min=1)
        return validation_score(right, _loss(logits, labels))


def _train(rows: _Rows, tasks: Sequence[Task], hidden: Sequence[int], options: EarlyStopping) -> list[nn.Module]:
    stack = _Stack(rows, tasks, hidden)
    draw = Shuffle(rows.x.shape[1], options.batch, rows.random, carry=True)
    train_early_stopped(stack, draw, options, parts=len(tasks))
    return [_cut(stack.net.part(i), task.classes) for i, task in enumerate(tasks)]


def _first(tasks: Sequence[Task], widths: tuple[int, ...]) -> BatchedMLP:
    # The first weights of a task depend on its seed only.
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


@dataclass(frozen=True)
class MLP(Attack):
    """One perceptron for each target. The epoch with the best validation score is used; all share their steps."""

    gives_probabilities = True
    refits = False  # the validation records decide when training stops
    joins_releases = True
    budgets = ("standard", "paranoid")
    run_time = 6

    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        run = run or Run()
        tasks = [Task(t.labels, t.classes, split.train, split.validation, run.seed) for t in targets]
        return [
            _predict(trained, x, target, split)
            for trained, target in zip(train_together(x, tasks, run=run), targets, strict=True)
        ]

    def fit_predict_releases(
        self,
        releases: Sequence[np.ndarray],
        split: Split,
        targets: Sequence[Target],
        run: Run | None = None,
        *,
        on_axes: bool = False,
    ) -> list[list[np.ndarray]]:
        """Return what `fit_predict` returns, up to rounding; the perceptrons of all releases share their steps."""
        run = run or Run()
        if len(releases) == 1:
            return [self.fit_predict(releases[0], split, targets, run, on_axes=on_axes)]
        tasks = [Task(t.labels, t.classes, split.train, split.validation, run.seed) for _ in releases for t in targets]
        owner = [i for i in range(len(releases)) for _ in targets]
        rows = _Rows(releases, owner, tasks, torch.device(run.device))
        nets = _train(rows, tasks, HIDDEN, TRAINING)
        codes = [
            _predict(TrainedMLP(net, rows.mean[i, 0], rows.scale[i, 0]), releases[i], target, split)
            for i, net, target in zip(owner, nets, [*targets] * len(releases), strict=True)
        ]
        return [codes[i : i + len(targets)] for i in range(0, len(codes), len(targets))]

    def fit_probabilities(
        self, x: np.ndarray, target: Target, split: Split, run: Run, candidate: float
    ) -> LogProbabilities:
        task = Task(target.labels, target.classes, split.train, split.validation, run.seed)
        trained = train_together(x, [task], hidden=CALIBRATED_HIDDEN, options=CALIBRATED, run=run)[0]
        return lambda some: np.asarray(log_softmax(trained.logits(some).cpu().numpy().astype(np.float64), axis=1))


def _predict(trained: TrainedMLP, x: np.ndarray, target: Target, split: Split) -> np.ndarray:
    """Return the likeliest classes of the test records, or the least likely ones where validation asks for them."""
    shares = class_shares(target, split.train)
    probabilities = [trained.logits(x[rows]).softmax(1).cpu().numpy() for rows in (split.validation, split.test)]
    _, least = choose_candidate(probabilities[:1], shares, target, split.validation)
    return pick_class(probabilities[1], shares, least)
