"""What the times of a file mean: where they count from, how they were rounded, and which of two to believe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import islice, pairwise

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from runtimes.video.cadence import Grid, find_grid
from runtimes.video.containers import open_input
from runtimes.video.streams import tag_of

_SAMPLED = 400
"""Packets whose times are looked at: enough to tell 23.976 from 24 frames a second behind milliseconds."""

_REORDERED = 20
"""More than what any codec moves a frame by."""

_SAME = Fraction(1, 1000)
"""Relative difference of a rate and a mean that is rounded."""

_FREE_CLOCKS = ("mpegts", "mpeg", "flv")
"""Formats whose times count from when the broadcast or the camera began, and not from the start of the file."""


def grid_of(path: str, stream: VideoStream) -> Grid | None:
    """The grid that the first times of a file lie on, read apart from the decoder and without decoding."""
    assert stream.time_base is not None
    with open_input(path) as container:
        other = container.streams[stream.index]
        zero = clock_zero(container)
        stamps: set[int] = set()
        try:
            for packet in islice(container.demux(other), _SAMPLED):
                stamp = packet.dts if packet.pts is None or container.format.name == "avi" else packet.pts
                if stamp is not None:
                    stamps.add(stamp)
        except av.error.FFmpegError:
            pass  # damaged further on, which the decoder will say
    ordered = sorted(stamps)
    if len(ordered) > _SAMPLED - _REORDERED:
        ordered = ordered[:-_REORDERED]  # frames that show between these come later
    rates = (stream.base_rate, stream.guessed_rate, stream.average_rate)
    times = [stamp * stream.time_base - zero for stamp in ordered]
    return find_grid(times, stream.time_base, [rate for rate in rates if rate])


def constant_rate(stream: VideoStream, grid: Grid | None) -> Fraction | None:
    """The frame rate where it is constant, by what the file declares and by its first times."""
    average, base = stream.average_rate, stream.base_rate
    if grid is None:
        return base if average and base and abs(average / base - 1) < _SAME else None
    if not grid.whole:
        return None
    assert stream.time_base is not None
    if average is None or average * stream.time_base >= 1:  # a frame a tick: what AVI says of times it got
        return grid.rate
    if stream.frames and stream.duration:
        expected = stream.duration * stream.time_base * grid.rate
        return grid.rate if abs(expected - stream.frames) <= max(Fraction(1), stream.frames * _SAME) else None
    return grid.rate if abs(average / grid.rate - 1) < 10 * _SAME else None


def lead_of_dts(frames: Sequence[VideoFrame], container: str) -> int | None:
    """What to subtract from a frame's dts to get when it is shown; None where its pts says so.

    AVI stores no pts, and what FFmpeg puts in their place follows the coded order, as do the pts of other files that
    were written badly. Their dts keep the order of the frames. Other files are judged as FFmpeg's guess_correct_pts
    does, by which of the two goes back more often.
    """
    first = frames[0]
    if first.dts is None or first.pts is None:
        return None
    guessed = container == "avi" or _faults(frame.pts for frame in frames) > _faults(frame.dts for frame in frames)
    return first.dts - first.pts if guessed else None


def _faults(stamps: Iterable[int | None]) -> int:
    """How often they do not increase."""
    return sum(right <= left for left, right in pairwise(stamp for stamp in stamps if stamp is not None))


def length_of(container: InputContainer, stream: VideoStream, start: Fraction) -> tuple[Fraction | None, bool]:
    """How long a file declares its video to be, in seconds, and whether it says that of the video alone.

    Args:
        container: the file.
        stream: its video.
        start: time of the first frame.
    """
    alone = len(container.streams) == 1
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base, alone or container.format.name != "asf"  # which has one for all
    matroska = container.format.name.startswith("matroska")
    told = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", tag_of(stream.metadata, "duration") or "")
    if matroska and told:
        length = 3600 * int(told[1]) + 60 * int(told[2]) + Fraction(told[3])
        # FFmpeg's tag is the end; that of mkvmerge, which signs its own, is the length
        return (length if tag_of(stream.metadata, "_statistics_writing_app") else length - start), True
    if not container.duration:
        return None, False
    whole = Fraction(container.duration, av.time_base)
    return (whole - start if matroska else whole), alone  # of Matroska it is the end


def clock_zero(container: InputContainer) -> Fraction:
    """What to subtract from all times of a file, so that they count from where its first stream starts.

    Streams keep their distances. A whole number of ticks: these formats have one for all streams.
    """
    if container.format.name not in _FREE_CLOCKS:
        return Fraction(0)
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    return min(starts, default=Fraction(0))
