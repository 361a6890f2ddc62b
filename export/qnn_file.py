"""What the graph for Qualcomm's compiler and the file that came back have to be; checked at every export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import onnx

from export.convolutions import CONVOLUTIONS
from export.errors import run_sentinels
from export.qnn_plan import Form, Graph
from export.qnn_socs import Soc
from export.sentinels import WARPS
from runtimes.backends.qnn import built_for
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Size

BITS = MappingProxyType({onnx.TensorProto.UINT8: "int8", onnx.TensorProto.UINT16: "int16"})
"""Type of a zero point -> what it is called here."""

HALF = "fp16"


@dataclass(frozen=True, kw_only=True)
class Context:
    """A context binary.

    Attributes:
        chip: Hexagon architecture and chip that its wrapper says it is for; None where it says nothing.
        sdk: version of Qualcomm's SDK that made it.
        binary: the bytes; none where there is no context.
    """

    chip: tuple[int, int] | None
    sdk: str
    binary: bytes

    @classmethod
    def of(cls, file: onnx.ModelProto) -> Self:
        """That of an ONNX file."""
        nodes = [node for node in file.graph.node if node.op_type == "EPContext"]
        found = {item.name: item.s for node in nodes for item in node.attribute}
        wrapper = onnx.ModelProto(metadata_props=file.metadata_props)
        return cls(
            chip=built_for(wrapper.SerializeToString()),
            sdk=found.get("ep_sdk_version", b"").decode(errors="replace"),
            binary=found.get("ep_cache_context", b""),
        )


@dataclass(frozen=True, kw_only=True)
class Built:
    """One build.

    Attributes:
        graph: the float32 graph.
        quantized: what the compiler was given.
        file: the ONNX file that it wrote.
        form: what was asked for.
        soc: the chip that it is for.
        size: of the frames.
    """

    graph: Graph
    quantized: onnx.ModelProto
    file: onnx.ModelProto
    form: Form
    soc: Soc
    size: Size

    @cached_property
    def numbers(self) -> dict[str, str]:
        """Result of each operation of the float32 graph -> what it is computed in, read from the Q/DQ around it."""
        types = {item.name: item.data_type for item in self.quantized.graph.initializer}
        behind = {
            node.input[0]: BITS.get(types[node.input[2]], "unknown")
            for node in reversed(self.quantized.graph.node)  # the first pair behind a tensor is its own
            if node.op_type == "QuantizeLinear"
        }
        given = {node.name: node for node in self.quantized.graph.node}
        made = {node.output[0]: given.get(node.name) for node in self.graph.model.graph.node}
        producers = {name: node for node in self.quantized.graph.node for name in node.output}
        return {
            name: behind.get(node.output[0], HALF) if node is not None and _reads_integers(node, producers) else HALF
            for name, node in made.items()
        }


def _reads_integers(node: onnx.NodeProto, producers: dict[str, onnx.NodeProto]) -> bool:
    before = producers.get(node.input[0])
    return before is not None and before.op_type == "DequantizeLinear"


def whole_on_the_npu(built: Built) -> str:
    """The file is one context binary and nothing else: no operation is left for the processor."""
    kinds = Counter(node.op_type for node in built.file.graph.node)
    return "" if kinds == {"EPContext": 1} else f"the file holds {dict(kinds)}, not one EPContext"


def architecture(built: Built) -> str:
    """The file says that it is for the chip that was asked for."""
    wanted, found = (built.soc.arch, built.soc.model), Context.of(built.file).chip
    return "" if found == wanted else f"the file is for architecture and chip {found}, not {wanted}"


def inputs(built: Built) -> str:
    """Inputs and output are float32 at the frame's size, under the names of the contract."""
    frame = (1, 3, built.size.height, built.size.width)
    expected = {INPUT_NAMES[0]: frame, INPUT_NAMES[1]: frame, INPUT_NAMES[2]: (1, 1, 1, 1), OUTPUT_NAME: frame}
    found = {}
    for value in (*built.file.graph.input, *built.file.graph.output):
        tensor = value.type.tensor_type
        kind = "" if tensor.elem_type == onnx.TensorProto.FLOAT else onnx.TensorProto.DataType.Name(tensor.elem_type)
        shape = tuple(dim.dim_value for dim in tensor.shape.dim)
        found[value.name] = kind or shape
    return "" if found == expected else f"inputs and output are {found}, not {expected}"


def warps(built: Built) -> str:
    """All warps are in what was compiled, bilinear at borders as the graph's own sentinels saw, and in the binary."""
    names = [node.name for node in built.graph.model.graph.node if node.op_type == "GridSample"]
    if len(names) != WARPS:
        return f"the graph has {len(names)} warps, not {WARPS}"
    binary = Context.of(built.file).binary
    lost = [name for name in names if name.encode() not in binary]
    return f"the binary lacks warp {lost[0]}" if lost else ""


def flow_in_16_bits(built: Built) -> str:
    """Flow and sampling positions are integers of 16 bits: in half precision positions are off by 0.15 px at 1280."""
    if built.form in (Form.HALF, Form.W8A8):
        return ""  # for comparison only
    for name in sorted(built.graph.flow | built.graph.positions):
        head = built.graph.producers[name].op_type in CONVOLUTIONS and built.form is Form.ISLAND
        if not head and built.numbers[name] != "int16":
            return f"{name}, flow or positions, is computed in {built.numbers[name]}, not int16"
    return ""


def weights_are_integers(built: Built) -> str:
    """Every convolution of an integer form has weights of 8 bits; none of the other has."""
    wanted = built.form not in (Form.HALF, Form.ISLAND)
    producers = {name: node for node in built.quantized.graph.node for name in node.output}
    for node in built.quantized.graph.node:
        if node.op_type in CONVOLUTIONS and (node.input[1] in producers) is not wanted:
            return f"convolution {node.name} has {'float' if wanted else 'integer'} weights in form {built.form}"
    return ""


Sentinel = Callable[[Built], str]
"""Returns what is wrong, or an empty string."""

SENTINELS: MappingProxyType[str, Sentinel] = MappingProxyType(
    {
        "qnn-whole": whole_on_the_npu,
        "qnn-architecture": architecture,
        "qnn-inputs": inputs,
        "qnn-warps": warps,
        "qnn-flow": flow_in_16_bits,
        "qnn-weights": weights_are_integers,
    }
)


def check_file(built: Built) -> dict[str, Any]:
    """Run every sentinel; returns what was read back, for the manifest.

    Raises:
        SentinelError: one of them fired.
    """
    run_sentinels(SENTINELS, built)
    context = Context.of(built.file)
    kinds = {node.output[0]: node.op_type for node in built.graph.model.graph.node}
    convolutions = Counter(built.numbers[name] for name, kind in kinds.items() if kind in CONVOLUTIONS)
    return {
        "form": str(built.form),
        "part": built.soc.part,
        "soc_model": built.soc.model,
        "htp_arch": built.soc.arch,
        "qnn_sdk": context.sdk,
        "context_bytes": len(context.binary),
        "partitions": 1,
        "operations": dict(sorted(Counter(built.numbers.values()).items())),
        "convolutions": dict(sorted(convolutions.items())),
    }
