"""A ``.tflite`` file: read into operators and tensors, put in order, and written again.

LiteRT's converter names inputs by number and tensors by the modules they come from, and writes a PReLU as four
operators. Here inputs get the names of the contract, convolutions those of the INT8 recipe, and PReLU its operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.errors import ExportError
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME

CONVOLUTIONS = ("CONV_2D", "TRANSPOSE_CONV")

RELU = 1
"""``ActivationFunctionType`` of the operators that clamp at zero what they give."""

NUMPY = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT32": np.int32, "INT8": np.int8, "INT64": np.int64}


@cache
def schema() -> Any:
    """LiteRT's own classes for the format."""
    from ai_edge_litert import schema_py_generated

    return schema_py_generated


@cache
def _names(enumeration: str) -> dict[int, str]:
    return {value: name for name, value in vars(getattr(schema(), enumeration)).items() if isinstance(value, int)}


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One operator. ``inputs`` and ``outputs`` are numbers of tensors; -1 is an input that is not there."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any
    raw: Any

    @property
    def clamps(self) -> bool:
        """Whether a ReLU is fused into it."""
        return getattr(self.options, "fusedActivationFunction", 0) == RELU

    @property
    def kernel(self) -> int:
        """Of a convolution: its weights."""
        return self.inputs[1]

    @property
    def image(self) -> int:
        """Of a convolution: what it reads."""
        return self.inputs[0 if self.kind == "CONV_2D" else 2]


class File:
    """What a file holds; it has one subgraph.

    Raises:
        ExportError: it is no such file.
    """

    def __init__(self, data: bytes) -> None:
        try:
            self.model = schema().ModelT.InitFromPackedBuf(data, 0)
            (self.graph,) = self.model.subgraphs
            for buffer in self.model.buffers:
                _take_in(buffer, data)
        except Exception as error:  # whatever a parser of offsets runs into
            raise ExportError(f"LiteRT's converter wrote no .tflite file ({type(error).__name__})") from error

    @cached_property
    def operators(self) -> list[Operator]:
        """In the order in which they run."""
        kinds = _names("BuiltinOperator")
        codes = [kinds.get(max(c.builtinCode, c.deprecatedBuiltinCode), "?") for c in self.model.operatorCodes or []]
        return [
            Operator(
                kind=codes[item.opcodeIndex],
                inputs=tuple(int(i) for i in item.inputs),
                outputs=tuple(int(i) for i in item.outputs),
                options=item.builtinOptions,
                raw=item,
            )
            for item in self.graph.operators
        ]

    @cached_property
    def producers(self) -> dict[int, Operator]:
        """Number of a tensor -> the operator that gives it."""
        return {number: operator for operator in self.operators for number in operator.outputs}

    def of_kind(self, *kinds: str) -> list[Operator]:
        """Operators of some kinds."""
        return [operator for operator in self.operators if operator.kind in kinds]

    def name(self, tensor: int) -> str:
        """The name of a tensor."""
        return str(self.graph.tensors[tensor].name.decode(errors="replace"))

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor; a scalar has none."""
        shape = self.graph.tensors[tensor].shape
        return () if shape is None else tuple(int(side) for side in shape)

    def type(self, tensor: int) -> str:
        """``FLOAT32`` and the like."""
        return _names("TensorType")[self.graph.tensors[tensor].type]

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """The value of a tensor that is stored in the file."""
        stored = self.model.buffers[self.graph.tensors[tensor].buffer].data
        if stored is None or len(stored) == 0 or self.type(tensor) not in NUMPY:
            return None
        return np.asarray(stored, np.uint8).view(NUMPY[self.type(tensor)]).reshape(self.shape(tensor))

    def scales(self, tensor: int) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Scales and zero points of a quantised tensor."""
        found = self.graph.tensors[tensor].quantization
        if found is None or found.scale is None:
            return None
        return np.asarray(found.scale, np.float32), np.asarray(found.zeroPoint, np.int64)

    @property
    def signature(self) -> tuple[dict[str, int], dict[str, int]]:
        """Inputs and outputs by name."""
        (entry,) = self.model.signatureDefs
        inputs, outputs = ({item.name.decode(): int(item.tensorIndex) for item in side} for side in _sides(entry))
        return inputs, outputs

    def data(self) -> bytes:
        """The file again."""
        import flatbuffers

        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _take_in(buffer: Any, data: bytes) -> None:
    """Constants that lie behind the flatbuffer, as the quantiser writes them: older runtimes find none there."""
    if buffer.offset > 1 and buffer.size:
        buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def put_in_order(data: bytes, kernels: Mapping[bytes, str]) -> bytes:
    """What the converter wrote, with PReLU as one operator and the names of this project.

    Args:
        data: the file.
        kernels: weights of a convolution as LiteRT stores them -> name of the layer.

    Raises:
        ExportError: it is not what the converter is known to write.
    """
    file = File(data)
    _fuse_prelu(file)
    _drop_unused_tensors(file)
    file = File(file.data())
    _name_contract(file)
    for operator in file.of_kind(*CONVOLUTIONS):
        kernel = file.constant(operator.kernel)
        name = kernels.get(b"" if kernel is None else kernel.tobytes())
        if name:
            for tensor, suffix in ((operator.image, "input"), (operator.outputs[0], "output")):
                file.graph.tensors[tensor].name = f"{name}/{suffix}".encode()
            file.graph.tensors[operator.kernel].name = f"{name}/weight".encode()
    return file.data()


