"""LiteRT on the CPU, with its XNNPACK kernels. It loads from memory the bytes that were checked."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.backends.litert_halves import halve
from runtimes.backends.native_library import ForkGuard, captured_output
from runtimes.base import Halves, Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision
from runtimes.device import About, Device
from runtimes.environment import available_cores
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.printable import MAX_REASON, one_line
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="litert",
    title="LiteRT",
    modules=("ai_edge_litert",),
    distributions=("ai-edge-litert",),
    extra="litert",
    colour="#cc79a7",
)

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {}
"""It has none for the CPU beside threads that keep float32."""

_forks = ForkGuard("LiteRT")


def missing() -> str:
    """Why LiteRT cannot be used here; empty when it can."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        return "ai-edge-litert is not installed: pip install 'ifrnet-export[litert]'"
    return ""


def devices() -> Iterator[Device]:
    """The CPU, and what apps have beside it, with the reason why it is not used."""
    yield Device(name="cpu", description=f"LiteRT {metadata.version('ai-edge-litert')}")
    yield Device(name="gpu", reason="its GPU delegate is for phones, and was never tried with these files")
    yield Device(name="npu", reason="its NPU delegates are for phones, and were never tried with these files")


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.tflite``."""
    return LitertRuntime(artifact, device, tuning)


class LitertRuntime(Runtime):
    """An interpreter of LiteRT."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        _forks.check()
        self._artifact = artifact
        self._threads = tuning.threads or available_cores()  # its own default is one thread
        self._interpreter = self.load(artifact.data(".tflite"))
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._tensors = {item["name"]: int(item["index"]) for item in (*inputs, *outputs)}
        if set(self._tensors) != {*INPUT_NAMES, OUTPUT_NAME}:
            raise BackendError(
                f"the model in {artifact.folder} has {', '.join(self._tensors)}; expected {', '.join(INPUT_NAMES)} and "
                f"{OUTPUT_NAME}: export it again"
            )
        artifact.check_sizes([list(item["shape"]) for item in inputs if item["name"] in INPUT_NAMES[:2]])
        # Weights in half precision become float32 when they are loaded.
        arithmetic = "int8" if artifact.manifest.precision is Precision.INT8 else "fp32"
        super().__init__(artifact.manifest, backend="litert", device=device, arithmetic=arithmetic, tuning=tuning)

    def load(self, data: bytes) -> Any:
        """An interpreter with memory for its tensors. It prints while it loads.

        Raises:
            BackendError: LiteRT refuses the file.
        """
        with captured_output() as lines:
            try:
                from ai_edge_litert.interpreter import Interpreter

                interpreter = Interpreter(model_content=data, num_threads=self._threads)
                interpreter.allocate_tensors()
                return interpreter
            except (ValueError, RuntimeError) as error:
                reason = error
        raise BackendError(
            f"LiteRT cannot load {self._artifact.folder} ({one_line(' '.join(lines) or reason, MAX_REASON)}): export "
            "it again with this version"
        ) from reason

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        _forks.check()
        for name, value in zip(INPUT_NAMES, (img0, img1, t), strict=True):
            self._interpreter.set_tensor(self._tensors[name], value)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._tensors[OUTPUT_NAME]))

    def _cut(self) -> Halves | None:
        halved = halve(self._artifact.data(".tflite"))
        return LitertHalves(self.load(halved.first), self.load(halved.second), halved.between, self._tensors)

    def _close(self) -> None:
        del self._interpreter


class LitertHalves:
    """Two interpreters, in which tensors have the numbers that they have in the whole network.

    Args:
        first: from frames to what is encoded.
        second: from that and t to the frame between.
        between: numbers of the tensors that are encoded.
        tensors: numbers of inputs and output, by name.
    """

    def __init__(self, first: Any, second: Any, between: Sequence[int], tensors: Mapping[str, int]) -> None:
        self._first, self._second, self._between, self._tensors = first, second, between, tensors

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> list[Array]:
        """See :class:`runtimes.base.Halves`."""
        _forks.check()
        for name, value in zip(INPUT_NAMES[:2], (img0, img1), strict=True):
            self._first.set_tensor(self._tensors[name], value)
        self._first.invoke()
        return [np.asarray(self._first.get_tensor(number)) for number in self._between]

    def decode(self, encoded: list[Array], t: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
        """See :class:`runtimes.base.Halves`."""
        for number, value in zip(self._between, encoded, strict=True):
            self._second.set_tensor(number, value)
        self._second.set_tensor(self._tensors[INPUT_NAMES[2]], t)
        self._second.invoke()
        return np.asarray(self._second.get_tensor(self._tensors[OUTPUT_NAME]))
