"""What ``make demo`` runs, on small frames and random weights that move: its table and its pictures.

That its artifacts are those of any other export is in ``test_reproducible.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.demo import STEPS
from benchmarks.errors import BenchmarkError
from tests.export.conftest import Demonstration


def test_the_whole_demonstration(demonstration: Demonstration, require_device: Callable[[str, str], None]) -> None:
    require_device("onnxruntime", "cpu")
    for made_by in ("the mean of both frames", "PyTorch", "onnx on cpu, fp32", "strip.png", "slow.webp"):
        assert made_by in demonstration.shown
    with Image.open(demonstration.out / "strip.png") as strip:
        assert strip.width == 5 * 512
    with Image.open(demonstration.out / "slow.webp") as slow:
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
