"""MNN on the CPU, through its C extension.

The Python packages around the extension are left alone: ``MNN.tools`` reports to a server and installs packages. MNN
prints while it loads, and that is kept from the user's terminal.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.backends.native_library import ForkGuard, captured_output
from runtimes.base import Halves, Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision
from runtimes.device import About, Device
from runtimes.environment import available_cores
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.graph_cut import cut_values
from runtimes.printable import MAX_REASON, one_line
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="mnn",
    title="MNN",
    modules=("MNN", "_mnncengine", "_tools"),
    distributions=("MNN",),
    extra="mnn",
    colour="#009e73",
)

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {}
"""MNN's hints change what is computed, or memory alone."""

CPU = 0
"""``MNNForwardType`` of the CPU."""

GPUS = MappingProxyType({"metal": 1} if sys.platform == "darwin" else {"opencl": 3, "vulkan": 7})
"""GPU interfaces that apps use, and their ``MNNForwardType``."""

WINOGRAD_HINT = 3
"""Number of the hint ``WINOGRAD_MEMORY_LEVEL``."""

WINOGRAD_LEVELS = MappingProxyType({Precision.FP32: 1, Precision.FP16: 3, Precision.INT8: 3})
"""Smallest tiles for float32. With MNN's default, 3, one convolution of 3x3 is off by 5.8e-4 and frames of 640x360 by
4.4e-4 at most, 108.6 instead of 124.9 dB (MNN 3.6.1), for 0.7 of the time; less than rounded weights are off by. Remove
it when tests/export/test_mnn.py says so."""

PRECISION = "high"
"""What MNN computes in: float32. ``low`` is half precision where the processor has it, for flow as well."""

FREE = ("Concat", "StridedSlice", "Slice", "Reshape", "Permute", "ConvertTensor", "Cast")
"""Operations that belong after the cut: see :func:`runtimes.graph_cut.cut_values`."""

_forks = ForkGuard("MNN")

_choosing = threading.Lock()
"""A module chooses its algorithms by the hint that was given last in the whole process, for any module (MNN 3.6.1)."""


def missing() -> str:
    """Why MNN cannot be used here; empty when it can."""
    if importlib.util.find_spec("MNN") is None:
        return "MNN is not installed: pip install 'ifrnet-export[mnn]'"
    return ""


@cache
def engine() -> Any:
    """MNN's C extension. Importing it loads numpy, and prints what the processor has."""
    with captured_output():
        import _mnncengine
    return _mnncengine


def devices() -> Iterator[Device]:
    """The CPU, and what else MNN knows, with the reason why it is not used."""
    yield Device(name="cpu", description=f"MNN {engine().version()}")
    for name, number in GPUS.items():
        with captured_output() as lines:
            engine()._nn.create_runtime_manager(({"backend": number},))
        lacks = any("Can't Find type" in line for line in lines)  # and MNN would have used the CPU
        reason = f"this MNN is built without {name}" if lacks else f"MNN's {name} was never tried with these files"
        yield Device(name=f"{name}:0", reason=reason)


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.mnn``."""
    return MnnRuntime(artifact, device, tuning)


class MnnRuntime(Runtime):
    """An MNN module, and two of its halves once several t are asked for."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        _forks.check()
        self._artifact = artifact
        self._threads = tuning.threads or available_cores()  # its own default is four threads on any machine
        self._whole = self.part(INPUT_NAMES, [OUTPUT_NAME])
        with captured_output():
            inputs = self._whole.module.get_info()["inputs"]
            artifact.check_sizes([[side if side > 0 else None for side in value.shape] for value in inputs[:2]])
        # Weights of every precision become float32 when they are loaded.
        super().__init__(artifact.manifest, backend="mnn", device=device, arithmetic="fp32", tuning=tuning)

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Part:
        """The part of the network between some tensors and others, by name.

        Raises:
            BackendError: MNN cannot load it.
        """
        mnn = engine()
        with captured_output() as lines:
            try:
                with _named(self._artifact.data(".mnn")) as path:
                    return self._load(mnn, path, list(inputs), list(outputs))
            except Exception as error:  # the binding raises SystemError, IndexError and Exception itself
                reason = error
        raise BackendError(
            f"MNN cannot load {self._artifact.folder} ({one_line(' '.join(lines) or reason, MAX_REASON)}): export it "
            "again with this version"
        ) from reason

    def _load(self, mnn: Any, path: str, inputs: list[str], outputs: list[str]) -> Part:
        options = {"backend": CPU, "precision": PRECISION, "numThread": self._threads}
        manager = mnn._nn.create_runtime_manager((options,))
        kinds = mnn._expr
        fixed = (kinds.Backend.CPU, kinds.MemoryMode.Normal, kinds.PowerMode.Normal, kinds.PrecisionMode.High)
        dynamic, shape_mutable, rearrange = False, True, False
        module = mnn._nn.load_module_from_file(
            manager, inputs, outputs, path, dynamic, shape_mutable, rearrange, *fixed, self._threads
        )
        if sorted(module.get_info()["inputNames"]) != sorted(inputs):
            raise ValueError(f"it takes {module.get_info()['inputNames']}, not {inputs}")
        return Part(module, manager, WINOGRAD_LEVELS[self._artifact.manifest.precision])

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        return as_frame(self._whole.run([as_value(x) for x in (img0, img1, t)], img0.shape)[0])

    def _cut(self) -> Halves | None:
        names = self._encoded()
        return MnnHalves(self.part(INPUT_NAMES[:2], names), self.part([*names, INPUT_NAMES[2]], [OUTPUT_NAME]))

    def _encoded(self) -> list[str]:
        """The tensors that everything after the encoder can be computed from, together with t."""
        with captured_output(), _named(self._artifact.data(".mnn")) as path:
            values = engine()._expr.load_as_dict(path)
        order = ordered(values[OUTPUT_NAME])
        return cut_values(
            list(order),
            {name: [value.name for value in inputs] for name, (_, inputs) in order.items()},
            frames=INPUT_NAMES[:2],
            timestep=INPUT_NAMES[2],
            is_free=lambda name: order[name][0] in FREE,
        )

    def _close(self) -> None:
        del self._whole


