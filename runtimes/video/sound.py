"""Sound that is encoded again: longer at the same pitch for slow motion, or in a codec that the container holds."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import MappingProxyType

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream

from runtimes.video.tracks import LAYOUTS, Setting

ENCODERS = MappingProxyType({"webm": "libopus"})
"""Container -> encoder of sound; AAC elsewhere."""

_SLOWEST = 2
"""The atempo filter slows down by at most this, and is chained for more."""

_HEARD = Fraction(40, 1000)
"""Seconds of missing sound that are filled with silence: EBU R 37 allows sound to be early by that much. Times in
milliseconds, as Matroska has them, jitter by less."""

_LONGEST = 3600
"""Seconds of silence at most, lest a broken time stamp asks for years of it."""

_SILENT = MappingProxyType({"u8": b"\x80", "u8p": b"\x80"})
"""Format of samples -> a byte of silence; zero in the signed ones."""


class EncodedSound:
    """Decodes one audio stream, stretches it with FFmpeg's atempo where asked to, and encodes it again."""

    def __init__(self, stream: AudioStream, setting: Setting, codec: str | None = None) -> None:
        """``codec`` is that of the container unless given.

        Raises ValueError or an FFmpeg error where the encoder refuses the sound.
        """
        self._setting, self._stream = setting, stream
        self.codec = codec or ENCODERS.get(setting.output.format.name, "aac")
        context = stream.codec_context
        named = context.layout.name
        own = LAYOUTS.get(context.channels, "stereo") if named.endswith("channels") else named
        rate, layout = encodable(self.codec, context.sample_rate, own)
        target = setting.output.add_stream(self.codec, rate=rate)
        assert isinstance(target, AudioStream)
        target.codec_context.layout = layout
        if layout != own:
            setting.note(f"audio stream {stream.index} is mixed from {named} to {layout}")
        self.target = target
        self._resampler = av.AudioResampler(target.codec_context.format, layout, rate)
        self._graph: Graph | None = None
        self._samples: int | None = None
        self._due: Fraction | None = None
        """Source time that the next frame has where nothing is missing."""
        self._filled = Fraction(0)
        self._jumps = 0
        self._bad = 0
        self._finished = False

    def take(self, packet: Packet[Stream]) -> None:
        """See :class:`~runtimes.video.tracks.Track`."""
        for frame in self._decode(packet):
            self._push(frame)

    def finish(self) -> None:
        """See :class:`~runtimes.video.tracks.Track`."""
        if self._finished:
            return
        self._finished = True
        for frame in self._decode(None):
            self._push(frame)
        if self._graph is not None:
            self._graph.push(None)
            self._drain()
            for frame in self._resampler.resample(None):
                self._encode(frame)
        self._mux(self.target.encode(None))
        if self._filled:
            self._setting.note(
                f"audio stream {self._stream.index} has gaps: {float(self._filled):.2f} s are filled with silence"
            )
        if self._jumps:
            self._setting.note(
                f"audio stream {self._stream.index} jumps ahead by more than an hour, {self._jumps} time(s): closed up"
            )
        if self._bad:
            self._setting.note(
                f"audio stream {self._stream.index} is damaged: {self._bad} packets could not be decoded and are left "
                "out"
            )

    def _decode(self, packet: Packet[Stream] | None) -> Sequence[AudioFrame]:
        """A broken packet costs itself only; which error a decoder gives for one is its own affair."""
        try:
            return self._stream.decode(packet)
        except OSError:
            raise
        except av.error.FFmpegError:
            self._bad += 1
            return ()

    def _push(self, frame: AudioFrame) -> None:
        unit = frame.time_base or self._stream.time_base  # what a decoder gives at its end has neither time nor unit
        assert unit is not None
        start = None if frame.pts is None else frame.pts * unit
        if self._graph is None:
            self._graph = self._build(frame, unit)
            self._due = start or Fraction(0)
            self._samples = round(self._setting.place(self._due) * self.target.codec_context.sample_rate)
        assert self._due is not None
        if start is not None and start - self._due > _HEARD:
            if start - self._due <= _LONGEST:
                self._fill(frame, start - self._due)
            else:
                self._jumps += 1
            self._due = start
        self._due += Fraction(frame.samples, frame.sample_rate)
        self._feed(frame)

    def _fill(self, frame: AudioFrame, seconds: Fraction) -> None:
        """Silence like ``frame``, a second at a time: samples are only counted from here on."""
        self._filled += seconds
        left = round(seconds * frame.sample_rate)
        while left > 0:
            silence = AudioFrame(frame.format.name, frame.layout.name, min(left, frame.sample_rate))
            silence.sample_rate, silence.time_base = frame.sample_rate, frame.time_base
            for plane in silence.planes:
                plane.update(_SILENT.get(frame.format.name, b"\0") * plane.buffer_size)
            left -= silence.samples
            self._feed(silence)

    def _feed(self, frame: AudioFrame) -> None:
        assert self._graph is not None
        try:
            self._graph.push(frame)
        except av.error.ArgumentError:  # another rate or layout than the first frame's
            self._bad += 1
            return
        self._drain()

    def _build(self, frame: AudioFrame, unit: Fraction) -> Graph:
        graph = Graph()
        chain = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=unit,
            )
        ]
        left = self._setting.slowdown
        while left > 1:
            step = min(left, Fraction(_SLOWEST))
            chain.append(graph.add("atempo", f"{float(1 / step):.9f}"))
            left /= step
        chain.append(graph.add("abuffersink"))
        graph.link_nodes(*chain).configure()
        return graph

    def _drain(self) -> None:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(frame, AudioFrame)
            for ready in self._resampler.resample(frame):
                self._encode(ready)

    def _encode(self, frame: AudioFrame) -> None:
        assert self._samples is not None
        frame.pts = self._samples
        frame.time_base = Fraction(1, self.target.codec_context.sample_rate)
        self._samples += frame.samples
        self._mux(self.target.encode(frame))

    def _mux(self, packets: Sequence[Packet[Stream]]) -> None:
        for packet in packets:
            try:
                self._setting.output.mux_one(packet)
            except OSError:
                raise
            except av.error.FFmpegError:
                self._bad += 1


def encodable(codec: str, rate: int, layout: str) -> tuple[int, str]:
    """A sample rate and a layout that an encoder opens with, the given ones if it does.

    Raises:
        ValueError: the encoder does not even take stereo.
    """
    for wanted in (layout, *(("5.1",) if av.AudioLayout(layout).nb_channels > 6 else ()), "stereo"):
        for each in (rate, 48000):
            context = av.CodecContext.create(codec, "w")
            assert isinstance(context, AudioCodecContext)
            assert context.codec.audio_formats is not None
            context.sample_rate, context.layout = each, wanted
            context.format = context.codec.audio_formats[0]
            context.time_base = Fraction(1, each)
            try:
                context.open()
            except (av.error.FFmpegError, ValueError):
                continue
            return each, wanted
    raise ValueError(f"{codec} refuses {rate} Hz {layout}")
