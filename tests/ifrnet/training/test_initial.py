"""Weights to start from: the same for a seed, scaled for natural pictures, and able to tell directions of motion."""

from __future__ import annotations

import pytest
import torch

from ifrnet.model import IFRNet
from ifrnet.training.initial import ENCODER_SLOPE, ENERGY_SLOPE, SLOPE, _noise_pairs, initialise
from ifrnet.variants import VARIANTS


def fresh(variant: str = "ifrnet_s", seed: int = 0) -> IFRNet:
    model = IFRNet(VARIANTS[variant])
    initialise(model, torch.Generator().manual_seed(seed))
    return model


def test_a_seed_gives_the_same_weights() -> None:
    first, second, other = fresh().state_dict(), fresh().state_dict(), fresh(seed=1).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("variant", ["ifrnet_s", "ifrnet_l"])  # first kernels of 3x3 and 7x7
def test_features_keep_their_variance_through_the_pyramid(variant: str) -> None:
    model = fresh(variant)
    img0, _ = _noise_pairs(torch.Generator().manual_seed(5))
    with torch.no_grad():
        deviations = [float(feature.std()) for feature in model.encoder(img0 - img0.mean())]
    assert all(0.4 < deviation < 2.0 for deviation in deviations), deviations


def test_slopes_are_linear_below_and_absolute_where_both_frames_meet() -> None:
    state = fresh().state_dict()
    assert state["encoder.pyramid3.1.1.weight"].tolist() == pytest.approx(54 * [ENCODER_SLOPE])
    for level in (1, 2, 3, 4):
        assert set(state[f"decoder{level}.convblock.0.1.weight"].tolist()) == {ENERGY_SLOPE}
        assert set(state[f"decoder{level}.convblock.1.prelu.weight"].tolist()) == {SLOPE}
    assert not any(state[key].any() for key in state if key.endswith("bias"))


def test_flow_starts_small_and_finite() -> None:
    model = fresh()
    img0, img1 = _noise_pairs(torch.Generator().manual_seed(6))
    with torch.no_grad():
        estimate = model.estimate(img0 - img0.mean(), img1 - img0.mean(), torch.full((len(img0), 1, 1, 1), 0.5))
    assert 0.0 < float(estimate.flows0[0].abs().mean()) < 3.0


def test_noise_has_the_spectrum_of_pictures_and_moves() -> None:
    img0, img1 = _noise_pairs(torch.Generator().manual_seed(0))
    assert img0.min() >= 0.0
    assert img0.max() <= 1.0
    power = torch.fft.rfft2(img0 - img0.mean()).abs().pow(2).mean(dim=(0, 1))  # (H, W / 2 + 1)
    assert float(power[0, 4] / power[0, 16]) == pytest.approx(16.0, rel=0.6), "power falls with the square"
    assert not torch.equal(img0, img1)
