"""Explicit Q/DQ in an ONNX graph: symmetric, zero-point 0, weights per output channel, activations per tensor.

A convolution that the recipe names takes its input through QuantizeLinear and DequantizeLinear and its weights as int8
through DequantizeLinear; everything else stays as it was traced. That is the whole of it: what a backend then runs in
int8 is what the file says, and TensorRT 11, OpenVINO and ONNX Runtime read the same statement.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from calibration.errors import CalibrationError
from calibration.recipe import layer_name

LEVELS = 127
"""Largest magnitude of a symmetric int8."""

PASSES = ("Concat", "Slice", "Split", "DepthToSpace", "Reshape")
"""Operators that only move values: quantising what enters them is quantising what leaves, and they then move bytes."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """One tensor entering one node."""

    node: int
    slot: int


class Quantizer:
    """One pass over one graph.

    Args:
        model: a float32 graph of :func:`export.trace.trace`.
        int8: layers whose convolutions are quantised.
        scales: layer -> scale of its input, float over int8.
    """

    def __init__(self, model: onnx.ModelProto, int8: Collection[str], scales: Mapping[str, float]) -> None:
        self._model = onnx.ModelProto()
        self._model.CopyFrom(model)
        self._graph = self._model.graph
        self._scales = scales
        self._weights = {item.name: item for item in self._graph.initializer}
        self._producer = {name: i for i, node in enumerate(self._graph.node) for name in node.output}
        self._consumers: dict[str, list[Edge]] = {}
        for i, node in enumerate(self._graph.node):
            for slot, name in enumerate(node.input):
                self._consumers.setdefault(name, []).append(Edge(node=i, slot=slot))
        self._convs = {
            i: name
            for i, node in enumerate(self._graph.node)
            if node.op_type == "Conv" and (name := layer_name(node.input[1])) in int8
        }
        missing = sorted(set(int8) - set(self._convs.values()))
        if missing:
            raise CalibrationError(f"the graph has no convolution {missing[0]}; it cannot be quantised by this recipe")
        self._moves = self._quantised_moves()

    def _quantised_moves(self) -> set[int]:
        """Nodes that only move values and whose every use ends in an int8 convolution."""
        moves: set[int] = set()
        for i in reversed(range(len(self._graph.node))):  # ONNX lists nodes in topological order
            node = self._graph.node[i]
            if node.op_type not in PASSES:
                continue
            uses = [edge for name in node.output for edge in self._consumers.get(name, [])]
            if uses and all(self._enters_int8(edge, moves) for edge in uses):
                moves.add(i)
        return moves

    def _enters_int8(self, edge: Edge, moves: set[int]) -> bool:
        data = edge.slot == 0 or self._graph.node[edge.node].op_type == "Concat"
        return data and (edge.node in self._convs or edge.node in moves)

    def run(self) -> onnx.ModelProto:
        """The quantised model."""
        groups = self._groups()
        nodes = list(self._graph.node)
        before: dict[int, list[onnx.NodeProto]] = {}
        made: dict[str, str] = {}
        for edge, scale in groups.items():
            name = nodes[edge.node].input[edge.slot]
            if name not in made:
                made[name] = f"{name}_dequantized"
                before.setdefault(edge.node, []).extend(self._pair(name, scale))
            nodes[edge.node].input[edge.slot] = made[name]
        for i in self._convs:
            before.setdefault(i, []).append(self._weight(nodes[i]))
        del self._graph.node[:]
        for i, node in enumerate(nodes):
            self._graph.node.extend([*before.get(i, []), node])
        del self._graph.initializer[:]
        used = {name for node in self._graph.node for name in node.input}
        self._graph.initializer.extend(item for name, item in self._weights.items() if name in used)
        return onnx.shape_inference.infer_shapes(self._model)

    def _groups(self) -> dict[Edge, float]:
        """Every edge to put a pair on, with its scale: shared where edges meet in one layer or leave one tensor."""
        parent: dict[str, str] = {}

        def root(name: str) -> str:
            while parent.setdefault(name, name) != name:
                name = parent[name]
            return name

        edges: dict[Edge, str] = {}
        for i in sorted(self._convs):
            conv = self._convs[i]
            root(conv)
            for edge in self._sources(Edge(node=i, slot=0)):
                tensor = self._graph.node[edge.node].input[edge.slot]
                parent[root(tensor)] = root(conv)
                edges[edge] = tensor
        scale: dict[str, float] = {}
        for conv in self._convs.values():
            scale[root(conv)] = max(scale.get(root(conv), 0.0), self._scales[conv])
        order = sorted(edges, key=lambda edge: (edge.node, edge.slot))
        return {edge: scale[root(edges[edge])] for edge in order}

    def _sources(self, edge: Edge) -> list[Edge]:
        """The edges where values of a convolution's input enter the part of the graph that moves int8."""
        tensor = self._graph.node[edge.node].input[edge.slot]
        producer = self._producer.get(tensor)
        if producer is None or producer not in self._moves:
            return [edge]
        node = self._graph.node[producer]
        slots = range(len(node.input)) if node.op_type == "Concat" else range(1)
        return [source for slot in slots for source in self._sources(Edge(node=producer, slot=slot))]

    def _pair(self, name: str, scale: float) -> list[onnx.NodeProto]:
        inputs = [self._constant(f"{name}_scale", np.float32(scale)), self._constant("zero_point", np.int8(0))]
        return [
            helper.make_node("QuantizeLinear", [name, *inputs], [f"{name}_quantized"], f"{name}_quantize"),
            helper.make_node(
                "DequantizeLinear", [f"{name}_quantized", *inputs], [f"{name}_dequantized"], f"{name}_dequantize"
            ),
        ]

    def _weight(self, node: onnx.NodeProto) -> onnx.NodeProto:
        name = node.input[1]
        values, scale = quantize_weight(numpy_helper.to_array(self._weights[name]))
        inputs = [
            self._constant(f"{name}_quantized", values),
            self._constant(f"{name}_scale", scale),
            self._constant(f"{name}_zero_point", np.zeros(len(scale), np.int8)),
        ]
        node.input[1] = f"{name}_dequantized"
        return helper.make_node("DequantizeLinear", inputs, [node.input[1]], f"{name}_dequantize", axis=0)

    def _constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._weights[name] = numpy_helper.from_array(np.asarray(value), name)
        return name


def quantize_weight(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """(O, I, kh, kw) float32 -> the same shape int8 and scales (O,): the largest magnitude of a channel becomes 127."""
    scale = np.abs(weight).max(axis=(1, 2, 3)) / LEVELS
    scale = np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)
    return np.rint(weight / scale[:, None, None, None]).clip(-LEVELS, LEVELS).astype(np.int8), scale
