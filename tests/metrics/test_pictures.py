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
    """One channel, window by window, as the definition reads."""
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
    # flat pictures: only the means speak
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


def test_variances_within_and_between_by_hand() -> None:
    # class 0: (0, 0), (2, 0), (4, 0) around (2, 0); class 1: (6, 4) alone; the mean of the four is (3, 1)
    features = np.array([[0.0, 0.0], [2.0, 0.0], [4.0, 0.0], [6.0, 4.0], [99.0, 99.0]])
    labels = np.array([5, 5, 5, 2, -1])
    within, between = pm.within_between(features, labels)
    assert within == pytest.approx((4 + 0 + 4 + 0) / 4)
    assert between == pytest.approx((3 * (1 + 1) + 1 * (9 + 9)) / 4)
    total = ((features[:4] - [3, 1]) ** 2).sum(1).mean()
    assert within + between == pytest.approx(total)
    assert pm.lda_score(features, labels) == pytest.approx(6 / 2)  # S_b / S_w, not the other way round
    assert pm.lda_score(features.reshape(5, 1, 2, 1), labels) == pytest.approx(6 / 2)
    assert pm.lda_score(features[[0, 3]], labels[[0, 3]]) == math.inf
    assert math.isnan(pm.lda_score(features[:1], labels[:1]))
    assert pm.within_between(features[:3], labels[:3])[1] == 0
    with refused("no labelled"):
        pm.within_between(features, np.full(5, -1))
    with refused("length"):
        pm.within_between(features, labels[:3])


def test_mean_matthews_by_hand() -> None:
    truth, right, half = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # TP 2, TN 1, FP 1, FN 0: (2 * 1 - 0) / sqrt(3 * 2 * 2 * 1)
    assert pm.mean_matthews([truth, truth], [right, half]) == pytest.approx((1 + 2 / math.sqrt(12)) / 2)
    assert pm.mean_matthews([truth], [1 - truth]) == pytest.approx(-1)
    assert pm.mean_matthews([np.array([0, 1, -1])], [np.array([0, 1, 0])]) == pytest.approx(1)
    for truths, predictions in (([], []), ([truth], [right, half])):
        with refused("each attribute"):
            pm.mean_matthews(truths, predictions)


def test_replacements_own_measures() -> None:
    truth, read = np.array([0, 1, 1, -1]), np.array([0, 1, 0, 1])
    assert pm.privacy_loss(truth, read) == pytest.approx(2 / 3)
    assert pm.success(np.array([1, 1, 0, 0]), np.array([1, 0, 0, -1])) == pytest.approx(2 / 3)
    x, x_new = np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])
    assert pm.utility_score_plane(x, x_new) == pytest.approx(1 - 5 / (2 * 2))
    assert pm.utility_score_plane(x, x_new, 10.0) == pytest.approx(1 - 5 / (10 * 2))
    assert pm.utility_score_plane(x, 2 * x_new) == pytest.approx(-1.5)
    assert pm.utility_score_plane(x, x) == 1
    with refused("epsilon_max"):
        pm.utility_score_plane(x, x_new, 0.0)
    with refused("one shape"):
        pm.utility_score_plane(x, x_new[:1])
    with refused("length"):
        pm.success(read, truth[:2])


def test_attribute_correlation_is_pearsons(rng: np.random.Generator) -> None:
    a, b = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    # means 1/2 and 3/4: covariance sum 1/2; sums of squares 1 and 3/4
    assert pm.attribute_correlation(a, b) == pytest.approx(0.5 / math.sqrt(0.75))
    assert pm.attribute_correlation(a, 1 - a) == pytest.approx(-1)
    assert pm.attribute_correlation(a, np.ones(4, int)) == 0
    assert pm.attribute_correlation(np.array([0, 0, 1, 1, -1, 1]), np.array([0, 1, 1, 1, 0, -1])) == pytest.approx(
        0.5 / math.sqrt(0.75)
    )
    one, two = rng.integers(0, 2, (2, 500))
    assert pm.attribute_correlation(one, two) == pytest.approx(np.corrcoef(one, two)[0, 1])
    with refused("one length"):
        pm.attribute_correlation(a, b[:3])
    with refused("no record"):
        pm.attribute_correlation(np.array([-1, 0]), np.array([0, -1]))
