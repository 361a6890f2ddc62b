"""Scene cuts and duplicate frames, from small pictures of neighbouring frames.

The cut score is that of PySceneDetect's ContentDetector (mean absolute difference of OpenCV's 8-bit hue, saturation
and value, averaged) and the threshold is its default, so that the two agree; see tests/runtimes/video/test_scenes.py.
Its minimum scene length is left out: frames on both sides of a flash must not be blended either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import Size
from runtimes.frames import Array

CUT_THRESHOLD = 27.0
THUMBNAIL_WIDTH = 256

DUPLICATE_LIMIT = 2.0
"""Largest mean difference of any block of 8x8 thumbnail pixels between duplicates, in steps of 8 bits."""

_BLOCK = 8


def thumbnail_size(size: Size) -> tuple[int, int]:
    """Width and height of the picture to judge a frame by; never larger than the frame."""
    width = min(THUMBNAIL_WIDTH, size.width)
    return width, max(1, round(size.height * width / size.width))


@dataclass(frozen=True)
class Thumbnail:
    """What is kept of a frame to compare it with the next: ``rgb`` uint8 and ``hsv`` int16, both (h, w, 3)."""

    rgb: Array
    hsv: NDArray[np.int16]

    @classmethod
    def of(cls, rgb: Array) -> Thumbnail:
        """From a small (h, w, 3) uint8 RGB picture."""
        return cls(rgb, _hsv(rgb))


def cut_score(a: Thumbnail, b: Thumbnail) -> float:
    """0 for equal pictures; 27 and more is a cut by default."""
    return float(np.abs(a.hsv - b.hsv).mean())


def is_duplicate(a: Thumbnail, b: Thumbnail) -> bool:
    """Whether ``b`` repeats ``a``: no block differs by more than compression noise."""
    difference = np.abs(a.rgb.astype(np.int16) - b.rgb).mean(axis=2)  # (h, w)
    rows, columns = (max(1, side // _BLOCK) for side in difference.shape)
    blocks = [part.mean() for row in np.array_split(difference, rows) for part in np.array_split(row, columns, axis=1)]
    return bool(max(blocks) <= DUPLICATE_LIMIT)


def _hsv(rgb: Array) -> NDArray[np.int16]:
    """OpenCV's 8-bit HSV: hue 0..179, saturation and value 0..255."""
    x = rgb.astype(np.float32)
    r, g, b = x[..., 0], x[..., 1], x[..., 2]
    value, low = x.max(axis=2), x.min(axis=2)
    spread = value - low
    divisor = np.where(spread == 0, 1, spread)
    hue = np.where(value == r, (g - b) / divisor, np.where(value == g, 2 + (b - r) / divisor, 4 + (r - g) / divisor))
    hue = np.rint(hue * 30) % 180
    saturation = np.rint(255 * spread / np.where(value == 0, 1, value))
    return np.stack([hue, saturation, value], axis=2).astype(np.int16)  # (h, w, 3)
