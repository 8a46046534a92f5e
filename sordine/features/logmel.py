"""Log-mel energies of a clip on a fixed grid, with their mean and deviation: one vector for a clip of any length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from sordine.data.media.audio import resample
from sordine.features.base import SoundExtractor

WINDOW_S, HOP_S, LOWEST_HZ = 0.025, 0.010, 60.0
FLOOR = 1e-8  # above the rounding noise of 16-bit samples, so that packing and resampling leave no mark


@dataclass(frozen=True)
class LogMel(SoundExtractor):
    """bands x slices + 2 x bands numbers: 560 by default (40 x 12 log energies, 40 means, 40 standard deviations).

    Parameters
    ----------
    rate
        Samples per second to which every clip is resampled, 1,000 to 192,000.
    bands
        Mel bands from 60 Hz to rate / 2; 2 to 256.
    slices
        Equal parts of the clip, each the mean of its frames (25 ms windows every 10 ms); 1 to 1,000.
    trim
        Frames at either end are cut off where they are more than so many decibels below the loudest frame, up to 200;
        0 cuts nothing.
    """

    rate: Annotated[int, Field(ge=1000, le=192000)] = 8000
    bands: Annotated[int, Field(ge=2, le=256)] = 40
    slices: Annotated[int, Field(ge=1, le=1000)] = 12
    trim: Annotated[float, Field(ge=0, le=200)] = 30.0

    version: ClassVar[int] = 1

    def names(self) -> tuple[str, ...]:
        """Return the names: slice by slice the bands from low to high, then the bands' means, then their deviations."""
        grid = [f"slice{t:02d}.band{b:02d}" for t in range(self.slices) for b in range(self.bands)]
        stats = [f"{what}.band{b:02d}" for what in ("mean", "std") for b in range(self.bands)]
        return tuple(grid + stats)

    def clip(self, wave: np.ndarray, rate: int) -> np.ndarray:
        """Return the vector (width,) float32 of a waveform (n,) at `rate` samples per second; finite for silence."""
        # The level and the bands' means are part of the vector: removing the level changed no probe beyond its noise,
        # and removing the means lost speaker accuracy.
        frames = self._frames(resample(wave, rate, self.rate))
        grid = pooling(len(frames), self.slices) @ frames
        return np.concatenate([grid.ravel(), frames.mean(axis=0), frames.std(axis=0)]).astype(np.float32)

    def _frames(self, wave: np.ndarray) -> np.ndarray:
        """Return log mel energies (frames, bands) float64, natural logarithm."""
        size, hop = round(WINDOW_S * self.rate), round(HOP_S * self.rate)
        # Zero-padded to twice the window or more, so that the lowest mel bands are not empty.
        length = 1 << (2 * size - 1).bit_length()
        wave = np.pad(wave.astype(np.float64), (0, max(0, size - len(wave))))
        windows = np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]
        loudness = np.square(windows).mean(axis=1)
        if self.trim:
            loud = np.flatnonzero(loudness >= loudness.max() * 10 ** (-self.trim / 10))
            windows = windows[loud[0] : loud[-1] + 1]
        power = np.square(np.abs(np.fft.rfft(windows * np.hanning(size), length))) / size
        mel = power @ mel_filters(self.rate, length, self.bands)
        return np.log(mel + FLOOR)


@lru_cache(maxsize=8)
def mel_filters(rate: int, length: int, bands: int) -> np.ndarray:
    """Return triangular filters, equally wide in mel (2595 log10(1 + f / 700)), of sum 1: (length / 2 + 1, bands)."""
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (min(LOWEST_HZ, rate / 8), rate / 2))
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    hz = np.linspace(0, rate / 2, length // 2 + 1)[:, None]
    filters = np.maximum(0, np.minimum((hz - left) / (middle - left), (right - hz) / (right - middle)))
    # A filter that falls between two bins takes the nearest bin.
    empty = filters.sum(axis=0) == 0
    filters[np.abs(hz - middle).argmin(axis=0)[empty], np.flatnonzero(empty)] = 1
    return filters / filters.sum(axis=0)


@lru_cache(maxsize=1024)
def pooling(frames: int, slices: int) -> np.ndarray:
    """Return weights (slices, frames) of means over equal parts; a frame across a border counts in part on each side.

    With fewer frames than slices, a slice inside one frame is that frame.
    """
    borders = np.linspace(0, frames, slices + 1)
    at = np.arange(frames)
    overlap = np.minimum(borders[1:, None], at + 1) - np.maximum(borders[:-1, None], at)
    weights = np.maximum(overlap, 0)
    return weights / weights.sum(axis=1, keepdims=True)
