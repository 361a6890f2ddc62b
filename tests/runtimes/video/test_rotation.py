"""All eight orientations of a display matrix."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

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
