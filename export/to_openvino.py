"""Target ``openvino``: IR that is compiled on the device that runs it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.declarations import (
    BF16_TOLERANCE,
    FP16_TOLERANCE,
    FP32_TOLERANCE,
    INT8_TOLERANCE,
    Compiled,
    Requirements,
    first_missing,
)
from export.errors import ExportError, SentinelError
from export.int8.recipe import layer_name
from export.openvino_layers import MOVES, check_island, halve_weights, keep_marks, mark_island, sum_rows
from export.options import ExportOptions
from runtimes.backends.openvino import REMAINDER, choose_hint, executed_layers, shared_core
from runtimes.contract import Precision

if TYPE_CHECKING:
    import onnx

    from export.source import Source

REQUIRES: Requirements = {"openvino": "openvino"}
"""OpenVINO reads the ONNX and writes the IR."""

BACKEND = "openvino"

INT8_TYPES = ("u8", "i8")
"""OpenVINO shifts symmetric data to unsigned where the CPU's instructions want that."""

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.BF16: BF16_TOLERANCE,
    Precision.INT8: INT8_TOLERANCE,
}

LACKING: dict[Precision, str] = {}


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """Bfloat16 for static sizes only.

    Raises:
        ExportError: both are asked for. With free sizes the steps of the sampling positions are computed from the
            shape, in layers that OpenVINO makes itself and runs in bfloat16 (2026.4; the sentinel flow-path names
            them).
    """
    if Precision.BF16 in options.precisions and not options.sizes.is_static:
        raise ExportError(
            "target openvino has no --bf16 with --dynamic: OpenVINO would round sampling positions; "
            "export one --size each"
        )


def rewrites(precision: Precision) -> tuple[str, ...]:
    """Its ConvTranspose is slower than the same work as a convolution and a crop, its GridSample than sums of rows, and
    a concatenation of flow with features than a convolution of its own for flow; its ReduceMean over a frame is as
    inexact as ONNX Runtime's (8e-4 in the output at 1278x718).

    The int8 form is that of the recipe with other heads and warps: the same layers, and the same scales.
    """
    return ("split_resblock", "batch_pair", "row_warp", "flow_apart", "subpixel_2x2", "offset_grid", "row_mean")


def _form(source: Source) -> Source:
    """The source in the form for its sizes: see :func:`export.row_warp.row_warp`."""
    if source.sizes.is_static:
        return source
    return source.reformed([name for name in source.rewrites if name != "row_warp"])


def graph_precision(precision: Precision) -> Precision:
    """OpenVINO lowers a float32 graph itself, and is told which part to leave alone."""
    return Precision.FP32 if precision in (Precision.FP16, Precision.BF16) else precision


def name_by_position(ir: Any) -> None:
    """Rename what OpenVINO named ``Constant_4711`` by a counter of the process, so that files do not depend on it."""
    for position, operation in enumerate(ir.get_ordered_ops()):
        kind = operation.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", operation.get_friendly_name()):
            operation.set_friendly_name(f"{kind}_{position}")


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.xml`` and ``model.bin``, compile them on every device here, and read back what would run.

    Raises:
        SentinelError: the CPU would run the flow path in half precision, or a warp is not read as it was written.
    """
    import openvino

    from export.int8.quantize import unsigned_activations
    from export.openvino_int8 import quantise_at_sources
    from export.sentinels import ROW_WARPS

    core = shared_core()
    source = _form(source)
    model = source.onnx
    if precision is Precision.INT8:
        # Of int8 OpenVINO makes uint8 itself, and behind a concatenation it is wrong: 20 dB instead of 53 (2026.4.1;
        # two joined convolutions before a Q/DQ pair are enough). tests/export/int8 say when that is mended.
        model = quantise_at_sources(unsigned_activations(model))
    ir = core.read_model(model.SerializeToString())
    if sum_rows(ir) != (ROW_WARPS if options.sizes.is_static else 0):
        raise SentinelError("sentinel all-warps: OpenVINO reads the sums of rows in a form that is not known here")
    remainder = _remainder(options)
    half = precision in (Precision.FP16, Precision.BF16) or (
        precision is Precision.INT8 and remainder is Precision.BF16
    )
    if half:
        keep_marks(ir)
    if precision in (Precision.FP16, Precision.INT8):
        halve_weights(ir)
    name_by_position(ir)
    path = folder / "model.xml"
    openvino.save_model(ir, path, compress_to_fp16=False)
    details: dict[str, Any] = {"weights": {Precision.FP16: "float16", Precision.INT8: "int8"}.get(precision, "float32")}
    hint = remainder if precision is Precision.INT8 else precision
    if half:
        details["executed"] = executed_on(core, path, hint, mark_island(path))
    if precision is Precision.INT8:
        details[REMAINDER] = remainder
        details["int8_layers"] = _int8_layers(core, path, model, hint)
    remove_indentation(path)
    return Compiled(details=details, tools=("onnx", "openvino"), rewrites=source.rewrites)


def _remainder(options: ExportOptions) -> Precision:
    """What an int8 model computes in where it does not compute in int8, on devices that have it.

    Bfloat16 where the flow path can be kept out of it: not with free sizes (see :func:`check`), nor where flow is
    multiplied by a scale at the end: OpenVINO takes that for a dequantisation (see ``offset_grid`` in the rewrites).
    """
    return Precision.BF16 if options.sizes.is_static and options.scale == 1.0 else Precision.FP32


def remove_indentation(path: Path) -> None:
    """Write an XML file without the white space between its tags: four tenths of what OpenVINO writes."""
    path.write_text(re.sub(r">\s+<", "><", path.read_text(encoding="utf-8")), encoding="utf-8")


def _int8_layers(core: Any, path: Path, model: onnx.ModelProto, remainder: Precision) -> list[str]:
    """The layers whose convolutions read int8 data in the model compiled for the CPU."""
    hint = choose_hint(remainder, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
    layers = executed_layers(core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": hint}))
    int8 = (origins for kind, read, origins in layers if kind == "Convolution" and read in INT8_TYPES)
    ran = {origin for origins in int8 for origin in origins}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv" and node.name in ran]
    return sorted(layer_name(node.input[1].removesuffix("_dequantized")) for node in convolutions)


def executed_on(core: Any, path: Path, precision: Precision, island: frozenset[str]) -> dict[str, Any]:
    """Device -> hint, and layer type -> precision -> how many, of what computes.

    On the CPU a model that does not compile, or that runs flow in half precision, ends the export. Another device may
    lack an operator: what it says is recorded, and the parity gate judges there.
    """
    found: dict[str, Any] = {}
    for device in core.available_devices:
        hint = choose_hint(precision, core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
        try:
            layers = executed_layers(core.compile_model(str(path), device, {"INFERENCE_PRECISION_HINT": hint}))
            check_island(layers, island)
        except (RuntimeError, SentinelError) as error:
            if device == "CPU":
                raise
            found[device.lower()] = {"hint": hint, "trouble": " ".join(str(error).split())}
            continue
        counts: dict[str, dict[str, int]] = {}
        for kind, ran, _ in layers:
            if kind not in MOVES:
                row = counts.setdefault(kind, {})
                row[ran] = row.get(ran, 0) + 1
        found[device.lower()] = {"hint": hint, "layers": counts}
    return found
