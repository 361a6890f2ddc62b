"""Pans and objects: the truth is half way, in either direction, and finding the motion pays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy import rigid
from benchmarks.accuracy.datasets import open_dataset
from benchmarks.accuracy.methods import DisInterpolation, average
from benchmarks.accuracy.samples import Sample
from benchmarks.errors import BenchmarkError
from runtimes.compare import psnr
from runtimes.frames import to_tensor


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clips of these tests are 112x80."""
    monkeypatch.setattr(rigid.Pans, "distances", (4, 12))
    monkeypatch.setattr(rigid.Objects, "distances", (4, 12))
    monkeypatch.setattr(rigid, "OBJECT", (24, 32))
    monkeypatch.setattr(rigid, "WINDOW", (64, 96))


def _samples(dataset: rigid.SingleFrames) -> list[tuple[int, int, Sample]]:
    """(distance, axis of the motion, sample) of all, which are of two frames of each of four clips."""
    samples = list(dataset.samples())
    assert len(samples) == len(dataset) == 4 * 2 * 2
    assert {s.group for s in samples} == {name for part in dataset.sections.values() for name in part}
    assert len({s.id for s in samples}) == len(samples)
    # The frames of a clip by turns: to the right, downwards.
    return [(int(s.group.split()[2]), 1 - (number // 2) % 2, s) for number, s in enumerate(samples)]


def test_a_pan_shows_the_same_picture_moved_by_its_distance(cache: Path) -> None:
    for distance, axis, s in _samples(rigid.Pans(cache, per_clip=2)):
        assert s.truth.shape == (64, 96, 3)
        frame0, truth, frame1 = (x if axis == 1 else x.swapaxes(0, 1) for x in (s.frame0, s.truth, s.frame1))
        assert np.array_equal(frame0[:, distance // 2 :], truth[:, : -distance // 2])
        assert np.array_equal(truth[:, distance // 2 :], frame1[:, : -distance // 2])
        assert not np.array_equal(s.frame0, s.frame1)


def test_an_object_moves_over_a_frame_that_rests(cache: Path) -> None:
    for distance, axis, s in _samples(rigid.Objects(cache, per_clip=2)):
        frame0, truth, frame1 = (x if axis == 1 else x.swapaxes(0, 1) for x in (s.frame0, s.truth, s.frame1))
        object_height, object_width = (24, 32) if axis == 1 else (32, 24)
        # In the window, the object begins half of the largest distance before the middle.
        top, left = (truth.shape[0] - object_height) // 2, (truth.shape[1] - object_width) // 2 - 6
        inside = np.s_[top + 8 : top + 16, left + 8 : left + 16]
        moved = np.s_[top + 8 : top + 16, left + 8 + distance // 2 : left + 16 + distance // 2]
        assert np.array_equal(frame0[inside], truth[moved])
        outside = np.ones(truth.shape[:2], dtype=bool)
        outside[top : top + object_height, left : left + object_width + distance] = False
        assert np.array_equal(frame0[outside], truth[outside])
        assert np.array_equal(frame0[outside], frame1[outside])
        assert not np.array_equal(s.frame0, s.frame1)


def test_what_was_done_is_left_out(cache: Path) -> None:
    every = list(rigid.Pans(cache, per_clip=1).samples())
    left = list(rigid.Pans(cache, per_clip=1).samples(done={every[0].window}))
    assert [s.id for s in left] == [s.id for s in every[1:]]


def test_flow_finds_a_pan_that_averaging_cannot(cache: Path) -> None:
    sample = next(s for s in rigid.Pans(cache, per_clip=1).samples() if s.group == "pan by 4 px")
    inside = np.s_[..., 8:-8, 8:-8]
    truth = to_tensor(sample.truth)[inside]
    assert psnr(DisInterpolation()(sample)[inside], truth) > psnr(average(sample)[inside], truth) + 6.0


def test_no_frames_are_refused_as_for_footage(cache: Path) -> None:
    for name in ("pans", "objects"):
        with pytest.raises(BenchmarkError, match="--per-clip 0: expected at least 1"):
            open_dataset(name, cache, per_clip=0)
        assert len(open_dataset(name, cache)) == 2 * 4 * 3
