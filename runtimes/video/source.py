"""Video files, GIFs and y4m on standard input, decoded upright with exact times."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Protocol

import av
from av.video.frame import VideoFrame

from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.cadence import Grid
from runtimes.video.clock import clock_zero, constant_rate, grid_of, lead_of_dts, length_of
from runtimes.video.color import Color, Converter, bit_depth, has_alpha, rgb_format, seconds, without_jpeg_name
from runtimes.video.containers import STDIN
from runtimes.video.errors import VideoError
from runtimes.video.filters import DEINTERLACE, taken
from runtimes.video.hdr import Extras
from runtimes.video.pixel_formats import Kind, changes_of
from runtimes.video.rotation import transposes, turns, upright
from runtimes.video.stills import MAX_PIXELS
from runtimes.video.streams import decoder_with_alpha, open_video, video_stream

Note = Callable[[str], None]
"""Receives one line that the user should know."""

_PEEKED = 8
"""Frames that are looked at before the first one is given out: enough for the B-frames of a first group to show."""


_SETTLED = Fraction(1)
"""Seconds after which frames need none from before a key frame."""

_JUMPING = ("mpegts", "mpeg")
"""Formats that can be joined by joining their bytes, and whose clock then jumps."""

_PAUSE, _LONGEST_PAUSE = 10, 3600
"""Seconds between two frames of such a format above which FFmpeg closes the gap, and above which it is no pause."""


@dataclass(frozen=True, kw_only=True)
class SourceInfo:
    """What is known before the frames are read. Times in seconds.

    Attributes:
        name: for messages.
        size: of the upright frames.
        rate: constant frame rate, or None.
        nominal: where that is None, a rate that is not exceeded for long, or None.
        tick: time base.
        start: time of the first frame.
        duration: of the video as declared, or None.
        color: how YUV numbers are meant.
        pixel_format: of the decoded frames; ``rgb24`` or ``rgb48le`` for images.
        aspect: of a pixel, or None for square.
        alpha: frames have transparency.
        path: the file that other streams can be copied from, or None.
        extras: what the video says beside pixels and colours.
        grid: what the times were before the container rounded them, or None where they are exact or variable.
    """

    name: str
    size: Size
    rate: Fraction | None
    tick: Fraction
    start: Fraction
    duration: Fraction | None
    color: Color
    pixel_format: str
    nominal: Fraction | None = None
    aspect: Fraction | None = None
    alpha: bool = False
    path: Path | None = None
    grid: Grid | None = None
    extras: Extras = Extras()


@dataclass(frozen=True, kw_only=True)
class SourceFrame:
    """One frame. Exactly one of ``native`` (as decoded, upright) and ``rgb`` (images) is set."""

    time: Fraction
    duration: Fraction | None
    native: VideoFrame | None = None
    rgb: Array | None = None


class Source(Protocol):
    """Where frames come from."""

    info: SourceInfo

    def frames(self, since: Fraction | None = None) -> Iterator[SourceFrame]:
        """All frames in order; with ``since``, from the last frame at or before that time (earlier ones may come)."""

    def close(self) -> None:
        """Release the files."""


class VideoSource:
    """Anything PyAV decodes."""

    def __init__(self, path: str, note: Note, *, deinterlace: bool = False) -> None:
        """Open and decode the first frame.

        Raises:
            VideoError: not a video, no video stream, or a matrix that cannot be converted.
        """
        self._path, self._note, self._deinterlace = path, note, deinterlace
        self._name = "standard input" if path == STDIN else path
        self._dropped = 0
        self._open()
        self._zero = clock_zero(self._container)
        peeked = 1 + (_PEEKED - 1) * bool(self._stream.codec_context.has_b_frames)
        self._waiting = deque(islice(self._decoded, peeked))
        if not self._waiting:
            raise VideoError(
                f"{self._name} has no frame that can be decoded: it is damaged, or its frames have more than "
                f"{MAX_PIXELS / 1e6:.0f} million pixels"
            )
        first = self._waiting[0]
        self._lead = lead_of_dts(self._waiting, self._container.format.name)
        told = first if self._decoder is None else self._told() or first
        self._color, self._tags = Color.of(told), _tags(first)
        self._converter_of = functools.cache(Converter)
        self._size, self._own = Size(first.width, first.height), first.format.name
        self._format = taken(self._own, DEINTERLACE * deinterlace + turns(told))
        self._noted: set[str] = set()
        if changes := changes_of(Kind.of(self._own), Kind.of(self._format)):
            note(f"{self._own} is filtered as {self._format}: {', '.join(changes)}")
        first = self._converted(first, self._color)
        assert self._stream.time_base is not None
        self._orient = upright(first, told, self._stream.time_base, note)
        aspect = self._stream.sample_aspect_ratio or None
        self.info = self._describe(first, told, 1 / aspect if aspect and transposes(told) else aspect)

    def _open(self) -> None:
        """From the beginning, with nothing read yet."""
        self._container = open_video(self._path)
        self._stream = video_stream(self._container, self._name)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}  # a size may also change on the way
        self._decoder = decoder_with_alpha(self._stream)
        self._bad = 0
        self._decoded = self._decode()
        self._waiting = deque[VideoFrame]()

    def _told(self) -> VideoFrame | None:
        """The first frame by FFmpeg's own decoder, which gets what the container says: rotation, colours, light."""
        with open_video(self._path) as again, suppress(av.error.FFmpegError):
            return next(again.decode(video_stream(again, self._name)), None)
        return None

    def _describe(self, first: VideoFrame, told: VideoFrame, aspect: Fraction | None) -> SourceInfo:
        frame = self._orient(first)
        stream, color = self._stream, self._color
        if color.assumed:
            self._note(f"{self._name} does not say its colours: {color.assumed} assumed")
        if frame.interlaced_frame and not self._deinterlace:
            self._note(f"{self._name} is interlaced, which shows as combs: pass --deinterlace")
        assert stream.time_base is not None
        grid = None if self._path == STDIN else grid_of(self._path, stream)
        start = self._time(first, None)
        duration, self._sure = length_of(self._container, stream, start)
        return SourceInfo(
            name=self._name,
            size=Size(frame.width, frame.height),
            rate=constant_rate(stream, grid) if first.pts is not None else stream.guessed_rate,
            nominal=stream.guessed_rate,
            tick=stream.time_base,
            start=start,
            duration=duration,
            color=color,
            pixel_format=frame.format.name,
            aspect=aspect,
            alpha=is_transparent(frame) if stream.codec_context.name == "gif" else has_alpha(frame.format),
            path=None if self._path == STDIN else Path(self._path),
            grid=grid,
            extras=Extras.of(self._container, stream.index, [told, *self._waiting]),
        )

    def frames(self, since: Fraction | None = None) -> Iterator[SourceFrame]:
        """See :class:`Source`.

        Raises:
            VideoError: the size changes on the way, or the clock begins anew.
        """
        found = self._frames(since)
        if self._deinterlace:
            from runtimes.video.deinterlace import deinterlaced

            found = deinterlaced(found)  # before they are turned: fields are rows
        return map(self._upright, found)

    def _upright(self, frame: SourceFrame) -> SourceFrame:
        assert frame.native is not None
        return replace(frame, native=self._orient(frame.native))

    def _frames(self, since: Fraction | None) -> Iterator[SourceFrame]:
        if since is not None:
            self._seek(since)
        last, length = None, Fraction(0)
        for frame in self._raw():
            time = self._time(frame, last)
            if last is not None and time <= last:
                self._dropped += 1  # repeated or reordered: there is no moment at which this frame could show
                continue
            if last is not None and self._container.format.name in _JUMPING and time - last > _PAUSE:
                self._tell_jump(last, time)
            frame = self._alike(frame, time)
            assert self._stream.time_base is not None
            duration = frame.duration * self._stream.time_base if frame.duration else None
            last, length = time, duration or Fraction(0)
            yield SourceFrame(time=time, duration=duration, native=frame)
        self._say_where_it_ended(last, length)

    def _alike(self, frame: VideoFrame, time: Fraction) -> VideoFrame:
        """In one pixel format, that of the first frame where filters take it: they read past the end of one unlike it.
        In one matrix and range too.

        Raises:
            VideoError: of another size.
        """
        size, format = Size(frame.width, frame.height), frame.format.name
        if size != self._size:
            raise VideoError(
                f"{self._name} changes from {self._size} to {size} at {seconds(time)}: cut it there, or scale it to "
                "one size first, for example with ffmpeg -vf scale"
            )
        first, color = self._color, self._color if _tags(frame) == self._tags else self._color.later(frame)
        if without_jpeg_name(format) != without_jpeg_name(self._own):
            self._note_change("format", f"to {format}", time, f"is converted to {self._format}")
        if not color.is_converted_like(first):
            self._note_change("numbers", f"to {color}", time, f"is converted to {first}")
        if shifts := first.shifts(color):
            what = f"its colour {' and '.join(shifts)}"
            self._note_change("meaning", what, time, "is not converted: cut it there, or colours are off")
        return self._converted(frame, color)

    def _note_change(self, kind: str, what: str, time: Fraction, outcome: str) -> None:
        """Once of a kind."""
        if kind not in self._noted:
            self._noted.add(kind)
            self._note(f"{self._name} changes {what} at {seconds(time)}, which {outcome}")

    def _converted(self, frame: VideoFrame, color: Color) -> VideoFrame:
        """To the format, matrix and range of the video, from a frame whose colours are ``color``."""
        like = frame
        if not color.is_converted_like(self._color):
            rgb = rgb_format(deep=bit_depth(frame.format) > 8, alpha=has_alpha(frame.format))
            like = self._converter_of(color).reformat(frame, rgb)
        like = self._converter_of(self._color).reformat(like, self._format)
        like.pts, like.dts, like.time_base, like.duration = frame.pts, frame.dts, frame.time_base, frame.duration
        return like

    def _tell_jump(self, last: Fraction, time: Fraction) -> None:
        """Raises VideoError when it is no pause."""
        close = "ffmpeg -i ... -c copy joined.mkv closes the gap"
        text = f"{self._name} jumps from {seconds(last)} to {seconds(time)}"
        if time - last > _LONGEST_PAUSE:
            raise VideoError(f"{text}, as recordings do that were joined: {close}")
        self._note(f"{text}, which is taken for a pause; where recordings were joined, {close}")

    def close(self) -> None:
        """See :class:`Source`."""
        self._container.close()

    def _raw(self) -> Iterator[VideoFrame]:
        while self._waiting:
            yield self._waiting.popleft()
        yield from self._decoded

    def _seek(self, since: Fraction) -> None:
        """Go to a frame well before ``since``: those after a key frame may need the ones before it.

        MPEG-TS is not searched for key frames, bare streams not at all. Where nothing else helps, begin anew.
        """
        margin, moved = _SETTLED, False
        while self._path != STDIN and (target := since - margin) > self.info.start:
            assert self._stream.time_base is not None
            moved = True
            try:
                ticks = int((target + self._zero) / self._stream.time_base)
                self._container.seek(ticks, stream=self._stream, backward=True)
            except av.error.PermissionError:
                break
            if self._decoder is not None:
                self._decoder.flush_buffers()
            self._decoded = self._decode()
            self._waiting = deque(islice(self._decoded, 1))
            if self._waiting and self._time(self._waiting[0], None) <= since - _SETTLED:
                return
            margin *= 4
        if moved:
            self._container.close()
            self._open()

    def _time(self, frame: VideoFrame, last: Fraction | None) -> Fraction:
        assert self._stream.time_base is not None
        stamp = frame.pts
        if self._lead is not None and (frame.dts is not None or last is not None):
            stamp = None if frame.dts is None else frame.dts - self._lead
        if stamp is not None:
            return stamp * self._stream.time_base - self._zero
        rate = self._stream.guessed_rate  # by the video itself; average_rate of bare streams is FFmpeg's 25
        if rate is None:
            raise VideoError(
                f"{self._name} has no timestamps: put it into a container first (ffmpeg -r 24 -i ... out.mkv)"
            )
        return Fraction(0) if last is None else last + 1 / rate

    def _decode(self) -> Iterator[VideoFrame]:
        """Decode packet by packet, so that a broken one costs itself only."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except OSError:
                raise
            except av.error.FFmpegError:
                self._bad += 1
                return
            if packet is None:
                return
            try:
                yield from packet.decode() if self._decoder is None else self._decoder.decode(packet)
            except OSError:
                raise
            except av.error.FFmpegError:  # InvalidDataError as a rule; some decoders give other ones
                self._bad += 1

    def _say_where_it_ended(self, last: Fraction | None, length: Fraction) -> None:
        """``last`` is the time of the last frame, ``length`` how long it shows: the still that ends a recording."""
        if last is None:
            return
        if self._bad:
            self._note(
                f"{self._name} is damaged: {self._bad} packets could not be decoded; "
                f"its last frame is at {seconds(last)}"
            )
        if self._dropped:
            self._note(
                f"{self._dropped} frames of {self._name} are left out: their times repeat or go back; if that is "
                "a lot, remux it first (ffmpeg -fflags +genpts -c copy)"
            )
        declared, rate = self.info.duration, self.info.rate or self._stream.average_rate
        if declared is not None and rate and self.info.start + declared - last - length > max(2 / rate, Fraction(1, 2)):
            self._note(
                f"{self._name} ends at {seconds(last)} of the {seconds(self.info.start + declared)} it declares: "
                f"it is truncated{'' if self._sure else ', or its sound goes on'}"
            )


def _tags(frame: VideoFrame) -> tuple[int, ...]:
    """What a frame says of its colours."""
    return tuple(map(int, (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)))


def is_transparent(frame: VideoFrame) -> bool:
    """Whether any pixel of a frame is; GIF always has an alpha channel, mostly for nothing."""
    return bool(has_alpha(frame.format) and frame.to_ndarray(format="rgba")[..., 3].min() < 255)


def describe(info: SourceInfo) -> str:
    """One line for people."""
    rate = f"{float(info.rate):.6g} fps" if info.rate else "variable frame rate"
    length = f", {float(info.duration):.2f} s" if info.duration else ""
    return f"{info.name}: {info.size}, {rate}{length}, {info.pixel_format}, {info.color}"
