"""Small videos under the names of the evaluation clips."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.accuracy import footage
from ifrnet.footage import triplets
from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.download import _cached_path


def pan(seed: int, count: int, speed: int = 4) -> list[NDArray[np.uint8]]:
    """A textured wall that moves to the left, (80, 112, 3)."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 64, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(noise).resize((400, 80), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(wide[:, speed * i : speed * i + 112]) for i in range(count)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A footage cache that holds small videos under the names of the evaluation clips."""
    rows = dict(MEDIA)
    rows["bbb"] = replace(MEDIA["bbb"], evaluation=(4, 15))
    for module in (triplets, footage):
        monkeypatch.setattr(module, "MEDIA", MappingProxyType(rows))
    for seed, name in enumerate(("phone", "cup", "run", "bbb")):
        with av.open(str(_cached_path(MEDIA[name], tmp_path)), "w") as out:
            stream = out.add_stream("mpeg4", rate=Fraction(24))
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 112, 80, "yuv420p", 4_000_000
            for frame in pan(seed, 20):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode())
    return tmp_path
