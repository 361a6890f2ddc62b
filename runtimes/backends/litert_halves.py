"""A ``.tflite`` file in two: what does not depend on t, and the rest. The classes for the format are LiteRT's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.contract import INPUT_NAMES
from runtimes.graph_cut import CannotCutError, cut_values

FREE = ("CAST", "CONCATENATION", "DEQUANTIZE", "QUANTIZE", "RESHAPE", "SLICE", "TRANSPOSE")
"""Operators that belong after the cut: see :func:`runtimes.graph_cut.cut_values`."""


@dataclass(frozen=True, kw_only=True)
class Halved:
    """Two files; ``between`` are the numbers, in both, of the tensors that the second takes from the first."""

    first: bytes
    second: bytes
    between: tuple[int, ...]


def halve(data: bytes) -> Halved:
    """Cut a file whose inputs have the names of the contract.

    Raises:
        CannotCutError: its graph is not one of frames and a time step.
    """
    graph = _model(data).subgraphs[0]
    names = {graph.tensors[number].name.decode(errors="replace"): int(number) for number in graph.inputs}
    if set(names) != set(INPUT_NAMES):
        raise CannotCutError(f"its inputs are {', '.join(names)}")
    img0, img1, t = (names[name] for name in INPUT_NAMES)
    between = _between(_model(data), (img0, img1), t)
    outputs = [int(number) for number in graph.outputs]
    return Halved(
        first=_part(_model(data), [img0, img1], between),
        second=_part(_model(data), [*between, t], outputs),
        between=tuple(between),
    )


def _model(data: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(data, 0)


def _between(model: Any, frames: tuple[int, int], timestep: int) -> list[int]:
    from ai_edge_litert import schema_py_generated as schema

    free = {getattr(schema.BuiltinOperator, name) for name in FREE}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    inputs: dict[str, list[str]] = {str(number): [] for number in model.subgraphs[0].inputs}
    kinds: dict[str, int] = {}
    for operator in model.subgraphs[0].operators:
        for number in operator.outputs:
            inputs[str(number)] = [str(source) for source in operator.inputs]
            kinds[str(number)] = codes[operator.opcodeIndex]
    found = cut_values(
        list(inputs),
        inputs,
        frames=[str(number) for number in frames],
        timestep=str(timestep),
        is_free=lambda name: kinds.get(name) in free,
    )
    return [int(name) for name in found]


def _part(model: Any, inputs: list[int], outputs: list[int]) -> bytes:
    """The operators between some tensors and others; numbers of tensors stay, weights of other operators go."""
    import flatbuffers

    graph = model.subgraphs[0]
    wanted, kept = set(outputs), []
    for operator in reversed(graph.operators):
        made = {int(number) for number in operator.outputs}
        if made & wanted and not made <= set(inputs):
            kept.append(operator)
            wanted |= {int(number) for number in operator.inputs}
    graph.operators = kept[::-1]
    graph.inputs, graph.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    model.signatureDefs = []
    used = {graph.tensors[number].buffer for number in wanted if number >= 0}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data = None
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
