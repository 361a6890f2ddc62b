"""How far an output is from the reference: maximum, mean, PSNR, SSIM, and where the worst pixel is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import FrameError
from runtimes.frames import Array

_RADIUS, _SIGMA = 5, 1.5

_TILE = (32, 128)
"""Rows and columns that are worked on at once: what fits into the processor's cache."""
_C1, _C2 = 0.01**2, 0.03**2


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Errors of one output on the scale [0, 1].

    Attributes:
        max_error: largest absolute difference.
        mean_error: mean absolute difference.
        psnr: peak signal-to-noise ratio in dB; infinite for equal outputs.
        ssim: structural similarity, 1 for equal outputs.
        worst: (x, y, channel) of the largest difference.
    """

    max_error: float
    mean_error: float
    psnr: float
    ssim: float
    worst: tuple[int, int, int]


def compare(output: Array, reference: Array) -> Comparison:
    """Compare two (1, 3, H, W) float outputs in [0, 1].

    An output that is not finite has infinite errors, a PSNR of minus infinity and an SSIM of -1, so that no limit
    lets it pass.

    Raises:
        FrameError: the shapes differ, or the reference is not finite.
    """
    if output.shape != reference.shape or output.ndim != 4 or output.shape[:2] != (1, 3):
        raise FrameError(f"outputs have shapes {output.shape} and {reference.shape}; expected (1, 3, H, W) twice")
    if not np.isfinite(reference).all():
        raise FrameError("the reference holds NaN or infinity; nothing can be compared with it")
    difference = np.abs(output.astype(np.float64) - reference)
    bad = ~np.isfinite(difference)
    if bad.any():
        return Comparison(
            max_error=math.inf, mean_error=math.inf, psnr=-math.inf, ssim=-1.0, worst=_position(bad.astype(np.float64))
        )
    return Comparison(
        max_error=float(difference.max()),
        mean_error=float(difference.mean()),
        psnr=psnr(output, reference),
        ssim=ssim(output, reference),
        worst=_position(difference),
    )


def psnr(output: Array, reference: Array) -> float:
    """-10 log10(mean squared error) of arrays in [0, 1], in dB; infinite when they are equal."""
    error = float(np.mean(np.square(output.astype(np.float64) - reference)))
    return math.inf if error == 0.0 else -10.0 * math.log10(error)


def ssim(output: Array, reference: Array) -> float:
    """SSIM with a 3-D Gaussian window over (channel, height, width), as IFRNet's evaluation computes it.

    Window 11, sigma 1.5, replicate padding of 5 on every side, C1 = 0.01^2, C2 = 0.03^2, arrays (1, 3, H, W) in [0, 1].
    """
    x, y = (_padded(volume[0].astype(np.float64)) for volume in (output, reference))  # (3, H + 10, W + 10)
    height, width = output.shape[2:]
    total = 0.0
    for top in range(0, height, _TILE[0]):
        for left in range(0, width, _TILE[1]):
            rows = slice(top, min(top + _TILE[0], height) + 2 * _RADIUS)
            columns = slice(left, min(left + _TILE[1], width) + 2 * _RADIUS)
            total += _ssim_sum(x[:, rows, columns], y[:, rows, columns])
    return total / output.size


def _ssim_sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Sum of the SSIM map of a tile; (3, h + 10, w + 10) twice, with what surrounds it."""
    mean_x, mean_y, square_x, square_y, product = _blur(np.stack((x, y, x * x, y * y, x * y)))  # (3, h, w) each
    variance_x, variance_y = square_x - mean_x**2, square_y - mean_y**2
    covariance = product - mean_x * mean_y
    luminance = (2.0 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2.0 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float(np.sum(luminance * structure))


def _padded(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, H, W) -> (3, H + 10, W + 10), edges repeated."""
    return np.pad(volume, ((0, 0), (_RADIUS, _RADIUS), (_RADIUS, _RADIUS)), mode="edge")


def _blur(volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Separable Gaussian, (N, 3, h + 10, w + 10) -> (N, 3, h, w); the channels' edges are repeated."""
    window = np.exp(-(np.arange(-_RADIUS, _RADIUS + 1) ** 2) / (2.0 * _SIGMA**2))
    window /= window.sum()
    count, channels, height, width = volumes.shape
    along = np.zeros((count, channels, height, width - 2 * _RADIUS))
    for i, weight in enumerate(window):
        along += weight * volumes[..., i : i + along.shape[3]]
    down = np.zeros((count, channels, height - 2 * _RADIUS, along.shape[3]))
    for i, weight in enumerate(window):
        down += weight * along[:, :, i : i + down.shape[2]]
    mixture = np.zeros((channels, channels))
    for channel in range(channels):
        for i, weight in enumerate(window):
            mixture[channel, min(max(channel + i - _RADIUS, 0), channels - 1)] += weight
    across: NDArray[np.float64] = np.einsum("dc,nchw->ndhw", mixture, down, optimize=True)
    return across


def _position(difference: NDArray[np.float64]) -> tuple[int, int, int]:
    _, channel, y, x = (int(i) for i in np.unravel_index(int(difference.argmax()), difference.shape))
    return x, y, channel
