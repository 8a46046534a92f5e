"""Two views of raw media (MaSS, appendix B.1), and the views as feature vectors.

Pictures are (b, c, h, w) and clips (b, t, c, h, w), uint8 or float32 in [0, 1]; sound is (b, samples) float32.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from sordine.data.mapped_array import MappedArray
from sordine.data.media.cache import Decoded
from sordine.data.media.kinds import Kind
from sordine.errors import SordineError
from sordine.features.augmentation import operations
from sordine.features.base import Encode
from sordine.models.training import Batch
from sordine.run import Run

PAIRS = 4  # pairs of views that are made of each record beforehand
BLOCK = 256  # records whose views are made at a time
HASHED, ENCODED = 256, 4  # records that stand for the folder, and for the extractor, in a fingerprint


@dataclass(frozen=True)
class ViewOptions:
    """The operations of a view. A share, deviation or jitter of 0 switches an operation off.

    Shares lie in [0, 1]. `scale` to `shade` are for pictures and clips, and the same for all frames of a clip;
    `instant` is for clips; `crop` to `noise` are for sound.

    Parameters
    ----------
    scale
        (least, most) share of the picture's area that a view shows, at the picture's aspect ratio, at any place.
    flip
        Share of records that are mirrored left to right.
    jitter
        Share of records whose colours are changed.
    brightness, contrast, saturation
        Strength s of the jitter: its factors are uniform in [1 - s, 1 + s].
    hue
        Strength s of the jitter: the hue changes by a share of the circle, uniform in [-s, s].
    grey
        Share of records that become grey.
    blur
        Share of records that are blurred.
    sigma
        (least, most) standard deviation of the blur, in pixels.
    erase
        Share of the picture's area that is set to the record's mean: a square at any place.
    shade
        Standard deviation of a slope of the log brightness, across and down (`operations.shade`).
    instant
        Share of a clip's real frames in a view. The two views start independently. 1 shows all frames.
    crop
        Share of the real samples that is cut out of the first view.
    mask
        Share of the real samples that is set to zero in the second view.
    piece
        (least, most) share of the real samples that a view shows, in one part.
    speed
        (least, most) speed, uniform on the logarithmic scale, from 0.1 to 10. The part of `piece` is taken
        before. Sound that becomes longer than the record is cut off.
    gain
        Most decibels by which a view is louder or softer.
    noise
        How many decibels white noise is below the record's level; 0 adds none.

    Raises
    ------
    SordineError
        For a number out of its range, and for a view that would be empty.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    flip: float = 0.5
    jitter: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grey: float = 0.2
    blur: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)
    erase: float = 0.0
    shade: float = 0.0
    instant: float = 0.5
    crop: float = 0.4
    mask: float = 0.5
    piece: tuple[float, float] = (1.0, 1.0)
    speed: tuple[float, float] = (1.0, 1.0)
    gain: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("flip", "jitter", "grey", "blur", "erase", "instant", "crop", "mask"):
            if not 0 <= getattr(self, name) <= 1:
                raise SordineError(f"views: {name}={getattr(self, name)}; it must be a share from 0 to 1")
        for name in ("scale", "piece"):
            least, most = getattr(self, name)
            if not 0 < least <= most <= 1:
                raise SordineError(
                    f"views: {name}={(least, most)}; give two shares above 0 and at most 1, the smaller one first"
                )
        if not 0.1 <= self.speed[0] <= self.speed[1] <= 10:
            raise SordineError(f"views: speed={self.speed}; give two factors from 0.1 to 10, the smaller one first")
        if self.crop == 1 or self.instant == 0:
            raise SordineError("views: a view with crop=1 or instant=0 is empty; use crop below 1 and instant above 0")


# B.1 names the operations and gives the shares .8 and .2 (pictures), .4 and .5 (sound). The strengths of the jitter,
# (.4, .4, .4, .1), are ours; they are common with these shares. The decoder resizes records, to 160 x 160 and 112 x 112
# in B.1.
PUBLISHED: dict[Kind, ViewOptions] = {
    "image": ViewOptions(),
    "audio": ViewOptions(),
    # B.1 blurs clips and makes them grey, but gives no shares: half and a fifth are ours. It has no flip and no jitter.
    "video": ViewOptions(flip=0.0, jitter=0.0, blur=0.5),
}
# For features that serve any attribute: no flip, no change of pitch or speed, and whole clips.
GENTLE: dict[Kind, ViewOptions] = {
    "image": ViewOptions(scale=(0.7, 1), flip=0, brightness=0.6, contrast=0.6, hue=0.05, erase=0.1, shade=1.0),
    "audio": ViewOptions(crop=0, mask=0, piece=(0.5, 0.7), gain=6.0),
    "video": ViewOptions(scale=(0.7, 1), flip=0, hue=0.05, instant=1.0),
}

