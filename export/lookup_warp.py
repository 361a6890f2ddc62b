"""Exact rewrites for runtimes that have no grid sampler: warps by looking up rows, padding by joining copies.

They are in plain ATen, for targets that start from ``torch.export``, and for static sizes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from export.graph import DeployGraph

FLOAT_ROWS = 2**24
"""Rows that float32 can count. Beyond, their numbers are computed in integers, which delegates take less often."""


def lookup_warp(graph: DeployGraph) -> None:
    """A warp as four look-ups in a table with one row for each pixel, and three blends; see :func:`warp_by_lookups`.

    ``F.embedding`` is the look-up, since ``index_select`` becomes a gather with checks of bounds in LiteRT. After
    :func:`export.rewrites.batch_pair`, where that is used; instead of :func:`export.rewrites.offset_grid`.
    """
    graph.pair.sample = warp_by_lookups


def warp_by_lookups(img: Tensor, flow: Tensor) -> Tensor:
    """What :func:`ifrnet.warp.warp` computes, without a grid sampler.

    Clamping a position to the frame is border padding. The upper left pixel of its cell is at most the last but one of
    a row and of a column, so that the other three always exist; on the last ones the weight of the next pixel is 1.

    Args:
        img: (N, C, H, W) float32 (or float64).
        flow: (N, 2, H, W) in pixels, x before y.

    Returns:
        (N, C, H, W).
    """
    count, channels, height, width = img.shape
    x = torch.arange(width, device=flow.device, dtype=flow.dtype).view(1, 1, width)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype).view(1, height, 1)
    x, y = (flow[:, 0] + x).clamp(0.0, width - 1.0), (flow[:, 1] + y).clamp(0.0, height - 1.0)  # (N, H, W)
    left = x.floor().clamp(max=max(width - 2.0, 0.0))
    top = y.floor().clamp(max=max(height - 2.0, 0.0))
    row = _row_numbers(left, top).reshape(-1)
    table = img.permute(0, 2, 3, 1).reshape(count * height * width, channels)
    right, down = min(1, width - 1), width if height > 1 else 0
    dx, dy = (x - left).reshape(-1, 1), (y - top).reshape(-1, 1)
    upper = F.embedding(row, table) * (1.0 - dx) + F.embedding(row + right, table) * dx
    lower = F.embedding(row + down, table) * (1.0 - dx) + F.embedding(row + (down + right), table) * dx
    rows = upper * (1.0 - dy) + lower * dy  # (N * H * W, C)
    return rows.reshape(count, height, width, channels).permute(0, 3, 1, 2)


def _row_numbers(x: Tensor, y: Tensor) -> Tensor:
    """Whole numbers (N, H, W) as the int32 number of a row in a table of all pixels of all N images."""
    count, height, width = x.shape
    if count * height * width > FLOAT_ROWS:
        x, y = x.to(torch.int32), y.to(torch.int32)
    row = y * width + x
    if count > 1:
        row = row + torch.arange(count, device=x.device, dtype=x.dtype).view(count, 1, 1) * (height * width)
    return row.to(torch.int32)


def joined_padding(graph: DeployGraph) -> None:
    """Replicate padding as copies of the last column and of the last row, joined to the frame.

    ``F.pad(mode="replicate")`` becomes gathers by coordinates in LiteRT, one for each axis.
    """
    graph.replicate = pad_by_joining


def pad_by_joining(img: Tensor, right: int, bottom: int) -> Tensor:
    """``img`` (N, C, H, W) with its last column ``right`` times more and then its last row ``bottom`` times more."""
    if right:
        img = torch.cat((img, img[:, :, :, -1:].expand(-1, -1, -1, right)), dim=3)
    if bottom:
        img = torch.cat((img, img[:, :, -1:].expand(-1, -1, bottom, -1)), dim=2)
    return img
