"""One stream of the source on its way into the output: copied, or converted where the container cannot hold it.

Nothing here ends the job but the operating system's errors: a note at the end counts what could not be kept.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Protocol

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.subtitle import SubtitleSet

from runtimes.video.containers import ffmpeg_log, reason

Note = Callable[[str], None]

MATROSKA = ("matroska", "webm")

TEXT_CODECS = MappingProxyType({"mp4": "mov_text", "mov": "mov_text", "ipod": "mov_text", "webm": "webvtt"})
"""Container -> what text subtitles become where it cannot hold them as they are; ASS elsewhere."""

LAYOUTS = MappingProxyType({1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"})
"""Channels -> what they are where nothing says so."""

_MILLISECOND = Fraction(1, 1000)


class Track(Protocol):
    """Where the packets of one stream go."""

    def take(self, packet: Packet[Stream]) -> None:
        """Add one packet of the source."""

    def finish(self) -> None:
        """Write what is held back, and say what was left out."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all tracks of an output share. ``place`` maps source times to output times."""

    output: OutputContainer
    slowdown: Fraction
    place: Callable[[Fraction], Fraction]
    moved: bool
    note: Note


def refusal(stream: Stream, format: str, packets: Sequence[Packet[Stream]] = ()) -> str | None:
    """Why a container does not take a stream as it is, by an attempt in memory; None when it does.

    Some refuse as late as at the end of the file, and then lose what they held back: ``packets``, the stream's first
    ones, make the attempt whole. They are used up.
    """
    if stream.codec_context is None:  # PyAV leaves it out where FFmpeg has no decoder
        return "this FFmpeg does not know its codec"
    failure: Exception | None = None
    with ffmpeg_log() as said:
        try:
            trial = av.open(io.BytesIO(), "w", format=format)
            target = add_copy(trial, stream)
            trial.start_encoding()
            failure = _all_refused(trial, target, packets)
            with nullcontext() if packets else suppress(av.error.FFmpegError):  # a trailer without packets
                trial.close()
        except (av.error.FFmpegError, ValueError) as error:
            failure = error
    return None if failure is None else reason(failure, said)


def _all_refused(
    trial: OutputContainer, target: Stream, packets: Sequence[Packet[Stream]]
) -> av.error.FFmpegError | None:
    """The error when every packet is refused; a single one may be damaged."""
    error = None
    for packet in packets:
        packet.stream = target
        try:
            trial.mux_one(packet)
        except av.error.FFmpegError as refused:
            error = refused
        else:
            return None
    return error


def add_copy(output: OutputContainer, stream: Stream) -> Stream:
    """A stream for packets as they are. Sound whose layout the source leaves open gets the usual one.

    Raises:
        ValueError: the container does not take the codec.
    """
    target = output.add_stream_from_template(stream, opaque=True)
    if isinstance(stream, AudioStream) and stream.codec_context.layout.name.endswith("channels"):
        usual = LAYOUTS.get(stream.codec_context.channels)
        if usual is not None:
            target.codec_context.layout = usual  # type: ignore[attr-defined]
    return target


