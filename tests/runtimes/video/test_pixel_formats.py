"""The choice of a pixel format, and that frames only change where the choice says so."""

from __future__ import annotations

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.format import VideoFormat

from runtimes.__main__ import main
from runtimes.contract import Size
from runtimes.video.color import STANDARD, Color, Converter
from runtimes.video.errors import VideoError
from runtimes.video.pixel_formats import Kind, choose_format
from tests.runtimes.video.clips import BT709, Clip, draw, even, write_artifact, write_clip


def encoder_or_skip(name: str) -> str:
    """FFmpeg is built with other encoders elsewhere."""
    if name not in av.codecs_available:
        pytest.skip(f"this PyAV has no encoder {name}")
    return name


@pytest.mark.parametrize(
    ("native", "encoder", "expected", "said"),
    [
        ("yuv420p", "libx264", "yuv420p", ""),
        ("yuvj420p", "libx264", "yuv420p", ""),
        ("yuv422p10le", "libx264", "yuv422p10le", ""),
        ("yuv420p12le", "libx265", "yuv420p12le", ""),
        ("yuv420p12le", "libx264", "yuv420p10le", "10 bits and not 12"),
        ("yuv444p", "libsvtav1", "yuv420p", "chroma 4:2:0 and not 4:4:4"),
        ("yuv420p10le", "libvpx-vp9", "yuv420p", "8 bits and not 10"),
        ("rgb24", "libx264", "yuv420p", "RGB becomes YUV"),
        ("rgb48le", "libx264", "yuv420p10le", "10 bits and not 16"),
        ("bgra", "libx264", "yuv420p", "RGB becomes YUV"),
        ("yuva420p", "libx264", "yuv420p", ""),
        ("bgr0", "ffv1", "bgr0", ""),
        ("rgb24", "ffv1", "bgr0", ""),
        ("gbrp", "utvideo", "gbrp", ""),
        ("rgb48le", "ffv1", "rgb48le", ""),
        ("rgb48le", "png", "rgb48be", ""),
        ("rgb24", "libx264rgb", "rgb24", ""),
        ("gray", "libx264", "gray", ""),
        ("gray10le", "ffv1", "gray10le", ""),
        ("yuv420p", "prores_ks", "yuv422p10le", "10 bits and not 8, chroma 4:2:2 and not 4:2:0"),
        ("yuv444p", "prores_ks", "yuv444p10le", "10 bits and not 8"),
        ("yuv420p10le", "prores_ks", "yuv422p10le", "chroma 4:2:2 and not 4:2:0"),
        ("yuv420p12le", "prores_ks", "yuv422p10le", "10 bits and not 12"),
        ("yuv420p", "dnxhd", "yuv422p", "chroma 4:2:2"),
        ("yuv420p10le", "dnxhd", "yuv422p10le", "chroma 4:2:2"),
        ("yuv444p", "dnxhd", "yuv444p10le", "10 bits"),
        ("yuv420p", "huffyuv", "yuv422p", "chroma 4:2:2"),
        ("yuv420p10le", "hevc_nvenc", "p010le", ""),
        ("yuv422p10le", "hevc_nvenc", "p210le", ""),
        ("yuv420p", "hevc_qsv", "nv12", ""),
        ("yuv420p10le", "hevc_qsv", "p010le", ""),
        ("yuv420p12le", "hevc_qsv", "p012le", ""),
        ("yuv420p10le", "av1_amf", "p010le", ""),
        ("yuv420p", "h264_vaapi", "nv12", ""),
    ],
)
def test_the_nearest_format_is_chosen_and_the_loss_said(native: str, encoder: str, expected: str, said: str) -> None:
    name, why = choose_format(VideoFormat(native, 64, 64), encoder_or_skip(encoder))
    assert name == expected
    assert said in why
    assert bool(why) == bool(said)


NATIVES = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "rgb24", "gray"]


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "prores_ks", "dnxhd", "ffv1", "hevc_nvenc"])
def test_nothing_is_lost_where_it_could_be_kept(encoder: str) -> None:
    """By brute force over what the encoder offers, for lossy YUV sources."""
    offered = [fmt.name for fmt in av.codec.Codec(encoder_or_skip(encoder), "w").video_formats or []]
    known = [Kind.of(name) for name in offered if not name.startswith(("cuda", "yuvj")) and "msb" not in name]
    for native in NATIVES[:7]:
        source = Kind.of(native)
        chosen, why = choose_format(VideoFormat(native, 64, 64), encoder)
        after = Kind.of(chosen)
        keeps = [k for k in known if not k.rgb and k.depth >= source.depth and k.chroma != (0, 0)]
        if any(k.chroma[0] <= source.chroma[0] and k.chroma[1] <= source.chroma[1] for k in keeps):
            assert after.depth >= source.depth, native
            assert after.chroma[0] <= source.chroma[0], native
        elif keeps:
            assert after.depth >= source.depth, native
            assert "chroma" in why
        else:
            assert f"{after.depth} bits and not {source.depth}" in why


