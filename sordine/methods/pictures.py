"""Networks of pictures in one memory layout, and contact sheets written during a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from sordine.data.media.contact_sheet import contact_sheet

N = TypeVar("N", bound=nn.Module)


def channels_last(net: N, device: str | torch.device | None = None) -> N:
    """Return a network with its weights in channels-last layout, on a device where one is named."""
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net


class PictureWatch:
    """Writes a contact sheet of some training pictures into a folder, every few epochs.

    Parameters
    ----------
    folder
        Where sheets are written, as NAME-epoch-0001.png.
    name
        First part of the file names.
    epochs
        Number of epochs of the fit.
    columns
        Function that returns the columns of a sheet: title -> pictures (b, c, h, w) in 0 to 255.
    sheets
        About how many sheets are written.
    last
        Whether one is written after the last epoch in any case.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        epochs: int,
        columns: Callable[[], Mapping[str, Tensor]],
        *,
        sheets: int = 10,
        last: bool = False,
    ) -> None:
        self.folder, self.name, self.columns = folder, name, columns
        self.every, self.last = max(1, epochs // sheets), epochs if last else 0

    @torch.no_grad()
    def __call__(self, epoch: int) -> None:
        """Write a sheet where one is due after this epoch."""
        if epoch % self.every and epoch != self.last:
            return
        columns = self.columns()
        pictures = [v.cpu().numpy() for v in columns.values()]
        contact_sheet(self.folder / f"{self.name}-epoch-{epoch:04d}.png", list(columns), pictures)
