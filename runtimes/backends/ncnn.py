"""ncnn on the CPU and on Vulkan."""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.backends.native_library import ForkGuard, captured_output
from runtimes.backends.ncnn_layers import Layer, checked_layers
from runtimes.backends.ncnn_options import stated_options
from runtimes.backends.ncnn_weights import check_int8, read_weights
from runtimes.base import Halves, Runtime
from runtimes.contract import Precision
from runtimes.device import About, Device
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.graph_cut import cut_values
from runtimes.printable import MAX_REASON, one_line
from runtimes.tuning import Choices, Tuning

T = TypeVar("T")

ABOUT = About(name="ncnn", title="ncnn", modules=("ncnn",), distributions=("ncnn",), extra="ncnn", colour="#d55e00")

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {
    "use_winograd_convolution": (True, False),
    "use_winograd63_convolution": (True, False),
    "use_winograd43_convolution": (True, False),
    "use_winograd23_convolution": (True, False),
    "use_sgemm_convolution": (True, False),
    "use_packing_layout": (True, False),
    "lightmode": (True, False),
    "openmp_blocktime": (20, 0, 200),
}
"""Attributes of ``ncnn.Option``; they concern the CPU. What an artifact states itself is not tuned."""

INPUTS, OUTPUT = ("in0", "in1", "in2"), "out0"
"""Blob names that pnnx gives to img0, img1, t and imgt."""

FREE = ("Split", "Concat", "Reshape", "Cast", "Noop", "Power")
"""Layers that belong after the cut: see :func:`runtimes.graph_cut.cut_values`."""

SOFTWARE = 3
"""``ncnn.GpuInfo.type()`` of a driver that runs on the CPU (VkPhysicalDeviceType maps to 0..3 in ncnn)."""


def missing() -> str:
    """Why ncnn cannot be used here; empty when it can."""
    if importlib.util.find_spec("ncnn") is None:
        return "ncnn is not installed: pip install 'ifrnet-export[ncnn]'"
    return ""