class Copied:
    """Packets as they are, at their mapped times."""

    def __init__(self, stream: Stream, setting: Setting) -> None:
        self._stream, self._setting = stream, setting
        self.target = add_copy(setting.output, stream)
        self._last: int | None = None
        self._left_out = 0
        self._why = ""

    def take(self, packet: Packet[Stream]) -> None:
        """See :class:`Track`."""
        setting = self._setting
        if _silent(packet) and not self._can_say_silent(packet):
            setting.note(
                f"audio stream {packet.stream_index} begins with a decoder's warm-up, which "
                f"{setting.output.format.name} cannot mark as such: it is left out, and the first hundredths of a "
                "second fade in"
            )
            return
        assert packet.pts is not None
        if setting.moved:
            unit = packet.time_base
            packet.pts = packet.dts = round(setting.place(packet.pts * unit) / unit)  # neither sound nor text reorders
            packet.duration = round((packet.duration or 0) * setting.slowdown)
        order = packet.dts if packet.dts is not None else packet.pts
        strict = self._stream.type == "audio" and setting.output.format.name not in MATROSKA  # whose own times repeat
        if self._last is not None and (order < self._last or (order == self._last and strict)):
            self._leave_out("their times repeat or go back")
            return
        if self._stream.type == "audio" and not packet.duration and self._last is not None:
            packet.duration = order - self._last  # or MP4 ends before the last packet
        self._last = order
        packet.stream = self.target
        try:
            setting.output.mux_one(packet)
        except OSError:
            raise
        except av.error.FFmpegError as error:
            self._leave_out(str(error.strerror))

    def finish(self) -> None:
        """See :class:`Track`."""
        if self._left_out:
            self._setting.note(
                f"{self._left_out} packets of {self._stream.type} stream {self._stream.index} are left out: {self._why}"
            )
            self._left_out = 0

    def _leave_out(self, why: str) -> None:
        self._left_out += 1
        self._why = self._why or why

    def _can_say_silent(self, packet: Packet[Stream]) -> bool:
        """Whether the output can mark a decoder's warm-up as not to be played: MP4 before time 0, Matroska if FFmpeg
        read its length in the source (of Matroska, and with FFmpeg 9 of MP4). Otherwise it would be played, and in
        Matroska delay everything, so it is left out."""
        if self._setting.output.format.name in MATROSKA:
            decoder: Any = self._stream.codec_context
            return bool(decoder.delay > 0)
        return (packet.pts or 0) < 0


class ConvertedText:
    """Text subtitles in the form that the container holds; styles survive as far as it has them."""

    def __init__(self, stream: Any, setting: Setting) -> None:
        """Raises ValueError or an FFmpeg error where there is no way."""
        self._stream, self._setting = stream, setting
        self.codec = TEXT_CODECS.get(setting.output.format.name, "ass")
        decoder = stream.codec_context
        if not decoder.codec.text_sub:
            raise ValueError(f"{decoder.name} is pictures, and {self.codec} is text")
        decoder.open()
        header = decoder.subtitle_header
        encoder: Any = av.CodecContext.create(self.codec, "w")  # a trial, since the real one opens with the file
        encoder.subtitle_header, encoder.time_base = header, _MILLISECOND
        encoder.open()
        target: Any = setting.output.add_stream(self.codec)
        target.codec_context.subtitle_header = header
        target.time_base = target.codec_context.time_base = _MILLISECOND
        self.target = target
        self._bad = 0

    def take(self, packet: Packet[Stream]) -> None:
        """See :class:`Track`."""
        assert packet.pts is not None
        start = self._setting.place(packet.pts * packet.time_base)
        length = (packet.duration or 0) * packet.time_base * self._setting.slowdown
        try:
            decoded = self._stream.codec_context.decode2(packet)
            for line in decoded or ():
                text = SubtitleSet.create(
                    text=line.ass, start=0, end=round(length * 1000), pts=round(start * 1_000_000)
                )
                ready = self.target.codec_context.encode_subtitle(text)
                ready.pts = ready.dts = round(start / _MILLISECOND)
                ready.duration, ready.time_base, ready.stream = round(length * 1000), _MILLISECOND, self.target
                self._setting.output.mux_one(ready)
        except OSError:
            raise
        except av.error.FFmpegError:
            self._bad += 1

    def finish(self) -> None:
        """See :class:`Track`."""
        if self._bad:
            self._setting.note(
                f"{self._bad} lines of subtitle stream {self._stream.index} could not be converted and are left out"
            )
            self._bad = 0


def _silent(packet: Packet[Stream]) -> bool:
    """Whether all of an audio packet only warms up the decoder."""
    if not packet.has_sidedata("skip_samples") or not isinstance(packet.stream, AudioStream):
        return False
    (skipped,) = struct.unpack("<I", bytes(packet.get_sidedata("skip_samples"))[:4])
    return bool(skipped >= packet.stream.codec_context.frame_size > 0)
