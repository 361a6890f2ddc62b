"""Exact rewrite: a decoder's head as the convolution with the fewest multiplications, at the price of a crop."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from export.graph import DeployGraph, replace_modules


class _CroppedSubpixelConv(nn.Module):
    def __init__(self, deconv: nn.ConvTranspose2d) -> None:
        super().__init__()
        inputs, outputs = deconv.weight.shape[:2]
        # Of the two outputs that one window of x[i - 1], x[i] reaches, 2i - 1 comes first, with the taps 2 and 0.
        taps = ((2, 0), (3, 1))
        weight = deconv.weight.new_zeros(outputs, 2, 2, inputs, 2, 2)
        for row in range(2):
            for column in range(2):
                for i, k in enumerate(taps[row]):
                    for j, m in enumerate(taps[column]):
                        weight[:, row, column, :, i, j] = deconv.weight.detach()[:, :, k, m].T
        assert deconv.bias is not None
        self.conv = nn.Conv2d(inputs, 4 * outputs, 2, 1, 1, device=weight.device, dtype=weight.dtype)
        self.conv.weight = nn.Parameter(weight.reshape(4 * outputs, inputs, 2, 2))
        self.conv.bias = nn.Parameter(deconv.bias.detach().repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(self.conv(x), 2)  # (1, 4 C, H + 1, W + 1) -> (1, C, 2 H + 2, 2 W + 2)
        return y[:, :, 1:-1, 1:-1]


def subpixel_2x2(graph: DeployGraph) -> None:
    """ConvTranspose 4x4, stride 2, padding 1 becomes Conv 2x2 to 4 C channels, depth-to-space and a crop by one pixel.

    Per axis, with W the kernel: out[2i-1] = W2 x[i-1] + W0 x[i], out[2i] = W3 x[i-1] + W1 x[i]. Both read the same two
    pixels, so a 2x2 convolution with one pixel of padding gives them for i = 0..H; the first and the last output lie
    outside. No tap is zero: the multiplications of the transposed convolution, exact. Instead of
    :func:`export.rewrites.subpixel_deconv`, which has 2.25 times as many and no crop.
    """
    replace_modules(graph, nn.ConvTranspose2d, lambda deconv: _CroppedSubpixelConv(deconv))  # type: ignore[arg-type]
