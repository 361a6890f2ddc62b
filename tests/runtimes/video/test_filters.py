"""No scaler of FFmpeg between the filters: frames keep their numbers, whatever their pixel format."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.format import VideoFormat

from runtimes.contract import Size
from runtimes.frames import Array
from runtimes.video.color import Converter
from runtimes.video.filters import DEINTERLACE, Filters, chain, taken
from runtimes.video.pixel_formats import Kind
from runtimes.video.rotation import ORIENTATIONS
from runtimes.video.source import VideoSource
from tests.runtimes.video.clips import BT709, Clip, draw, even, write_clip
from tests.runtimes.video.test_color import luma_of

CHAINS = [lines + turn for lines in ((), DEINTERLACE) for turn in ORIENTATIONS.values() if lines + turn]

FORMATS = sorted(
    {format.name for encoder in ("ffv1", "prores_ks", "png") for format in av.Codec(encoder, "w").video_formats or []}
    | {"uyvy422", "yuyv422", "y210le", "nv12", "nv16", "p010le", "p210le", "yuv422p10be", "yuv440p10le", "yuvj422p"}
    | {"gray9le", "gbrap14le", "x2rgb10le", "rgb24", "rgb565le", "pal8", "xv36le"}
)


@pytest.mark.parametrize("filters", CHAINS)
def test_frames_come_out_in_the_format_they_went_in(filters: Filters) -> None:
    converter = Converter(BT709)
    for name in FORMATS:
        format = taken(name, filters)
        graph = chain(filters, Size(64, 48), VideoFormat(format), Fraction(1, 25))
        for index in range(2):
            frame = converter.reformat(av.VideoFrame(64, 48, name), format)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            graph.push(frame)
        assert graph.pull().format.name == format, name
        before, after = Kind.of(name), Kind.of(format)
        assert (after.rgb, after.alpha) == (before.rgb, before.alpha), name
        assert after.depth >= min(16, before.depth), name
        assert all(a <= b for a, b in zip(after.chroma, before.chroma, strict=True)) or before.chroma == (0, 0), name


def combed(index: int) -> Array:
    frame = draw(8 * index)
    frame[1::2] = draw(8 * index + 4)[1::2]
    return frame


def found_in(source: VideoSource) -> tuple[list[av.VideoFrame], list[Array]]:
    """Frames, and their colours in steps of 8 bits."""
    frames = [frame.native for frame in source.frames() if frame.native is not None]
    source.close()
    rgb = [Converter(source.info.color).to_rgb(frame) for frame in frames]
    return frames, [pixels / (257 if pixels.dtype == np.uint16 else 1) for pixels in rgb]


@pytest.mark.parametrize(
    ("name", "turned", "deinterlaced"),
    [
        ("yuv422p", "yuv444p", "yuv422p"),
        ("yuv422p10le", "yuv444p10le", "yuv422p10le"),
        ("yuv440p10le", "yuv444p10le", "yuv444p10le"),
        ("yuv411p", "yuv444p", "yuv411p"),
        ("uyvy422", "yuv444p", "yuv422p"),
        ("gray10le", "gray10le", "gray16le"),
        ("yuv420p", "yuv420p", "yuv420p"),
    ],
)
def test_luma_stays_as_it_was(tmp_path: Path, name: str, turned: str, deinterlaced: str) -> None:
    """FFmpeg's scaler takes all for BT.601; luma of this clip is then off by 19 of 255."""
    codec, suffix = ("rawvideo", "mov") if name == "uyvy422" else ("ffv1", "mkv")
    clip = Clip(times=even(25, 3), codec=codec, pixel_format=name, options=(), pictures=combed)
    path = write_clip(tmp_path / f"in.{suffix}", clip)
    plain = VideoSource(str(path), lambda _: None)
    originals, colours = found_in(plain)
    if name == "uyvy422":
        originals = [Converter(BT709).reformat(frame, "yuv422p") for frame in originals]
    turning = write_clip(tmp_path / f"turned.{suffix}", Clip(**{**vars(clip), "rotation": 90}))
    for path_, filtered, deinterlace in ((turning, turned, False), (path, deinterlaced, True)):
        notes: list[str] = []
        source = VideoSource(str(path_), notes.append, deinterlace=deinterlace)
        frames, shown = found_in(source)
        assert source.info.pixel_format == filtered
        assert {frame.format.name for frame in frames} == {filtered}
        assert any("is filtered as" in note for note in notes) == (Kind.of(name) != Kind.of(filtered))
        for original, colour, frame, pixels in zip(originals, colours, frames, shown, strict=True):
            luma = luma_of(frame) >> (6 if filtered == "gray16le" else 0)
            if deinterlace:
                assert np.array_equal(luma[::2], luma_of(original)[::2])
            else:
                assert np.array_equal(luma, np.rot90(luma_of(original)))
                assert np.abs(pixels - np.rot90(colour)).mean() < 3
