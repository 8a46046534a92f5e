"""Small pictures, whitened by their principal components: an extractor that needs no weights from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from sordine.data.media.cache import Decoded, Decoder
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Kind, Media
from sordine.data.media.video import Clips
from sordine.errors import SordineError
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.models.pretrained import Frozen, read_state
from sordine.run import Run

WIDEST = 4096  # numbers a record before the projection: the covariance is exact, and takes 8 bytes x the square of it
BATCH, COLUMNS = 256, 64
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow's grey
RANK = 1e-9  # of the largest variance: under it a component is rounding


@dataclass(frozen=True)
class Pixels(NetworkExtractor):
    """At most `components` numbers a record: its small picture, seen along the folder's principal components.

    A picture is resized whole to `size` x `size`, so that its sides may change their ratio; its values are from 0 to 1.
    A video gives the mean of 16 small frames (every other one from its start) and, per pixel, the standard deviation of
    their luminance over time: what is there and where it moves. Each component is divided by
    sqrt(its variance + epsilon * the largest variance), then the vector by its norm.

    Learnt are the mean and the projection: from the records whose column `split` is "train" where there is one, else
    from all. size: at most 32 in colour, 45 in grey. grey: one channel instead of three. components: also at most the
    learning records less one. epsilon: 0 whitens fully; more leaves small components smaller. weights: a file of what
    was learnt before (`mean`, `projection`), used instead.
    Raises SordineError where an option is out of range.
    """

    size: int = 32
    grey: bool = False
    components: Annotated[int, Field(ge=1, le=WIDEST)] = 256
    epsilon: Annotated[float, Field(ge=0, le=1)] = 1e-3
    weights: Path | None = None

    reads: ClassVar[tuple[SourceKind, ...]] = ("image", "video")
    version: ClassVar[int] = 1
    block: ClassVar[int] = 4 * BATCH
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        largest = int((WIDEST / (self.channels + 1)) ** 0.5)
        if not 2 <= self.size <= largest:
            colours = "grey" if self.grey else "colour"
            raise SordineError(f"pixels: size={self.size} is not between 2 and {largest} ({colours})")

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.grey else 3

    def decoder(self, kind: Kind) -> Decoder:
        """Small pictures, or clips of 16 small frames in colour."""
        if kind == "image":
            return Pictures(self.size, self.size, self.grey)
        if kind == "video":
            return Clips(self.size, self.size)
        raise SordineError(f"pixels reads pictures and videos, not {kind}")

    def width(self, kind: Kind) -> int:
        """How many numbers a record has before the projection."""
        return self.size**2 * (self.channels + (kind == "video"))

    def flat(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Decoded pictures (b, c, h, w) or clips (b, t, 3, h, w), (b,) real frames -> (b, width) float32, 0 to 1."""
        x = x.float() / 255
        if x.ndim == 4:
            return x.flatten(1)
        real = torch.arange(x.shape[1], device=x.device) < lengths.clamp(1, x.shape[1])[:, None]
        share = (real / real.sum(dim=1, keepdim=True)).view(*real.shape, 1, 1)
        grey = torch.einsum("btchw,c->bthw", x, torch.tensor(LUMINANCE, device=x.device))
        still = (grey * share).sum(dim=1, keepdim=True)
        moving = ((grey - still).square() * share).sum(dim=1).sqrt()
        picture = still if self.grey else (x * share.unsqueeze(2)).sum(dim=1)
        return torch.cat([picture.flatten(1), moving.flatten(1)], dim=1)

    def open(self, kind: Kind, run: Run) -> Encode:
        """The map of the file `weights`. Raises SordineError where none is named, or it is of other options."""
        if self.weights is None:
            raise SordineError("pixels learns from the folder itself; to use what it learnt before, give weights=FILE")
        if not self.weights.is_file():
            raise SordineError(f"pixels: weights {self.weights} does not exist")
        state = read_state(self.weights)
        if set(state) != {"mean", "projection"} or state["mean"].ndim != 1 or state["projection"].ndim != 2:
            raise SordineError(f"{self.weights} is not what pixels learns: a mean and a projection")
        mean, projection = state["mean"].float(), state["projection"].float()
        if not len(mean) == len(projection) == self.width(kind):
            made = f"{len(mean)} numbers a record, not from {self.width(kind)}"
            raise SordineError(f"{self.weights} was learnt with other options (size, grey) or media: from {made}")
        return Whitened(self, mean, projection, run.device)

    def fit(self, decoded: Decoded, media: Media, run: Run) -> Encode:
        """Learn mean and projection, in blocks of records: memory does not grow with the folder.

        Some four times the covariance's size (8 bytes x width squared; 75 MB for the default pictures) and one block.
        Raises SordineError where there are fewer than two records to learn from, or they are all the same.
        """
        if self.weights is not None:
            return self.open(decoded.kind, run)
        rows = learning(decoded, media)
        if len(rows) < 2:
            raise SordineError(f"{media.root}: pixels learns from two records or more, and there are {len(rows)}")
        mean = np.zeros(self.width(decoded.kind))
        for block, _ in self._blocks(decoded, rows):
            mean += block.sum(axis=0) / len(rows)
        covariance = np.zeros((len(mean), len(mean)))
        for block, done in self._blocks(decoded, rows):
            block -= mean
            covariance += block.T @ block
            run.step("pixels", done, len(rows))
        covariance /= len(rows) - 1
        variance, directions = principal(covariance, min(self.components, len(rows) - 1))
        if not len(variance):
            raise SordineError(f"{media.root}: pixels has nothing to learn, as all records look the same")
        share = variance.sum() / np.trace(covariance)
        run.log(f"pixels: {len(variance)} components hold {share:.1%} of the variance of {len(rows)} records")
        projection = directions / np.sqrt(variance + self.epsilon * variance[0])
        # In rows, as a file would give it back: the order in memory can change the last digits of the product.
        learnt = torch.from_numpy(np.ascontiguousarray(projection, np.float32))
        return Whitened(self, torch.from_numpy(mean.astype(np.float32)), learnt, run.device)

    def _blocks(self, decoded: Decoded, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """The learning records as (b, width) float64, and how many have been given so far."""
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            x, lengths = (torch.from_numpy(np.ascontiguousarray(v[part])) for v in (decoded.x, decoded.lengths))
            yield self.flat(x, lengths).double().numpy(), start + len(part)


def learning(decoded: Decoded, media: Media) -> np.ndarray:
    """Places in `decoded` of the records to learn from: those of the folder's own training side, else all."""
    places = np.arange(len(decoded))
    if "split" not in media.records.column_names:
        return places
    train = np.array([side == "train" for side in media.records["split"].to_pylist()])
    return places[train[decoded.rows]]


def principal(covariance: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues, at most so many and none that is rounding, falling: (k,), and their unit vectors (d, k).

    A vector's largest coordinate is positive, so that its sign does not depend on the solver.
    """
    from scipy.linalg import eigh

    d = len(covariance)
    variance, directions = eigh(covariance, subset_by_index=[max(0, d - most), d - 1])
    variance, directions = variance[::-1], directions[:, ::-1]
    kept = variance > max(RANK * variance[0], np.finfo(np.float64).tiny)
    variance, directions = variance[kept], directions[:, kept]
    largest = np.abs(directions).argmax(axis=0)
    return variance, directions * np.sign(directions[largest, np.arange(directions.shape[1])])


class Whitened(Frozen):
    """`Pixels` with its mean (width,) and projection (width, k): an `Encode` that has something to save."""

    def __init__(self, pixels: Pixels, mean: Tensor, projection: Tensor, device: str) -> None:
        self.mean, self.projection = mean, projection
        width = projection.shape[1]
        # A product with fewer than 16 columns was measured to give a record other last digits in another place of its
        # block; with columns of zeros beside it, it does not.
        wide = functional.pad(projection, (0, -width % COLUMNS)).to(device)
        middle = mean.to(device)

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            return ((pixels.flat(x, lengths) - middle) @ wide)[:, :width]

        super().__init__(embed, width, BATCH, device)

    def weights(self) -> dict[str, Tensor]:
        """What was learnt: `mean` and `projection`."""
        return {"mean": self.mean, "projection": self.projection}
