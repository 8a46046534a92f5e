"""Decode sound files into mono samples."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sordine.errors import SordineError, pass_on

if TYPE_CHECKING:  # that module imports this one
    from sordine.data.media.kinds import Kind

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"}
)


LONGEST = 1 << 27  # samples of a clip: 50 minutes at 44,100 a second, half a gigabyte
BLOCK = 1 << 22  # samples of all channels that are decoded at a time
RATES = (1000, 768_000)  # samples per second that are accepted; resampling needs memory for both rates


def read_clip(path: str | Path) -> tuple[np.ndarray, int]:
    """Return the samples of one clip and their rate.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    waveform, rate
        (n,) float32, full scale 1, channels averaged; samples per second.

    Raises
    ------
    SordineError
        Where the file cannot be decoded, has no samples, or contains NaN or infinity.
    """
    import soundfile

    if not Path(path).is_file():
        raise SordineError(f"{path} does not exist")
    with open(path, "rb") as file:
        head = file.read(8)
    # The decoder accepts a truncated WAV as a shorter one; the header has the intended length.
    if head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > Path(path).stat().st_size + 1:
        raise SordineError(f"{path} cannot be decoded as sound: it is truncated")
    try:
        mono, rate = _mono(path)
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError, TypeError) as error:
        pass_on(error)
        # The message of the library repeats the path; the reason follows it.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition(": ")[2]
        raise SordineError(f"{path} cannot be decoded as sound: {reason.rstrip('.')}") from None
    if not len(mono):
        raise SordineError(f"{path} has no samples")
    if not RATES[0] <= rate <= RATES[1]:
        raise SordineError(f"{path} has a rate of {rate} samples per second; it must be from {RATES[0]} to {RATES[1]}")
    if not np.isfinite(mono).all():
        raise SordineError(f"{path} contains samples that are NaN or infinite")
    return mono, int(rate)


def _mono(path: str | Path) -> tuple[np.ndarray, int]:
    """The mean of the channels, (n,) float32, and the rate. Small files can hold hours of silence, hence the limit."""
    import soundfile

    parts, total = [], 0
    with soundfile.SoundFile(path) as file:
        if file.frames > LONGEST and file.seekable():  # otherwise the header need not say how long it is
            total = file.frames
        while total <= LONGEST and len(block := file.read(BLOCK // file.channels or 1, "float32", always_2d=True)):
            parts.append(block.mean(axis=1, dtype=np.float32))
            total += len(block)
        rate = file.samplerate
    if total > LONGEST:
        raise SordineError(f"{path} has more than {LONGEST:,} samples; cut it into shorter clips")
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), rate


def resample(wave: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Return a waveform (n,) resampled from `rate` to `target`: (ceil(n * target / rate),) float32."""
    if rate == target:
        return np.asarray(wave, dtype=np.float32)
    from scipy.signal import resample_poly

    common = gcd(rate, target)
    return np.asarray(resample_poly(wave, target // common, rate // common), dtype=np.float32)


@dataclass(frozen=True)
class Waves:
    """Decoder of sound into (samples,) float32, full scale 1, cut or padded with zeros at the end.

    Parameters
    ----------
    rate
        Samples per second.
    samples
        Length of a record.
    """

    rate: int
    samples: int

    kinds: ClassVar[tuple[Kind, ...]] = ("audio",)
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.rate < 1 or self.samples < 1:
            raise SordineError(f"{self.samples} samples at a rate of {self.rate}; both must be at least 1")

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples,)."""
        return (self.samples,)

    @property
    def dtype(self) -> np.dtype:
        """float32."""
        return np.dtype(np.float32)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        """Return x of `shape` and how many samples are not padding. Raises SordineError as `read_clip` does."""
        if frame is not None:
            raise SordineError(f"{path} is a sound file and has no frame {frame}; remove column 'frame'")
        wave, rate = read_clip(path)
        # Samples after the cut matter up to half the length of the filter: 10 samples of the lower of the two rates.
        needed = ceil(self.samples * rate / self.rate) + ceil(10 * max(1, rate / self.rate)) + 1
        wave = resample(wave[:needed], rate, self.rate)[: self.samples]
        x = np.zeros(self.samples, np.float32)
        x[: len(wave)] = wave
        return x, len(wave)
