"""Axes on which records differ from one another more than a record does from itself when it is changed.

Akin to a linear discriminant (Fisher, 1936) in which every record is a class of its own: no label is needed. What varies
within is what separates changed copies from the record itself, their mean included; it is held against what varies in
all. Dividing by what varies within is customary for telling speakers (Hatch, Kajarekar and Stolcke, 2006); here speakers
may themselves be what is changed away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sordine.data.media.cache import Decoded
from sordine.data.media.kinds import Kind
from sordine.errors import SordineError, nearest
from sordine.features.augmentation.views import STILL, ViewOptions, one_view
from sordine.run import Run

SEEN: dict[str, ViewOptions] = {
    "crop": replace(STILL, scale=(0.7, 1.0)),
    "light": replace(STILL, jitter=0.8, brightness=0.6, contrast=0.6, hue=0.05, shade=1.0),
    "mirror": replace(STILL, flip=1.0),
}
# What a record may be changed in. voice: played faster or slower, by three semitones at most, so that pitch, formants
# and pace change together.
CHANGES: dict[Kind, dict[str, ViewOptions]] = {
    "image": SEEN,
    "video": SEEN,
    "audio": {
        "voice": replace(STILL, speed=(2 ** (-3 / 12), 2 ** (3 / 12))),
        "piece": replace(STILL, piece=(0.5, 0.7)),
        "gain": replace(STILL, gain=6.0),
    },
}
COPIES = 4096  # changed copies that are made for every change, at least, unless each record has 8 of them
MOST_COPIES = 8  # of one record
FLOOR = 0.1  # of the mean variance, added to what varies within: an axis of hardly any variance is not steady


def named(names: str, kind: Kind | None = None) -> list[str]:
    """The changes in a text with commas, each once; "none" stands for none. Raises SordineError for one that no kind of
    media, or not this kind, can be changed in."""
    asked = [] if names.strip() == "none" else list(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
    known = list(CHANGES[kind]) if kind else list(dict.fromkeys(n for changes in CHANGES.values() for n in changes))
    for name in asked:
        if name not in known:
            of = {"image": "pictures", "video": "videos", "audio": "sound"}[kind] if kind else "records"
            hint = nearest(name, known)
            hint = "" if hint.startswith("known") else f"; {hint}"
            raise SordineError(f"encoder: steady={name}: {of} can be changed in {', '.join(known)}{hint}")
    return asked


def written(changes: list[str]) -> Tensor:
    """Names as a file of weights holds them: their bytes, (n,) uint8."""
    return torch.tensor(list(",".join(changes).encode()), dtype=torch.uint8)


def read(kept: Tensor | None) -> str:
    """What `written` was given, with commas; "" for None."""
    return "" if kept is None else bytes(kept.to(torch.uint8).tolist()).decode(errors="replace")


def told(weights: Path) -> str:
    """What the numbers of a file of weights are steady under, with commas; "" where that is nothing, or cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "pt") as file:
            return read(file.get_tensor("steady")) if "steady" in file.keys() else ""  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError):
        return ""


def changed(
    decoded: Decoded, rows: np.ndarray, change: str, block: int, generator: torch.Generator
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Changed copies of some records, a block at a time: (the rows, x (b, *shape), lengths (b,)).

    All records where there are fewer than 4,096, several copies of each up to 8; else 4,096 of them, evenly spaced.
    """
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), COPIES)).round().astype(np.int64)]
    for _ in range(copies(len(rows))):
        for start in range(0, len(some), block):
            part = some[start : start + block]
            x, lengths = (torch.from_numpy(np.array(v[part])) for v in (decoded.x, decoded.lengths))
            yield part, *one_view(decoded.kind, x, lengths, generator, CHANGES[decoded.kind][change])


def copies(records: int) -> int:
    """How many changed copies there are of each record that is changed."""
    return min(MOST_COPIES, -(-COPIES // min(records, COPIES)))


def within(differences: Iterator[np.ndarray]) -> np.ndarray:
    """Mean product (k, k) of differences (b, k), block by block, between changed records and themselves."""
    total, count = np.zeros((0, 0)), 0
    for block in differences:
        values = np.asarray(block, np.float64)
        total = values.T @ values if not count else total + values.T @ values
        count += len(values)
    return total / max(1, count)


def axes(variance: np.ndarray, inside: np.ndarray, floor: float = FLOOR) -> tuple[np.ndarray, np.ndarray]:
    """The steadiest axes of uncorrelated numbers, steadiest first: (k, k) map of the numbers to them, (k,) ratios.

    variance: (k,) of each number, over records. inside: (k, k), mean products of changes (`within`), summed over the
    kinds of change. Of axes v with v'Vv = 1, V = diag(variance), the one whose r = v'(inside + floor mean(variance) I)v
    is least, then the least of those that are uncorrelated with it, and so on; each is given the deviation r^(-1/2), so
    that changes, and the floor, make all of them vary alike. The largest coordinate of V^(1/2) v is positive.
    """
    root = 1 / np.sqrt(variance)
    whitened = root[:, None] * inside * root + np.diag(floor * variance.mean() / variance)
    ratio, turn = np.linalg.eigh((whitened + whitened.T) / 2)
    turn = turn * np.sign(turn[np.abs(turn).argmax(axis=0), np.arange(len(turn))])
    ratio = ratio.clip(np.finfo(np.float64).tiny)
    return root[:, None] * turn * ratio**-0.5, ratio


Numbers = Callable[[Tensor, Tensor], np.ndarray]


def steady(
    decoded: Decoded,
    rows: np.ndarray,
    changes: list[str],
    numbers: Numbers,
    variance: np.ndarray,
    block: int,
    seed: int,
    run: Run,
) -> np.ndarray:
    """The map (k, k) of uncorrelated numbers to steady axes. numbers: x, lengths -> (b, k), centred; variance: (k,), of
    them over all records. block: records at a time; what is drawn depends on it. progress: (what, done, of)."""
    generator = torch.Generator().manual_seed(seed)
    own: dict[int, np.ndarray] = {}  # by a block's first record: the blocks are the same for every copy and change
    done, of = 0, len(changes) * copies(len(rows)) * min(len(rows), COPIES)

    def differences(change: str) -> Iterator[np.ndarray]:
        nonlocal done
        for part, x, lengths in changed(decoded, rows, change, block, generator):
            if part[0] not in own:
                own[part[0]] = numbers(*(torch.from_numpy(np.array(v[part])) for v in (decoded.x, decoded.lengths)))
            yield numbers(x, lengths) - own[part[0]]
            done += len(part)
            run.step("steady axes", done, of)

    inside = sum(within(differences(change)) for change in changes)
    return axes(variance, np.asarray(inside))[0]
