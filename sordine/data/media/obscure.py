"""Raw media obscured without learning anything: the baselines of MaSS's tables 5 and 6 (section D of its appendix).

Pictures are (h, w, 3) uint8, sound is (samples,) float32 of full scale 1. `obscure_folder` writes a media folder with the
same file names, which `sordine audit` compares with the original one.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from sordine.data.files import atomic, refuse_existing
from sordine.data.media import face_detection as faces
from sordine.data.media.audio import read_clip
from sordine.data.media.folder import metadata_file
from sordine.data.media.image import read_picture, resize
from sordine.data.media.kinds import FILE_NAME, WORDS, Kind, Media
from sordine.data.media.video import read_whole
from sordine.data.media.write import LOSSY, PICTURES, SOUNDS, VIDEOS, depth, write_picture, write_video, write_wave
from sordine.errors import SordineError, nearest
from sordine.keys import Key

# ---------------------------------------------------------------------------------------------- what is done to one


def gaussian_blur(x: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    """A picture convolved with a Gaussian of deviation `sigma` pixels cut to kernel x kernel (odd), normalised to sum 1.

    Past its border the picture is mirrored. (h, w, c) uint8 -> the same, rounded.
    """
    from scipy.ndimage import correlate1d

    at = np.arange(kernel) - kernel // 2
    weights = np.exp(-0.5 * np.square(at / sigma))
    blurred = x.astype(np.float64)
    for axis in (0, 1):
        blurred = correlate1d(blurred, weights / weights.sum(), axis=axis, mode="mirror")
    return np.rint(blurred).clip(0, 255).astype(np.uint8)


def downsample(x: np.ndarray, ratio: float) -> np.ndarray:
    """A picture made `ratio` times smaller on each side and as large again, by Lanczos both ways: (h, w, 3) uint8 -> the same."""
    height, width = x.shape[:2]
    small = resize(x, max(1, round(height / ratio)), max(1, round(width / ratio)))
    return resize(small, height, width)


def cover(x: np.ndarray, box: np.ndarray, ratio: float) -> np.ndarray:
    """A picture with the middle of a box (x, y, width, height) set to black: `ratio` of the box's area, in its own shape."""
    left, top, width, height = box
    side = math.sqrt(ratio)
    x0, x1 = left + width * (1 - side) / 2, left + width * (1 + side) / 2
    y0, y1 = top + height * (1 - side) / 2, top + height * (1 + side) / 2
    covered = x.copy()
    covered[round(y0) : round(y1), round(x0) : round(x1)] = 0
    return covered


def blur_centre(x: np.ndarray, share: float, kernel: int, sigma: float) -> np.ndarray:
    """A picture whose middle, `share` of its area in its own shape, is blurred as by `gaussian_blur`: (h, w, c) uint8 -> the same.

    The rest stays as it is; what is around the middle is blurred into it.
    """
    height, width = x.shape[:2]
    outside = cover(np.ones((height, width, 1), np.uint8), np.array([0, 0, width, height], np.float64), share)
    return np.where(outside, x, gaussian_blur(x, kernel, sigma))


def white_noise(x: np.ndarray, draws: np.ndarray, level: float) -> np.ndarray:
    """A waveform plus `level` times standard normal draws, both (samples,)."""
    return (x + level * draws).astype(np.float32)


def mask(x: np.ndarray, start: float, coverage: float) -> np.ndarray:
    """A waveform of which one piece, `coverage` of all samples, is zero; start in [0, 1]: from the earliest place to the last."""
    size = round(coverage * len(x))
    first = round(start * (len(x) - size))
    masked = x.copy()
    masked[first : first + size] = 0
    return masked


# ------------------------------------------------------------------------------------------------------ the baselines


# So many uniform numbers in (0, 1), always the same ones: each tool asks once.
Draw = Callable[[int], np.ndarray]


class Obscure(Protocol):
    """A frozen dataclass whose fields are its options. `picture` (h, w, 3) uint8 or `wave` (samples,) float32 -> the same."""

    kinds: ClassVar[tuple[Kind, ...]]

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray: ...


SEEN: tuple[Kind, ...] = ("image", "video")


@dataclass(frozen=True)
class Blur:
    """Gaussian blur; kernel: pixels on a side, odd; sigma: pixels."""

    kernel: int = 11
    sigma: float = 10.0

    kinds: ClassVar[tuple[Kind, ...]] = SEEN

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0 or not 0 < self.sigma < math.inf:
            raise SordineError(f"blur: kernel={self.kernel} must be odd and sigma={self.sigma} above 0")

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `gaussian_blur`."""
        return gaussian_blur(x, self.kernel, self.sigma)


@dataclass(frozen=True)
class Downsample:
    """Down and up again; ratio: how many times smaller on each side, above 1."""

    ratio: float = 4.0

    kinds: ClassVar[tuple[Kind, ...]] = SEEN

    def __post_init__(self) -> None:
        if not 1 < self.ratio < math.inf:
            raise SordineError(f"downsample: ratio={self.ratio} must be above 1")

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `downsample`."""
        return downsample(x, self.ratio)


