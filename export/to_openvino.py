"""Target ``openvino``: IR that is compiled on the device that runs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.openvino_layers import MOVES, check_island, halve_weights, keep_marks, mark_island
from export.options import ExportOptions
from export.targets import BF16_TOLERANCE, FP16_TOLERANCE, FP32_TOLERANCE, Compiled
from runtimes.contract import Precision
from runtimes.ov import choose_hint, executed_layers

if TYPE_CHECKING:
    import onnx

BACKEND = "openvino"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.BF16: BF16_TOLERANCE,
}


def missing() -> str:
    """OpenVINO reads the ONNX and writes the IR."""
    if importlib.util.find_spec("openvino") is None:
        return "openvino is not installed: pip install 'ifrnet-export[openvino]'"
    return ""


def check(options: ExportOptions) -> None:
    """Every option fits."""


def rewrites(precision: Precision) -> tuple[str, ...]:
    """Its float ConvTranspose is slower than 2.25 times the work as a convolution (728 against 822 ms at 1280x720);
    its ReduceMean over a frame is as inexact as ONNX Runtime's (8e-4 in the output at 1278x718)."""
    return ("split_resblock", "batch_pair", "offset_grid", "row_mean", "subpixel_deconv")


def graph_precision(precision: Precision) -> Precision:
    """OpenVINO lowers a float32 graph itself, and is told which part to leave alone."""
    return Precision.FP32 if precision in (Precision.FP16, Precision.BF16) else precision


def compile(model: onnx.ModelProto, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.xml`` and ``model.bin``, compile them on every device here, and read back what would run.

    Raises:
        SentinelError: a device would run the flow path in half precision.
    """
    import openvino

    core = openvino.Core()
    ir = core.read_model(model.SerializeToString())
    half = precision in (Precision.FP16, Precision.BF16)
    if half:
        keep_marks(ir)
    if precision is Precision.FP16:
        halve_weights(ir)
    path = folder / "model.xml"
    openvino.save_model(ir, path, compress_to_fp16=False)
    details: dict[str, Any] = {"weights": "float16" if precision is Precision.FP16 else "float32"}
    if half:
        details["executed"] = _executed(core, path, precision, mark_island(path))
    return Compiled(details=details, tools=("onnx", "openvino"))


def _executed(core: Any, path: Path, precision: Precision, island: frozenset[str]) -> dict[str, Any]:
    """Device -> hint, and layer type -> precision -> how many, of what computes."""
    found: dict[str, Any] = {}
    for device in core.available_devices:
        hint = choose_hint(precision, core.get_property(device, "OPTIMIZATION_CAPABILITIES"))
        layers = executed_layers(core.compile_model(str(path), device, {"INFERENCE_PRECISION_HINT": hint}))
        check_island(layers, island)
        counts: dict[str, dict[str, int]] = {}
        for kind, ran, _ in layers:
            if kind not in MOVES:
                row = counts.setdefault(kind, {})
                row[ran] = row.get(ran, 0) + 1
        found[device.lower()] = {"hint": hint, "layers": counts}
    return found
