"""From the deploy graph to a clean ONNX file: trace (dynamo, opset 18), simplify, strip, write."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch

from export.errors import ExportError
from export.graph import DeployGraph
from export.parity_frames import moving_pair
from runtimes.contract import INPUT_NAMES, OUTPUT_NAME, Size, SizeRange

OPSET = 18
"""Opset 20 renamed GridSample's ``bilinear`` to ``linear``, which TensorRT's parsers read as nearest-neighbour."""

DYNAMIC_TRACE = Size(214, 150)
"""Odd multiples of nothing: a size that a dynamic graph must not have specialised on."""


def trace(graph: DeployGraph, sizes: SizeRange) -> onnx.ModelProto:
    """Trace and simplify. Needs different tensors for both frames: the same one twice would merge the inputs.

    Args:
        graph: static for the size of ``sizes``, or dynamic.
        sizes: what the artifact will take.

    Raises:
        ExportError: the simplified graph does not agree with the traced one.
    """
    size = sizes.typical if sizes.is_static else DYNAMIC_TRACE
    img0, img1 = (torch.from_numpy(frame) for frame in moving_pair(size))
    t = torch.full((1, 1, 1, 1), 0.5)
    with torch.no_grad(), warnings.catch_warnings():
        # torch 2.13's exporter warns of its own deprecated calls; nothing that a user could act on.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            graph,
            (img0, img1, t),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(INPUT_NAMES),
            output_names=[OUTPUT_NAME],
            dynamic_shapes=None if sizes.is_static else _dynamic_shapes(sizes),
            verbose=False,
        )
    assert program is not None
    return strip(simplify(program.model_proto))


def _dynamic_shapes(sizes: SizeRange) -> tuple[Any, ...]:
    low, high = sizes.minimum, sizes.maximum
    height = torch.export.Dim("height", min=low.height, max=high.height)
    width = torch.export.Dim("width", min=low.width, max=high.width)
    frame = {2: height, 3: width}
    return frame, frame, None


def simplify(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold constants and drop what is not used.

    Raises:
        ExportError: the simplifier's own check failed.
    """
    import onnxsim

    simplified, agrees = onnxsim.simplify(model)
    if not agrees:
        raise ExportError("onnxsim changed what the graph computes; please report this with the versions in use")
    return simplified


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove stack traces, paths of this machine and whatever else differs between two runs or names its author."""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "ifrnet-export", ""
    graph = model.graph
    graph.doc_string, graph.name = "", "ifrnet"
    del graph.metadata_props[:]
    del graph.value_info[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    return onnx.shape_inference.infer_shapes(model)


def save(model: onnx.ModelProto, path: Path) -> None:
    """Check against the ONNX specification and write.

    Raises:
        ExportError: the graph is not valid ONNX.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"the traced graph is not valid ONNX: {error}") from error
    path.write_bytes(model.SerializeToString(deterministic=True))
