"""IFRNet as published: Kong et al., "IFRNet: Intermediate Feature Refine Network for Efficient Frame
Interpolation", CVPR 2022 (arXiv 2205.14620).

This is the reference that every artifact is compared with, so it follows the paper and the official checkpoints
and is not rewritten for speed; the forms that targets run live in ``export.graph``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ifrnet.errors import SizeError
from ifrnet.variants import FLOW_CHANNELS, LEVELS, CheckpointInfo, Variant, size_multiple
from ifrnet.warp import resize, warp
from runtimes.contract import Timesteps
from runtimes.errors import TimestepError


def convrelu(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution with bias, then PReLU with one slope per channel."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2),
        nn.PReLU(outputs),
    )


class ResBlock(nn.Module):
    """Residual block with convolutions of their own for its last ``side`` channels (paper, figure 3)."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.conv1 = convrelu(width, width)
        self.conv2 = convrelu(side, side)
        self.conv3 = convrelu(width, width)
        self.conv4 = convrelu(side, side)
        self.conv5 = nn.Conv2d(width, width, 3, 1, 1)
        self.prelu = nn.PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) -> (N, width, H, W)."""
        out = self.conv1(x)
        out[:, -self.side :] = self.conv2(out[:, -self.side :].clone())
        out = self.conv3(out)
        out[:, -self.side :] = self.conv4(out[:, -self.side :].clone())
        return self.prelu(x + self.conv5(out))


class Encoder(nn.Module):
    """Feature pyramid of one frame (paper, section 3.2)."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        inputs, kernel = 3, variant.first_kernel
        for level, width in enumerate(variant.widths, start=1):
            block = nn.Sequential(convrelu(inputs, width, kernel, stride=2), convrelu(width, width))
            self.add_module(f"pyramid{level}", block)
            inputs, kernel = width, 3

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, 3, H, W) -> features of c1..c4 channels at 1/2, 1/4, 1/8, 1/16."""
        features = []
        for level in range(1, LEVELS + 1):
            img = self.get_submodule(f"pyramid{level}")(img)
            features.append(img)
        f1, f2, f3, f4 = features
        return f1, f2, f3, f4


class Decoder(nn.Module):
    """One coarse-to-fine decoder; doubles the resolution of its input (paper, section 3.3)."""

    def __init__(self, variant: Variant, level: int) -> None:
        super().__init__()
        width = variant.decoder_width(level)
        self.convblock = nn.Sequential(
            convrelu(variant.decoder_inputs(level), width),
            ResBlock(width, variant.side),
            nn.ConvTranspose2d(width, variant.decoder_outputs(level), 4, 2, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, 2 H, 2 W)."""
        return self.convblock(x)


class Estimate(NamedTuple):
    """What the decoders compute for one pair, before synthesis.

    ``flows0[k - 1]`` and ``flows1[k - 1]`` are the flows (N, 2, H / 2^(k-1), W / 2^(k-1)) that decoder k gives,
    in pixels of that resolution, from the middle frame to frame 0 and to frame 1. ``features[k - 1]`` is the
    intermediate feature ft_k, k = 1..3, (N, ck, H / 2^k, W / 2^k). ``mask`` (N, 1, H, W) is in (0, 1);
    ``residual`` is (N, 3, H, W).
    """

    flows0: tuple[Tensor, Tensor, Tensor, Tensor]
    flows1: tuple[Tensor, Tensor, Tensor, Tensor]
    features: tuple[Tensor, Tensor, Tensor]
    mask: Tensor
    residual: Tensor


def pair_mean(img0: Tensor, img1: Tensor) -> Tensor:
    """One scalar per sample over all pixels and channels of both frames. (N, 3, H, W) twice -> (N, 1, 1, 1)."""
    return torch.cat((img0, img1), dim=1).mean(dim=(1, 2, 3), keepdim=True)


