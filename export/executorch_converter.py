"""Run as a process of its own: a program saved by ``torch.export`` to one ExecuTorch file, and what stands in that.

ExecuTorch and what it imports print, and register operators in PyTorch; nothing of this project is imported here.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LARGEST = 2**32 - 1
"""What XNNPACK's files have in place of a tensor that is not there."""


def convert(program: Path, delegate: str, folder: Path) -> None:
    """Write ``model.pte`` and ``model.json``, which is read back from the bytes of the first, into ``folder``."""
    import torch
    import torch.ao.quantization.fx._decomposed  # registers the operators of int8 programs
    from executorch.exir import to_edge_transform_and_lower

    exported = torch.export.load(program)
    lowered = to_edge_transform_and_lower(exported, partitioner=[_partitioner(delegate)])
    data = bytes(lowered.to_executorch().buffer)
    (folder / "model.pte").write_bytes(data)
    (folder / "model.json").write_text(json.dumps(describe(data)), encoding="utf-8")


def _partitioner(delegate: str) -> Any:
    if delegate == "vulkan":
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner()
    from executorch.backends.xnnpack.operators.node_visitor import NodeVisitor
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    keep_half(NodeVisitor)
    return XnnpackPartitioner()


def keep_half(visitor: Any) -> None:
    """Let half-precision weights of convolutions be stored as they are.

    ExecuTorch 1.5.1 stores them as float32, which XNNPACK rounds to half precision again when it loads them: 11.3
    instead of 6.3 MB. Its transposed convolution takes float32 weights only. Remove this once the file is as small
    without it.
    """
    define = visitor.define_tensor

    def define_tensor(self: Any, *arguments: Any, **options: Any) -> None:
        if options.get("convert_to_nhwc") and options.get("swap_in_out_for_weights") is False:
            options["force_fp32"] = False
        define(self, *arguments, **options)

    visitor.define_tensor = define_tensor


# ---- reading back ------------------------------------------------------------------------------------------------


def describe(data: bytes) -> dict[str, Any]:
    """What a ``.pte`` file holds: inputs, outputs, the operators that ExecuTorch's own kernels run, and delegates."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    program = deserialize_pte_binary(data).program
    (plan,) = program.execution_plan
    values = [value.val for value in plan.values]
    kernels, calls = [], 0
    for instruction in (item for chain in plan.chains for item in chain.instructions):
        call = instruction.instr_args
        if type(call).__name__ == "KernelCall":
            kernels.append(_kernel(plan.operators[call.op_index], [values[i] for i in call.args], values))
        elif type(call).__name__ == "DelegateCall":
            calls += 1
    blobs = [bytes(program.backend_delegate_data[item.processed.index].data) for item in plan.delegates]
    delegates = [_delegate(item.id, blob) for item, blob in zip(plan.delegates, blobs, strict=True)]
    inputs, outputs = ([_tensor(values[i]) for i in numbers] for numbers in (plan.inputs, plan.outputs))
    return {"inputs": inputs, "outputs": outputs, "kernels": kernels, "delegates": delegates, "delegate_calls": calls}


def _tensor(value: Any) -> dict[str, Any]:
    return {"dims": list(value.sizes), "type": value.scalar_type.name.lower()}


def _kernel(operator: Any, arguments: list[Any], values: list[Any]) -> dict[str, Any]:
    """One call: the types of its tensors, the last of which is what it gives, and its numbers."""
    tensors = [value for value in arguments if type(value).__name__ == "Tensor"]
    numbers = []
    for value in arguments:
        if type(value).__name__ in ("Int", "Bool"):
            numbers.append(next(iter(vars(value).values())))
        elif type(value).__name__ == "IntList":
            numbers.append([values[i].int_val for i in value.items])
    types = [value.scalar_type.name.lower() for value in tensors]
    return {"kind": f"{operator.name}.{operator.overload}", "types": types, "numbers": numbers}


def _delegate(name: str, blob: bytes) -> dict[str, Any]:
    nodes = {"XnnpackBackend": _xnnpack, "VulkanBackend": _vulkan}[name](blob)
    return {"name": name, "nodes": list(nodes)}


def _xnnpack(blob: bytes) -> Iterator[dict[str, Any]]:
    """The operators of one delegate of XNNPACK, with types and shapes (NHWC) of what they take and give."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as schema

    header = schema.XNNHeader.from_bytes(blob[: schema.XNNHeader.EXPECTED_LENGTH])
    table = blob[header.flatbuffer_offset : header.flatbuffer_offset + header.flatbuffer_size]
    graph = _decoded(schema._get_schema_bytes(), table)
    tensors = {}
    for item in graph["xvalues"]:
        value = item["xvalue_union"].get("tensor_value", item["xvalue_union"])
        tensors[value["id_out"]] = (value["datatype"].removeprefix("xnn_datatype_"), value["dims"])
    for node in graph["xnodes"]:
        union = node["xnode_union"]
        names = [name for name in union if name.endswith("_id") and union[name] != LARGEST]
        bounds = node.get("output_min_max")
        yield {
            "kind": node["xnode_union_type"],
            "tensors": {name.removesuffix("_id"): tensors[union[name]] for name in names},
            "bounds": None if bounds is None else [float(bounds["output_min"]), float(bounds["output_max"])],
        }


def _vulkan(blob: bytes) -> Iterator[dict[str, Any]]:
    """The operators of one delegate of Vulkan, with the types of their tensors and their numbers, in order."""
    from executorch.backends.vulkan import serialization
    from executorch.backends.vulkan.serialization.vulkan_graph_serialize import extract_vk_flatbuffer

    schema = (Path(next(iter(serialization.__path__))) / "schema.fbs").read_bytes()
    graph = _decoded(schema, extract_vk_flatbuffer(blob))
    values = [item["value"] for item in graph["values"]]
    for call in graph["chain"]:
        arguments = [values[i] for i in call["args"] if i >= 0]
        numbers = [
            next(v for k, v in value.items() if k in ("int_val", "bool_val"))
            for value in arguments
            if "int_val" in value or "bool_val" in value
        ]
        types = [value["datatype"].lower() for value in arguments if "datatype" in value]
        yield {"kind": call["name"], "types": types, "numbers": numbers}


def _decoded(schema: bytes, table: bytes) -> Any:
    """A flatbuffer as JSON types; numbers that JSON lacks are strings."""
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("schema.fbs", schema), ("data.bin", table)):
            (Path(folder) / name).write_bytes(content)
        _flatc_decompile(folder, f"{folder}/schema.fbs", f"{folder}/data.bin", ["--raw-binary"])
        text = (Path(folder) / "data.json").read_text(encoding="utf-8")
    return json.loads(re.sub(r"(:\s*)(-?)(inf|nan)\b", r'\1"\2\3"', text))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("delegate", choices=("xnnpack", "vulkan"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    convert(given.program, given.delegate, given.folder)


if __name__ == "__main__":
    main()
