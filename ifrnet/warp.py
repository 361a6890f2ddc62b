"""Backward warping and resizing, the two samplers of the network."""

from __future__ import annotations

from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(img: Tensor, flow: Tensor) -> Tensor:
    """Sample ``img`` at (x + flow_x, y + flow_y): bilinear, border padding, align_corners=True.

    Args:
        img: (N, C, H, W).
        flow: (N, 2, H, W), optical flow in pixels, x before y.

    Returns:
        (N, C, H, W) in the dtype of ``flow``: positions in half precision are off by up to half a pixel at
        1080p, so under autocast the flow, the grid and the sampling all stay in float32.
    """
    _, _, height, width = flow.shape
    x = torch.arange(width, device=flow.device, dtype=flow.dtype).view(1, 1, width)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype).view(1, height, 1)
    # align_corners=True maps -1 and 1 to the centres of the first and the last pixel.
    grid_x = (x + flow[:, 0]) * (2.0 / max(width - 1, 1)) - 1.0  # (N, H, W)
    grid_y = (y + flow[:, 1]) * (2.0 / max(height - 1, 1)) - 1.0  # (N, H, W)
    grid = torch.stack((grid_x, grid_y), dim=-1)  # (N, H, W, 2)
    return F.grid_sample(img.to(flow.dtype), grid, mode="bilinear", padding_mode="border", align_corners=True)


def resize(x: Tensor, factor: float) -> Tensor:
    """Bilinear resize by ``factor`` with align_corners=False. (N, C, H, W) -> (N, C, H * factor, W * factor).

    Sides times ``factor`` are whole numbers. Powers of two are given as factors, which dynamic graphs keep as such;
    others as sizes, since a factor of 0.7 rounds 1007.9999 down.
    """
    ratio = Fraction(factor).limit_denominator(64)
    if ratio.numerator.bit_count() == ratio.denominator.bit_count() == 1:
        return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    size = [side * ratio.numerator // ratio.denominator for side in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
