"""Seeded mutations of bytes, of plain data (lists, mappings, values) and of tensors."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import torch
from torch import Tensor

SCRIPT, IMAGE = "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'
NAMES = (
    *(SCRIPT, IMAGE, "\x1b[31mred", "a\u202eb", "../../etc/passwd", "/dev/full", "", "x" * 5000),
    *("a\nb", "\0", "\ud800", "-o", "{{7*7}}", "None"),
)
NUMBERS = (0, -1, 1, 2**31, 2**63, 10**30, 1e308, -1e308, 0.5, math.inf, math.nan)
OTHERS: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"a": {}}, [1, "a", None], [10**6, 10**6])
BYTES = (
    *(b"\0" * 64, b"[" * 3000, b'"' * 9, b"\xff\xfe", b"*a", b"&a [*a]\n", b"9" * 5000, b"\x1b[2J"),
    b"!!python/object:os.system x",
)


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three changes: cut, emptied, doubled, overwritten or extended."""
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        piece = rng.choice((bytes(rng.randrange(256) for _ in range(rng.randint(1, 8))), rng.choice(BYTES)))
        data = rng.choice((
            data[:at],
            data[:at] + piece + data[at:],
            data[:at] + piece + data[at + len(piece) :],
            data[:at] + data[at : at + 50] * 50 + data[at:],
            b"" if rng.random() < 0.3 else data[at:],
        ))  # fmt: skip
    return data


def mutated_plain(found: Any, rng: random.Random) -> Any:
    """Return a copy of plain data with one to three values replaced, removed, added, nested or exchanged."""
    found = copy.deepcopy(found)
    for _ in range(rng.randint(1, 3)):
        places = [(parent, key) for parent, key in _places(found)]
        if not places:
            return _value(rng, None)
        parent, key = rng.choice(places)
        how = rng.random()
        if how < 0.55:
            parent[key] = _value(rng, parent[key])
        elif how < 0.65:
            del parent[key]
        elif how < 0.75 and isinstance(parent, dict):
            parent[rng.choice(NAMES)] = _value(rng, None)
        elif how < 0.85:
            parent[key] = [parent[key]] * rng.choice((1, 2, 1000))
        elif how < 0.9:
            parent[key] = _nested(parent[key], rng.choice((5, 70, 500)))
        else:
            other, name = rng.choice(places)
            parent[key], other[name] = copy.deepcopy(other[name]), copy.deepcopy(parent[key])
    return found


def mutated_tensors(tensors: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """Return tensors of which one is removed, added, filled, reshaped, emptied or of another type."""
    found, name = dict(tensors), rng.choice(sorted(tensors))
    value = found.pop(name)
    changed = (
        None,
        torch.full_like(value, 255) if value.dtype == torch.uint8 else torch.full_like(value.float(), math.nan),
        value.reshape(-1),
        value[..., None],
        value.double(),
        value[:0] if value.ndim else value,
        torch.zeros(3, 70_000),
    )
    kept = rng.choice(changed)
    if kept is not None:
        found[name] = kept.clone().contiguous()
    if rng.random() < 0.2:
        found[rng.choice(NAMES[:5])] = torch.zeros(2)
    return found


def _value(rng: random.Random, before: Any) -> Any:
    """A hostile value, mostly of the same type as the one that it replaces."""
    same: tuple[Any, ...] = ()
    if isinstance(before, str):
        same = NAMES
    elif isinstance(before, int | float) and not isinstance(before, bool):
        same = NUMBERS
    return copy.deepcopy(rng.choice(same if same and rng.random() < 0.7 else (*NAMES, *NUMBERS, *OTHERS)))


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _places(found: Any) -> list[tuple[Any, Any]]:
    """Every (list or mapping, position) in plain data."""
    places, waiting = [], [found]
    while waiting:
        part = waiting.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ()
        for key in keys:
            places.append((part, key))
            waiting.append(part[key])
    return places
