"""Sizes as data, and the arithmetic of frame sizes and scales."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ifrnet import (
    VARIANTS,
    CheckpointError,
    CheckpointInfo,
    IFRNet,
    ModelError,
    SizeError,
    TimestepError,
    Timesteps,
    padded_side,
    size_multiple,
)
from runtimes import contract, errors

PARAMETERS = {"ifrnet_s": 2_803_610, "ifrnet": 4_959_692, "ifrnet_l": 19_699_460}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_the_published_size(name: str) -> None:
    model = IFRNet(VARIANTS[name])
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]
    assert len(model.state_dict()) == 104
    assert VARIANTS[name].name == name


def test_first_kernel_and_side_channels() -> None:
    assert {name: (v.first_kernel, v.side) for name, v in VARIANTS.items()} == {
        "ifrnet_s": (3, 24),
        "ifrnet": (3, 32),
        "ifrnet_l": (7, 64),
    }


@pytest.mark.parametrize(
    ("scale", "multiple"), [(1.0, 16), (0.5, 32), (0.25, 64), (0.8, 20), (0.75, 64), (2.0, 8), (4.0, 4), (0.125, 128)]
)
def test_size_multiple_is_the_smallest_that_divides(scale: float, multiple: int) -> None:
    assert size_multiple(scale) == multiple
    assert multiple * scale % 16 == 0
    assert all(smaller * scale % 16 for smaller in range(1, multiple))


@pytest.mark.parametrize("scale", [0.0, -1.0, 0.1, 5.0, math.nan, math.inf, math.pi / 4])
def test_scales_that_make_no_sense_are_refused(scale: float) -> None:
    with pytest.raises(SizeError, match="scale is"):
        size_multiple(scale)


def test_padded_side() -> None:
    assert [padded_side(side) for side in (1, 16, 17, 718, 720, 1080)] == [16, 16, 32, 720, 720, 1088]
    assert [padded_side(side, 0.8) for side in (20, 21, 720)] == [20, 40, 720]


def test_model_and_artifact_share_one_vocabulary() -> None:
    assert Timesteps is contract.Timesteps
    assert TimestepError is errors.TimestepError
    assert all(issubclass(error, errors.RuntimesError) for error in (CheckpointError, ModelError, SizeError))


def test_size_errors_are_both_model_errors_and_value_errors() -> None:
    assert issubclass(SizeError, ModelError)
    assert issubclass(SizeError, ValueError)
    assert ModelError.exit_code == 1


def test_checkpoint_info_is_frozen() -> None:
    info = CheckpointInfo(name="a", source="a.pth", format="pth", sha256="0", timesteps=Timesteps.ANY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        info.name = "b"  # type: ignore[misc]
    assert info.provenance == {}
