"""Functions that obscure one picture (h, w, c) uint8 or one waveform (samples,) float32."""

from __future__ import annotations

import math

import numpy as np

from sordine.data.media.image import resize


def gaussian_blur(x: np.ndarray, kernel: int, sigma: float) -> np.ndarray:
    """Return a picture convolved with a Gaussian; it is mirrored beyond its border.

    Parameters
    ----------
    x
        (h, w, c) uint8.
    kernel
        Width and height of the kernel in pixels, odd; the Gaussian is cut to it and normalised to sum 1.
    sigma
        Standard deviation in pixels.
    """
    from scipy.ndimage import correlate1d

    at = np.arange(kernel) - kernel // 2
    weights = np.exp(-0.5 * np.square(at / sigma))
    blurred = x.astype(np.float64)
    for axis in (0, 1):
        blurred = correlate1d(blurred, weights / weights.sum(), axis=axis, mode="mirror")
    return np.rint(blurred).clip(0, 255).astype(np.uint8)


def downsample(x: np.ndarray, ratio: float) -> np.ndarray:
    """Return a picture (h, w, 3) reduced `ratio` times on each side and enlarged again, by Lanczos both ways."""
    height, width = x.shape[:2]
    small = resize(x, max(1, round(height / ratio)), max(1, round(width / ratio)))
    return resize(small, height, width)


def cover(x: np.ndarray, box: np.ndarray, ratio: float) -> np.ndarray:
    """Return a picture with the middle of a box set to black.

    Parameters
    ----------
    x
        (h, w, c) uint8.
    box
        Left, top, width and height in pixels.
    ratio
        Share of the box's area that is covered, in the shape of the box, in (0, 1].
    """
    left, top, width, height = box
    side = math.sqrt(ratio)
    x0, x1 = left + width * (1 - side) / 2, left + width * (1 + side) / 2
    y0, y1 = top + height * (1 - side) / 2, top + height * (1 + side) / 2
    covered = x.copy()
    covered[round(y0) : round(y1), round(x0) : round(x1)] = 0
    return covered


def blur_centre(x: np.ndarray, share: float, kernel: int, sigma: float) -> np.ndarray:
    """Return a picture whose middle, `share` of its area in its own shape, is blurred as by `gaussian_blur`."""
    height, width = x.shape[:2]
    outside = cover(np.ones((height, width, 1), np.uint8), np.array([0, 0, width, height], np.float64), share)
    return np.where(outside, x, gaussian_blur(x, kernel, sigma))


def white_noise(x: np.ndarray, draws: np.ndarray, level: float) -> np.ndarray:
    """Return a waveform plus `level` times standard normal draws, both (samples,)."""
    return (x + level * draws).astype(np.float32)


def mask(x: np.ndarray, start: float, coverage: float) -> np.ndarray:
    """Return a waveform with one part set to zero.

    Parameters
    ----------
    x
        (samples,).
    start
        Where the part begins, in [0, 1]: from the first possible position to the last.
    coverage
        Share of the samples that is set to zero.
    """
    size = round(coverage * len(x))
    first = round(start * (len(x) - size))
    masked = x.copy()
    masked[first : first + size] = 0
    return masked
