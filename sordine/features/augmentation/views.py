"""Two views of raw media (MaSS B.1): what is drawn for each record, and the views as a table's vectors.

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

from sordine.data.files import atomic, cache_folder
from sordine.data.media.cache import Decoded
from sordine.data.media.kinds import Kind
from sordine.errors import SordineError
from sordine.features.augmentation import operations as augment
from sordine.features.base import Encode
from sordine.models.training import Batch
from sordine.run import Run

PAIRS = 4  # of views a record, made beforehand
BLOCK = 256  # records whose views are made at a time
LOOKED_AT, ENCODED = 256, 4  # records that tell one folder, and one extractor, from another


@dataclass(frozen=True)
class ViewOptions:
    """What is drawn for a view. Shares lie in [0, 1]; a share, deviation or jitter of 0 switches an operation off.

    Pictures and clips (the same parameters for all frames of a clip):
    scale: (least, most) share of the picture's area that a view shows, at the picture's own aspect and anywhere in it.
    flip: share of records mirrored left to right. jitter: share of records whose colours are jittered, by factors of
    brightness, contrast and saturation in [1 - s, 1 + s] and a turn of the hue in [-s, s] of the circle, s being the
    field of that name. grey: share turned to grey. blur: share blurred, with a deviation in `sigma` (pixels).
    erase: share of the picture's area, in a square anywhere, that is set to the record's mean. shade: deviation of a
    slope of the log brightness, across and down (`augment.shade`).

    Clips: instant: share of a clip's real frames in a view, at two instants drawn one by one; 1 shows all.

    Sound: crop: share of the real samples cut out of the one view, the rest joined. mask: share set to zero in the
    other. piece: (least, most) share of the real samples that each view keeps, in one piece. speed: (least, most) times
    as fast, any factor on the logarithmic scale alike; a piece is taken before, and what is slower is cut off where
    there is no more room. gain: up to so many decibels louder or softer. noise: white noise so many decibels under
    the record's own level; 0 adds none.
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
                raise SordineError(f"views: {name}={getattr(self, name)} is a share, between 0 and 1")
        for name in ("scale", "piece"):
            least, most = getattr(self, name)
            if not 0 < least <= most <= 1:
                raise SordineError(f"views: {name}={(least, most)} is not two shares, the smaller one first")
        if not 0.1 <= self.speed[0] <= self.speed[1] <= 10:
            raise SordineError(f"views: speed={self.speed} is not two factors from 0.1 to 10, the smaller one first")
        if self.crop == 1 or self.instant == 0:
            raise SordineError("views: a view with crop=1 or instant=0 shows nothing")


# B.1 names the operations; the numbers it gives are the shares .8 and .2 (pictures), .4 and .5 (sound). The strengths
# of the jitter are ours: (.4, .4, .4, .1), the customary ones beside these shares. Its resizing, to 160 x 160 and to
# 112 x 112, is the decoder's, of which every view has the shape.
PUBLISHED: dict[Kind, ViewOptions] = {
    "image": ViewOptions(),
    "audio": ViewOptions(),
    # How many clips are blurred and turned grey B.1 does not say: half and a fifth. Of flips and jitter it says
    # nothing.
    "video": ViewOptions(flip=0.0, jitter=0.0, blur=0.5),
}
# For features that serve any attribute: left stays left, a voice keeps its pitch and speed, a clip its beginning and
# end.
GENTLE: dict[Kind, ViewOptions] = {
    "image": ViewOptions(scale=(0.7, 1), flip=0, brightness=0.6, contrast=0.6, hue=0.05, erase=0.1, shade=1.0),
    "audio": ViewOptions(crop=0, mask=0, piece=(0.5, 0.7), gain=6.0),
    "video": ViewOptions(scale=(0.7, 1), flip=0, hue=0.05, instant=1.0),
}

# What every other set of options is a change of: nothing.
STILL = ViewOptions(flip=0, jitter=0, grey=0, instant=1, crop=0, mask=0)


def one_view(
    kind: Kind, x: Tensor, lengths: Tensor, generator: torch.Generator, options: ViewOptions
) -> tuple[Tensor, Tensor]:
    """Return one augmentation of records x (b, *shape) and lengths (b,), as the first of `two_views`."""
    if kind == "audio":
        return _sound_view(x, lengths, generator, options, "cut")
    return _picture_view(x, lengths, generator, options)


