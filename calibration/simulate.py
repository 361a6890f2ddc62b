"""INT8 in PyTorch: the same rounding as the Q/DQ graph, layer by layer, without building anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from calibration.ranges import convolutions
from export.int8.quantize import LEVELS, quantize_weight


@contextmanager
def simulated(graph: nn.Module, scales: Mapping[str, float]) -> Iterator[None]:
    """Inside the block the layers that ``scales`` names compute as in int8; afterwards they compute as before."""
    handles, kept = [], []
    for name, module in convolutions(graph).items():
        if name not in scales:
            continue
        kept.append((module, module.weight))
        values, steps = quantize_weight(module.weight.detach().numpy())
        weight = torch.from_numpy(values).to(torch.float32) * torch.from_numpy(steps)[:, None, None, None]
        module.weight = nn.Parameter(weight, requires_grad=False)

        def hook(module: nn.Module, inputs: tuple[Any, ...], scale: float = scales[name]) -> tuple[Any, ...]:
            return ((inputs[0] / scale).round().clamp(-LEVELS - 1, LEVELS) * scale,)

        handles.append(module.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module, weight in kept:
            module.weight = weight
