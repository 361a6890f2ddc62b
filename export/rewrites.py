"""Exact rewrites of the deploy graph: the same function, in a form that a target runs faster.

Each is a function that replaces submodules of a :class:`export.graph.DeployGraph` in place, with its algebra in the
docstring and a test of exactness against the form it replaces. Targets list the names of those they want.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.graph import BatchedPair, DeployGraph, FlowDecoder, Pair, replace_modules
from export.lookup_warp import joined_padding, lookup_warp
from export.padded_inputs import padded_inputs
from export.row_warp import row_warp
from export.subpixel_2x2 import subpixel_2x2
from ifrnet.model import IFRNet, ResBlock
from ifrnet.variants import FLOW_CHANNELS, LEVELS
from runtimes.contract import Precision


class _SplitResBlock(nn.Module):
    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        self.side = block.side
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.conv3, self.conv4 = block.conv3, block.conv4
        self.conv5, self.prelu = block.conv5, block.prelu

    def forward(self, x: Tensor) -> Tensor:
        out = self._refine(self.conv1(x), self.conv2)
        out = self._refine(self.conv3(out), self.conv4)
        return self.prelu(x + self.conv5(out))

    def _refine(self, x: Tensor, convolution: nn.Module) -> Tensor:
        keep = x.shape[1] - self.side
        return torch.cat((x[:, :keep], convolution(x[:, keep:])), dim=1)


def split_resblock(graph: DeployGraph) -> None:
    """ResBlock: ``out[:, -side:] = conv(out[:, -side:])`` becomes ``cat(out[:, :-side], conv(out[:, -side:]))``.

    The same values; the slice assignment would be traced to a ScatterND.
    """
    replace_modules(graph, ResBlock, lambda block: _SplitResBlock(block))  # type: ignore[arg-type]


def batch_pair(graph: DeployGraph) -> None:
    """Both frames travel as one batch of two through the encoder and the warps.

    A convolution treats the samples of a batch alike, and (1, 4, H, W) flow is (2, 2, H, W) in memory, so both
    reshapes are free. Not for ncnn, which has no batch.
    """
    graph.pair = BatchedPair(graph.pair.encoder)


class _SubpixelConv(nn.Module):
    def __init__(self, deconv: nn.ConvTranspose2d) -> None:
        super().__init__()
        inputs, outputs = deconv.weight.shape[:2]
        # weight[:, :, k] of the transposed convolution reaches even outputs with k = 1 (x[i]) and 3 (x[i - 1]),
        # odd ones with k = 2 (x[i]) and 0 (x[i + 1]); the taps of the 3x3 kernel are x[i - 1], x[i], x[i + 1].
        taps = ((3, 1, None), (None, 2, 0))
        weight = deconv.weight.new_zeros(outputs, 2, 2, inputs, 3, 3)
        for row in range(2):
            for column in range(2):
                for i, k in enumerate(taps[row]):
                    for j, m in enumerate(taps[column]):
                        if k is not None and m is not None:
                            weight[:, row, column, :, i, j] = deconv.weight.detach()[:, :, k, m].T
        assert deconv.bias is not None
        self.conv = nn.Conv2d(inputs, 4 * outputs, 3, 1, 1, device=weight.device, dtype=weight.dtype)
        self.conv.weight = nn.Parameter(weight.reshape(4 * outputs, inputs, 3, 3))
        self.conv.bias = nn.Parameter(deconv.bias.detach().repeat_interleave(4))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x), 2)  # (1, 4 C, H, W) -> (1, C, 2 H, 2 W)


def _warp_by_offsets(img: Tensor, flow: Tensor) -> Tensor:
    height, width = flow.shape[2:]
    steps = (2.0 / max(width - 1, 1), 2.0 / max(height - 1, 1))
    scale = torch.tensor(steps, device=flow.device, dtype=flow.dtype).view(1, 2, 1, 1)
    x = torch.arange(width, device=flow.device, dtype=flow.dtype).view(1, 1, 1, width) * scale[:, :1] - 1.0
    y = torch.arange(height, device=flow.device, dtype=flow.dtype).view(1, 1, height, 1) * scale[:, 1:] - 1.0
    along = torch.cat((x, torch.zeros_like(x)), dim=1)  # (1, 2, 1, W)
    down = torch.cat((torch.zeros_like(y), y), dim=1)  # (1, 2, H, 1)
    if isinstance(width, int):  # not with free sizes
        scale = scale.expand(1, 2, 1, width)
    grid = (flow * scale + along + down).permute(0, 2, 3, 1)  # (N, H, W, 2)
    return F.grid_sample(img, grid, mode="bilinear", padding_mode="border", align_corners=True)


def offset_grid(graph: DeployGraph) -> None:
    """Sampling positions as ``flow * s + (x * s - 1)`` instead of ``(x + flow) * s - 1``, with s = 2 / (width - 1).

    The bracket is a constant row for x and a constant column for y, each with zeros for the other, so that both are
    computed at once. OpenVINO turns the other form into two of this one by itself, and its new layers, as well as those
    that join x and y, forget that they were to stay in float32. So does a product with one constant for each channel
    beside int8 layers, which it takes for a dequantisation: s is written out for each column. ncnn packs a plane
    of x alone by rows, which is slow, and takes this grid as it is. After :func:`batch_pair`.
    """
    graph.pair.sample = _warp_by_offsets


def subpixel_deconv(graph: DeployGraph) -> None:
    """ConvTranspose 4x4, stride 2, padding 1 becomes Conv 3x3 to 4 C channels and depth-to-space.

    Per axis, with W the kernel: out[2i] = W1 x[i] + W3 x[i-1], out[2i+1] = W2 x[i] + W0 x[i+1]. So each of the four
    output phases is a 3x3 convolution of the input (with 5 of 9 taps zero): 2.25 times the multiplications, exact.
    """
    replace_modules(graph, nn.ConvTranspose2d, lambda deconv: _SubpixelConv(deconv))  # type: ignore[arg-type]


class _FlowApart(nn.Module):
    def __init__(self, decoder: FlowDecoder, *, whole_head: bool) -> None:
        super().__init__()
        entry, head = decoder.convblock.get_submodule("0.0"), decoder.convblock.get_submodule("2")
        assert isinstance(entry, nn.Conv2d)
        assert isinstance(head, nn.ConvTranspose2d)
        side = entry.in_channels - entry.out_channels
        self.features = _channels_of(entry, slice(0, -side), bias=True)
        self.side = _channels_of(entry, slice(-side, None), bias=False)
        self.prelu, self.block = decoder.convblock.get_submodule("0.1"), decoder.convblock.get_submodule("1")
        outputs = head.out_channels if whole_head else FLOW_CHANNELS
        self.flow = _outputs_of(head, slice(0, outputs))
        self.rest = None if whole_head else _outputs_of(head, slice(outputs, None))
        self.join = decoder.join

    def forward(self, features: Pair, side: Tensor) -> tuple[Tensor, Tensor]:
        x = self.block(self.prelu(self.features(self.join(features)) + self.side(side)))
        flow = self.flow(x)
        if self.rest is None:
            return flow[:, :FLOW_CHANNELS], flow[:, FLOW_CHANNELS:]
        return flow, self.rest(x)


def _channels_of(conv: nn.Conv2d, inputs: slice, *, bias: bool) -> nn.Conv2d:
    """The part of a convolution that acts on some input channels."""
    weight = conv.weight.detach()[:, inputs].clone()
    part = nn.Conv2d(weight.shape[1], weight.shape[0], conv.kernel_size, conv.stride, conv.padding, bias=bias)  # type: ignore[arg-type]
    part.weight = nn.Parameter(weight)
    part.bias = conv.bias if bias else None
    return part


def _outputs_of(deconv: nn.ConvTranspose2d, outputs: slice) -> nn.ConvTranspose2d:
    """The part of a transposed convolution that gives some output channels."""
    assert deconv.bias is not None
    weight = deconv.weight.detach()[:, outputs].clone()
    part = nn.ConvTranspose2d(weight.shape[0], weight.shape[1], 4, 2, 1)
    part.weight, part.bias = nn.Parameter(weight), nn.Parameter(deconv.bias.detach()[outputs].clone())
    return part


def flow_apart(graph: DeployGraph) -> None:
    """Flow and t enter a decoder, and flow leaves it, through convolutions of their own.

    conv(cat(f, v)) = conv_f(f) + conv_v(v), and each output channel of a transposed convolution is its own sum. So
    features can be int8 at a scale of their own while flow, in pixels, stays float32 for frames of any size. Decoder 1
    gives flow, mask and residual from one head, which stays whole. Before :func:`subpixel_deconv`.
    """
    for level in range(1, LEVELS + 1):
        graph.decoders[level - 1] = _FlowApart(graph.decoders[level - 1], whole_head=level == 1)  # type: ignore[arg-type]


def heads_apart(graph: DeployGraph) -> None:
    """:func:`flow_apart`, and decoder 1's flow apart from mask and residual as well.

    Where every tensor has one step, as integers on Qualcomm's NPU have, residuals of 0.2 beside flows of 100 px would
    be rounded to an 8-bit level. Instead of :func:`flow_apart`.
    """
    for level in range(1, LEVELS + 1):
        graph.decoders[level - 1] = _FlowApart(graph.decoders[level - 1], whole_head=False)  # type: ignore[arg-type]


def subpixel_rest(graph: DeployGraph) -> None:
    """:func:`subpixel_deconv` for the heads that give features only, which int8 wants as convolutions.

    Those that give flow stay transposed convolutions, which are less work in float. After :func:`flow_apart`.

    Raises:
        ValueError: no head gives features only.
    """
    rests = [decoder for decoder in graph.decoders if isinstance(getattr(decoder, "rest", None), nn.ConvTranspose2d)]
    if not rests:
        raise ValueError("subpixel_rest comes after flow_apart")
    for decoder in rests:
        decoder.rest = _SubpixelConv(decoder.rest)  # type: ignore[arg-type]


class _ReluPReLU(nn.Module):
    def __init__(self, prelu: nn.PReLU) -> None:
        super().__init__()
        self.slope = nn.Parameter(prelu.weight.detach().reshape(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) + self.slope * torch.clamp(x, max=0.0)


def relu_prelu(graph: DeployGraph) -> None:
    """PReLU becomes ``relu(x) + a * min(x, 0)``: exact for any slope, since one of the terms is zero."""
    replace_modules(graph, nn.PReLU, lambda prelu: _ReluPReLU(prelu))  # type: ignore[arg-type]


class _MaxPReLU(_ReluPReLU):
    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, self.slope * x)


def max_prelu(graph: DeployGraph) -> None:
    """PReLU becomes ``max(x, a x)``, exact for slopes up to 1; others as in :func:`relu_prelu`.

    ONNX Runtime's PRelu decides value by value (17 ms of one core for 4.1 million values, 1.6 ms in this form, 1.31).
    """

    def make(prelu: nn.Module) -> nn.Module:
        assert isinstance(prelu, nn.PReLU)
        return _MaxPReLU(prelu) if float(prelu.weight.max()) <= 1.0 else _ReluPReLU(prelu)

    replace_modules(graph, nn.PReLU, make)


def _channel_sum(x: Tensor) -> Tensor:
    """Sum of the six channel means, (1, 6, H, W) -> (1, 1, 1, 1), as GlobalAveragePool and five additions."""
    means = torch.onnx.ops.symbolic("GlobalAveragePool", (x,), dtype=x.dtype, shape=(1, 6, 1, 1), version=18)
    return sum((means[:, channel : channel + 1] for channel in range(1, 6)), means[:, 0:1])


class _RowMean(nn.Module):
    def forward(self, img0: Tensor, img1: Tensor) -> Tensor:
        rows = torch.cat((img0, img1), dim=1).mean(dim=3, keepdim=True)  # (1, 6, H, 1)
        return _channel_sum(torch.relu(rows)) * (1.0 / 6.0)


def row_mean(graph: DeployGraph) -> None:
    """The mean as means of rows, then of the rows, then of the channels; any size.

    ONNX Runtime's and OpenVINO's CPU kernels add one value after the other in float32, which is 3e-5 off over a 640x352
    frame and costs up to 1e-3 in the output. Simplifiers merge means that follow each other, so a ReLU stands between
    them: it changes nothing, since the values are in [0, 1].
    """
    graph.mean = _RowMean()


class _SteppedMean(nn.Module):
    def forward(self, img0: Tensor, img1: Tensor) -> Tensor:
        x = torch.cat((img0, img1), dim=1)  # (1, 6, H, W)
        x = torch.relu(x.mean(dim=3, keepdim=True))  # (1, 6, H, 1)
        x = torch.relu(x.mean(dim=2, keepdim=True))  # (1, 6, 1, 1)
        return x.mean(dim=1, keepdim=True)  # (1, 1, 1, 1)


def stepped_mean(graph: DeployGraph) -> None:
    """:func:`row_mean` in plain PyTorch, for targets that start from ``torch.export``; any size.

    Rows, then columns, then channels, one axis at a time, so that no float32 sum is longer than a side of the frame.
    The ReLUs keep compilers from joining the steps again.
    """
    graph.mean = _SteppedMean()


def pooling_window(side: int) -> tuple[int, int]:
    """Window and symmetric padding that tile ``side`` pixels: ``side + 2 * padding`` is a multiple of the window.

    The window is from 24 to 64 (or the whole side), and the one with the least padding. Up to 48 would leave 49, 14183
    and 14185 without any.
    """
    if side <= 48:
        return side, 0
    padding, window = min((-side % window, window) for window in range(24, 65) if -side % window % 2 == 0)
    return window, padding // 2


class _PooledMean(nn.Module):
    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        windows, paddings = zip(*map(pooling_window, size), strict=True)
        self.window, self.padding = tuple(windows), tuple(paddings)
        padded = [side + 2 * padding for side, padding in zip(size, paddings, strict=True)]
        self.factor = padded[0] * padded[1] / (6 * size[0] * size[1])

    def forward(self, img0: Tensor, img1: Tensor) -> Tensor:
        x = torch.cat((img0, img1), dim=1)  # (1, 6, H, W)
        x = F.avg_pool2d(x, self.window, padding=self.padding)  # (1, 6, about H/32, about W/32)
        return _channel_sum(x) * self.factor


def pooled_mean(graph: DeployGraph) -> None:
    """The mean as averages of small windows, then of the windows, then of the channels: for ncnn, static sizes.

    Zeros beyond the frame add nothing to a sum, so scaling by padded area over real area gives the exact mean. The
    padding is symmetric, since pnnx has no other. ncnn adds one after the other in float32: 2e-5 off over the pixels of
    a 720p frame in one go, 1e-7 in two. Its Reduction overflows in half precision on Vulkan, and pnnx turns ReduceMean
    over channels alone into something else; global pooling is right in both (ncnn 1.0.20261020, pnnx 20261020).

    Raises:
        ValueError: the graph is dynamic.
    """
    if graph.size is None:
        raise ValueError("pooled_mean needs a static size")
    graph.mean = _PooledMean(graph.size)


REWRITES = MappingProxyType(
    {
        "split_resblock": split_resblock,
        "batch_pair": batch_pair,
        "row_warp": row_warp,
        "offset_grid": offset_grid,
        "lookup_warp": lookup_warp,
        "joined_padding": joined_padding,
        "flow_apart": flow_apart,
        "heads_apart": heads_apart,
        "subpixel_rest": subpixel_rest,
        "subpixel_deconv": subpixel_deconv,
        "subpixel_2x2": subpixel_2x2,
        "relu_prelu": relu_prelu,
        "max_prelu": max_prelu,
        "padded_inputs": padded_inputs,
        "pooled_mean": pooled_mean,
        "row_mean": row_mean,
        "stepped_mean": stepped_mean,
    }
)
"""Name -> rewrite. Order matters only where a docstring says so."""


def build_graph(
    model: IFRNet,
    rewrites: Sequence[str],
    *,
    precision: Precision = Precision.FP32,
    scale: float = 1.0,
    size: tuple[int, int] | None = None,
) -> DeployGraph:
    """The deploy graph of ``model`` with the named rewrites applied in the given order; see :class:`DeployGraph`."""
    graph = DeployGraph(model, precision=precision, scale=scale, size=size)
    for name in rewrites:
        REWRITES[name](graph)
    return graph.eval().requires_grad_(False)