def two_views(
    kind: Kind, x: Tensor, lengths: Tensor, generator: torch.Generator, options: ViewOptions | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two augmentations of decoded records: x (b, *shape), lengths (b,) -> x1, lengths1, x2, lengths2, types kept.

    options: by default those of MaSS B.1 for the kind. Parameters are drawn on the CPU from `generator`, record by
    record, the operations in one order: crop, flip, jitter (brightness, contrast, saturation, hue), shade, grey,
    blur, erasure.
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
        x, lengths = augment.frames_from(x, lengths, (draw(0, 1) * (lengths - size + 1)).long(), size)
    if whole:
        x = x.float() / 255
    if o.scale[0] < 1:
        side = draw(*o.scale).sqrt()
        x = augment.resized_crop(x, torch.stack([draw(0, 1) * (1 - side), draw(0, 1) * (1 - side), side, side], 1))
    if o.flip:
        x = augment.flip(x, which(o.flip))
    if o.jitter:
        x = _jittered(x, o, draw)
    if o.shade:
        x = augment.shade(x, o.shade * torch.randn(n, 2, generator=generator).to(x.device))
    if o.grey:
        x = augment.grey(x, which(o.grey))
    if o.blur:
        x = augment.gaussian_blur(x, torch.where(which(o.blur), draw(*o.sigma), 0.0))
    if o.erase:
        side = torch.full((n,), math.sqrt(o.erase), device=x.device)
        x = augment.erase(x, torch.stack([draw(0, 1) * (1 - side), draw(0, 1) * (1 - side), side, side], 1))
    return ((x * 255).round().clamp(0, 255).to(torch.uint8) if whole else x), lengths


def _jittered(x: Tensor, o: ViewOptions, draw: Callable[[float, float], Tensor]) -> Tensor:
    # Colours of a share of the records, changed in a fixed order.
    mixed = draw(0, 1) < o.jitter
    for change, strength in (
        (augment.brightness, o.brightness),
        (augment.contrast, o.contrast),
        (augment.saturation, o.saturation),
    ):
        if strength:
            x = change(x, torch.where(mixed, draw(max(0, 1 - strength), 1 + strength), 1.0))
    if o.hue:
        x = augment.hue(x, torch.where(mixed, draw(-o.hue, o.hue), 0.0))
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
        x, lengths = augment.piece(x, start(size), size), size
    if o.speed != (1.0, 1.0):
        x, lengths = augment.speed(x, lengths, draw(*(math.log(factor) for factor in o.speed)).exp())
    if damage == "cut" and o.crop:
        size = (o.crop * lengths).round().long()
        x, lengths = augment.cut(x, lengths, start(size), size)
    if damage == "silence" and o.mask:
        size = (o.mask * lengths).round().long()
        x = augment.silence(x, start(size), size)
    if o.gain:
        x = augment.gain(x, draw(-o.gain, o.gain))
    if o.noise:
        x = augment.add_noise(x, lengths, torch.randn(x.shape, generator=generator).to(x.device), o.noise)
    return x, lengths


class RawViews:
    """Two views of a batch of records, each as its vector (b, width) on the batch's device: the `Views` of MaSS B.1.

    decoded, encode: the raw records, and the extractor that the table was made by. rows: (n,) the place in `decoded` of
    each of the table's records; by default they are the same ones. count: how many pairs of views are made of each
    record beforehand and kept in the cache folder, among which every call picks; 0 makes fresh ones in every call, as
    published. options: what is drawn; by default the published set. progress: (what, done, of), of the making
    beforehand.

    The default is 4: fresh views cost 2 x epochs passes of the whole extractor over the records (200 for B.1's 100
    epochs), kept ones 8. `fingerprint` tells two such objects apart: of the records, the extractor, options and count.
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
            raise SordineError(f"views: count={self.count}: 0 for fresh views, or how many pairs are kept")
        self.options = options or PUBLISHED[decoded.kind]
        self.fingerprint = self._fingerprint(seed)
        self.kept: np.ndarray | None = None
        if self.count:
            path = cache_folder() / f"views-{self.fingerprint}.npy"
            if not path.is_file():
                with atomic(path) as temporary:
                    shape = (len(self.rows), self.count, 2, encode.width)
                    made = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
                    self._make(made, seed, run or Run())
                    made.flush()
            self.kept = np.load(path, mmap_mode="r")

    def __call__(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both views of the records at `batch.rows` (places in the table)."""
        at = batch.rows.cpu().numpy()
        if self.kept is None:
            one, other = self._pair(self.rows[at], generator)
        else:
            pick = torch.randint(self.count, (len(at),), generator=generator).numpy()
            one, other = self.kept[at, pick].swapaxes(0, 1)
        device = batch.x.device
        return torch.from_numpy(np.array(one)).to(device), torch.from_numpy(np.array(other)).to(device)

    def _pair(self, rows: np.ndarray, generator: torch.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, lengths = (torch.from_numpy(np.array(v[rows])) for v in (self.decoded.x, self.decoded.lengths))
        x1, lengths1, x2, lengths2 = two_views(self.decoded.kind, x, lengths, generator, self.options)
        return self.encode(x1.numpy(), lengths1.numpy()), self.encode(x2.numpy(), lengths2.numpy())

    def _make(self, made: np.ndarray, seed: int, run: Run) -> None:
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, len(self.rows), BLOCK):
            part = slice(start, start + BLOCK)
            for pair in range(self.count):
                made[part, pair, 0], made[part, pair, 1] = self._pair(self.rows[part], generator)
            run.step("raw views", min(start + BLOCK, len(self.rows)), len(self.rows))

    def _fingerprint(self, seed: int) -> str:
        made = {"count": self.count, "seed": seed, "kind": self.decoded.kind, **asdict(self.options)}
        state = hashlib.blake2b(json.dumps(made, sort_keys=True).encode(), digest_size=16)
        state.update(self.rows.tobytes() + self.decoded.lengths[self.rows].tobytes())
        # Some records, and what the extractor makes of a few of them, stand for all: the weights may be anywhere.
        some = self.rows[:: max(1, len(self.rows) // LOOKED_AT)]
        state.update(np.ascontiguousarray(self.decoded.x[some]).tobytes())
        few = some[:ENCODED]
        state.update(self.encode(np.array(self.decoded.x[few]), self.decoded.lengths[few]).tobytes())
        return state.hexdigest()
