"""Sound files: one clip in, mono samples out."""

from __future__ import annotations

from math import gcd
from pathlib import Path

import numpy as np

from sordine.errors import SordineError

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"}
)


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
