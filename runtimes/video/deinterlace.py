"""Interlaced video to whole pictures, by FFmpeg's bwdif: one frame for each frame, at its time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.filter import Graph
from av.video.frame import VideoFrame

from runtimes.video.source import SourceFrame

_UNIT = Fraction(1, 1000)


def deinterlaced(frames: Iterable[SourceFrame]) -> Iterator[SourceFrame]:
    """Frames of a video, each without combs. The filter looks a frame ahead."""
    graph: Graph | None = None
    waiting: deque[SourceFrame] = deque()
    for index, frame in enumerate(frames):
        native = frame.native
        assert native is not None
        graph = graph or _bwdif(native)
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


def _bwdif(frame: VideoFrame) -> Graph:
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_UNIT),
        graph.add("bwdif", "mode=send_frame:parity=auto:deint=all"),
        graph.add("buffersink"),
    ).configure()
    return graph
