"""What is particular to OpenVINO's form: warps as sums of rows, and integers from the source on."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export import to_openvino
from export.errors import SentinelError
from export.int8.scales import scales_for
from export.openvino_int8 import MOVES, quantise_at_sources
from export.openvino_layers import mark_island, sum_rows
from export.options import ExportOptions
from export.parity_frames import moving_pair
from export.row_warp import warp_rows
from export.sentinels import ROW_WARPS, guard
from export.source import Source
from ifrnet import load_model, random_model
from ifrnet.warp import warp
from runtimes.contract import Precision, Size, SizeRange

SIZE = Size(64, 48)


class Warp(nn.Module):
    """The second of two images."""

    def forward(self, images: Tensor, flow: Tensor) -> Tensor:
        count, channels, height, width = images.shape
        table = images.permute(0, 2, 3, 1).reshape(count * height * width, channels)
        return warp_rows(table, flow, height * width)


def flows(width: int, height: int) -> list[Tensor]:
    """Between pixels, on them, and far outside: (1, 2, H, W) each."""
    generator = torch.Generator().manual_seed(4)
    return [
        20.0 * torch.randn(1, 2, height, width, generator=generator),
        torch.randint(-3, 4, (1, 2, height, width), generator=generator).float(),
        torch.full((1, 2, height, width), 1e6),
        torch.full((1, 2, height, width), -1e6),
    ]


@pytest.mark.parametrize("size", ["2x2", "7x2", "2x5", "33x9", "160x96"])
def test_a_warp_by_rows_is_exact_at_every_edge(size: str) -> None:
    width, height = (int(side) for side in size.split("x"))
    images = torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for flow in flows(width, height):
        found, expected = Warp()(images, flow.double()), warp(images[1:], flow.double())
        assert float((found - expected).abs().max()) <= 1e-12
        assert float((Warp()(images, flow.double()) - warp(images[:1], flow.double())).abs().max()) > 1e-3


@pytest.mark.parametrize("size", ["2x2", "33x9", "160x96"])
def test_openvino_sums_rows_in_one_layer(size: str) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    width, height = (int(side) for side in size.split("x"))
    images = torch.randn(2, 5, height, width, generator=torch.Generator().manual_seed(5))
    inputs = images, flows(width, height)[0]
    with warnings.catch_warnings(action="ignore"):  # as export.trace does
        program = torch.onnx.export(Warp(), inputs, dynamo=True, opset_version=18, verbose=False)
    assert program is not None
    model = openvino.Core().read_model(program.model_proto.SerializeToString())
    assert sum_rows(model) == 1
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    assert "EmbeddingBagPackedSum" in kinds
    assert "ReduceSum" not in kinds
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for flow in flows(width, height):
        found = compiled([images.numpy(), flow.numpy()])[0]
        assert float(np.abs(found - warp(images[1:], flow).numpy()).max()) < 2e-4  # float32 rounds positions


def source(precision: Precision, model: str = "ifrnet_s") -> Source:
    network = load_model(model)
    assert network.info is not None
    scales = scales_for(network.info, None).scales if precision is Precision.INT8 else {}
    form = to_openvino.rewrites(precision)
    return Source(network, form, precision, sizes=SizeRange.static(SIZE), scales=scales)


@pytest.fixture(scope="module")
def quantised() -> onnx.ModelProto:
    return source(Precision.INT8).onnx


def run(model: onnx.ModelProto) -> NDArray[np.float32]:
    """Every operator as written: nothing is fused or moved."""
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    img0, img1 = moving_pair(SIZE)
    out: NDArray[np.float32] = session.run(
        None, {"img0": img0, "img1": img1, "t": np.full((1, 1, 1, 1), 0.5, np.float32)}
    )[0]
    return out


def behind_moves(model: onnx.ModelProto) -> list[str]:
    """Quantisations of what was only moved."""
    moved = {name for node in model.graph.node if node.op_type in MOVES for name in node.output}
    return [n.name for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in moved]


def test_integers_from_the_source_on_are_the_same_bit_for_bit(quantised: onnx.ModelProto) -> None:
    moved = quantise_at_sources(quantised)
    onnx.checker.check_model(moved, full_check=True)
    assert behind_moves(quantised)
    assert not behind_moves(moved)
    assert np.array_equal(run(moved), run(quantised))


def test_another_scale_at_a_source_is_seen(quantised: onnx.ModelProto) -> None:
    moved = quantise_at_sources(quantised)
    pair = next(n for n in moved.graph.node if n.op_type == "QuantizeLinear" and "prelu" in n.input[0])
    scale = next(item for item in moved.graph.initializer if item.name == pair.input[1])
    scale.CopyFrom(numpy_helper.from_array(np.float32(2.0) * numpy_helper.to_array(scale), scale.name))
    assert not np.array_equal(run(moved), run(quantised))


def test_a_part_quantised_twice_keeps_both_scales() -> None:
    """Two readers of one split, each with its own scale."""
    node, tensor = helper.make_node, helper.make_tensor
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("Split", ["r", "parts"], ["a", "b"], axis=1),
        *(
            node(kind, [value, f"{out}_scale", "zero"], [result])
            for out, value in (("p", "a"), ("q", "b"))
            for kind, value, result in (("QuantizeLinear", value, f"{out}_i"), ("DequantizeLinear", f"{out}_i", out))
        ),
        node("Concat", ["p", "q"], ["y"], axis=1),
    ]
    io = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 2, 3]) for name in ("x", "y")]
    constants = [
        tensor("parts", TensorProto.INT64, [2], [1, 3]),
        *(
            numpy_helper.from_array(np.asarray(step, np.float32), name)
            for name, step in (("p_scale", 0.5), ("q_scale", 0.03))
        ),
        numpy_helper.from_array(np.asarray(0, np.int8), "zero"),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "g", io[:1], io[1:], constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    moved = quantise_at_sources(model)
    assert not behind_moves(moved)
    assert sum(n.op_type == "QuantizeLinear" for n in moved.graph.node) == 2
    x = np.random.default_rng(0).normal(size=(1, 4, 2, 3)).astype(np.float32)
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    outs = [
        ort.InferenceSession(m.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for m in (model, moved)
    ]
    assert np.array_equal(*outs)


def products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    sums = {node.input[0] for node in model.graph.node if node.op_type == "ReduceSum"}
    return [node for node in model.graph.node if node.op_type == "Mul" and node.output[0] in sums]


@pytest.mark.parametrize("error", ["all-warps", "float32-grids"])
def test_a_lost_warp_and_half_weights_are_seen(error: str, quantised: onnx.ModelProto) -> None:
    guard(quantised)
    assert len(products(quantised)) == ROW_WARPS
    model = copy.deepcopy(quantised)
    product = products(model)[0]
    if error == "all-warps":
        product.op_type = "Add"
    else:
        position = list(model.graph.node).index(product)
        half = helper.make_node("Cast", [product.input[1]], ["half"], to=TensorProto.FLOAT16)
        product.input[1] = "half"
        model.graph.node.insert(position, half)
        del model.graph.value_info[:]
    with pytest.raises(SentinelError, match=rf"^sentinel {error}"):
        guard(model)


def test_sums_of_rows_that_are_not_found_end_the_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    monkeypatch.setattr(to_openvino, "sum_rows", lambda model: ROW_WARPS - 1)
    form = Source(
        random_model("ifrnet_s"),
        to_openvino.rewrites(Precision.FP32),
        Precision.FP32,
        sizes=SizeRange.static(SIZE),
    )
    options = ExportOptions(targets=("openvino",), precisions=(Precision.FP32,), sizes=SizeRange.static(SIZE))
    with pytest.raises(SentinelError, match=r"^sentinel all-warps"):
        to_openvino.compile(form, tmp_path, Precision.FP32, options)


def test_row_numbers_stay_in_float32(tmp_path: Path) -> None:
    """A row counted in bfloat16 is off by up to 128 of 32768; the conversion to integers is in the island too."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    ir = openvino.Core().read_model(source(Precision.FP32).onnx.SerializeToString())
    sum_rows(ir)
    path = tmp_path / "model.xml"
    openvino.save_model(ir, path, compress_to_fp16=False)
    island = mark_island(path)
    conversions = {n.get_friendly_name() for n in ir.get_ordered_ops() if n.get_type_name() == "Convert"}
    bags = {n.get_friendly_name() for n in ir.get_ordered_ops() if n.get_type_name() == "EmbeddingBagPackedSum"}
    assert len(bags) == ROW_WARPS
    assert len(conversions) == 2 * ROW_WARPS
    assert conversions | bags <= island
