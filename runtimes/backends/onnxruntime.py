"""ONNX Runtime on the CPU and on CUDA."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.artifact import Artifact, Manifest
from runtimes.base import Halves, Runtime
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision
from runtimes.device import About, Device
from runtimes.environment import instruction_sets
from runtimes.errors import BackendError, DeviceUnavailableError
from runtimes.frames import Array
from runtimes.graph_cut import cut_values
from runtimes.tuning import Choices, Tuning

if TYPE_CHECKING:
    import onnxruntime

ABOUT = About(
    name="onnxruntime",
    title="ONNX Runtime",
    modules=("onnxruntime",),
    distributions=("onnxruntime", "onnxruntime-gpu"),
    extra="onnx",
    colour="#0072b2",
)

DEFAULT_DEVICE = "cpu"

SETTINGS: Choices = {
    "session.intra_op.allow_spinning": ("1", "0"),
    "session.set_denormal_as_zero": ("0", "1"),
    "session.intra_op.dynamic_block_base": ("0", "4"),
}
"""Entries of the session's configuration."""

HEAVY = ("Conv", "ConvTranspose", "FusedConv", "QLinearConv", "GridSample", "Resize", "PRelu", "DepthToSpace")
"""Operators that take time, and those on whole feature maps: one of them elsewhere copies the map both ways."""


FREE = ("Shape", "QuantizeLinear", "DequantizeLinear", "Cast", "Concat", "Reshape", "Slice", "Split")
"""Operators that belong after the cut: see :func:`runtimes.graph_cut.cut_values`."""


def missing() -> str:
    """Why ONNX Runtime cannot be used here; empty when it can."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed: pip install 'ifrnet-export[onnx]' (or [onnx-cuda] for NVIDIA GPUs)"
    return ""


def devices() -> list[Device]:
    """The CPU, and CUDA where this build of ONNX Runtime has it."""
    import onnxruntime

    found = [Device(name="cpu", description=f"ONNX Runtime {onnxruntime.__version__}")]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        found += _cuda_devices() or [Device(name="cuda:0", reason="no NVIDIA GPU found")]
    else:
        found.append(Device(name="cuda:0", reason="this onnxruntime has no CUDA: install onnxruntime-gpu in its place"))
    return found


def _cuda_devices() -> list[Device]:
    """GPUs that NVIDIA's driver offers; ``CUDA_VISIBLE_DEVICES`` hides some.

    ONNX Runtime's own ``get_ep_devices`` lists CUDA only where it is a plugin (1.31), and some GPUs twice.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return []
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    driver.cuDriverGetVersion(ctypes.byref(version))
    found = []
    for i in range(count.value):
        handle, name = ctypes.c_int(0), ctypes.create_string_buffer(256)
        driver.cuDeviceGet(ctypes.byref(handle), i)
        driver.cuDeviceGetName(name, len(name), handle)
        found.append(Device(name=f"cuda:{i}", description=name.value.decode(), driver=str(version.value)))
    return found


def open_runtime(artifact: Artifact, device: str, tuning: Tuning) -> Runtime:
    """Load ``model.onnx`` or ``model.ort`` onto one execution provider.

    Raises:
        BackendError: ONNX Runtime cannot load it.
        DeviceUnavailableError: a ``.ort`` file and a device other than the CPU.
    """
    if _is_ort(artifact) and device != DEFAULT_DEVICE:
        raise DeviceUnavailableError(
            f"{artifact.folder} holds a .ort file, which ONNX Runtime has optimised for CPUs: export without --ort for "
            f"{device}"
        )
    return OrtRuntime(artifact, device, tuning)


def _is_ort(artifact: Artifact) -> bool:
    """Whether the model is a ``.ort`` file. It is optimised already, and nothing is known that cuts it in halves."""
    return any(name.endswith(".ort") for name in artifact.contents)


