"""OpenVINO on CPU, GPU and NPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact
from runtimes.base import Runtime
from runtimes.contract import INPUT_NAMES, Precision
from runtimes.errors import BackendError
from runtimes.frames import Array
from runtimes.registry import Device

if TYPE_CHECKING:
    import openvino

DEFAULT_DEVICE = "cpu"

HINTS = {Precision.FP32: "f32", Precision.FP16: "f16", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""Inference precision of an artifact where the device has it; see :func:`choose_hint`."""

_CAPABILITIES = {"f16": "FP16", "bf16": "BF16"}

_CONVOLUTIONS = ("Convolution", "Deconvolution")

_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


def choose_hint(precision: Precision, capabilities: Sequence[str]) -> str:
    """The inference precision to ask for on a device with these ``OPTIMIZATION_CAPABILITIES``.

    What a device lacks runs in float32, never in another half precision: asked for f16, a CPU without it takes bf16
    in silence, and unasked, a CPU with AVX512_BF16 runs float32 models in bf16.
    """
    hint = HINTS[precision]
    return hint if _CAPABILITIES.get(hint) in (None, *capabilities) else "f32"


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


def devices() -> list[Device]:
    """The devices that OpenVINO reports, in lower case."""
    import openvino

    core = openvino.Core()
    found = [
        Device(name=name.lower(), description=str(core.get_property(name, "FULL_DEVICE_NAME")))
        for name in core.available_devices
    ]
    names = {device.name.partition(".")[0] for device in found}
    absent = [kind for kind in ("gpu", "npu") if kind not in names]
    return found + [Device(name=kind, reason=f"OpenVINO finds no {kind.upper()}") for kind in absent]


def open_runtime(artifact: Artifact, device: str, threads: int | None) -> Runtime:
    """Compile the IR for one device."""
    return OpenVinoRuntime(artifact, device, threads)


class OpenVinoRuntime(Runtime):
    """A compiled OpenVINO model with one inference request."""

    def __init__(self, artifact: Artifact, device: str, threads: int | None) -> None:
        self.compiled = compile_ir(artifact, device, threads)
        self._request = self.compiled.create_infer_request()
        ran = {_NAMES.get(ran, ran) for kind, ran, _ in executed_layers(self.compiled) if kind in _CONVOLUTIONS}
        rest = str(self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
        int8 = artifact.manifest.precision is Precision.INT8
        super().__init__(
            artifact.manifest,
            backend="openvino",
            device=device,
            arithmetic=f"int8 with {_NAMES.get(rest, rest)}" if int8 else "+".join(sorted(ran)),
            threads=threads,
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        import openvino

        # OpenVINO borrows writable memory only, though it writes to no input, and does not keep it alive.
        borrowed = [np.require(value, requirements="W") for value in (img0, img1, t)]
        for name, value in zip(INPUT_NAMES, borrowed, strict=True):
            self._request.set_tensor(name, openvino.Tensor(value, shared_memory=True))
        self._request.infer()
        output: Array = self._request.get_output_tensor(0).data.copy()
        return output

    def _close(self) -> None:
        del self._request, self.compiled


def compile_ir(artifact: Artifact, device: str, threads: int | None) -> openvino.CompiledModel:
    """Compile for latency at an explicit inference precision.

    Raises:
        BackendError: OpenVINO refuses the model or the device.
    """
    import openvino

    core = openvino.Core()
    hint = choose_hint(artifact.manifest.precision, core.get_property(device.upper(), "OPTIMIZATION_CAPABILITIES"))
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": hint}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    try:
        return core.compile_model(str(artifact.file(".xml")), device.upper(), properties)
    except RuntimeError as error:
        reason = " ".join(str(error).split())  # it comes in several lines
        raise BackendError(f"OpenVINO cannot load {artifact.folder} on {device}: {reason}") from error
