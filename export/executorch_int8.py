"""INT8 for XNNPACK in ExecuTorch: weights as everywhere here, activations at a scale that is found at run time."""

from __future__ import annotations

import torch
import torch.ao.quantization.fx._decomposed  # registers torch.ops.quantized_decomposed
import torch.nn.functional as F
from torch import Tensor, nn

from export.int8.quantize import LEVELS, quantize_weight
from export.int8.recipe import COARSEST, layer_name, rule_for
from export.source import Source

LOWEST, HIGHEST = -128, 127
"""Of an activation's int8."""

SMALLEST = 2.0**-23
"""Least scale of an activation, as XNNPACK has it."""


class _Int8Convolution(nn.Module):
    """A convolution in the operators that ExecuTorch hands to XNNPACK as one with int8 inputs and float32 outputs.

    Each image is quantised on its own, between its smallest and its largest value.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        integers, scales = quantize_weight(conv.weight.detach().numpy())
        self.register_buffer("integers", torch.from_numpy(integers))
        self.register_buffer("scales", torch.from_numpy(scales))
        self.register_buffer("zeros", torch.zeros(len(scales), dtype=torch.int64))
        self.bias, self.stride, self.padding, self.groups = conv.bias, conv.stride, conv.padding, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) float32 -> (N, D, H', W') float32."""
        ops, limits = torch.ops.quantized_decomposed, (LOWEST, HIGHEST)
        scale, zero = ops.choose_qparams.tensor(x, *limits, SMALLEST, torch.int8)
        integers = ops.quantize_per_tensor.tensor(x, scale, zero, *limits, torch.int8)
        x = ops.dequantize_per_tensor.tensor(integers, scale, zero, *limits, torch.int8)
        weight = ops.dequantize_per_channel(self.integers, self.scales, self.zeros, 0, -LEVELS, LEVELS, torch.int8)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, 1, self.groups)


def with_int8_convolutions(source: Source) -> Source:
    """The same network with the convolutions of the recipe in int8, and the coarsest decoder.

    That loses 0.01 dB where each image has scales of its own, and in float a file is 3 MB larger.

    Raises:
        CalibrationError: a convolution that no rule of the recipe covers.
    """
    result = source.reformed(source.rewrites)
    _replace(result.module, "")
    return result


def _replace(module: nn.Module, prefix: str) -> None:
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        if type(child) is not nn.Conv2d:
            _replace(child, f"{path}.")
        elif (rule := rule_for(layer_name(path))).int8 or rule is COARSEST:
            setattr(module, name, _Int8Convolution(child))
