"""What the picture papers measure: how like two pictures or their features are, and how an attribute was replaced.

Pure functions of arrays. Labels and classes are int64 with -1 for unlabelled: those records drop out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import correlate1d

from sordine.errors import SordineError
from sordine.metrics.accuracy import accuracy, l2_distance, matthews

BLOCK = 64  # pictures in one piece of `ssim_each`: whole tables of float64 maps would not fit in memory

# --------------------------------------------------------------------------------------------- likeness


def psnr_each(a: np.ndarray, b: np.ndarray, peak: float = 1.0) -> np.ndarray:
    """Peak signal-to-noise ratio of each record, in dB: 10 log10(peak^2 / mean square). (n, ...), (n, ...) -> (n,).

    peak: the largest value that there can be, 1 or 255. Infinite where the two are equal. Raises SordineError on two
    shapes, no record, or a peak that is not positive.
    """
    a, b = _pairs(a, b)
    _check_peak(peak)
    square = np.array([np.mean((one.astype(np.float64) - other) ** 2) for one, other in zip(a, b, strict=True)])
    with np.errstate(divide="ignore"):
        return 10 * np.log10(peak**2 / square)


def psnr(a: np.ndarray, b: np.ndarray, peak: float = 1.0) -> float:
    """Mean over records of `psnr_each`, in dB (Inversion, tables 1 and 2): infinite where any pair is equal."""
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
    """Structural similarity of each picture (Wang et al. 2004, eq. 13): (n, c, h, w), (n, c, h, w) -> (n,) in [-1, 1].

    Weighted means, variances and covariance under a Gaussian window (taps wide, odd; sigma pixels) that lies wholly
    inside the picture; the mean over its places, then over channels. In a picture narrower than the window, the window
    is the largest odd one that fits. peak: the largest value that there can be, 1 or 255. Raises SordineError where
    these are not pictures of one shape, or taps, sigma or peak make no window.
    """
    a, b = _pairs(a, b)
    _check_peak(peak)
    if a.ndim != 4:
        raise SordineError(f"metrics: SSIM compares pictures (n, c, h, w), not {a.shape}")
    if taps < 1 or taps % 2 == 0 or not sigma > 0:
        raise SordineError(f"metrics: SSIM's window has an odd width and a positive sigma, not {taps} and {sigma}")
    side = min(a.shape[2:])
    radius = (min(taps, side if side % 2 else side - 1) - 1) // 2
    window = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    window /= window.sum()
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
        likeness = (2 * mean_x * mean_y + c1) * (2 * both + c2)
        found.append((likeness / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean((1, 2, 3)))
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
    """Mean over pictures of `ssim_each` (Inversion, tables 1 and 2)."""
    return float(np.mean(ssim_each(a, b, peak, taps=taps, sigma=sigma, k1=k1, k2=k2)))


def cosine_each(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of the angle between flattened records, 0 where either is a zero vector. (n, ...), (n, ...) -> (n,)."""
    a, b = (v.reshape(len(v), -1).astype(np.float64) for v in _pairs(a, b))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.divide((a * b).sum(1), lengths, out=np.zeros(len(a)), where=lengths > 0)


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Mean over records of `cosine_each`, in [-1, 1].

    Inversion's face similarity: of a verification network's layer-3 features of x and x^; its feature similarity: of
    M(z) and C(x). Masking's face similarity: of FaceNet's features of the masked and the original picture.
    """
    return float(np.mean(cosine_each(a, b)))


# --------------------------------------------------------------------------------------------- identities in features


def within_between(features: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """(S_w, S_b), the variances within and between classes of Inversion's table 3. (n, ...), (n,).

    S_w: mean over records of the squared distance to their own class's mean. S_b: mean over records of the squared
    distance of their own class's mean to the mean of all, so that a class counts by its size and S_w + S_b is the total
    variance. A class of one record adds nothing to S_w.
    Raises SordineError where nothing is labelled or lengths differ.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    if len(features) != len(labels):
        raise SordineError(f"metrics: columns differ in length: {[len(features), len(labels)]}")
    known = labels >= 0
    if not known.any():
        raise SordineError("metrics: no labelled record to measure on")
    v = features[known].reshape(int(known.sum()), -1).astype(np.float64)
    _, code, count = np.unique(labels[known], return_inverse=True, return_counts=True)
    means = np.zeros((len(count), v.shape[1]))
    np.add.at(means, code, v)
    means /= count[:, None]
    within = np.mean(((v - means[code]) ** 2).sum(1))
    between = count @ ((means - v.mean(0)) ** 2).sum(1) / len(v)
    return float(within), float(between)


