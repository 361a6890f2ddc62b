"""Audio, subtitles, attachments, chapters and metadata: copied as they are, or retimed for slow motion."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from runtimes.video.audio_stretch import AudioStretcher
from runtimes.video.errors import VideoError
from runtimes.video.source import clock_zero, open_video, video_stream


class AudioMode(StrEnum):
    """What happens to sound."""

    COPY = "copy"
    DROP = "drop"
    STRETCH = "stretch"


_OF_THE_CONTAINER = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
"""Metadata that describes the old file and not its content."""


@dataclass(frozen=True, kw_only=True)
class OtherStreamOptions:
    """What to carry over. Source times become output times by ``slowdown``, as in the timeline."""

    path: Path
    audio: AudioMode
    subtitles: bool
    slowdown: Fraction


_MATROSKA = ("matroska", "webm")


class OtherStreams:
    """Reads the source a second time and feeds its other streams into the output, in step with the video."""

    def __init__(self, options: OtherStreamOptions, note: Callable[[str], None]) -> None:
        self._options, self._note = options, note
        self._source: InputContainer = open_video(str(options.path), str(options.path))
        self._zero = clock_zero(self._source)
        self._targets: dict[int, Stream | AudioStretcher] = {}
        self._packets: Iterator[Packet[Stream]] | None = None
        self._waiting: Packet[Stream] | None = None

    def attach(self, output: OutputContainer) -> None:
        """Add the streams, metadata and chapters to the output, whose video stream is there already.

        Raises:
            VideoError: the container cannot hold one of them, or the source has no video to be in step with.
        """
        self._output = output
        video = video_stream(self._source, str(self._options.path))
        for stream in self._source.streams:
            if stream.index != video.index:
                self._attach(stream)
        kept = {key: value for key, value in self._source.metadata.items() if key.lower() not in _OF_THE_CONTAINER}
        output.metadata.update(kept)
        mine = output.streams.video[0]
        mine.metadata.update({key: video.metadata[key] for key in ("language", "title") if key in video.metadata})
        if chapters := self._source.chapters():
            for chapter in chapters:
                unit = chapter["time_base"] or Fraction(1, av.time_base)
                for edge in ("start", "end"):
                    chapter[edge] = round(self._map(chapter[edge] * unit) / unit)
            output.set_chapters(chapters)
        inputs = [self._source.streams[index] for index in self._targets]
        self._packets = self._source.demux(*inputs) if inputs else iter(())

    def _attach(self, stream: Stream) -> None:
        options = self._options
        wanted = {
            "audio": options.audio is not AudioMode.DROP,
            "subtitle": options.subtitles,
            "attachment": self._output.format.name == "matroska",
        }
        if not wanted.get(stream.type, False):
            self._note(f"{stream.type} stream {stream.index} of {options.path} is not carried over")
            return
        if isinstance(stream, AudioStream) and options.audio is AudioMode.STRETCH:
            self._targets[stream.index] = AudioStretcher(
                stream, self._output, options.slowdown, place=self._map, note=self._note
            )
            return
        try:
            target = self._output.add_stream_from_template(stream)
        except ValueError as error:
            kind = "--no-subtitles" if stream.type == "subtitle" else "--audio drop"
            raise VideoError(
                f"{self._output.format.name} cannot hold the {stream.type} stream {stream.index} of {options.path} "
                f"({stream.codec_context.name}): write .mkv, or pass {kind}"
            ) from error
        target.metadata.update(stream.metadata)
        target.disposition = stream.disposition
        if stream.type != "attachment":
            self._targets[stream.index] = target

    def copy_until(self, time: Fraction | None) -> None:
        """Write what begins up to ``time`` of the output; None writes all that is left."""
        assert self._packets is not None
        while True:
            packet = self._waiting or self._next()
            self._waiting = None
            if packet is None:
                break
            assert packet.pts is not None
            if time is not None and self._map(packet.pts * packet.time_base) > time:
                self._waiting = packet
                return
            self._write(packet)
        for target in self._targets.values():
            if isinstance(target, AudioStretcher):
                target.finish()

    def _next(self) -> Packet[Stream] | None:
        assert self._packets is not None
        try:
            return next((packet for packet in self._packets if packet.pts is not None), None)
        except av.error.InvalidDataError as error:
            self._note(f"{self._options.path} is damaged: its other streams end early ({error.strerror})")
            return None

    def _write(self, packet: Packet[Stream]) -> None:
        target = self._targets[packet.stream_index]
        if isinstance(target, AudioStretcher):
            target.take(packet)
            return
        if _silent(packet) and not self._can_say_silent(packet):
            self._note(
                f"audio stream {packet.stream_index} begins with a decoder's warm-up, which {self._output.format.name} "
                "cannot mark as such: it is left out, and the first hundredths of a second fade in"
            )
            return
        if self._options.slowdown != 1 or self._zero:
            assert packet.pts is not None
            unit = packet.time_base
            packet.pts = packet.dts = round(self._map(packet.pts * unit) / unit)  # neither sound nor subtitles reorder
            packet.duration = round((packet.duration or 0) * self._options.slowdown)
        packet.stream = target
        self._output.mux(packet)

    def _can_say_silent(self, packet: Packet[Stream]) -> bool:
        """Whether the output can mark a decoder's warm-up as not to be played: MP4 before time 0, Matroska if the
        source did. Otherwise it would be played, and in Matroska delay everything, so it is left out."""
        if self._output.format.name in _MATROSKA:
            return self._source.format.name.startswith(_MATROSKA)
        return (packet.pts or 0) < 0

    def _map(self, time: Fraction) -> Fraction:
        return (time - self._zero) * self._options.slowdown

    def close(self) -> None:
        """Release the source."""
        self._source.close()


def _silent(packet: Packet[Stream]) -> bool:
    """Whether all of an audio packet only warms up the decoder."""
    if not packet.has_sidedata("skip_samples") or not isinstance(packet.stream, AudioStream):
        return False
    (skipped,) = struct.unpack("<I", bytes(packet.get_sidedata("skip_samples"))[:4])
    return bool(skipped >= packet.stream.codec_context.frame_size > 0)
