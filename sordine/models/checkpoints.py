"""The one training engine: players who move in turn.

A round of a game is a generator that yields one named move at a time, with the loss terms of that move; `play` hands
each move to its player and yields after every epoch. Saving, resuming, pictures and progress belong to the caller.
Training a classifier is a game of one player.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from sordine.data.files import atomic
from sordine.models.training import Draw, Game

SEAL = "digest"  # in a checkpoint's metadata


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
