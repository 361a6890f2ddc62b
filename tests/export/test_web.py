"""Target ``web``: what a browser gets is what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from export.errors import SentinelError
from export.to_web import check_file
from runtimes.artifact import read_manifest
from runtimes.contract import Precision

FP16, FP32 = Precision.FP16, Precision.FP32


@pytest.fixture
def half(artifact: Callable[..., Path]) -> onnx.ModelProto:
    return onnx.load(artifact("web", precision=FP16) / "model.onnx")


def test_the_manifest_says_how_weights_are_stored(artifact: Callable[..., Path]) -> None:
    details = read_manifest(artifact("web", precision=FP16)).details
    assert details == {
        "convolutions": 36,
        "channels_in": "multiples of 4",
        "weights": "float16, cast to float32 at load",
    }


def test_half_the_size_and_float32_arithmetic(artifact: Callable[..., Path], half: onnx.ModelProto) -> None:
    sizes = [(artifact("web", precision=kind) / "model.onnx").stat().st_size for kind in (FP16, FP32)]
    assert sizes[0] < 0.53 * sizes[1]
    kinds = {value.type.tensor_type.elem_type for value in onnx.shape_inference.infer_shapes(half).graph.value_info}
    assert onnx.TensorProto.FLOAT in kinds
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    weights = {item.name for item in half.graph.initializer}
    assert casts
    assert all(node.input[0] in weights for node in casts)  # nothing but weights was half


def test_a_width_that_webgpu_gets_wrong_is_seen(artifact: Callable[..., Path]) -> None:
    with pytest.raises(SentinelError, match=r"takes 54 channels, no multiple of 4"):
        check_file(onnx.load(artifact("onnx") / "model.onnx"), FP32)


def test_weights_of_another_type_are_seen(half: onnx.ModelProto) -> None:
    with pytest.raises(SentinelError, match="are stored as FLOAT16"):
        check_file(half, FP32)


def test_sampling_positions_in_half_are_seen(half: onnx.ModelProto) -> None:
    """A table of positions that is rounded to 11 bits is off by half a pixel at 1080p."""
    row = next(item for item in half.graph.initializer if item.data_type == onnx.TensorProto.FLOAT and item.dims)
    row.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(row).astype("float16"), row.name))
    with pytest.raises(SentinelError, match="is half precision, and no weight of a convolution"):
        check_file(half, FP16)


def test_added_channels_are_zero(artifact: Callable[..., Path]) -> None:
    model = onnx.load(artifact("web") / "model.onnx")
    weights = [numpy_helper.to_array(item) for item in model.graph.initializer if len(item.dims) == 4]
    wide = [weight for weight in weights if weight.shape[1] == 56]  # 54 in the network
    assert wide
    assert not any(weight[:, 54:].any() for weight in wide)
    assert all(weight[:, :54].any() for weight in wide)
