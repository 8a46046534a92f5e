"""How similar two pictures, or two feature vectors, are."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

from sordine.errors import SordineError

BLOCK = 64  # pictures that `ssim_each` compares at a time; float64 maps of a whole table would not fit in memory


def psnr_each(a: np.ndarray, b: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Return the peak signal-to-noise ratio of each record, in dB: 10 log10(peak^2 / mean square).

    Parameters
    ----------
    a, b
        Records (n, ...) of one shape.
    peak
        Largest possible value: 1 or 255.

    Returns
    -------
    numpy.ndarray
        (n,); infinite where the two records are equal.

    Raises
    ------
    SordineError
        For two shapes, no record, or a peak that is not positive.
    """
    a, b = _pairs(a, b)
    _check_peak(peak)
    square = np.array([np.mean((x.astype(np.float64) - y) ** 2) for x, y in zip(a, b, strict=True)])
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / square)


def psnr(a: np.ndarray, b: np.ndarray, peak: float = 1.0) -> float:
    """Return the mean over records of `psnr_each`, in dB; infinite where any pair is equal (Inversion, tables 1, 2)."""
    return float(np.mean(psnr_each(a, b, peak)))


def ssim_each(
    a: np.ndarray,
    b: np.ndarray,
    peak: float = 1.0,
    *,
    taps: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> np.ndarray:
    """Return the structural similarity of each pair of pictures, (n,) in [-1, 1] (Wang et al. 2004, eq. 13).

    Means, variances and covariance are weighted by a Gaussian window that lies inside the picture; where it does not
    fit, it is the largest odd one that does. The result is the mean over its positions, then over channels.

    Parameters
    ----------
    a, b
        Pictures (n, c, h, w) of one shape.
    peak
        Largest possible value: 1 or 255.
    taps, sigma
        Width of the window, odd, and its standard deviation, in pixels.
    k1, k2
        Constants of the stabilising terms.

    Raises
    ------
    SordineError
        For records that are not pictures of one shape, an even `taps`, or a `sigma` or `peak` that is not positive.
    """
    a, b = _pairs(a, b)
    _check_peak(peak)
    if a.ndim != 4:
        raise SordineError(f"metrics: SSIM needs pictures (n, c, h, w), not {a.shape}")
    if taps < 1 or taps % 2 == 0 or not sigma > 0:
        raise SordineError(
            f"metrics: the window of SSIM needs an odd width and a positive sigma, not {taps} and {sigma}"
        )
    window = _window(min(taps, min(a.shape[2:])), sigma)
    radius = len(window) // 2
    inside = (..., slice(radius, a.shape[2] - radius), slice(radius, a.shape[3] - radius))

    def blur(v: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(v, window, axis=-1), window, axis=-2)[inside]

    c1, c2 = (k1 * peak) ** 2, (k2 * peak) ** 2
    found = []
    for start in range(0, len(a), BLOCK):
        x, y = (v[start : start + BLOCK].astype(np.float64) for v in (a, b))
        mean_x, mean_y = blur(x), blur(y)
        var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
        both = blur(x * y) - mean_x * mean_y
        similarity = (2 * mean_x * mean_y + c1) * (2 * both + c2)
        found.append((similarity / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3)))
    return np.concatenate(found)


def ssim(
    a: np.ndarray,
    b: np.ndarray,
    peak: float = 1.0,
    *,
    taps: int = 11,
    sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
) -> float:
    """Return the mean over pictures of `ssim_each` (Inversion, tables 1 and 2)."""
    return float(np.mean(ssim_each(a, b, peak, taps=taps, sigma=sigma, k1=k1, k2=k2)))


def cosine_each(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between flattened records: (n, ...), (n, ...) -> (n,); 0 for a zero vector."""
    a, b = (v.reshape(len(v), -1).astype(np.float64) for v in _pairs(a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(1), lengths, out=np.zeros(len(a)), where=lengths > 0)


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean over records of `cosine_each`, in [-1, 1].

    Face similarity in Inversion: of the layer-3 features of a verification network for x and x^. Feature similarity in
    Inversion: of M(z) and C(x). Face similarity in Masking: of FaceNet's features of the masked and the original
    picture.
    """
    return float(np.mean(cosine_each(a, b)))


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not a.size:
        raise SordineError(f"metrics: records to compare must have one shape, not {a.shape} and {b.shape}")
    return a, b


def _check_peak(peak: float) -> None:
    if not peak > 0:
        raise SordineError(f"metrics: peak is {peak}; it must be above 0")


def _window(most: int, sigma: float) -> np.ndarray:
    """Return a Gaussian window of the largest odd width up to `most`, with sum 1."""
    radius = (most - 1) // 2
    window = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return np.asarray(window / window.sum())