@pytest.mark.parametrize(("profile", "expected"), [("dnxhr_hqx", "yuv422p10le"), ("dnxhr_sq", "yuv422p")])
def test_a_profile_decides_the_format(profile: str, expected: str) -> None:
    assert choose_format(VideoFormat("yuv420p", 64, 64), "dnxhd", profile)[0] == expected
    assert choose_format(VideoFormat("yuv444p10le", 64, 64), "prores_ks", "hq")[0] == "yuv422p10le"


def test_odd_sizes() -> None:
    for native, size, encoder, expected in (
        ("yuv420p", (97, 63), "libx264", "yuv444p"),
        ("yuv420p10le", (96, 63), "libx264", "yuv444p10le"),
        ("yuv422p", (96, 63), "libx264", "yuv422p"),
        ("yuv420p", (97, 63), "ffv1", "yuv420p"),
        ("rgb24", (97, 63), "libx264", "yuv444p"),
    ):
        name, why = choose_format(VideoFormat(native, *size), encoder)
        assert name == expected
        assert ("is odd" in why) == (name != native and native != "rgb24")
    with pytest.raises(VideoError, match="none fits yuv420p at 97x63"):
        choose_format(VideoFormat("yuv420p", 97, 63), "libsvtav1")


@pytest.mark.parametrize(
    ("native", "packed"),
    [("yuv420p", "nv12"), ("yuv420p10le", "p010le"), ("yuv422p10le", "p210le"), ("yuv422p", "nv16")],
)
def test_another_packing_changes_nothing(native: str, packed: str) -> None:
    converter = Converter(BT709)
    frame = converter.from_rgb(draw(0), native)
    there = converter.reformat(frame, packed)
    assert there.format.name == packed
    back = converter.reformat(there, native)
    assert np.array_equal(back.to_ndarray(), frame.to_ndarray())


@pytest.mark.parametrize(
    ("encoder", "suffix", "native"),
    [
        *itertools.product(("prores_ks", "dnxhd"), (".mov",), ("yuv420p", "yuv420p10le", "yuv444p")),
        *itertools.product(("ffv1", "utvideo"), (".nut",), ("yuv420p", "yuv444p", "rgb24")),
    ],
)
def test_files_in_production_codecs(
    tmp_path: Path, blenders: list[object], encoder: str, suffix: str, native: str
) -> None:
    """Passed-through frames of lossless encoders decode to the very bytes of the source, in YUV and in RGB."""
    size = Size(256, 144)  # the smallest that DNxHR takes
    codec = "ffv1" if native == "rgb24" else "libx264"
    clip = Clip(
        times=even(25, 3),
        size=size,
        codec=codec,
        pixel_format={"rgb24": "bgr0"}.get(native, native),
        color=STANDARD if native == "rgb24" else BT709,
        options=() if codec == "ffv1" else (("qp", "0"), ("preset", "ultrafast")),
        pictures=lambda i: draw(i, size),
    )
    source = write_clip(tmp_path / "in.mkv", clip)
    folder = write_artifact(tmp_path / "wide", size)
    target = tmp_path / f"out{suffix}"
    assert main(["video", str(source), str(target), "--artifact", str(folder), "--encoder", encoder]) == 0
    before, after = decoded(source), decoded(target)
    assert len(after) == 6
    for a, b in zip(before, after[::2], strict=True):
        if encoder in ("ffv1", "utvideo"):
            assert b.format.name == {"rgb24": b.format.name}.get(native, native)
            assert pixels(a) == pixels(b)
            continue
        assert np.abs(shown(a) - shown(b)).mean() < 4


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def pixels(frame: av.VideoFrame) -> bytes:
    """What is shown, without the padding of rows; RGB as RGB, whatever its order."""
    if frame.format.is_rgb:
        return frame.to_ndarray(format="rgb24").tobytes()
    return frame.to_ndarray().tobytes()


def shown(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) RGB in steps of 8 bits."""
    rgb = Converter(Color.of(frame)).to_rgb(frame)
    return rgb / (257 if rgb.dtype == np.uint16 else 1)