class IFRNet(nn.Module):
    """The network in one of its variants.

    State-dict keys are those of the official checkpoints. Flow arithmetic and warps run in the dtype of the
    frames, also under autocast.

    Attributes:
        variant: the sizes.
        info: the checkpoint behind the weights; None for a network in training, whose t is not restricted.
    """

    def __init__(self, variant: Variant, info: CheckpointInfo | None = None) -> None:
        super().__init__()
        self.variant = variant
        self.info = info
        self.encoder = Encoder(variant)
        for level in range(LEVELS, 0, -1):
            self.add_module(f"decoder{level}", Decoder(variant, level))

    def decode(self, level: int, *inputs: Tensor) -> Tensor:
        """Run decoder ``level`` on the concatenation of ``inputs`` along the channels."""
        return self.get_submodule(f"decoder{level}")(torch.cat(inputs, dim=1))

    def estimate(self, img0: Tensor, img1: Tensor, t: Tensor) -> Estimate:
        """Flows, intermediate features, mask and residual of a mean-free pair (paper, equations 1 to 3).

        Args:
            img0, img1: (N, 3, H, W) with the mean subtracted, H and W multiples of 16.
            t: (N, 1, 1, 1).
        """
        flows0, flows1, features, out = self._decoded(img0, img1, t, finest=1)
        return Estimate(
            flows0=tuple(reversed(flows0)),  # type: ignore[arg-type]
            flows1=tuple(reversed(flows1)),  # type: ignore[arg-type]
            features=tuple(reversed(features)),  # type: ignore[arg-type]
            mask=torch.sigmoid(out[:, 4:5].to(img0.dtype)),
            residual=out[:, 5:8].to(img0.dtype),
        )

    def coarse_flows(self, img0: Tensor, img1: Tensor, t: Tensor, finest: int) -> tuple[list[Tensor], list[Tensor]]:
        """Flows of the decoders down to level ``finest``, without what the finer ones would cost.

        Args:
            img0, img1, t: as in :meth:`estimate`.
            finest: level of the last decoder to run, 1 to 4.

        Returns:
            flows to frame 0 and to frame 1, level ``finest`` first: (N, 2, H / 2^(k-1), W / 2^(k-1)) of decoder k, in
            pixels of that resolution.
        """
        flows0, flows1, _, _ = self._decoded(img0, img1, t, finest)
        return flows0[::-1], flows1[::-1]

    def _decoded(
        self, img0: Tensor, img1: Tensor, t: Tensor, finest: int
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
        """Flows to frame 0 and 1 and features of the decoders 4 to ``finest``, and the last one's output."""
        pyramid0, pyramid1 = self.encoder(img0), self.encoder(img1)
        coarse0, coarse1 = pyramid0[-1], pyramid1[-1]
        plane = t.to(coarse0.dtype).expand(-1, 1, *coarse0.shape[2:])  # (N, 1, H/16, W/16)
        out = self.decode(LEVELS, coarse0, coarse1, plane)  # (N, 4 + c3, H/8, W/8)
        flow0, flow1 = out[:, 0:2].to(img0.dtype), out[:, 2:4].to(img0.dtype)
        flows0, flows1, features = [flow0], [flow1], []
        for level in range(LEVELS - 1, finest - 1, -1):
            feature = out[:, FLOW_CHANNELS:]  # (N, ck, H/2^k, W/2^k)
            features.append(feature)
            warped0 = warp(pyramid0[level - 1], flow0)
            warped1 = warp(pyramid1[level - 1], flow1)
            out = self.decode(level, feature, warped0, warped1, flow0, flow1)
            flow0 = out[:, 0:2].to(img0.dtype) + 2.0 * resize(flow0, 2.0)
            flow1 = out[:, 2:4].to(img0.dtype) + 2.0 * resize(flow1, 2.0)
            flows0.append(flow0)
            flows1.append(flow1)
        return flows0, flows1, features, out

    def synthesize(self, img0: Tensor, img1: Tensor, mean: Tensor, t: Tensor, scale: float = 1.0) -> Tensor:
        """Estimate at ``scale`` and blend at full resolution (paper, equation 4).

        Args:
            img0, img1: (N, 3, H, W) with ``mean`` subtracted; H and W multiples of ``size_multiple(scale)``.
            mean: (N, 1, 1, 1), added back at the end.
            t: (N, 1, 1, 1).

        Returns:
            (N, 3, H, W), clamped to [0, 1].
        """
        if scale == 1.0:
            estimate = self.estimate(img0, img1, t)
            flow0, flow1 = estimate.flows0[0], estimate.flows1[0]
            mask, residual = estimate.mask, estimate.residual
        else:
            estimate = self.estimate(resize(img0, scale), resize(img1, scale), t)
            up = 1.0 / scale
            flow0, flow1 = up * resize(estimate.flows0[0], up), up * resize(estimate.flows1[0], up)
            mask, residual = resize(estimate.mask, up), resize(estimate.residual, up)
        blend = mask * warp(img0, flow0) + (1.0 - mask) * warp(img1, flow1)
        return (blend + mean + residual).clamp(0.0, 1.0)

    def forward(self, img0: Tensor, img1: Tensor, t: Tensor, scale: float = 1.0) -> Tensor:
        """The frame at time ``t`` between ``img0`` and ``img1``, as published.

        Args:
            img0, img1: (N, 3, H, W), RGB in [0, 1]; H and W multiples of ``size_multiple(scale)``. For any other
                size use :func:`interpolate`, which pads without disturbing the mean.
            t: (N, 1, 1, 1) in (0, 1).
            scale: the network runs on frames resized by this; below 1 for frames with very large motion.

        Returns:
            (N, 3, H, W), clamped to [0, 1].

        Raises:
            SizeError: shapes that do not fit.
        """
        _check_pair(img0, img1, t)
        multiple, (height, width) = size_multiple(scale), img0.shape[2:]
        if height % multiple or width % multiple:
            raise SizeError(
                f"frames are {width}x{height}; at scale {scale} forward takes multiples of {multiple}: "
                "use ifrnet.interpolate(), which pads and crops"
            )
        mean = pair_mean(img0, img1)
        return self.synthesize(img0 - mean, img1 - mean, mean, t, scale)


def interpolate(model: IFRNet, img0: Tensor, img1: Tensor, t: Tensor, scale: float = 1.0) -> Tensor:
    """The reference for frames of any size: what every artifact must compute.

    The mean is that of the real pixels; then the frames are padded on the right and at the bottom by replication
    to multiples of ``size_multiple(scale)``, and the result is cropped.

    Args:
        model: the network.
        img0, img1: (N, 3, H, W), RGB in [0, 1].
        t: (N, 1, 1, 1) in (0, 1).
        scale: see :meth:`IFRNet.forward`.

    Returns:
        (N, 3, H, W), clamped to [0, 1].

    Raises:
        SizeError: shapes that do not fit.
        TimestepError: a t outside (0, 1), or other than 0.5 for a checkpoint that serves the middle only.
    """
    _check_pair(img0, img1, t)
    _check_timesteps(model.info, t)
    multiple, (height, width) = size_multiple(scale), img0.shape[2:]
    mean = pair_mean(img0, img1)
    pad = (0, -width % multiple, 0, -height % multiple)
    img0, img1 = (F.pad(img - mean, pad, mode="replicate") for img in (img0, img1))
    return model.synthesize(img0, img1, mean, t, scale)[:, :, :height, :width]


def _check_pair(img0: Tensor, img1: Tensor, t: Tensor) -> None:
    """Check the shapes of a pair and of its time steps. Raises SizeError."""
    if img0.ndim != 4 or img0.shape[1] != 3 or img0.shape != img1.shape:
        raise SizeError(
            f"frames are {tuple(img0.shape)} and {tuple(img1.shape)}; expected two of the same shape (N, 3, H, W)"
        )
    if t.shape != (img0.shape[0], 1, 1, 1):
        raise SizeError(f"t is {tuple(t.shape)}; expected ({img0.shape[0]}, 1, 1, 1), one time step for each sample")


def _check_timesteps(info: CheckpointInfo | None, t: Tensor) -> None:
    """Refuse times whose frame the checkpoint cannot give. Raises TimestepError."""
    if not bool(((t > 0.0) & (t < 1.0)).all()):
        raise TimestepError(f"t is {t.flatten().tolist()}; expected times between the frames, 0 < t < 1")
    if info is not None and info.timesteps is Timesteps.MIDDLE and not bool((t == 0.5).all()):
        raise TimestepError(
            f"t is {t.flatten().tolist()}, but checkpoint {info.name!r} serves t = 0.5 only: it was trained on middle "
            "frames and does not give the frame of another time; halve recursively (1/2, then 1/4 and 3/4 from the "
            "results) or load a checkpoint for any t, such as IFRNet's GoPro ones"
        )
