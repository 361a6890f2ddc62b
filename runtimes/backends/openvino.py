"""OpenVINO on CPU, GPU and NPU."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact, Manifest
from runtimes.base import Halves, Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision
from runtimes.device import About, Device
from runtimes.errors import BackendError, DeviceUnavailableError
from runtimes.frames import Array
from runtimes.graph_cut import cut_values
from runtimes.tuning import Choices, Tuning

if TYPE_CHECKING:
    import openvino

# OpenVINO imports it if it is there, and it forks a process that reports to an analytics host (2026.4.1). With None in
# its place the import fails, which OpenVINO allows for. This module is imported before any of ours imports OpenVINO.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is what the import system documents

ABOUT = About(
    name="openvino",
    title="OpenVINO",
    modules=("openvino",),
    distributions=("openvino",),
    extra="openvino",
    colour="#009e73",
)

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {
    "ENABLE_CPU_PINNING": (True, False),
    "CPU_DENORMALS_OPTIMIZATION": (False, True),
    "TBB_PARTITIONER": ("STATIC", "AUTO"),
}
"""Properties of ``compile_model``; on the CPU."""

HINTS = {Precision.FP32: "f32", Precision.FP16: "f16", Precision.BF16: "bf16"}
"""Inference precision of an artifact where the device has it; see :func:`choose_hint`."""

REMAINDER = "remainder"
"""Detail of the manifest of an int8 artifact: the precision of what is not int8; float32 where it is missing."""

KEPT_KERNELS = {"CPU_RUNTIME_CACHE_CAPACITY": "256"}
"""How many kernels the CPU keeps for sizes that it met. With its own 5000, each new size of a dynamic artifact took 3
to 7 MB for good; 256 are those of some ten sizes, and a size that comes back after more is as fast as a new one."""

REFUSALS = (RuntimeError, UnicodeDecodeError)
"""What OpenVINO raises; the second where its message repeats bytes of the model that are no text (2026.4)."""

_CAPABILITIES = {"f16": "FP16", "bf16": "BF16"}

_CONVOLUTIONS = ("Convolution", "Deconvolution")

_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


FREE = ("ShapeOf", "FakeQuantize", "Convert", "Concat", "Reshape", "Slice", "StridedSlice", "Split", "VariadicSplit")
"""Operations that belong after the cut: see :func:`runtimes.graph_cut.cut_values`."""


def choose_hint(precision: Precision, capabilities: Sequence[str]) -> str:
    """The inference precision to ask for on a device with these ``OPTIMIZATION_CAPABILITIES``.

    What a device lacks runs in float32, never in another half precision: asked for f16, a CPU without it takes bf16
    in silence, and unasked, a CPU with AVX512_BF16 runs float32 models in bf16.
    """
    hint = HINTS[precision]
    return hint if _CAPABILITIES.get(hint) in (None, *capabilities) else "f32"


def float_precision(manifest: Manifest) -> Precision:
    """What the convolutions run in, or for int8 what the rest does."""
    if manifest.precision is not Precision.INT8:
        return manifest.precision
    return Precision.BF16 if manifest.details.get(REMAINDER) == Precision.BF16 else Precision.FP32


def executed_layers(compiled: openvino.CompiledModel) -> list[tuple[str, str, tuple[str, ...]]]:
    """For each layer of a compiled model its type, the precision it runs in, and the layers of the IR it came from.

    Of a convolution that is the type of its data: ``runtimePrecision`` names the type its weights are stored in where
    that is narrower (2026.4: f16 for a float32 kernel with compressed weights).
    """
    layers = []
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        kind, precision, origins = (
            str(info[key].astype(str)) if key in info else ""
            for key in ("layerType", "runtimePrecision", "originalLayersNames")
        )
        if kind in _CONVOLUTIONS:
            precision = node.input(0).get_element_type().to_string()
        layers.append((kind, precision, tuple(origins.split(","))))
    return layers


def missing() -> str:
    """Why OpenVINO cannot be used here; empty when it can."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed: pip install 'ifrnet-export[openvino]'"
    return ""


