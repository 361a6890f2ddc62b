"""ncnn on the CPU and on Vulkan."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.base import Runtime
from runtimes.contract import Precision
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.graph_cut import NotCutError, boundary
from runtimes.registry import Device
from runtimes.tuning import Choices, Tuning

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {
    "use_winograd_convolution": (True, False),
    "use_winograd63_convolution": (True, False),
    "use_winograd43_convolution": (True, False),
    "use_sgemm_convolution": (True, False),
    "lightmode": (True, False),
    "openmp_blocktime": (20, 0, 200),
}
"""Attributes of ``ncnn.Option``; they concern the CPU."""

INPUTS, OUTPUT = ("in0", "in1", "in2"), "out0"
"""Blob names that pnnx gives to img0, img1, t and imgt."""

FREE = ("Split", "Concat", "Reshape", "Cast", "Noop", "Power")
"""Layers that belong after the cut: see :func:`runtimes.graph_cut.boundary`."""

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


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.param`` and ``model.bin``."""
    return NcnnRuntime(artifact, device, tuning)


class NcnnRuntime(Runtime):
    """An ncnn net; tensors have no batch dimension inside."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        import ncnn

        net = ncnn.Net()
        net.opt.num_threads = tuning.threads or net.opt.num_threads
        for name, value in tuning.settings.items():
            setattr(net.opt, name, value)
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
        self._encoded: list[str] | None = None
        self._param = artifact.file(".param").read_text(encoding="ascii")
        super().__init__(
            artifact.manifest,
            backend="ncnn",
            device=device,
            arithmetic=_arithmetic(precision, vulkan=vulkan),
            tuning=tuning,
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        import ncnn

        with self._net.create_extractor() as extractor:
            for name, value in zip(INPUTS, (img0, img1, t), strict=True):
                # ncnn's Mat borrows numpy's memory, and a first layer that works in place would crash on it.
                extractor.input(name, ncnn.Mat(value[0]).clone())
            return np.array(self._extract(extractor, OUTPUT))[np.newaxis]

    def _infer_each(
        self, img0: NDArray[np.float32], img1: NDArray[np.float32], steps: Sequence[NDArray[np.float32]]
    ) -> Iterator[Array]:
        import ncnn

        try:
            self._encoded = self._encoded or encoded_blobs(self._param)
        except NotCutError:
            yield from super()._infer_each(img0, img1, steps)
            return
        with self._net.create_extractor() as encoder:
            encoder.set_light_mode(False)  # or a blob would be gone that another one is computed from
            for name, value in zip(INPUTS, (img0, img1), strict=False):
                encoder.input(name, ncnn.Mat(value[0]).clone())
            encoded = {name: self._extract(encoder, name).clone() for name in self._encoded}
        for t in steps:
            with self._net.create_extractor() as decoder:
                for name, blob in encoded.items():
                    decoder.input(name, blob)
                decoder.input(INPUTS[2], ncnn.Mat(t[0]).clone())
                output = np.array(self._extract(decoder, OUTPUT))[np.newaxis]
            yield output  # outside: nothing of ncnn's may outlive the network in a generator that nobody finishes

    def _extract(self, extractor: Any, name: str) -> Any:
        """A blob as float32, unpacked."""
        code, blob = extractor.extract(name)
        if code != 0:
            raise BackendError(f"ncnn failed with code {code} on {self.spec.device}: not enough memory?")
        return blob

    def _close(self) -> None:
        del self._net


def encoded_blobs(param: str) -> list[str]:
    """The blobs of a ``.param`` text that everything after the encoder can be computed from, together with t."""
    inputs: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, str] = {}
    for line in param.splitlines()[2:]:
        if not line.strip():
            continue
        kind, _, bottoms, tops, *rest = line.split()
        middle, end = int(bottoms), int(bottoms) + int(tops)
        for blob in rest[middle:end]:
            inputs[blob], kinds[blob] = tuple(rest[:middle]), kind
    return boundary(
        list(inputs), inputs, frames=INPUTS[:2], timestep=INPUTS[2], is_free=lambda blob: kinds[blob] in FREE
    )


def _arithmetic(precision: Precision, *, vulkan: bool) -> str:
    """What convolutions run in: of CPUs only ARM's with asimdhp have half-precision kernels, others ignore the option.

    bfloat16 is what values are stored in between layers; sums are float32.
    """
    import ncnn

    if precision is Precision.FP16 and not vulkan and not ncnn.cpu_support_arm_asimdhp():
        return "fp32"
    return precision.value