def _fuse_prelu(file: File) -> None:
    """``relu(x) - slope * relu(-x)`` becomes PRELU, which is one pass over memory instead of four.

    litert-torch 0.10 has this form for the sake of GPU delegates, which take PRELU as well. Remove this when it writes
    PRELU by itself.
    """
    code = schema().OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema().BuiltinOperator.PRELU
    code.version = 1
    file.model.operatorCodes.append(code)
    gone: set[int] = set()
    for operator in file.of_kind("SUB"):
        positive, scaled = (file.producers.get(number) for number in operator.inputs)
        if positive is None or scaled is None or (positive.kind, scaled.kind) != ("RELU", "MUL"):
            continue
        negative, slope = file.producers.get(scaled.inputs[0]), scaled.inputs[1]
        if negative is None or not _is_negated(file, negative, positive.inputs[0]) or file.constant(slope) is None:
            continue
        file.graph.tensors[slope].shape = np.array([1, 1, file.shape(slope)[-1]], np.int32)
        operator.raw.opcodeIndex = len(file.model.operatorCodes) - 1
        operator.raw.inputs = np.array([positive.inputs[0], slope], np.int32)
        operator.raw.builtinOptions, operator.raw.builtinOptionsType = None, 0
        gone |= {id(item.raw) for item in (positive, scaled, negative)}
    if not gone:
        raise ExportError("no PReLU was found in what litert-torch wrote: it is another version than the pinned one")
    file.graph.operators = [item for item in file.graph.operators if id(item) not in gone]


def _is_negated(file: File, operator: Operator, source: int) -> bool:
    """Whether an operator gives ``relu(-source)``."""
    if operator.kind != "MUL" or not operator.clamps or operator.inputs[0] != source:
        return False
    factor = file.constant(operator.inputs[1])
    return factor is not None and factor.size == 1 and float(factor.reshape(-1)[0]) == -1.0


def _drop_unused_tensors(file: File) -> None:
    """Number the tensors anew without those that no operator is left for."""
    graph = file.graph
    lists = [item for op in graph.operators for item in (op.inputs, op.outputs)]
    ends = [item for side in _sides(file.model.signatureDefs[0]) for item in side]
    used = {int(i) for item in (*lists, graph.inputs, graph.outputs) for i in item if i >= 0}
    used |= {int(item.tensorIndex) for item in ends}
    kept = sorted(used)
    number = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[old] for old in kept]
    for op in graph.operators:
        op.inputs, op.outputs = (np.array([number[int(i)] for i in item], np.int32) for item in (op.inputs, op.outputs))
    graph.inputs, graph.outputs = (
        np.array([number[int(i)] for i in item], np.int32) for item in (graph.inputs, graph.outputs)
    )
    for item in ends:
        item.tensorIndex = number[int(item.tensorIndex)]


def _sides(entry: Any) -> tuple[list[Any], list[Any]]:
    return list(entry.inputs), list(entry.outputs)


def _name_contract(file: File) -> None:
    """Inputs and output by the names of the contract, as tensors and in the signature."""
    inputs, outputs = _sides(file.model.signatureDefs[0])
    inputs.sort(key=lambda item: item.name)  # args_0, args_1, args_2
    names = *INPUT_NAMES, OUTPUT_NAME
    if len(inputs) + len(outputs) != len(names):
        raise ExportError(f"litert-torch gave {len(inputs)} inputs and {len(outputs)} outputs, not 3 and 1")
    for item, name in zip((*inputs, *outputs), names, strict=True):
        item.name = name.encode()
        file.graph.tensors[item.tensorIndex].name = name.encode()
