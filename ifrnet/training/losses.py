"""The published losses: reconstruction, feature geometry consistency, task-oriented flow distillation.

Source: Kong et al., IFRNet, CVPR 2022, section 3.4 and equations 5 to 11. All arithmetic is in the dtype of the inputs;
the caller passes float32, also under autocast.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

CHARBONNIER_EPSILON = 1e-6
"""Added to the squared difference."""

PSNR_FLOOR = 1e-4
"""Added to the mean squared error of a sample, so that crops far above 40 dB hardly count."""

CENSUS_SOFTNESS = 0.81
"""Squared scale at which a difference to the centre saturates."""

CENSUS_KNEE = 0.1
"""Squared distance of two maps at which a deviation counts half."""

RECONSTRUCTION_PATCH = 7
GEOMETRY_PATCH = 3

ROBUSTNESS = 0.3
"""How fast trust in a reference flow falls with the end-point error, per pixel (equation 9)."""


APART_FLOOR = 0.1
"""Pixels added to how far a motion is from the mean one: where all move alike, all count alike."""


def charbonnier(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + 1e-6). Any two shapes alike -> scalar."""
    return torch.sqrt((prediction - truth) ** 2 + CHARBONNIER_EPSILON).mean()


def census_distance(first: Tensor, second: Tensor, patch: int) -> Tensor:
    """Mean soft Hamming distance of the census of two sets of planes (equation 6).

    The census of a pixel is its differences d to the patch around it as d / sqrt(0.81 + d^2); the distance of two is
    the mean of e^2 / (0.1 + e^2) over their deviations e. The border, ``patch // 2`` wide, counts as zero but stays in
    the mean.

    Args:
        first: (N, 1, H, W).
        second: of the same shape.
        patch: odd side of the patch.
    """
    distance: Tensor = _CensusDistance.apply(first, second, patch)  # type: ignore[no-untyped-call]
    return distance


class _CensusDistance(Function):
    """One offset of the patch at a time, value and gradients together, so that everything stays in the cache.

    Built from tensors of patch^2 channels, the census took 30 % of a training step.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, patch: int) -> Tensor:
        height, width = first.shape[2] - patch + 1, first.shape[3] - patch + 1  # without the border
        planes, wanted = (first, second), ctx.needs_input_grad[:2]
        gradients = [torch.zeros_like(p) if want else None for p, want in zip(planes, wanted, strict=True)]

        def window(plane: Tensor, dy: int, dx: int) -> Tensor:
            return plane[:, :, dy : dy + height, dx : dx + width]

        centre = (patch // 2, patch // 2)
        total = first.new_zeros((first.shape[0], 1, height, width))
        softness = first.new_tensor(CENSUS_SOFTNESS)
        for offset in itertools.product(range(patch), repeat=2):
            if offset == centre:
                continue
            differences = [window(p, *offset) - window(p, *centre) for p in planes]
            scales = [torch.addcmul(softness, d, d).rsqrt_() for d in differences]
            deviation = differences[0].mul_(scales[0]).sub_(differences[1].mul_(scales[1]))
            squared = deviation * deviation
            knee = squared + CENSUS_KNEE
            total.add_(squared.div_(knee))
            if not any(wanted):
                continue
            slope = deviation.div_(knee.square_())  # times 2 * CENSUS_KNEE: the derivative by the deviation
            for gradient, scale, sign in zip(gradients, scales, (1.0, -1.0), strict=True):
                if gradient is not None:
                    by_difference = scale.pow_(3).mul_(slope)  # times CENSUS_SOFTNESS: the derivative by d
                    window(gradient, *offset).add_(by_difference, alpha=sign)
                    window(gradient, *centre).sub_(by_difference, alpha=sign)
        mean = 1.0 / (patch * patch * first.numel())
        ctx.factor = 2.0 * CENSUS_KNEE * CENSUS_SOFTNESS * mean
        ctx.save_for_backward(*gradients)
        return total.sum() * mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output: Tensor) -> tuple[Tensor | None, ...]:
        factor = ctx.factor * output
        return (*(None if g is None else g * factor for g in ctx.saved_tensors), None)


def reconstruction(prediction: Tensor, truth: Tensor) -> Tensor:
    """Charbonnier plus census over 7x7 patches of the channel mean (equation 5). (N, 3, H, W) twice -> scalar."""
    predicted, target = (image.mean(dim=1, keepdim=True) for image in (prediction, truth.detach()))
    return charbonnier(prediction, truth) + census_distance(predicted, target, RECONSTRUCTION_PATCH)


def negative_psnr(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean over the batch of 10 log10(mean squared error + 1e-4), in dB. (N, 3, H, W) twice -> scalar.

    Not in the paper. The published losses grow at most linearly with an error, so they prefer the median of what a
    pixel may be; PSNR prefers the mean.
    """
    squared = ((prediction - truth) ** 2).mean(dim=(1, 2, 3))  # (N,)
    return 10.0 * torch.log10(squared + PSNR_FLOOR).mean()


