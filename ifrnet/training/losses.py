"""The published losses: reconstruction, feature geometry consistency, task-oriented flow distillation.

Source: Kong et al., IFRNet, CVPR 2022, section 3.4 and equations 5 to 11. All arithmetic is in the dtype of the inputs;
the caller passes float32, also under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CHARBONNIER_EPSILON = 1e-6
"""Added to the squared difference."""

CENSUS_SOFTNESS = 0.81
"""Squared scale at which a difference to the centre saturates."""

CENSUS_KNEE = 0.1
"""Squared distance of two maps at which a deviation counts half."""

RECONSTRUCTION_PATCH = 7
GEOMETRY_PATCH = 3

ROBUSTNESS = 0.3
"""How fast trust in a reference flow falls with the end-point error, per pixel (equation 9)."""


def charbonnier(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + 1e-6). Any two shapes alike -> scalar."""
    return torch.sqrt((prediction - truth) ** 2 + CHARBONNIER_EPSILON).mean()


def census_map(planes: Tensor, patch: int) -> Tensor:
    """Soft census transform: differences of a patch to its centre, saturated to (-1, 1).

    Args:
        planes: (N, 1, H, W).
        patch: odd side of the patch.

    Returns:
        (N, patch^2, H, W); the outer ``patch // 2`` pixels see zeros from outside and are for the caller to drop.
    """
    side = patch * patch
    kernel = torch.eye(side, dtype=planes.dtype, device=planes.device).view(side, 1, patch, patch)
    difference = F.conv2d(planes, kernel, padding=patch // 2) - planes  # (N, patch^2, H, W)
    return difference / torch.sqrt(CENSUS_SOFTNESS + difference**2)


def census_distance(prediction: Tensor, truth: Tensor, patch: int) -> Tensor:
    """Mean soft Hamming distance of two census maps; a border of ``patch // 2`` counts as zero but stays in the mean.

    (N, patch^2, H, W) twice -> scalar.
    """
    squared = (prediction - truth) ** 2
    distance = (squared / (CENSUS_KNEE + squared)).mean(dim=1)  # (N, H, W)
    border = patch // 2
    inner = distance[:, border:-border, border:-border]  # (N, H - 2 border, W - 2 border)
    return inner.sum() / distance.numel()


def reconstruction(prediction: Tensor, truth: Tensor) -> Tensor:
    """Charbonnier plus census over 7x7 patches of the channel mean (equation 5). (N, 3, H, W) twice -> scalar."""
    maps = (census_map(image.mean(dim=1, keepdim=True), RECONSTRUCTION_PATCH) for image in (prediction, truth))
    predicted, target = maps
    return charbonnier(prediction, truth) + census_distance(predicted, target.detach(), RECONSTRUCTION_PATCH)


def geometry(features: Sequence[Tensor], truths: Sequence[Tensor]) -> Tensor:
    """Feature space geometry consistency (equation 10): census over 3x3 patches of every channel, summed over levels.

    Args:
        features: the decoder's ft_k, (N, ck, H / 2^k, W / 2^k) for k = 1, 2, 3.
        truths: the encoder's features of the true frame, of the same shapes; gradients flow into them too.
    """
    total = features[0].new_zeros(())
    for feature, truth in zip(features, truths, strict=True):
        first, second = (census_map(x.flatten(0, 1).unsqueeze(1), GEOMETRY_PATCH) for x in (feature, truth))
        total = total + census_distance(first, second, GEOMETRY_PATCH)  # maps (N ck, 9, H / 2^k, W / 2^k)
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


def multiscale_flow(flows: Sequence[Tensor], reference: Tensor, trust: Tensor) -> Tensor:
    """Mean end-point error at every level against an area-averaged reference, in full-resolution pixels.

    Not in the paper: the published distillation ignores a flow that is far off, which is right for pseudo-labels and
    slow at the start of a training. Synthetic motion knows its flow, so it can be asked for directly.

    Args:
        flows: as in :func:`distillation`.
        reference: (N, 2, H, W) in pixels.
        trust: (N, 1, 1, 1) in [0, 1], how much each sample counts.
    """
    total = reference.new_zeros(())
    for level, flow in enumerate(flows, start=1):
        factor = 2 ** (level - 1)
        target = F.avg_pool2d(reference, factor) if factor > 1 else reference  # (N, 2, H / factor, W / factor)
        squared = ((factor * flow - target) ** 2).sum(dim=1, keepdim=True)
        total = total + (trust * torch.sqrt(squared + CHARBONNIER_EPSILON)).mean()
    return total