def devices() -> Iterator[Device]:
    """The CPU, and every Vulkan device of the loader, which is started only for whoever asks further than the CPU.

    ncnn and the loader print a line for each driver that is not there, and several for each device.
    """
    import ncnn

    yield Device(name="cpu", description=f"ncnn {ncnn.__version__}")
    with captured_output():
        count = ncnn.get_gpu_count()
    for i in range(count):
        info = ncnn.get_gpu_info(i)
        yield Device(
            name=f"vulkan:{i}",
            description=info.device_name(),
            software=info.type() == SOFTWARE,
            driver=f"{info.driver_version():#x}",
        )
    if count == 0:
        yield Device(name="vulkan:0", reason="no Vulkan device: install a driver (Debian: mesa-vulkan-drivers)")


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.param`` and ``model.bin``."""
    return NcnnRuntime(artifact, device, tuning)


class NcnnRuntime(Runtime):
    """An ncnn net; tensors have no batch dimension inside."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        import ncnn

        _forks.check()
        net = ncnn.Net()
        net.opt.num_threads = tuning.threads or net.opt.num_threads
        options = stated_options(artifact.manifest)
        settings = {name: value for name, value in tuning.settings.items() if name not in options}
        for name, value in {**settings, **options}.items():
            setattr(net.opt, name, value)
        vulkan = device.startswith("vulkan:")
        net.opt.use_vulkan_compute = vulkan
        if vulkan:
            net.set_vulkan_device(int(device.removeprefix("vulkan:")))
        self._layers = _layers(artifact)
        artifact.check_sizes(stated_shapes(self._layers))
        # The binding takes the text from memory, and weights from a file only.
        if net.load_param_mem(artifact.text(".param")) or net.load_model(str(artifact.path(".bin"))):
            raise BackendError(f"ncnn cannot load {artifact.folder} on {device}: export it again with this version")
        self._net = net
        super().__init__(
            artifact.manifest,
            backend="ncnn",
            device=device,
            arithmetic=arithmetic(artifact.manifest.precision, options, vulkan=vulkan),
            tuning=replace(tuning, settings=settings),
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        given = {name: as_blob(value) for name, value in zip(INPUTS, (img0, img1, t), strict=True)}
        return self.extract(given, [OUTPUT], np.array)[OUTPUT][np.newaxis]

    def _cut(self) -> Halves | None:
        return NcnnHalves(self, encoded_blobs(self._layers))

    def extract(self, given: Mapping[str, Any], wanted: Sequence[str], copy: Callable[[Any], T]) -> dict[str, T]:
        """Blobs by name, as float32 and unpacked, from other blobs.

        Args:
            given: the blobs to start from.
            wanted: names.
            copy: what takes a blob out of the memory that ends with the extractor.

        Raises:
            BackendError: ncnn failed.
        """
        _forks.check()
        with self._net.create_extractor() as extractor:
            if len(wanted) > 1:
                extractor.set_light_mode(False)  # or a blob would be gone that another one is computed from
            for name, blob in given.items():
                extractor.input(name, blob)
            return {name: copy(self._extract(extractor, name)) for name in wanted}

    def _extract(self, extractor: Any, name: str) -> Any:
        """A blob as float32, unpacked."""
        code, blob = extractor.extract(name)
        if code != 0:
            raise BackendError(f"ncnn failed with code {code} on {self.spec.device}: not enough memory?")
        return blob

    def _close(self) -> None:
        del self._net


_forks = ForkGuard("ncnn")


class NcnnHalves:
    """The encoder and the rest of one net: ncnn computes what a blob needs and no more."""

    def __init__(self, runtime: NcnnRuntime, blobs: list[str]) -> None:
        self._runtime: NcnnRuntime = weakref.proxy(runtime)  # which holds these halves, and goes with its last user
        self._blobs = blobs

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> dict[str, Any]:
        """See :class:`runtimes.base.Halves`."""
        given = dict(zip(INPUTS, map(as_blob, (img0, img1)), strict=False))
        return self._runtime.extract(given, self._blobs, lambda blob: blob.clone())

    def decode(self, encoded: dict[str, Any], t: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
        """See :class:`runtimes.base.Halves`."""
        return self._runtime.extract({**encoded, INPUTS[2]: as_blob(t)}, [OUTPUT], np.array)[OUTPUT][np.newaxis]


def as_blob(value: NDArray[np.float32]) -> Any:
    """(1, C, H, W) -> ncnn's Mat (C, H, W), with memory of its own: a first layer may work in place."""
    import ncnn

    return ncnn.Mat(value[0]).clone()


def _layers(artifact: Artifact) -> list[Layer]:
    """The layers of the artifact. Raises BackendError where ncnn could not read them safely."""
    try:
        layers = checked_layers(artifact.text(".param"))
        weights = read_weights(layers, artifact.data(".bin"))
        check_int8(weights, artifact.manifest.precision)
    except ValueError as error:
        raise BackendError(
            f"ncnn cannot load {artifact.folder}: its .param and .bin are no network ({one_line(error, MAX_REASON)}): "
            "export it again"
        ) from error
    return layers


def stated_shapes(layers: Sequence[Layer]) -> list[list[int | None]]:
    """Shapes of img0 and img1, NCHW, that the input layers state; None where they do not."""
    frames = [layer.numbers for layer in layers if layer.kind == "Input" and layer.name in INPUTS[:2]]
    return [[1, *(int(side[key]) if side.get(key, "").isdigit() else None for key in "210")] for side in frames]


def encoded_blobs(layers: Sequence[Layer]) -> list[str]:
    """The blobs that everything after the encoder can be computed from, together with t."""
    inputs = {blob: layer.inputs for layer in layers for blob in layer.outputs}
    kinds = {blob: layer.kind for layer in layers for blob in layer.outputs}
    return cut_values(
        list(inputs), inputs, frames=INPUTS[:2], timestep=INPUTS[2], is_free=lambda blob: kinds[blob] in FREE
    )


def arithmetic(precision: Precision, options: Mapping[str, bool], *, vulkan: bool) -> str:
    """What convolutions run in: of CPUs only ARM's with asimdhp have half-precision kernels, others ignore the option.

    bfloat16 is what values are stored in between layers; sums are float32. So are those of ``fp16 storage``. An int8
    network has float convolutions too.
    """
    import ncnn

    has_half = vulkan or ncnn.cpu_support_arm_asimdhp()
    rest = Precision.FP32.value
    if options.get("use_bf16_storage"):
        rest = Precision.BF16.value
    elif options.get("use_fp16_storage") and has_half:
        rest = Precision.FP16.value if options.get("use_fp16_arithmetic") else f"{Precision.FP16} storage"
    if precision is not Precision.INT8:
        return rest
    return precision.value if rest == Precision.FP32 else f"{precision} with {rest}"
