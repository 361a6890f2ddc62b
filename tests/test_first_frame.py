"""The first minute of a user: an empty environment, one pip command, and a video twice as smooth, without PyTorch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ifrnet import interpolate, load_model
from runtimes.contract import Size
from runtimes.frames import Array
from tests.runtimes.video.clips import Clip, even, read_video, write_clip
from tests.test_wheel import build_wheel

pytestmark = pytest.mark.nightly

PICTURES = Path(__file__).parent.parent / "assets" / "bbb"
SIZE = Size(640, 360)
SECONDS = 120
MEGABYTES = 470
"""Measured: 455 on 3.13, 458 on 3.12 and 449 on 3.11, of which OpenVINO 186, PyAV 108, numpy 73, Pillow 23, compiled
Python 43, pip and setuptools 22, this package 27. With [onnx,video] it is 380."""


def pan(index: int) -> Array:
    """Frame ``index`` of a slow pan over a picture, SIZE as (H, W, 3)."""
    with Image.open(PICTURES / "frame0.png") as image:
        whole = np.asarray(image.convert("RGB"))
    y, x = (whole.shape[0] - SIZE.height) // 2, 2 * index
    return np.ascontiguousarray(whole[y : y + SIZE.height, x : x + SIZE.width])


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command of the user's, who has neither our variables nor our folder."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "IFRNET"))}
    environment = {**kept, "HOME": str(folder), "IFRNET_CACHE": str(folder / "cache")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def interpreter(version: str) -> str:
    """The program of a version of Python, or a skip where there is none."""
    probe = "import ensurepip, sys; print('%d.%d' % sys.version_info[:2])"
    installed = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    for program in [f"python{version}", *map(str, installed)]:
        if not shutil.which(program):
            continue
        answer = subprocess.run([program, "-c", probe], capture_output=True, text=True, check=False).stdout
        if answer.strip() == version:
            return program
    pytest.skip(f"there is no Python {version} with ensurepip here")


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_from_nothing_to_the_first_video(tmp_path: Path, version: str) -> None:
    python = interpreter(version)
    wheel = build_wheel(tmp_path)
    clip = Clip(times=even(Fraction(24), 48), size=SIZE, pictures=pan)
    write_clip(tmp_path / "in.mp4", clip)
    start = time.monotonic()
    run(tmp_path, python, "-m", "venv", "env")
    scripts = tmp_path / "env" / "bin"
    run(tmp_path, str(scripts / "python"), "-m", "pip", "install", "--quiet", f"{wheel}[openvino,video]")
    installed = time.monotonic() - start
    done = run(tmp_path, str(scripts / "ifrnet-runtimes"), "video", "in.mp4", "out.mp4")
    total = time.monotonic() - start
    listed = run(tmp_path, str(scripts / "python"), "-m", "pip", "list", "--format", "freeze").stdout.split()
    used = sum(path.stat().st_size for path in (tmp_path / "env").rglob("*") if path.is_file()) / 1e6
    print(f"{used:.0f} MB, installed in {installed:.0f} s, first video after {total:.0f} s", file=sys.stderr)
    assert not [line for line in listed if line.partition("==")[0] in ("torch", "onnx", "onnxruntime")]
    assert "proving ifrnet_s-openvino-int8-dynamic on cpu" in done.stderr
    assert "using ifrnet_s-openvino-int8-dynamic" in done.stderr
    assert len(read_video(tmp_path / "out.mp4")) == 96
    assert used < MEGABYTES
    assert total < SECONDS
    check_picture(tmp_path, scripts)


@pytest.mark.parametrize("version", ["3.12", "3.13"])
def test_the_vapoursynth_filter_where_it_installs(tmp_path: Path, version: str) -> None:
    run(tmp_path, interpreter(version), "-m", "venv", "env")
    python = str(tmp_path / "env" / "bin" / "python")
    run(tmp_path, python, "-m", "pip", "install", "--quiet", f"{build_wheel(tmp_path)}[openvino,vapoursynth]")
    done = run(tmp_path, python, "-c", VAPOURSYNTH)
    frames, rate, first, between, last = map(float, done.stdout.split())
    assert (frames, rate, first, last) == (4, 48, 0, 200)
    assert abs(between - 100) < 5  # a flat picture that turns brighter: no motion to find, so about the mean


VAPOURSYNTH = """
from pathlib import Path
import numpy as np, runtimes, vapoursynth as vs
from runtimes.vapoursynth_filter import interpolate
black = vs.core.std.BlankClip(width=320, height=180, format=vs.RGB24, length=1, fpsnum=24)
clip = black + vs.core.std.BlankClip(black, color=[200, 100, 50])
artifact = Path(runtimes.__file__).parent / "artifacts" / "ifrnet_s-openvino-int8-dynamic"
doubled = interpolate(clip, artifact)
means = [float(np.asarray(doubled.get_frame(i)[0]).mean()) for i in range(3)]
print(doubled.num_frames, doubled.fps, *means)
"""
"""In a process of its own: the filter with a real network."""


def check_picture(folder: Path, scripts: Path) -> None:
    """The second command proves nothing again, and its picture is PyTorch's."""
    a, b = (PICTURES / f"frame{i}.png" for i in (0, 1))
    done = run(folder, str(scripts / "ifrnet-runtimes"), "interpolate", str(a), str(b), "-o", "mid.png")
    assert "proving" not in done.stderr
    img0, img1 = (
        torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255  # (1, 3, H, W)
        for path in (a, b)
    )
    with torch.inference_mode():
        middle = interpolate(load_model("ifrnet_s"), img0, img1, torch.full((1, 1, 1, 1), 0.5))
    expected = 255 * middle[0].permute(1, 2, 0).numpy().astype(float)
    made = np.asarray(Image.open(folder / "mid.png")).astype(float)
    assert 10 * np.log10(255**2 / ((made - expected) ** 2).mean()) > 45.0
