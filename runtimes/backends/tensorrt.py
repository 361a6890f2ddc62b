"""TensorRT, and TensorRT for RTX, on CUDA; without PyTorch or pycuda."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.backends.cuda_arrays import CudaArray, check_cuda_frames, read_cuda_array
from runtimes.backends.tensorrt_cache import RuntimeCache, gpu_facts
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME
from runtimes.device import About, Device
from runtimes.errors import BackendError, DeviceMismatchError, FrameError
from runtimes.frames import Array
from runtimes.tuning import Choices, Tuning

ABOUT = About(
    name="tensorrt",
    title="TensorRT",
    modules=("tensorrt", "tensorrt_rtx"),
    distributions=("tensorrt", "tensorrt-rtx"),
    extra="trt",
    colour="#cc79a7",
)

DEFAULT_DEVICE = "cuda:0"

SETTINGS: Choices = {}
"""Nothing is left to choose once an engine is built."""

FLAVOURS = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Distribution -> module. An engine runs with the one that built it."""


def missing() -> str:
    """Why TensorRT cannot be used here; empty when it can."""
    if not any(importlib.util.find_spec(module) for module in FLAVOURS.values()):
        return "neither tensorrt nor tensorrt-rtx is installed: pip install 'ifrnet-export[trt]' (or [trt-rtx])"
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        return "cuda-bindings is not installed: pip install 'ifrnet-export[trt]' (or [trt-rtx])"
    return ""