@dataclass(frozen=True)
class CoverFace:
    """The detected face covered; ratio: share of its box's area, in (0, 1]. detector: cascade or mtcnn.

    whole: where no face is found the picture as a whole counts as the face's box (else it is left as it is).
    """

    ratio: float = 1.0
    detector: faces.Detector = "cascade"
    whole: bool = True

    kinds: ClassVar[tuple[Kind, ...]] = SEEN

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise SordineError(f"cover_face: ratio={self.ratio} must be above 0 and at most 1")

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `cover`."""
        boxes = faces.detect(x, self.detector)
        if not len(boxes):
            if not self.whole:
                return x
            boxes = np.array([[0, 0, x.shape[1], x.shape[0]]], np.float64)
        return cover(x, boxes[0], self.ratio)


@dataclass(frozen=True)
class Block:
    """The middle of the picture set to black, wherever the face is; share: of the picture's area, in its own shape, in (0, 1].

    The masking paper's baseline (its pictures are aligned); it gives no size.
    """

    share: float = 0.25

    kinds: ClassVar[tuple[Kind, ...]] = SEEN

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise SordineError(f"block: share={self.share} must be above 0 and at most 1")

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `cover`."""
        return cover(x, np.array([0, 0, x.shape[1], x.shape[0]], np.float64), self.share)


@dataclass(frozen=True)
class BlurCentre:
    """The middle of the picture blurred; share: of its area, in (0, 1]. kernel, sigma: as in blur.

    The masking paper's baseline; it gives neither size nor sigma.
    """

    share: float = 0.36
    kernel: int = 11
    sigma: float = 10.0

    kinds: ClassVar[tuple[Kind, ...]] = SEEN

    def __post_init__(self) -> None:
        Block(self.share), Blur(self.kernel, self.sigma)  # which refuse what does not fit

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `blur_centre`."""
        return blur_centre(x, self.share, self.kernel, self.sigma)


@dataclass(frozen=True)
class WhiteNoise:
    """White noise; level: its standard deviation, full scale being 1.

    The default, 0, is what nlpaug's NoiseAug adds by default (version 1.1): standard normal half-spectra through an inverse
    Fourier transform, whose deviation is 1 / sqrt(n) of n samples, in the middle 60 % of the clip. Its earlier releases
    (2019) added .01 everywhere: level=0.01. A level other than 0 goes everywhere.
    """

    level: float = 0.0

    kinds: ClassVar[tuple[Kind, ...]] = ("audio",)

    def __post_init__(self) -> None:
        if not 0 <= self.level < math.inf:
            raise SordineError(f"white_noise: level={self.level} must not be negative")

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `white_noise`."""
        from scipy.special import ndtri

        draws = ndtri(draw(len(x)))
        if self.level:
            return white_noise(x, draws, self.level)
        first, last = round(0.2 * len(x)), round(0.8 * len(x))
        draws[:first] = draws[last:] = 0
        return white_noise(x, draws, 1 / math.sqrt(max(last - first, 1)))


@dataclass(frozen=True)
class Mask:
    """One piece of the waveform set to zero; coverage: its share of the clip, in (0, 1]."""

    coverage: float = 0.5

    kinds: ClassVar[tuple[Kind, ...]] = ("audio",)

    def __post_init__(self) -> None:
        if not 0 < self.coverage <= 1:
            raise SordineError(f"mask: coverage={self.coverage} must be above 0 and at most 1")

    def apply(self, x: np.ndarray, draw: Draw) -> np.ndarray:
        """See `mask`."""
        return mask(x, float(draw(1)[0]), self.coverage)


# Suffixes of the formats that can be written again, by kind.
WRITTEN: dict[Kind, frozenset[str]] = {
    "image": frozenset(PICTURES),
    "audio": frozenset({*SOUNDS, *LOSSY}),
    "video": frozenset(VIDEOS),
}
HOW: dict[str, type[Any]] = {
    "blur": Blur,
    "downsample": Downsample,
    "cover_face": CoverFace,
    "block": Block,
    "blur_centre": BlurCentre,
    "white_noise": WhiteNoise,
    "mask": Mask,
}


