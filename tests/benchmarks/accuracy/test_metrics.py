from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.accuracy.metrics import flicker, interpolation_error, psnr, ssim
from export.parity_frames import moving_frame
from runtimes.contract import Size
from runtimes.errors import FrameError

Frame = NDArray[np.float32]


@pytest.fixture
def pair() -> tuple[Frame, Frame]:
    """A structured frame and a disturbed one, 26x22."""
    rng = np.random.default_rng(0)
    truth = moving_frame(Size(26, 22), 0.5)
    return np.clip(truth + rng.normal(0, 0.05, truth.shape), 0, 1).astype(np.float32), truth


def direct_ssim(output: Frame, truth: Frame) -> float:
    """SSIM term by term from its definition in float64: one 11x11x11 window around every sample of (C, H, W)."""
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.einsum("i,j,k->ijk", line, line, line)
    window /= window.sum()
    x, y = (np.pad(frame[0].astype(np.float64), 5, mode="edge") for frame in (output, truth))
    total, count = 0.0, 0
    for c, i, j in np.ndindex(output.shape[1:]):
        a, b = (volume[c : c + 11, i : i + 11, j : j + 11] for volume in (x, y))
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        variance_a, variance_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        covariance = (window * (a - mean_a) * (b - mean_b)).sum()
        total += ((2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)) / (
            (mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4)
        )
        count += 1
    return total / count


def test_psnr_against_scikit_image(pair: tuple[Frame, Frame]) -> None:
    output, truth = pair
    expected = peak_signal_noise_ratio(truth.astype(np.float64), output.astype(np.float64), data_range=1.0)  # type: ignore[no-untyped-call]
    assert psnr(output, truth) == pytest.approx(expected, abs=1e-9)


def test_ssim_against_its_definition(pair: tuple[Frame, Frame]) -> None:
    output, truth = pair
    assert ssim(output, truth) == pytest.approx(direct_ssim(output, truth), abs=1e-10)
    assert ssim(output, truth) < 0.99, "the test needs frames that differ"


@pytest.mark.parametrize("error", [0.1, 0.01, 1 / 255, 0.25])
def test_a_known_error_returns_its_psnr(error: float) -> None:
    truth = np.full((1, 3, 8, 8), 0.5, np.float64)
    assert psnr(truth + error, truth) == pytest.approx(-20.0 * math.log10(error), abs=1e-9)


def test_an_error_pasted_into_a_quarter_costs_six_decibels_less() -> None:
    truth = np.full((1, 3, 8, 8), 0.5, np.float64)
    output = truth.copy()
    output[..., :4, :4] += 0.1
    assert psnr(output, truth) == pytest.approx(20.0 + 10.0 * math.log10(4.0), abs=1e-9)


def test_ssim_of_flat_frames_has_a_closed_form() -> None:
    a, b = np.full((1, 3, 16, 16), 0.4), np.full((1, 3, 16, 16), 0.6)
    assert ssim(a, b) == pytest.approx((2 * 0.24 + 1e-4) / (0.16 + 0.36 + 1e-4), abs=1e-12)


@pytest.mark.parametrize("levels", [1, 7, 100])
def test_a_known_error_returns_its_ie(levels: int) -> None:
    truth = np.full((1, 3, 8, 8), 100 / 255)
    assert interpolation_error(truth + levels / 255, truth) == levels
    half = truth.copy()
    half[..., :4] += levels / 255
    assert interpolation_error(half, truth) == levels / 2


def test_ie_rounds_before_it_subtracts() -> None:
    truth = np.full((1, 3, 4, 4), 100.4 / 255)
    assert interpolation_error(np.full_like(truth, 100.45 / 255), truth) == 0.0
    assert interpolation_error(np.full_like(truth, 100.6 / 255), truth) == 1.0


def test_an_error_that_stays_does_not_flicker() -> None:
    rng = np.random.default_rng(0)
    truths = rng.random((2, 1, 3, 8, 8))
    wrong = truths + 0.2
    assert flicker(wrong[0], wrong[1], truths[0], truths[1]) == pytest.approx(0.0, abs=1e-9)


def test_an_error_that_comes_and_goes_flickers() -> None:
    truths = np.zeros((2, 1, 3, 8, 8))
    assert flicker(truths[0], truths[1] + 10 / 255, truths[0], truths[1]) == pytest.approx(10.0)


def test_equal_frames() -> None:
    frame = moving_frame(Size(20, 20), 0.0)
    assert psnr(frame, frame) == math.inf
    assert ssim(frame, frame) == pytest.approx(1.0)
    assert interpolation_error(frame, frame) == 0.0


def test_frames_of_two_sizes_are_refused() -> None:
    a, b = np.zeros((1, 3, 8, 8)), np.zeros((1, 3, 8, 9))
    with pytest.raises(FrameError, match="expected two of one size"):
        interpolation_error(a, b)
    with pytest.raises(FrameError, match="expected two of one size"):
        flicker(a, a, a, b)
