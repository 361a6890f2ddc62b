"""Between the YUV of video and the RGB of the network, with matrix and range named on every conversion.

swscale guesses 601 for whatever is not told, its fast paths shift chroma, and its full-range chroma of 8 bits is half a
step low; all three are ruled out here. Measured (swscale 9.5): luma survives YUV 4:2:0 -> RGB -> YUV unchanged, chroma
at 71 dB; RGB -> YUV is within one step of the defining formulas. Full range above 8 bits stays 1.5 of 1023 off.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from runtimes.frames import Array
from runtimes.video.errors import VideoError

_EXACT = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)

_MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
"""MatrixCoefficients of ITU-T H.273 -> what swscale calls it. BT.2020 constant luminance is treated as non-constant."""

HDR_TRANSFERS = MappingProxyType({16: "PQ", 18: "HLG"})
"""TransferCharacteristics of ITU-T H.273 that need to be said: without, the picture looks washed out."""

WIDE_PRIMARIES = 9
"""ColourPrimaries of BT.2020."""

_UNSPECIFIED = 2

_SAME_TRANSFERS = {6: 1, 14: 1, 15: 1}
"""Numbers of the function that BT.709 has, in BT.601 and BT.2020."""

_ROUNDED = ("yuv420p", "yuv422p", "yuv444p")
"""Formats that are made in 16 bits and rounded here where the range is full."""


@dataclass(frozen=True, kw_only=True)
class Color:
    """How the numbers of a video mean colours; integers are those of ITU-T H.273.

    Attributes:
        matrix: MatrixCoefficients, never unspecified.
        full: full range (0..255) and not limited (16..235).
        primaries, transfer: carried to the output unchanged.
        assumed: what the file did not say and was taken by convention, for people; empty when it said all.
    """

    matrix: int
    full: bool
    primaries: int = _UNSPECIFIED
    transfer: int = _UNSPECIFIED
    assumed: str = ""

    @classmethod
    def of(cls, frame: VideoFrame) -> Color:
        """Read a decoded frame's tags. Unspecified: 709 from 720 lines up, else 601; limited range, of
        gray full range. RGB: what it is encoded as where it becomes YUV, 709 unless it says BT.2020 or HDR.

        Raises:
            VideoError: a matrix that swscale does not have, such as YCgCo.
        """
        said, assumed = _said(frame), []
        if _is_rgb(frame.format):
            return replace(STANDARD, **said, matrix=9 if said.get("primaries") == WIDE_PRIMARIES else STANDARD.matrix)
        if "matrix" not in said:
            said["matrix"] = 1 if frame.height >= 720 or frame.width >= 1280 else 6
            assumed.append("BT.709" if said["matrix"] == 1 else "BT.601")
        if "full" not in said:
            said["full"] = _is_gray(frame.format)  # FFmpeg makes no other gray
            assumed.append("full range" if said["full"] else "limited range")
        return cls(**said, assumed=" and ".join(assumed))

    def later(self, frame: VideoFrame) -> Color:
        """Of a later frame of the same video: what it does not say is as it was.

        Raises:
            VideoError: see :meth:`of`.
        """
        return replace(self, **_said(frame), assumed="")

    def is_converted_like(self, other: Color) -> bool:
        """Whether the numbers of both are the same RGB."""
        return (_MATRICES[self.matrix], self.full) == (_MATRICES[other.matrix], other.full)

    def shifts(self, later: Color) -> list[str]:
        """What a later frame has otherwise and no matrix converts; after nothing was said, BT.2020 and HDR only."""
        before, after = (_SAME_TRANSFERS.get(color.transfer, color.transfer) for color in (self, later))
        found = ["primaries"] * _shifts(self.primaries, later.primaries, (WIDE_PRIMARIES,))
        return found + ["transfer"] * _shifts(before, after, HDR_TRANSFERS)

    def __str__(self) -> str:
        name = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020", 10: "BT.2020"}[
            self.matrix
        ]
        return f"{name}, {'full' if self.full else 'limited'} range{' (assumed)' if self.assumed else ''}"


STANDARD = Color(matrix=1, full=False, primaries=1, transfer=1)
"""What RGB sources are encoded as that say nothing else: BT.709, limited range."""


class Converter:
    """Converts frames of one video. Not for use from several threads: each stage has its own."""

    def __init__(self, color: Color) -> None:
        self._color = color
        self._reformatter = VideoReformatter()

    def to_rgb(self, frame: VideoFrame, *, alpha: bool = False) -> Array:
        """(H, W, 3) uint8, or uint16 where the frame has more than 8 bits; with ``alpha`` (H, W, 4)."""
        name = rgb_format(deep=bit_depth(frame.format) > 8, alpha=alpha)
        return np.ascontiguousarray(self._convert(frame, name, rgb_in=frame.format.is_rgb, rgb_out=True).to_ndarray())

    def from_rgb(self, rgb: Array, name: str) -> VideoFrame:
        """A frame of pixel format ``name`` in this video's matrix and range, from (H, W, 3) or, with alpha, 4."""
        return self._tag(self._of_rgb(VideoFrame.from_ndarray(rgb, format=format_of(rgb)), name))

    def reformat(self, frame: VideoFrame, name: str) -> VideoFrame:
        """The frame itself when it has that format already, untouched."""
        if frame.format.name == name:
            return frame
        if frame.format.is_rgb:
            return self._tag(self._of_rgb(frame, name))
        return self._tag(self._convert(frame, name, rgb_in=False, rgb_out=VideoFormat(name).is_rgb))

    def _of_rgb(self, frame: VideoFrame, name: str) -> VideoFrame:
        if self._color.full and without_jpeg_name(name) in _ROUNDED:
            deep = self._convert(frame, without_jpeg_name(name) + "16le", rgb_in=True, rgb_out=False)
            return _rounded(deep, name)
        return self._convert(frame, name, rgb_in=True, rgb_out=VideoFormat(name).is_rgb)

    def thumbnail(self, frame: VideoFrame, width: int, height: int) -> Array:
        """A small (height, width, 3) uint8 RGB picture."""
        return self._convert(
            frame, "rgb24", rgb_in=frame.format.is_rgb, rgb_out=True, width=width, height=height, how=Interpolation.AREA
        ).to_ndarray()

    def _convert(
        self,
        frame: VideoFrame,
        name: str,
        *,
        rgb_in: bool,
        rgb_out: bool,
        width: int | None = None,
        height: int | None = None,
        how: Interpolation = _EXACT,
    ) -> VideoFrame:
        matrix = _MATRICES[self._color.matrix]
        if _is_gray(frame.format) != _is_gray(VideoFormat(name)):
            return self._convert_gray(frame, name, rgb_in=rgb_in, rgb_out=rgb_out, width=width, height=height, how=how)
        own = ColorRange.JPEG if self._color.full or name.startswith("yuvj") else ColorRange.MPEG
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=name,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=ColorRange.JPEG if rgb_in or frame.format.name.startswith("yuvj") else own,
            dst_color_range=ColorRange.JPEG if rgb_out else own,
            interpolation=how,
            threads=1,  # the pipeline's stages run side by side already
        )

    def _convert_gray(self, frame: VideoFrame, name: str, *, rgb_in: bool, **rest: Any) -> VideoFrame:
        """By way of YUV, whose luma it is: swscale takes all gray for full range, and for another matrix's."""
        if _is_gray(frame.format):
            yuv = VideoFrame(frame.width, frame.height, _with_chroma(frame.format.name))
            for plane in yuv.planes[1:]:
                _samples(plane, yuv.format)[:] = 1 << bit_depth(yuv.format) - 1
            _samples(yuv.planes[0], yuv.format)[:] = _samples(frame.planes[0], frame.format)
            return self._convert(yuv, name, rgb_in=False, **rest)
        yuv = self._convert(frame, _with_chroma(name), rgb_in=rgb_in, **rest)
        gray = VideoFrame(yuv.width, yuv.height, name)
        _samples(gray.planes[0], gray.format)[:] = _samples(yuv.planes[0], yuv.format)
        return gray

    def _tag(self, frame: VideoFrame) -> VideoFrame:
        if not frame.format.is_rgb:
            frame.colorspace = self._color.matrix
            frame.color_range = ColorRange.JPEG if self._color.full else ColorRange.MPEG
        frame.color_primaries, frame.color_trc = self._color.primaries, self._color.transfer
        return frame


