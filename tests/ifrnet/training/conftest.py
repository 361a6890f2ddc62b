"""Small training sets and pictures that all training tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ifrnet.training.synthetic import SyntheticMotion, SyntheticOptions


def picture(seed: int, height: int = 160, width: int = 200) -> NDArray[np.uint8]:
    """Smooth colours with detail: enlarged noise of two sizes. (H, W, 3)."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells, weight in ((8, 0.7), (40, 0.3)):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
    return np.rint(total).astype(np.uint8)


@pytest.fixture(scope="session")
def pictures() -> list[NDArray[np.uint8]]:
    """Three pictures (160, 200, 3)."""
    return [picture(seed) for seed in range(3)]


@pytest.fixture
def scenes(pictures: list[NDArray[np.uint8]]) -> SyntheticMotion:
    """Synthetic motion of 64 px samples without noise."""
    return SyntheticMotion(pictures, SyntheticOptions(side=64, fastest=12.0, noise=0.0))


@pytest.fixture
def picture_folder(tmp_path: Path, pictures: list[NDArray[np.uint8]]) -> Path:
    """The pictures as ``prepare`` stores them."""
    from ifrnet.training.clips import write_pictures

    folder = tmp_path / "pictures"
    write_pictures(pictures, folder)
    return folder
