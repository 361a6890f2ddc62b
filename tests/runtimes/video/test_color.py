"""Conversions against the defining formulas, and the choice of a pixel format."""

from __future__ import annotations

import av
import numpy as np
import pytest

from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.color import STANDARD, Color, Converter
from runtimes.video.errors import VideoError
from tests.runtimes.video.clips import draw

LUMA = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
"""Kr and Kb of ITU-R BT.709, BT.601 and BT.2020."""


def formula(rgb: Array, matrix: int, full: bool) -> Array:
    """(H, W, 3) uint8 RGB -> (3, H, W) Y, Cb, Cr in steps of 8 bits, not rounded."""
    red, blue = LUMA[matrix]
    r, g, b = (rgb[..., i] / 255 for i in range(3))
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))
    return np.stack(
        [255 * y, 255 * cb + 128, 255 * cr + 128] if full else [16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr]
    )


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", LUMA)
def test_matrix_and_range_are_those_of_the_formulas(matrix: int, full: bool) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    converter = Converter(Color(matrix=matrix, full=full))
    frame = converter.from_rgb(rgb, "yuv444p")
    error = frame.to_ndarray() - formula(rgb, matrix, full)
    assert np.abs(error).max() < 1.05
    assert np.abs(error.mean(axis=(1, 2))).max() < 0.06, "no tint"
    assert np.abs(converter.to_rgb(frame).astype(int) - rgb).max() <= 2
    wrong = Converter(Color(matrix=6 if matrix == 1 else 1, full=full)).to_rgb(frame)
    assert np.abs(wrong.astype(int) - rgb).max() > 8, "this test must see another matrix"


@pytest.mark.parametrize(
    ("name", "full"),
    [("yuv420p", False), ("yuv420p", True), ("yuv422p", False), ("yuv444p", True), ("yuv420p10le", False)],
)
def test_there_and_back_is_not_visible(name: str, full: bool) -> None:
    converter = Converter(Color(matrix=1, full=full))
    first = converter.from_rgb(draw(0), name)
    again = converter.from_rgb(converter.to_rgb(first), name)
    dtype, steps = (np.uint16, 4) if "10" in name else (np.uint8, 1)
    for index, (a, b) in enumerate(zip(first.planes, again.planes, strict=True)):
        x, y = (
            np.frombuffer(memoryview(plane), dtype).reshape(plane.height, -1)[:, : plane.width].astype(int)
            for plane in (a, b)
        )
        assert np.abs(x - y).mean() < (0.1 if index == 0 else 1.0) * steps
        assert abs((x - y).mean()) < 0.1 * steps


def frame_of(size: Size, name: str = "yuv420p", **tags: int) -> av.VideoFrame:
    frame = av.VideoFrame(size.width, size.height, name)
    for key, value in tags.items():
        setattr(frame, key, value)
    return frame


def test_conventions_for_what_is_not_said() -> None:
    small, large = Color.of(frame_of(Size(640, 480))), Color.of(frame_of(Size(1280, 720)))
    assert (small.matrix, small.assumed) == (6, "BT.601 and limited range")
    assert (large.matrix, large.assumed) == (1, "BT.709 and limited range")
    assert Color.of(frame_of(Size(64, 64), colorspace=9, color_range=2)) == Color(matrix=9, full=True)
    assert Color.of(frame_of(Size(64, 64), "yuvj420p")).full
    assert Color.of(frame_of(Size(64, 64), "rgb24")) == STANDARD


def test_a_matrix_that_cannot_be_converted_is_refused() -> None:
    with pytest.raises(VideoError, match=r"colour matrix is number 8 of ITU-T H.273; expected one of"):
        Color.of(frame_of(Size(64, 64), colorspace=8))
