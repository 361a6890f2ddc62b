"""Named checks for failures that stay silent elsewhere; they run at every export, and tests prove that each fires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from export.convolutions import HALF_SHARE, share_in, type_name
from export.errors import run_sentinels
from export.trace import OPSET
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Precision

WARPS = 8
"""Two warps on each of three levels and two of the frames themselves."""

ROW_WARPS = WARPS - 2
"""Those of features, where they are sums of rows; the frames are warped as a pair then."""


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What a sentinel may look at, gathered once.

    Attributes:
        model: the ONNX model, shapes inferred.
        types: tensor name -> ONNX element type.
        precision: what the convolutions were to be written in.
    """

    model: onnx.ModelProto
    types: dict[str, int]
    precision: Precision = Precision.FP32

    @classmethod
    def of(cls, model: onnx.ModelProto, precision: Precision = Precision.FP32) -> GraphFacts:
        """Gather element types of inputs, initializers and inferred values."""
        graph = onnx.shape_inference.infer_shapes(model).graph
        types = {item.name: item.data_type for item in graph.initializer}
        types |= {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
        return cls(model=model, types=types, precision=precision)

    def nodes(self, kind: str) -> Iterator[onnx.NodeProto]:
        """Nodes of one operator."""
        return (node for node in self.model.graph.node if node.op_type == kind)


def _attribute(node: onnx.NodeProto, name: str, default: bytes | int) -> bytes | int:
    for attribute in node.attribute:
        if attribute.name == name:
            return attribute.s if isinstance(default, bytes) else attribute.i
    return default


def opset(facts: GraphFacts) -> str:
    """Opset 20 renamed GridSample's modes; TensorRT's parsers read unknown names as nearest (NVIDIA/TensorRT 4646)."""
    versions = {item.version for item in facts.model.opset_import if item.domain == ""}
    return "" if versions == {OPSET} else f"the graph is of opset {sorted(versions)}, not {OPSET}"


def _row_warps(facts: GraphFacts) -> list[onnx.NodeProto]:
    """The products of looked-up rows with their weights, one for each warp; see :mod:`export.row_warp`."""
    lookups = {node.output[0] for node in facts.nodes("Gather")}
    sums = {node.input[0] for node in facts.nodes("ReduceSum")}
    return [node for node in facts.nodes("Mul") if node.input[0] in lookups and node.output[0] in sums]


def bilinear_warps(facts: GraphFacts) -> str:
    """Every GridSample is bilinear, with border padding and align_corners."""
    expected = (b"bilinear", b"border", 1)
    for node in facts.nodes("GridSample"):
        mode = _attribute(node, "mode", b"bilinear")
        padding = _attribute(node, "padding_mode", b"zeros")
        corners = _attribute(node, "align_corners", 0)
        if (mode, padding, corners) != expected:
            return f"warp {node.name} samples with {mode!r}, {padding!r}, align_corners={corners!r}, not {expected}"
    return ""


def all_warps(facts: GraphFacts) -> str:
    """No warp was optimised away: two on each of four resolutions, one by one or as a batch of two."""
    count, rows = sum(1 for _ in facts.nodes("GridSample")), len(_row_warps(facts))
    if (count, rows) in ((WARPS, 0), (WARPS // 2, 0), (1, ROW_WARPS)):
        return ""
    summed = f" and {rows} by rows" if rows else ""
    return f"the graph has {count} warps{summed}, not {WARPS} (or {WARPS // 2} of pairs; or 1, and {ROW_WARPS} by rows)"


def float32_grids(facts: GraphFacts) -> str:
    """Sampling positions are float32: in half precision they are off by up to half a pixel at 1080p."""
    for node in (*facts.nodes("GridSample"), *_row_warps(facts)):
        if (kind := facts.types.get(node.input[1])) != TensorProto.FLOAT:
            return f"warp {node.name} takes positions as {type_name(kind)}, not FLOAT"
    return ""


def float32_mean(facts: GraphFacts) -> str:
    """The mean is summed in float32: in half precision a sum over a frame overflows."""
    for kind in ("ReduceMean", "GlobalAveragePool", "ReduceSum"):
        for node in facts.nodes(kind):
            if (found := facts.types.get(node.input[0])) != TensorProto.FLOAT:
                return f"mean {node.name} is computed in {type_name(found)}, not FLOAT"
    return ""


def float32_flow(facts: GraphFacts) -> str:
    """Flow is resized and accumulated in float32, like everything that is resized."""
    for node in facts.nodes("Resize"):
        if (found := facts.types.get(node.input[0])) != TensorProto.FLOAT:
            return f"resize {node.name} is computed in {type_name(found)}, not FLOAT"
    return ""


HALF = {Precision.FP16: TensorProto.FLOAT16, Precision.BF16: TensorProto.BFLOAT16}
"""ONNX element type of the convolutions."""


def half_convolutions(facts: GraphFacts) -> str:
    """A graph of half precision has its multiplications in half precision: compilers run what they read."""
    if (wanted := HALF.get(facts.precision)) is None:
        return ""
    share, others = share_in(facts.types, facts.model, wanted)
    if share >= HALF_SHARE:
        return ""
    return f"only {share:.1%} of the multiplications are in {type_name(wanted)}, not those of {', '.join(others)}"


def no_scatter(facts: GraphFacts) -> str:
    """No slice assignment was traced: ScatterND is slow everywhere and missing in ncnn."""
    names = [node.name for node in facts.nodes("ScatterND")]
    return f"the graph has {len(names)} ScatterND, for example {names[0]}" if names else ""


def inputs_used(facts: GraphFacts) -> str:
    """Every input has a consumer: tracing with one tensor for both frames merges them in silence."""
    graph = facts.model.graph
    names = tuple(item.name for item in graph.input), tuple(item.name for item in graph.output)
    if names != (INPUT_NAMES, (OUTPUT_NAME,)):
        return f"inputs and outputs are {names}, not {(INPUT_NAMES, (OUTPUT_NAME,))}"
    used = {name for node in graph.node for name in node.input}
    unused = [name for name in INPUT_NAMES if name not in used]
    return f"the graph ignores {', '.join(unused)}" if unused else ""


def finite_weights(facts: GraphFacts) -> str:
    """No weight became infinite or NaN on its way into the graph, as half precision does with large values."""
    for item in facts.model.graph.initializer:
        if item.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16):
            value = numpy_helper.to_array(item).astype(np.float32)
            if not (abs(value) < float("inf")).all():
                return f"weight {item.name} is not finite in {type_name(item.data_type)}"
    return ""


Sentinel = Callable[[GraphFacts], str]
"""Returns what is wrong, or an empty string."""

SENTINELS: MappingProxyType[str, Sentinel] = MappingProxyType(
    {
        "opset": opset,
        "bilinear-warps": bilinear_warps,
        "all-warps": all_warps,
        "float32-grids": float32_grids,
        "float32-mean": float32_mean,
        "float32-flow": float32_flow,
        "half-convolutions": half_convolutions,
        "no-scatter": no_scatter,
        "inputs-used": inputs_used,
        "finite-weights": finite_weights,
    }
)


def guard(model: onnx.ModelProto, precision: Precision = Precision.FP32) -> None:
    """Run every sentinel.

    Raises:
        SentinelError: one of them fired.
    """
    run_sentinels(SENTINELS, GraphFacts.of(model, precision))
