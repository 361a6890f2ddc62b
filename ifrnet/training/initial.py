"""Initial weights from which flow is learned soon.

Flow is a product of changes in time and in space. PyTorch's default gives a network without any such product: the
best flow it can say is zero, and it was still there after a thousand steps. Here it begins as a bank of motion-energy
filters (Adelson and Bergen, "Spatiotemporal energy models for the perception of motion", J. Opt. Soc. Am. A 2, 1985):
the encoder as smooth filters of growing size, nearly linear, and the absolute value where the features of both frames
first meet. Every convolution is scaled so that natural spectra keep their variance.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ifrnet.model import IFRNet, pair_mean

ENCODER_SLOPE = 0.7
"""Of the encoder's PReLUs: nearly linear."""

ENERGY_SLOPE = -1.0
"""Of the first PReLU of a decoder: the absolute value."""

SLOPE = 0.25
"""Of all others."""

SMOOTH = 0.8
"""Share of an encoder kernel's variance that is a smooth filter; the rest is noise."""

RESIDUAL_GAIN = 0.3
"""The last convolution of a ResBlock starts small, so that the block starts near the identity."""

HEAD_GAIN = 0.1
"""Flows, mask and residual start small."""

PAIRS, SIDE = 8, 128
"""Noise that the variances are taken on."""


@torch.no_grad()
def initialise(model: IFRNet, generator: torch.Generator) -> None:
    """Draw every weight of a network on the CPU from ``generator``; biases are zero."""
    for name, module in model.named_modules():
        if isinstance(module, nn.PReLU):
            entry = name.endswith("convblock.0.1")
            module.weight.fill_(ENCODER_SLOPE if name.startswith("encoder.") else ENERGY_SLOPE if entry else SLOPE)
        if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            continue
        if name.startswith("encoder."):
            module.weight.copy_(_smooth_kernels(module.weight, name == "encoder.pyramid1.0.0", generator))
        else:
            module.weight.normal_(0.0, _deviation(name, module), generator=generator)
        if module.bias is not None:
            module.bias.zero_()
    _keep_variances(model, generator)


def _deviation(name: str, module: nn.Conv2d | nn.ConvTranspose2d) -> float:
    """He et al., ICCV 2015, for :data:`SLOPE`."""
    if isinstance(module, nn.ConvTranspose2d):  # kernel 4, stride 2: each output sees 2 x 2 taps of every input
        fan, gain = 4 * module.in_channels, HEAD_GAIN
    else:
        taps = module.kernel_size[0] * module.kernel_size[1]
        fan, gain = taps * module.in_channels, RESIDUAL_GAIN if name.endswith("conv5") else 1.0
    return float(gain * (2.0 / ((1.0 + SLOPE**2) * fan)) ** 0.5)


def _smooth_kernels(weight: Tensor, first: bool, generator: torch.Generator) -> Tensor:
    """Kernels like ``weight`` (O, I, K, K): random mixtures of channels, times a small separable filter, plus noise.

    The first layer's filters are means and first and second differences; those after it are means, so that the pyramid
    repeats the first layer's filters at every scale.
    """
    outputs, inputs, side, _ = weight.shape
    mean = torch.tensor([1.0, 2.0, 1.0])
    along = (mean / 4.0, torch.tensor([-1.0, 0.0, 1.0]) / 2.0, torch.tensor([-1.0, 2.0, -1.0]) / 4.0)
    orders = ((0, 0), (0, 1), (1, 0), (0, 1), (1, 0), (0, 2), (2, 0), (1, 1)) if first else ((0, 0),)
    filters = torch.zeros(outputs, 1, side, side)
    centre = slice(side // 2 - 1, side // 2 + 2)
    for channel in range(outputs):
        rows, columns = orders[channel % len(orders)]
        kernel = torch.outer(along[rows], along[columns])
        filters[channel, 0, centre, centre] = kernel / kernel.norm()
    mixture = torch.randn(outputs, inputs, 1, 1, generator=generator)
    noise = torch.randn(outputs, inputs, side, side, generator=generator) / side
    kernels: Tensor = mixture * filters * SMOOTH**0.5 + noise * (1.0 - SMOOTH) ** 0.5
    return kernels


def _keep_variances(model: IFRNet, generator: torch.Generator) -> None:
    """Scale the encoder and the wide convolutions of the decoders, layer after layer, to outputs of unit variance."""
    handles: list[RemovableHandle] = []
    for name, module in model.named_modules():
        inner = name.endswith(("convblock.0.0", "conv1.0", "conv3.0"))
        if isinstance(module, nn.Conv2d) and (name.startswith("encoder.") or inner):
            handles.append(module.register_forward_hook(partial(_unit_variance, set())))
    img0, img1 = _noise_pairs(generator)
    mean = pair_mean(img0, img1)
    model.estimate(img0 - mean, img1 - mean, torch.full((PAIRS, 1, 1, 1), 0.5))
    for handle in handles:
        handle.remove()


def _unit_variance(done: set[nn.Module], module: nn.Conv2d, _: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
    """Divide a layer by the deviation of each output channel, the first time it runs (the encoder runs twice)."""
    if module in done:
        return None
    done.add(module)
    deviation = output.std(dim=(0, 2, 3)).clamp(min=1e-3)  # (C,)
    module.weight.div_(deviation.view(-1, 1, 1, 1))
    return output / deviation.view(1, -1, 1, 1)


def _noise_pairs(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise with the amplitudes of natural pictures, 1 / frequency, and the same moved by a few pixels, in [0, 1].

    (PAIRS, 3, SIDE, SIDE) twice.
    """
    white = torch.fft.rfft2(torch.randn(PAIRS, 3, SIDE, SIDE, generator=generator))
    rows, columns = torch.fft.fftfreq(SIDE).view(-1, 1), torch.fft.rfftfreq(SIDE).view(1, -1)
    frequency = torch.sqrt(rows**2 + columns**2).clamp(min=1.0 / SIDE)
    pictures = torch.fft.irfft2(white / frequency, s=(SIDE, SIDE))
    pictures = 0.5 + 0.22 * (pictures - pictures.mean()) / pictures.std()
    moves = torch.randint(-4, 5, (PAIRS, 2), generator=generator).tolist()
    moved = torch.stack([p.roll((y, x), dims=(1, 2)) for p, (y, x) in zip(pictures, moves, strict=True)])
    return pictures.clamp(0.0, 1.0), moved.clamp(0.0, 1.0)
