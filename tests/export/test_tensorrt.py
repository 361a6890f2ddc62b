"""The TensorRT engine, as far as a machine without a GPU can look: what was parsed, and what it was compiled for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from export import to_tensorrt
from export.convolutions import HALF_SHARE
from export.errors import ExportError, SentinelError
from export.options import ExportOptions
from export.source import Source
from ifrnet import random_model
from runtimes import BackendError, load
from runtimes.artifact import open_artifact
from runtimes.backends.tensorrt import FLAVOURS
from runtimes.contract import Precision, Size, SizeRange, Verdict

STATIC = ExportOptions(targets=("trt",), sizes=SizeRange.static(Size(160, 96)))


@pytest.fixture(scope="module")
def model(artifact: Callable[..., Path]) -> onnx.ModelProto:
    """The graph of the ONNX artifact; that of TensorRT differs in PReLU only."""
    if reason := to_tensorrt.missing():
        pytest.skip(reason)
    return onnx.load(artifact("onnx") / "model.onnx")


def parsed(model: onnx.ModelProto) -> tuple[Any, Any, list[Any]]:
    trt = importlib.import_module(FLAVOURS[to_tensorrt.flavour()])
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString())
    return trt, network, [logger, builder, parser]  # the network points into them


def test_float32_is_not_rounded_to_tf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT allows it unless told otherwise, and a machine without the GPU does not see it."""
    if reason := to_tensorrt.missing():
        pytest.skip(reason)
    trt = importlib.import_module(FLAVOURS[to_tensorrt.flavour()])
    made: list[Any] = []

    def keep(self: Any) -> Any:
        made.append(real(self))
        return made[-1]

    real = trt.Builder.create_builder_config
    monkeypatch.setattr(trt.Builder, "create_builder_config", keep)
    model = random_model("ifrnet_s", seed=0)
    source = Source(model, to_tensorrt.rewrites(Precision.FP32), Precision.FP32, sizes=STATIC.sizes)
    to_tensorrt.compile(source, tmp_path, Precision.FP32, STATIC)
    assert [config.get_flag(trt.BuilderFlag.TF32) for config in made] == [False]


def test_an_engine_is_built_and_its_verdict_says_what_ran(
    artifact: Callable[..., Path], ran: Callable[[str], None]
) -> None:
    path = artifact("trt")
    manifest = open_artifact(path).manifest
    assert list(manifest.files) == ["model.engine", "proof.dat"]
    assert manifest.files["model.engine"]["bytes"] > 5e6
    assert manifest.details["builder"] in FLAVOURS
    assert manifest.details["layers"] > 100
    assert manifest.tools[manifest.details["builder"]]
    (record,) = manifest.parity
    assert record.device == "cuda:0"
    if record.verdict is Verdict.NOT_RUN:
        assert record.reason
        with pytest.raises(BackendError, match="cuda:0"):
            load(path)
    else:
        assert record.verdict is Verdict.PASSED
    if manifest.details["builder"] == "tensorrt-rtx":
        assert manifest.details["compute_capabilities"] == ["86", "89", "120"]
    ran("tensorrt:build")


@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16])
def test_half_precision_is_what_was_parsed(precision: Precision, artifact: Callable[..., Path]) -> None:
    manifest = open_artifact(artifact("trt", precision=precision)).manifest
    assert manifest.details["half_share"] >= HALF_SHARE
    whole = open_artifact(artifact("trt")).manifest.files["model.engine"]["bytes"]
    assert manifest.files["model.engine"]["bytes"] < 0.75 * whole


def test_the_parsed_network_is_read_back(model: onnx.ModelProto) -> None:
    trt, network, _kept = parsed(model)
    to_tensorrt.read_back(trt, network, Size(160, 96))
    with pytest.raises(SentinelError, match=r"sentinel trt-io: .*takes and gives"):
        to_tensorrt.read_back(trt, network, Size(96, 160))
    with pytest.raises(SentinelError, match="sentinel trt-io"):
        to_tensorrt.read_back(trt, network, None)


@pytest.mark.parametrize(("name", "value"), [("mode", b"nearest"), ("padding_mode", b"zeros"), ("align_corners", 0)])
def test_a_warp_that_was_parsed_as_another_is_caught(model: onnx.ModelProto, name: str, value: bytes | int) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    node = [node for node in changed.graph.node if node.op_type == "GridSample"][-1]
    attribute = next(item for item in node.attribute if item.name == name)
    if isinstance(value, bytes):
        attribute.s = value
    else:
        attribute.i = value
    trt, network, _kept = parsed(changed)
    with pytest.raises(SentinelError, match="sentinel trt-warps"):
        to_tensorrt.read_back(trt, network, Size(160, 96))


def test_a_graph_that_the_parser_refuses(model: onnx.ModelProto, tmp_path: Path) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    changed.graph.node[5].op_type = "NoSuchOperator"
    source = Source(random_model("ifrnet_s"), (), Precision.FP32, sizes=STATIC.sizes)
    source.onnx = changed
    with pytest.raises(ExportError, match="cannot parse the graph"):
        to_tensorrt.compile(source, tmp_path, Precision.FP32, STATIC)
    assert list(tmp_path.iterdir()) == []


def test_a_range_of_sizes_becomes_a_profile(artifact: Callable[..., Path]) -> None:
    manifest = open_artifact(artifact("trt", dynamic=True)).manifest
    assert not manifest.sizes.is_static
    assert manifest.parity[0].verdict in (Verdict.NOT_RUN, Verdict.PASSED)
