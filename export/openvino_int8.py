"""The form of a quantised ONNX graph that OpenVINO's CPU runs best: the same integers, quantised once and early."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import onnx
from onnx import helper, numpy_helper

MOVES = ("Concat", "Slice", "Split")
"""What hands values on as they are, so that it may as well hand on the integers."""


def quantise_at_sources(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which activations are quantised before they are split and joined instead of behind.

    A ResBlock splits what a convolution gives and joins it again. With Q/DQ in front of the next convolutions, as
    :mod:`export.int8.quantize` writes it, the split is of floats and every part is quantised in a pass of its own; with
    Q/DQ right behind PReLU, the convolution gives integers, and splits and joins move a half or a quarter of the bytes.
    Rounding each value is the same before and after it is moved.
    """
    result = copy.deepcopy(model)
    graph = result.graph
    mover = _Mover(graph)
    for node in graph.node:
        mover.add(node)
    used = {item.name for item in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(mover.nodes):
        if used.intersection(node.output):
            used.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    del graph.value_info[:]
    return onnx.shape_inference.infer_shapes(result)


class _Mover:
    """Takes the nodes of a graph in order; ``nodes`` are those of the new one, and some that nobody reads."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._values = {item.name: numpy_helper.to_array(item).tobytes() for item in graph.initializer}
        self._producer: dict[str, onnx.NodeProto] = {}
        self._quantised: dict[tuple[str, bytes], str] = {}
        self._renamed: dict[str, str] = {}
        self._integers: dict[str, onnx.NodeProto] = {}

    def add(self, node: onnx.NodeProto) -> None:
        """Append a node, or what stands for it."""
        if node.op_type == "QuantizeLinear":
            self._integers[node.output[0]] = node
            return
        if quantize := self._integers.get(node.input[0] if node.input else ""):
            self._renamed[node.output[0]] = self._dequantised(quantize.input[0], quantize)
            return
        new = copy.deepcopy(node)
        new.input[:] = [self._renamed.get(name, name) for name in node.input]
        self._append([new])

    def _append(self, nodes: Iterable[onnx.NodeProto]) -> None:
        for node in nodes:
            self.nodes.append(node)
            self._producer.update(dict.fromkeys(node.output, node))

    def _dequantised(self, value: str, quantize: onnx.NodeProto) -> str:
        """The name of ``value`` after Q/DQ with the scale of ``quantize``, made where it is not there yet."""
        key = value, self._values[quantize.input[1]]
        if key not in self._quantised:
            node = self._producer.get(value)
            if node is not None and node.op_type in MOVES:
                self._move(node, quantize)
            else:
                self._quantised[key] = self._pair(value, quantize)
        return self._quantised[key]

    def _move(self, node: onnx.NodeProto, quantize: onnx.NodeProto) -> None:
        """The same move, of quantised values."""
        moved, suffix = copy.deepcopy(node), f"_of_{quantize.output[0]}"
        values = len(node.input) if node.op_type == "Concat" else 1  # the others take numbers behind it
        moved.input[:values] = [self._dequantised(name, quantize) for name in node.input[:values]]
        moved.output[:] = [f"{name}{suffix}" for name in node.output]
        moved.name = f"{node.name}{suffix}"
        self._append([moved])
        for old, new in zip(node.output, moved.output, strict=True):
            self._quantised[old, self._values[quantize.input[1]]] = new

    def _pair(self, value: str, quantize: onnx.NodeProto) -> str:
        scale = list(quantize.input[1:])
        integer, back = f"{value}_{quantize.output[0]}", f"{value}_of_{quantize.output[0]}"
        self._append(
            [
                helper.make_node("QuantizeLinear", [value, *scale], [integer], f"{integer}_quantize"),
                helper.make_node("DequantizeLinear", [integer, *scale], [back], f"{back}_dequantize"),
            ]
        )
        return back
