"""ncnn on the CPU and on Vulkan."""

from __future__ import annotations

import importlib.util

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.base import Runtime
from runtimes.contract import Precision
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.registry import Device

DEFAULT_DEVICE = "cpu"

INPUTS, OUTPUT = ("in0", "in1", "in2"), "out0"
"""Blob names that pnnx gives to img0, img1, t and imgt."""

SOFTWARE = 3
"""``ncnn.GpuInfo.type()`` of a driver that runs on the CPU (VkPhysicalDeviceType maps to 0..3 in ncnn)."""


def missing() -> str:
    """Why ncnn cannot be used here; empty when it can."""
    if importlib.util.find_spec("ncnn") is None:
        return "ncnn is not installed: pip install 'ifrnet-export[ncnn]'"
    return ""


def devices() -> list[Device]:
    """The CPU, and every Vulkan device of the loader."""
    import ncnn

    found = [Device(name="cpu", description=f"ncnn {ncnn.__version__}")]
    count = ncnn.get_gpu_count()
    for i in range(count):
        info = ncnn.get_gpu_info(i)
        found.append(Device(name=f"vulkan:{i}", description=info.device_name(), software=info.type() == SOFTWARE))
    if count == 0:
        found.append(Device(name="vulkan:0", reason="no Vulkan device: install a driver (Debian: mesa-vulkan-drivers)"))
    return found


def open_runtime(artifact: Artifact, device: str, threads: int | None) -> Runtime:
    """Load ``model.param`` and ``model.bin``."""
    return NcnnRuntime(artifact, device, threads)


class NcnnRuntime(Runtime):
    """An ncnn net; tensors have no batch dimension inside."""

    def __init__(self, artifact: Artifact, device: str, threads: int | None) -> None:
        import ncnn

        net = ncnn.Net()
        net.opt.num_threads = threads or net.opt.num_threads
        vulkan = device.startswith("vulkan:")
        net.opt.use_vulkan_compute = vulkan
        precision = artifact.manifest.precision
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = precision is Precision.FP16
        net.opt.use_bf16_packed = net.opt.use_bf16_storage = precision is Precision.BF16
        if vulkan:
            net.set_vulkan_device(int(device.removeprefix("vulkan:")))
        if net.load_param(str(artifact.file(".param"))) or net.load_model(str(artifact.file(".bin"))):
            raise BackendError(f"ncnn cannot load {artifact.folder} on {device}: export it again with this version")
        self._net = net
        super().__init__(
            artifact.manifest,
            backend="ncnn",
            device=device,
            arithmetic=_arithmetic(precision, vulkan=vulkan),
            threads=threads,
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        import ncnn

        with self._net.create_extractor() as extractor:
            for name, value in zip(INPUTS, (img0, img1, t), strict=True):
                # ncnn's Mat borrows numpy's memory, and a first layer that works in place would crash on it.
                extractor.input(name, ncnn.Mat(value[0]).clone())
            code, out = extractor.extract(OUTPUT)
            if code != 0:
                raise BackendError(f"ncnn failed with code {code} on {self.spec.device}: not enough memory?")
            return np.array(out)[np.newaxis]

    def _close(self) -> None:
        del self._net


def _arithmetic(precision: Precision, *, vulkan: bool) -> str:
    """What convolutions run in: of CPUs only ARM's with asimdhp have half-precision kernels, others ignore the option.

    bfloat16 is what values are stored in between layers; sums are float32.
    """
    import ncnn

    if precision is Precision.FP16 and not vulkan and not ncnn.cpu_support_arm_asimdhp():
        return "fp32"
    return precision.value