# No operation at all; other sets of options are changes of this one.
STILL = ViewOptions(flip=0, jitter=0, grey=0, instant=1, crop=0, mask=0)


def one_view(
    kind: Kind, x: Tensor, lengths: Tensor, generator: torch.Generator, options: ViewOptions
) -> tuple[Tensor, Tensor]:
    """Return one augmentation of records, made as the first view of `two_views`.

    Parameters
    ----------
    kind
        Kind of media: "image", "video" or "audio".
    x
        (b, *shape) decoded records.
    lengths
        (b,) real frames or samples.
    generator
        Draws the parameters, on the CPU.
    options
        The operations.

    Returns
    -------
    x : torch.Tensor
        (b, *shape), of the type of x.
    lengths : torch.Tensor
        (b,) real frames or samples.
    """
    if kind == "audio":
        return _sound_view(x, lengths, generator, options, "cut")
    return _picture_view(x, lengths, generator, options)


def two_views(
    kind: Kind, x: Tensor, lengths: Tensor, generator: torch.Generator, options: ViewOptions | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return two augmentations of records (MaSS, appendix B.1).

    Parameters are drawn on the CPU, record by record. Pictures and clips are changed in this order: crop, flip, jitter
    (brightness, contrast, saturation, hue), shade, grey, blur, erase.

    Parameters
    ----------
    kind
        Kind of media: "image", "video" or "audio".
    x
        (b, *shape) decoded records.
    lengths
        (b,) real frames or samples.
    generator
        Draws the parameters, on the CPU.
    options
        The operations; None takes those of MaSS B.1 for the kind.

    Returns
    -------
    tuple
        x1, lengths1, x2, lengths2, of the types of x and lengths.
    """
    options = options or PUBLISHED[kind]
    if kind == "audio":
        return *_sound_view(x, lengths, generator, options, "cut"), *_sound_view(
            x, lengths, generator, options, "silence"
        )
    return *_picture_view(x, lengths, generator, options), *_picture_view(x, lengths, generator, options)


def _picture_view(x: Tensor, lengths: Tensor, generator: torch.Generator, o: ViewOptions) -> tuple[Tensor, Tensor]:
    n, whole = len(x), x.dtype == torch.uint8

    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(n, generator=generator)).to(x.device)

    def which(share: float) -> Tensor:
        return draw(0, 1) < share

    if x.ndim == 5 and o.instant < 1:
        size = (o.instant * lengths).round().long().clamp_min(1)
        x, lengths = operations.frames_from(x, lengths, (draw(0, 1) * (lengths - size + 1)).long(), size)
    if whole:
        x = x.float() / 255
    if o.scale[0] < 1:
        side = draw(*o.scale).sqrt()
        x = operations.resized_crop(x, torch.stack([draw(0, 1) * (1 - side), draw(0, 1) * (1 - side), side, side], 1))
    if o.flip:
        x = operations.flip(x, which(o.flip))
    if o.jitter:
        x = _jittered(x, o, draw)
    if o.shade:
        x = operations.shade(x, o.shade * torch.randn(n, 2, generator=generator).to(x.device))
    if o.grey:
        x = operations.grey(x, which(o.grey))
    if o.blur:
        x = operations.gaussian_blur(x, torch.where(which(o.blur), draw(*o.sigma), 0.0))
    if o.erase:
        side = torch.full((n,), math.sqrt(o.erase), device=x.device)
        x = operations.erase(x, torch.stack([draw(0, 1) * (1 - side), draw(0, 1) * (1 - side), side, side], 1))
    return ((x * 255).round().clamp(0, 255).to(torch.uint8) if whole else x), lengths


def _jittered(x: Tensor, o: ViewOptions, draw: Callable[[float, float], Tensor]) -> Tensor:
    # Change the colours of a share of the records, in a fixed order.
    mixed = draw(0, 1) < o.jitter
    for change, strength in (
        (operations.brightness, o.brightness),
        (operations.contrast, o.contrast),
        (operations.saturation, o.saturation),
    ):
        if strength:
            x = change(x, torch.where(mixed, draw(max(0, 1 - strength), 1 + strength), 1.0))
    if o.hue:
        x = operations.hue(x, torch.where(mixed, draw(-o.hue, o.hue), 0.0))
    return x


def _sound_view(
    x: Tensor, lengths: Tensor, generator: torch.Generator, o: ViewOptions, damage: str
) -> tuple[Tensor, Tensor]:
    def draw(low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(len(x), generator=generator)).to(x.device)

    def start(size: Tensor) -> Tensor:
        return (draw(0, 1) * (lengths - size + 1)).long()

    if o.piece[0] < 1:
        size = (draw(*o.piece) * lengths).round().long().clamp_min(1)
        x, lengths = operations.piece(x, start(size), size), size
    if o.speed != (1.0, 1.0):
        x, lengths = operations.speed(x, lengths, draw(*(math.log(factor) for factor in o.speed)).exp())
    if damage == "cut" and o.crop:
        size = (o.crop * lengths).round().long()
        x, lengths = operations.cut(x, lengths, start(size), size)
    if damage == "silence" and o.mask:
        size = (o.mask * lengths).round().long()
        x = operations.silence(x, start(size), size)
    if o.gain:
        x = operations.gain(x, draw(-o.gain, o.gain))
    if o.noise:
        x = operations.add_noise(x, lengths, torch.randn(x.shape, generator=generator).to(x.device), o.noise)
    return x, lengths


class RawViews:
    """Two views of a batch of records as feature vectors: the `Views` of MaSS B.1.

    New views cost 2 x epochs passes of the extractor over the records (200 for the 100 epochs of B.1). The default of
    four stored pairs costs 8. `fingerprint` depends on records, extractor, options, count and seed.

    Parameters
    ----------
    decoded
        The raw records.
    encode
        The extractor that made the table.
    rows
        (n,) position in `decoded` of each record of the table. None: all records in their order.
    count
        Number of pairs of views that are made of each record beforehand and stored in the cache folder; every call
        chooses among them. 0 makes new views in every call, as published. None is 4.
    options
        The operations; None takes the published ones.
    seed
        Seed of the views made beforehand.
    run
        Its progress is used.

    Raises
    ------
    SordineError
        For a negative count.
    """

    def __init__(
        self,
        decoded: Decoded,
        encode: Encode,
        rows: np.ndarray | None = None,
        *,
        count: int | None = None,
        options: ViewOptions | None = None,
        seed: int = 0,
        run: Run | None = None,
    ) -> None:
        self.decoded, self.encode = decoded, encode
        self.rows = np.arange(len(decoded)) if rows is None else np.asarray(rows, np.int64)
        self.count = PAIRS if count is None else count
        if self.count < 0:
            raise SordineError(
                f"views: count={self.count}; use 0 for new views in every call, or a positive number of stored pairs"
            )
        self.options = options or PUBLISHED[decoded.kind]
        self.fingerprint = self._fingerprint(seed)
        self.stored: np.ndarray | None = None
        if self.count:
            shape = (len(self.rows), self.count, 2, encode.width)
            array = MappedArray.of({"views": self.fingerprint}, shape, np.dtype(np.float32), "views")
            self.stored = array.read()
            if self.stored is None:
                self.stored = array.make(lambda x: self._fill(x, seed, run or Run()))

    def __call__(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return both views of the records at `batch.rows`.

        Parameters
        ----------
        batch
            Its rows are positions in the table.
        generator
            Draws the parameters of new views, or chooses among the stored ones.

        Returns
        -------
        tuple of torch.Tensor
            Two tensors (b, width), on the device of the batch.
        """
        at = batch.rows.cpu().numpy()
        if self.stored is None:
            one, other = self._make_pair(self.rows[at], generator)
        else:
            pick = torch.randint(self.count, (len(at),), generator=generator).numpy()
            one, other = self.stored[at, pick].swapaxes(0, 1)
        device = batch.x.device
        return torch.from_numpy(np.array(one)).to(device), torch.from_numpy(np.array(other)).to(device)

    def _make_pair(self, rows: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, lengths = (torch.from_numpy(np.array(v[rows])) for v in (self.decoded.x, self.decoded.lengths))
        x1, lengths1, x2, lengths2 = two_views(self.decoded.kind, x, lengths, generator, self.options)
        return self.encode(x1.numpy(), lengths1.numpy()), self.encode(x2.numpy(), lengths2.numpy())

    def _fill(self, made: np.ndarray, seed: int, run: Run) -> None:
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, len(self.rows), BLOCK):
            part = slice(start, start + BLOCK)
            for pair in range(self.count):
                made[part, pair, 0], made[part, pair, 1] = self._make_pair(self.rows[part], generator)
            run.step("raw views", min(start + BLOCK, len(self.rows)), len(self.rows))

    def _fingerprint(self, seed: int) -> str:
        made = {"count": self.count, "seed": seed, "kind": self.decoded.kind, **asdict(self.options)}
        state = hashlib.blake2b(json.dumps(made, sort_keys=True).encode(), digest_size=16)
        state.update(self.rows.tobytes() + self.decoded.lengths[self.rows].tobytes())
        # Some records, and the features of a few of them, stand for all: hashing everything would take too long.
        some = self.rows[:: max(1, len(self.rows) // HASHED)]
        state.update(np.ascontiguousarray(self.decoded.x[some]).tobytes())
        few = some[:ENCODED]
        state.update(self.encode(np.array(self.decoded.x[few]), self.decoded.lengths[few]).tobytes())
        return state.hexdigest()
