"""YUV4MPEG2, the raw format of ffmpeg pipes: https://wiki.multimedia.cx/index.php/YUV4MPEG2"""

from __future__ import annotations

import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from av.video.frame import VideoFrame

from runtimes.video.color import bit_depth, without_jpeg_name
from runtimes.video.errors import VideoError
from runtimes.video.sink import STDOUT, OutputFormat, StagedFile

COLOURSPACES = MappingProxyType(
    {
        "yuv420p": "420jpeg",
        "yuv422p": "422",
        "yuv444p": "444",
        "gray": "mono",
        "yuv420p10le": "420p10 XYSCSS=420P10",
        "yuv422p10le": "422p10 XYSCSS=422P10",
        "yuv444p10le": "444p10 XYSCSS=444P10",
        "yuv420p12le": "420p12 XYSCSS=420P12",
        "yuv422p12le": "422p12 XYSCSS=422P12",
        "yuv444p12le": "444p12 XYSCSS=444P12",
        "yuv444p16le": "444p16 XYSCSS=444P16",
    }
)
"""Pixel format -> the C and X parameters that FFmpeg writes and reads."""

_SITINGS = MappingProxyType({"left": "420mpeg2", "topleft": "420paldv"})
"""Where chroma is sampled -> the C parameter for 4:2:0 in 8 bits; 420jpeg is the centre."""


class Y4mSink:
    """A .y4m file, or standard output."""

    def __init__(self, target: str, output_format: OutputFormat, *, force: bool) -> None:
        """Write the header.

        Raises:
            VideoError: the output has no constant rate, which the format needs.
            UsageError: the file exists.
        """
        if output_format.rate is None:
            raise VideoError("y4m has one frame rate and the source does not: pass --fps, for example --fps 60")
        own = without_jpeg_name(output_format.native)
        fallback = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le"}.get(
            bit_depth(output_format.native_format), "yuv444p16le"
        )
        self.pixel_format = own if own in COLOURSPACES else fallback
        self._rate, self._origin, self._count = output_format.rate, output_format.origin, 0
        self._staged = None if target == STDOUT else StagedFile(Path(target), force=force)
        self._file = sys.stdout.buffer if self._staged is None else self._staged.staging.open("wb")
        size, aspect = output_format.size, output_format.aspect or Fraction(1)
        chroma = _colourspace(self.pixel_format, output_format.extras.chroma)
        header = (
            f"YUV4MPEG2 W{size.width} H{size.height} F{self._rate.numerator}:{self._rate.denominator} "
            f"Ip A{aspect.numerator}:{aspect.denominator} C{chroma} "
            f"XCOLORRANGE={'FULL' if output_format.color.full else 'LIMITED'}\n"
        )
        self._file.write(header.encode("ascii"))

    def write(self, picture: VideoFrame, time: Fraction, duration: Fraction) -> None:
        """See :class:`~runtimes.video.sink.Sink`.

        Raises:
            VideoError: the frame is not due now, because the source's rate varies.
        """
        due = self._origin + self._count / self._rate
        if abs(time - due) * self._rate > Fraction(1, 2):
            raise VideoError(
                f"the source's frame rate varies (a frame at {float(time):.3f} s, due at {float(due):.3f} s), and y4m "
                "has one rate: pass --fps, for example --fps 60"
            )
        self._count += 1
        self._file.write(b"FRAME\n")
        for plane in picture.planes:
            row = plane.width * (2 if bit_depth(picture.format) > 8 else 1)
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, :row]
            self._file.write(rows.tobytes())

    def finish(self, *, whole: bool = True) -> None:
        """See :class:`~runtimes.video.sink.Sink`."""
        self._file.flush()
        if self._staged is not None:
            self._file.close()
            self._staged.finish()

    def discard(self) -> None:
        """See :class:`~runtimes.video.sink.Sink`."""
        if self._staged is not None:
            with suppress(OSError):  # what a full disk did not take is tried once more
                self._file.close()
            self._staged.discard()


def _colourspace(pixel_format: str, chroma: str) -> str:
    known = COLOURSPACES[pixel_format]
    return _SITINGS.get(chroma, known) if pixel_format == "yuv420p" else known
