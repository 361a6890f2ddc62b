"""A stand-in for CUDA and TensorRT on machines without a GPU: host memory plays the device, one average the network.

It proves what the host does (what is copied where, in which order, what is freed), not that TensorRT runs. That
``cuda.bindings`` and TensorRT have every name and enumeration value used here is tested against the real packages.
"""

# ruff: noqa: N802, N815 - the names are CUDA's

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.backends.cuda_arrays import ALIGNMENT
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME


class Status(IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1


class CopyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class MemoryType(IntEnum):
    cudaMemoryTypeUnregistered = 0
    cudaMemoryTypeHost = 1
    cudaMemoryTypeDevice = 2
    cudaMemoryTypeManaged = 3


OK = Status.cudaSuccess


@dataclass
class FakeCuda:
    """``cuda.bindings.runtime``: each call returns its status first; ``calls`` lists what reached a stream."""

    cudaError_t = Status
    cudaMemcpyKind = CopyKind
    cudaMemoryType = MemoryType
    cudaEventDisableTiming = 2
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    memory: dict[int, tuple[int, Any, int]] = field(default_factory=dict)  # address -> (bytes, keeper, device)
    handles: set[int] = field(default_factory=set)  # streams and events
    device: int = 0
    _next: int = 100

    def _handle(self) -> tuple[Status, int]:
        self._next += 1
        self.handles.add(self._next)
        return OK, self._next

    def _release(self, handle: int) -> tuple[Status]:
        self.handles.remove(handle)
        return (OK,)

    def _record(self, *call: Any) -> tuple[Status]:
        self.calls.append(call)
        return (OK,)

    def cudaSetDevice(self, index: int) -> tuple[Status]:
        self.device = index
        return (OK,)

    def cudaStreamCreate(self) -> tuple[Status, int]:
        return self._handle()

    def cudaEventCreateWithFlags(self, flags: int) -> tuple[Status, int]:
        assert flags == self.cudaEventDisableTiming
        return self._handle()

    def cudaStreamDestroy(self, stream: int) -> tuple[Status]:
        return self._release(stream)

    def cudaEventDestroy(self, event: int) -> tuple[Status]:
        return self._release(event)

    def cudaEventSynchronize(self, event: int) -> tuple[Status]:
        return self._record("synchronize event", event)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Status]:
        return self._record("synchronize", stream)

    def cudaEventRecord(self, event: int, stream: int) -> tuple[Status]:
        return self._record("record", event, stream)

    def cudaStreamWaitEvent(self, stream: int, event: int, flags: int) -> tuple[Status]:
        assert flags == 0
        return self._record("wait", stream, event)

    def cudaMalloc(self, size: int) -> tuple[Status, int]:
        keeper = (ctypes.c_ubyte * (size + ALIGNMENT))()
        address = -(-ctypes.addressof(keeper) // ALIGNMENT) * ALIGNMENT
        self.memory[address] = (size, keeper, self.device)
        return OK, address

    def cudaFree(self, address: int) -> tuple[Status]:
        del self.memory[address]
        return (OK,)

    def cudaMemcpyAsync(self, target: int, source: int, size: int, kind: CopyKind, stream: int) -> tuple[Status]:
        device = target if kind is CopyKind.cudaMemcpyHostToDevice else source
        assert self.memory[device][0] >= size, "a copy beyond the allocated memory"
        ctypes.memmove(target, source, size)
        return self._record(kind.name, size, stream)

    def cudaPointerGetAttributes(self, address: int) -> tuple[Status, Any]:
        found = self.memory.get(address)
        if found is None:
            return OK, SimpleNamespace(type=MemoryType.cudaMemoryTypeUnregistered, device=-2)
        return OK, SimpleNamespace(type=MemoryType.cudaMemoryTypeDevice, device=found[2])


class DeviceArray:
    """An array in fake device memory, with the CUDA Array Interface of a real one."""

    def __init__(self, cuda: FakeCuda, value: NDArray[Any], stream: int | None = None) -> None:
        self.array = np.ascontiguousarray(value)
        _, self.address = cuda.cudaMalloc(self.array.nbytes)
        ctypes.memmove(self.address, self.array.ctypes.data, self.array.nbytes)
        self.__cuda_array_interface__ = {
            "shape": self.array.shape,
            "typestr": self.array.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": stream,
        }

    def read(self) -> NDArray[Any]:
        """A copy of what lies there."""
        return _view(self.address, self.array.shape).copy()


def _view(address: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    size = int(np.prod(shape))
    return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address)).reshape(shape)


class FakeContext:
    """``IExecutionContext`` of a network that returns (1 - t) img0 + t img1."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return name in INPUT_NAMES

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name in (*INPUT_NAMES, OUTPUT_NAME)

    def execute_async_v3(self, stream: int) -> bool:
        img0, img1, t = (_view(self.addresses[name], self.shapes[name]) for name in INPUT_NAMES)
        _view(self.addresses[OUTPUT_NAME], img0.shape)[:] = (1.0 - t) * img0 + t * img1
        self.cuda.calls.append(("execute", stream))
        return True


class FakeTrt:
    """The ``tensorrt`` module, as far as a runtime needs it."""

    __version__ = "11.0.0"

    def __init__(self, cuda: FakeCuda) -> None:
        self._engine = SimpleNamespace(create_execution_context=lambda: FakeContext(cuda))

    class Logger:
        ERROR = 1

        def __init__(self, level: int) -> None:
            assert level == self.ERROR

    def Runtime(self, logger: FakeTrt.Logger) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda blob: self._engine if blob == b"engine" else None)