class OrtRuntime(Runtime):
    """An ONNX Runtime session, and two of its halves once several t are asked for: of ``.onnx`` files only."""

    def __init__(self, artifact: Artifact, device: str, tuning: Tuning) -> None:
        self._artifact, self._device, self._tuning = artifact, device, tuning
        self._output: NDArray[np.float32] | None = None
        model = artifact.data(".ort" if _is_ort(artifact) else ".onnx")
        self._session = _session(artifact, device, tuning, model)
        artifact.check_sizes([_shape(value) for value in self._session.get_inputs()[:2]])
        super().__init__(
            artifact.manifest,
            backend="onnxruntime",
            device=device,
            arithmetic=_arithmetic(artifact.manifest, device),
            tuning=tuning,
        )

    def _infer(self, img0: NDArray[np.float32], img1: NDArray[np.float32], t: NDArray[np.float32]) -> Array:
        return self.bound(self._session, dict(zip(INPUT_NAMES, (img0, img1, t), strict=True)), {})

    def _cut(self) -> Halves | None:
        if _is_ort(self._artifact) or importlib.util.find_spec("onnx") is None:
            return None  # the ONNX is cut, with that package
        first, second = halves(self._artifact.data(".onnx"))
        encode = _session(self._artifact, self._device, self._tuning, first)
        decode = _session(self._artifact, self._device, self._tuning, second)
        return OrtHalves(encode, decode, self._device, self)

    def bound(
        self,
        session: onnxruntime.InferenceSession,
        arrays: Mapping[str, NDArray[np.float32]],
        values: Mapping[str, onnxruntime.OrtValue],
        shape: tuple[int, ...] | None = None,
    ) -> Array:
        """Run with the output in memory that is kept from call to call; ``shape`` is that of the frames."""
        shape = shape or arrays[INPUT_NAMES[0]].shape
        if self._output is None or self._output.shape != shape:
            self._output = np.empty(shape, np.float32)
        binding = session.io_binding()
        for name, array in arrays.items():
            binding.bind_cpu_input(name, array)
        for name, value in values.items():
            binding.bind_ortvalue_input(name, value)
        binding.bind_output(OUTPUT_NAME, "cpu", 0, np.float32, shape, self._output.ctypes.data)
        session.run_with_iobinding(binding)
        return self._output.view()

    def _close(self) -> None:
        del self._session


class OrtHalves:
    """Two sessions; what is encoded stays on the device."""

    def __init__(
        self,
        encode: onnxruntime.InferenceSession,
        decode: onnxruntime.InferenceSession,
        device: str,
        runtime: OrtRuntime,
    ) -> None:
        self._encode, self._decode = encode, decode
        self._runtime: OrtRuntime = weakref.proxy(runtime)  # which holds these halves, and goes with its last user
        kind, _, index = device.partition(":")
        self._place = kind, int(index or 0)

    def encode(self, img0: NDArray[np.float32], img1: NDArray[np.float32]) -> dict[str, onnxruntime.OrtValue]:
        """See :class:`runtimes.base.Halves`."""
        binding = self._encode.io_binding()
        for name, value in zip(INPUT_NAMES[:2], (img0, img1), strict=True):
            binding.bind_cpu_input(name, value)
        names = [output.name for output in self._encode.get_outputs()]
        for name in names:
            binding.bind_output(name, *self._place)
        self._encode.run_with_iobinding(binding)
        return dict(zip(names, binding.get_outputs(), strict=True))

    def decode(self, encoded: dict[str, onnxruntime.OrtValue], t: NDArray[np.float32], shape: tuple[int, ...]) -> Array:
        """See :class:`runtimes.base.Halves`."""
        return self._runtime.bound(self._decode, {INPUT_NAMES[2]: t}, encoded, shape)


def _shape(value: Any) -> list[int | None]:
    """Of an input; a side with a name is free."""
    return [side if isinstance(side, int) else None for side in value.shape]


