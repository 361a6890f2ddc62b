"""Which numbers each operation of the network runs in on Qualcomm's NPU, which has half precision and integers only.

The NPU has no float32, so that what is float32 elsewhere (mean, flow, sampling positions, warps, mask, blending) has to
be something else: integers of 16 bits, whose steps are even. Positions over 1280 px then have steps of 0.02 px, in half
precision up to 0.3 px; flow up to 256 px has steps of 0.008 px instead of up to 0.125.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property

import onnx

from export.convolutions import CONVOLUTIONS
from export.int8.recipe import layer_name
from export.island import float32_island

KEEPS_VALUES = ("Slice", "Transpose", "Expand", "Reshape", "Pad", "Resize", "GridSample")
"""Operations whose results lie between values of their first input: they keep its steps."""


class Numbers(IntEnum):
    """What an operation computes in, by its bits; 0 is half precision, which is what the NPU makes of float."""

    HALF = 0
    INT8 = 8
    INT16 = 16


class Form(StrEnum):
    """One choice of numbers for the whole network."""

    HALF = "fp16"
    """Everything in half precision: what the NPU makes of a graph that says nothing."""

    ISLAND = "fp16 + int16"
    """Half precision between convolutions; flow, positions, warps, mask and blending in 16 bits."""

    W8A16 = "w8a16"
    """Integers: weights of 8 bits, everything else of 16."""

    MIXED = "mixed"
    """Integers: 8 bits where :data:`EIGHT` says so, 16 elsewhere."""

    W8A8 = "w8a8"
    """Integers of 8 bits everywhere, ranges as seen: what a quantiser does that knows nothing of flow."""


EIGHT = r"encoder\.pyramid(1\.1|[234]\.\d)\.0|decoder[234]\.(features|block\.conv\d(\.0)?)|decoder1\.block\.conv[24]\.0"
"""Convolutions that run in 8 bits in :attr:`Form.MIXED`, with the PReLU, slices and joins behind them."""


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A float32 graph of the deploy form and what is known of its tensors."""

    model: onnx.ModelProto

    @cached_property
    def producers(self) -> Mapping[str, onnx.NodeProto]:
        """Tensor -> the node that gives it."""
        return {name: node for node in self.model.graph.node for name in node.output}

    @cached_property
    def constants(self) -> Mapping[str, onnx.TensorProto]:
        """Name -> initializer."""
        return {item.name: item for item in self.model.graph.initializer}

    def before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """The nodes that give the inputs of ``node``."""
        return [self.producers[name] for name in node.input if name in self.producers]

    @cached_property
    def flow(self) -> frozenset[str]:
        """Tensors that hold flow in pixels, from the heads to the last sum."""
        found: set[str] = set()
        for node in self.model.graph.node:
            inputs = [name for name in node.input if name in self.producers]
            head = node.op_type == "ConvTranspose" and re.fullmatch(r"decoder\d\.flow", layer(node))
            passed = node.op_type in ("Slice", "Resize") and node.input[0] in found
            # Of upsampled flow: twice as long there. Of flow itself it is the way to positions.
            doubled = node.op_type == "Mul" and self.producers[inputs[0]].op_type == "Resize" and inputs[0] in found
            added = node.op_type == "Add" and len(inputs) == 2 and set(inputs) <= found
            if head or passed or doubled or added:
                found.add(node.output[0])
        return frozenset(found)

    @cached_property
    def positions(self) -> frozenset[str]:
        """Tensors that hold sampling positions, in halves of a side from the middle, as samplers take them."""
        found = set()
        for node in self.model.graph.node:
            if node.op_type == "GridSample":
                name = node.input[1]
                while self.producers[name].op_type == "Transpose":
                    found.add(name)
                    name = self.producers[name].input[0]
                found.add(name)
        return frozenset(found)


def layer(node: onnx.NodeProto) -> str:
    """The layer of a convolution, see :func:`export.int8.recipe.layer_name`; empty for other nodes."""
    return layer_name(node.input[1]) if node.op_type in CONVOLUTIONS else ""


def plan(graph: Graph, form: Form) -> dict[str, Numbers]:
    """Result of a node -> the numbers that the node runs in."""
    nodes = graph.model.graph.node
    if form is Form.ISLAND:
        return _island(graph)
    if form is not Form.MIXED:
        every = {Form.HALF: Numbers.HALF, Form.W8A16: Numbers.INT16, Form.W8A8: Numbers.INT8}[form]
        return {node.output[0]: every for node in nodes}
    chosen = {node.output[0]: Numbers.INT16 for node in nodes}
    for node in nodes:
        follows = node.op_type in ("PRelu", "Slice", "Concat") and chosen.get(node.input[0]) is Numbers.INT8
        if follows or re.fullmatch(EIGHT, layer(node)):
            chosen[node.output[0]] = Numbers.INT8
    return chosen


def _island(graph: Graph) -> dict[str, Numbers]:
    """What stays in float32 on other devices is of 16 bits here, the rest is half precision."""
    nodes = list(graph.model.graph.node)
    number = {name: i for i, node in enumerate(nodes) for name in node.output}
    island = float32_island(
        [[number[name] for name in node.input if name in number] for node in nodes],
        convolutions={i for i, node in enumerate(nodes) if node.op_type in CONVOLUTIONS},
        samplers={i for i, node in enumerate(nodes) if node.op_type == "GridSample"},
        is_head=lambda i: nodes[i].op_type == "ConvTranspose",
    )
    return {node.output[0]: Numbers.INT16 if i in island else Numbers.HALF for i, node in enumerate(nodes)}
