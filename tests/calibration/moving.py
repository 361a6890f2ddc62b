"""Small footage that moves: a texture that pans."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = list[NDArray[np.uint8]]


def panning(count: int, size: tuple[int, int] = (96, 128), step: int = 5, seed: int = 0) -> Frames:
    """(H, W, 3) uint8 frames of blurred noise that pans ``step`` pixels a frame to the left."""
    import cv2

    height, width = size
    noise = np.random.default_rng(seed).random((height, width + step * count, 3))
    texture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4.0))
    texture = (255.0 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)
    return [np.ascontiguousarray(texture[:, i * step : i * step + width]) for i in range(count)]