def _said(frame: VideoFrame) -> dict[str, Any]:
    """What the tags of a frame say, by the names of :class:`Color`.

    Raises:
        VideoError: a matrix that swscale does not have.
    """
    said: dict[str, Any] = {"primaries": int(frame.color_primaries), "transfer": int(frame.color_trc)}
    if not _is_rgb(frame.format):
        matrix = said["matrix"] = int(frame.colorspace) or _UNSPECIFIED  # 0 is RGB
        if matrix not in (_UNSPECIFIED, *_MATRICES):
            raise VideoError(
                f"the video's colour matrix is number {matrix} of ITU-T H.273; expected one of {sorted(_MATRICES)}: "
                "convert it first, for example with ffmpeg -vf colorspace=bt709"
            )
    said = {name: number for name, number in said.items() if number != _UNSPECIFIED}
    if not _is_rgb(frame.format):
        if frame.format.name.startswith("yuvj"):
            said["full"] = True
        elif frame.color_range != ColorRange.UNSPECIFIED:
            said["full"] = frame.color_range == ColorRange.JPEG
    return said


def _shifts(before: int, after: int, told_apart: Container[int]) -> bool:
    return before != after and (before != _UNSPECIFIED or after in told_apart)


def _is_rgb(format: VideoFormat) -> bool:
    return format.is_rgb or format.name == "pal8"


