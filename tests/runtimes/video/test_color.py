"""Conversions against the defining formulas, and the choice of a pixel format."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest

from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.color import STANDARD, Color, Converter, bit_depth
from runtimes.video.errors import VideoError
from tests.runtimes.video.clips import BT709, draw

SMALL = Size(64, 64)

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
    gray, told = Color.of(frame_of(Size(64, 64), "gray10le")), Color.of(frame_of(Size(64, 64), "gray", color_range=1))
    assert (gray.full, gray.assumed, told.full) == (True, "BT.601 and full range", False)
    assert Color.of(frame_of(Size(64, 64), "rgb24")) == STANDARD
    assert Color.of(frame_of(Size(64, 64), "gbrp", color_primaries=1, color_trc=13)) == replace(STANDARD, transfer=13)


def test_a_later_frame_that_says_nothing_is_as_the_first() -> None:
    size = SMALL
    first = Color.of(frame_of(size, colorspace=9, color_range=2, color_primaries=9, color_trc=16))
    for silent in (frame_of(size, colorspace=2, color_range=0), frame_of(size, "gbrp"), frame_of(size, colorspace=10)):
        later = first.later(silent)
        assert first.is_converted_like(later)
        assert first.shifts(later) == []
    assert first.later(frame_of(size, colorspace=2, color_range=1)) == replace(first, full=False)
    assert first.later(frame_of(size, colorspace=1, color_range=0)) == replace(first, matrix=1)
    assert first.shifts(first.later(frame_of(size, color_primaries=1, color_trc=1))) == ["primaries", "transfer"]


def test_shifts_after_nothing_was_said_are_those_to_hdr() -> None:
    first = Color.of(frame_of(SMALL))
    assert first.shifts(first.later(frame_of(SMALL, color_primaries=6, color_trc=6))) == []
    assert first.shifts(first.later(frame_of(SMALL, color_primaries=9, color_trc=18))) == ["primaries", "transfer"]
    assert BT709.shifts(BT709.later(frame_of(SMALL, color_trc=14))) == [], "the same function by another number"


def luma_of(frame: av.VideoFrame) -> Array:
    plane, deep = frame.planes[0], bit_depth(frame.format) > 8
    samples = np.frombuffer(memoryview(plane), np.uint16 if deep else np.uint8)
    return samples.reshape(plane.height, -1)[:, : plane.width].astype(int)


@pytest.mark.parametrize(
    ("gray", "yuv"), [("gray", "yuv420p"), ("gray10le", "yuv420p10le"), ("gray12le", "yuv444p12le")]
)
@pytest.mark.parametrize("full", [False, True])
def test_gray_keeps_its_numbers_in_yuv(gray: str, yuv: str, full: bool) -> None:
    """Those of original frames, and of frames that come by way of RGB; in gray again too."""
    converter, frame = Converter(Color(matrix=1, full=full)), frame_of(Size(64, 64), gray)
    depth = bit_depth(frame.format)
    ramp = np.tile(np.linspace(16, 235, frame.planes[0].line_size // (1 + (depth > 8))), (64, 1))
    dtype = np.uint16 if depth > 8 else np.uint8
    frame.planes[0].update((ramp * (1 << depth - 8)).astype(dtype).tobytes())
    between = converter.to_rgb(frame)
    for found in (converter.reformat(frame, yuv), converter.from_rgb(between, yuv), converter.from_rgb(between, gray)):
        assert np.abs(luma_of(found) - luma_of(frame)).max() <= (1 << depth - 8)


@pytest.mark.parametrize("full", [False, True])
def test_gray_of_a_video_in_colour_is_its_luma(full: bool) -> None:
    converter = Converter(Color(matrix=1, full=full))
    frame = converter.from_rgb(draw(0, Size(64, 64)), "yuv444p")
    assert np.abs(luma_of(converter.reformat(frame, "gray")) - luma_of(frame)).max() <= full


def test_a_matrix_that_cannot_be_converted_is_refused() -> None:
    with pytest.raises(VideoError, match=r"colour matrix is number 8 of ITU-T H.273; expected one of"):
        Color.of(frame_of(Size(64, 64), colorspace=8))
