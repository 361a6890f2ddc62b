"""Interlaced video to whole pictures, by FFmpeg's bwdif: one frame for each frame, at its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from runtimes.contract import Size
from runtimes.video.filters import DEINTERLACE, chain
from runtimes.video.source import SourceFrame

_UNIT = Fraction(1, 1000)


def deinterlaced(frames: Iterable[SourceFrame]) -> Iterator[SourceFrame]:
    """Frames of a video, each without combs. The filter looks a frame ahead.

    They are in a pixel format that it takes, see :func:`~runtimes.video.filters.taken`.
    """
    graph: Graph | None = None
    waiting: deque[SourceFrame] = deque()
    for index, frame in enumerate(frames):
        native = frame.native
        assert native is not None
        graph = graph or chain(DEINTERLACE, Size(native.width, native.height), native.format, _UNIT)
        waiting.append(frame)
        native.pts, native.time_base = index, _UNIT
        graph.push(native)
        yield from _ready(graph, waiting)
    if graph is not None:
        graph.push(None)
        yield from _ready(graph, waiting)


def _ready(graph: Graph, waiting: deque[SourceFrame]) -> Iterator[SourceFrame]:
    while waiting:
        try:
            whole = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(whole, VideoFrame)
        yield replace(waiting.popleft(), native=whole)
