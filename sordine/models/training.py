"""The one training engine: players who move in turn.

A round of a game is a generator that yields one named move at a time, with the loss terms of that move; `play` hands
each move to its player and yields after every epoch. Saving, resuming, pictures and progress belong to the caller.
Training a classifier is a game of one player.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from sordine.data.table import Table

Move = tuple[str, Mapping[str, Tensor]]


class Player:
    """A network that learns: its weights, its optimiser and its learning-rate schedule, if any.

    each_move: the schedule steps after each move instead of each epoch.
    """

    def __init__(
        self,
        module: nn.Module,
        optimiser: Callable[..., torch.optim.Optimizer],
        schedule: Callable[[torch.optim.Optimizer], LRScheduler] | None = None,
        *,
        each_move: bool = False,
    ) -> None:
        self.module = module
        self.weights = [w for w in module.parameters() if w.requires_grad]
        self.optimiser = optimiser(self.weights)
        self.schedule = schedule(self.optimiser) if schedule else None
        self.each_move = each_move

    def move(self, loss: Tensor) -> None:
        """One step down `loss`, with respect to this player's weights only."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=self.weights)
        self.optimiser.step()
        if self.each_move and self.schedule is not None:
            self.schedule.step()


@dataclass
class Batch:
    """Some records: x (b, *shape) float32 on the game's device, y name -> (b,) int64 (-1 unlabelled), rows (b,) positions in the table."""

    x: Tensor
    y: dict[str, Tensor]
    rows: Tensor


class Draw:
    """Hands out batches, shuffled anew whenever a source is used up; `draw()` from the table, `draw("pool")` from another source.

    The last, smaller batch of a pass is left out unless it is the only one, so that batch norm never sees a single record.
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
        # A table in memory is handed to the device once (pictures as bytes); a mapped one is read a batch at a time.
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
        """Uniform draws in (0, 1): (count, width), for modifiers that take noise."""
        return torch.rand(count, width, generator=self.generator).clamp_(1e-7, 1 - 1e-7).to(self.device)


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
    """What one epoch was: its number from 1, how many there are, and the mean of every loss term, "move/term" -> float."""

    number: int
    of: int
    terms: dict[str, float]


def play(game: Game[Drawn], draw: Drawn, epochs: int, *, start: int = 0, check_finite: bool = True) -> Iterator[Epoch]:
    """Play `epochs` epochs (from `start`, when resuming), yielding after each.

    Only the player about to move is in training mode; the others, and every network that is no player, evaluate.
    Raises FloatingPointError when a loss is no longer finite (unless `check_finite` is off), RuntimeError when a round
    yields another move than announced.
    """
    players, moves = game.players, tuple(game.moves)
    for player in players.values():
        player.module.eval()
    for number in range(start, epochs):
        totals: dict[str, Tensor] = {}
        for _ in range(draw.rounds):
            turn = iter(game.round(draw))
            for name in moves:
                player = players[name]
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
        for player in players.values():
            player.module.eval()
            if player.schedule is not None and not player.each_move:
                player.schedule.step()
        means = {term: float(value) / draw.rounds for term, value in totals.items()}
        broken = [term for term, value in means.items() if value != value or abs(value) == float("inf")]
        if broken and check_finite:
            raise FloatingPointError(f"epoch {number + 1}: loss {broken[0]} is no longer finite")
        yield Epoch(number + 1, epochs, means)


Views = Callable[[Batch, torch.Generator], tuple[Tensor, Tensor]]  # two views of a batch, each (b, *shape)