def shared_core() -> openvino.Core:
    """OpenVINO's core, one for a process and as long as it lives.

    A core's CPU plugin gives the thread a signal stack of its own, and when the core goes the plugin restores the stack
    that it had found. With two cores that is the first core's stack, which is freed memory if that core went first: the
    next signal that Python handles (Ctrl-C, the end of a child) then ends the process (OpenVINO 2026.4).
    """
    return _core_of(os.getpid())  # a child that was forked has none of its threads


@functools.cache
def _core_of(process: int) -> openvino.Core:
    import openvino

    return openvino.Core()


def devices() -> list[Device]:
    """The devices that OpenVINO reports, in lower case."""
    core = shared_core()
    found = [
        Device(
            name=name.lower(),
            description=str(core.get_property(name, "FULL_DEVICE_NAME")),
            driver=_driver(core, name),
        )
        for name in core.available_devices
    ]
    names = {device.name.partition(".")[0] for device in found}
    absent = [kind for kind in ("gpu", "npu") if kind not in names]
    return found + [Device(name=kind, reason=f"OpenVINO finds no {kind.upper()}") for kind in absent]


def _driver(core: openvino.Core, name: str) -> str:
    """Version of the driver, where the plugin of a device tells it."""
    for key in ("DRIVER_VERSION", "GPU_DRIVER_VERSION", "NPU_DRIVER_VERSION"):
        try:
            return str(core.get_property(name, key))
        except RuntimeError:
            continue
    return ""


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Compile the IR for one device.

    Raises:
        DeviceUnavailableError: an NPU, for what is not fp16 of one size: it computes floats in fp16, whatever is asked.
    """
    manifest = artifact.manifest
    suits = float_precision(manifest) is Precision.FP16 and manifest.sizes.is_static
    if device.partition(".")[0] == "npu" and not suits:
        raise DeviceUnavailableError(
            f"the NPU computes in fp16 and wants frames of one size; {manifest.name} is {manifest.precision} for "
            f"{manifest.sizes}: export with --fp16 and --size for it"
        )
    return OpenVinoRuntime(artifact, device, tuning)


class OpenVinoRuntime(Runtime):
    """A compiled OpenVINO model with one inference request; in float32 its halves too, once several t are asked for."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        self._artifact, self._device, self._tuning = artifact, device, tuning
        model = read_ir(artifact)
        artifact.check_sizes([_shape(model.input(name)) for name in INPUT_NAMES[:2]])
        self.compiled = compile_ir(artifact, device, tuning, model)
        self._request = self.compiled.create_infer_request()
        ran = {_NAMES.get(ran, ran) for kind, ran, _ in executed_layers(self.compiled) if kind in _CONVOLUTIONS}
        rest = str(self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        int8 = artifact.manifest.precision is Precision.INT8
        super().__init__(
            artifact.manifest,
            backend="openvino",
            device=device,
            arithmetic=f"int8 with {_NAMES.get(rest, rest)}"
            if int8
            else "+".join(sorted(ran)) or _NAMES.get(rest, rest),
            tuning=tuning,
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        return _run(self._request, dict(zip(INPUT_NAMES, (img0, img1, t), strict=True)))

    def _cut(self) -> Halves | None:
        if self.spec.arithmetic != "fp32":
            return None  # what is handed over is float32 in the order of the frame: converting it costs what it saves
        parts = halves(read_ir(self._artifact))
        encode, decode = (compile_ir(self._artifact, self._device, self._tuning, part) for part in parts)
        return OpenVinoHalves(encode.create_infer_request(), decode.create_infer_request())

    def _close(self) -> None:
        del self._request, self.compiled


class OpenVinoHalves:
    """Two requests; what the first gives is read by the second in place."""

    def __init__(self, encode: openvino.InferRequest, decode: openvino.InferRequest) -> None:
        self._encode, self._decode = encode, decode

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> None:
        """See :class:`runtimes.base.Halves`."""
        _run(self._encode, dict(zip(INPUT_NAMES[:2], (img0, img1), strict=True)))
        for output in self._encode.get_compiled_model().outputs:
            self._decode.set_tensor(output.get_any_name(), self._encode.get_tensor(output))

    def decode(self, encoded: None, t: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
        """See :class:`runtimes.base.Halves`."""
        return _run(self._decode, {INPUT_NAMES[2]: t})


def _shape(port: Any) -> list[int | None]:
    """Of an input; None where a side is free."""
    return [side.get_length() if side.is_static else None for side in port.get_partial_shape()]


def _run(request: openvino.InferRequest, values: Mapping[str, NDArray[np.float32]]) -> Array:
    """Set inputs by name and infer; the first output, in OpenVINO's memory."""
    import openvino

    # OpenVINO borrows writable memory only, though it writes to no input, and does not keep it alive.
    borrowed = {name: np.require(value, requirements="W") for name, value in values.items()}
    for name, value in borrowed.items():
        request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
    request.infer()
    output: Array = request.get_output_tensor(0).data
    return output


def halves(model: openvino.Model) -> tuple[openvino.Model, openvino.Model]:
    """Cut a model in two: (img0, img1) -> what is encoded, and that with t -> imgt. Takes ``model`` apart.

    Each encoded value is an output of the first and an input of the second of the same name.
    """
    import openvino
    from openvino import opset15 as opset

    first = model.clone()
    results, parameters = [], []
    for i, (source, target) in enumerate(zip(_encoded(first), _encoded(model), strict=True)):
        results.append(opset.result(source))
        source.get_tensor().set_names({f"encoded{i}"})
        parameter = opset.parameter(target.get_partial_shape(), target.get_element_type())
        parameter.output(0).get_tensor().set_names({f"encoded{i}"})
        for reader in target.get_target_inputs():
            reader.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    frames = [first.input(name).get_node() for name in INPUT_NAMES[:2]]
    rest = [*parameters, model.input(INPUT_NAMES[2]).get_node()]
    return (
        openvino.Model(results, frames, "encode"),
        openvino.Model([model.output(OUTPUT_NAME).get_node()], rest, "decode"),
    )


def _encoded(model: openvino.Model) -> list[openvino.Output]:
    """The values at the cut, see :func:`runtimes.graph_cut.cut_values`."""
    nodes = {node.get_name(): node for node in model.get_ordered_ops()}
    inputs = {
        name: [value.get_source_output().get_node().get_name() for value in node.inputs()]
        for name, node in nodes.items()
    }
    frames = [model.input(name).get_node().get_name() for name in INPUT_NAMES[:2]]
    names = cut_values(
        list(nodes),
        inputs,
        frames=frames,
        timestep=model.input(INPUT_NAMES[2]).get_node().get_name(),
        is_free=lambda name: nodes[name].get_type_name() in FREE,
    )
    return [output for name in names for output in nodes[name].outputs()]


def read_ir(artifact: Artifact) -> openvino.Model:
    """The network as the artifact's files state it, weights included: OpenVINO looks for no file by itself.

    Raises:
        BackendError: OpenVINO cannot read them.
    """
    try:
        return shared_core().read_model(artifact.data(".xml"), artifact.data(".bin"))
    except REFUSALS as error:
        raise _refusal(artifact, "", error) from error


def compile_ir(artifact: Artifact, device: str, tuning: Tuning, model: openvino.Model) -> openvino.CompiledModel:
    """Compile for latency at an explicit inference precision.

    Args:
        artifact: says which precision.
        device: as in :func:`devices`.
        tuning: threads, properties and the folder of compiled models.
        model: see :func:`read_ir`, or a half of it.

    Raises:
        BackendError: OpenVINO refuses the model or the device.
    """
    core = shared_core()
    hint = choose_hint(
        float_precision(artifact.manifest), core.get_property(device.upper(), "OPTIMIZATION_CAPABILITIES")
    )
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint, **tuning.settings}
    if tuning.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = tuning.threads
    if tuning.cache is not None:
        properties["CACHE_DIR"] = str(tuning.cache)
    if device == "cpu" and not artifact.manifest.sizes.is_static:
        properties |= KEPT_KERNELS
    try:
        return core.compile_model(model, device.upper(), properties)
    except REFUSALS as error:
        raise _refusal(artifact, f" on {device}", error) from error


def _refusal(artifact: Artifact, where: str, error: Exception) -> BackendError:
    reason = " ".join(str(error).split())  # it comes in several lines
    return BackendError(f"OpenVINO cannot load {artifact.folder}{where}: {reason}")