def make(how: str, options: Mapping[str, Any] | None = None) -> Obscure:
    """The baseline of this name; options may be text. Raises SordineError naming the nearest known name or option."""
    from pydantic import TypeAdapter, ValidationError

    if how not in HOW:
        raise SordineError(f"nothing is called {how!r}; {nearest(how, HOW)}")
    known = [f.name for f in fields(HOW[how])]
    for option in options or {}:
        if option not in known:
            raise SordineError(f"{how} has no option {option!r}; {nearest(option, known)}")
    try:
        made: Obscure = TypeAdapter(HOW[how]).validate_python(dict(options or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SordineError(f"{how}: option {where}={first.get('input')!r}: {first['msg'].lower()}") from None
    return made


# ------------------------------------------------------------------------------------------------------ a whole folder


@dataclass(frozen=True)
class Obscured:
    """What `obscure_folder` did: files written, bad ones left out (name, reason)."""

    files: int
    skipped: tuple[tuple[str, str], ...]


def obscure_folder(
    media: Media,
    output: str | Path,
    how: str,
    options: Mapping[str, Any] | None = None,
    *,
    key: Key,
    workers: int = 2,
    skip_bad: bool = False,
    force: bool = False,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> Obscured:
    """Write a media folder with the same file names and the same metadata (as metadata.csv), every file obscured.

    Formats stay what they are by their suffix: JPEG is written at quality 100, video as H.264, sound as one
    channel of 16 bits, 24 where the original is finer. What is drawn for a file depends on the key, the options and its
    name alone. Raises SordineError for what does not suit the folder's kind, for the first bad file
    unless `skip_bad`, and where a format cannot be written; nothing is then left behind.
    """
    tool, output = make(how, options), Path(output)
    refuse_existing(output, force)
    check(media, output, how, tool)
    names = list(dict.fromkeys(media.files))
    bad: dict[str, str] = {}
    with atomic(output, force=force) as folder:
        folder.mkdir()

        def one(name: str) -> None:
            # The options too: the same noise at two levels would give the original away.
            purpose = f"obscure {how} {json.dumps(asdict(tool), sort_keys=True)}"  # type: ignore[call-overload]
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _one(media.root / name, target, media.kind, tool, lambda count: key.uniform(purpose, [name], count)[0])
            except SordineError as error:
                bad[name] = str(error)

        with ThreadPoolExecutor(max(1, workers)) as pool:
            for done, _ in enumerate(pool.map(one, names), 1):
                if progress:
                    progress(done, len(names))
        if bad and (not skip_bad or len(bad) == len(names)):
            first = next(n for n in names if n in bad)
            what = "bad file" if len(bad) == 1 else "bad files"
            advice = "" if skip_bad else "; --skip-bad leaves bad files out"
            raise SordineError(f"{bad[first]} ({len(bad)} {what} of {len(names)}){advice}")
        _write_metadata(folder / "metadata.csv", media, bad)
    if bad:
        log(f"left out {len(bad)} bad files of {len(names)}: {', '.join(n for n in names if n in bad)}")
    return Obscured(len(names) - len(bad), tuple((n, bad[n]) for n in names if n in bad))


def check(media: Media, output: Path, how: str, tool: Obscure) -> None:
    """Raise SordineError where a baseline does not suit a folder, a file could not be written again, records are frames, or
    the originals, or something else than media, would be lost."""
    if media.kind not in tool.kinds:
        suited = ", ".join(n for n, made in HOW.items() if media.kind in made.kinds)
        raise SordineError(f"{how} is not for {WORDS[media.kind]}, which {media.root} holds; for those: {suited}")
    here, there = media.root.resolve(), output.resolve()
    if here == there or there in here.parents or here in there.parents:
        raise SordineError(f"{output} and the originals in {media.root} lie within each other: name another place")
    if output.is_dir() and any(output.iterdir()) and metadata_file(output) is None:
        raise SordineError(f"{output} holds something else than media: it is not replaced, not even with --force")
    if any(frame is not None for frame in media.frames):
        raise SordineError(f"{media.root}: its records are frames of videos; only whole files are obscured")
    for name in media.files:
        if Path(name).suffix.lower() not in WRITTEN[media.kind]:
            raise SordineError(
                f"{media.root / name} could be read but not written again: no {Path(name).suffix} is written"
            )


def _one(source: Path, target: Path, kind: Kind, tool: Obscure, draw: Draw) -> None:
    if kind == "image":
        write_picture(np.moveaxis(tool.apply(read_picture(source), draw), -1, 0), target)
    elif kind == "audio":
        wave, rate = read_clip(source)
        write_wave(tool.apply(wave, draw), rate, target, depth(source))
    else:
        frames, frame_rate = read_whole(source)
        obscured = np.stack([tool.apply(frame, draw) for frame in frames])
        write_video(np.moveaxis(obscured, -1, 1), frame_rate, target)


def _write_metadata(path: Path, media: Media, bad: Mapping[str, str]) -> None:
    kept = [c for c in media.records.column_names if c != FILE_NAME]
    columns = [media.records[c].to_pylist() for c in kept]
    seen = set(bad)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([FILE_NAME, *kept])
        for row, name in enumerate(media.files):
            if name not in seen:
                seen.add(name)
                writer.writerow([name, *("" if c[row] is None else c[row] for c in columns)])
