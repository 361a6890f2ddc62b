"""The convolutions of an ONNX graph: how they are stored, how many multiplications they have, and in which type."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HALF_SHARE = 0.95
"""The least share of its multiplications that a half-precision artifact runs in half precision."""

CONVOLUTIONS = ("Conv", "ConvTranspose")


def store_in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose float32 kernels are float16 and are cast to float32; a runtime does that once, at load.

    Nothing but the kernels: sampling positions would be off by up to half a pixel. Kernels in int8 stay as they are.
    """
    stored = onnx.ModelProto()
    stored.CopyFrom(model)
    kernels = {node.input[1] for node in stored.graph.node if node.op_type in CONVOLUTIONS}
    casts = []
    for item in stored.graph.initializer:
        if (name := item.name) in kernels:
            half = numpy_helper.to_array(item).astype(np.float16)
            item.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            casts.append(helper.make_node("Cast", [item.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *stored.graph.node]
    del stored.graph.node[:]
    stored.graph.node.extend(nodes)
    return stored


def macs(model: onnx.ModelProto) -> dict[str, int]:
    """Name of a convolution's output -> multiplications.

    Of a dynamic graph those for one pixel of each output: its sides are not known.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    shapes = {value.name: [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim] for value in values}
    shapes |= {item.name: list(item.dims) for item in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type not in CONVOLUTIONS:
            continue
        kernel = shapes[node.input[1]]
        # Conv has a kernel (out, in, h, w) at every output pixel, ConvTranspose (in, out, h, w) at every input pixel.
        pixels = shapes[node.output[0] if node.op_type == "Conv" else node.input[0]]
        found[node.output[0]] = math.prod(kernel) * math.prod((*pixels[:1], *pixels[2:]))
    return found


def share_in(kinds: Mapping[str, int], model: onnx.ModelProto, wanted: int) -> tuple[float, list[str]]:
    """Share of the multiplications whose output is of an element type, and the outputs of those that are not.

    Args:
        kinds: tensor name -> ONNX element type, from the graph or as a compiler read it.
        model: the graph.
        wanted: ONNX element type.
    """
    count = macs(model)
    others = [name for name in count if kinds.get(name) != wanted]
    return 1.0 - sum(count[name] for name in others) / sum(count.values()), others


def type_name(kind: int | None) -> str:
    """``FLOAT16`` and the like."""
    return "an unknown type" if kind is None else TensorProto.DataType.Name(kind)
