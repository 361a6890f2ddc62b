"""INT8 in ncnn's files: what the graph states stands there, ncnn computes it, and float under its name is seen."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from export.errors import ExportError, SentinelError
from export.int8.quantize import quantize
from export.ncnn_int8 import Quantized, without_quantization, write_int8
from export.ncnn_running import between_steps, int8_layers
from runtimes.backends.ncnn_layers import read_layers
from runtimes.backends.ncnn_options import options_of
from runtimes.backends.ncnn_weights import Stored, read_weights
from runtimes.contract import Precision, Size

SIZE = Size(48, 32)
SCALE = 0.01
NAME = "encoder.pyramid1.0.0"
GENERATOR = np.random.default_rng(0)
KERNEL = GENERATOR.normal(size=(5, 3, 3, 3)).astype(np.float32)
LAST = GENERATOR.normal(size=(3, 5, 3, 3)).astype(np.float32)
BIAS = np.array([0.1, -0.2, 0.3, 0.0, 1.0], np.float32)

PARAM = """7767517
8 8
Input in0 0 1 in0 0=48 1=32 2=3
Input in1 0 1 in1 0=48 1=32 2=3
Input in2 0 1 in2
BinaryOp both 2 1 in0 in1 both 0=0
Convolution conv 1 1 both f 0=5 1=3 4=1 5=1 6=135
PReLU conv 1 1 f g 0=5
Convolution last 1 1 g h 0=3 1=3 4=1 5=0 6=135
BinaryOp add 2 1 h in2 out0 0=0
"""

DATA = b"".join(
    (
        bytes(4),
        KERNEL.tobytes(),
        BIAS.tobytes(),
        np.full(5, 0.25, np.float32).tobytes(),
        bytes(4),
        LAST.tobytes(),
    )
)


def one_convolution() -> onnx.ModelProto:
    node = helper.make_node("Conv", ["x", f"pair.{NAME}.weight", "b"], ["y"], name="c", pads=[1, 1, 1, 1])
    sides = (("x", 3), ("y", 5))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, c, 32, 48]) for name, c in sides]
    constants = [numpy_helper.from_array(KERNEL, f"pair.{NAME}.weight"), numpy_helper.from_array(BIAS, "b")]
    graph = helper.make_graph([node], "g", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def quantized() -> Quantized:
    """What the graph states of its convolution."""
    return without_quantization(quantize(one_convolution(), {NAME: SCALE}))[1][0]


def in_float(item: Quantized) -> bytes:
    """A ``.bin`` as pnnx makes it of the graph without Q/DQ."""
    return DATA.replace(KERNEL.tobytes(), item.kernel.tobytes())


def test_a_graph_without_its_pairs_is_the_traced_one_with_rounded_kernels(quantized: Quantized) -> None:
    model = one_convolution()
    plain, _ = without_quantization(quantize(model, {NAME: SCALE}))
    assert [node.op_type for node in plain.graph.node] == ["Conv"]
    assert list(plain.graph.node[0].input) == list(model.graph.node[0].input)
    kernel = {item.name: numpy_helper.to_array(item) for item in plain.graph.initializer}[f"pair.{NAME}.weight"]
    assert np.array_equal(kernel, quantized.kernel)
    assert float(np.abs(kernel - KERNEL).max()) <= 0.51 * float(quantized.weight_scale.max())
    assert quantized.name == NAME
    assert quantized.input_scale == pytest.approx(SCALE)


def test_only_the_layers_of_the_graph_become_int8(quantized: Quantized) -> None:
    param, data = write_int8(PARAM, in_float(quantized), [quantized])
    assert [line for line in param.splitlines() if "8=2" in line] == [
        "Convolution conv 1 1 both f 0=5 1=3 4=1 5=1 6=135 8=2"
    ]
    weights = read_weights(read_layers(param), data)
    assert [item.stored for item in weights] == [Stored.INT8, Stored.FLOAT32, Stored.FLOAT16]
    assert weights[0].kernel == quantized.weight.tobytes() + b"\0"
    np.testing.assert_allclose(weights[0].scales, [*(1.0 / quantized.weight_scale), 1.0 / SCALE], rtol=1e-6)
    np.testing.assert_array_equal(weights[0].rest[:5], BIAS)
    np.testing.assert_array_equal(
        np.frombuffer(weights[2].kernel, np.float16)[: LAST.size], LAST.ravel().astype(np.float16)
    )


def test_a_convolution_that_is_not_there_is_named(quantized: Quantized) -> None:
    with pytest.raises(ExportError, match=f"no convolution with the weights of {NAME}"):
        write_int8(PARAM, DATA, [quantized])


def test_equal_weights_at_two_scales_are_refused(quantized: Quantized) -> None:
    other = replace(quantized, name="other", input_scale=2 * SCALE)
    with pytest.raises(ExportError, match=f"{NAME} and other have the same weights and different scales"):
        write_int8(PARAM, in_float(quantized), [quantized, other])


@pytest.fixture
def folder(tmp_path: Path, quantized: Quantized) -> Path:
    if importlib.util.find_spec("ncnn") is None:
        pytest.skip("ncnn is not installed")
    param, data = write_int8(PARAM, in_float(quantized), [quantized])
    (tmp_path / "model.param").write_text(param)
    (tmp_path / "model.bin").write_bytes(data)
    return tmp_path


def test_what_ran_in_int8_is_read_back(folder: Path, quantized: Quantized) -> None:
    assert int8_layers(folder, [quantized], SIZE, options_of(Precision.INT8)) == [NAME]


def test_a_float_layer_under_the_name_of_int8_fires(
    folder: Path, quantized: Quantized, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ncnn is given the network in float, while the files that are looked at say int8."""
    import ncnn

    load, floats = ncnn.Net.load_model, folder / "float.bin"
    floats.write_bytes(in_float(quantized))
    monkeypatch.setattr(ncnn.Net, "load_param_mem", lambda net, text, old=ncnn.Net.load_param_mem: old(net, PARAM))
    monkeypatch.setattr(ncnn.Net, "load_model", lambda net, path: load(net, str(floats)))
    with pytest.raises(SentinelError, match=f"^sentinel int8-layers: ncnn runs {NAME} \\(conv\\) in float$"):
        int8_layers(folder, [quantized], SIZE, options_of(Precision.INT8))


def test_a_bias_alone_is_no_evidence(folder: Path) -> None:
    item = read_weights(read_layers((folder / "model.param").read_text()), (folder / "model.bin").read_bytes())[0]
    only_bias: NDArray[np.float32] = np.broadcast_to(BIAS[:, None, None], (5, 32, 48)).astype(np.float32)
    assert not between_steps(item, only_bias)
    assert between_steps(item, only_bias + GENERATOR.normal(size=only_bias.shape).astype(np.float32))
    steps = GENERATOR.integers(-1000, 1000, size=only_bias.shape)
    per_unit = item.scales[:5, None, None] * item.scales[5]
    assert not between_steps(item, (only_bias + steps / per_unit).astype(np.float32))
