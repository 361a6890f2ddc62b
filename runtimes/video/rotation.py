"""Rotation flags, applied to the pixels so that every output is upright without one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction

from av.video.frame import VideoFrame

from runtimes.contract import Size
from runtimes.video.filters import Filters, chain
from runtimes.video.pyav_versions import side_data

ORIENTATIONS: dict[tuple[int, ...], Filters] = {
    (1, 0, 0, 1): (),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}
"""Signs of a display matrix (a, b, c, d) -> filters that show the frame upright, without loss."""


def upright(
    frame: VideoFrame, told: VideoFrame, unit: Fraction, note: Callable[[str], None]
) -> Callable[[VideoFrame], VideoFrame]:
    """A function that applies the rotation flag, so that the output needs none.

    It takes frames of the size and pixel format of ``frame`` only, which :func:`turns` of ``told`` take. ``told`` has
    the flag, ``unit`` is their time base.
    """
    if _orientation(told) not in ORIENTATIONS:
        note(f"the rotation flag is not a right angle ({told.rotation} degrees) and is ignored")
        return lambda frame: frame
    filters = turns(told)
    if not filters:
        return lambda frame: frame
    note(f"the rotation flag ({told.rotation} degrees) is applied to the pixels")
    graph = chain(filters, Size(frame.width, frame.height), frame.format, unit)

    def turn(frame: VideoFrame) -> VideoFrame:
        graph.push(frame)
        turned = graph.pull()
        assert isinstance(turned, VideoFrame)
        return turned

    return turn


def turns(frame: VideoFrame) -> Filters:
    """The filters of :func:`upright`."""
    return ORIENTATIONS.get(_orientation(frame), ())


def transposes(frame: VideoFrame) -> bool:
    """Whether :func:`upright` swaps rows and columns, and with them the sides of a pixel that is not square."""
    signs = _orientation(frame)
    return signs in ORIENTATIONS and signs[0] == 0


def _orientation(frame: VideoFrame) -> tuple[int, int, int, int]:
    """The signs of the display matrix, (1, 0, 0, 1) without one."""
    matrix = side_data(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return (1, 0, 0, 1)
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    largest = max(abs(x) for x in (a, b, c, d))
    return tuple(round(x / largest) if largest else 0 for x in (a, b, c, d))  # type: ignore[return-value]