def _is_gray(format: VideoFormat) -> bool:
    """Whether there is luma alone, in whole numbers of at most 16 bits: FFmpeg has no YUV of more."""
    return format.name.startswith("gray") and not format.name.startswith("grayf") and bit_depth(format) <= 16


def _with_chroma(gray: str) -> str:
    """YUV of the same bits: ``gray10le`` is the luma of ``yuv444p10le``."""
    return f"yuv444p{gray.removeprefix('gray')}"


def _samples(plane: VideoPlane, format: VideoFormat) -> NDArray[Any]:
    """(H, W), to read and to write."""
    kind = "u1" if bit_depth(format) <= 8 else ">u2" if format.is_big_endian else "<u2"
    return np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[:, : plane.width]


def _rounded(deep: VideoFrame, name: str) -> VideoFrame:
    """Full-range planes of 16 bits -> 8 bits, to the nearest. Neutral chroma is 32768 and 128: not 257 times."""
    frame = VideoFrame(deep.width, deep.height, name)
    for source, target, half in zip(deep.planes, frame.planes, (128, 256, 256), strict=True):
        _samples(target, frame.format)[:] = (_samples(source, deep.format).astype(np.uint32) + half) // 257
    return frame


def rgb_format(*, deep: bool, alpha: bool) -> str:
    """The pixel format of arrays with 16 bits (``deep``) or 8, with transparency or without."""
    if deep:
        return "rgba64le" if alpha else "rgb48le"
    return "rgba" if alpha else "rgb24"


def format_of(rgb: Array) -> str:
    """The pixel format of an (H, W, 3) array, or of (H, W, 4) with transparency."""
    return rgb_format(deep=rgb.dtype == np.uint16, alpha=rgb.shape[2] == 4)


def bit_depth(format: VideoFormat) -> int:
    """Bits of the widest component; palettes count as 8."""
    return 8 if format.name == "pal8" else max(component.bits for component in format.components)


def without_jpeg_name(name: str) -> str:
    """``yuvj420p`` is an old name of full-range ``yuv420p``."""
    return name.replace("yuvj", "yuv")


def has_alpha(format: VideoFormat) -> bool:
    """Whether there is transparency, which the network does not see."""
    return any(component.is_alpha for component in format.components)


def seconds(value: Fraction) -> str:
    """For messages: ``3.208 s``."""
    return f"{float(value):.3f} s"
