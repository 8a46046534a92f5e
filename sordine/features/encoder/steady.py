"""Axes on which records differ more from each other than from changed copies of themselves.

Similar to a linear discriminant (Fisher, 1936) in which every record is a class: no label is needed. The variation
within is that between changed copies and the record itself, mean included. Dividing by it is customary in speaker
recognition (Hatch, Kajarekar and Stolcke, 2006); here the speaker may itself be the change.
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

PICTURES: dict[str, ViewOptions] = {
    "crop": replace(STILL, scale=(0.7, 1.0)),
    "light": replace(STILL, jitter=0.8, brightness=0.6, contrast=0.6, hue=0.05, shade=1.0),
    "mirror": replace(STILL, flip=1.0),
}
# The changes of each kind of media. voice: faster or slower by at most three semitones, so that pitch, formants and
# pace change together.
CHANGES: dict[Kind, dict[str, ViewOptions]] = {
    "image": PICTURES,
    "video": PICTURES,
    "audio": {
        "voice": replace(STILL, speed=(2 ** (-3 / 12), 2 ** (3 / 12))),
        "piece": replace(STILL, piece=(0.5, 0.7)),
        "gain": replace(STILL, gain=6.0),
    },
}
COPIES = 4096  # fewest changed copies of every change, unless each record has 8 of them
MOST_COPIES = 8  # of one record
FLOOR = 0.1  # of the mean variance, added to the variation within: an axis of hardly any variance is not steady


def named(names: str, kind: Kind | None = None) -> list[str]:
    """Return the changes in a comma-separated text, each once; "none" stands for none.

    Raises SordineError for a change that is unknown, for this kind of media where one is given.
    """
    changes = [] if names.strip() == "none" else list(dict.fromkeys(n.strip() for n in names.split(",") if n.strip()))
    known = list(CHANGES[kind]) if kind else list(dict.fromkeys(n for changes in CHANGES.values() for n in changes))
    for name in changes:
        if name not in known:
            of = {"image": "pictures", "video": "videos", "audio": "sound"}[kind] if kind else "records"
            hint = nearest(name, known)
            hint = "" if hint.startswith("known") else f"; {hint}"
            raise SordineError(f"encoder: steady={name} is unknown; the changes of {of} are {', '.join(known)}{hint}")
    return changes


def written(changes: list[str]) -> Tensor:
    """Return names as in a file of weights: their bytes, (n,) uint8."""
    return torch.tensor(list(",".join(changes).encode()), dtype=torch.uint8)


def read(stored: Tensor | None) -> str:
    """Return the names that `written` stored, comma-separated; "" for None."""
    return "" if stored is None else bytes(stored.to(torch.uint8).tolist()).decode(errors="replace")


def changes_in(weights: Path) -> str:
    """Return the changes of `steady` in a file of weights, comma-separated; "" without any, or for a damaged file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(weights, "pt") as file:
            return read(file.get_tensor("steady")) if "steady" in file.keys() else ""  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError):
        return ""


def changed(
    decoded: Decoded, rows: np.ndarray, change: str, block: int, generator: torch.Generator
) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
    """Return changed copies of some records, a block at a time: (rows, x (b, *shape), lengths (b,)).

    Of fewer than 4,096 records, all are used, with up to 8 copies each; of more, 4,096 that are evenly spaced.
    """
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), COPIES)).round().astype(np.int64)]
    for _ in range(copies(len(rows))):
        for start in range(0, len(some), block):
            part = some[start : start + block]
            x, lengths = (torch.from_numpy(np.array(v[part])) for v in (decoded.x, decoded.lengths))
            yield part, *one_view(decoded.kind, x, lengths, generator, CHANGES[decoded.kind][change])


def copies(records: int) -> int:
    """Return the number of changed copies of each record that is used."""
    return min(MOST_COPIES, -(-COPIES // min(records, COPIES)))


def within(differences: Iterator[np.ndarray]) -> np.ndarray:
    """Return the mean product (k, k) of differences (b, k) between changed and unchanged records."""
    total, count = np.zeros((0, 0)), 0
    for block in differences:
        values = np.asarray(block, np.float64)
        total = values.T @ values if not count else total + values.T @ values
        count += len(values)
    return total / max(1, count)


def axes(variance: np.ndarray, inside: np.ndarray, floor: float = FLOOR) -> tuple[np.ndarray, np.ndarray]:
    """Return the steadiest axes of uncorrelated numbers, steadiest first: a (k, k) map to them, and (k,) ratios.

    Of axes v with v'Vv = 1, V = diag(variance), the first minimises r = v'(inside + floor mean(variance) I)v, the
    second does so among those uncorrelated with it, and so on. Each gets the deviation r^(-1/2), so that the changes
    and the floor alter all of them alike. The largest coordinate of V^(1/2) v is positive.

    Parameters
    ----------
    variance
        Of each number, over records: (k,).
    inside
        Mean products of changes (`within`), summed over the kinds of change: (k, k).
    floor
        Share of the mean variance that is added to the variation within.
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
    """Return the map (k, k) of uncorrelated numbers to steady axes.

    Parameters
    ----------
    decoded, rows
        The decoded records, and the positions of those of the fit.
    changes
        Names in `CHANGES`.
    numbers
        x and lengths to the centred numbers: (b, k).
    variance
        Of the numbers over all records: (k,).
    block
        Records at a time; the random draws depend on it.
    seed
        Of the random draws.
    run
        Receives the progress.
    """
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
