"""Target ``trt``: an engine, strongly typed, built by TensorRT or ahead of time by TensorRT for RTX.

TensorRT 11 has no precision flags: what runs is what the ONNX says, and this module reads back that it does.
TensorRT for RTX compiles for a list of compute capabilities on a machine without a GPU.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.declarations import BF16_TOLERANCE, FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements
from export.errors import ExportError, SentinelError
from export.int8.recipe import REWRITES, layer_name
from export.options import ExportOptions
from runtimes.backends import tensorrt as runtime
from runtimes.backends.tensorrt import FLAVOURS
from runtimes.backends.tensorrt_cache import TimingCache, gpu_facts
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision, Size

if TYPE_CHECKING:
    import onnx

    from export.source import Source

REQUIRES: Requirements = dict.fromkeys(FLAVOURS.values(), "trt")
"""One of the two."""

BACKEND = "tensorrt"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.BF16: BF16_TOLERANCE,
    Precision.INT8: INT8_TOLERANCE,
}
"""The ONNX checker refuses bfloat16 convolutions below opset 22; TensorRT's parser takes them, and reads no file."""

LACKING: dict[Precision, str] = {}

RTX_CAPABILITIES = ("75", "80", "86", "89", "120", "121")
"""What tensorrt-rtx 1.7 compiles for ahead of time."""

DEFAULT_CAPABILITIES = ("86", "89", "120")


def flavour() -> str:
    """The distribution that builds: ``tensorrt`` where it is installed, ``tensorrt-rtx`` otherwise, or empty."""
    for name, module in FLAVOURS.items():
        if importlib.util.find_spec(module) is not None:
            return name
    return ""


def missing() -> str:
    """Why it cannot be built here; empty when one of the two is there."""
    if not flavour():
        return "neither tensorrt nor tensorrt-rtx is installed: pip install 'ifrnet-export[trt]' (or [trt-rtx])"
    if flavour() == "tensorrt":  # it builds on the GPU that it builds for
        return runtime.missing() or next((device.reason for device in runtime.devices()), "")
    return ""


def check(options: ExportOptions) -> None:
    """Compute capabilities that the builder has.

    Raises:
        ExportError: another one is asked for, or any with ``tensorrt``, which builds for the GPU of this machine; or
            INT8 of free size.
    """
    wanted = options.compute_capabilities
    if flavour() == "tensorrt" and wanted:
        raise ExportError("--sm needs tensorrt-rtx: tensorrt builds for the GPU of this machine")
    for capability in wanted:
        if capability not in RTX_CAPABILITIES:
            raise ExportError(f"--sm {capability}: tensorrt-rtx compiles for {', '.join(RTX_CAPABILITIES)}")
    if Precision.INT8 in options.precisions and not options.sizes.is_static and flavour() == "tensorrt-rtx":
        raise ExportError(
            "target trt has no --int8 with --dynamic: tensorrt-rtx 1.7.1 cannot build a resize behind a depth-to-space "
            "of free size; export one --size each"
        )


def rewrites(precision: Precision) -> tuple[str, ...]:
    """PReLU is never fused into a convolution by tensorrt-rtx; relu(x) + a min(x, 0) is. It has no bfloat16
    deconvolution (1.7.1: "Could not infer output types")."""
    if precision is Precision.INT8:
        return (*REWRITES, "row_mean", "relu_prelu")
    deconv = ("subpixel_deconv",) if precision is Precision.BF16 else ()
    return ("split_resblock", "batch_pair", "row_mean", "relu_prelu", *deconv)


