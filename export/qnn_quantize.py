"""Q/DQ for Qualcomm's NPU: every operation stands between pairs, so that its compiler takes the whole graph.

Unsigned activations, weights of 8 bits for each output channel, biases of 32. Where an operation of 8 bits meets one of
16, a second pair follows the first, which the compiler takes for a conversion; an operation in half precision has no
pairs. Pairs of 16 bits are of ONNX Runtime's domain: ONNX has them from opset 21 on only.

Why no ready-made quantiser: ``onnxruntime.quantization`` takes ranges from what it sees alone, so that larger flow of
other footage is clipped, has no half precision beside integers, and gives a PReLU and what it reads two steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.convolutions import CONVOLUTIONS
from export.int8.quantize import quantize_weight
from export.qnn_plan import Graph, Numbers
from export.qnn_ranges import Ranges, Steps

SETTINGS = {"Slice": 1, "Expand": 1, "Reshape": 1, "Resize": 1, "Clip": 1, "ReduceMean": 1, "Pad": 1}
"""Operators whose inputs from here on are no data."""

MICROSOFT = "com.microsoft"

KINDS: Mapping[Numbers, type[np.uint8 | np.uint16]] = {Numbers.INT8: np.uint8, Numbers.INT16: np.uint16}


def quantize(graph: Graph, chosen: Mapping[str, Numbers], ranges: Ranges) -> onnx.ModelProto:
    """A copy of a float32 graph with Q/DQ.

    Args:
        graph: of the deploy form.
        chosen: of :func:`export.qnn_plan.plan`.
        ranges: of its tensors.
    """
    return _Quantizer(graph, chosen, ranges).run()


class _Quantizer:
    def __init__(self, graph: Graph, chosen: Mapping[str, Numbers], ranges: Ranges) -> None:
        self._chosen, self._ranges = chosen, ranges
        self._model = onnx.ModelProto()
        self._model.CopyFrom(graph.model)
        self._constants = {item.name: item for item in self._model.graph.initializer}
        self._nodes: list[onnx.NodeProto] = []
        self._pairs: dict[tuple[str, Numbers], str] = {}

    def run(self) -> onnx.ModelProto:
        graph = self._model.graph
        (output,) = graph.output
        for node in list(graph.node):
            self._node(node, is_last=output.name in node.output)
        del graph.node[:]
        graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        del graph.initializer[:]
        graph.initializer.extend(item for name, item in self._constants.items() if name in used)
        del graph.value_info[:]
        self._model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
        return self._model

    def _node(self, node: onnx.NodeProto, *, is_last: bool) -> None:
        """Add a node with what has to stand before it, and behind it where it is the last."""
        name = node.output[0]
        numbers = self._chosen[name]
        data, end = node.input[0], SETTINGS.get(node.op_type, len(node.input))
        for i, source in enumerate(node.input[:end]):
            if source in self._constants:
                if numbers is not Numbers.HALF and node.op_type not in CONVOLUTIONS:
                    node.input[i] = self._constant(source, numbers)
            else:
                node.input[i] = self._read(source, numbers)
        if node.op_type in CONVOLUTIONS and numbers is not Numbers.HALF:
            self._weights(node, self._ranges.steps(data, numbers).scale)
        if is_last and numbers is not Numbers.HALF:
            node.output[0] = f"{name}__raw"
            self._nodes.append(node)
            self._pair(node.output[0], self._ranges.steps(name, numbers), numbers, result=name)
        else:
            self._nodes.append(node)

    def _read(self, name: str, numbers: Numbers) -> str:
        """A tensor as a node of ``numbers`` reads it."""
        given, current = self._chosen.get(name, Numbers.HALF), name
        for wanted in dict.fromkeys((given, numbers)):
            if wanted is not Numbers.HALF:
                key = (current, wanted)
                if key not in self._pairs:
                    self._pairs[key] = self._pair(current, self._ranges.steps(name, wanted), wanted)
                current = self._pairs[key]
        return current

    def _pair(self, source: str, steps: Steps, numbers: Numbers, result: str = "") -> str:
        """Q and DQ behind ``source``; returns what they give."""
        name = f"{source}__{numbers.value}"
        scale, zero = f"{name}_scale", f"{name}_zero"
        settings = [self._add(scale, np.float32(steps.scale)), self._add(zero, KINDS[numbers](steps.zero))]
        quantized, result = f"{name}_quantized", result or f"{name}_dequantized"
        self._nodes += [
            _make("QuantizeLinear", [source, *settings], quantized, numbers),
            _make("DequantizeLinear", [quantized, *settings], result, numbers),
        ]
        return result

    def _constant(self, name: str, numbers: Numbers) -> str:
        """A constant in integers over its own range."""
        result = f"{name}__{numbers.value}_dequantized"
        if (name, numbers) not in self._pairs:
            value = numpy_helper.to_array(self._constants[name])
            steps = Steps.of(float(value.min()), float(value.max()), numbers)
            integers = (np.rint(value / np.float32(steps.scale)) + steps.zero).clip(0, 2**numbers - 1)
            self._integers(result, integers.astype(KINDS[numbers]), np.float32(steps.scale), numbers, zero=steps.zero)
            self._pairs[name, numbers] = result
        return result

    def _weights(self, node: onnx.NodeProto, step: float) -> None:
        """Weights and bias of a convolution whose input has ``step``; shared weights may meet several."""
        axis = 1 if node.op_type == "ConvTranspose" else 0
        kernel = numpy_helper.to_array(self._constants[node.input[1]])
        values, scale = quantize_weight(kernel, axis)
        node.input[1] = f"{node.input[1]}__{node.output[0]}"
        self._integers(node.input[1], values, scale, Numbers.INT8, axis=axis)
        if len(node.input) > 2:
            fine = scale.astype(np.float64) * step
            bias = np.rint(numpy_helper.to_array(self._constants[node.input[2]]) / fine)
            node.input[2] = f"{node.input[2]}__{node.output[0]}"
            limit = 2**31 - 1
            integers = bias.clip(-limit, limit).astype(np.int32)
            self._integers(node.input[2], integers, fine.astype(np.float32), Numbers.INT8, axis=0)

    def _integers(
        self,
        result: str,
        values: NDArray[np.generic],
        scale: NDArray[np.float32] | np.float32,
        numbers: Numbers,
        *,
        zero: int = 0,
        axis: int | None = None,
    ) -> None:
        """A constant of integers and the DQ that gives ``result``."""
        zeros = np.full(np.shape(scale), zero, values.dtype)
        named: dict[str, NDArray[np.generic]] = {"quantized": values, "scale": np.asarray(scale), "zero": zeros}
        inputs = [self._add(f"{result}_{what}", value) for what, value in named.items()]
        self._nodes.append(_make("DequantizeLinear", inputs, result, numbers, axis))

    def _add(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name


def _make(kind: str, inputs: list[str], output: str, numbers: Numbers, axis: int | None = None) -> onnx.NodeProto:
    domain = MICROSOFT if numbers is Numbers.INT16 else ""
    node = helper.make_node(kind, inputs, [output], f"{kind}_{output}", domain=domain)
    if axis is not None:
        node.attribute.append(helper.make_attribute("axis", axis))
    return node