def halves(model: bytes) -> tuple[bytes, bytes]:
    """Cut a model in two: (img0, img1) -> what is encoded, and that with t -> imgt; both as ONNX files."""
    import onnx
    from onnx.utils import Extractor

    whole = onnx.shape_inference.infer_shapes(onnx.load_from_string(model))
    kinds = {name: node.op_type for node in whole.graph.node for name in node.output}
    inputs = {name: tuple(node.input) for node in whole.graph.node for name in node.output}
    encoded = cut_values(
        list(inputs),
        {**inputs, **dict.fromkeys(INPUT_NAMES, ())},
        frames=INPUT_NAMES[:2],
        timestep=INPUT_NAMES[2],
        is_free=lambda name: kinds[name] in FREE,
    )
    extractor = Extractor(whole)
    first = extractor.extract_model(list(INPUT_NAMES[:2]), encoded)
    second = extractor.extract_model([*encoded, INPUT_NAMES[2]], [OUTPUT_NAME])
    return first.SerializeToString(), second.SerializeToString()


def _arithmetic(manifest: Manifest, device: str) -> str:
    """The CPU provider has half-precision convolutions on ARM64 with FP16 alone (by its sources: nobody has run it
    there), and runs them in float32 elsewhere.

    It computes int8 in the form that export makes, where export read the layers back on x86-64 (on ARM64 nobody has
    looked). Artifacts of earlier versions, and every one on CUDA, are computed in float32 with dequantised weights.
    """
    if manifest.precision is Precision.INT8:
        return "int8" if device == DEFAULT_DEVICE and manifest.details.get("int8_layers") else "fp32"
    if manifest.precision is Precision.FP16 and device == DEFAULT_DEVICE:
        in_half = "asimdhp" in instruction_sets() and "model.onnx" in manifest.files  # .ort has its casts inside
        return "fp16" if in_half else "fp32"
    return manifest.precision.value


def _session(artifact: Artifact, device: str, tuning: Tuning, model: bytes) -> onnxruntime.InferenceSession:
    """A session for the model or a part of it."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for name, value in tuning.settings.items():
        options.add_session_config_entry(name, str(value))
    if tuning.threads is not None:
        options.intra_op_num_threads = tuning.threads
    provider: Any = "CPUExecutionProvider"
    if device.startswith("cuda:"):
        provider = ("CUDAExecutionProvider", {"device_id": device.removeprefix("cuda:"), "use_tf32": "0"})
        onnxruntime.preload_dlls()  # CUDA and cuDNN from Python packages, where they are not the system's
    try:
        # What fails on the CPU would be tried there again, with four lines on standard output (1.31).
        session = onnxruntime.InferenceSession(
            model, options, providers=[provider], enable_fallback=int(device != DEFAULT_DEVICE)
        )
    except Exception as error:  # ONNX Runtime raises classes of its own that share no base
        reason = " ".join(str(error).split())
        raise BackendError(f"ONNX Runtime cannot load {artifact.folder} on {device}: {reason}") from error
    wanted = provider if isinstance(provider, str) else provider[0]
    if wanted not in session.get_providers():
        raise DeviceUnavailableError(
            f"ONNX Runtime could not start {wanted} and would have used {', '.join(session.get_providers())}: it needs "
            "CUDA and cuDNN besides the driver; pip install 'ifrnet-export[onnx-cuda]' brings them"
        )
    check_placement(wanted, placement(session))
    return session


def placement(session: onnxruntime.InferenceSession) -> dict[str, list[str]]:
    """Execution provider -> operators of the nodes that it was given, as the session recorded them."""
    found: dict[str, list[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        found.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return found


def check_placement(wanted: str, found: Mapping[str, Sequence[str]]) -> None:
    """Refuse a session that runs heavy nodes elsewhere than asked. Shapes and the like may stay on the CPU.

    Args:
        wanted: the execution provider asked for.
        found: see :func:`placement`.

    Raises:
        BackendError: naming the operators and where they are.
    """
    moved = [
        f"{kinds.count(kind)} {kind} on {provider}"
        for provider, kinds in ((provider, list(kinds)) for provider, kinds in found.items())
        for kind in HEAVY
        if provider != wanted and kind in kinds
    ]
    if moved:
        raise BackendError(f"ONNX Runtime was asked for {wanted} and placed {', '.join(moved)}: it lacks them there")
