"""What runs inside a worker of ``throughput``: as many requests at once as a mode has, for some seconds."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES
from runtimes.frames import to_tensor

MIN_CALLS = 3
"""Calls of each copy, however long they take."""

NAMES = {"f32": "fp32", "f16": "fp16"}
"""OpenVINO's names of precisions -> ours, where they differ."""

Tensors = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one turn of some seconds showed.

    Attributes:
        fps: frames finished per second.
        latency_ms: median time from the start of a request to its result.
    """

    fps: float
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What loading showed."""

    arithmetic: str
    detail: str


class Mode(ABC):
    """One way to keep a backend busy; loading it happens in the constructor, which ends with a warm-up."""

    ready: Loaded

    @abstractmethod
    def run(self, seconds: float) -> Turn:
        """Keep all requests busy for about ``seconds``."""


def tensors(frames: Path) -> Tensors:
    """The pair of a ``.npz`` as float tensors, at t = 0.5."""
    with np.load(frames) as archive:
        x0, x1 = to_tensor(archive["img0"]), to_tensor(archive["img1"])
    return x0, x1, np.full((1, 1, 1, 1), 0.5, np.float32)


class Copies(Mode):
    """Several copies of a row (or one), each with its own thread and its share of the cores.

    Args:
        frames: see :func:`tensors`.
        load: gives one runtime.
        arguments: for ``load``.
        count: copies.
    """

    def __init__(self, frames: Path, load: Callable[..., Runtime], arguments: Sequence[Any], count: int) -> None:
        self._inputs = tensors(frames)
        self._runtimes = [load(*arguments) for _ in range(count)]
        for runtime in self._runtimes:
            runtime.infer(*self._inputs)
        self.ready = Loaded(arithmetic=self._runtimes[0].spec.arithmetic, detail=f"{count} in flight")

    def run(self, seconds: float) -> Turn:
        """See :meth:`Mode.run`."""
        times: list[list[float]] = [[] for _ in self._runtimes]
        errors: list[Exception] = []
        gate = threading.Barrier(len(self._runtimes))

        def loop(runtime: Runtime, taken: list[float]) -> None:
            try:
                gate.wait()
                deadline = time.perf_counter() + seconds
                while len(taken) < MIN_CALLS or time.perf_counter() < deadline:
                    start = time.perf_counter()
                    runtime.infer(*self._inputs)
                    taken.append(time.perf_counter() - start)
            except Exception as error:  # raised again below, in the thread that can report it
                errors.append(error)

        threads = [threading.Thread(target=loop, args=pair) for pair in zip(self._runtimes, times, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        # The rates of the copies are added, so that one that ends early does not count as idle.
        return Turn(
            fps=sum(len(taken) / sum(taken) for taken in times),
            latency_ms=1e3 * float(np.median([value for taken in times for value in taken])),
        )


class OpenVinoQueue(Mode):
    """OpenVINO's own way: the THROUGHPUT hint and as many asynchronous requests as it asks for.

    Args:
        frames: see :func:`tensors`.
        path: the artifact.
        device: of OpenVINO.
        threads: CPU threads of all requests together.
    """

    def __init__(self, frames: Path, path: str, device: str, threads: int) -> None:
        import openvino

        from runtimes.artifact import open_artifact
        from runtimes.backends.openvino import choose_hint, float_precision, read_ir, shared_core
        from runtimes.contract import Precision

        artifact, core = open_artifact(path), shared_core()
        precision = artifact.manifest.precision
        hint = choose_hint(
            float_precision(artifact.manifest), core.get_property(device.upper(), "OPTIMIZATION_CAPABILITIES")
        )
        self._inputs = dict(zip(INPUT_NAMES, tensors(frames), strict=True))
        properties: dict[str, Any] = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
        }
        compiled = core.compile_model(read_ir(artifact), device.upper(), properties)
        self._queue = openvino.AsyncInferQueue(compiled)
        self._taken: list[float] = []
        self._queue.set_callback(lambda _, start: self._taken.append(time.perf_counter() - start))
        self.run(0.0)
        ran = NAMES.get(hint, hint)
        int8 = precision is Precision.INT8
        self.ready = Loaded(arithmetic=f"int8 with {ran}" if int8 else ran, detail=f"{len(self._queue)} in flight")

    def run(self, seconds: float) -> Turn:
        """See :meth:`Mode.run`."""
        self._taken.clear()
        started = 0
        begin = time.perf_counter()
        while started < MIN_CALLS * len(self._queue) or time.perf_counter() < begin + seconds:
            while not self._queue.is_ready():
                time.sleep(0.0005)
            self._queue.start_async(self._inputs, userdata=time.perf_counter(), share_inputs=True)
            started += 1
        self._queue.wait_all()
        return Turn(fps=started / (time.perf_counter() - begin), latency_ms=1e3 * float(np.median(self._taken)))


class EagerBatch(Mode):
    """PyTorch's own way: several pairs in one call.

    Args:
        frames: see :func:`tensors`.
        model: see ``--model``.
        device: of PyTorch.
        threads: CPU threads.
        batch: pairs of a call.
    """

    def __init__(self, frames: Path, model: str, device: str, threads: int, batch: int) -> None:
        import torch

        from ifrnet import load_model

        torch.set_num_threads(threads)
        self._device = device
        self._model = load_model(model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._inputs = [torch.from_numpy(np.repeat(x, batch, axis=0)) for x in tensors(frames)]
        self._batch = batch
        self.run(0.0)
        self.ready = Loaded(arithmetic="fp32", detail=f"{batch} in flight")

    def run(self, seconds: float) -> Turn:
        """See :meth:`Mode.run`."""
        import torch

        from ifrnet import interpolate

        taken: list[float] = []
        begin = time.perf_counter()
        with torch.inference_mode():
            while len(taken) < MIN_CALLS or time.perf_counter() < begin + seconds:
                start = time.perf_counter()
                x0, x1, t = (x.to(self._device, memory_format=torch.channels_last) for x in self._inputs)
                interpolate(self._model, x0, x1, t).cpu()
                taken.append(time.perf_counter() - start)
        return Turn(fps=self._batch * len(taken) / sum(taken), latency_ms=1e3 * float(np.median(taken)))
