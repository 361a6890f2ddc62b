from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.timed_calls import Stopwatch, TimedRuntime, even_times, frames_between
from benchmarks.speed.without_artifact import Empty, manifest_without_files
from runtimes.base import Runtime
from runtimes.contract import Timesteps
from runtimes.frames import Array


class Slow(Runtime):
    """Takes 20 ms inside the backend, and 10 ms for frames when told to."""

    def __init__(self, *, host_s: float = 0.0, integers: bool = False) -> None:
        manifest = manifest_without_files("slow", backend="slow", timesteps=Timesteps.ANY)
        super().__init__(manifest, backend="slow", device="cpu", arithmetic="fp32")
        self._host_s, self._integers = host_s, integers

    def _infer(self, img0: Array, img1: Array, t: Array) -> Array:
        time.sleep(0.02)
        blend: Array = (1 - t) * img0 + t * img1
        return blend

    def _interpolate(self, img0: Array, img1: Array, steps: Sequence[float]) -> list[Array]:
        time.sleep(self._host_s)
        if self._integers:  # as a backend that converts on its device
            return [img0 for _ in steps]
        return super()._interpolate(img0, img1, steps)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    path = tmp_path / "frames.npz"
    rng = np.random.default_rng(0)
    img0, img1 = rng.integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    np.savez(path, img0=img0, img1=img1)
    return path


def _timed(frames: Path, runtime: Runtime, timesteps: int = 1) -> TimedRuntime:
    return TimedRuntime(lambda: runtime, (), frames, timesteps, 1)


def test_host_work_is_told_from_inference(frames: Path) -> None:
    samples = _timed(frames, Slow(host_s=0.01)).visit(3, False)
    assert all(20.0 <= sample.inference < 30.0 for sample in samples)
    assert all(10.0 <= sample.host < 20.0 for sample in samples)


def test_a_backend_that_takes_integers_has_no_host_work(frames: Path) -> None:
    (sample,) = _timed(frames, Slow(host_s=0.03, integers=True)).visit(1, False)
    assert sample.inference >= 30.0
    assert sample.host == 0.0


def test_every_frame_of_a_call_counts(frames: Path) -> None:
    (sample,) = _timed(frames, Slow(), timesteps=3).visit(1, False)
    assert 60.0 <= sample.inference < 90.0


def test_loading_and_first_call_are_told(frames: Path) -> None:
    def load() -> Slow:
        time.sleep(0.05)
        return Slow()

    timed = TimedRuntime(load, (), frames, 1, 1)
    assert 0.05 <= timed.ready.load_s < 0.1
    assert 20.0 <= timed.ready.first_ms < 40.0
    assert timed.ready.arithmetic == "fp32"


def test_outputs_are_the_float_frames_at_even_times(frames: Path) -> None:
    found = _timed(frames, Slow(), timesteps=3).outputs()
    with np.load(frames) as archive:
        x0, x1 = (archive[key].transpose(2, 0, 1) / 255.0 for key in ("img0", "img1"))
    assert found.shape == (3, 3, 8, 8)
    for t, frame in zip((0.25, 0.5, 0.75), found, strict=True):
        np.testing.assert_allclose(frame, (1 - t) * x0 + t * x1, atol=1e-6)


def test_timing_nothing_costs_next_to_nothing(frames: Path) -> None:
    samples = _timed(frames, Empty(Timesteps.ANY)).visit(50, True)
    assert np.median([sample.inference for sample in samples]) < 0.05


def test_the_stopwatch_hands_values_through() -> None:
    runtime = Slow()
    watch = Stopwatch(runtime)
    x = np.full((1, 3, 4, 4), 0.5, np.float32)
    np.testing.assert_array_equal(runtime.infer(x, x, np.full((1, 1, 1, 1), 0.5, np.float32)), x)
    assert watch.calls == 1
    assert watch.seconds >= 0.02


@pytest.mark.parametrize("count", [1, 3, 7])
def test_halving_gives_even_times(count: int) -> None:
    calls = []

    def one(a: float, b: float, t: float) -> float:
        calls.append(t)
        return a + (b - a) * t

    assert frames_between(one, Timesteps.MIDDLE, 0.0, 1.0, count) == even_times(count)
    assert calls == [0.5] * count
    assert frames_between(one, Timesteps.ANY, 0.0, 1.0, count) == even_times(count)
