"""Who changes which weights, and how far a step of Muon goes."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import AdamW

from ifrnet.training.optimiser import Optimiser
from ifrnet.training.options import TrainOptions

RATE = 1e-3


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(12, 8, 3), nn.PReLU(8), nn.ConvTranspose2d(8, 4, 4))
    return layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def one_step(model: nn.Module, options: TrainOptions) -> dict[str, torch.Tensor]:
    """What a step from random gradients adds to each parameter."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    generator = torch.Generator().manual_seed(1)
    for value in model.parameters():
        value.grad = torch.randn(value.shape, generator=generator).to(memory_format=torch.preserve_format)
    Optimiser(model, options).step(RATE)
    assert all(value.grad is None for value in model.parameters())
    return {name: value.detach() - before[name] for name, value in model.named_parameters()}


def test_muon_moves_all_directions_of_a_convolution_alike() -> None:
    steps = one_step(network(), TrainOptions(muon=0.5))
    for name, rows in (("0.weight", 8), ("2.weight", 8)):
        matrix = steps[name].reshape(rows, -1)
        lengths = torch.linalg.svdvals(matrix) / (0.5 * RATE * 0.2 * max(matrix.shape) ** 0.5)
        assert 0.5 < float(lengths.min()) <= float(lengths.max()) < 1.3  # Newton and Schulz, five rounds, in bfloat16


def test_the_rest_is_adamw_s() -> None:
    """The first step of AdamW is the rate for every value; its state is that of the published optimiser."""
    mixed, alone = (one_step(network(), TrainOptions(muon=muon)) for muon in (0.5, 0.0))
    for name in ("0.bias", "1.weight", "2.bias"):
        assert torch.equal(mixed[name], alone[name])
        assert torch.allclose(mixed[name].abs(), torch.full_like(mixed[name], RATE), rtol=1e-3)
    assert torch.allclose(alone["0.weight"].abs(), torch.full_like(alone["0.weight"], RATE), rtol=1e-3)


def test_without_muon_the_state_is_adamw_s() -> None:
    model = network()
    state = Optimiser(model, TrainOptions()).state_dict()
    assert state.keys() == AdamW(model.parameters()).state_dict().keys()


def test_weights_that_would_be_copied_are_refused() -> None:
    with pytest.raises(TypeError, match="channels_last: a copy would be updated"):
        Optimiser(nn.Conv2d(3, 4, 3), TrainOptions(muon=1.0))
