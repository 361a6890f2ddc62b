"""What the network costs before it runs: parameters, multiply-adds of every stage, memory of the activations.

Everything is counted on PyTorch's ``meta`` device, which computes shapes and allocates nothing.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ifrnet.model import IFRNet
from ifrnet.variants import LEVELS, Variant, padded_side
from runtimes.contract import Size


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of the network.

    Attributes:
        parameters: weights, biases and slopes.
        macs: multiply-adds of its convolutions for one frame between two; the encoder runs twice.
        output_bytes: float32 outputs of all its convolutions together.
    """

    name: str
    parameters: int
    macs: int
    output_bytes: int


@dataclass(frozen=True, kw_only=True)
class Complexity:
    """A variant at one frame size.

    Attributes:
        size: of the frames; ``padded`` is what the network sees.
        peak_bytes: the most that is alive at once in eager inference, both frames and the output included, weights not.
    """

    variant: str
    size: Size
    padded: Size
    stages: tuple[Stage, ...]
    peak_bytes: int

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return sum(stage.parameters for stage in self.stages)

    @property
    def macs(self) -> int:
        """Multiply-adds of all convolutions. Warps, resizes and activations are not in it: under 1 % of the work."""
        return sum(stage.macs for stage in self.stages)


def complexity(variant: Variant, size: Size) -> Complexity:
    """Count one inference."""
    padded = Size(padded_side(size.width), padded_side(size.height))
    with torch.device("meta"):
        model = IFRNet(variant).eval().requires_grad_(False)
        frames = [torch.empty(1, 3, padded.height, padded.width) for _ in range(2)]
        t = torch.empty(1, 1, 1, 1)
    with _counted(model) as counts, LiveMemory(*frames) as memory, torch.no_grad():
        model(*frames, t)
    names = ("encoder", *(f"decoder{level}" for level in range(LEVELS, 0, -1)))
    stages = tuple(
        Stage(
            name=name,
            parameters=sum(p.numel() for p in model.get_submodule(name).parameters()),
            macs=sum(macs for key, (macs, _) in counts.items() if key.startswith(f"{name}.")),
            output_bytes=sum(output for key, (_, output) in counts.items() if key.startswith(f"{name}.")),
        )
        for name in names
    )
    return Complexity(variant=variant.name, size=size, padded=padded, stages=stages, peak_bytes=memory.peak)


@contextmanager
def _counted(model: nn.Module) -> Iterator[dict[str, tuple[int, int]]]:
    """Module name -> (multiply-adds, bytes of output), summed over its calls inside the block."""
    counts: dict[str, tuple[int, int]] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):

            def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
                macs, size = counts.get(name, (0, 0))
                counts[name] = macs + multiply_adds(module, inputs[0], output), size + 4 * output.numel()

            handles.append(module.register_forward_hook(hook))
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def multiply_adds(module: nn.Module, x: Tensor, output: Tensor) -> int:
    """Of one convolution: a multiplication and an addition count as one; the bias is not counted."""
    weight = module.get_parameter("weight")
    taps = weight.shape[2] * weight.shape[3]
    if isinstance(module, nn.ConvTranspose2d):  # every input pixel is spread over the kernel
        return x.numel() * weight.shape[1] * taps
    return output.numel() * weight.shape[1] * taps


class LiveMemory(TorchDispatchMode):
    """Bytes of tensors that are alive at once, over everything computed inside the block.

    Args:
        inputs: tensors that exist before.
    """

    def __init__(self, *inputs: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()
        for tensor in inputs:
            self._add(tensor)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and account for new storages among its results."""
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:  # a view
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._remove, size)

    def _remove(self, size: int) -> None:
        self.live -= size