def devices() -> list[Device]:
    """CUDA devices of this machine."""
    from cuda.bindings import runtime as cuda

    status, count = cuda.cudaGetDeviceCount()
    if status != cuda.cudaError_t.cudaSuccess or count == 0:
        return [Device(name="cuda:0", reason=f"no NVIDIA GPU or driver ({status.name})")]
    names = [_check(cuda.cudaGetDeviceProperties(i)).name.decode() for i in range(count)]
    driver = str(_check(cuda.cudaDriverGetVersion()))
    return [Device(name=f"cuda:{i}", description=name, driver=driver) for i, name in enumerate(names)]


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Deserialise ``model.engine``."""
    return TensorRtRuntime(artifact, device, tuning)


def _check(result: tuple[Any, ...]) -> Any:
    """The value of a CUDA call, whose first item is its status.

    Raises:
        BackendError: the call failed.
    """
    status, *values = result
    if status.value != 0:
        raise BackendError(f"CUDA failed: {status.name}")
    return values[0] if values else None


class TensorRtRuntime(Runtime):
    """An engine with one execution context, one stream, and device buffers that grow to the largest frame seen."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        from cuda.bindings import runtime as cuda

        flavour = str(artifact.manifest.details.get("builder", "tensorrt"))
        if flavour not in FLAVOURS or importlib.util.find_spec(FLAVOURS[flavour]) is None:
            raise BackendError(
                f"{artifact.folder} was built by {flavour}, not installed here: install it or export again"
            )
        trt = importlib.import_module(FLAVOURS[flavour])
        self._cuda = cuda
        self._index = int(device.removeprefix("cuda:"))
        _check(cuda.cudaSetDevice(self._index))
        self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(artifact.data(".engine"))
        if self._engine is None:
            built = artifact.manifest.details.get("compute_capabilities")
            raise DeviceMismatchError(
                f"{flavour} cannot load {artifact.folder} on {device}: it was built for compute capabilities {built} "
                f"by {artifact.manifest.tools.get(flavour)}; export it again on this machine, or with --sm for its GPU"
            )
        self._cache: RuntimeCache | None = None
        if hasattr(trt, "IRuntimeCache"):  # TensorRT for RTX compiles kernels on first use; TensorRT has them built
            facts = {"engine": str(artifact.manifest.files[artifact.name(".engine")]["sha256"])}
            facts |= {"tensorrt": str(trt.__version__), **gpu_facts(cuda, self._index)}
            self._cache = RuntimeCache(self._engine, artifact.folder, facts)
            self._context = self._engine.create_execution_context(self._cache.config)
        else:
            self._context = self._engine.create_execution_context()
        if self._context is None:  # it holds the memory of the largest frame from the start
            raise BackendError(
                f"TensorRT cannot run {artifact.folder} on {device}: not enough memory of the GPU for frames of "
                f"{artifact.manifest.sizes.maximum}? export it for smaller ones (--size, or --max-size with --dynamic)"
            )
        self._stream = _check(cuda.cudaStreamCreate())
        self._done = _check(cuda.cudaEventCreateWithFlags(cuda.cudaEventDisableTiming))  # of the last infer_device
        self._ready = _check(cuda.cudaEventCreateWithFlags(cuda.cudaEventDisableTiming))  # of its inputs
        self._buffers: dict[str, tuple[int, int]] = {}
        super().__init__(
            artifact.manifest,
            backend="tensorrt",
            device=device,
            arithmetic=artifact.manifest.precision.value,
            tuning=tuning,
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        cuda, stream = self._cuda, self._stream
        _check(cuda.cudaSetDevice(self._index))  # the current device belongs to the calling thread
        _check(cuda.cudaStreamWaitEvent(stream, self._done, 0))
        for name, value in zip(INPUT_NAMES, (img0, img1, t), strict=True):
            self._upload(name, value, stream)
        out = np.empty_like(img0)
        address = self._buffer(OUTPUT_NAME, out.nbytes)
        self._bind(OUTPUT_NAME, address, out.shape)
        self._execute(stream)
        _check(cuda.cudaMemcpyAsync(out.ctypes.data, address, out.nbytes, _copy(cuda, "DeviceToHost"), stream))
        _check(cuda.cudaStreamSynchronize(stream))
        return out

    def infer_device(self, img0: Any, img1: Any, t: float, out: Any, *, stream: int = 0) -> None:
        """The frame at ``t`` of frames that are on the GPU, without a copy; returns when the work is enqueued.

        Args:
            img0, img1: float32 (1, 3, H, W), RGB in [0, 1], on this runtime's device, C-contiguous, as anything with
                ``__cuda_array_interface__``: tensors of PyTorch, arrays of CuPy, Numba or JAX. Values are not checked.
            t: time step in (0, 1).
            out: where the frame goes, of the same kind.
            stream: handle of the CUDA stream to enqueue on (``torch.cuda.current_stream().cuda_stream``); 0 is the
                default stream. What follows on that stream sees the result. Keep the arrays until then.

        Raises:
            FrameError: not such arrays, another shape or size, or memory of another device.
            TimestepError: a t that the checkpoint does not serve.
        """
        arrays = [read_cuda_array(name, value) for name, value in (("img0", img0), ("img1", img1), ("out", out))]
        self.spec.sizes.check(check_cuda_frames(arrays[0], arrays[1], arrays[2]))
        self.spec.timesteps.check(t)
        cuda = self._cuda
        with self._lock:
            self._check_open()
            _check(cuda.cudaSetDevice(self._index))
            for array in arrays:
                self._check_here(array)
                if array.stream is not None and array.stream != stream:
                    _check(cuda.cudaEventRecord(self._ready, array.stream))
                    _check(cuda.cudaStreamWaitEvent(stream, self._ready, 0))
            # One context works for one frame at a time, and all calls share the memory of t.
            _check(cuda.cudaStreamWaitEvent(stream, self._done, 0))
            for name, array in zip((*INPUT_NAMES[:2], OUTPUT_NAME), arrays, strict=True):
                self._bind(name, array.pointer, array.shape)
            self._upload(INPUT_NAMES[2], np.full((1, 1, 1, 1), t, np.float32), stream)
            self._execute(stream)
            _check(cuda.cudaEventRecord(self._done, stream))

    def _check_here(self, array: CudaArray) -> None:
        """Raises FrameError where the array is not memory of this runtime's device."""
        facts = _check(self._cuda.cudaPointerGetAttributes(array.pointer))
        kinds = self._cuda.cudaMemoryType
        if facts.type not in (kinds.cudaMemoryTypeDevice, kinds.cudaMemoryTypeManaged) or facts.device != self._index:
            raise FrameError(
                f"the array at {array.pointer:#x} is {facts.type.name} of device {facts.device}; "
                f"expected memory of {self.spec.device}"
            )

    def _upload(self, name: str, value: NDArray[np.float32], stream: Any) -> None:
        """Copy an input to its buffer on the device and bind it. The host's memory may change afterwards."""
        address = self._buffer(name, value.nbytes)
        self._bind(name, address, value.shape)
        copy = _copy(self._cuda, "HostToDevice")
        _check(self._cuda.cudaMemcpyAsync(address, value.ctypes.data, value.nbytes, copy, stream))

    def _execute(self, stream: Any) -> None:
        if not self._context.execute_async_v3(int(stream)):
            raise BackendError(f"TensorRT could not run {self.spec.name} on {self.spec.device}")

    def _buffer(self, name: str, size: int) -> int:
        """The address of memory on the device for a tensor, allocated when ``size`` bytes are more than before."""
        address, capacity = self._buffers.get(name, (0, 0))
        if size > capacity:
            if address:
                _check(self._cuda.cudaFree(address))
            self._buffers.pop(name, None)
            address = int(_check(self._cuda.cudaMalloc(size)))
            self._buffers[name] = (address, size)
        return address

    def _bind(self, name: str, address: int, shape: tuple[int, ...]) -> None:
        """Where the engine finds a tensor of float32, or writes it."""
        if name != OUTPUT_NAME and not self._context.set_input_shape(name, shape):
            raise BackendError(f"TensorRT refuses {name} of shape {shape}; the engine takes {self.spec.sizes}")
        if not self._context.set_tensor_address(name, address):
            raise BackendError(f"TensorRT refuses the memory of {name} at {address:#x}")

    def _close(self) -> None:
        _check(self._cuda.cudaSetDevice(self._index))
        _check(self._cuda.cudaEventSynchronize(self._done))
        if self._cache is not None:
            self._cache.save()
            self._cache = None
        del self._context, self._engine, self._runtime
        for address, _ in self._buffers.values():
            _check(self._cuda.cudaFree(address))
        self._buffers.clear()
        for event in (self._done, self._ready):
            _check(self._cuda.cudaEventDestroy(event))
        _check(self._cuda.cudaStreamDestroy(self._stream))


def _copy(cuda: Any, direction: str) -> Any:
    return getattr(cuda.cudaMemcpyKind, f"cudaMemcpy{direction}")
