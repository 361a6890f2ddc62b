"""The error report against other people's implementations, and that no limit lets a broken output pass."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtimes.compare import compare, psnr, ssim
from runtimes.errors import FrameError

RNG = np.random.default_rng(0)
REFERENCE = RNG.random((1, 3, 24, 31)).astype(np.float32)
OUTPUT = (REFERENCE + 0.05 * RNG.standard_normal(REFERENCE.shape)).clip(0, 1).astype(np.float32)


def direct_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of (3, H, W) from its definition: a full 11x11x11 window at every position."""
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / 4.5)
    window = line[:, None, None] * line[None, :, None] * line[None, None, :]
    window /= window.sum()
    x, y = (np.pad(v.astype(np.float64), 5, mode="edge") for v in (x, y))
    values = []
    for index in np.ndindex(*(side - 10 for side in x.shape)):
        part = tuple(slice(i, i + 11) for i in index)
        a, b = x[part], y[part]
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        cov = (window * (a - mean_a) * (b - mean_b)).sum()
        c1, c2 = 0.01**2, 0.03**2
        values.append(
            (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        )
    return float(np.mean(values))


def test_psnr_is_that_of_scikit_image() -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    expected = metrics.peak_signal_noise_ratio(REFERENCE.astype(np.float64), OUTPUT.astype(np.float64), data_range=1.0)
    assert psnr(OUTPUT, REFERENCE) == pytest.approx(expected, abs=1e-9)


def test_psnr_of_a_known_error() -> None:
    assert psnr(np.full((1, 3, 4, 4), 0.6), np.full((1, 3, 4, 4), 0.5)) == pytest.approx(20.0)


def test_ssim_is_its_definition() -> None:
    assert ssim(OUTPUT, REFERENCE) == pytest.approx(direct_ssim(OUTPUT[0], REFERENCE[0]), abs=1e-12)


def test_equal_outputs() -> None:
    found = compare(REFERENCE, REFERENCE.copy())
    assert (found.max_error, found.mean_error, found.psnr) == (0.0, 0.0, math.inf)
    assert found.ssim == pytest.approx(1.0, abs=1e-9)


def test_one_wrong_pixel_is_found() -> None:
    output = REFERENCE.copy()
    output[0, 2, 7, 19] += 0.25
    found = compare(output, REFERENCE)
    assert found.max_error == pytest.approx(0.25, abs=1e-6)
    assert found.worst == (19, 7, 2)
    assert found.mean_error == pytest.approx(0.25 / REFERENCE.size, rel=1e-4)
    assert found.psnr < 60
    assert found.ssim < 0.9999


def test_a_shift_of_one_pixel_is_far_off() -> None:
    found = compare(np.roll(REFERENCE, 1, axis=3), REFERENCE)
    assert found.psnr < 15
    assert found.ssim < 0.5


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_passes_no_limit(value: float) -> None:
    output = REFERENCE.copy()
    output[0, 1, 5, 9] = value
    found = compare(output, REFERENCE)
    assert found.max_error == found.mean_error == math.inf
    assert found.psnr == -math.inf
    assert found.ssim == -1.0
    assert found.worst == (9, 5, 1)


def test_a_reference_that_is_not_finite_compares_with_nothing() -> None:
    broken = REFERENCE.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(FrameError, match="reference holds NaN"):
        compare(REFERENCE, broken)


@pytest.mark.parametrize("shape", [(1, 3, 24, 30), (3, 24, 31), (1, 1, 24, 31), (2, 3, 24, 31)])
def test_shapes_have_to_agree(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match="expected"):
        compare(np.zeros(shape, np.float32), REFERENCE)


def test_an_output_of_another_shape_does_not_broadcast() -> None:
    with pytest.raises(FrameError):
        compare(np.zeros((1, 3, 1, 1), np.float32), REFERENCE)
