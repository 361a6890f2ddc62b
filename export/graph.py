"""The network as deployed: what is traced, with everything inside that a wrapper could get wrong.

``DeployGraph`` takes a pair at the frame's true size and contains the mean of the real pixels, replicate padding, the
network, and the crop. It computes what :func:`ifrnet.interpolate` computes. Targets change its form with the exact
rewrites of :mod:`export.rewrites`, which replace its submodules one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrnet.model import Encoder, IFRNet, pair_mean
from ifrnet.variants import FLOW_CHANNELS, LEVELS, size_multiple
from ifrnet.warp import resize, warp
from runtimes.contract import Precision

Pair = tuple[Tensor, ...]
"""One tensor for each frame, or, in the batched form, one tensor that holds both along the batch."""


@dataclass(frozen=True, kw_only=True)
class PrecisionPolicy:
    """Which arithmetic runs where; the one place that says it.

    Convolutions with their activations run in ``convolutions``. The mean (a sum over millions of values), flow
    accumulation, sampling positions, warps, mask, residual and blending run in float32: half a unit in the last place
    of a half-precision grid is half a pixel at 1080p.
    """

    convolutions: torch.dtype

    @classmethod
    def of(cls, precision: Precision) -> PrecisionPolicy:
        """The policy of a precision; INT8 starts from the float32 graph and adds Q/DQ to it."""
        return cls(
            convolutions={Precision.FP16: torch.float16, Precision.BF16: torch.bfloat16}.get(precision, torch.float32)
        )


class PairMean(nn.Module):
    """Mean over all pixels and channels of both frames: (1, 3, H, W) twice -> (1, 1, 1, 1)."""

    def forward(self, img0: Tensor, img1: Tensor) -> Tensor:
        return pair_mean(img0, img1)


class SeparatePair(nn.Module):
    """Handles the two frames one after the other, as published."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.sample = warp

    def join(self, img0: Tensor, img1: Tensor) -> Pair:
        """Two frames (1, 3, H, W) as a pair."""
        return img0, img1

    def encode(self, pair: Pair) -> list[Pair]:
        """Features of both frames, finest level first."""
        return list(zip(*(self.encoder(img) for img in pair), strict=True))

    def warp(self, pair: Pair, flow: Tensor) -> Pair:
        """Warp both by ``flow`` (1, 4, H, W): x, y towards frame 0, then x, y towards frame 1."""
        return self.sample(pair[0], flow[:, 0:2]), self.sample(pair[1], flow[:, 2:4])

    def stack(self, pair: Pair) -> Tensor:
        """Both along the channels: (1, 2 C, H, W)."""
        return torch.cat(pair, dim=1)

    def split(self, pair: Pair) -> tuple[Tensor, Tensor]:
        """One tensor (1, C, H, W) for each frame."""
        return pair[0], pair[1]


class BatchedPair(SeparatePair):
    """Handles the two frames as a batch of two."""

    def join(self, img0: Tensor, img1: Tensor) -> Pair:
        return (torch.cat((img0, img1), dim=0),)  # (2, 3, H, W)

    def encode(self, pair: Pair) -> list[Pair]:
        return [(feature,) for feature in self.encoder(pair[0])]

    def warp(self, pair: Pair, flow: Tensor) -> Pair:
        height, width = flow.shape[2:]
        return (self.sample(pair[0], flow.reshape(2, 2, height, width)),)

    def stack(self, pair: Pair) -> Tensor:
        _, channels, height, width = pair[0].shape
        return pair[0].reshape(1, 2 * channels, height, width)

    def split(self, pair: Pair) -> tuple[Tensor, Tensor]:
        return pair[0][0:1], pair[0][1:2]


def along_channels(parts: Pair) -> Tensor:
    """(1, C, H, W) each -> (1, sum of C, H, W)."""
    return torch.cat(parts, dim=1)


