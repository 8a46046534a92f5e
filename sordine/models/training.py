"""The training loop: players that move in turn.

A round of a game is a generator that yields one named move at a time, with the loss terms of that move. `play` gives
each move to its player and yields after every epoch; `train` also saves the game and resumes it. Training a classifier
is a game of one player.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from sordine.data.files import atomic
from sordine.data.table import Table
from sordine.keys import numpy_rng
from sordine.models.checkpoints import read_sealed, write_sealed
from sordine.run import Run

SAVE_EPOCHS, SAVE_SECONDS = 5, 10.0  # a game is saved after so many epochs, or so many seconds

Move = tuple[str, Mapping[str, Tensor]]
MakeOptimiser = Callable[..., torch.optim.Optimizer]  # list of weights -> optimiser
MakeSchedule = Callable[[torch.optim.Optimizer], LRScheduler]


class Player:
    """A network that learns: its weights, its optimiser and its learning-rate schedule, if any.

    Parameters
    ----------
    module
        The network.
    optimiser
        Makes an optimiser of the weights.
    schedule
        Makes a schedule of the optimiser; None keeps the learning rate.
    each_move
        Whether the schedule steps after each move instead of after each epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        optimiser: MakeOptimiser,
        schedule: MakeSchedule | None = None,
        *,
        each_move: bool = False,
    ) -> None:
        self.module = module
        self.weights = [w for w in module.parameters() if w.requires_grad]
        self.optimiser = optimiser(self.weights)
        self.schedule = schedule(self.optimiser) if schedule else None
        self.each_move = each_move

    def move(self, loss: Tensor) -> None:
        """Take one optimiser step on `loss`, a scalar, with respect to this player's weights only."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=self.weights)
        self.optimiser.step()
        if self.each_move and self.schedule is not None:
            self.schedule.step()


# --------------------------------------------------------------------------------------------- batches


@dataclass
class Batch:
    """Some records of a table.

    Attributes
    ----------
    x
        (b, *shape) float32 on the game's device.
    y
        Attribute to class codes: (b,) int64, -1 unlabelled.
    rows
        Positions in the table: (b,) int64 on the CPU.
    """

    x: Tensor
    y: dict[str, Tensor]
    rows: Tensor


class Draw:
    """Batches of one or several tables, in a new random order for each pass over a table.

    `draw()` returns a batch of the table, `draw("pool")` one of another source. The last, smaller batch of a pass is
    left out unless it is the only one, so that batch normalisation never gets a single record.

    Parameters
    ----------
    table
        The training records.
    batch
        Records in a batch; all records where there are fewer.
    attributes
        Attributes whose labels a batch has.
    seed
        Seed of the order.
    device
        Where batches are.
    others
        Further sources: name to table.
    """

    def __init__(
        self,
        table: Table,
        batch: int,
        attributes: Sequence[str] = (),
        *,
        seed: int = 0,
        device: str | torch.device = "cpu",
        others: Mapping[str, Table] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
        self.attributes = tuple(attributes)
        self._tables = {"records": table, **(others or {})}
        self.size = {name: min(batch, len(t)) for name, t in self._tables.items()}
        # A table in memory is copied to the device once (pictures as bytes); of a mapped one, a batch at a time.
        self._x = {
            name: torch.as_tensor(t.x, dtype=None if t.x.dtype == "uint8" else torch.float32, device=self.device)
            if type(t.x).__name__ == "ndarray"
            else None
            for name, t in self._tables.items()
        }
        self._y = {
            name: torch.stack([torch.as_tensor(t.y[a]) for a in self.attributes if a in t.y], 1).to(self.device)
            if any(a in t.y for a in self.attributes)
            else None
            for name, t in self._tables.items()
        }
        self.left: dict[str, list[Tensor]] = {name: [] for name in self._tables}
        self.rounds = max(1, len(table) // batch)

    def __call__(self, source: str = "records") -> Batch:
        if not self.left[source]:
            order = torch.randperm(len(self._tables[source]), generator=self.generator)
            chunks = list(order.split(self.size[source]))
            if len(chunks) > 1 and len(chunks[-1]) < self.size[source]:
                chunks.pop()
            self.left[source] = chunks[::-1]
        rows = self.left[source].pop()
        table, x, y = self._tables[source], self._x[source], self._y[source]
        names = [a for a in self.attributes if a in table.y]
        if x is None:
            picked = table.batch(rows.numpy()).to(self.device)
        else:
            picked = x.index_select(0, rows.to(self.device)).float()
        labels = y.index_select(0, rows.to(self.device)).unbind(1) if y is not None else ()
        return Batch(picked, dict(zip(names, labels, strict=True)), rows)

    def noise(self, count: int, width: int) -> Tensor:
        """Return uniform draws in (0, 1) for modifiers that take noise: (count, width)."""
        return torch.rand(count, width, generator=self.generator).clamp_(1e-7, 1 - 1e-7).to(self.device)


Views = Callable[[Batch, torch.Generator], tuple[Tensor, Tensor]]  # two views of a batch, each (b, *shape)


def fit_batch(records: int, batch: int) -> int:
    """Return a batch size that leaves at least 8 rounds an epoch: `batch`, or less down to 16, or all records."""
    return min(records, batch, max(16, records // 8))


# --------------------------------------------------------------------------------------------- the loop


class Rounds(Protocol):
    """A source of batches that knows how many rounds make an epoch."""

    @property
    def rounds(self) -> int: ...


Source = TypeVar("Source", contravariant=True)
Drawn = TypeVar("Drawn", bound=Rounds)


class Game(Protocol[Source]):
    """Players by name; `moves` names the players in the order of a round; `round` yields exactly those moves."""

    @property
    def players(self) -> Mapping[str, Player]: ...

    @property
    def moves(self) -> Sequence[str]: ...

    def round(self, draw: Source) -> Iterator[Move]: ...


@dataclass(frozen=True)
class Epoch:
    """One epoch that is over.

    Attributes
    ----------
    number
        Its number, from 1.
    of
        How many epochs there are.
    terms
        The mean of every loss term: "move/term" to value.
    """

    number: int
    of: int
    terms: dict[str, float]


def play(game: Game[Drawn], draw: Drawn, epochs: int, *, start: int = 0, check_finite: bool = True) -> Iterator[Epoch]:
    """Play a game and yield after every epoch.

    Only the player about to move is in training mode; the others, and every network that is no player, are in
    evaluation mode.

    Parameters
    ----------
    game
        Players and rounds.
    draw
        Batches.
    epochs
        Number of the last epoch.
    start
        Epochs that were played before.
    check_finite
        Whether a loss that is not finite ends the game.

    Raises
    ------
    FloatingPointError
        When a loss is no longer finite.
    RuntimeError
        When a round yields another move than announced.
    """
    players = game.players
    for player in players.values():
        player.module.eval()
    for number in range(start, epochs):
        totals: dict[str, Tensor] = {}
        for _ in range(draw.rounds):
            _round(game, draw, totals)
        for player in players.values():
            player.module.eval()
            if player.schedule is not None and not player.each_move:
                player.schedule.step()
        means = {term: float(value) / draw.rounds for term, value in totals.items()}
        broken = [term for term, value in means.items() if value != value or abs(value) == float("inf")]
        if broken and check_finite:
            raise FloatingPointError(f"epoch {number + 1}: loss {broken[0]} is no longer finite")
        yield Epoch(number + 1, epochs, means)


def _round(game: Game[Drawn], draw: Drawn, totals: dict[str, Tensor]) -> None:
    # One move of each player, in order; their loss terms are added to the totals.
    moves = tuple(game.moves)
    turn = iter(game.round(draw))
    for name in moves:
        player = game.players[name]
        if len(moves) > 1 or not player.module.training:
            player.module.train()
        moved, terms = next(turn)
        if moved != name:
            raise RuntimeError(f"the round moved {moved!r} where {name!r} was announced")
        player.move(sum(terms.values()))  # type: ignore[arg-type]
        for term, value in terms.items():
            key = f"{name}/{term}"
            totals[key] = totals[key] + value.detach() if key in totals else value.detach()
        if len(moves) > 1:
            player.module.eval()
    if next(turn, None) is not None:
        raise RuntimeError("the round has more moves than announced")


def train(
    game: Game[Draw],
    draw: Draw,
    epochs: int,
    *,
    what: str,
    file: Path | None = None,
    run: Run | None = None,
    watch: Callable[[int], None] | None = None,
) -> list[dict[str, float]]:
    """Play a game to its end, from where an earlier call was interrupted.

    Parameters
    ----------
    game
        Players and rounds.
    draw
        Batches.
    epochs
        How many epochs there are in all.
    what
        Name of the work, for progress.
    file
        Where the game is saved: every 5 epochs or 10 seconds, and at the end. None saves nothing.
    run
        Receives the progress.
    watch
        Called with the number of every epoch that is over.

    Returns
    -------
    list of dict
        The mean loss terms of every epoch.
    """
    run = run or Run()
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
        run.step(what, epoch.number, epochs)
        if watch:
            watch(epoch.number)
    return history


# --------------------------------------------------------------------------------------------- parts of a game


def adamw(lr: float, weight_decay: float) -> MakeOptimiser:
    """Return what makes AdamW of a `Player`'s weights."""
    return lambda weights: torch.optim.AdamW(weights, lr=lr, weight_decay=weight_decay)


