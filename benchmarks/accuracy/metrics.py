"""What accuracy reports beside PSNR and SSIM, which are those of :mod:`runtimes.compare`.

The distance that needs the weights of another network is in :mod:`benchmarks.accuracy.perceptual`.
"""

from __future__ import annotations

import numpy as np

from runtimes.compare import psnr, ssim
from runtimes.errors import FrameError
from runtimes.frames import Array

__all__ = ["flicker", "interpolation_error", "psnr", "ssim"]


def interpolation_error(output: Array, truth: Array) -> float:
    """IE as on Middlebury: mean |round(255 a) - round(255 b)| of frames in [0, 1], in levels of 8 bits.

    Raises:
        FrameError: the shapes differ.
    """
    _check(output, truth)
    levels = (np.rint(255.0 * np.clip(frame.astype(np.float64), 0.0, 1.0)) for frame in (output, truth))
    return float(np.abs(np.subtract(*levels)).mean())


def flicker(before: Array, output: Array, truth_before: Array, truth: Array) -> float:
    """How differently two consecutive interpolated frames change from the true ones, in levels of 8 bits.

    Mean |(output - before) - (truth - truth_before)| * 255. An error that stays where it is does not flicker; one that
    comes and goes from frame to frame does.

    Raises:
        FrameError: the shapes differ.
    """
    _check(output, before)
    _check(output, truth)
    _check(output, truth_before)
    change = output.astype(np.float64) - before
    return 255.0 * float(np.abs(change - (truth.astype(np.float64) - truth_before)).mean())


def _check(a: Array, b: Array) -> None:
    if a.shape != b.shape:
        raise FrameError(f"frames have shapes {a.shape} and {b.shape}; expected two of one size")
