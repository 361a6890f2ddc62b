"""Target ``onnx``: the graph itself, for ONNX Runtime and whatever else reads ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, INT8_TOLERANCE, Compiled, Requirements, first_missing
from export.int8.recipe import REWRITES
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from onnx import ModelProto

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
        return (*REWRITES, "row_mean", "max_prelu")
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

    tools, details = ("onnx", "onnxruntime"), {}
    if precision is Precision.INT8:
        model, details["int8_layers"] = _in_integers(source)
    else:
        model = source.onnx
    if not options.ort:
        save(model, folder / "model.onnx")
        return Compiled(details=details, tools=tools)
    from export.ort_file import write_ort

    details |= write_ort(model.SerializeToString(deterministic=True), folder)
    return Compiled(details=details, tools=tools)


def _in_integers(source: Source) -> tuple[ModelProto, list[str]]:
    """The graph whose convolutions ONNX Runtime computes in int8, and the layers that it does.

    Raises:
        SentinelError: it computes one of them in float.
    """
    from export.convolutions import store_in_half
    from export.errors import SentinelError
    from export.int8.output_ranges import convolutions, output_ranges
    from export.onnx_int8 import int8_layers, quantise_outputs

    layers = convolutions(source)
    model = quantise_outputs(source.onnx, output_ranges(source, {name: layers[name] for name in source.scales}))
    model = store_in_half(model)
    ran = int8_layers(model.SerializeToString())
    if lost := sorted(set(source.scales) - set(ran)):
        raise SentinelError(f"sentinel int8-layers: ONNX Runtime computes {lost[0]} in float ({len(lost)} such layers)")
    return model, ran
