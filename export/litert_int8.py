"""INT8 for LiteRT: which convolutions, at which scales, and what they give.

LiteRT's int8 convolution gives int8, so it needs a range for its output beside the scale of its input. Ours are for
inputs; the outputs are watched here, while PyTorch runs the network on the clip that INT8 is calibrated on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.int8.clip import calibration_pairs
from export.int8.errors import CalibrationError
from export.int8.quantize import LEVELS
from export.int8.recipe import layer_name
from export.int8.windows import resized_middle
from export.litert_file import CONVOLUTIONS, File
from export.litert_layers import layer_of
from export.source import Source
from runtimes.frames import to_tensor

IN_FLOAT = "encoder."
"""Layers of the recipe that stay in float here: 6 % of the work. LiteRT rounds what an int8 convolution gives to 8
bits, and of the encoder's features that is most of what INT8 loses: 0.08 dB with it and 0.04 without, 54.7 and 56.5 dB
to float32 (256x160, simulated)."""

Convolutions = Mapping[str, nn.Module]
"""Name of a layer -> the convolution of either kind."""


def chosen(scales: Mapping[str, float]) -> dict[str, float]:
    """Those of ``scales`` whose layers are int8 in LiteRT."""
    return {name: scale for name, scale in scales.items() if not name.startswith(IN_FLOAT)}


def convolutions(source: Source) -> Convolutions:
    """Every convolution of a network, by the names of the recipe."""
    found: dict[str, nn.Module] = {}
    for path, module in source.module.named_modules():
        if isinstance(module, nn.Conv2d):
            found[layer_name(path)] = module
        elif isinstance(module, nn.ConvTranspose2d):  # the recipe knows heads as sub-pixel convolutions
            found[f"{layer_name(path)}.conv"] = module
    return found


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
    layers, scales = convolutions(source), chosen(source.scales)
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


def output_ranges(source: Source, layers: Convolutions) -> dict[str, tuple[float, float]]:
    """Least and largest value that each of ``layers`` gives on the clip, at the size of the artifact."""
    found: dict[str, tuple[float, float]] = {}

    def watch(name: str, output: Tensor) -> None:
        least, largest = found.get(name, (0.0, 0.0))
        found[name] = min(least, float(output.min())), max(largest, float(output.max()))

    hooks = [
        module.register_forward_hook(lambda *call, name=name: watch(name, call[-1])) for name, module in layers.items()
    ]
    half = torch.full((1, 1, 1, 1), 0.5)
    try:
        with torch.inference_mode():
            for pair in calibration_pairs():
                frames = (to_tensor(resized_middle(frame, source.sizes.typical)) for frame in pair)
                source.module(*(torch.from_numpy(frame) for frame in frames), half)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: bounds if bounds[0] < bounds[1] else (-1.0, 1.0) for name, bounds in found.items()}
