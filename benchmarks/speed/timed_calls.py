"""What runs inside a worker process: one loaded runtime, timed call by call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import open_artifact
from runtimes.base import Runtime
from runtimes.contract import Timesteps
from runtimes.frames import Array, to_tensor
from runtimes.registry import runner
from runtimes.tuning import Tuning

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What loading showed.

    Attributes:
        load_s: importing the backend, reading and compiling, in a fresh process.
        first_ms: the first call, with whatever the backend left for it.
        warm_ms: a call after warming up.
        arithmetic: what the convolutions really run in.
        tuned: whether settings of ``tune`` apply.
    """

    load_s: float
    first_ms: float
    warm_ms: float
    arithmetic: str
    tuned: bool


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One timed call, in milliseconds.

    Attributes:
        inference: inside the backend, float tensors in and out; on a GPU with the transfers from and to host memory.
        host: the rest of the call: uint8 frames to tensors and back, and the checks.
    """

    inference: float
    host: float


class TimedRuntime:
    """A loaded runtime whose calls are timed.

    Args:
        load: gives the runtime; its time is the load time.
        arguments: for ``load``.
        frames: ``.npz`` with the uint8 frames ``img0`` and ``img1``.
        timesteps: how many frames a call makes between the two.
        warmup: untimed calls at the start.
    """

    def __init__(
        self, load: Callable[..., Runtime], arguments: Sequence[Any], frames: Path, timesteps: int, warmup: int
    ) -> None:
        with np.load(frames) as archive:
            self._pair: tuple[Array, Array] = archive["img0"], archive["img1"]
        self._timesteps = timesteps
        start = time.perf_counter()
        self._runtime = load(*arguments)
        load_s = time.perf_counter() - start
        self._stopwatch = Stopwatch(self._runtime)
        first = self._timed()
        last = [self._timed() for _ in range(warmup)]
        self.ready = Ready(
            load_s=load_s,
            first_ms=first.inference + first.host,
            warm_ms=sum(vars(last[-1]).values()) if last else first.inference + first.host,
            arithmetic=self._runtime.spec.arithmetic,
            tuned=bool(self._runtime.spec.settings),
        )

    def visit(self, calls: int, warm: bool) -> list[Sample]:
        """``calls`` timed calls, after an untimed one when ``warm`` asks for it."""
        if warm:
            self._timed()
        return [self._timed() for _ in range(calls)]

    def outputs(self) -> NDArray[np.float32]:
        """The float frames between the two, (timesteps, 3, H, W)."""
        x0, x1 = (to_tensor(img) for img in self._pair)
        frames = frames_between(self._infer, self._runtime.spec.timesteps, x0, x1, self._timesteps)
        return np.concatenate(frames)

    def _infer(self, x0: Array, x1: Array, t: float) -> Array:
        return self._runtime.infer(x0, x1, np.full((1, 1, 1, 1), t, np.float32))

    def _timed(self) -> Sample:
        self._stopwatch.seconds, self._stopwatch.calls = 0.0, 0
        start = time.perf_counter()
        if self._timesteps > 1 and self._runtime.spec.timesteps is Timesteps.ANY:
            self._runtime.interpolate(*self._pair, even_times(self._timesteps))
        else:
            frames_between(self._runtime.interpolate, self._runtime.spec.timesteps, *self._pair, self._timesteps)
        total = time.perf_counter() - start
        # A backend that takes the integers themselves converts inside, and has no host work apart.
        inference = self._stopwatch.seconds if self._stopwatch.calls else total
        return Sample(inference=1e3 * inference, host=1e3 * (total - inference))


def even_times(count: int) -> list[float]:
    """``count`` times evenly between two frames: k / (count + 1)."""
    return [k / (count + 1) for k in range(1, count + 1)]


def frames_between(one: Callable[[T, T, float], T], timesteps: Timesteps, a: T, b: T, count: int) -> list[T]:
    """``count`` frames evenly between two: each from ``a`` and ``b``, or by halving where only t = 0.5 is served.

    Args:
        one: gives the frame at a time.
        timesteps: what the checkpoint serves.
        count: 2^k - 1 for halving.
    """
    if timesteps is Timesteps.ANY:
        return [one(a, b, t) for t in even_times(count)]
    if count == 0:
        return []
    middle, half = one(a, b, 0.5), count // 2
    return [*frames_between(one, timesteps, a, middle, half), middle, *frames_between(one, timesteps, middle, b, half)]


class Stopwatch:
    """Adds up what a runtime spends inside its backend."""

    def __init__(self, runtime: Runtime) -> None:
        self.seconds = 0.0
        self.calls = 0
        runtime.on_inference = self._add

    def _add(self, seconds: float) -> None:
        self.seconds += seconds
        self.calls += 1


def load_artifact(path: str, device: str, threads: int) -> Runtime:
    """An artifact; one that failed parity is measured too, and shown as such."""
    import warnings

    from runtimes.errors import ParityNotRunWarning
    from runtimes.registry import load

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ParityNotRunWarning)  # the verdict is a column of the table
        return load(path, device=device, threads=threads, allow_failed=True)


def load_with_tuning(path: str, device: str, tuning: Tuning) -> Runtime:
    """An artifact with given settings, whatever lies beside it."""
    artifact = open_artifact(path)
    return runner(artifact.manifest.backend, device).open_runtime(artifact, device, tuning)


def load_pytorch(model: str, device: str, layout: str, threads: int) -> Runtime:
    """PyTorch."""
    from benchmarks.speed.eager import EagerRuntime, Layout
    from ifrnet import load_model

    return EagerRuntime(load_model(model), device=device, layout=Layout(layout), threads=threads)


def load_empty(timesteps: str) -> Runtime:
    """A backend that does nothing."""
    from benchmarks.speed.without_artifact import Empty

    return Empty(Timesteps(timesteps))
