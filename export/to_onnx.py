"""Target ``onnx``: the graph itself, for ONNX Runtime and whatever else reads ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements, first_missing
from export.int8.recipe import REWRITES
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"onnxruntime": "onnx"}
"""ONNX Runtime verifies the artifact."""

BACKEND = "onnxruntime"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: FP16_TOLERANCE,
    Precision.INT8: INT8_TOLERANCE,
}

LACKING = {Precision.BF16: "the ONNX specification has no such convolution before opset 22"}


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


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


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.onnx``, or ``model.ort`` in its place.

    Raises:
        ExportError: ONNX Runtime cannot make the one of the other.
        SentinelError: ``model.ort`` is not what was asked for.
    """
    from export.trace import save

    tools = ("onnx", "onnxruntime")
    if not options.ort:
        save(source.onnx, folder / "model.onnx")
        return Compiled(tools=tools)
    from export.ort_file import write_ort

    return Compiled(details=write_ort(source.onnx.SerializeToString(deterministic=True), folder), tools=tools)
