"""All eight orientations of a display matrix."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from runtimes.contract import Size
from runtimes.video.errors import VideoError
from runtimes.video.source import VideoSource
from tests.runtimes.video.clips import SIZE, draw


@pytest.mark.parametrize("vflip", [False, True])
@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_frames_are_shown_upright_without_loss(tmp_path: Path, degrees: int, hflip: bool, vflip: bool) -> None:
    """The flag turns counter-clockwise and then mirrors; pixels are moved and not changed."""
    path = tmp_path / "in.mp4"
    gray = draw(0)[..., 1]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "gray"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(degrees, hflip=hflip, vflip=vflip)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="gray")))
        container.mux(stream.encode(None))
    expected = np.rot90(gray, degrees // 90)
    expected = expected[:, ::-1] if hflip else expected
    expected = expected[::-1] if vflip else expected
    source = VideoSource(str(path), lambda _: None)
    (frame,) = source.frames()
    assert frame.native is not None
    luma = frame.native.to_ndarray()[: expected.shape[0]]  # decoded as YUV 4:2:0, whose chroma planes follow
    assert np.array_equal(luma, expected)
    assert (source.info.size.height, source.info.size.width) == expected.shape
    assert source.info.aspect == (Fraction(3, 4) if degrees in (90, -90) else Fraction(4, 3)), "pixels turn as well"
    source.close()


@pytest.mark.parametrize("degrees", [90, 180])
def test_fields_are_those_before_the_turn(tmp_path: Path, degrees: int) -> None:
    """Once it is turned, fields are columns, or the second one comes first."""
    found = []
    for angle in (0, degrees):
        path = tmp_path / f"{angle}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"qp": "0", "preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = SIZE.width, SIZE.height, "gray"
            stream.set_display_rotation(angle)
            for index in range(6):
                woven = draw(2 * index)[..., 1].copy()
                woven[1::2] = draw(2 * index + 1)[1::2, :, 1]
                container.mux(stream.encode(av.VideoFrame.from_ndarray(woven, format="gray")))
            container.mux(stream.encode(None))
        source = VideoSource(str(path), lambda _: None, deinterlace=True)
        found.append([frame.native.to_ndarray(format="gray") for frame in source.frames() if frame.native is not None])
        source.close()
    plain, turned = found
    assert len(plain) == len(turned) == 6
    assert all(np.array_equal(np.rot90(a, degrees // 90), b) for a, b in zip(plain, turned, strict=True))


def changing(path: Path, *kinds: tuple[Size, str], degrees: int) -> Path:
    """Four frames of each size and pixel format, one after the other in one stream of Motion JPEG."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = kinds[0][0].width, kinds[0][0].height, kinds[0][1]
        stream.set_display_rotation(degrees)
        for part, (size, format) in enumerate(kinds):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.width, encoder.height, encoder.pix_fmt = size.width, size.height, format
            encoder.time_base, encoder.options = Fraction(1, 25), {"q": "2"}
            for index in range(4 * part, 4 * part + 4):
                frame = av.VideoFrame.from_ndarray(draw(index, size), format="rgb24").reformat(format=format)
                frame.pts, frame.time_base = index, encoder.time_base
                for packet in encoder.encode(frame):
                    packet.stream = stream
                    container.mux_one(packet)
    return path


@pytest.mark.parametrize("degrees", [0, 90, 180])
def test_a_turned_video_may_not_change_its_size(tmp_path: Path, degrees: int) -> None:
    """The filter that turns would read past the end of a smaller frame."""
    path = changing(tmp_path / "in.mkv", (SIZE, "yuvj420p"), (Size(64, 48), "yuvj420p"), degrees=degrees)
    source = VideoSource(str(path), lambda _: None)
    with pytest.raises(VideoError, match=r"changes from 96x64 to 64x48 at 0\.160 s: cut it there"):
        list(source.frames())
    source.close()


@pytest.mark.parametrize("deinterlace", [False, True])
@pytest.mark.parametrize("degrees", [0, 90])
def test_a_change_of_pixel_format_is_converted(tmp_path: Path, degrees: int, deinterlace: bool) -> None:
    path = changing(tmp_path / "in.mkv", (SIZE, "yuvj444p"), (SIZE, "yuvj420p"), degrees=degrees)
    notes: list[str] = []
    source = VideoSource(str(path), notes.append, deinterlace=deinterlace)
    for index, frame in enumerate(source.frames()):
        assert frame.native is not None
        assert frame.native.format.name == "yuvj444p"
        assert frame.time == Fraction(index, 25)
        off = frame.native.to_ndarray(format="rgb24").astype(int) - np.rot90(draw(index), degrees // 90)
        assert np.abs(off).mean() < 6
    assert sum("changes to yuvj420p at 0.160 s, which is converted to yuvj444p" in note for note in notes) == 1
    source.close()
