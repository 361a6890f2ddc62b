"""The VapourSynth filter: its own part everywhere, the whole where VapourSynth installs (Python 3.12 and later)."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path

import numpy as np
import pytest

import runtimes
from runtimes.artifact import read_manifest
from runtimes.errors import RuntimesError
from runtimes.frames import Array
from runtimes.vapoursynth_filter import interpolate, read_planes, write_planes
from tests.runtimes.video.clips import SIZE, Blender, draw, write_artifact

needs_vapoursynth = pytest.mark.skipif(
    importlib.util.find_spec("vapoursynth") is None,
    reason=f"vapoursynth is not installed: it is for Python 3.12 and later, this is {platform.python_version()}",
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_come_and_go(dtype: type) -> None:
    planes: list[Array] = [np.zeros((SIZE.height, SIZE.width), dtype) for _ in range(3)]
    rgb: Array = draw(3).astype(dtype)
    write_planes(planes, rgb)
    assert np.array_equal(planes[1], rgb[..., 1])
    assert np.array_equal(read_planes(planes), rgb)


@needs_vapoursynth
def test_the_filter_doubles_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import vapoursynth as vs

    monkeypatch.setattr(runtimes, "load", lambda path, **_: Blender(read_manifest(Path(path))))
    artifact = write_artifact(tmp_path / "artifact")
    black = vs.core.std.BlankClip(width=SIZE.width, height=SIZE.height, format=vs.RGB24, length=1, fpsnum=24)
    clip = black + vs.core.std.BlankClip(black, color=[200, 100, 50])
    doubled = interpolate(clip, artifact)
    assert (doubled.num_frames, doubled.fps) == (4, 48)
    means = [[float(np.asarray(doubled.get_frame(i)[p]).mean()) for p in range(3)] for i in range(4)]
    assert means == [[0, 0, 0], [100, 50, 25], [200, 100, 50], [200, 100, 50]]
    with pytest.raises(RuntimesError, match="expected RGB24 or RGB48"):
        interpolate(vs.core.resize.Bicubic(clip, format=vs.YUV420P8, matrix_s="709"), artifact)
