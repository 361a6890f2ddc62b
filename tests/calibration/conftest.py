"""Footage as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calibration.moving import Frames


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[Frames], Path]:
    """Writes frames as PNG files into a new folder."""
    from PIL import Image

    def write(frames: Frames) -> Path:
        path = tmp_path / f"frames{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(path / f"{i:03d}.png")
        return path

    return write
