"""An exact rewrite for engines that go wrong, or slow, at widths that are no multiple of four."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from export.graph import DeployGraph

MULTIPLE = 4
"""Channels that the vectors of a GPU's shaders hold."""


class PaddedConv(nn.Module):
    """A convolution whose input gets channels of zeros; see :func:`padded_inputs`."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.more = -conv.in_channels % MULTIPLE
        self.stride, self.padding, self.bias = conv.stride, conv.padding, conv.bias
        self.weight = nn.Parameter(F.pad(conv.weight.detach(), (0, 0, 0, 0, 0, self.more)))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> as the convolution that it replaces."""
        x = F.pad(x, (0, 0, 0, 0, 0, self.more))  # (1, C, H, W) -> (1, C + more, H, W)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


def padded_inputs(graph: DeployGraph) -> None:
    """Channels of zeros fill up the inputs of convolutions to a multiple of four; exact: they add zero times zero.

    ONNX Runtime for the web (1.30) computes some of these convolutions wrongly on WebGPU, without an error: the network
    came out at 35.6 dB to PyTorch. Those over the three colours are right as they are.
    """
    for parent in list(graph.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Conv2d and child.in_channels > MULTIPLE and child.in_channels % MULTIPLE:
                setattr(parent, name, PaddedConv(child))
