"""The one interface of all backends: this class validates, the subclass computes."""

from __future__ import annotations

import atexit
import math
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, overload

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Manifest
from runtimes.contract import Precision, SizeRange, Timesteps
from runtimes.errors import BackendError, RuntimesError, TimestepError
from runtimes.frames import Array, check_frames, check_tensors, to_frame, to_tensor
from runtimes.graph_cut import CannotCutError
from runtimes.tuning import Settings, Tuning


@dataclass(frozen=True, kw_only=True)
class Spec:
    """What a loaded artifact is and what runs it.

    Attributes:
        name: the artifact's name.
        backend: one of :data:`runtimes.registry.BACKENDS`.
        device: the device that runs it, for example ``cpu`` or ``cuda:0``.
        precision: what the artifact was built for.
        arithmetic: what the convolutions really run in on this device, which may be wider than ``precision``.
        timesteps: which t it serves.
        sizes: which frame sizes it takes.
        threads: CPU threads, or None for the backend's default.
        settings: of the backend, where it was tuned.
    """

    name: str
    backend: str
    device: str
    precision: Precision
    arithmetic: str
    timesteps: Timesteps
    sizes: SizeRange
    threads: int | None
    settings: Settings = field(default_factory=dict)


DEFAULT = Tuning()


class Halves(Protocol):
    """A network in two: what does not depend on t, and the rest."""

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> Any:
        """What the second half needs of a pair, (1, 3, H, W) twice."""

    def decode(self, encoded: Any, t: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
        """The frame at ``t`` (1, 1, 1, 1), of the frames' ``shape``; holds until the next call."""


_LOADED: weakref.WeakSet[Runtime] = weakref.WeakSet()

LONGEST_WAIT = 60.0
"""Seconds that the end of the interpreter waits for a call in work."""


@atexit.register
def _finish() -> None:
    """Let calls in work end, and none begin but this thread's own, for example of another function at exit.

    A daemon thread that is inside a native library when the interpreter goes away aborts the process: the interpreter
    unwinds it through C++ frames that do not allow it.
    """
    for runtime in tuple(_LOADED):
        mine = threading.RLock()
        mine.acquire()
        if runtime._lock.acquire(timeout=LONGEST_WAIT):  # and never released: those that wait for it wait for good
            runtime._lock = mine


class Runtime(ABC):
    """A loaded artifact.

    Safe to use from several threads: calls on one runtime run one after the other. For parallel inference load the
    artifact once per thread.
    """

    def __init__(
        self, manifest: Manifest, *, backend: str, device: str, arithmetic: str, tuning: Tuning = DEFAULT
    ) -> None:
        self.manifest = manifest
        self.spec = Spec(
            name=manifest.name,
            backend=backend,
            device=device,
            precision=manifest.precision,
            arithmetic=arithmetic,
            timesteps=manifest.timesteps,
            sizes=manifest.sizes,
            threads=tuning.threads,
            settings=tuning.settings,
        )
        self._lock: Any = threading.Lock()  # at exit an RLock, see _finish; typing has no name for either
        _LOADED.add(self)
        self._staging: NDArray[np.float32] | None = None  # both frames as tensors, kept from call to call
        self._halves: Halves | None = None
        self._cut_tried = False
        self._closed = False
        self.on_inference: Callable[[float], None] | None = None
        """Called after each frame with the seconds that the backend took for it; what is left is this class's work."""

    @abstractmethod
    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        """Compute; inputs are checked and C-contiguous.

        Returns:
            float32 (1, 3, H, W), a new array or one that is not its own memory's owner and holds until the next call.
        """

    def _cut(self) -> Halves | None:
        """The network in two halves, so that several t of a pair encode it once; None where that is not faster.

        Called once, when several t are asked for the first time.

        Raises:
            CannotCutError: the graph has no such halves.
        """
        return None

    def _close(self) -> None:  # noqa: B027 - a backend that holds nothing has nothing to do
        """Release what the backend holds."""

    def infer(self, img0: Array, img1: Array, t: Array) -> NDArray[np.float32]:
        """The frame at ``t``, or one for each of several t, as tensors.

        Args:
            img0, img1: float32 (1, 3, H, W), RGB in [0, 1].
            t: float32 (T, 1, 1, 1) in (0, 1). For T > 1 a backend that can, encodes the pair once.

        Returns:
            float32 (T, 3, H, W), a new array.

        Raises:
            FrameError: wrong dtype, shape, size or range.
            TimestepError: a t that the checkpoint does not serve.
            BackendError: the backend failed, for example for lack of memory.
        """
        self.spec.sizes.check(check_tensors(img0, img1, t))
        for step in t.flat:
            self.spec.timesteps.check(float(step))
        img0, img1, t = (np.ascontiguousarray(x) for x in (img0, img1, t))
        with self._lock, self._computing():
            if len(t) == 1:
                return _owned(next(self._outputs(img0, img1, [t])))
            result = np.empty((len(t), *img0.shape[1:]), np.float32)
            for i, output in enumerate(self._outputs(img0, img1, np.split(t, len(t)))):
                result[i] = output[0]
            return result

    @overload
    def interpolate(self, img0: Array, img1: Array, t: float = 0.5) -> Array: ...
    @overload
    def interpolate(self, img0: Array, img1: Array, t: Sequence[float]) -> list[Array]: ...
    def interpolate(self, img0: Array, img1: Array, t: float | Sequence[float] = 0.5) -> Array | list[Array]:
        """The frame or frames between two.

        Args:
            img0, img1: uint8 (or uint16) (H, W, 3), RGB.
            t: one time step in (0, 1), or several.

        Returns:
            One frame of the same shape and dtype, or a list with one for each time step.

        Raises:
            FrameError: wrong dtype, shape or size.
            TimestepError: a t that the checkpoint does not serve.
            BackendError: the backend failed, for example for lack of memory.
        """
        self.spec.sizes.check(check_frames(img0, img1))
        single, steps = read_steps(t)
        for step in steps:
            self.spec.timesteps.check(step)
        with self._lock, self._computing():
            frames = self._interpolate(img0, img1, steps) if steps else []
        return frames[0] if single else frames

    def _interpolate(self, img0: Array, img1: Array, steps: Sequence[float]) -> list[Array]:
        """Frames in and out; a backend that takes integers directly overrides this."""
        if self._staging is None or self._staging.shape[3:] != img0.shape[:2]:
            self._staging = np.empty((2, 1, 3, *img0.shape[:2]), np.float32)
        x0, x1 = to_tensor(img0, self._staging[0]), to_tensor(img1, self._staging[1])
        times = [np.full((1, 1, 1, 1), step, np.float32) for step in steps]
        return [to_frame(output, img0.dtype) for output in self._outputs(x0, x1, times)]

    def _outputs(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], steps: Sequence[NDArray[np.float32]]
    ) -> Iterator[Array]:
        """One output for each t, checked; each holds until the next is asked for."""
        computed = self._computed(img0, img1, steps)
        for _ in steps:
            start = time.perf_counter()
            output = next(computed)
            if self.on_inference is not None:
                self.on_inference(time.perf_counter() - start)
            self._check_output(output, img0.shape)
            yield output

    def _computed(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], steps: Sequence[NDArray[np.float32]]
    ) -> Iterator[Array]:
        """What the backend gives for each t; the pair is encoded once where there are several and it can be."""
        halves = self._find_halves() if len(steps) > 1 else None
        if halves is None:
            for t in steps:
                yield self._infer(img0, img1, t)
            return
        encoded = halves.encode(img0, img1)
        for t in steps:
            yield halves.decode(encoded, t, img0.shape)

    def _find_halves(self) -> Halves | None:
        """See :meth:`_cut`, which is tried once."""
        if not self._cut_tried:
            self._cut_tried = True
            try:
                self._halves = self._cut()
            except CannotCutError:
                self._halves = None
        return self._halves

    def _check_output(self, output: Array, shape: tuple[int, ...]) -> None:
        """Raises BackendError where the output has another shape than the frames, or is not finite."""
        if output.shape != shape or output.dtype != np.float32:
            raise BackendError(
                f"{self.spec.backend} gave {output.dtype} {output.shape} on {self.spec.device}; expected float32 "
                f"{shape}: the artifact is not what its manifest says; export it again"
            )
        if not math.isfinite(float(output.sum())):  # a sum of values in [0, 1] is finite if all of them are
            raise BackendError(
                f"{self.spec.backend} gave values that are not finite on {self.spec.device} ({self.spec.arithmetic}): "
                "use another device or precision; python -m runtimes verify tells which are right"
            )

    def close(self) -> None:
        """Release the backend; further calls raise. Closing twice is fine."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._halves = None
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Refuse when closed, and give what backends raise, which share no base, the class that callers expect."""
        self._check_open()
        try:
            yield
        except RuntimesError:
            raise
        except Exception as error:
            ours = type(error).__module__ == "builtins" and not isinstance(error, (RuntimeError, MemoryError))
            if ours:  # a mistake in this package, to be seen as one
                raise
            reason = " ".join(str(error).split()) or type(error).__name__
            raise BackendError(
                f"{self.spec.backend} failed on {self.spec.device}: {reason}; if memory is short, use a smaller size"
            ) from error

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimesError(f"{self.spec.name} is closed; load it again with runtimes.load()")


def read_steps(t: object) -> tuple[bool, list[float]]:
    """Whether ``t`` is a single time step, and the list of those it holds.

    Raises:
        TimestepError: it is neither a number nor a sequence of numbers.
    """
    try:
        values = np.asarray(t, dtype=np.float64)  # numpy's scalars are numbers too
    except (TypeError, ValueError):
        values = np.empty((0, 0))
    if t is None or isinstance(t, (str, bytes)) or values.ndim > 1:
        raise TimestepError(f"t is {t!r}; expected a number, or a list of numbers, each between 0 and 1")
    return values.ndim == 0, [float(step) for step in np.atleast_1d(values)]


def _owned(output: Array) -> Array:
    return output if output.flags.owndata else output.copy()
