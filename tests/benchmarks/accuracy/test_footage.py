"""The footage dataset: its list of samples, and the baselines on a known motion."""

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

from benchmarks.accuracy import datasets
from benchmarks.accuracy.datasets import Footage
from benchmarks.accuracy.methods import DisInterpolation, average
from benchmarks.accuracy.samples import Sample
from ifrnet.footage import triplets
from ifrnet.footage.catalogue import MEDIA
from ifrnet.footage.download import _cached_path
from runtimes.compare import psnr
from runtimes.frames import to_tensor


def pan(seed: int, count: int, speed: int = 4) -> list[NDArray[np.uint8]]:
    """A textured wall that moves to the left, (80, 112, 3)."""
    noise = np.random.default_rng(seed).integers(0, 256, (16, 64, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(noise).resize((400, 80), Image.Resampling.BICUBIC))
    return [np.ascontiguousarray(wide[:, speed * i : speed * i + 112]) for i in range(count)]


def sample(t: float = 0.5) -> Sample:
    frames = pan(0, 5, 2)
    return Sample(
        id="pan", group="pan", window="pan", frame0=frames[0], frame1=frames[4], t=t, truth=frames[round(4 * t)]
    )


def test_averaging_weighs_by_time() -> None:
    out = average(sample(0.25))
    first, last = to_tensor(sample().frame0), to_tensor(sample().frame1)
    assert np.allclose(out, 0.75 * first + 0.25 * last, atol=1e-6)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.75])
def test_flow_interpolation_beats_averaging_where_things_move(t: float) -> None:
    truth = to_tensor(sample(t).truth)[..., 8:-8, 16:-16]
    flow, blend = (method(sample(t))[..., 8:-8, 16:-16] for method in (DisInterpolation(), average))
    assert psnr(flow, truth) > psnr(blend, truth) + 6.0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A footage cache that holds small videos under the names of the evaluation clips."""
    rows = dict(MEDIA)
    rows["bbb"] = replace(MEDIA["bbb"], evaluation=(4, 15))
    for module in (triplets, datasets):
        monkeypatch.setattr(module, "MEDIA", MappingProxyType(rows))
    for seed, name in enumerate(("phone", "cup", "bbb")):
        with av.open(str(_cached_path(MEDIA[name], tmp_path)), "w") as out:
            stream = out.add_stream("mpeg4", rate=Fraction(24))
            stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 112, 80, "yuv420p", 4_000_000
            for frame in pan(seed, 20):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            out.mux(stream.encode())
    return tmp_path


def test_the_list_is_the_same_every_time_and_inside_the_range(cache: Path) -> None:
    lists = [[(s.id, s.group, s.t) for s in Footage(cache, per_clip=4).samples()] for _ in range(2)]
    assert lists[0] == lists[1]
    assert len(lists[0]) == len(Footage(cache, per_clip=4)) == 12
    film = [tuple(map(int, id_.split("/")[1].split("-"))) for id_, group, _ in lists[0] if group == "bbb"]
    assert all(4 <= first < middle < last <= 15 for first, middle, last in film)
    assert {t for _, _, t in lists[0]} == {0.5}
    first = next(Footage(cache, per_clip=4).samples())
    assert first.frame0.shape == first.truth.shape == (80, 112, 3)
    assert any("Blender Foundation" in line for line in Footage(cache).notes)
