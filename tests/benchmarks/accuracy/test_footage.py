"""The footage dataset: its list of samples, and the baselines on a known motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.footage import Footage
from benchmarks.accuracy.methods import DisInterpolation, Minterpolate, average
from benchmarks.accuracy.samples import Sample
from benchmarks.accuracy.score_log import Score
from benchmarks.accuracy.summary import summarise
from runtimes.compare import psnr
from runtimes.frames import to_tensor
from tests.benchmarks.accuracy.conftest import pan


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
    blend = average(sample(t))[..., 8:-8, 16:-16]
    for method in (DisInterpolation(), Minterpolate()):
        assert psnr(method(sample(t))[..., 8:-8, 16:-16], truth) > psnr(blend, truth) + 6.0


def test_the_list_is_the_same_every_time_and_inside_the_range(cache: Path) -> None:
    lists = [[(s.id, s.group, s.t) for s in Footage(cache, per_clip=4).samples()] for _ in range(2)]
    assert lists[0] == lists[1]
    assert len(lists[0]) == len(Footage(cache, per_clip=4)) == 4 * (4 + 2 * 4)
    film = [tuple(map(int, id_.split("/")[1].split("-"))) for id_, group, _ in lists[0] if group.startswith("bbb")]
    assert all(4 <= first < middle < last <= 15 for first, middle, last in film)
    assert {t for _, group, t in lists[0] if "quarters" not in group} == {0.5}
    assert {t for _, group, t in lists[0] if "quarters" in group} == {0.25, 0.75}
    first = next(Footage(cache, per_clip=4).samples())
    assert first.frame0.shape == first.truth.shape == (80, 112, 3)
    assert any("Blender Foundation" in line for line in Footage(cache).notes)


def test_the_motion_of_a_pair_is_that_of_its_frames(cache: Path) -> None:
    samples = list(Footage(cache, per_clip=2).samples())
    moved = [s.motion for s in samples if "quarters" not in s.group]
    assert moved == pytest.approx([8.0] * len(moved), abs=1.5)  # 4 px a frame, two frames apart
    assert all(s.motion is not None for s in samples)


def test_quarters_of_a_window_are_measured_once_and_resumed_together(cache: Path) -> None:
    every = list(Footage(cache, per_clip=2).samples())
    windows = {s.window for s in every if "quarters" in s.group}
    assert all(sum(s.window == window for s in every) == 2 for window in windows)
    left = list(Footage(cache, per_clip=2).samples(done=windows))
    assert [s.id for s in left] == [s.id for s in every if s.window not in windows]


def test_bands_of_motion_are_parts_of_their_own() -> None:
    motions, psnrs = [5.0, 19.9, 20.0, 44.0, 45.0, 200.0], [40.0, 38.0, 30.0, 28.0, 20.0, 10.0]
    scores = [
        Score(method="m", id=str(i), group="a", psnr=psnr, ssim=0.5, ie=1.0, flicker=None, motion=motion)
        for i, (motion, psnr) in enumerate(zip(motions, psnrs, strict=True))
    ]
    rows = {row["part"]: row for row in summarise(scores, {"live": ("a",)}, {})}
    assert {part: (row["samples"], row["psnr"]) for part, row in rows.items()} == {
        "a": (6, pytest.approx(np.mean(psnrs))),
        "all live": (6, pytest.approx(np.mean(psnrs))),
        "live, below 20 px": (2, 39.0),
        "live, 20 to 45 px": (2, 29.0),
        "live, beyond 45 px": (2, 15.0),
    }
    assert rows["live, below 20 px"]["motion"] == pytest.approx(12.45)
    unknown = [replace(score, motion=None) for score in scores]
    assert [row["part"] for row in summarise(unknown, {"live": ("a",)}, {})] == ["a", "all live"]
    slow = [score for score in scores if score.motion is not None and score.motion < 20.0]
    assert "live, beyond 45 px" not in {row["part"] for row in summarise(slow, {"live": ("a",)}, {})}
