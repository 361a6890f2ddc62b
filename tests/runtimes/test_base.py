"""What the base class promises for every backend, on one that only averages."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtimes import BackendError, FrameError, Runtime, RuntimesError, TimestepError
from runtimes.artifact import Manifest
from runtimes.contract import Precision, Size, SizeRange, Timesteps

MANIFEST = Manifest(
    name="blend",
    target="onnx",
    backend="onnxruntime",
    variant="ifrnet_s",
    checkpoint={},
    timesteps=Timesteps.ANY,
    precision=Precision.FP32,
    sizes=SizeRange.static(Size(6, 4)),
    scale=1.0,
    rewrites=(),
    tools={},
    details={},
    files={},
)


class Blend(Runtime):
    """(1 - t) img0 + t img1, and a record of what reached the backend."""

    def __init__(self, manifest: Manifest = MANIFEST) -> None:
        super().__init__(manifest, backend="blend", device="cpu", arithmetic="fp32")
        self.inside, self.most, self.closed = 0, 0, 0
        self.seen: list[tuple[NDArray[np.float32], ...]] = []

    def _infer(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.seen.append((img0, img1, t))
        threading.Event().wait(0.002)
        self.inside -= 1
        return (1 - t) * img0 + t * img1

    def _close(self) -> None:
        self.closed += 1


DARK, LIGHT = np.full((4, 6, 3), 40, np.uint8), np.full((4, 6, 3), 240, np.uint8)

STEP = np.full((1, 1, 1, 1), 0.25, np.float32)


def tensor(value: float = 0.5, height: int = 4, width: int = 6) -> NDArray[np.float32]:
    return np.full((1, 3, height, width), value, np.float32)


def test_the_middle_is_the_default() -> None:
    found = Blend().interpolate(DARK, LIGHT)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.full((4, 6, 3), 140))


@pytest.mark.parametrize("t", [0.25, np.float32(0.25), np.float64(0.25)])
def test_one_time_gives_one_frame(t: float) -> None:
    np.testing.assert_array_equal(Blend().interpolate(DARK, LIGHT, t), np.full((4, 6, 3), 90))


@pytest.mark.parametrize("steps", [[0.25, 0.75], (0.25, 0.75), np.array([0.25, 0.75])])
def test_several_times_give_a_list(steps: Any) -> None:
    found = Blend().interpolate(DARK, LIGHT, steps)
    assert isinstance(found, list)
    assert [int(frame[0, 0, 0]) for frame in found] == [90, 190]


def test_no_times_give_no_frames() -> None:
    assert Blend().interpolate(DARK, LIGHT, []) == []


@pytest.mark.parametrize("t", [None, "0.5", [[0.5]], ["a"], {}, object()])
def test_times_that_are_no_numbers(t: Any) -> None:
    with pytest.raises(TimestepError, match="expected a number, or a list of numbers"):
        Blend().interpolate(DARK, LIGHT, t)


def test_sixteen_bits_stay_sixteen_bits() -> None:
    found = Blend().interpolate(DARK.astype(np.uint16) * 257, LIGHT.astype(np.uint16) * 257, 0.25)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, np.full((4, 6, 3), 90 * 257))


def test_the_backend_gets_contiguous_float32() -> None:
    runtime = Blend()
    runtime.interpolate(DARK[::-1, :, ::-1], LIGHT)
    runtime.infer(np.asfortranarray(tensor()), tensor()[:, :, :, ::-1], STEP)
    for arrays in runtime.seen:
        assert all(x.dtype == np.float32 and x.flags.c_contiguous for x in arrays)
        assert [x.shape for x in arrays] == [(1, 3, 4, 6), (1, 3, 4, 6), (1, 1, 1, 1)]


@pytest.mark.parametrize("t", [0.0, 1.0, -1.0, 2.0, float("nan"), 0, 1])
def test_times_outside_never_reach_the_backend(t: float) -> None:
    runtime = Blend()
    with pytest.raises(TimestepError):
        runtime.interpolate(DARK, LIGHT, t)
    with pytest.raises(TimestepError):
        runtime.interpolate(DARK, LIGHT, [0.5, t])
    with pytest.raises(TimestepError):
        runtime.infer(tensor(), tensor(), np.full((1, 1, 1, 1), t, np.float32))
    assert not runtime.seen


def test_a_middle_checkpoint_refuses_other_times() -> None:
    runtime = Blend(replace(MANIFEST, timesteps=Timesteps.MIDDLE))
    runtime.interpolate(DARK, LIGHT)
    runtime.infer(tensor(), tensor(), np.full((1, 1, 1, 1), 0.5, np.float32))
    with pytest.raises(TimestepError, match="halve recursively"):
        runtime.interpolate(DARK, LIGHT, 0.25)
    with pytest.raises(TimestepError, match="halve recursively"):
        runtime.infer(tensor(), tensor(), STEP)


def test_other_sizes_name_the_remedy() -> None:
    frame = np.zeros((5, 6, 3), np.uint8)
    with pytest.raises(FrameError, match=r"frames are 6x5, the artifact takes 6x4.*--size 6x5, or with --dynamic"):
        Blend().interpolate(frame, frame)
    with pytest.raises(FrameError, match="frames are 7x4"):
        Blend().infer(tensor(width=7), tensor(width=7), STEP)


def test_nan_never_reaches_the_backend() -> None:
    runtime = Blend()
    with pytest.raises(FrameError, match="expected finite values"):
        runtime.infer(tensor(np.nan), tensor(), STEP)
    with pytest.raises(TimestepError):
        runtime.infer(tensor(), tensor(), np.full((1, 1, 1, 1), np.nan, np.float32))
    assert not runtime.seen


def test_closed_is_closed() -> None:
    with Blend() as runtime:
        runtime.interpolate(DARK, LIGHT)
    runtime.close()
    assert runtime.closed == 1
    with pytest.raises(RuntimesError, match="blend is closed; load it again"):
        runtime.interpolate(DARK, LIGHT)
    with pytest.raises(RuntimesError, match="blend is closed; load it again"):
        runtime.infer(tensor(), tensor(), STEP)


class ForeignError(Exception):
    """As ONNX Runtime's, of no base but Python's."""


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (RuntimeError("out of\n  memory"), BackendError),
        (MemoryError(), BackendError),
        (ForeignError("out of memory"), BackendError),
        (TimestepError("another t"), TimestepError),
        (TypeError("a bug"), TypeError),
    ],
)
def test_a_backend_that_fails(monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]) -> None:
    def fail(*_: Any) -> None:
        raise raised

    runtime = Blend()
    monkeypatch.setattr(runtime, "_infer", fail)
    calls: list[Callable[[], object]] = [
        lambda: runtime.infer(tensor(), tensor(), STEP),
        lambda: runtime.interpolate(DARK, LIGHT, [0.25, 0.5]),
    ]
    for call in calls:
        with pytest.raises(expected) as caught:
            call()
        if expected is BackendError:
            assert "blend failed on cpu: " in str(caught.value)
            assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert runtime.interpolate(DARK, LIGHT).shape == DARK.shape


def test_calls_run_one_after_the_other() -> None:
    runtime = Blend()
    threads = [threading.Thread(target=runtime.interpolate, args=(DARK, LIGHT, [0.3, 0.6])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runtime.seen) == 16
    assert runtime.most == 1


def test_the_spec_tells_what_runs() -> None:
    spec = Blend().spec
    assert (spec.name, spec.backend, spec.device, spec.precision) == ("blend", "blend", "cpu", Precision.FP32)
    assert (spec.timesteps, spec.sizes, spec.threads) == (Timesteps.ANY, MANIFEST.sizes, None)


class Kept(Runtime):
    """Answers from memory of its own, like a native backend."""

    def __init__(self, size: Size) -> None:
        super().__init__(
            replace(MANIFEST, sizes=SizeRange.static(size)), backend="kept", device="cpu", arithmetic="fp32"
        )
        self.memory = np.zeros((1, 3, size.height, size.width), np.float32)

    def _infer(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        np.multiply(img1, t, out=self.memory)
        return self.memory.view()


def test_frames_cost_no_memory_but_their_own_after_the_first_call() -> None:
    """In a process of its own: tracemalloc hooks every allocation, those of native threads of other tests as well."""
    script = """
import tracemalloc
import numpy as np
from runtimes.contract import Size
from tests.runtimes.test_base import Kept
runtime, frame = Kept(Size(1280, 720)), np.full((720, 1280, 3), 200, np.uint8)
runtime.interpolate(frame, frame)
tracemalloc.start()
found = runtime.interpolate(frame, frame)
print(tracemalloc.get_traced_memory()[1] - frame.nbytes, found[0, 0, 0])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    extra, value = map(int, done.stdout.split())
    assert extra < 2**20, "a tensor alone is 11 MB"
    assert value == 100


def test_a_backends_own_memory_does_not_leave_the_runtime() -> None:
    runtime = Kept(Size(6, 4))
    first = runtime.infer(tensor(), tensor(0.4), STEP)
    kept = first.copy()
    second = runtime.infer(tensor(), tensor(0.8), STEP)
    several = runtime.infer(tensor(), tensor(0.8), np.concatenate((STEP, 2 * STEP)))
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(several[0], second[0])
    np.testing.assert_allclose(several[1], 2 * second[0], rtol=1e-6)
    several_frames = runtime.interpolate(DARK, LIGHT, (0.25, 0.75))
    assert [int(frame[0, 0, 0]) for frame in several_frames] == [60, 180]
