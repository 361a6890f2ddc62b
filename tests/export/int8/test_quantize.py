"""Weights in int8, the work that layers do, and scales that do not belong to a graph."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from export.int8.errors import CalibrationError
from export.int8.quantize import LEVELS, quantize, quantize_weight
from export.int8.recipe import int8_layers
from export.int8.work import layer_work, share
from ifrnet import VARIANTS


def test_weights_are_within_half_a_step_of_their_channel() -> None:
    weight = (
        np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
        * np.geomspace(1e-3, 10, 6)[:, None, None, None]
    )
    values, scale = quantize_weight(weight.astype(np.float32))
    assert values.dtype == np.int8
    assert (np.abs(values.astype(int)).max(axis=(1, 2, 3)) == LEVELS).all()
    assert (np.abs(values * scale[:, None, None, None] - weight) <= 0.5001 * scale[:, None, None, None]).all()


def test_channels_of_zeros_get_a_scale_that_backends_take() -> None:
    weight = np.zeros((2, 1, 3, 3), np.float32)
    weight[0, 0, 0, 0] = 1.0
    values, scale = quantize_weight(weight)
    assert scale[1] > 1e-12
    assert not values[1].any()
    assert (quantize_weight(np.zeros((2, 1, 3, 3), np.float32))[1] > 0).all()


@pytest.mark.parametrize(("name", "gmacs"), [("ifrnet_s", 101.2), ("ifrnet", 178.2), ("ifrnet_l", 705.9)])
def test_work_is_that_of_the_published_network(name: str, gmacs: float) -> None:
    work = layer_work(VARIANTS[name])
    assert sum(work.values()) * 1280 * 720 / 1e9 == pytest.approx(gmacs, abs=0.1)
    assert share(VARIANTS[name], int8_layers(work)) > 0.86


def test_scales_of_another_network_are_refused() -> None:
    with pytest.raises(CalibrationError, match="calibrate again"):
        quantize(onnx.ModelProto(), {"decoder1.features": 0.5})
