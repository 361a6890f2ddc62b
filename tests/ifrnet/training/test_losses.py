"""The losses against direct float64 formulas, written with loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ifrnet.training import losses


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


def direct_census(first: np.ndarray, second: np.ndarray, patch: int) -> float:
    """Equation 6 for planes (N, H, W): loops, float64; the border counts as zero but stays in the mean."""
    count, height, width = first.shape
    border, total = patch // 2, 0.0
    for n in range(count):
        for y in range(border, height - border):
            for x in range(border, width - border):
                inside = 0.0
                for dy in range(-border, border + 1):
                    for dx in range(-border, border + 1):
                        values = []
                        for plane in (first[n], second[n]):
                            d = plane[y + dy, x + dx] - plane[y, x]
                            values.append(d / math.sqrt(0.81 + d * d))
                        e = values[0] - values[1]
                        inside += e * e / (0.1 + e * e)
                total += inside / patch**2
    return float(total / (count * height * width))


def direct_resize(plane: np.ndarray, factor: int) -> np.ndarray:
    """Bilinear enlargement with align_corners=False of (H, W)."""
    height, width = plane.shape
    out = np.zeros((height * factor, width * factor))
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            sy, sx = max((y + 0.5) / factor - 0.5, 0.0), max((x + 0.5) / factor - 0.5, 0.0)
            y0, x0 = int(sy), int(sx)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            ay, ax = sy - y0, sx - x0
            top = (1 - ax) * plane[y0, x0] + ax * plane[y0, x1]
            out[y, x] = (1 - ay) * top + ay * ((1 - ax) * plane[y1, x0] + ax * plane[y1, x1])
    return out


def test_reconstruction_is_charbonnier_plus_census() -> None:
    prediction, truth = random(2, 3, 10, 9), random(2, 3, 10, 9, seed=1)
    p, q = prediction.numpy(), truth.numpy()
    expected = np.sqrt((p - q) ** 2 + 1e-6).mean() + direct_census(p.mean(axis=1), q.mean(axis=1), 7)
    assert losses.reconstruction(prediction, truth).item() == pytest.approx(expected, rel=1e-12)


def test_the_psnr_loss_is_the_mean_of_the_samples_and_forgets_what_is_far_above_40_db() -> None:
    prediction, truth = random(3, 3, 6, 5), random(3, 3, 6, 5, seed=1)
    prediction[2] = truth[2]  # an infinite PSNR
    each = [((prediction[i] - truth[i]) ** 2).mean().item() for i in range(3)]
    expected = sum(10.0 * math.log10(value + 1e-4) for value in each) / 3
    assert losses.negative_psnr(prediction, truth).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("patch", [3, 7])
def test_the_census_distance_has_the_gradients_of_its_differences(patch: int) -> None:
    planes = [random(2, 1, 8, 9, seed=seed).requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(lambda p, q: losses.census_distance(p, q, patch), planes)


def test_the_reconstruction_target_gets_no_gradient_from_the_census() -> None:
    prediction = random(1, 3, 10, 10).requires_grad_()
    truth = random(1, 3, 10, 10, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(losses.reconstruction(prediction, truth), truth)
    (charbonnier,) = torch.autograd.grad(losses.charbonnier(prediction, truth), truth)
    assert torch.equal(gradient, charbonnier)


def test_geometry_sums_the_census_of_every_channel_over_levels() -> None:
    features = [random(2, 3, 8, 7), random(2, 4, 4, 5, seed=1)]
    truths = [random(2, 3, 8, 7, seed=2), random(2, 4, 4, 5, seed=3)]
    expected = sum(
        direct_census(f.flatten(0, 1).numpy(), t.flatten(0, 1).numpy(), 3)
        for f, t in zip(features, truths, strict=True)
    )
    assert losses.geometry(features, truths).item() == pytest.approx(expected, rel=1e-12)


def test_geometry_reaches_both_sides() -> None:
    feature, truth = random(1, 2, 6, 6).requires_grad_(), random(1, 2, 6, 6, seed=1).requires_grad_()
    losses.geometry([feature], [truth]).backward()  # type: ignore[no-untyped-call]
    assert feature.grad is not None
    assert truth.grad is not None
    assert truth.grad.abs().sum() > 0.0


def test_distillation_is_the_adaptive_charbonnier_of_levels_2_to_4() -> None:
    reference = 6.0 * random(1, 2, 16, 16) - 3.0
    flows = [reference + random(1, 2, 16, 16, seed=1)]
    flows += [2.0 * random(1, 2, 16 // 2**k, 16 // 2**k, seed=k + 1) - 1.0 for k in (1, 2, 3)]
    ref = reference.numpy()[0]
    error = np.sqrt(((flows[0].numpy()[0] - ref) ** 2).sum(axis=0))
    w = np.exp(-0.3 * error)
    expected = 0.0
    for k in (2, 3, 4):
        factor = 2 ** (k - 1)
        up = np.stack([direct_resize(plane, factor) for plane in flows[k - 1].numpy()[0]])
        d = factor * up - ref
        epsilon = 10.0 ** (-(10.0 * w - 1.0) / 3.0)
        expected += ((d**2 + epsilon**2) ** (w / 2.0)).mean()
    assert losses.distillation(flows, reference).item() == pytest.approx(expected, rel=1e-10)


def test_distillation_weights_are_detached_from_the_final_flow() -> None:
    flows = [random(1, 2, 16 // 2**k, 16 // 2**k, seed=k).requires_grad_() for k in range(4)]
    losses.distillation(flows, random(1, 2, 16, 16, seed=9)).backward()  # type: ignore[no-untyped-call]
    assert flows[0].grad is None
    assert all(flow.grad is not None for flow in flows[1:])


def test_multiscale_flow_is_zero_only_for_the_true_flow() -> None:
    constant = torch.full((2, 2, 16, 16), 3.0, dtype=torch.float64)
    flows = [torch.full((2, 2, 16 // 2**k, 16 // 2**k), 3.0 / 2**k, dtype=torch.float64) for k in range(4)]
    alike = torch.ones(2, 1, 16, 16, dtype=torch.float64)
    assert losses.multiscale_flow(flows, constant, alike).item() == pytest.approx(4e-3, rel=1e-6)  # 4 sqrt(1e-6)
    assert losses.multiscale_flow(flows, constant + 1.0, alike).item() == pytest.approx(4.0 * math.sqrt(2.0), rel=1e-5)
    none = losses.multiscale_flow(flows, constant + 1.0, 0.0 * alike)
    assert none.item() == 0.0


def test_an_object_that_moves_alone_has_half_the_say_and_a_pan_counts_everywhere_alike() -> None:
    flow = torch.zeros(2, 2, 16, 16, dtype=torch.float64)
    flow[0, 0, :4, :4] = 20.0  # a sixteenth of a frame at rest
    flow[1, 0] = 20.0
    counts = losses.standing_out(-flow, flow)
    assert counts.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1.0, 1.0])
    # A sixteenth of the plain half, and of the other half 15/30 by its motion, less what the floor of 0.1 px takes.
    assert counts[0, :, :4, :4].sum().item() / 256 == pytest.approx(0.5 / 16 + 0.5 * 0.5, rel=0.02)
    assert counts[1].flatten().tolist() == pytest.approx([1.0] * 256)


def test_errors_of_flow_count_by_their_share_of_fast_motion() -> None:
    flow = torch.zeros(3, 2, 8, 8, dtype=torch.float64)
    flow[1, 0], flow[2, 1] = 5.0, -45.0  # half of the motion: 10 and 90 px from frame 0 to frame 1
    weights = losses.by_motion(-flow, flow, 10.0)
    assert weights.flatten().tolist() == pytest.approx([1.0, 0.5, 0.1])
    assert losses.by_motion(-flow, flow, 0.0).flatten().tolist() == [1.0, 1.0, 1.0]
