"""The one training engine: players who move in turn.

A round of a game is a generator that yields one named move at a time, with the loss terms of that move; `play` hands
each move to its player and yields after every epoch. Saving, resuming, pictures and progress belong to the caller.
Training a classifier is a game of one player.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from sordine.files import atomic
from sordine.table import Table

Move = tuple[str, Mapping[str, Tensor]]

SEAL = "digest"  # in a checkpoint's metadata


class Player:
    """A network that learns: its weights, its optimiser and, where it has one, its learning-rate schedule (a step an epoch)."""

    def __init__(
        self,
        module: nn.Module,
        optimiser: Callable[..., torch.optim.Optimizer],
        schedule: Callable[[torch.optim.Optimizer], LRScheduler] | None = None,
    ) -> None:
        self.module = module
        self.weights = [w for w in module.parameters() if w.requires_grad]
        self.optimiser = optimiser(self.weights)
        self.schedule = schedule(self.optimiser) if schedule else None

    def move(self, loss: Tensor) -> None:
        """One step down `loss`, with respect to this player's weights only."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=self.weights)
        self.optimiser.step()


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


class Game(Protocol):
    """players by name; `moves` names who moves, in order, in every round; `round` yields exactly those moves."""

    @property
    def players(self) -> Mapping[str, Player]: ...

    @property
    def moves(self) -> Sequence[str]: ...

    def round(self, draw: Draw) -> Iterator[Move]: ...


@dataclass(frozen=True)
class Epoch:
    """What one epoch was: its number from 1, how many there are, and the mean of every loss term, "move/term" -> float."""

    number: int
    of: int
    terms: dict[str, float]


def play(game: Game, draw: Draw, epochs: int, *, start: int = 0) -> Iterator[Epoch]:
    """Play `epochs` epochs (from `start`, when resuming), yielding after each.

    Only the player who is about to move is in training mode; the others, and every network that is no player, evaluate.
    Raises FloatingPointError when a loss is no longer finite, RuntimeError when a round yields another move than announced.
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
            if player.schedule is not None:
                player.schedule.step()
        means = {term: float(value) / draw.rounds for term, value in totals.items()}
        broken = [term for term, value in means.items() if value != value or abs(value) == float("inf")]
        if broken:
            raise FloatingPointError(f"epoch {number + 1}: loss {broken[0]} is no longer finite")
        yield Epoch(number + 1, epochs, means)


def save_game(path: Path, game: Game, draw: Draw, done: int) -> None:
    """Everything needed to go on after epoch `done`, in one safetensors file: weights, optimisers, schedules, random states."""
    tensors: dict[str, Tensor] = {"random.torch": torch.get_rng_state(), "random.draw": draw.generator.get_state()}
    notes: dict[str, Any] = {"done": done}
    # What is left of a pass over a source whose batches do not fill whole epochs, in the order in which it is handed out.
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


def resume_game(path: Path, game: Game, draw: Draw) -> int:
    """Restore what `save_game` wrote and return the epoch it was after; 0, with nothing changed, where there is no such file, or one
    that is not as it was written."""
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


def write_sealed(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Tensors and notes in one safetensors file, with a digest of both."""
    whole = {name: value.contiguous() for name, value in tensors.items()}
    said = json.dumps(notes)
    with atomic(path) as temporary:
        save_file(whole, temporary, metadata={"sordine": said, SEAL: _digest(whole, said)})


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `write_sealed` wrote; None where there is no such file, or one that was cut short, changed or written without a digest."""
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is not a mapping
    except (safetensors.SafetensorError, OSError):
        return None
    said = about.get("sordine", "")
    return (tensors, json.loads(said)) if about.get(SEAL) == _digest(tensors, said) else None


def _digest(tensors: Mapping[str, Tensor], said: str) -> str:
    """BLAKE2b-256 of tensors, whatever their order, and of what is said of them."""
    state = hashlib.blake2b(json.dumps(said).encode(), digest_size=32)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        state.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        state.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()
