"""Sound files: one clip in, mono samples out."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from sordine.errors import SordineError

if TYPE_CHECKING:  # which needs this module's suffixes
    from sordine.data.media.kinds import Kind

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"}
)


RATES = (1000, 768_000)  # samples a second; a filter between two rates grows with both


def read_clip(path: str | Path) -> tuple[np.ndarray, int]:
    """One clip: (waveform (n,) float32, full scale 1, channels averaged; samples per second).

    Raises SordineError naming the file where it cannot be decoded, has no samples, or holds NaN or infinity.
    """
    import soundfile

    if not Path(path).is_file():
        raise SordineError(f"{path} does not exist")
    with open(path, "rb") as file:
        head = file.read(8)
    # The decoder takes a cut-off WAV for a shorter one; its own header says how long it was meant to be.
    if head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > Path(path).stat().st_size + 1:
        raise SordineError(f"{path} cannot be read as sound: it is cut off")
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, OSError, ValueError, TypeError, MemoryError) as error:
        # The library's own message repeats the path: what follows it is the reason.
        reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition(": ")[2]
        raise SordineError(f"{path} cannot be read as sound: {reason.rstrip('.')}") from None
    if not len(wave):
        raise SordineError(f"{path} has no samples")
    if not RATES[0] <= rate <= RATES[1]:
        raise SordineError(f"{path} says that it has {rate} samples a second, which no recording has")
    mono = wave.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono).all():
        raise SordineError(f"{path} holds samples that are not finite numbers")
    return mono, int(rate)


def resample(wave: np.ndarray, rate: int, target: int) -> np.ndarray:
    """The waveform (n,) at `rate` brought to `target` samples per second: (ceil(n * target / rate),) float32."""
    if rate == target:
        return np.asarray(wave, dtype=np.float32)
    from scipy.signal import resample_poly

    common = gcd(rate, target)
    return np.asarray(resample_poly(wave, target // common, rate // common), dtype=np.float32)


@dataclass(frozen=True)
class Waves:
    """Sound as (samples,) float32, full scale 1, `rate` samples per second; cut, or filled with zeros, at the end."""

    rate: int
    samples: int

    kinds: ClassVar[tuple[Kind, ...]] = ("audio",)
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.rate < 1 or self.samples < 1:
            raise SordineError(f"{self.samples} samples at a rate of {self.rate}: both are 1 or more")

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples,)."""
        return (self.samples,)

    @property
    def dtype(self) -> np.dtype:
        """float32."""
        return np.dtype(np.float32)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        """One clip -> (x of `shape`, how many of its samples are real). Raises SordineError as `read_clip` does."""
        if frame is not None:
            raise SordineError(f"{path} is sound: it has no frame {frame}")
        wave, rate = read_clip(path)
        # What lies behind the cut reaches back by the filter's half length: 10 samples of the lower of the two rates.
        needed = ceil(self.samples * rate / self.rate) + ceil(10 * max(1, rate / self.rate)) + 1
        wave = resample(wave[:needed], rate, self.rate)[: self.samples]
        x = np.zeros(self.samples, np.float32)
        x[: len(wave)] = wave
        return x, len(wave)
