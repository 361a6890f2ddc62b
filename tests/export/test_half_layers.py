"""The float32 island in each target's own form: which layers are in it, and that nothing else computes there."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from onnx import TensorProto, helper

from export import to_openvino
from export.convolutions import macs, share_in
from export.errors import SentinelError
from export.island import float32_island
from export.ncnn_layers import BRIDGE, FLOAT32_MASK, island_of, keep_float32, write_layers
from export.openvino_layers import check_island
from export.to_tensorrt import half_share
from runtimes.backends.ncnn_layers import read_layers
from runtimes.backends.openvino import HINTS, choose_hint
from runtimes.contract import Precision

# in0 -> mean -> sub -> conv -> split -+-> grid sample -> concat -> conv -> relu -> blend -> out0
#                                      +-> deconv -> slice -> scale (the grid) -+
PARAM = """7767517
12 14
Input in0 0 1 in0
Split split 1 2 in0 a b
Pooling mean 1 1 a m 0=1 4=1
BinaryOp sub 2 1 b m c 0=1
Convolution conv 1 1 c f 0=4 1=3 6=108
Split features 1 2 f f0 f1
Deconvolution head 1 1 f0 h 0=6 1=4 6=384
Slice cut 1 2 h flow rest -23300=2,2,-233 1=0
BinaryOp grid 1 1 flow g 0=2 1=1 2=0.5
GridSample warp 2 1 f1 g w 0=1 1=2
Concat both 2 1 w rest x 0=0
Convolution last 1 1 x out0 0=3 1=3 6=216
"""


def test_reading_and_writing_a_param_changes_nothing() -> None:
    assert write_layers(read_layers(PARAM)) == PARAM.replace("12 14", "12 15")


def test_mean_grid_and_warp_are_in_the_island() -> None:
    layers = read_layers(PARAM)
    names = {layers[i].name for i in island_of(layers)}
    assert names == {"in0", "split", "mean", "sub", "grid", "warp"}


def test_masks_are_written_and_half_precision_enters_through_a_bridge() -> None:
    layers = read_layers(keep_float32(PARAM))
    masked = {layer.name for layer in layers if f"31={FLOAT32_MASK}" in layer.parameters}
    assert masked == {"split", "mean", "sub", "grid"}
    (bridge,) = (layer for layer in layers if layer.kind == BRIDGE)
    assert (bridge.inputs, bridge.outputs, bridge.parameters) == (("flow",), ("flow_float32",), ())
    by_name = {layer.name: layer for layer in layers}
    assert by_name["grid"].inputs == ("flow_float32",)
    assert by_name["warp"].inputs == ("f1", "g")
    assert layers.index(bridge) < layers.index(by_name["grid"])


def test_a_grid_without_arithmetic_ends_at_the_head() -> None:
    # conv -> head -> sampler, with the head as its own grid
    before = [[], [0], [1], [1, 2]]
    island = float32_island(before, convolutions={1, 2}, samplers={3}, is_head=lambda i: i == 2)
    assert island == {0, 3}


ISLAND = frozenset({"grid", "add"})


@pytest.mark.parametrize(
    ("layer", "fires"),
    [
        (("Subgraph", "f32", ("mul", "grid")), False),
        (("Subgraph", "bf16", ("mul", "grid")), True),
        (("Eltwise", "f16", ("add",)), True),
        (("Convolution", "bf16", ("conv",)), False),
        (("Reshape", "bf16", ("grid",)), True),
        (("Reorder", "bf16", ("",)), False),
    ],
)
def test_a_flow_path_in_half_precision_fires(layer: tuple[str, str, tuple[str, ...]], fires: bool) -> None:
    if not fires:
        check_island([layer], ISLAND)
        return
    with pytest.raises(SentinelError, match=f"^sentinel flow-path: {layer[0]} .*runs in {layer[1]}, not f32"):
        check_island([layer], ISLAND)


def test_the_hint_never_asks_for_what_a_device_lacks() -> None:
    cpu, gpu = ["BF16", "FP32", "INT8"], ["FP32", "FP16", "INT8"]
    chosen = {p: (choose_hint(p, cpu), choose_hint(p, gpu)) for p in HINTS}
    assert chosen == {
        Precision.FP32: ("f32", "f32"),
        Precision.FP16: ("f32", "f16"),
        Precision.BF16: ("bf16", "f32"),
    }


def two_convolutions() -> onnx.ModelProto:
    """3x3, 4 -> 8 channels on 10x6 pixels, then transposed 4x4 with stride 2, 8 -> 2 channels."""
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "k0"], ["y"], pads=[1, 1, 1, 1]),
            helper.make_node("ConvTranspose", ["y", "k1"], ["z"], pads=[1, 1, 1, 1], strides=[2, 2]),
        ],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 6, 10])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2, 12, 20])],
        [
            helper.make_tensor("k0", TensorProto.FLOAT, [8, 4, 3, 3], [0.0] * 288),
            helper.make_tensor("k1", TensorProto.FLOAT, [8, 2, 4, 4], [0.0] * 256),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def test_multiplications_are_counted() -> None:
    assert macs(two_convolutions()) == {"y": 288 * 60, "z": 256 * 60}
    share, others = share_in({"y": TensorProto.FLOAT16}, two_convolutions(), TensorProto.FLOAT16)
    assert share == pytest.approx(288 / 544)
    assert others == ["z"]


class Network:
    """A parsed ``INetworkDefinition`` whose convolutions have the given types (input, output)."""

    def __init__(self, trt: object, first: tuple[str, str], second: tuple[str, str]) -> None:
        kinds = trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION  # type: ignore[attr-defined]
        self._layers = [
            self._layer(trt, kind, name, types)
            for kind, name, types in zip(kinds, ("y", "z"), (first, second), strict=True)
        ]
        self.num_layers = len(self._layers)

    @staticmethod
    def _layer(trt: object, kind: object, name: str, types: tuple[str, str]) -> SimpleNamespace:
        source, result = (getattr(trt.DataType, item) for item in types)  # type: ignore[attr-defined]
        return SimpleNamespace(
            type=kind,
            get_input=lambda i: SimpleNamespace(dtype=source),
            get_output=lambda i: SimpleNamespace(dtype=result, name=name),
        )

    def get_layer(self, index: int) -> SimpleNamespace:
        return self._layers[index]


def test_an_engine_in_float32_instead_of_half_fires() -> None:
    if importlib.util.find_spec("tensorrt_rtx") is None:
        pytest.skip("tensorrt-rtx is not installed")
    trt = importlib.import_module("tensorrt_rtx")
    half, mixed = ("HALF", "HALF"), ("FLOAT", "HALF")
    model = two_convolutions()
    assert half_share(trt, Network(trt, half, half), model, Precision.FP16) == 1.0
    with pytest.raises(SentinelError, match=r"sentinel half-engine: 52.9% .*FLOAT16, expected 95%; .*: z$"):
        half_share(trt, Network(trt, half, mixed), model, Precision.FP16)
    with pytest.raises(SentinelError, match=r"0.0% of the multiplications are in BFLOAT16"):
        half_share(trt, Network(trt, half, half), model, Precision.BF16)


class TwoDevices:
    """Stands in for OpenVINO with a GPU, which this machine lacks: one of the two refuses the model."""

    available_devices = ("CPU", "GPU")

    def __init__(self, refuses: str) -> None:
        self.refuses = refuses

    def get_property(self, device: str, name: str) -> list[str]:
        return ["FP32", "FP16"]

    def compile_model(self, path: str, device: str, properties: dict[str, str]) -> object:
        if device == self.refuses:
            raise RuntimeError("no kernel\nfor GridSample")
        return object()


def test_a_gpu_that_refuses_the_model_does_not_end_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(to_openvino, "executed_layers", lambda compiled: [("Convolution", "f16", ("a",))])
    told = to_openvino.executed_on(TwoDevices("GPU"), Path("model.xml"), Precision.FP16, frozenset({"b"}))
    assert told["cpu"] == {"hint": "f16", "layers": {"Convolution": {"f16": 1}}}
    assert told["gpu"] == {"hint": "f16", "trouble": "no kernel for GridSample"}
    with pytest.raises(RuntimeError):
        to_openvino.executed_on(TwoDevices("CPU"), Path("model.xml"), Precision.FP16, frozenset({"b"}))