def sgd(lr: float, momentum: float, weight_decay: float) -> MakeOptimiser:
    """Return what makes stochastic gradient descent of a `Player`'s weights."""
    return lambda weights: torch.optim.SGD(weights, lr=lr, momentum=momentum, weight_decay=weight_decay)


class SinglePlayer:
    """The game of one player, with a cosine schedule over `epochs`. `terms` gives the loss terms of a round."""

    moves = ("model",)
    terms: Callable[[Draw], dict[str, Tensor]]

    def __init__(self, model: nn.Module, optimiser: MakeOptimiser, epochs: int) -> None:
        self.players = {"model": Player(model, optimiser, lambda o: CosineAnnealingLR(o, epochs))}

    def round(self, draw: Draw) -> Iterator[Move]:
        yield "model", self.terms(draw)


@contextlib.contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """Make global random numbers depend on a seed and a purpose only, and restore the caller's state at the end."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed_for(seed, purpose))
        yield


def seed_for(seed: int, purpose: str) -> int:
    """Return a seed of PyTorch for one purpose: 0 to 2**31 - 1."""
    return int(numpy_rng(seed, purpose).integers(2**31))


# --------------------------------------------------------------------------------------------- saved games


def save_game(path: Path, game: Game[Any], draw: Draw, done: int) -> None:
    """Write the state of a game after epoch `done`: weights, optimisers, schedules and random states.

    Parameters
    ----------
    path
        The safetensors file, which is replaced atomically.
    game, draw
        What is saved.
    done
        Number of the last epoch that is over.
    """
    tensors: dict[str, Tensor] = {"random.torch": torch.get_rng_state(), "random.draw": draw.generator.get_state()}
    notes: dict[str, Any] = {"done": done}
    # The rest of a pass over a source whose batches do not fill whole epochs, in the order in which it is used.
    for source, chunks in draw.left.items():
        if chunks:
            tensors[f"left.{source}"] = torch.cat(chunks[::-1])
    for name, player in game.players.items():
        for key, value in player.module.state_dict().items():
            tensors[f"{name}.weights.{key}"] = value.detach().cpu().contiguous().clone()
        state = player.optimiser.state_dict()
        for index, entry in state["state"].items():
            for key, value in entry.items():
                if value is not None:
                    tensors[f"{name}.optimiser.{index}.{key}"] = torch.as_tensor(value).cpu().contiguous().clone()
        schedule = {k: v for k, v in player.schedule.state_dict().items() if _plain(v)} if player.schedule else None
        notes[name] = {"groups": state["param_groups"], "schedule": schedule}
    write_sealed(path, tensors, notes)


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str | bool | list | type(None))


def resume_game(path: Path, game: Game[Any], draw: Draw) -> int:
    """Restore a game that `save_game` wrote.

    Returns
    -------
    int
        The number of epochs that were played. It is 0, with nothing changed, where the file is missing or damaged.
    """
    found = read_sealed(path)
    if found is None:
        return 0
    tensors, notes = found
    for name, player in game.players.items():
        head = f"{name}.weights."
        player.module.load_state_dict({k.removeprefix(head): v for k, v in tensors.items() if k.startswith(head)})
        state: dict[int, dict[str, Tensor]] = {}
        head = f"{name}.optimiser."
        for key, value in tensors.items():
            if key.startswith(head):
                index, entry = key.removeprefix(head).split(".", 1)
                state.setdefault(int(index), {})[entry] = value
        player.optimiser.load_state_dict({"state": state, "param_groups": notes[name]["groups"]})
        if player.schedule is not None:
            player.schedule.load_state_dict(notes[name]["schedule"])
    for source in draw.left:
        rows = tensors.get(f"left.{source}")
        draw.left[source] = [] if rows is None else list(rows.split(draw.size[source]))[::-1]
    torch.set_rng_state(tensors["random.torch"])
    draw.generator.set_state(tensors["random.draw"])
    return int(notes["done"])
