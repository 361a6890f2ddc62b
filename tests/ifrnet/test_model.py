"""The network against a second one, written from the paper's equations in float64 with explicit indexing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ifrnet import VARIANTS, IFRNet, SizeError, TimestepError, interpolate, load_model, pair_mean, random_model, warp
from ifrnet.warp import resize

WIDTHS = {"ifrnet_s": (24, 36, 54, 72), "ifrnet": (32, 48, 72, 96), "ifrnet_l": (64, 96, 144, 192)}
SIDES = {"ifrnet_s": 24, "ifrnet": 32, "ifrnet_l": 64}


def moving_pair(
    height: int, width: int, dx: float = 10.0, dy: float = 6.0, phase: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Waves and a checkerboard that move by (dx, dy): (1, 3, H, W) twice, float32 in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")

    def frame(u: Tensor, v: Tensor) -> Tensor:
        red = 0.5 + 0.25 * torch.sin(u / 7 + phase) * torch.cos(v / 11) + 0.2 * torch.sin((u + v) / 23)
        green = 0.5 + 0.3 * torch.sin(u / 13 + v / 5 + phase)
        blue = 0.4 + 0.3 * ((u // 16 + v // 16) % 2)
        return torch.stack((red, green, blue))[None].clamp(0, 1)

    return frame(x, y), frame(x - dx, y - dy)


def times(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


def bilinear(img: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """img (N, C, H, W) at positions x, y (N, H', W'), clamped to the border: four neighbours by index."""
    n, _, height, width = img.shape
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    x0, y0 = x.floor(), y.floor()
    out = torch.zeros(n, img.shape[1], *x.shape[1:], dtype=img.dtype)
    for i, j in itertools.product((0, 1), (0, 1)):
        xi, yj = (x0 + i).clamp(max=width - 1).long(), (y0 + j).clamp(max=height - 1).long()
        weight = (1 - (x - x0 - i).abs()) * (1 - (y - y0 - j).abs())
        for sample in range(n):
            out[sample] += weight[sample] * img[sample][:, yj[sample], xi[sample]]
    return out


def resized(img: Tensor, factor: float) -> Tensor:
    """Half-pixel centres: output pixel i lies at (i + 0.5) / factor - 0.5."""
    n, _, height, width = img.shape
    y = ((torch.arange(round(height * factor), dtype=img.dtype) + 0.5) / factor - 0.5).view(1, -1, 1)
    x = ((torch.arange(round(width * factor), dtype=img.dtype) + 0.5) / factor - 0.5).view(1, 1, -1)
    return bilinear(img, *(part.expand(n, y.shape[1], x.shape[2]) for part in (x, y)))


def warped(img: Tensor, flow: Tensor) -> Tensor:
    height, width = img.shape[2:]
    x = torch.arange(width, dtype=img.dtype).view(1, 1, -1) + flow[:, 0]
    y = torch.arange(height, dtype=img.dtype).view(1, -1, 1) + flow[:, 1]
    return bilinear(img, x, y)


def network(name: str, state: dict[str, Tensor], img0: Tensor, img1: Tensor, t: Tensor, scale: float) -> Tensor:
    """The forward pass from network tables and equations, float64, no module of the implementation."""
    p = {key: value.double() for key, value in state.items()}
    widths, side = WIDTHS[name], SIDES[name]

    def prelu(x: Tensor, key: str) -> Tensor:
        return torch.where(x >= 0, x, x * p[f"{key}.weight"].view(1, -1, 1, 1))

    def conv(x: Tensor, key: str, stride: int = 1) -> Tensor:
        weight = p[f"{key}.weight"]
        return F.conv2d(x, weight, p[f"{key}.bias"], stride, weight.shape[2] // 2)

    def convrelu(x: Tensor, key: str, stride: int = 1) -> Tensor:
        return prelu(conv(x, f"{key}.0", stride), f"{key}.1")

    def encoder(x: Tensor) -> list[Tensor]:
        features = []
        for k in (1, 2, 3, 4):
            x = convrelu(convrelu(x, f"encoder.pyramid{k}.0", 2), f"encoder.pyramid{k}.1")
            assert x.shape[1] == widths[k - 1]
            features.append(x)
        return features

    def decoder(k: int, *inputs: Tensor) -> Tensor:
        key = f"decoder{k}.convblock"
        x = convrelu(torch.cat(inputs, 1), f"{key}.0")
        y = x
        for first, second in (("conv1", "conv2"), ("conv3", "conv4")):
            y = convrelu(y, f"{key}.1.{first}")
            y = torch.cat((y[:, :-side], convrelu(y[:, -side:], f"{key}.1.{second}")), 1)
        y = prelu(x + conv(y, f"{key}.1.conv5"), f"{key}.1.prelu")
        return F.conv_transpose2d(y, p[f"{key}.2.weight"], p[f"{key}.2.bias"], 2, 1)

    img0, img1, t = img0.double(), img1.double(), t.double()
    mean = ((img0.sum((1, 2, 3)) + img1.sum((1, 2, 3))) / (2 * img0[0].numel())).view(-1, 1, 1, 1)
    img0, img1 = img0 - mean, img1 - mean
    small0, small1 = (img0, img1) if scale == 1 else (resized(img0, scale), resized(img1, scale))
    f0, f1 = encoder(small0), encoder(small1)
    out = decoder(4, f0[3], f1[3], t * torch.ones_like(f0[3][:, :1]))
    flow0, flow1, ft = out[:, 0:2], out[:, 2:4], out[:, 4:]
    for k in (3, 2, 1):
        out = decoder(k, ft, warped(f0[k - 1], flow0), warped(f1[k - 1], flow1), flow0, flow1)
        flow0 = out[:, 0:2] + 2 * resized(flow0, 2)
        flow1 = out[:, 2:4] + 2 * resized(flow1, 2)
        ft = out[:, 4:]
    mask, residual = 1 / (1 + torch.exp(-out[:, 4:5])), out[:, 5:8]
    if scale != 1:
        flow0, flow1 = resized(flow0, 1 / scale) / scale, resized(flow1, 1 / scale) / scale
        mask, residual = resized(mask, 1 / scale), resized(residual, 1 / scale)
    return (mask * warped(img0, flow0) + (1 - mask) * warped(img1, flow1) + mean + residual).clamp(0, 1)


@pytest.mark.parametrize(
    ("name", "scale", "size"),
    [
        ("ifrnet_s", 1.0, (64, 96)),
        ("ifrnet", 1.0, (48, 32)),
        ("ifrnet_l", 1.0, (32, 48)),
        ("ifrnet_s", 0.5, (64, 128)),
        ("ifrnet_s", 0.8, (60, 100)),
        ("ifrnet_s", 2.0, (24, 32)),
    ],
)
def test_forward_is_the_published_network(name: str, scale: float, size: tuple[int, int]) -> None:
    model = random_model(name, seed=1)
    pairs = [moving_pair(*size, phase=phase) for phase in (0.0, 2.0)]
    img0, img1 = (torch.cat(frames) for frames in zip(*pairs, strict=True))
    t = times(0.25, 0.7)
    expected = network(name, model.state_dict(), img0, img1, t, scale)
    assert expected.std() > 0.1  # something to compare
    double = random_model(name, seed=1).double()
    found = double(img0.double(), img1.double(), t.double(), scale)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0.0)
    torch.testing.assert_close(model(img0, img1, t, scale).double(), expected, atol=2e-4, rtol=0.0)


def test_comparison_notices_a_wrong_time_step() -> None:
    model = random_model("ifrnet_s", seed=1)
    img0, img1 = moving_pair(32, 48)
    expected = network("ifrnet_s", model.state_dict(), img0, img1, times(0.5), 1.0)
    assert (model(img0, img1, times(0.51)).double() - expected).abs().max() > 2e-4


@pytest.mark.parametrize("t", [0.0, 1.0, -0.5, math.nan, math.inf])
def test_interpolate_refuses_times_outside(t: float) -> None:
    with pytest.raises(TimestepError, match="0 < t < 1"):
        interpolate(random_model("ifrnet_s"), *moving_pair(32, 32), times(t))


def test_checkpoint_for_the_middle_refuses_other_times(middle_checkpoint: Path) -> None:
    model = load_model(middle_checkpoint)
    frames = moving_pair(32, 32)
    assert interpolate(model, *frames, times(0.5)).shape == (1, 3, 32, 32)
    with pytest.raises(TimestepError, match=r"'middle' serves t = 0\.5 only.*halve recursively"):
        interpolate(model, *frames, times(0.25))
    img0, img1 = (torch.cat((frame, frame)) for frame in frames)
    with pytest.raises(TimestepError, match="halve"):
        interpolate(model, img0, img1, times(0.5, 0.75))


def test_network_in_training_takes_any_time(middle_checkpoint: Path) -> None:
    model = IFRNet(VARIANTS["ifrnet_s"])
    assert model.info is None
    model.load_state_dict(load_model(middle_checkpoint).state_dict())
    assert interpolate(model, *moving_pair(32, 32), times(0.25)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("size", "scale"), [((32, 47), 1.0), ((31, 48), 1.0), ((48, 48), 0.5), ((32, 32), 0.8)])
def test_forward_refuses_sizes_that_are_no_multiples(size: tuple[int, int], scale: float) -> None:
    with pytest.raises(SizeError, match=r"multiples of \d+: use ifrnet\.interpolate"):
        random_model("ifrnet_s")(*moving_pair(*size), times(0.5), scale)


@pytest.mark.parametrize(
    "change",
    [
        lambda a, b, t: (a[0], b[0], t),
        lambda a, b, t: (a, b[:, :, :-1], t),
        lambda a, b, t: (a[:, :2], b[:, :2], t),
        lambda a, b, t: (a, b, t.view(1)),
        lambda a, b, t: (a, b, torch.cat((t, t))),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]],
) -> None:
    model, arguments = random_model("ifrnet_s"), change(*moving_pair(32, 32), times(0.5))
    for call in (model, lambda *tensors: interpolate(model, *tensors)):
        with pytest.raises(SizeError, match="expected"):
            call(*arguments)


@pytest.mark.parametrize(("size", "scale"), [((45, 70), 1.0), ((33, 50), 0.5), ((41, 61), 0.8), ((16, 17), 1.0)])
def test_interpolate_takes_the_mean_of_real_pixels_only(size: tuple[int, int], scale: float) -> None:
    model, t = random_model("ifrnet_s", seed=2), times(0.4)
    img0, img1 = moving_pair(*size)
    img0[:, :, -1], img0[:, :, :, -1] = 1.0, 1.0  # replicated, these would shift a mean over the padding
    found = interpolate(model, img0, img1, t, scale)
    multiple = {1.0: 16, 0.5: 32, 0.8: 20}[scale]
    pad = (0, -size[1] % multiple, 0, -size[0] % multiple)
    padded = [F.pad(img, pad, mode="replicate") for img in (img0, img1)]
    mean = (img0.mean() + img1.mean()).view(1, 1, 1, 1) / 2
    expected = model.synthesize(padded[0] - mean, padded[1] - mean, mean, t, scale)[:, :, : size[0], : size[1]]
    assert found.shape == img0.shape
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0.0)
    over_padding = model(*padded, t, scale)[:, :, : size[0], : size[1]]
    assert (found - over_padding).abs().max() > 1e-3  # the comparison tells the two apart


def test_interpolate_is_forward_at_multiples() -> None:
    model, frames = random_model("ifrnet_s"), moving_pair(32, 48)
    torch.testing.assert_close(interpolate(model, *frames, times(0.3)), model(*frames, times(0.3)), atol=1e-6, rtol=0.0)


def test_samples_of_a_batch_do_not_see_each_other() -> None:
    model = random_model("ifrnet_s", seed=5)
    pairs = [moving_pair(32, 48, phase=phase) for phase in (0.0, 1.0, 2.0)]
    pairs[1] = (pairs[1][0] * 0.2, pairs[1][1] * 0.2)
    steps = (0.2, 0.5, 0.9)
    img0, img1 = (torch.cat(frames) for frames in zip(*pairs, strict=True))
    batch = interpolate(model, img0, img1, times(*steps))
    for sample, (frames, t) in enumerate(zip(pairs, steps, strict=True)):
        torch.testing.assert_close(batch[sample], interpolate(model, *frames, times(t))[0], atol=1e-5, rtol=0.0)


def test_pair_mean_is_one_scalar_a_sample() -> None:
    img0, img1 = torch.zeros(2, 3, 4, 5), torch.ones(2, 3, 4, 5)
    img1[1] = 3.0
    assert pair_mean(img0, img1).flatten().tolist() == [0.5, 1.5]


def test_warp_samples_where_the_flow_points() -> None:
    generator = torch.Generator().manual_seed(0)
    img = torch.rand(2, 3, 9, 14, generator=generator, dtype=torch.float64)
    flow = 6.0 * torch.randn(2, 2, 9, 14, generator=generator, dtype=torch.float64)  # often out of the frame
    torch.testing.assert_close(warp(img, flow), warped(img, flow), atol=1e-12, rtol=0.0)
    right = torch.zeros(1, 2, 9, 14, dtype=torch.float64)
    right[:, 0] = 1.0
    torch.testing.assert_close(warp(img[:1], right)[..., :-1], img[:1, ..., 1:], atol=1e-12, rtol=0.0)
    torch.testing.assert_close(warp(img[:1], right)[..., -1], img[:1, ..., -1], atol=1e-12, rtol=0.0)


def test_warp_stays_in_the_precision_of_the_flow() -> None:
    assert warp(torch.rand(1, 2, 4, 6).half(), torch.zeros(1, 2, 4, 6)).dtype is torch.float32


@pytest.mark.parametrize("factor", [2.0, 0.5, 0.8, 1.25])
def test_resize_keeps_pixel_centres(factor: float) -> None:
    img = torch.rand(2, 3, 20, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(resize(img, factor), resized(img, factor), atol=1e-12, rtol=0.0)


@pytest.mark.parametrize("name", VARIANTS)
def test_random_weights_move(name: str) -> None:
    """Parity frames have to move, and no part of the network may be idle."""
    model, (height, width) = random_model(name), (192, 256)
    img0, img1 = moving_pair(height, width)
    mean = pair_mean(img0, img1)
    estimate = model.estimate(img0 - mean, img1 - mean, times(0.5))
    coarse0, coarse1 = model.coarse_flows(img0 - mean, img1 - mean, times(0.5), finest=3)
    assert all(map(torch.equal, (*coarse0, *coarse1), (*estimate.flows0[2:], *estimate.flows1[2:])))
    assert len(coarse0) == len(coarse1) == 2
    for flow in (estimate.flows0[0], estimate.flows1[0]):
        assert flow.norm(dim=1).median() > 8.0
        assert flow.std(dim=(2, 3)).min() > 0.3  # no mere shift
        assert (flow[..., 1:] - flow[..., :-1]).abs().mean() < 1.0  # smooth
        x = torch.arange(width).view(1, 1, -1) + flow[:, 0]
        y = torch.arange(height).view(1, -1, 1) + flow[:, 1]
        outside = (x < 0) | (x > width - 1) | (y < 0) | (y > height - 1)
        assert outside.float().mean() > 0.01
    assert 0.05 < estimate.mask.mean() < 0.95
    assert estimate.mask.std() > 0.05
    early, late = (interpolate(model, img0, img1, times(t)) for t in (0.25, 0.75))
    assert ((early <= 0) | (early >= 1)).float().mean() < 0.05
    assert (early - late).abs().mean() > 0.01  # t matters


def test_random_weights_are_those_of_the_seed() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (random_model("ifrnet_s", seed) for seed in (7, 7, 8))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first.info is not None
    assert other.info is not None
    assert first.info == again.info
    assert first.info.sha256 != other.info.sha256
    assert first.info.name == "ifrnet_s-random7"
    for key, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key])
        assert not torch.equal(tensor, other.state_dict()[key]), key
    assert not first.training
    assert not any(parameter.requires_grad for parameter in first.parameters())