class Part:
    """The network or a part of it, loaded.

    Args:
        module: of MNN.
        manager: what it was loaded with.
        level: see :data:`WINOGRAD_LEVELS`.
    """

    def __init__(self, module: Any, manager: Any, level: int) -> None:
        self.module, self._manager, self._level = module, manager, level
        self._seen: tuple[int, ...] = ()

    def run(self, values: list[Any], shape: tuple[int, ...]) -> list[Any]:
        """Compute. When a module sees frames of another ``shape`` it chooses its algorithms.

        Raises:
            BackendError: MNN failed.
        """
        _forks.check()
        if shape == self._seen:
            outputs = self.module.forward(values)
        else:
            with _choosing:
                self._manager.set_hint(WINOGRAD_HINT, self._level)
                outputs = self.module.forward(values)
        if not outputs:
            raise BackendError("MNN failed: not enough memory?")
        self._seen = shape
        return list(outputs)


class MnnHalves:
    """Two parts; what is encoded stays in MNN's own layout."""

    def __init__(self, first: Part, second: Part) -> None:
        self._first, self._second = first, second

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> list[Any]:
        """See :class:`runtimes.base.Halves`."""
        return self._first.run([as_value(img0), as_value(img1)], img0.shape)

    def decode(self, encoded: list[Any], t: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
        """See :class:`runtimes.base.Halves`."""
        return as_frame(self._second.run([*encoded, as_value(t)], shape)[0])


def as_frame(value: Any) -> Array:
    """An output as (1, 3, H, W) float32, copied: what the binding gives is memory that MNN takes back."""
    kinds = engine()._expr
    return np.array(kinds.convert(value, kinds.NCHW).read(), np.float32)


def as_value(array: NDArray[np.float32]) -> Any:
    """A tensor of MNN with a copy of an array, NCHW."""
    kinds = engine()._expr
    return kinds.const(array, list(array.shape), kinds.NCHW)


Order = dict[str, tuple[str, list[Any]]]
"""Tensor name -> the operation that gives it, and the values that this takes."""


def ordered(output: Any) -> Order:
    """Everything that a value is computed from, each after what it takes, and itself last."""
    order: Order = {}
    seen, waiting = {output.name}, [(output, iter(output.inputs))]
    while waiting:
        value, inputs = waiting[-1]
        if (item := next((item for item in inputs if item.name not in seen), None)) is not None:
            seen.add(item.name)
            waiting.append((item, iter(item.inputs)))
        else:
            order[value.name] = value.op_type, list(value.inputs)
            waiting.pop()
    return order


@contextmanager
def _named(data: bytes) -> Iterator[str]:
    """A path to bytes that were checked, since the binding reads files only: memory where the system has such files."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        descriptor = os.memfd_create("model.mnn")
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.mnn"
            path.write_bytes(data)
            yield str(path)
