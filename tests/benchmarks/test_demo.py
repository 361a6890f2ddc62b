"""What ``make demo`` runs, on small frames and random weights that move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.demo import STEPS
from benchmarks.errors import BenchmarkError
from export.parity_frames import moving_frame
from runtimes.contract import Size
from runtimes.frames import to_frame


def write_frames(folder: Path) -> Path:
    folder.mkdir()
    for name, time in (("frame0", 0.0), ("middle", 0.5), ("frame1", 1.0)):
        frame = to_frame(moving_frame(Size(96, 64), time), np.dtype(np.uint8))
        Image.fromarray(frame).save(folder / f"{name}.png")
    return folder


def test_the_whole_demonstration(
    tmp_path: Path,
    require_device: Callable[[str, str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    require_device("onnxruntime", "cpu")
    out = tmp_path / "out"
    frames = write_frames(tmp_path / "frames")
    assert main(["demo", "--model", "random:ifrnet_s", "--frames", str(frames), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    for made_by in ("the mean of both frames", "PyTorch", "onnx on cpu, fp32", "strip.png", "slow.webp"):
        assert made_by in shown
    with Image.open(out / "strip.png") as strip:
        assert strip.width == 5 * 512
    with Image.open(out / "slow.webp") as slow:
        pictures = []
        for i in range(getattr(slow, "n_frames", 1)):
            slow.seek(i)
            pictures.append(np.asarray(slow.convert("RGB"), np.int16))
    assert len(pictures) == 2 * STEPS
    steps = [float(np.abs(pictures[i + 1] - pictures[i]).mean()) for i in range(2 * STEPS - 1)]
    assert min(steps) > 1.0, f"a frame is shown twice: {steps}"


def test_a_folder_without_frames_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"frame0\.png is missing"):
        main(["demo", "--frames", str(tmp_path), "--out", str(tmp_path / "out")])
