"""Target ``onnx``: the graph itself, for ONNX Runtime and whatever else reads ONNX."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from export.int8.recipe import REWRITES
from export.options import ExportOptions
from export.targets import FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled
from runtimes.contract import Precision

if TYPE_CHECKING:
    import onnx

BACKEND = "onnxruntime"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.INT8: INT8_TOLERANCE,
}

LACKING = {Precision.BF16: "the ONNX specification has no such convolution before opset 22"}


def missing() -> str:
    """ONNX Runtime is needed to verify the artifact."""
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed: pip install 'ifrnet-export[onnx]'"
    return ""


def check(options: ExportOptions) -> None:
    """Every option fits."""


def rewrites(precision: Precision) -> tuple[str, ...]:
    """One pass for both frames measured fastest in ONNX Runtime, and its ReduceMean over a frame is inexact."""
    if precision is Precision.INT8:
        return (*REWRITES, "row_mean")
    return ("split_resblock", "batch_pair", "row_mean")


def graph_precision(precision: Precision) -> Precision:
    """The graph is the artifact, casts and all."""
    return precision


def compile(model: onnx.ModelProto, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.onnx``."""
    from export.trace import save

    save(model, folder / "model.onnx")
    return Compiled(tools=("onnx", "onnxruntime"))
