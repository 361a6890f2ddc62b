"""ML programs of Core ML as they are saved: operations, constants and types, read without the converter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import BackendError

Constant = NDArray[Any] | str

TYPES: Mapping[str, type[np.generic]] = MappingProxyType(
    {
        "BOOL": np.bool_,
        "FLOAT16": np.float16,
        "FLOAT32": np.float32,
        "INT8": np.int8,
        "UINT8": np.uint8,
        "INT16": np.int16,
        "UINT16": np.uint16,
        "INT32": np.int32,
    }
)
"""Name in the format -> what numpy calls it. Texts have no row."""

BLOB_TYPES: Mapping[int, type[np.generic]] = MappingProxyType({1: np.float16, 2: np.float32})
"""Numbers in the file of weights."""

BLOB_VERSION, BLOB_SENTINEL = 2, 0xDEADBEEF


@dataclass(frozen=True)
class Named:
    """A value that an operation or an input gives."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation with one result.

    Attributes:
        kind: as the format names it: ``conv``, ``resample``, ...
        name: of its result.
        type: of its result, a key of :data:`TYPES`.
        shape: of its result.
        inputs: parameter -> what it gets; several where it takes a list.
    """

    kind: str
    name: str
    type: str
    shape: tuple[int, ...]
    inputs: Mapping[str, tuple[Named | Constant, ...]]

    def sources(self) -> list[str]:
        """Names of the results and inputs that it reads."""
        return [item.name for items in self.inputs.values() for item in items if isinstance(item, Named)]


@dataclass(frozen=True, kw_only=True)
class Program:
    """The one function of a saved package.

    Attributes:
        inputs: name -> type and shape.
        outputs: names.
        operations: in order, without constants.
        opset: for example ``CoreML6``, which belongs to iOS 16.
    """

    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    outputs: tuple[str, ...]
    operations: tuple[Operation, ...]
    opset: str


def read_program(model: bytes, weights: bytes) -> Program:
    """The program of ``model.mlmodel`` with the constants of ``weight.bin``.

    Raises:
        BackendError: they are damaged, or no program of one function without branches.
    """
    from export.coremltools_quiet import quiet

    with quiet():
        from coremltools.proto import Model_pb2
    try:
        spec = Model_pb2.Model.FromString(model)
        (function,) = spec.mlProgram.functions.values()
        block = function.block_specializations[function.opset]
        return _read_block(function, block, weights)
    except BackendError:
        raise
    except Exception as error:  # protobuf's DecodeError is of no base that is known before it is imported
        raise BackendError(
            f"model.mlmodel is no ML program of one function ({type(error).__name__}: {error})"
        ) from error


def _read_block(function: Any, block: Any, weights: bytes) -> Program:
    constants: dict[str, Constant] = {}
    operations = []
    for item in block.operations:
        (result,) = item.outputs
        if item.type == "const":
            constants[result.name] = read_value(item.attributes["val"], weights)
            continue
        if item.blocks:
            raise BackendError(f"operation {result.name} ({item.type}) has a block of its own, which is not expected")
        inputs = {
            key: tuple(_binding(binding, constants, weights) for binding in argument.arguments)
            for key, argument in item.inputs.items()
        }
        kind, shape = _tensor_type(result.type)
        operations.append(Operation(kind=item.type, name=result.name, type=kind, shape=shape, inputs=inputs))
    return Program(
        inputs={item.name: _tensor_type(item.type) for item in function.inputs},
        outputs=tuple(block.outputs),
        operations=tuple(operations),
        opset=str(function.opset),
    )


def _binding(binding: Any, constants: Mapping[str, Constant], weights: bytes) -> Named | Constant:
    if binding.WhichOneof("binding") == "value":
        return read_value(binding.value, weights)
    return constants.get(binding.name, Named(binding.name))


def _tensor_type(value_type: Any) -> tuple[str, tuple[int, ...]]:
    from coremltools.proto import MIL_pb2

    if value_type.WhichOneof("type") != "tensorType":
        raise BackendError(f"a value is no tensor but a {value_type.WhichOneof('type')}")
    tensor = value_type.tensorType
    if any(side.WhichOneof("dimension") != "constant" for side in tensor.dimensions):
        raise BackendError("a shape is not fixed")
    return MIL_pb2.DataType.Name(tensor.dataType), tuple(int(side.constant.size) for side in tensor.dimensions)


def read_value(value: Any, weights: bytes) -> Constant:
    """A constant, from the program or from the file of weights.

    Raises:
        BackendError: its type has no meaning here, or it lies outside of the file.
    """
    kind, shape = _tensor_type(value.type)
    if value.WhichOneof("value") == "blobFileValue":
        return read_blob(weights, int(value.blobFileValue.offset), kind).reshape(shape)
    held = value.immediateValue.tensor
    field = str(held.WhichOneof("value"))
    if kind == "STRING":
        (text,) = held.strings.values
        return str(text)
    if kind not in TYPES:
        raise BackendError(f"a constant is of type {kind}, which is not expected")
    if field == "bytes":
        return np.frombuffer(held.bytes.values, TYPES[kind]).reshape(shape)
    return np.array(getattr(held, field).values, TYPES[kind]).reshape(shape)


def read_blob(weights: bytes, offset: int, kind: str) -> NDArray[Any]:
    """The values of one entry of ``weight.bin``, flat.

    The file begins with the number of entries and its version; an entry is described by 64 bytes at ``offset``: a
    sentinel, the type, the size in bytes, and where the values lie.

    Raises:
        BackendError: there is no such entry.
    """
    version = int.from_bytes(weights[4:8], "little")
    words = np.frombuffer(weights[offset : offset + 24], "<u4") if 0 <= offset <= len(weights) - 64 else np.zeros(0)
    if version != BLOB_VERSION or not len(words) or int(words[0]) != BLOB_SENTINEL:
        raise BackendError(f"weight.bin has no entry at byte {offset}")
    size, start = (int.from_bytes(weights[offset + at : offset + at + 8], "little") for at in (8, 16))
    if BLOB_TYPES.get(int(words[1])) is not TYPES.get(kind) or start + size > len(weights):
        raise BackendError(f"the entry of weight.bin at byte {offset} is not of type {kind}, or beyond the file's end")
    return np.frombuffer(weights[start : start + size], TYPES[kind])
