"""Activation ranges: the reference runs over samples, and every convolution's input is counted into a histogram."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.graph import DeployGraph
from export.int8.errors import CalibrationError
from export.int8.quantize import LEVELS
from export.int8.recipe import REWRITES, layer_name, scale_owner
from export.rewrites import build_graph
from ifrnet import IFRNet

BINS = 4096
STRIDE = 13
"""The histogram takes every thirteenth value (a prime, so that no row is favoured), the maximum all of them."""

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Two (H, W, 3) RGB frames."""


class Histogram:
    """Magnitudes in [0, top), with a top that doubles (and bins that merge in pairs) when a larger one arrives."""

    def __init__(self) -> None:
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.top = 2.0**-10
        self.largest = 0.0

    def add(self, x: Tensor) -> None:
        """Count the magnitudes of ``x``, of any shape.

        Raises:
            CalibrationError: a value that is not finite, which no top would reach.
        """
        largest = float(x.abs().max())
        if not math.isfinite(largest):
            raise CalibrationError(
                "the network gives NaN or infinity on this footage in float32: its weights are too large; train it "
                "again, or take an earlier checkpoint"
            )
        self.largest = max(self.largest, largest)
        while self.top <= self.largest:
            merged = self.counts.reshape(-1, 2).sum(dim=1)
            self.counts = torch.cat((merged, torch.zeros_like(merged)))
            self.top *= 2.0
        values = x.flatten()[::STRIDE].abs()
        self.counts += torch.histc(values, BINS, 0.0, self.top).to(torch.float64)

    def best_clip(self) -> float:
        """The magnitude to clip at that makes the mean squared error of symmetric int8 smallest."""
        width = self.top / BINS
        counts: NDArray[np.float64] = self.counts.numpy()
        used = int(np.flatnonzero(counts)[-1]) + 1 if counts.any() else 1
        counts, centres = counts[:used], (np.arange(used, dtype=np.float64) + 0.5) * width
        clips = np.linspace(0.2, 1.0, 161) * self.largest
        errors = [float((counts * _squared_errors(centres, clip)).sum()) for clip in clips]
        return float(clips[int(np.argmin(errors))])


def _squared_errors(values: NDArray[np.float64], clip: float) -> NDArray[np.float64]:
    """Expected squared error of int8 with ``clip`` at 127: uniform rounding inside, the distance outside."""
    scale = clip / LEVELS
    return np.where(values <= clip, scale**2 / 12.0, (values - clip) ** 2 + scale**2 / 12.0)


def calibration_graph(model: IFRNet) -> DeployGraph:
    """The deploy graph in the form that INT8 artifacts have, any frame size, float32."""
    return build_graph(model, REWRITES)


def convolutions(graph: nn.Module) -> dict[str, nn.Conv2d]:
    """Layer name -> convolution, in the order of the graph's modules."""
    return {layer_name(path): m for path, m in graph.named_modules() if isinstance(m, nn.Conv2d)}


@contextmanager
def observed(graph: nn.Module, see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call ``see(layer, input)`` before every convolution inside the block."""
    handles = []
    for name, module in convolutions(graph).items():

        def hook(module: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
            see(name, inputs[0])

        handles.append(module.register_forward_pre_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def collect(model: IFRNet, pairs: Iterable[Pair], steps: tuple[float, ...] = (0.5,)) -> dict[str, Histogram]:
    """Histograms of what enters each convolution; layers that share a scale share a histogram.

    Args:
        model: the reference.
        pairs: the frames, one pair at a time, so that memory is that of one inference.
        steps: times between the frames, taken in turn.
    """
    graph = calibration_graph(model)
    histograms: dict[str, Histogram] = {}
    with observed(graph, lambda name, x: histograms.setdefault(scale_owner(name), Histogram()).add(x)):
        for i, (frame0, frame1) in enumerate(pairs):
            graph(as_tensor(frame0), as_tensor(frame1), torch.full((1, 1, 1, 1), steps[i % len(steps)]))
    return histograms


def as_tensor(frame: NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None].to(torch.float32) / 255.0
