"""Parts of a frame at the size of an artifact."""

from __future__ import annotations

import numpy as np

from ifrnet.footage.video import Frame
from runtimes.contract import Size

COLUMNS, ROWS = 6, 4
"""Windows of a frame, at most: see :class:`export.int8.gate.QualityGate`. At 1280x720 there is one."""


def windows(frame: Frame, size: Size) -> list[Frame]:
    """As many of ``size`` as fit, up to :data:`COLUMNS` times :data:`ROWS`, evenly spread and apart.

    The frame, (H, W, 3), is enlarged first where it is smaller.
    """
    frame = _enlarged(frame, size)
    columns, rows = min(COLUMNS, frame.shape[1] // size.width), min(ROWS, frame.shape[0] // size.height)
    return [_part(frame, size, (x, columns), (y, rows)) for y in range(rows) for x in range(columns)]


def resized_middle(frame: Frame, size: Size) -> Frame:
    """``size`` from the middle of a frame, (H, W, 3), which is enlarged first where it is smaller."""
    return _part(_enlarged(frame, size), size, (0, 1), (0, 1))


def _enlarged(frame: Frame, size: Size) -> Frame:
    from PIL import Image

    height, width = frame.shape[:2]
    ratio = max(size.width / width, size.height / height)
    if ratio <= 1.0:
        return frame
    larger = (max(size.width, round(width * ratio)), max(size.height, round(height * ratio)))
    return np.asarray(Image.fromarray(frame).resize(larger, Image.Resampling.BICUBIC))


def _part(frame: Frame, size: Size, column: tuple[int, int], row: tuple[int, int]) -> Frame:
    """``size`` from the middle of a cell of a grid; ``column`` and ``row`` are its number and how many there are."""
    (x, columns), (y, rows) = column, row
    height, width = frame.shape[:2]
    top, left = ((2 * y + 1) * height // rows - size.height) // 2, ((2 * x + 1) * width // columns - size.width) // 2
    return np.ascontiguousarray(frame[top : top + size.height, left : left + size.width])
