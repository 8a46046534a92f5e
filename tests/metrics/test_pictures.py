"""Picture metrics against arithmetic, SSIM against a literal loop over windows."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sordine.errors import SordineError
from sordine.metrics import pictures as pm


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def refused(match: str) -> pytest.RaisesExc[SordineError]:
    return pytest.raises(SordineError, match=rf"\A[^\n]*{match}[^\n]*\Z")  # one line


def test_psnr_by_hand() -> None:
    a = np.zeros((2, 1, 1, 2))
    b = np.array([[[[0.1, 0.1]]], [[[0.0, 0.2]]]])  # mean squares .01 and .02
    np.testing.assert_allclose(pm.psnr_each(a, b), [20, 10 * math.log10(50)])
    assert pm.psnr(a, b) == pytest.approx((20 + 10 * math.log10(50)) / 2)  # not that of the mean square, .015
    bytes_a, bytes_b = np.zeros((1, 1, 1, 2), np.uint8), np.array([[[[255, 0]]]], np.uint8)
    assert pm.psnr(bytes_a, bytes_b, 255) == pytest.approx(10 * math.log10(2))
    assert pm.psnr(bytes_b, bytes_a, 255) == pm.psnr(bytes_a, bytes_b, 255)  # bytes do not wrap round
    assert pm.psnr_each(a, np.array([[[[0.0, 0.0]]], [[[1.0, 1.0]]]])).tolist() == [math.inf, 0]
    with refused("one shape"):
        pm.psnr(a, b[:1])
    with refused("one shape"):
        pm.psnr(a[:0], b[:0])
    with refused("peak"):
        pm.psnr(a, b, 0.0)


def literal_ssim(x: np.ndarray, y: np.ndarray, peak: float, taps: int) -> float:
    """One channel, window by window, as in the definition."""
    half = taps // 2
    window = np.array(
        [[math.exp(-(i * i + j * j) / (2 * 1.5**2)) for j in range(-half, half + 1)] for i in range(-half, half + 1)]
    )
    window /= window.sum()
    found = []
    for top in range(x.shape[0] - taps + 1):
        for left in range(x.shape[1] - taps + 1):
            p, q = (v[top : top + taps, left : left + taps].astype(float) for v in (x, y))
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            both = (window * (p - mean_p) * (q - mean_q)).sum()
            c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
            above = (2 * mean_p * mean_q + c1) * (2 * both + c2)
            found.append(above / ((mean_p**2 + mean_q**2 + c1) * (var_p + var_q + c2)))
    return float(np.mean(found))


@pytest.mark.parametrize(("size", "taps"), [((16, 14), 11), ((11, 20), 11), ((8, 9), 7), ((7, 7), 7), ((2, 3), 1)])
def test_ssim_is_that_of_a_literal_loop(size: tuple[int, int], taps: int, rng: np.random.Generator) -> None:
    a = rng.random((3, 2, *size))
    b = np.clip(a + 0.2 * rng.standard_normal(a.shape), 0, 1)
    expected = [[literal_ssim(a[i, c], b[i, c], 1.0, taps) for c in range(2)] for i in range(3)]
    np.testing.assert_allclose(pm.ssim_each(a, b), np.mean(expected, axis=1), rtol=1e-9)
    assert pm.ssim(a, b) == pytest.approx(np.mean(expected))
    levels = (np.round(255 * v).astype(np.uint8) for v in (a, b))
    one, two = levels
    assert pm.ssim(one[:1], two[:1], 255) == pytest.approx(
        np.mean([literal_ssim(one[0, c], two[0, c], 255.0, taps) for c in range(2)])
    )


def test_ssim_of_known_pictures(rng: np.random.Generator) -> None:
    a = rng.random((70, 1, 12, 12))  # more than one block
    np.testing.assert_allclose(pm.ssim_each(a, a), np.ones(70))
    each = pm.ssim_each(a, a[::-1])
    np.testing.assert_allclose(each, each[::-1])  # symmetric
    np.testing.assert_allclose(each[66:68], pm.ssim_each(a[66:68], a[::-1][66:68]))
    # flat pictures: only the means count
    flat = pm.ssim(np.full((1, 1, 12, 12), 0.2), np.full((1, 1, 12, 12), 0.6))
    assert flat == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.04 + 0.36 + 1e-4))
    assert pm.ssim(a, 1 - a) < 0
    for wrong, match in (({"taps": 4}, "odd width"), ({"sigma": 0.0}, "odd width"), ({"peak": -1.0}, "peak")):
        with refused(match):
            pm.ssim(a, a, **wrong)
    with refused(r"pictures \(n, c, h, w\)"):
        pm.ssim(a[:, 0], a[:, 0])
    with refused("one shape"):
        pm.ssim(a, a[:, :, 1:])


def test_cosine_similarity_is_the_mean_over_flattened_records() -> None:
    a = np.array([[[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 0.0]]])
    b = np.array([[[-2.0, 0.0]], [[3.0, 0.0]], [[1.0, 0.0]]])
    np.testing.assert_allclose(pm.cosine_each(a, b), [-1, math.sqrt(0.5), 0])
    assert pm.cosine_similarity(a, b) == pytest.approx((-1 + math.sqrt(0.5)) / 3)
    assert pm.cosine_similarity(np.array([[200, 200]], np.uint8), np.array([[1, 1]], np.uint8)) == pytest.approx(1)
    with refused("one shape"):
        pm.cosine_similarity(a, b[:, :, :1])