def graph_precision(precision: Precision) -> Precision:
    """Strongly typed: what the graph says is what runs."""
    return precision


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.engine``.

    Raises:
        ExportError: the parser or the builder failed.
        SentinelError: the parsed network is not what the ONNX says.
    """
    name, model = flavour(), source.onnx
    trt = importlib.import_module(FLAVOURS[name])
    logger = trt.Logger(trt.Logger.ERROR)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # what pybind11 makes of a null pointer
        raise ExportError(
            f"{name} does not start: it needs an NVIDIA GPU to build on; tensorrt-rtx needs none"
        ) from error
    network = builder.create_network(0)  # TensorRT 11 networks are strongly typed
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.SerializeToString()):
        errors = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise ExportError(f"{name} cannot parse the graph: {errors}")
    read_back(trt, network, None if not options.sizes.is_static else options.sizes.typical)
    half = precision in (Precision.FP16, Precision.BF16)
    share = half_share(trt, network, model, precision) if half else 0.0
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # on by default: float32 convolutions would round to 10 bits of mantissa
    capabilities = _target_devices(trt, config, name, options)
    if not options.sizes.is_static:
        config.add_optimization_profile(_profile(builder, options))
    cache = _timing_cache(trt, config, options) if name == "tensorrt" else None
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{name} could not build the engine; its log is above")
    if cache is not None:
        cache.save()
    (folder / "model.engine").write_bytes(plan)
    details: dict[str, Any] = {
        "builder": name,
        "compute_capabilities": capabilities,
        "layers": network.num_layers,
    }
    if precision is Precision.INT8:
        details["int8_layers"] = int8_layers(trt, network)
    if half:
        details["half_share"] = round(share, 4)
    return Compiled(details=details, tools=("onnx", name))


def _timing_cache(trt: Any, config: Any, options: ExportOptions) -> TimingCache:
    """TensorRT measures kernels on the GPU while it builds; TensorRT for RTX measures nothing."""
    from cuda.bindings import runtime as cuda

    return TimingCache(config, options.out, {"tensorrt": str(trt.__version__), **gpu_facts(cuda, 0)})


def _target_devices(trt: Any, config: Any, name: str, options: ExportOptions) -> list[str]:
    if name == "tensorrt":
        return ["this machine's GPU"]
    capabilities = options.compute_capabilities or DEFAULT_CAPABILITIES
    config.num_compute_capabilities = len(capabilities)
    for i, capability in enumerate(capabilities):
        config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), i)
    return list(capabilities)


def _profile(builder: Any, options: ExportOptions) -> Any:
    profile = builder.create_optimization_profile()
    sizes = (options.sizes.minimum, options.sizes.typical, options.sizes.maximum)
    for name in INPUT_NAMES[:2]:
        profile.set_shape(name, *((1, 3, size.height, size.width) for size in sizes))
    return profile


def read_back(trt: Any, network: Any, size: Size | None) -> None:
    """Compare the parsed network with what was meant: warps, names, types and shapes.

    Raises:
        SentinelError: a warp that is not bilinear with border padding and aligned corners in float32, or other I/O.
    """
    side = (-1, -1) if size is None else (size.height, size.width)
    frame, step = (1, 3, *side), (1, 1, 1, 1)
    expected = [*zip(INPUT_NAMES, (frame, frame, step), strict=True), (OUTPUT_NAME, frame)]
    tensors = [network.get_input(i) for i in range(network.num_inputs)]
    tensors += [network.get_output(i) for i in range(network.num_outputs)]
    found = [(tensor.name, tuple(tensor.shape)) for tensor in tensors]
    if found != expected or any(tensor.dtype != trt.DataType.FLOAT for tensor in tensors):
        raise SentinelError(f"sentinel trt-io: the parsed network takes and gives {found}, not {expected} in float32")
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type != trt.LayerType.GRID_SAMPLE:
            continue
        layer.__class__ = trt.IGridSampleLayer  # the base class hides the attributes of the kind
        modes = (layer.interpolation_mode, layer.sample_mode, layer.align_corners, layer.get_input(1).dtype)
        if modes != (trt.InterpolationMode.LINEAR, trt.SampleMode.CLAMP, True, trt.DataType.FLOAT):
            raise SentinelError(f"sentinel trt-warps: {layer.name} was parsed as {modes}, not linear, clamped, aligned")


def int8_layers(trt: Any, network: Any) -> list[str]:
    """Layers of the parsed network whose data and kernel both come dequantised from int8 with zero-point 0.

    TensorRT refuses other zero-points when it parses, and fuses such a pair into an int8 convolution.
    """
    makers = {}
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        for k in range(layer.num_outputs):
            makers[layer.get_output(k).name] = layer
    found = []
    for layer in makers.values():
        if layer.type == trt.LayerType.CONVOLUTION and layer.num_inputs > 1:
            sources = [makers[layer.get_input(k).name] for k in range(2)]
            if all(s.type == trt.LayerType.DEQUANTIZE and s.get_input(0).dtype == trt.DataType.INT8 for s in sources):
                found.append(layer_name(layer.get_input(1).name.removesuffix("_dequantized")))
    return sorted(found)


def half_share(trt: Any, network: Any, model: onnx.ModelProto, precision: Precision) -> float:
    """Share of the multiplications that the parsed network has in half precision: inputs and output of that type.

    Raises:
        SentinelError: under 95 %, naming the layers that are not.
    """
    from onnx import TensorProto

    from export.convolutions import HALF_SHARE, share_in, type_name
    from export.sentinels import HALF

    kinds = {
        trt.DataType.FLOAT: TensorProto.FLOAT,
        trt.DataType.HALF: TensorProto.FLOAT16,
        trt.DataType.BF16: TensorProto.BFLOAT16,
    }
    found: dict[str, int] = {}
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION):
            types = {layer.get_input(0).dtype, layer.get_output(0).dtype}
            found[layer.get_output(0).name] = kinds.get(types.pop(), 0) if len(types) == 1 else 0
    share, others = share_in(found, model, HALF[precision])
    if share < HALF_SHARE:
        raise SentinelError(
            f"sentinel half-engine: {share:.1%} of the multiplications are in {type_name(HALF[precision])}, "
            f"expected {HALF_SHARE:.0%}; these are not: {', '.join(others)}"
        )
    return share
