"""What is read back from an ML program of Core ML, and which of its operations may be half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from export.errors import run_sentinels
from export.mil_program import Named, Operation, Program
from export.sentinels import WARPS
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision, Size

CONVOLUTIONS = ("conv", "conv_transpose")

MOVES = ("concat", "slice_by_index")
"""They compute nothing, so values that are rounded already stay what they are."""

WARP = MappingProxyType(
    {
        "sampling_mode": "bilinear",
        "padding_mode": "border",
        "coordinates_mode": "normalized_minus_one_to_one",
        "align_corners": True,
    }
)


def may_be_half(operation: Any) -> bool:
    """Whether an operation of coremltools' own program goes into half precision: for ``FP16ComputePrecision``.

    Convolutions and PReLU do; so do additions and moves between them. The rest is the island: mean, flow, sampling
    positions, warps, mask and blending. coremltools' default leaves nothing in float32, and loses 28 dB.
    """
    if operation.op_type in (*CONVOLUTIONS, "prelu"):
        return True
    if operation.op_type == "add":
        return _given_in_half(operation)
    return operation.op_type in MOVES and (_given_in_half(operation) or _taken_in_half(operation))


def _given_in_half(operation: Any) -> bool:
    values = operation.inputs.get("values") or [operation.x, *([operation.y] if operation.op_type == "add" else [])]
    producers = [_before_casts(value) for value in values]
    return all(producer is not None and may_be_half(producer) for producer in producers)


def _before_casts(value: Any) -> Any:
    """The operation that computed a value; None for an input or a constant."""
    operation = value.op
    while operation is not None and operation.op_type == "cast":
        operation = operation.x.op
    return None if operation is None or operation.op_type == "const" else operation


def _taken_in_half(operation: Any) -> bool:
    readers = [reader for output in operation.outputs for reader in output.child_ops]
    return bool(readers) and all(reader.op_type in CONVOLUTIONS for reader in readers)


@dataclass(frozen=True, kw_only=True)
class File:
    """What a sentinel may look at.

    Attributes:
        program: as saved.
        precision: what was asked for.
        size: of the frames.
    """

    program: Program
    precision: Precision
    size: Size

    def of_kind(self, *kinds: str) -> list[Operation]:
        """Operations of some kinds."""
        return [operation for operation in self.program.operations if operation.kind in kinds]


def warps(file: File) -> str:
    """Every warp samples bilinearly, clamps to the border, and has -1 and 1 at the centres of the outermost pixels."""
    found = file.of_kind("resample")
    if len(found) != WARPS:
        return f"the file has {len(found)} warps, not {WARPS}"
    for operation in found:
        for key, expected in WARP.items():
            (value,) = operation.inputs.get(key, ("nothing",))
            plain = value.reshape(-1).tolist() if isinstance(value, np.ndarray) else value
            if plain not in (expected, [expected]):
                return f"{operation.name} has {key} {plain}"
        if operation.type != "FLOAT32":
            return f"{operation.name} samples in {operation.type}"
    return ""


def float32_flow(file: File) -> str:
    """Mean, flow, sampling positions, mask and blending are float32 from where convolutions give them to the output."""
    for operation in _flow_path(file.program):
        if operation.type == "FLOAT32" or (operation.type == "FLOAT16" and operation.kind in MOVES):
            continue
        return f"{operation.name} ({operation.kind}) is {operation.type}"
    return ""


def _flow_path(program: Program) -> Iterator[Operation]:
    """What the output and the sampling positions are computed from, back to convolutions, which are left out."""
    by_name = {operation.name: operation for operation in program.operations}
    positions = [item for op in program.operations if op.kind == "resample" for item in op.inputs["coordinates"]]
    waiting = [*program.outputs, *(item.name for item in positions if isinstance(item, Named))]
    seen: set[str] = set()
    while waiting:
        operation = by_name.get(waiting.pop())
        if operation is None or operation.name in seen or operation.kind in CONVOLUTIONS:
            continue
        seen.add(operation.name)
        yield operation
        waiting += operation.sources()


def convolutions(file: File) -> str:
    """All convolutions compute in what was asked for, from weights that are stored so."""
    expected = "FLOAT16" if file.precision is Precision.FP16 else "FLOAT32"
    stored = np.float16 if file.precision is Precision.FP16 else np.float32
    found = file.of_kind(*CONVOLUTIONS)
    for operation in found:
        (weight,) = operation.inputs["weight"]
        if operation.type != expected or not isinstance(weight, np.ndarray) or weight.dtype != stored:
            return f"{operation.name} ({operation.kind}) is {operation.type}, not {expected} with weights of that"
    return "" if found else "the file has no convolutions"


def stepped_sums(file: File) -> str:
    """No sum is longer than a side of the frame."""
    for operation in file.of_kind("reduce_mean"):
        (axes,) = operation.inputs["axes"]
        if not isinstance(axes, np.ndarray) or axes.size != 1:
            return f"{operation.name} sums over several axes at once"
    return "" if file.of_kind("reduce_mean") else "the file takes no mean"


def contract(file: File) -> str:
    """Inputs and outputs are those of :mod:`runtimes.contract`."""
    frame = "FLOAT32", (1, 3, file.size.height, file.size.width)
    expected = dict(zip(INPUT_NAMES, (frame, frame, ("FLOAT32", (1, 1, 1, 1))), strict=True))
    if dict(file.program.inputs) != expected:
        return f"its inputs are {dict(file.program.inputs)}"
    return "" if file.program.outputs == (OUTPUT_NAME,) else f"its outputs are {file.program.outputs}"


SENTINELS: Mapping[str, Callable[[File], str]] = MappingProxyType(
    {
        "coreml-warps": warps,
        "coreml-float32-flow": float32_flow,
        "coreml-convolutions": convolutions,
        "coreml-stepped-sums": stepped_sums,
        "coreml-contract": contract,
    }
)
"""Name -> check, which says what is wrong; empty when nothing is."""


def check_file(file: File) -> dict[str, Any]:
    """Run every sentinel.

    Returns:
        What was read back, for the manifest: how many operations of each kind give which type.

    Raises:
        SentinelError: naming the sentinel.
    """
    run_sentinels(SENTINELS, file)
    counts: dict[str, dict[str, int]] = {}
    for operation in file.program.operations:
        row = counts.setdefault(operation.kind, {})
        row[operation.type.lower()] = row.get(operation.type.lower(), 0) + 1
    return {"opset": file.program.opset, "warps": dict(WARP), "operations": counts}
