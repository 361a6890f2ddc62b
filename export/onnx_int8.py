"""The form of a quantised ONNX graph that ONNX Runtime computes in integers, and which layers it does.

Its CPU kernels take int8 and give int8: a convolution whose output is not quantised at once is computed in float32 of
dequantised weights, which is slower than float32 itself.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from export.errors import ExportError
from export.int8.quantize import unsigned_activations
from export.int8.recipe import layer_name
from runtimes.printable import MAX_REASON, one_line

STEPS = 255
"""From the least to the largest uint8."""


def quantise_outputs(model: onnx.ModelProto, ranges: Mapping[str, tuple[float, float]]) -> onnx.ModelProto:
    """A copy in which the convolutions that ``ranges`` names take and give uint8.

    Of int8 ONNX Runtime makes uint8 itself on x86, but not behind a convolution whose output two operators read.

    Args:
        model: a graph of :func:`export.int8.quantize.quantize`.
        ranges: layer -> least and largest value of its output.
    """
    result = unsigned_activations(model)
    graph, nodes = result.graph, []
    for node in graph.node:
        nodes.append(node)
        bounds = ranges.get(_layer(node.input[1])) if node.op_type == "Conv" else None
        if bounds is None:
            continue
        name = node.output[0]
        node.output[0] = f"{name}_float"
        scale = (bounds[1] - bounds[0]) / STEPS
        zero = np.clip(np.rint(-bounds[0] / scale), 0, STEPS)
        constants = [f"{name}_scale", f"{name}_zero_point"]
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(value), key)
            for key, value in zip(constants, (np.float32(scale), np.uint8(zero)), strict=True)
        )
        nodes += [
            helper.make_node("QuantizeLinear", [f"{name}_float", *constants], [f"{name}_integer"], f"{name}_quantize"),
            helper.make_node("DequantizeLinear", [f"{name}_integer", *constants], [name], f"{name}_dequantize"),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    return onnx.shape_inference.infer_shapes(result)


def int8_layers(model: bytes) -> list[str]:
    """The layers that ONNX Runtime computes in integers on this machine's CPU, read back from what it made of a model.

    Raises:
        ExportError: it cannot load the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"], enable_fallback=0)
        except Exception as error:  # ONNX Runtime raises classes of its own that share no base
            raise ExportError(f"ONNX Runtime cannot load the model: {one_line(error, MAX_REASON)}") from error
        nodes = onnx.load(path).graph.node
    return sorted(_layer(node.input[3]) for node in nodes if node.op_type == "QLinearConv")


def _layer(weight: str) -> str:
    """The layer of a kernel, quantised or not."""
    return layer_name(weight.removesuffix("_dequantized").removesuffix("_quantized"))
