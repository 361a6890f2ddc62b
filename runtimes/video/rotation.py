"""Rotation flags, applied to the pixels so that every output is upright without one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame

from runtimes.video.pyav_versions import side_data

ORIENTATIONS = {
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

    It takes frames of the size and pixel format of ``frame`` only. ``told`` has the flag, ``unit`` is their time base.
    """
    signs = _orientation(told)
    if signs not in ORIENTATIONS:
        note(f"the rotation flag is not a right angle ({told.rotation} degrees) and is ignored")
        return lambda frame: frame
    filters = ORIENTATIONS[signs]
    if not filters:
        return lambda frame: frame
    note(f"the rotation flag ({told.rotation} degrees) is applied to the pixels")
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=unit),
        *(graph.add(name, arguments) for name, arguments in filters),
        graph.add("buffersink"),
    ).configure()

    def turn(frame: VideoFrame) -> VideoFrame:
        graph.push(frame)
        turned = graph.pull()
        assert isinstance(turned, VideoFrame)
        return turned

    return turn


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
