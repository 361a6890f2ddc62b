"""Animated GIFs with a palette for each frame."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.frame import VideoFrame

from runtimes.frames import Array
from runtimes.video.containers import open_output
from runtimes.video.errors import VideoError
from runtimes.video.sink import OutputFormat, StagedFile

FASTEST = 50
"""Frames a second: GIF counts in hundredths, and viewers slow down whatever is shorter than two."""

_UNIT = Fraction(1, 100)

_CONTROL = b"\x21\xf9\x04"
"""How a graphic control extension begins; a byte of flags and the length of the frame follow."""


class GifSink:
    """A GIF that loops for ever. Times are rounded to hundredths of a second, without drift."""

    pixel_format = None

    def __init__(self, path: Path, output_format: OutputFormat, *, force: bool) -> None:
        """Open the file.

        Raises:
            VideoError: more frames a second than GIF has.
            UsageError: the file exists.
        """
        if output_format.rate is not None and output_format.rate > FASTEST:
            raise VideoError(
                f"GIF shows at most {FASTEST} frames a second, this would be {float(output_format.rate):g}: "
                f"pass --fps {FASTEST}, or --slowmo {float(output_format.rate / FASTEST):.3g} or more"
            )
        self._staged = StagedFile(path, force=force)
        size = output_format.size
        self._container = open_output(self._staged.staging, {"loop": "0"}, format="gif")
        stream = self._container.add_stream("gif", rate=100)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, "pal8"
        stream.time_base = stream.codec_context.time_base = _UNIT
        self._stream = stream
        self._format = "rgba" if output_format.alpha else "rgb24"
        self._graph = _palettes(size.width, size.height, self._format)
        self._origin, self._last = output_format.origin, -1
        self._length, self._bytes = 0, 0

    def write(self, picture: Array, time: Fraction, duration: Fraction) -> None:
        """See :class:`~runtimes.video.sink.Sink`.

        Raises:
            VideoError: the frame is due in the same hundredth of a second as the one before.
        """
        rgb = picture if picture.dtype == "uint8" else (picture >> 8).astype("uint8")
        frame = VideoFrame.from_ndarray(rgb, format=self._format)
        begin = round((time - self._origin) / _UNIT)
        if begin <= self._last:
            raise VideoError(
                f"GIF counts in hundredths of a second, and the frame at {float(time):.3f} s is less than one after "
                f"the frame before it: pass --fps, for example --fps {FASTEST}"
            )
        self._last = begin
        frame.time_base, frame.pts = _UNIT, begin
        frame.duration = round((time + duration - self._origin) / _UNIT) - begin
        self._graph.push(frame)
        mapped = self._graph.pull()
        assert isinstance(mapped, VideoFrame)
        mapped.pts, mapped.time_base, mapped.duration = frame.pts, _UNIT, frame.duration
        packets = self._stream.encode(mapped)
        self._length, self._bytes = frame.duration, sum(packet.size for packet in packets)
        self._container.mux(packets)

    def finish(self, *, whole: bool = True) -> None:
        """See :class:`~runtimes.video.sink.Sink`."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        self._say_length_of_last()
        self._staged.finish()

    def _say_length_of_last(self) -> None:
        """The muxer knows how long a frame shows by the next one. The last one ends the file, but for a byte."""
        with self._staged.staging.open("r+b") as file:
            file.seek(-1 - self._bytes, os.SEEK_END)
            if file.read(len(_CONTROL)) == _CONTROL:  # otherwise it is the only one, and does not end
                file.seek(1, os.SEEK_CUR)
                file.write(min(max(2, self._length), 0xFFFF).to_bytes(2, "little"))

    def discard(self) -> None:
        """See :class:`~runtimes.video.sink.Sink`."""
        with suppress(av.error.FFmpegError, OSError, ValueError):  # of a file that is removed in the next line
            self._container.close()
        self._staged.discard()


def _palettes(width: int, height: int, format: str) -> Graph:
    """RGB -> the best 256 colours of each frame, dithered in an ordered pattern, which does not flicker.

    With alpha one of them is transparency, for what is more than half transparent: GIF has no more.
    """
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=VideoFormat(format), time_base=_UNIT)
    split = graph.add("split")
    generate = graph.add("palettegen", f"stats_mode=single:reserve_transparent={int(format == 'rgba')}")
    use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=4")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(generate, 1, 0)
    generate.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
