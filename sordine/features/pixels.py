"""Small pictures, whitened by their principal components: an extractor that is fitted on the folder itself."""

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
from sordine.features.augmentation.operations import LUMA
from sordine.features.base import Encode, NetworkExtractor, SourceKind
from sordine.metrics.percent import percent
from sordine.models.pretrained import Frozen, read_state
from sordine.run import Run

WIDEST = 4096  # numbers of a record before the projection; their covariance takes 8 bytes times the square
BATCH, COLUMNS = 256, 64
RANK = 1e-9  # share of the largest variance below which a component is rounding


@dataclass(frozen=True)
class Pixels(NetworkExtractor):
    """At most `components` numbers a record: the principal components of its small picture.

    The whole picture is resized to `size` x `size`, which may change its aspect ratio; values are from 0 to 1. A video
    gives the mean of 16 small frames (every other one from its start) and, per pixel, the standard deviation of their
    luminance over time. Each component is divided by sqrt(its variance + epsilon * the largest variance), then the
    vector by its norm. Mean and projection are fitted on the records whose column `split` is "train", or on all.

    Parameters
    ----------
    size
        Pixels a side: at most 32 in colour, 45 in grey.
    grey
        One channel instead of three.
    components
        At most so many, and at most the records of the fit less one.
    epsilon
        0 whitens fully; larger values leave small components smaller. At most 1.
    weights
        A file of an earlier fit (`mean`, `projection`) to use instead.

    Raises
    ------
    SordineError
        Where `size` is out of range.
    """

    size: int = 32
    grey: bool = False
    components: Annotated[int, Field(ge=1, le=WIDEST)] = 256
    epsilon: Annotated[float, Field(ge=0, le=1)] = 1e-3
    weights: Path | None = None

    accepts: ClassVar[tuple[SourceKind, ...]] = ("image", "video")
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
        """Channels of a picture: 1 or 3."""
        return 1 if self.grey else 3

    def decoder(self, kind: Kind) -> Decoder:
        """Return a decoder to small pictures, or to clips of 16 small frames in colour."""
        if kind == "image":
            return Pictures(self.size, self.size, self.grey)
        if kind == "video":
            return Clips(self.size, self.size)
        raise SordineError(f"pixels takes pictures and videos, not {kind}")

    def width(self, kind: Kind) -> int:
        """Return the numbers of a record before the projection."""
        return self.size**2 * (self.channels + (kind == "video"))

    def flat(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return (b, width) float32, 0 to 1, for pictures (b, c, h, w) or clips (b, t, 3, h, w) of (b,) real frames."""
        x = x.float() / 255
        if x.ndim == 4:
            return x.flatten(1)
        real = torch.arange(x.shape[1], device=x.device) < lengths.clamp(1, x.shape[1])[:, None]
        share = (real / real.sum(dim=1, keepdim=True)).view(*real.shape, 1, 1)
        grey = torch.einsum("btchw,c->bthw", x, torch.tensor(LUMA, device=x.device))
        still = (grey * share).sum(dim=1, keepdim=True)
        moving = ((grey - still).square() * share).sum(dim=1).sqrt()
        picture = still if self.grey else (x * share.unsqueeze(2)).sum(dim=1)
        return torch.cat([picture.flatten(1), moving.flatten(1)], dim=1)

    def open(self, kind: Kind, run: Run) -> Encode:
        """Load the file `weights`. Raises SordineError where none is given, or it was fitted with other options."""
        if self.weights is None:
            raise SordineError("pixels is fitted on the folder itself; to use an earlier fit, give weights=FILE")
        if not self.weights.is_file():
            raise SordineError(f"pixels: weights {self.weights} does not exist")
        state = read_state(self.weights)
        if set(state) != {"mean", "projection"} or state["mean"].ndim != 1 or state["projection"].ndim != 2:
            raise SordineError(f"{self.weights} is not a fit of pixels: it must contain `mean` and `projection` only")
        mean, projection = state["mean"].float(), state["projection"].float()
        if not len(mean) == len(projection) == self.width(kind):
            raise SordineError(
                f"{self.weights} was fitted with other options (size, grey) or media: on {len(mean)} numbers a record, "
                f"not {self.width(kind)}"
            )
        return Whitened(self, mean, projection, run.device)

    def fit(self, decoded: Decoded, media: Media, run: Run) -> Encode:
        """Fit mean and projection, in blocks of records: memory does not grow with the folder.

        It takes about four times the size of the covariance (8 bytes x width squared; 75 MB for the default) and a
        block. Raises SordineError where there are fewer than two records in the fit, or they are all the same.
        """
        if self.weights is not None:
            return self.open(decoded.kind, run)
        rows = learning(decoded, media)
        if len(rows) < 2:
            raise SordineError(f"{media.root}: pixels needs at least two records in the fit; there are {len(rows)}")
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
            raise SordineError(f"{media.root}: pixels cannot be fitted, as all records look the same")
        share = variance.sum() / np.trace(covariance)
        run.log(f"pixels: {len(variance)} components contain {percent(share)} of the variance of {len(rows)} records")
        projection = directions / np.sqrt(variance + self.epsilon * variance[0])
        # In rows, as from a file: the order in memory can change the last digits of the product.
        fitted = torch.from_numpy(np.ascontiguousarray(projection, np.float32))
        return Whitened(self, torch.from_numpy(mean.astype(np.float32)), fitted, run.device)

    def _blocks(self, decoded: Decoded, rows: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Return the records of the fit as (b, width) float64, and how many came so far."""
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            x, lengths = (torch.from_numpy(np.ascontiguousarray(v[part])) for v in (decoded.x, decoded.lengths))
            yield self.flat(x, lengths).double().numpy(), start + len(part)


def learning(decoded: Decoded, media: Media) -> np.ndarray:
    """Return the places in `decoded` of the records of the fit: those whose `split` is "train", or all."""
    places = np.arange(len(decoded))
    if "split" not in media.records.column_names:
        return places
    train = np.array([side == "train" for side in media.records["split"].to_pylist()])
    return places[train[decoded.rows]]


def principal(covariance: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues (k,), decreasing, and unit vectors (d, k): at most `most`, none that is rounding.

    A vector's largest coordinate is positive, so that its sign does not depend on the solver.
    """
    from scipy.linalg import eigh

    d = len(covariance)
    variance, directions = eigh(covariance, subset_by_index=[max(0, d - most), d - 1])
    variance, directions = variance[::-1], directions[:, ::-1]
    large = variance > max(RANK * variance[0], np.finfo(np.float64).tiny)
    variance, directions = variance[large], directions[:, large]
    largest = np.abs(directions).argmax(axis=0)
    return variance, directions * np.sign(directions[largest, np.arange(directions.shape[1])])


class Whitened(Frozen):
    """An `Encode` of `Pixels`: its mean (width,) and projection (width, k)."""

    def __init__(self, pixels: Pixels, mean: Tensor, projection: Tensor, device: str) -> None:
        self.mean, self.projection = mean, projection
        width = projection.shape[1]
        # In a product with fewer than 16 columns, the last digits of a record depend on its place in the block; with
        # additional columns of zeros, they do not.
        wide = functional.pad(projection, (0, -width % COLUMNS)).to(device)
        middle = mean.to(device)

        def embed(x: Tensor, lengths: Tensor) -> Tensor:
            return ((pixels.flat(x, lengths) - middle) @ wide)[:, :width]

        super().__init__(embed, width, BATCH, device)

    def weights(self) -> dict[str, Tensor]:
        """Return `mean` and `projection`."""
        return {"mean": self.mean, "projection": self.projection}
