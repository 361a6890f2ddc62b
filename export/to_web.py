"""Target ``web``: one ONNX file for browsers, run by ``runtimes/web`` on ONNX Runtime for the web."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.declarations import FP16_TOLERANCE, FP32_TOLERANCE, Compiled, Requirements, first_missing
from export.errors import SentinelError
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
    Precision.INT8: "in WebAssembly it was no faster than float32 (0.85 beside 0.87 s at 320x180), and WebGPU has none",
}

STORED = {Precision.FP32: "float32", Precision.FP16: "float16, cast to float32 at load"}


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
    """Write ``model.onnx`` and read it back.

    Raises:
        SentinelError: the file is not what was asked for.
    """
    import onnx

    from export.convolutions import store_in_half
    from export.trace import save

    model = store_in_half(source.onnx) if precision is Precision.FP16 else source.onnx
    save(model, folder / "model.onnx")
    details = check_file(onnx.load(folder / "model.onnx"), precision)
    return Compiled(details=details, tools=("onnx", "onnxruntime"))


def check_file(model: Any, precision: Precision) -> dict[str, Any]:
    """Hold the saved file to what browsers need; returns what was found.

    Raises:
        SentinelError: a convolution is as wide as WebGPU gets wrong, weights are stored otherwise, or something else is
            half precision.
    """
    from onnx import TensorProto

    from export.convolutions import CONVOLUTIONS
    from export.padded_inputs import MULTIPLE

    shapes = {item.name: (item.dims, item.data_type) for item in model.graph.initializer}
    casts = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Cast"}
    wanted = TensorProto.FLOAT16 if precision is Precision.FP16 else TensorProto.FLOAT
    kernels = set()
    for node in model.graph.node:
        if node.op_type not in CONVOLUTIONS:
            continue
        kernel = casts.get(node.input[1], node.input[1])
        dims, kind = shapes[kernel]
        if node.op_type == "Conv" and dims[1] > MULTIPLE and dims[1] % MULTIPLE:  # the three colours are right
            raise SentinelError(f"convolution {node.name} takes {dims[1]} channels, no multiple of {MULTIPLE}")
        if kind != wanted:
            raise SentinelError(f"the weights of {node.name} are stored as {TensorProto.DataType.Name(kind)}")
        kernels.add(kernel)
    for name, (_, kind) in shapes.items():
        if kind == TensorProto.FLOAT16 and name not in kernels:
            raise SentinelError(f"constant {name} is half precision, and no weight of a convolution")
    return {"convolutions": len(kernels), "channels_in": f"multiples of {MULTIPLE}", "weights": STORED[precision]}
