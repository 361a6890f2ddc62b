"""All targets, exported once more in a process of its own: by the demonstration."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.parity_frames import moving_frame
from runtimes.contract import Size
from runtimes.frames import to_frame

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Demonstration:
    """What ``make demo`` left in its folder, and on the screen."""

    out: Path
    shown: str


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """What ``make demo`` runs, on small frames and random weights that move; it exports all targets once more."""
    out, frames = tmp_path_factory.mktemp("demonstration") / "out", tmp_path_factory.mktemp("frames")
    for name, time in (("frame0", 0.0), ("middle", 0.5), ("frame1", 1.0)):
        frame = to_frame(moving_frame(Size(160, 96), time), np.dtype(np.uint8))
        Image.fromarray(frame).save(frames / f"{name}.png")
    given = ("--model", "random:ifrnet_s", "--frames", str(frames), "--out", str(out))
    done = run_elsewhere("benchmarks", "demo", *given)
    assert "Warning:" not in done.stderr, done.stderr
    return Demonstration(out, done.stdout)


def run_elsewhere(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module in another process, with another hash seed and on another day."""
    environment = {**os.environ, "PYTHONHASHSEED": "17", "TZ": "Asia/Tokyo"}
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done
