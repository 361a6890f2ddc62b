"""The host's side of TensorRT, on a stand-in for the GPU (see ``fake_cuda``)."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.backends import tensorrt as trt
from runtimes.contract import Size, SizeRange, Timesteps
from runtimes.errors import BackendError, DeviceMismatchError, FrameError, RuntimesError, TimestepError
from runtimes.tuning import Tuning
from tests.runtimes.backends import fake_cuda
from tests.runtimes.backends.fake_cuda import DeviceArray, FakeCuda, FakeTrt
from tests.runtimes.test_base import MANIFEST

NOWHERE = 1 << 40
"""An aligned address that nobody allocated."""

SIZES = SizeRange(minimum=Size(4, 4), typical=Size(6, 4), maximum=Size(64, 64))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """Installs the stand-ins for ``cuda.bindings.runtime`` and ``tensorrt``."""
    fake = FakeCuda()
    bindings = ModuleType("cuda.bindings")
    bindings.runtime = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(importlib, "import_module", lambda name: FakeTrt(fake))
    return fake


def open_runtime(folder: Path, *, engine: bytes = b"engine", **changes: Any) -> trt.TensorRtRuntime:
    (folder / "model.engine").write_bytes(engine)
    manifest = replace(
        MANIFEST,
        backend="tensorrt",
        details={"builder": "tensorrt"},
        files={"model.engine": {"bytes": len(engine), "sha256": "0" * 64}},
        **{"sizes": SIZES, **changes},
    )
    runtime = trt.open_runtime(Artifact(folder, manifest, {"model.engine": engine}), "cuda:0", Tuning())
    assert isinstance(runtime, trt.TensorRtRuntime)
    return runtime


def tensor(seed: int, size: Size = SIZES.typical) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((1, 3, size.height, size.width), dtype=np.float32)


def blend(img0: NDArray[np.float32], img1: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    return (1 - np.float32(t)) * img0 + np.float32(t) * img1


def test_frames_go_up_and_come_back(cuda: FakeCuda, tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime:
        # Larger, smaller, larger again: the buffers on the device grow and are used again.
        for size in (Size(6, 4), Size(20, 10), Size(6, 4), Size(30, 20)):
            img0, img1 = tensor(0, size), tensor(1, size)
            found = runtime.infer(img0, img1, np.full((1, 1, 1, 1), 0.25, np.float32))
            np.testing.assert_array_equal(found, blend(img0, img1, 0.25))
        assert len(cuda.memory) == 4  # three inputs and the output
        several = runtime.interpolate(np.zeros((4, 6, 3), np.uint8), np.full((4, 6, 3), 200, np.uint8), [0.25, 0.5])
        assert [int(frame[0, 0, 0]) for frame in several] == [50, 100]
    assert not cuda.memory
    assert not cuda.handles


def test_an_engine_of_another_gpu_says_so(cuda: FakeCuda, tmp_path: Path) -> None:
    with pytest.raises(DeviceMismatchError, match="export it again"):
        open_runtime(tmp_path, engine=b"other")


def test_frames_on_the_device_are_not_copied(cuda: FakeCuda, tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime:
        img0, img1, out = (DeviceArray(cuda, tensor(seed)) for seed in range(3))
        cuda.calls.clear()
        runtime.infer_device(img0, img1, 0.25, out, stream=7)
        np.testing.assert_array_equal(out.read(), blend(img0.array, img1.array, 0.25))
        done = runtime._done
        upload = ("cudaMemcpyHostToDevice", 4, 7)  # t alone
        assert cuda.calls == [("wait", 7, done), upload, ("execute", 7), ("record", done, 7)]
        # Frames of the host take the same context, so they wait too, and find their own buffers bound again.
        found = runtime.infer(img1.array, img0.array, np.full((1, 1, 1, 1), 0.25, np.float32))
        np.testing.assert_array_equal(found, blend(img1.array, img0.array, 0.25))
        assert ("wait", runtime._stream, done) in cuda.calls
        for array in (img0, img1, out):
            cuda.cudaFree(array.address)
    assert not cuda.memory


def test_the_stream_of_whoever_wrote_the_frames_comes_first(cuda: FakeCuda, tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime:
        img0, img1, out = (DeviceArray(cuda, tensor(seed), stream=stream) for seed, stream in enumerate((9, 7, None)))
        cuda.calls.clear()
        runtime.infer_device(img0, img1, 0.5, out, stream=7)
        assert cuda.calls[:2] == [("record", runtime._ready, 9), ("wait", 7, runtime._ready)]
        assert ("record", runtime._ready, 7) not in cuda.calls


def changed(array: DeviceArray, **changes: Any) -> Any:
    return SimpleNamespace(__cuda_array_interface__={**array.__cuda_array_interface__, **changes})


def test_what_is_not_a_frame_on_the_device_is_refused(cuda: FakeCuda, tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime:
        img0, img1, out = (DeviceArray(cuda, tensor(seed)) for seed in range(3))
        cuda.cudaSetDevice(1)
        elsewhere = DeviceArray(cuda, tensor(3))
        small = DeviceArray(cuda, tensor(4, Size(2, 2)))
        address = img0.address
        bad: list[tuple[Any, str]] = [
            (img0.array, "ndarray; expected an array on the GPU"),
            (changed(img0, typestr="<f2"), "<f2; expected float32"),
            (changed(img0, strides=(288, 4, 72, 12)), "not C-contiguous"),
            (changed(img0, mask=img1), "not C-contiguous"),
            (changed(img0, data=(address + 4, False)), "aligned to 256 bytes"),
            (changed(img0, data=(0, False)), "aligned to 256 bytes"),
            (changed(img0, shape=(3, 4, 6)), r"expected \(1, 3, H, W\)"),
            (changed(img0, shape=(1, 3, 6, 4)), r"expected \(1, 3, H, W\)"),
            (changed(img0, data=(out.address, False)), "overlaps"),
            (changed(img0, data=(NOWHERE, False)), "cudaMemoryTypeUnregistered"),
            (elsewhere, "of device 1; expected memory of cuda:0"),
        ]
        cuda.calls.clear()
        for value, message in bad:
            with pytest.raises(FrameError, match=message):
                runtime.infer_device(value, img1, 0.5, out)
        with pytest.raises(FrameError, match="2x2"):
            runtime.infer_device(small, small, 0.5, changed(small, data=(out.address, False)))
        assert "execute" not in {name for name, *_ in cuda.calls}
        # The strides of a contiguous array are fine, and so are those of sides of one, which mean nothing.
        runtime.infer_device(changed(img0, strides=(12345, 96, 24, 4)), img1, 0.5, out)
        with pytest.raises(TimestepError):
            runtime.infer_device(img0, img1, 1.5, out)


def test_a_middle_model_refuses_another_time_on_the_device_too(cuda: FakeCuda, tmp_path: Path) -> None:
    with open_runtime(tmp_path, timesteps=Timesteps.MIDDLE) as runtime:
        img0, img1, out = (DeviceArray(cuda, tensor(seed)) for seed in range(3))
        with pytest.raises(TimestepError):
            runtime.infer_device(img0, img1, 0.25, out)


def test_a_closed_runtime_takes_nothing(cuda: FakeCuda, tmp_path: Path) -> None:
    runtime = open_runtime(tmp_path)
    img0, img1, out = (DeviceArray(cuda, tensor(seed)) for seed in range(3))
    runtime.close()
    with pytest.raises(RuntimesError, match="is closed"):
        runtime.infer_device(img0, img1, 0.5, out)


def test_a_failing_call_names_its_status(cuda: FakeCuda, tmp_path: Path) -> None:
    with open_runtime(tmp_path) as runtime:
        cuda.cudaMalloc = lambda size: (fake_cuda.Status.cudaErrorInvalidValue, 0)  # type: ignore[method-assign]
        with pytest.raises(BackendError, match="cudaErrorInvalidValue"):
            runtime.infer(tensor(0), tensor(1), np.full((1, 1, 1, 1), 0.5, np.float32))


def test_an_engine_that_gets_no_memory(cuda: FakeCuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = FakeTrt(cuda)
    short._engine.create_execution_context = lambda: None
    monkeypatch.setattr(importlib, "import_module", lambda name: short)
    with pytest.raises(BackendError, match="not enough memory of the GPU for frames of 64x64"):
        open_runtime(tmp_path)


def test_the_stand_in_has_the_names_of_the_real_thing() -> None:
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    for name in (name for name in vars(FakeCuda) if name.startswith("cuda")):
        assert hasattr(real, name), name
    for fake in (fake_cuda.CopyKind, fake_cuda.MemoryType):
        kind = "cudaMemcpyKind" if fake is fake_cuda.CopyKind else "cudaMemoryType"
        assert all(getattr(getattr(real, kind), member.name).value == member.value for member in fake)
    assert real.cudaEventDisableTiming == FakeCuda.cudaEventDisableTiming


def test_tensorrt_has_what_the_stand_in_has() -> None:
    installed = [module for module in trt.FLAVOURS.values() if importlib.util.find_spec(module)]
    if not installed:
        pytest.skip("no TensorRT is installed")
    for module in installed:
        real = importlib.import_module(module)
        assert hasattr(real.Logger, "ERROR")
        assert hasattr(real.Runtime, "deserialize_cuda_engine")
        assert hasattr(real.ICudaEngine, "create_execution_context")
        for name in ("set_input_shape", "set_tensor_address", "execute_async_v3"):
            assert hasattr(real.IExecutionContext, name)