class FlowDecoder(nn.Module):
    """A decoder that takes and gives flow apart from features."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.convblock = decoder.get_submodule("convblock")
        self.join = along_channels

    def forward(self, features: Pair, side: Tensor) -> tuple[Tensor, Tensor]:
        """Features (1, C, H, W) with flow (1, 4, H, W) or t (1, 1, H, W) -> flow (1, 4, 2H, 2W) and the rest."""
        out = self.convblock(self.join((*features, side)))
        return out[:, :FLOW_CHANNELS], out[:, FLOW_CHANNELS:]


class DeployGraph(nn.Module):
    """(img0, img1, t) -> imgt at the frame's true size, batch 1; see :mod:`runtimes.contract`.

    Args:
        model: the reference; its weights are copied.
        precision: which arithmetic the convolutions run in.
        scale: the network runs on frames resized by this.
        size: (height, width) when the graph is static; None computes the padding from the input's shape.
    """

    def __init__(
        self,
        model: IFRNet,
        *,
        precision: Precision = Precision.FP32,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval()
        self.policy = PrecisionPolicy.of(precision)
        self.scale = scale
        self.size = size
        self.mean: nn.Module = PairMean()
        self.replicate = replicate
        self.pair = SeparatePair(model.encoder)
        self.decoders = nn.ModuleList(FlowDecoder(model.get_submodule(f"decoder{k}")) for k in range(1, LEVELS + 1))
        self.to(self.policy.convolutions)

    def forward(self, img0: Tensor, img1: Tensor, t: Tensor) -> Tensor:
        """(1, 3, H, W) twice and (1, 1, 1, 1) -> (1, 3, H, W)."""
        height, width = self.size or img0.shape[2:]
        mean = self.mean(img0, img1)
        pair = self.pair.join(self.pad(img0 - mean), self.pad(img1 - mean))
        up = 1.0 / self.scale
        scaled = pair if up == 1.0 else tuple(resize(img, self.scale) for img in pair)
        flow, synthesis = self.estimate(scaled, t)
        mask, residual = torch.sigmoid(synthesis[:, 0:1]), synthesis[:, 1:4]
        if up != 1.0:
            flow = resize(flow, up) * up
            both = resize(torch.cat((mask, residual), dim=1), up)  # apart, LiteRT is at 13.6 dB
            mask, residual = both[:, 0:1], both[:, 1:4]
        warped0, warped1 = self.pair.split(self.pair.warp(pair, flow))
        blend = mask * warped0 + (1.0 - mask) * warped1
        return (blend + mean + residual).clamp(0.0, 1.0)[:, :, :height, :width]

    def estimate(self, pair: Pair, t: Tensor) -> tuple[Tensor, Tensor]:
        """Flow (1, 4, H, W) in pixels, and logit of the mask with residual (1, 1 + 3, H, W), both float32."""
        low = self.policy.convolutions
        pyramid = self.pair.encode(tuple(img.to(low) for img in pair))
        coarse = self.pair.stack(pyramid[-1])  # (1, 2 c4, H/16, W/16)
        plane = t.to(low).expand(1, 1, coarse.shape[2], coarse.shape[3])
        out, feature = self.decoders[LEVELS - 1]((coarse,), plane)  # (1, 4, H/8, W/8), (1, c3, H/8, W/8)
        flow = out.float()
        for level in range(LEVELS - 1, 0, -1):
            features = tuple(f.float() for f in pyramid[level - 1])
            warped = self.pair.stack(self.pair.warp(features, flow))  # (1, 2 ck, H/2^k, W/2^k)
            out, feature = self.decoders[level - 1]((feature, warped.to(low)), flow.to(low))
            flow = out.float() + 2.0 * resize(flow, 2.0)
        return flow, feature.float()

    def pad(self, img: Tensor) -> Tensor:
        """Replicate on the right and at the bottom to the multiple that the scale needs."""
        height, width = self.size or img.shape[2:]
        multiple = size_multiple(self.scale)
        # In this form TensorRT's shape inference sees that no side is negative; with a modulo it does not.
        right, bottom = ((side + multiple - 1) // multiple * multiple - side for side in (width, height))
        if self.size is not None and right == 0 and bottom == 0:
            return img
        return self.replicate(img, right, bottom)


def replace_modules(root: nn.Module, kind: type[nn.Module], make: Callable[[nn.Module], nn.Module]) -> None:
    """Replace every submodule of type ``kind`` (not its subclasses) by ``make(module)``."""
    for name, child in root.named_children():
        if type(child) is kind:
            setattr(root, name, make(child))
        else:
            replace_modules(child, kind, make)


def replicate(img: Tensor, right: int, bottom: int) -> Tensor:
    """``img`` (N, C, H, W) with its last column ``right`` times more and its last row ``bottom`` times more."""
    return F.pad(img, (0, right, 0, bottom), mode="replicate")
