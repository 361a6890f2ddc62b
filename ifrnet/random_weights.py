"""Random weights that give large motion, to measure speed and parity of a variant without its checkpoint.

Freshly initialised weights give almost no flow, and so hide every error of a warp. These give smooth flows of 10 to
20 px that differ between the two frames and depend on the frames and on t. Mask, residual and PReLU slopes change the
result as well.
"""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from ifrnet.errors import ModelError
from ifrnet.model import Decoder, IFRNet
from ifrnet.variants import FLOW_CHANNELS, LEVELS, VARIANTS, CheckpointInfo
from runtimes.contract import Timesteps

COARSE_FLOW = (1.5, -1.0, -1.25, 1.0)
"""Mean of the coarsest flows (x, y to frame 0; x, y to frame 1) in pixels at 1/8: 14 and 13 px in the frame."""

FLOW_DEVIATION = {4: 0.3, 3: 0.15, 2: 0.1, 1: 0.1}
"""What the decoder of each level adds to the flow, in pixels of its output: one standard deviation, roughly."""

MASK_DEVIATION, RESIDUAL_DEVIATION = 1.0, 0.03

INPUT_GAIN = 4.0
"""Mean-free frames deviate by about 1/4; the first convolution brings them to 1."""


def random_model(name: str, seed: int = 0) -> IFRNet:
    """A variant with random weights, the same for the same seed.

    Args:
        name: one of ``VARIANTS``.
        seed: of the generator.

    Returns:
        The model in eval mode without gradients, for any t; ``info.name`` is ``<name>-random<seed>``.

    Raises:
        ModelError: no such variant.
    """
    if name not in VARIANTS:
        raise ModelError(f"no variant {name!r}; expected one of {', '.join(VARIANTS)}")
    with torch.device("meta"):  # the default initialisation would draw from the caller's random numbers
        model = IFRNet(VARIANTS[name])
    model.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            _fill(module, generator)
        first = model.get_submodule("encoder.pyramid1.0.0")
        _normal(first, INPUT_GAIN / math.sqrt(first.get_parameter("weight")[0].numel()), generator)
        for level in range(LEVELS, 0, -1):
            decoder = model.get_submodule(f"decoder{level}")
            assert isinstance(decoder, Decoder)
            _fill_head(decoder, level, generator)
        # One channel among 2 c4: without this t would vanish in the sum.
        entry = model.get_parameter(f"decoder{LEVELS}.convblock.0.0.weight")
        entry[:, -1] = 0.5 * torch.randn(entry[:, -1].shape, generator=generator)
    model.info = CheckpointInfo(
        name=f"{name}-random{seed}",
        source="random",
        format="random",
        sha256=_digest(model),
        timesteps=Timesteps.ANY,
        provenance={"weights": "random", "seed": seed},
    )
    return model.eval().requires_grad_(False)


def _normal(module: nn.Module, deviation: float, generator: torch.Generator) -> None:
    """Fill weight and bias of a convolution."""
    weight, bias = module.get_parameter("weight"), module.get_parameter("bias")
    weight.copy_(torch.randn(weight.shape, generator=generator) * deviation)
    bias.copy_(torch.randn(bias.shape, generator=generator) * 0.05)


def _fill(module: nn.Module, generator: torch.Generator) -> None:
    """Weights that keep the deviation of a feature from layer to layer (He et al. 2015, equation 14)."""
    if isinstance(module, nn.Conv2d):
        fan_in = module.weight[0].numel()
        _normal(module, math.sqrt(1.9 / fan_in), generator)
    elif isinstance(module, nn.PReLU):
        module.weight.copy_(0.05 + 0.4 * torch.rand(module.weight.shape, generator=generator))


def _fill_head(decoder: Decoder, level: int, generator: torch.Generator) -> None:
    """The transposed convolution that gives flows, then features or mask and residual."""
    head = decoder.convblock[2]
    assert isinstance(head, nn.ConvTranspose2d)
    inputs, outputs = head.weight.shape[:2]
    deviation = torch.ones(outputs)
    deviation[:FLOW_CHANNELS] = FLOW_DEVIATION[level]
    if level == 1:
        deviation[FLOW_CHANNELS] = MASK_DEVIATION
        deviation[FLOW_CHANNELS + 1 :] = RESIDUAL_DEVIATION
    # Stride 2 with a 4x4 kernel: each output sums 2x2 taps of every input channel.
    noise = torch.randn(head.weight.shape, generator=generator) / math.sqrt(4 * inputs)
    head.weight.copy_(noise * deviation.view(1, outputs, 1, 1))
    bias: Tensor = head.get_parameter("bias")
    bias.copy_(0.05 * deviation * torch.randn(outputs, generator=generator))
    if level == LEVELS:
        bias[:FLOW_CHANNELS] = torch.tensor(COARSE_FLOW)


def _digest(model: IFRNet) -> str:
    digest = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
