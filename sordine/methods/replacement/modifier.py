"""The modifier of replacement: filter and generator of every stage, between the table's scale and working units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.pictures import PictureWatch
from sordine.methods.replacement.networks import Stage
from sordine.models.modifier import Modifier, Release
from sordine.models.picture_classifier import WHITE
from sordine.run import Run

BLOCK = 64  # pictures at a time
WATCHED = 8  # records on a contact sheet


class ReplacementModifier(Modifier):
    """x -> working units -> one `Stage` after the other -> x'' in the scale of the table.

    Working units are pictures in [0, 1] or standardised vectors. Each stage takes its own share of the uniform draws.

    Parameters
    ----------
    shape
        Of a record.
    stages
        In order.
    pictures
        Whether records are pictures.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: tuple[int, ...], stages: list[Stage], pictures: bool) -> None:
        super().__init__()
        self.shape, self.stages = shape, nn.ModuleList(stages)
        self.are_pictures = pictures
        width = 1 if self.are_pictures else int(np.prod(shape))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.full((width,), WHITE if self.are_pictures else 1.0))
        self.noise = sum(stage.noise for stage in stages)
        if self.are_pictures:
            self.block = BLOCK

    @property
    def every(self) -> list[Stage]:
        """The stages, in order."""
        return [stage for stage in self.stages if isinstance(stage, Stage)]

    def onto(self, x: Tensor) -> Tensor:
        """Return working units (b, c, h, w) or (b, d) of records (b, *shape) in the scale of the table.

        A column that never changes is 0.
        """
        if self.are_pictures:
            return (x / self.scale).contiguous(memory_format=torch.channels_last)
        return (x.flatten(1) - self.mean) / torch.where(self.scale > 0, self.scale, torch.inf)

    def back(self, v: Tensor) -> Tensor:
        """Return working units in the scale and shape of the table."""
        return (v * self.scale + self.mean).reshape(len(v), *self.shape).contiguous()

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return x'' of records x (b, *shape) in the scale of the table; noise (b, self.noise) is uniform in (0, 1)."""
        return Release(self.back(self.through(self.onto(x), noise, len(self.stages))))

    def through(self, v: Tensor, noise: Tensor, count: int, forced: Mapping[int, int] | None = None) -> Tensor:
        """Return working units after the first `count` stages; forced: stage -> class in place of the drawn one."""
        for at, (stage, z) in enumerate(zip(self.every[:count], self.shares_of(noise), strict=False)):
            v = stage.filtered(v, z)
            if stage.generator is not None:
                drawn = stage.drawn(z)
                s = drawn if at not in (forced or {}) else torch.full_like(drawn, (forced or {})[at])
                v = stage.generated(v, s, z)
        return v

    def shares_of(self, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the draws of each stage, (b, stage.noise)."""
        return noise.split([stage.noise for stage in self.every], dim=1)

    def filtered(self, x: Tensor, noise: Tensor) -> Tensor:
        """Return records after the filter of the last stage, without its generator, in the scale of the table.

        As f learns nothing from g, this is the release of GAP from the same fit. Stages before the last are complete.
        It is x itself where there is no filter.
        """
        last = len(self.stages) - 1
        v = self.through(self.onto(x), noise, last)
        return self.back(self.every[last].filtered(v, self.shares_of(noise)[last]))

    def drawn(self, noise: Tensor) -> Tensor:
        """Return s' of every stage, (b, stages) int64, the values that `forward` inserts.

        Raises
        ------
        SordineError
            Where a stage has no generator.
        """
        if any(stage.generator is None for stage in self.every):
            raise SordineError("replacement: variant `filter` draws no synthetic value; use `both`")
        return torch.stack([s.drawn(z) for s, z in zip(self.every, self.shares_of(noise), strict=True)], 1)

    def pictures(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return pictures between original and released: filtered ones, and one for each value that can be inserted.

        Classes are named by their codes, since a modifier holds no label. Empty where records are not pictures.
        """
        if not self.are_pictures:
            return {}
        shown = {"filtered": self.filtered(x, noise)} if self.every[-1].filter is not None else {}
        names = self.card.policy["suppress"]
        for at, stage in enumerate(self.every):
            if stage.generator is None:
                continue
            of = f"{names[at]}: " if len(self.stages) > 1 else ""
            for code in range(stage.classes):
                v = self.through(self.onto(x), noise, len(self.stages), {at: code})
                shown[f"{of}s' = {code}"] = self.back(v)
        return shown


def watcher(modifier: ReplacementModifier, table: Table, epochs: int, run: Run) -> PictureWatch | None:
    """Return what writes about eight contact sheets into the folder of the run; None without a folder or pictures."""
    if run.folder is None or not modifier.are_pictures:
        return None
    count = min(WATCHED, len(table))
    rows = np.linspace(0, len(table) - 1, count).astype(int)
    random = torch.Generator().manual_seed(run.seed)
    noise = torch.rand(count, modifier.noise, generator=random).clamp_(1e-7, 1 - 1e-7).to(run.device)

    def columns() -> dict[str, Tensor]:
        x = table.batch(rows).to(run.device)
        shown = {"original": x, "released": modifier(x, noise).x}
        if modifier.every[-1].filter is not None:
            shown["filtered"] = modifier.filtered(x, noise)
        return shown

    name = f"replacement-{len(modifier.stages)}"
    return PictureWatch(Path(run.folder), name, epochs, columns, sheets=8, last=True)
