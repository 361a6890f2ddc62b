"""INT8 in ncnn's own files: what the graph states in Q/DQ, written as ncnn's tools write it.

pnnx reads no Q/DQ. It converts the graph without, whose kernels are what the int8 ones stand for, and here each
convolution that had Q/DQ gets ``8=2``, its int8 weights, and its scales behind the bias. ncnn quantises what such a
layer reads and gives float32.

Requantised chains (``8=102``, int8 between two layers) have no place in this network: between any two of its int8
convolutions stands a PReLU with one slope a channel, or an addition, and ncnn fuses only one slope for all channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from export.errors import ExportError
from export.int8.recipe import layer_name
from export.ncnn_layers import write_layers
from runtimes.backends.ncnn_layers import Layer, read_layers
from runtimes.backends.ncnn_weights import FLOATS_OUT, TAGS, Stored, Weights, is_tagged, read_weights


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """One convolution that the graph states in int8.

    Attributes:
        name: of the layer, as the recipe has it.
        weight: (O, I, kh, kw) int8.
        weight_scale: (O,) the float value of one step of the weights.
        input_scale: the same of its input.
    """

    name: str
    weight: NDArray[np.int8]
    weight_scale: NDArray[np.float32]
    input_scale: float

    @property
    def kernel(self) -> NDArray[np.float32]:
        """What the int8 weights stand for."""
        return self.weight * self.weight_scale[:, None, None, None]


def without_quantization(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[Quantized]]:
    """The graph of :func:`export.int8.quantize.quantize` in float32, and what it stated."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    values = {item.name: item for item in graph.initializer}
    producer = {node.output[0]: node for node in graph.node}
    found: dict[str, Quantized] = {}
    for node in graph.node:
        if node.op_type != "Conv" or node.input[1] not in producer:
            continue
        back, weight = producer[node.input[0]], producer[node.input[1]]
        integer, scale = (numpy_helper.to_array(values[name]) for name in weight.input[:2])
        name = weight.output[0].removesuffix("_dequantized")
        found[name] = Quantized(
            name=layer_name(name),
            weight=integer.astype(np.int8),
            weight_scale=scale.astype(np.float32),
            input_scale=float(numpy_helper.to_array(values[back.input[1]])),
        )
        values[name] = numpy_helper.from_array(found[name].kernel, name)
        node.input[0], node.input[1] = producer[back.input[0]].input[0], name
    nodes = [node for node in graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")]
    used = {name for node in nodes for name in node.input}
    for kept in (graph.node, graph.initializer, graph.value_info):
        del kept[:]
    graph.node.extend(nodes)
    graph.initializer.extend(item for name, item in values.items() if name in used)
    return onnx.shape_inference.infer_shapes(result), list(found.values())


def write_int8(param: str, data: bytes, quantized: Sequence[Quantized]) -> tuple[str, bytes]:
    """Both files with the convolutions of ``quantized`` in int8.

    pnnx gives layers names of its own, so they are known by their kernels.

    Raises:
        ExportError: a convolution is not there, or two cannot be told apart.
    """
    layers = read_layers(param)
    by_kernel = _by_kernel(quantized)
    pending = {item.name for item in quantized}
    stored = {weights.layer: weights for weights in read_weights(layers, data)}
    lines: list[Layer] = []
    parts: list[bytes] = []
    for layer in layers:
        weights = stored.get(layer)  # names are not unique
        item = by_kernel.get(weights.kernel) if weights and layer.kind == "Convolution" else None
        if weights and item:
            pending.discard(item.name)
            layer, weights = _quantized(weights, item)
        elif weights and is_tagged(layer):
            weights = _halved(weights)
        lines.append(layer)
        if weights:
            parts += _bytes(weights)
    if pending:
        raise ExportError(f"pnnx left no convolution with the weights of {', '.join(sorted(pending))}")
    return write_layers(lines), b"".join(parts)


def _by_kernel(quantized: Sequence[Quantized]) -> dict[bytes, Quantized]:
    found: dict[bytes, Quantized] = {}
    for item in quantized:
        other = found.setdefault(item.kernel.tobytes(), item)
        if other.input_scale != item.input_scale:
            raise ExportError(
                f"{other.name} and {item.name} have the same weights and different scales, and pnnx keeps no names: "
                "ncnn cannot run these weights in int8"
            )
    return found


def _quantized(weights: Weights, item: Quantized) -> tuple[Layer, Weights]:
    """The same layer in int8. ncnn multiplies by its scales to get integers."""
    layer = replace(weights.layer, parameters=(*weights.layer.parameters, f"8={FLOATS_OUT}"))
    integers = item.weight.tobytes()
    scales = (1.0 / item.weight_scale, np.array([1.0 / item.input_scale], np.float32))
    return layer, replace(
        weights,
        layer=layer,
        stored=Stored.INT8,
        kernel=integers + bytes(-len(integers) % 4),
        rest=np.concatenate((weights.rest, *scales)).astype(np.float32),
    )


def _halved(weights: Weights) -> Weights:
    """Float weights, of which int8 leaves few, in half precision; ncnn reads them as float32."""
    half = np.frombuffer(weights.kernel, "<f4").astype("<f2").tobytes()
    return replace(weights, stored=Stored.FLOAT16, kernel=half + bytes(-len(half) % 4))


def _bytes(weights: Weights) -> Iterator[bytes]:
    """As ``ModelBin`` reads them."""
    if is_tagged(weights.layer):
        yield next(tag for tag, stored in TAGS.items() if stored is weights.stored).to_bytes(4, "little")
    yield weights.kernel
    yield weights.rest.astype("<f4").tobytes()