def geometry(features: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Feature space geometry consistency (equation 10): census over 3x3 patches of every channel, summed over levels.

    Args:
        features: the decoder's ft_k, (N, ck, H / 2^k, W / 2^k) for k = 1, 2, 3.
        truths: the encoder's features of the true frame, of the same shapes; gradients flow into them too.
    """
    total = features[0].new_zeros(())
    for feature, truth in zip(features, truths, strict=True):
        first, second = (x.flatten(0, 1).unsqueeze(1) for x in (feature, truth))  # (N ck, 1, H / 2^k, W / 2^k)
        total = total + census_distance(first, second, GEOMETRY_PATCH)
    return total


def end_point_error(flow: Tensor, reference: Tensor) -> Tensor:
    """(N, 2, H, W) twice -> (N, 1, H, W), in pixels."""
    return torch.sqrt(((flow - reference) ** 2).sum(dim=1, keepdim=True))


def adaptive_charbonnier(difference: Tensor, weight: Tensor) -> Tensor:
    """Mean of (d^2 + eps^2)^alpha with the shape set by ``weight`` in (0, 1] (equation 8).

    ``weight`` near 1 gives a penalty close to L1; near 0 the penalty is flat and the sample hardly counts.

    Args:
        difference: (N, 2, H, W).
        weight: (N, 1, H, W).
    """
    alpha = weight / 2.0
    epsilon = 10.0 ** (-(10.0 * weight - 1.0) / 3.0)
    return ((difference**2 + epsilon**2) ** alpha).mean()


def distillation(flows: Sequence[Tensor], reference: Tensor) -> Tensor:
    """Task-oriented flow distillation of one direction (equations 7 to 9).

    Args:
        flows: ``flows[k - 1]`` of decoder k, (N, 2, H / 2^(k-1), W / 2^(k-1)), in pixels of that resolution.
        reference: (N, 2, H, W) in pixels.
    """
    weight = torch.exp(-ROBUSTNESS * end_point_error(flows[0], reference)).detach()
    total = reference.new_zeros(())
    for level, flow in enumerate(flows[1:], start=2):
        factor = 2 ** (level - 1)
        up = F.interpolate(flow, scale_factor=factor, mode="bilinear", align_corners=False)  # (N, 2, H, W)
        total = total + adaptive_charbonnier(factor * up - reference, weight)
    return total


def by_motion(flow0: Tensor, flow1: Tensor, knee: float) -> Tensor:
    """What a pixel of flow error counts in each sample, from 1 at rest to ``knee`` / motion where it is fast.

    Counted alike, the errors of the fastest scenes are nearly all there is to learn: at 100 px they are a hundred times
    those at 10 px.

    Args:
        flow0, flow1: (N, 2, H, W) in pixels, from the true frame to frame 0 and to frame 1.
        knee: motion from frame 0 to frame 1, mean over the sample, that counts half; 0 for 1 everywhere.

    Returns:
        (N, 1, 1, 1).
    """
    motion = torch.linalg.vector_norm(flow1 - flow0, dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    return knee / (knee + motion) if knee else torch.ones_like(motion)


def standing_out(flow0: Tensor, flow1: Tensor) -> Tensor:
    """What a pixel counts in its sample: half is the same for all, half grows with how far its motion is from the mean.

    The gradient of an end-point error is as long for 1 px as for 100. With pixels counted alike, an object on a
    twentieth of a frame at rest gives a twentieth of the gradient, however far it moves.

    Args:
        flow0, flow1: (N, 2, H, W) in pixels, from the true frame to frame 0 and to frame 1.

    Returns:
        (N, 1, H, W), 1 on the mean of each sample.
    """
    motion = flow1 - flow0
    apart = torch.linalg.vector_norm(motion - motion.mean(dim=(2, 3), keepdim=True), dim=1, keepdim=True)
    apart = apart + APART_FLOOR
    return 0.5 + 0.5 * apart / apart.mean(dim=(2, 3), keepdim=True)


def multiscale_flow(flows: Sequence[Tensor], reference: Tensor, weight: Tensor, finest: int = 1) -> Tensor:
    """Mean end-point error at every level against an area-averaged reference, in full-resolution pixels.

    Not in the paper: the published distillation ignores a flow that is far off, which is right for pseudo-labels and
    slow at the start of a training. Synthetic motion knows its flow, so it can be asked for directly.

    Args:
        flows: as in :func:`distillation`, from level ``finest`` on.
        reference: (N, 2, H, W) in pixels.
        weight: (N, 1, H, W), what each pixel counts.
        finest: level of the first of ``flows``.
    """
    total = reference.new_zeros(())
    for level, flow in enumerate(flows, start=finest):
        factor = 2 ** (level - 1)
        target, counts = (F.avg_pool2d(x, factor) if factor > 1 else x for x in (reference, weight))
        total = total + flow_error(factor * flow, target, counts)
    return total


def flow_error(flow: Tensor, reference: Tensor, weight: Tensor) -> Tensor:
    """Mean of the end-point error in pixels times ``weight`` (N, 1, H, W). (N, 2, H, W) twice -> scalar."""
    squared = ((flow - reference) ** 2).sum(dim=1, keepdim=True)
    return (weight * torch.sqrt(squared + CHARBONNIER_EPSILON)).mean()
