"""Between the frames of applications (HWC RGB integers) and the tensors of the network (NCHW float32)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.contract import Size
from runtimes.errors import FrameError

Array = NDArray[Any]

_ROWS = 64
"""Rows that are converted at once: they stay in the processor's cache, which doubles the speed."""

_PEAKS = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def size_of(frame: Array) -> Size:
    """The size of an (H, W, 3) frame."""
    return Size(frame.shape[1], frame.shape[0])


def check_frames(img0: Array, img1: Array) -> Size:
    """Check a pair as applications give it: (H, W, 3) RGB, uint8 or uint16, of one size and dtype.

    Raises:
        FrameError: anything else.
    """
    for name, img in (("img0", img0), ("img1", img1)):
        if not isinstance(img, np.ndarray) or img.dtype not in _PEAKS:
            got = img.dtype if isinstance(img, np.ndarray) else type(img).__name__
            raise FrameError(
                f"{name} is {got}; expected a uint8 or uint16 array (H, W, 3) in RGB; float frames go to infer()"
            )
        if img.ndim != 3 or img.shape[2] != 3 or 0 in img.shape:
            raise FrameError(f"{name} has shape {img.shape}; expected (H, W, 3), RGB")
    if img0.dtype != img1.dtype or img0.shape != img1.shape:
        raise FrameError(
            f"the frames differ: {img0.shape} {img0.dtype} and {img1.shape} {img1.dtype}; expected two of one kind"
        )
    return size_of(img0)


def check_tensors(img0: Array, img1: Array, t: Array) -> Size:
    """Check a pair as the network takes it: float32 (1, 3, H, W) twice in [0, 1], and float32 (T, 1, 1, 1).

    Raises:
        FrameError: anything else, NaN included.
    """
    for name, x in (("img0", img0), ("img1", img1), ("t", t)):
        if not isinstance(x, np.ndarray) or x.dtype != np.float32:
            got = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__} and no array"
            raise FrameError(f"{name} is {got}; expected a float32 array")
    if img0.ndim != 4 or img0.shape[:2] != (1, 3) or 0 in img0.shape or img0.shape != img1.shape:
        raise FrameError(f"frames have shapes {img0.shape} and {img1.shape}; expected (1, 3, H, W) twice")
    if t.ndim != 4 or t.shape[1:] != (1, 1, 1) or len(t) == 0:
        raise FrameError(f"t has shape {t.shape}; expected (1, 1, 1, 1), or (T, 1, 1, 1) for several")
    for name, x in (("img0", img0), ("img1", img1)):
        low, high = float(x.min()), float(x.max())
        if not (low >= 0.0 and high <= 1.0):  # false for NaN too
            raise FrameError(f"{name} ranges from {low:.9g} to {high:.9g}; expected finite values in [0, 1]")
    return Size(img0.shape[3], img0.shape[2])


def to_tensor(frame: Array, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """(H, W, 3) uint8 or uint16 -> (1, 3, H, W) float32 in [0, 1], into ``out`` where it is given."""
    height, width = frame.shape[:2]
    if out is None:
        out = np.empty((1, 3, height, width), np.float32)
    scale = np.float32(1.0 / _PEAKS[frame.dtype])
    levels = np.empty((min(_ROWS, height), width), frame.dtype)
    for rows in _bands(height):
        for channel in range(3):
            # One channel is gathered as integers first: numpy converts only neighbours in memory fast.
            band = levels[: rows.stop - rows.start]
            np.copyto(band, frame[rows, :, channel])
            np.multiply(band, scale, out=out[0, channel, rows])
    return out


def to_frame(tensor: Array, dtype: np.dtype[Any]) -> Array:
    """(1, 3, H, W) float32 -> (H, W, 3): round(peak * clamp(x)), the same on every backend."""
    height, width = tensor.shape[2:]
    frame = np.empty((height, width, 3), dtype)
    peak = np.float32(_PEAKS[np.dtype(dtype)])
    scaled, levels = np.empty((_ROWS, width), np.float32), np.empty((_ROWS, width), dtype)
    for rows in _bands(height):
        for channel in range(3):
            count = rows.stop - rows.start
            band = np.clip(tensor[0, channel, rows], 0.0, 1.0, out=scaled[:count])
            np.rint(np.multiply(band, peak, out=band), out=band)
            np.copyto(levels[:count], band, casting="unsafe")
            frame[rows, :, channel] = levels[:count]
    return frame


def _bands(height: int) -> Iterator[slice]:
    return (slice(top, min(top + _ROWS, height)) for top in range(0, height, _ROWS))
