"""What replacement ships: filter and generator of every stage, between the table's scale and working units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.replacement.networks import Stage
from sordine.models.modifier import Modifier, Release
from sordine.models.picture_classifier import WHITE
from sordine.run import Run

BLOCK = 64  # pictures that go through at once
WATCHED = 8  # records on a contact sheet


class ReplacementModifier(Modifier):
    """x -> working units -> one `Stage` after the other -> x'' in the table's own scale.

    Working units are pictures in [0, 1] or standardised vectors. noise: each stage takes its own share of the draws.
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
        """Records in the table's scale (b, *shape) -> working units: (b, c, h, w) or (b, d). A column that never changes
        is 0."""
        if self.are_pictures:
            return (x / self.scale).contiguous(memory_format=torch.channels_last)
        return (x.flatten(1) - self.mean) / torch.where(self.scale > 0, self.scale, torch.inf)

    def back(self, v: Tensor) -> Tensor:
        """Working units -> the table's scale and shape."""
        return (v * self.scale + self.mean).reshape(len(v), *self.shape).contiguous()

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """x (b, *shape) in the table's scale, noise (b, self.noise) uniform in (0, 1) -> x'' of the same shape and scale."""
        return Release(self.back(self.through(self.onto(x), noise, len(self.stages))))

    def through(self, v: Tensor, noise: Tensor, count: int, forced: Mapping[int, int] | None = None) -> Tensor:
        """The first `count` stages, in working units; forced: stage -> class in the place of what it would have drawn."""
        for at, (stage, z) in enumerate(zip(self.every[:count], self.shares_of(noise), strict=False)):
            v = stage.filtered(v, z)
            if stage.generator is not None:
                drawn = stage.drawn(z)
                s = drawn if at not in (forced or {}) else torch.full_like(drawn, (forced or {})[at])
                v = stage.generated(v, s, z)
        return v

    def shares_of(self, noise: Tensor) -> tuple[Tensor, ...]:
        """Each stage's own draws, (b, stage.noise)."""
        return noise.split([stage.noise for stage in self.every], dim=1)

    def filtered(self, x: Tensor, noise: Tensor) -> Tensor:
        """What the last stage's filter alone leaves, in the table's scale: GAP's release out of the same fit, as f learns
        nothing from g. The stages before it, if any, are whole. x itself where there is no filter."""
        last = len(self.stages) - 1
        v = self.through(self.onto(x), noise, last)
        return self.back(self.every[last].filtered(v, self.shares_of(noise)[last]))

    def drawn(self, noise: Tensor) -> Tensor:
        """s' of every stage: (b, stages) int64, the values that `forward` puts in. Raises SordineError of a filter alone."""
        if any(stage.generator is None for stage in self.every):
            raise SordineError("replacement: a filter alone draws no synthetic value")
        return torch.stack([s.drawn(z) for s, z in zip(self.every, self.shares_of(noise), strict=True)], 1)

    def pictures(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """What a report shows between original and released: the filter's work, and each value put in by force.

        Classes are named by their codes: a modifier knows no label. Empty where records are no pictures.
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


def watcher(modifier: ReplacementModifier, table: Table, epochs: int, run: Run) -> Callable[[int], None] | None:
    """What to call after every epoch: about eight times a fit, a contact sheet of some records goes into the run's folder.
    None where there is no folder, or no picture."""
    if run.folder is None or not modifier.are_pictures:
        return None
    every, count = max(1, epochs // 8), min(WATCHED, len(table))
    rows = np.linspace(0, len(table) - 1, count).astype(int)
    random = torch.Generator().manual_seed(run.seed)
    noise = torch.rand(count, modifier.noise, generator=random).clamp_(1e-7, 1 - 1e-7).to(run.device)
    folder, stages = Path(run.folder), len(modifier.stages)

    def watch(epoch: int) -> None:
        if epoch % every and epoch != epochs:
            return
        from sordine.data.media.contact_sheet import contact_sheet

        x = table.batch(rows).to(run.device)
        with torch.no_grad():
            columns = {"original": x, "released": modifier(x, noise).x}
            if modifier.every[-1].filter is not None:
                columns["filtered"] = modifier.filtered(x, noise)
        contact_sheet(
            folder / f"replacement-{stages}-epoch-{epoch:04d}.png",
            list(columns),
            [v.cpu().numpy() for v in columns.values()],
        )

    return watch
