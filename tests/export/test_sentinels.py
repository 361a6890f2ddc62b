"""Every sentinel fires on the failure that it is for, and on nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.convolutions import HALF_SHARE, macs
from export.errors import SentinelError
from export.sentinels import SENTINELS, GraphFacts, guard, half_convolutions
from runtimes.contract import Precision

Model = onnx.ModelProto


@pytest.fixture
def model(artifact: Callable[..., Path]) -> Model:
    return onnx.load(artifact("onnx") / "model.onnx")


def grid_samples(model: Model) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "GridSample"]


def attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    (found,) = (item for item in node.attribute if item.name == name)
    assert isinstance(found, onnx.AttributeProto)
    return found


def cast_input(model: Model, node: onnx.NodeProto, index: int) -> None:
    """Through half precision: what a careless conversion leaves before an operator."""
    name = node.input[index]
    position = list(model.graph.node).index(node)
    node.input[index] = f"{name}_half"
    model.graph.node.insert(position, helper.make_node("Cast", [name], [f"{name}_half"], to=TensorProto.FLOAT16))


def another_opset(model: Model) -> None:
    model.opset_import[0].version = 20


def one_nearest_warp(model: Model) -> None:
    attribute(grid_samples(model)[2], "mode").s = b"nearest"


def the_name_of_opset_20(model: Model) -> None:
    attribute(grid_samples(model)[0], "mode").s = b"linear"


def no_padding_mode(model: Model) -> None:
    node = grid_samples(model)[0]
    node.attribute.remove(attribute(node, "padding_mode"))  # the default is zeros


def no_align_corners(model: Model) -> None:
    node = grid_samples(model)[0]
    node.attribute.remove(attribute(node, "align_corners"))  # the default is 0


def one_warp_less(model: Model) -> None:
    node = grid_samples(model)[0]
    node.op_type = "Identity"
    del node.attribute[:], node.input[1:]


def a_half_grid(model: Model) -> None:
    cast_input(model, grid_samples(model)[1], 1)


def a_half_mean(model: Model) -> None:
    cast_input(model, next(n for n in model.graph.node if n.op_type in ("ReduceMean", "GlobalAveragePool")), 0)


def a_half_flow(model: Model) -> None:
    cast_input(model, next(node for node in model.graph.node if node.op_type == "Resize"), 0)


def a_slice_assignment(model: Model) -> None:
    model.graph.node.append(helper.make_node("ScatterND", ["a", "b", "c"], ["d"], name="scatter"))


def another_name(model: Model) -> None:
    model.graph.input[1].name = "frame1"


def another_output(model: Model) -> None:
    model.graph.output[0].name = "output"


def t_unused(model: Model) -> None:
    for node in model.graph.node:
        node.input[:] = ["img0" if name == "t" else name for name in node.input]


def an_infinite_weight(model: Model) -> None:
    weight = max(model.graph.initializer, key=lambda item: len(item.raw_data))
    value = numpy_helper.to_array(weight).copy()
    value.flat[7] = 70000.0
    with np.errstate(over="ignore"):
        weight.CopyFrom(numpy_helper.from_array(value.astype(np.float16), weight.name))


CASES = [
    ("opset", another_opset),
    ("bilinear-warps", one_nearest_warp),
    ("bilinear-warps", the_name_of_opset_20),
    ("bilinear-warps", no_padding_mode),
    ("bilinear-warps", no_align_corners),
    ("all-warps", one_warp_less),
    ("float32-grids", a_half_grid),
    ("float32-mean", a_half_mean),
    ("float32-flow", a_half_flow),
    ("no-scatter", a_slice_assignment),
    ("inputs-used", another_name),
    ("inputs-used", another_output),
    ("inputs-used", t_unused),
    ("finite-weights", an_infinite_weight),
]


def test_every_sentinel_has_a_case() -> None:
    assert {name for name, _ in CASES} | {"half-convolutions"} == set(SENTINELS)


def test_a_sound_graph_passes(model: Model) -> None:
    guard(model)


@pytest.mark.parametrize(("name", "plant"), CASES, ids=[f"{name}:{plant.__name__}" for name, plant in CASES])
def test_a_sentinel_fires(model: Model, name: str, plant: Callable[[Model], None]) -> None:
    plant(model)
    with pytest.raises(SentinelError, match=f"^sentinel {name}: .+") as caught:
        guard(model)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_float32_under_the_name_of_half_precision_fires(model: Model, precision: Precision) -> None:
    with pytest.raises(SentinelError, match=r"^sentinel half-convolutions: only 0.0% of the multiplications are in"):
        guard(model, precision)


def test_one_large_convolution_in_float32_fires_and_is_named(model: Model) -> None:
    """All but the heaviest convolution in half precision is less than 95 % of the multiplications."""
    count = macs(model)
    heaviest = max(count, key=lambda name: count[name])
    facts = GraphFacts.of(model, Precision.FP16)
    half = replace(facts, types=facts.types | dict.fromkeys(count, TensorProto.FLOAT16))
    assert half_convolutions(half) == ""
    mixed = replace(facts, types=half.types | {heaviest: TensorProto.FLOAT})
    share = 1.0 - count[heaviest] / sum(count.values())
    assert share < HALF_SHARE
    assert half_convolutions(mixed) == (
        f"only {share:.1%} of the multiplications are in FLOAT16, not those of {heaviest}"
    )
