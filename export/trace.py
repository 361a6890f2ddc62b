"""From the deploy graph to a clean ONNX file: trace (dynamo, opset 18), simplify, strip, write."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.parity_frames import moving_pair
from runtimes.contract import INPUT_NAMES, MAX_SIDE, OUTPUT_NAME, Size, SizeRange

OPSET = 18
"""Opset 20 renamed GridSample's ``bilinear`` to ``linear``, which TensorRT's parsers read as nearest-neighbour."""

DYNAMIC_TRACE = Size(214, 150)
"""The size at which a graph of free sizes is traced, whatever its range. No side is a multiple of 4, so that both need
padding, and the sides differ, so that one taken for the other shows."""

DYNAMIC_SIDES = (2, MAX_SIDE)
"""The sides that the tracer is told of. Not the artifact's own range, on which the traced graph does not depend: torch
(2.13) refuses ranges without the traced size, and those in which a side always has the same number of blocks of 16
pixels ("Cannot create Dim with inconsistent min=9, max=9"). A side of 1 it would take for a constant."""

Inputs = tuple[Tensor, Tensor, Tensor]
"""img0, img1 and t."""


def example_inputs(sizes: SizeRange) -> Inputs:
    """What the network is traced with: two different frames (1, 3, H, W) that move, and t (1, 1, 1, 1).

    Tracers merge inputs that are one and the same tensor, and the graph then ignores one of them.
    """
    img0, img1 = (torch.from_numpy(frame) for frame in moving_pair(sizes.typical if sizes.is_static else DYNAMIC_TRACE))
    return img0, img1, torch.full((1, 1, 1, 1), 0.5)


def dynamic_shapes(sizes: SizeRange) -> tuple[Any, ...] | None:
    """Which sides of the inputs are free, as ``torch.export`` takes it; None when all are fixed."""
    if sizes.is_static:
        return None
    low, high = DYNAMIC_SIDES
    frame = {2: torch.export.Dim("height", min=low, max=high), 3: torch.export.Dim("width", min=low, max=high)}
    return frame, frame, None


def trace(module: nn.Module, inputs: Inputs, sizes: SizeRange) -> onnx.ModelProto:
    """Trace and simplify.

    Args:
        module: static for the size of ``sizes``, or dynamic.
        inputs: see :func:`example_inputs`.
        sizes: what the artifact will take.

    Raises:
        ExportError: the simplified graph does not agree with the traced one.
    """
    with torch.no_grad(), warnings.catch_warnings():
        # torch 2.13's exporter warns of its own deprecated calls; nothing that a user could act on.
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module,
            inputs,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(INPUT_NAMES),
            output_names=[OUTPUT_NAME],
            dynamic_shapes=dynamic_shapes(sizes),
            verbose=False,
        )
    assert program is not None
    return strip(simplify(program.model_proto))


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
