"""Cross-fitted modifiers: no record is released by a map that was fitted on it.

A map that fills its outputs alike from every class, over all records of its fit, gives away the unknown ones to an
attacker that knows the others: their classes are those that are missing. So the records of the fit are dealt into
parts, and a map is fitted without each part. A record goes through the map without its part, and is released like a new
record.

The part of a record follows from its numbers alone. So equal records, also under other ids, are in one part, and the
modifier remains one random function of the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.models.fingerprints import fingerprints
from sordine.models.modifier import Modifier, Release

BLOCK = 4096  # records in memory at a time
SHIFT, BITS = 20, (1 << 40) - 1  # the middle bits of a fingerprint, which depend on all numbers


def part_of(x: Tensor, parts: int) -> Tensor:
    """Return the part of each record: (b, *shape) -> (b,), 0 to parts - 1."""
    return ((fingerprints(x) >> SHIFT) & BITS) % parts


def parts_of_table(table: Table, parts: int) -> np.ndarray:
    """Return the part of each record of a table: (n,)."""
    blocks = [slice(start, start + BLOCK) for start in range(0, len(table), BLOCK)]
    return torch.cat([part_of(table.batch(rows), parts) for rows in blocks]).numpy()


@contextmanager
def fitting_map(number: int, parts: int) -> Iterator[None]:
    """Name the map in an error of its fit, and what to do: its records are fewer than those of the table."""
    try:
        yield
    except SordineError as error:
        raise SordineError(
            f"{error}; this is map {number} of {parts}, fitted without a part of the records: or fit one map on all "
            "records (--option parts=1)"
        ) from None


class CrossFitted(Modifier):
    """Maps of one method, each fitted without one part of the records.

    Parameters
    ----------
    maps
        The map at position k was fitted without the records of part k.
    """

    def __init__(self, maps: Sequence[Modifier]) -> None:
        super().__init__()
        self.maps = nn.ModuleList(maps)
        self.block = min(m.block for m in maps)
        self.noise = max(m.noise for m in maps)
        self.discrete = all(m.discrete for m in maps)

    @property
    def substitutes(self) -> Tensor:
        """The outputs of all maps, one after the other: (outputs, width), where the maps have outputs."""
        return torch.cat([m.substitutes for m in self.maps])  # type: ignore[misc]

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return released records.

        Where the bits of a record depend on the others of a batch, every map computes all records.
        """
        part, rows = part_of(x, len(self.maps)), torch.arange(len(x), device=x.device)
        if all(m.row_by_row for m in self.maps):
            released = torch.empty(x.shape, device=x.device)
            for k, m in enumerate(self.maps):
                own = part == k
                if own.any():
                    released[own] = m(x[own], noise[own, : m.noise]).x
            return Release(released)
        made = [m(x, noise[:, : m.noise]) for m in self.maps]
        released = torch.stack([r.x for r in made])[part, rows]
        if any(r.index is None for r in made):
            return Release(released)
        sizes = torch.tensor([0, *(len(m.substitutes) for m in self.maps)], device=x.device).cumsum(0)  # type: ignore[arg-type]
        return Release(released, torch.stack([r.index for r in made])[part, rows] + sizes[part])

    def output_distribution(self, x: Tensor) -> Tensor:
        """Return P(j | x) over the outputs of all maps: (b, *shape) -> (b, outputs), 0 for those of other maps."""
        part = part_of(x, len(self.maps))
        columns = []
        for k, m in enumerate(self.maps):
            column, own = torch.zeros(len(x), len(m.substitutes), device=x.device), part == k  # type: ignore[arg-type]
            if own.any():
                column[own] = m.output_distribution(x[own])  # type: ignore[operator]
            columns.append(column)
        return torch.cat(columns, 1)


def parts_of_tensors(tensors: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Return the tensors of each map of a `CrossFitted`, from its own; empty for another modifier."""
    found: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        head, _, rest = name.partition(".")
        if head == "maps":
            number, _, inner = rest.partition(".")
            found.setdefault(int(number), {})[inner] = tensor
    return [found[k] for k in sorted(found)]
