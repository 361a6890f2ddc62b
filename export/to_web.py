"""Target ``web``: one ONNX file for browsers, run by ``runtimes/web`` on ONNX Runtime for the web."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, Compiled, Requirements, first_missing
from export.options import ExportOptions
from runtimes.contract import Precision

if TYPE_CHECKING:
    from export.source import Source

REQUIRES: Requirements = {"onnxruntime": "onnx"}
"""ONNX Runtime verifies the artifact; a browser does so again with the proof in it."""

BACKEND = "onnxruntime"

TOLERANCES = {
    Precision.FP32: FP32_TOLERANCE,
    Precision.FP16: replace(
        FP16_TOLERANCE,
        reason="weights are stored with 11 bits, and rounded by 2^-12 of their size; all is computed in float32",
    ),
}

LACKING = {
    Precision.BF16: "the ONNX specification has no such convolution before opset 22",
    Precision.INT8: "in WebAssembly it is no faster than float32 (0.98 to 1.02 at 320x180), and WebGPU has none",
}

SMALL = 64
"""Constants of fewer values stay float32: slopes, biases and steps, 0.5 % of the file."""


def missing() -> str:
    """Why it cannot be built here; empty when it can."""
    return first_missing(REQUIRES)


def check(options: ExportOptions) -> None:
    """Every option fits."""


def rewrites(precision: Precision) -> tuple[str, ...]:
    """Those of ``onnx``, and no convolution that WebGPU gets wrong."""
    return ("split_resblock", "batch_pair", "row_mean", "padded_inputs")


def graph_precision(precision: Precision) -> Precision:
    """Always float32: many GPUs of browsers have no half precision, and WebAssembly has none."""
    return Precision.FP32


def compile(source: Source, folder: Path, precision: Precision, options: ExportOptions) -> Compiled:
    """Write ``model.onnx``."""
    from export.trace import save

    model = store_in_half(source.onnx) if precision is Precision.FP16 else source.onnx
    save(model, folder / "model.onnx")
    return Compiled(tools=("onnx", "onnxruntime"))


def store_in_half(model: Any) -> Any:
    """A copy of an ONNX model whose weights are float16 and are cast to float32; a runtime does that once, at load."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    casts = []
    for item in stored.graph.initializer:
        values = numpy_helper.to_array(item)
        if values.dtype != np.float32 or values.size < SMALL:
            continue
        name = item.name
        item.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [item.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *stored.graph.node]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    return stored
