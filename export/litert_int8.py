"""INT8 for LiteRT: which convolutions, at which scales, and what they give.

LiteRT's int8 convolution gives int8, so it needs a range for its output beside the scale of its input; see
:mod:`export.int8.output_ranges`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from export.errors import ExportError
from export.int8.errors import CalibrationError
from export.int8.output_ranges import Convolutions, convolutions, output_ranges
from export.int8.quantize import LEVELS
from export.litert_file import CONVOLUTIONS, File
from export.litert_layers import layer_of
from export.source import Source


def kernels(layers: Convolutions) -> dict[bytes, str]:
    """Weights as LiteRT stores them, (O, kh, kw, I) -> name of the layer; without those that two layers share."""
    found: dict[bytes, str] = {}
    shared = set()
    for name, module in layers.items():
        weight = module.get_parameter("weight").detach()
        order = (0, 2, 3, 1) if isinstance(module, nn.Conv2d) else (1, 2, 3, 0)
        stored = weight.permute(order).contiguous().numpy().tobytes()
        if stored in found:
            shared.add(stored)
        found[stored] = name
    return {stored: name for stored, name in found.items() if stored not in shared}


def plan(source: Source, file: File) -> dict[str, Any]:
    """What LiteRT's quantiser is told: names of outputs, and the ranges of tensors. See ``export.litert_converter``.

    Args:
        source: the network, with its scales.
        file: the same network in float32, with its convolutions named.

    Raises:
        CalibrationError: the scales name a convolution that the network does not have.
        ExportError: a convolution cannot be told from another in the file.
    """
    layers, scales = convolutions(source), source.scales
    if absent := [name for name in source.scales if name not in layers]:
        raise CalibrationError(
            f"the network has no convolution {absent[0]}: the scales are of another network; calibrate again"
        )
    found = {layer_of(file, op): op for op in file.of_kind(*CONVOLUTIONS)}
    if lost := [name for name in scales if name not in found]:
        raise ExportError(f"LiteRT's converter left no convolution with the weights of {lost[0]} alone")
    given = output_ranges(source, {name: layers[name] for name in scales})
    ranges: dict[str, tuple[float, float]] = {}
    for name, scale in scales.items():
        # int8 is from -128 to 127: with these bounds a step is the scale, and the zero point is 0.
        ranges[file.name(found[name].image)] = (-(LEVELS + 1) * scale, LEVELS * scale)
        ranges[file.name(found[name].outputs[0])] = given[name]
    return {"int8": [file.name(found[name].outputs[0]) for name in scales], "ranges": ranges}
