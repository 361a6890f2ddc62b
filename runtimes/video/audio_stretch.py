"""Sound for slow motion: longer at the same pitch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream

ENCODERS = {"webm": "libopus"}
"""Container -> encoder of stretched sound; AAC elsewhere."""

_SLOWEST = 2
"""The atempo filter slows down by at most this, and is chained for more."""


class AudioStretcher:
    """Decodes one audio stream, stretches it with FFmpeg's atempo, and encodes it again."""

    def __init__(
        self,
        stream: AudioStream,
        output: OutputContainer,
        slowdown: Fraction,
        *,
        place: Callable[[Fraction], Fraction],
        note: Callable[[str], None],
    ) -> None:
        """``place`` maps source times to output times, for where the sound begins."""
        self._output, self._place, self._note = output, place, note
        rate = stream.codec_context.sample_rate
        name = ENCODERS.get(output.format.name, "aac")
        target = output.add_stream(name, rate=48000 if name == "libopus" else rate)
        assert isinstance(target, AudioStream)
        target.codec_context.layout = stream.codec_context.layout.name
        target.metadata.update(stream.metadata)
        self._stream, self._target, self._slowdown = stream, target, slowdown
        self._resampler = av.AudioResampler(
            target.codec_context.format, target.codec_context.layout, target.codec_context.sample_rate
        )
        self._graph: Graph | None = None
        self._samples: int | None = None
        self._finished = False
        self._bad = 0

    def take(self, packet: Packet[Stream]) -> None:
        """Add one packet of the source."""
        for frame in self._decode(packet):
            self._push(frame)

    def finish(self) -> None:
        """Write what the filter and the encoder still hold."""
        if self._finished:
            return
        self._finished = True
        for frame in self._decode(None):
            self._push(frame)
        if self._bad:
            self._note(
                f"audio stream {self._stream.index} is damaged: {self._bad} packets could not be decoded and are left "
                "out"
            )
        if self._graph is not None:
            self._graph.push(None)
            self._drain()
            for frame in self._resampler.resample(None):
                self._encode(frame)
        self._output.mux(self._target.encode(None))

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
        if self._graph is None:
            self._graph = self._build(frame)
            assert frame.time_base is not None
            start = (frame.pts or 0) * frame.time_base
            self._samples = round(self._place(start) * self._target.codec_context.sample_rate)
        try:
            self._graph.push(frame)
        except av.error.ArgumentError:  # another rate or layout than the first frame's
            self._bad += 1
            return
        self._drain()

    def _build(self, frame: AudioFrame) -> Graph:
        graph = Graph()
        chain = [
            graph.add_abuffer(
                sample_rate=frame.sample_rate,
                format=frame.format.name,
                layout=frame.layout.name,
                time_base=frame.time_base,
            )
        ]
        left = self._slowdown
        while left > 1:
            step = min(left, Fraction(_SLOWEST))
            chain.append(graph.add("atempo", f"{float(1 / step):.9f}"))
            left /= step
        chain.append(graph.add("abuffersink"))
        for one, following in pairwise(chain):
            one.link_to(following)
        graph.configure()
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
        frame.time_base = Fraction(1, self._target.codec_context.sample_rate)
        self._samples += frame.samples
        self._output.mux(self._target.encode(frame))
