"""The float32 island of an OpenVINO IR, written into its ``.xml`` so that every device and every app keeps it.

OpenVINO lowers a float32 model to the inference precision as a whole; with bf16 its CPU plugin computes sampling
positions and the accumulated flow in bfloat16, which is off by pixels. The runtime attribute
``DisablePrecisionConversion`` keeps a layer in float32. Its setter in Python has no effect in 2026.4, so it is written
into the saved IR. Transformations that replace a layer lose it: :func:`keep_marks` gives resizes the form that the CPU
plugin leaves alone, and the rewrite ``offset_grid`` does the same for sampling positions.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

from export.errors import ExportError, SentinelError
from export.island import float32_island

CONVOLUTIONS = ("Convolution", "ConvolutionBackpropData")
DEPTH_TO_SPACE = "DepthToSpace"
CUTS = ("Slice", "StridedSlice", "VariadicSplit", "Split")
SAMPLERS = ("GridSample", "EmbeddingBagPackedSum")
UNMARKED = ("Const", "Convert", "Parameter", "Result", "Broadcast", "Tile")
"""Nothing to compute; Broadcast spreads t for the coarsest decoder, in its precision."""

INTEGERS = ("i32", "i64")

HALF = ("f16", "bf16")

MARK = "DisablePrecisionConversion"

MOVES = ("Const", "Reorder", "Reshape", "Split", "Broadcast", "Input", "Output")
"""Layer types of a compiled model that compute nothing, and that a reader of the manifest does not want to see."""


def keep_marks(model: Any) -> None:
    """Replace Interpolate of opset 11 by that of opset 4, in place.

    OpenVINO's plugins do the same when they compile, and lose the mark then (2026.4).
    """
    from openvino import opset10

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Interpolate":
            continue
        kept = node.get_attributes()
        # Opset 4 takes sizes and scales, and reads one of them; the other has to be of the same length.
        by_size = kept["shape_calculation_mode"] == "sizes"
        given = node.input_value(1)
        length = given.get_partial_shape()[0].get_length()
        sizes, scales = (opset10.constant(np.ones(length, kind)) for kind in (np.int64, np.float32))
        axes = {"axes": node.input_value(2)} if node.get_input_size() > 2 else {}
        same = opset10.interpolate(
            node.input_value(0),
            given if by_size else sizes,
            scales if by_size else given,
            kept["mode"],
            kept["shape_calculation_mode"],
            coordinate_transformation_mode=kept["coordinate_transformation_mode"],
            nearest_mode=kept["nearest_mode"],
            **axes,
        )
        same.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(same.output(0))
    model.validate_nodes_and_infer_types()


def sum_rows(model: Any) -> int:
    """Write every weighted sum of looked-up rows (see :mod:`export.row_warp`) as one layer, in place; returns how many.

    ``Gather(table, rows)``, a product with a weight for each row and a sum over them is EmbeddingBagPackedSum.
    """
    from openvino import opset3

    count = 0
    for node in model.get_ordered_ops():
        product = node.input_value(0).get_node() if node.get_type_name() == "ReduceSum" else None
        if product is None or product.get_type_name() != "Multiply":
            continue
        lookup, weights = (product.input_value(i).get_node() for i in range(2))
        if (lookup.get_type_name(), weights.get_type_name()) != ("Gather", "Unsqueeze"):
            continue
        table, rows = lookup.input_value(0), lookup.input_value(1)
        bag = opset3.embedding_bag_packed_sum(table, rows, weights.input_value(0))
        bag.set_friendly_name(node.get_friendly_name())
        node.output(0).replace(bag.output(0))
        count += 1
    model.validate_nodes_and_infer_types()
    return count


def halve_weights(model: Any) -> None:
    """Store the float32 kernels of the convolutions in float16, in place; biases, slopes and sampling positions stay.

    ``save_model(compress_to_fp16=True)`` would round every constant, those of the sampling positions as well: 66 dB
    instead of 90 on frames of 256x160, and less the wider they are.
    """
    from openvino import opset10

    for node in model.get_ordered_ops():
        if node.get_type_name() in CONVOLUTIONS:
            kernel = node.input_value(1).get_node()
            if kernel.get_type_name() == "Multiply":  # int8 weights and their scales
                continue
            if kernel.get_type_name() != "Constant":
                raise ExportError(f"the kernel of {node.get_friendly_name()} is no Constant: {kernel.get_type_name()}")
            half = opset10.constant(kernel.data.astype(np.float16))
            node.input(1).replace_source_output(opset10.convert(half, "f32").output(0))


def mark_island(path: Path) -> frozenset[str]:
    """Mark the float32 island in a saved IR; returns the names of its layers."""
    tree = ET.parse(path)
    layers = list(tree.getroot().iterfind("layers/layer"))
    island = [layers[i] for i in sorted(_island(tree.getroot(), layers)) if _is_marked(layers[i])]
    for layer in island:
        info = layer.find("rt_info")
        if info is None:
            info = ET.Element("rt_info")
            layer.insert(0 if layer.find("data") is None else 1, info)
        if all(item.get("name") != MARK for item in info):
            ET.SubElement(info, "attribute", name=MARK, version="0", value="dynamic:f16")
    tree.write(path, encoding="utf-8", xml_declaration=True)
    return frozenset(layer.get("name", "") for layer in island)


def _is_marked(layer: ET.Element) -> bool:
    data = layer.find("data")
    rounds = data is not None and data.get("destination_type") in INTEGERS  # numbers of rows, from positions
    return rounds or layer.get("type") not in UNMARKED


def _island(root: ET.Element, layers: list[ET.Element]) -> set[int]:
    index = {layer.get("id"): i for i, layer in enumerate(layers)}
    ports: list[dict[int, int]] = [{} for _ in layers]
    for edge in root.iterfind("edges/edge"):
        ports[index[edge.get("to-layer")]][int(edge.get("to-port", ""))] = index[edge.get("from-layer")]
    before = [[sources[port] for port in sorted(sources)] for sources in ports]
    kinds = [layer.get("type", "") for layer in layers]
    heads = (*CONVOLUTIONS, DEPTH_TO_SPACE)

    def is_head(i: int) -> bool:
        bias = kinds[i] == "Add" and any(kinds[j] in CONVOLUTIONS for j in before[i])
        return bias or kinds[i] in heads or (kinds[i] in CUTS and kinds[before[i][0]] in heads)

    return float32_island(
        before,
        convolutions={i for i, kind in enumerate(kinds) if kind in CONVOLUTIONS},
        samplers={i for i, kind in enumerate(kinds) if kind in SAMPLERS},
        is_head=is_head,
    )


def check_island(executed: list[tuple[str, str, tuple[str, ...]]], island: frozenset[str]) -> None:
    """Hold what a device runs against the island.

    Args:
        executed: for each layer of the compiled model its type, precision, and the names of the layers it came from.
        island: the names that have to run in float32.

    Raises:
        SentinelError: a layer of the island computes, or carries, something else.
    """
    for kind, precision, origins in executed:
        if precision in HALF and island.intersection(origins):
            raise SentinelError(f"sentinel flow-path: {kind} {', '.join(origins)} runs in {precision}, not f32")
