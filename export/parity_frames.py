"""Structured frames that move: what artifacts are compared on.

Zeros and noise hide warp errors, and small motion hides them too. These pairs hold texture on several scales, edges,
and flat areas; the background pans, a disc and a bar move against it, and everything leaves the frame at a border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import Size

PAN = 0.045
"""Background motion as a share of the shorter side; at least ``MIN_PAN`` pixels."""

MIN_PAN = 20.0


def moving_pair(size: Size, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two frames of one moving scene.

    Args:
        size: of the frames, in pixels.
        seed: of the texture and the directions.

    Returns:
        float32 (1, 3, H, W) twice, in [0, 1].
    """
    return moving_frame(size, 0.0, seed=seed), moving_frame(size, 1.0, seed=seed)


def moving_frame(size: Size, time: float, *, seed: int = 0) -> NDArray[np.float32]:
    """The scene of :func:`moving_pair` at a time between its frames: the truth that interpolation should give.

    Returns:
        float32 (1, 3, H, W) in [0, 1].
    """
    rng = np.random.default_rng(seed)
    pan = max(MIN_PAN, PAN * min(size.width, size.height))
    angle = rng.uniform(0.2, 0.6) + rng.integers(4) * np.pi / 2
    shift = pan * np.array([np.cos(angle), np.sin(angle)])
    return _render(size, _waves(rng, pan), time * shift, time)


def _waves(rng: np.random.Generator, pan: float) -> NDArray[np.float64]:
    """Rows of (frequency x, frequency y, phase, amplitude, channel weights): wavelengths from 12 px to 8 pans."""
    count = 24
    wavelength = np.geomspace(12.0, 8.0 * pan, count)
    angle = rng.uniform(0, 2 * np.pi, count)
    frequency = 2 * np.pi / wavelength
    columns = (frequency * np.cos(angle), frequency * np.sin(angle), rng.uniform(0, 2 * np.pi, count))
    amplitude = np.sqrt(wavelength / wavelength.max())
    return np.column_stack((*columns, amplitude, rng.uniform(0.4, 1.0, (count, 3))))


def _render(size: Size, waves: NDArray[np.float64], shift: NDArray[np.float64], time: float) -> NDArray[np.float32]:
    x = np.arange(size.width)[None, :] + shift[0]
    y = np.arange(size.height)[:, None] + shift[1]
    image = np.zeros((3, size.height, size.width))
    for frequency_x, frequency_y, phase, amplitude, *weights in waves:
        # cos(a + b) from one row and one column: no transcendental function for every pixel
        a, b = frequency_x * x, frequency_y * y + phase
        wave = amplitude * (np.cos(a) * np.cos(b) - np.sin(a) * np.sin(b))
        image += np.array(weights)[:, None, None] * wave
    image = 0.5 + 0.32 * image / np.sqrt((waves[:, 3] ** 2).sum() / 2)
    _paste(image, size, time)
    return np.ascontiguousarray(image.clip(0.0, 1.0), dtype=np.float32)[None]


def _paste(image: NDArray[np.float64], size: Size, time: float) -> None:
    """A disc that moves against the background, and a bar that leaves at the right border."""
    short = min(size.width, size.height)
    x, y = np.arange(size.width)[None, :], np.arange(size.height)[:, None]
    radius = 0.14 * short
    centre_x, centre_y = 0.42 * size.width + 0.05 * short * time, 0.55 * size.height - 0.03 * short * time
    disc = np.clip(radius - np.hypot(x - centre_x, y - centre_y), 0.0, 1.0)
    bar_x = size.width - 0.08 * short + 0.06 * short * time
    bar = np.clip(0.03 * short - np.abs(x - bar_x), 0.0, 1.0) * np.ones_like(disc)
    for alpha, colour in ((disc, (0.92, 0.30, 0.12)), (bar, (0.10, 0.55, 0.95))):
        image += alpha * (np.array(colour)[:, None, None] - image)
