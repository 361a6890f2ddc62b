"""Chains of FFmpeg's filters, and the pixel formats that they take.

Before a filter that does not take a format FFmpeg inserts a scaler of its own, which goes to another colour matrix. So
frames are brought to a format that the whole chain takes first, by our :class:`~runtimes.video.color.Converter`.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import av
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from runtimes.contract import Size
from runtimes.video.color import bit_depth
from runtimes.video.pixel_formats import nearest

Filters = tuple[tuple[str, str], ...]
"""Names and arguments."""

DEINTERLACE: Filters = (("bwdif", "mode=send_frame:parity=auto:deint=all"),)

_PLANAR = [
    f"{model}{depth}"
    for model in (
        "gray",
        "gbrp",
        "gbrap",
        *(f"yuv{x}p" for x in ("410", "411", "420", "422", "440", "444", "a420", "a422", "a444")),
    )
    for depth in ("", "9le", "10le", "12le", "14le", "16le")
]
"""Some of them do not exist."""

_UNIT, _SIDE = Fraction(1, 25), 64


def chain(filters: Filters, size: Size, format: VideoFormat, unit: Fraction) -> Graph:
    """A graph for frames of one size, pixel format and time base."""
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=size.width, height=size.height, format=format, time_base=unit),
        *(graph.add(name, arguments) for name, arguments in filters),
        graph.add("buffersink"),
    ).configure()
    return graph


@functools.cache
def taken(name: str, filters: Filters) -> str:
    """The pixel format in which frames of format ``name`` go through the filters: their own or a planar one."""
    if not filters or _keep(filters, name):
        return name
    return nearest(name, [planar for planar in _PLANAR if _keep(filters, planar)])


@functools.cache
def _keep(filters: Filters, name: str) -> bool:
    """Whether frames come out in their format, which they do where no scaler was inserted."""
    try:
        format = VideoFormat(name, _SIDE, _SIDE)
        if bit_depth(format) > 16 and not format.is_planar:  # FFmpeg 8 says that it turns rgbf32le, and crashes
            return False
        graph = chain(filters, Size(_SIDE, _SIDE), format, _UNIT)
        for index in range(2):  # bwdif looks a frame ahead
            frame = VideoFrame(_SIDE, _SIDE, name)
            frame.pts, frame.time_base = index, _UNIT
            graph.push(frame)
        found = graph.pull()
    except (ValueError, av.error.FFmpegError):  # there is no such format
        return False
    return isinstance(found, VideoFrame) and found.format.name == name
