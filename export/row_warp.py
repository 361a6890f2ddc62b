"""Exact rewrite for OpenVINO: warps of features as sums of rows, in the layout that its convolutions read and write.

Its GridSample takes and gives one plane after the other, and its convolutions one pixel after the other, so each warp
of features has four passes of reordering around it. Here a row is a pixel with all its channels, and a warp is what
OpenVINO knows as EmbeddingBagPackedSum: each output row is the weighted sum of four rows of a table
(:func:`export.openvino_layers.sum_rows` writes it so).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from export.graph import BatchedPair, DeployGraph, Pair

FRAME_CHANNELS = 3
"""The frames themselves stay with the grid sampler: for rows as short as theirs it is faster."""

RIGHT, DOWN = (0, 1, 0, 1), (0, 0, 1, 1)
"""How far the four pixels of a cell are from its upper left one."""


class RowPair(BatchedPair):
    """Warps features row by row; what it warps are two tensors then, of which each is one pixel after the other."""

    def warp(self, pair: Pair, flow: Tensor) -> Pair:
        count, channels, height, width = pair[0].shape
        if channels == FRAME_CHANNELS:
            return super().warp(pair, flow)
        table = pair[0].permute(0, 2, 3, 1).reshape(count * height * width, channels)  # (2 H W, C)
        return tuple(warp_rows(table, flow[:, 2 * i : 2 * i + 2], i * height * width) for i in range(2))

    def stack(self, pair: Pair) -> Tensor:
        return join_rows(pair) if len(pair) == 2 else super().stack(pair)


def join_rows(parts: Pair) -> Tensor:
    """(1, C, H, W) each -> (1, sum of C, H, W), joined where the channels are innermost."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=3).permute(0, 3, 1, 2)


def warp_rows(table: Tensor, flow: Tensor, first: int) -> Tensor:
    """What :func:`ifrnet.warp.warp` computes of one image.

    Clamping a position to the image is border padding. The upper left pixel of its cell is at most the last but one of
    a row and of a column, so that the other three always exist; on the last ones the weight of the next pixel is 1.

    Args:
        table: (rows, C), the pixels of one or more images.
        flow: (1, 2, H, W) in pixels, x before y; H and W at least 2.
        first: the row where the image begins.

    Returns:
        (1, C, H, W).
    """
    height, width = flow.shape[2:]
    x = flow[:, 0] + torch.arange(width, dtype=flow.dtype, device=flow.device)  # (1, H, W)
    y = flow[:, 1] + torch.arange(height, dtype=flow.dtype, device=flow.device).view(height, 1)
    x, y = x.clamp(0.0, width - 1.0), y.clamp(0.0, height - 1.0)
    left, top = x.floor().clamp(max=width - 2.0), y.floor().clamp(max=height - 2.0)
    row = top.to(torch.int32) * width + left.to(torch.int32) + first
    right, down = (torch.tensor([corners], dtype=torch.int32, device=flow.device) for corners in (RIGHT, DOWN))
    rows = row.reshape(-1, 1) + (down * width + right)  # (H W, 4)
    weights = _weights(_minus(x, left), RIGHT) * _weights(_minus(y, top), DOWN)
    summed = (F.embedding(rows, table) * weights.unsqueeze(2)).sum(dim=1)  # (H W, C)
    return summed.reshape(1, height, width, table.shape[1]).permute(0, 3, 1, 2)


def _minus(position: Tensor, whole: Tensor) -> Tensor:
    """The difference, (1, H, W). OpenVINO writes a subtraction as a product with one constant and a sum, takes that
    for a dequantisation where the network has int8, and forgets that it was to stay in float32 (2026.4); so the product
    is written here, with a constant for each column."""
    return position + whole * torch.full((position.shape[2],), -1.0, dtype=position.dtype, device=position.device)


def _weights(fraction: Tensor, corners: tuple[int, ...]) -> Tensor:
    """(1, H, W) -> (H W, 4): ``fraction`` for the corners at 1, and what it lacks to 1 for those at 0."""
    sign, rest = (
        torch.tensor([values], dtype=fraction.dtype, device=fraction.device)
        for values in ([2 * corner - 1 for corner in corners], [1 - corner for corner in corners])
    )
    return fraction.reshape(-1, 1) * sign + rest


def row_warp(graph: DeployGraph) -> None:
    """Features are warped by :func:`warp_rows`, and joined for the decoders one pixel after the other.

    For static sizes: OpenVINO's CPU plugin refuses EmbeddingBagPackedSum of unknown size ("to_shape was called on a
    dynamic shape", 2026.4), and in its three parts it is no faster than the grid sampler. After
    :func:`export.rewrites.batch_pair`; before :func:`export.rewrites.flow_apart`, which keeps how a decoder joins what
    it reads.
    """
    rows = RowPair(graph.pair.encoder)
    rows.sample = graph.pair.sample
    graph.pair = rows
    for decoder in graph.decoders:
        decoder.join = join_rows  # type: ignore[assignment]