def lda_score(features: np.ndarray, labels: np.ndarray) -> float:
    """S_b / S_w of `within_between`: low where identities lie in one another. (n, ...), (n,) -> 0 or more.

    Infinite where S_w is 0, NaN where both are. The FC column of Inversion's table 3 is printed upside down: its 2.58
    and 1.49 are S_w / S_b; as defined they are .39 and .67.
    """
    within, between = within_between(features, labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.float64(between) / within)


def mean_matthews(truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> float:
    """Mean over attributes of `metrics.matthews` (Inversion's mean MCC). Two lists of (n,) -> [-1, 1].

    One entry an attribute. Raises SordineError where the lists are empty or differ in length, or an attribute has no
    labelled record.
    """
    if not len(truths) or len(truths) != len(predictions):
        raise SordineError(
            f"metrics: mean MCC needs both columns of each attribute, not {len(truths)} and {len(predictions)}"
        )
    return float(np.mean([matthews(t, p) for t, p in zip(truths, predictions, strict=True)]))


# --------------------------------------------------------------------------------------------- replacement's own


def privacy_loss(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Replacement, section 4: accuracy of an attacker retrained on censored records. (n,), (n,) -> share.

    Tried on records that it has not seen. High is bad; the majority's share, not 0, is what says nothing.
    """
    return accuracy(truth, prediction)


def utility_score_plane(x: np.ndarray, x_new: np.ndarray, epsilon_max: float = 2.0) -> float:
    """Replacement eq. 6: 1 - mean |x - h(x)| / epsilon_max, for points in the plane. (n, d), (n, d) -> at most 1.

    Unclipped: below 0 where points went further than epsilon_max on average. Raises SordineError on two shapes, no
    record, or an epsilon_max that is not positive.
    """
    if not epsilon_max > 0:
        raise SordineError(f"metrics: epsilon_max must be above 0, not {epsilon_max}")
    return 1 - l2_distance(x, x_new) / epsilon_max


def success(prediction: np.ndarray, s_new: np.ndarray) -> float:
    """Replacement, table 1: share of records in whose x'' the fixed classifier reads s'. (n,), (n,) -> share."""
    return accuracy(s_new, prediction)


def attribute_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Replacement, tables 3 and 4: Pearson's correlation of two attributes' classes, predicted or true. -> [-1, 1].

    a, b: (n,). Classes count as numbers, so that it means something for two-class attributes only. 0 where either is
    constant.
    Records of which either is -1 are left out. Raises SordineError where lengths differ or no record is left.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 1:
        raise SordineError(f"metrics: two columns of one length are correlated, not {a.shape} and {b.shape}")
    known = (a >= 0) & (b >= 0)
    if not known.any():
        raise SordineError("metrics: no record has both attributes")
    a, b = (v[known] - v[known].mean() for v in (a, b))
    spread = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread > 0 else 0.0


def _pairs(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or not a.size:
        raise SordineError(f"metrics: records of one shape are compared, not {a.shape} and {b.shape}")
    return a, b


def _check_peak(peak: float) -> None:
    if not peak > 0:
        raise SordineError(f"metrics: the peak of a picture's values must be above 0, not {peak}")
