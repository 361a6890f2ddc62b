"""What the convolutions give, for runtimes whose int8 convolutions give int8: a range beside the scale of their input.

The scales are of inputs. Outputs are watched here, while PyTorch runs the network on the clip that INT8 was calibrated
on.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from export.int8.clip import calibration_pairs
from export.int8.recipe import layer_name
from export.int8.windows import resized_middle
from export.source import Source
from runtimes.frames import to_tensor

Convolutions = Mapping[str, nn.Module]
"""Name of a layer -> the convolution of either kind."""


def convolutions(source: Source) -> Convolutions:
    """Every convolution of a network, by the names of the recipe."""
    found: dict[str, nn.Module] = {}
    for path, module in source.module.named_modules():
        if isinstance(module, nn.Conv2d):
            found[layer_name(path)] = module
        elif isinstance(module, nn.ConvTranspose2d):  # the recipe knows heads as sub-pixel convolutions
            found[f"{layer_name(path)}.conv"] = module
    return found


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
